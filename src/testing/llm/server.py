"""`LlmServer`: what a test holds of its server."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from anyio.from_thread import BlockingPortal

from ...protocols.auth import AwsKey
from ...protocols.chat import Chat
from ...protocols.errors import LocalProtocolError
from ...protocols.events import Event
from ...protocols.registry import provider_named
from ...server.faults import Cutting, EndAfter
from .answers import Answers, Asked, Condition, Content, Scripted
from .cuts import CutPlace, Step, places
from .environment import environment
from .findings import findings
from .origin import Origin
from .queue import Queue
from .received import Received
from .report import complaints, section

if TYPE_CHECKING:
    from ...replay.age import Stale
    from .cassettes import Recorder

__all__ = ["LlmServer"]


class LlmServer(Answers):
    """A server that answers as a test tells it to, in the format of each request.

    `url` is its address, with which every SDK is pointed at it by `env`; `openai_url` the base URL
    of clients that speak like OpenAI's.
    """

    def __init__(
        self,
        portal: BlockingPortal,
        *,
        before: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`portal`: the event loop that serves. `before`: the environment as it was."""
        self._portal = portal
        self._queued = Queue()
        self.origin = Origin(self._queued, clock)
        """The server itself."""
        self._before = dict(before)
        self._forgotten = 0

    def __enter__(self) -> "LlmServer":
        self._running = self._portal.wrap_async_context_manager(self.origin)
        self._running.__enter__()
        self.url = self.origin.origin
        self.openai_url = f"{self.url}/v1"
        variables = environment(self.url, self._before)
        self.env = {name: value for name, value in variables.items() if value is not None}
        self.unset = [name for name, value in variables.items() if value is None]
        return self

    def __exit__(self, *details: Any) -> None:
        self.origin.stopping = True
        self._running.__exit__(None, None, None)
        if self.origin.recorder is not None:
            self._portal.call(self.origin.recorder.close)

    def __repr__(self) -> str:
        return f"<llm_server at {self.url}, {len(self.requests)} requests>"

    # Answers

    def _queue(self, name: str, content: Content) -> Scripted:
        scripted = Scripted(name, content, Asked())
        self._queued.add(scripted)
        return scripted

    def when(
        self,
        *,
        model: str | None = None,
        text: str | None = None,
        provider: str | None = None,
        tool: str | None = None,
        predicate: Callable[[Chat], bool] | None = None,
    ) -> Condition:
        """The answer that is queued with it is for such requests only: that ask this model, have
        this text in the user's last message, are for this provider, offer this tool, for whose chat
        `predicate` is true. Requests whose path several formats have are for the usual one, unless
        `provider` says which. Raises LocalProtocolError for an unknown provider."""
        if provider is not None:
            provider_named(provider)
        asked = Asked(model, text, provider, tool, predicate)
        return Condition(self._queued.add, asked)

    def cassette(
        self,
        path: str | os.PathLike[str],
        *,
        speed: float = 0,
        longest_gap: float | None = None,
        ignore: tuple[str, ...] = (),
        repeat: bool = False,
        max_age: str | None = None,
        stale: "Stale" = "warn",
    ) -> Scripted:
        """The answers of a recording, to the requests that were recorded with it: once the answers
        that were queued before are used up. A request that is not in it fails the test, and one of
        it that nobody asks. `speed`: 1 is as recorded, 0 without pauses, none of which is longer
        than `longest_gap` seconds; `ignore`: JSON pointers to what may differ in requests (`/user`,
        `/messages/*/id`); `repeat`: the last of equal requests may be asked again; `max_age`,
        `stale`: how old it may be (`90d`), and whether one that is older is a warning or fails.
        Raises BadCassette, and LocalProtocolError for arguments that can't be used."""
        from .cassettes import opened  # few tests have one

        content = opened(
            path,
            speed=speed,
            longest_gap=longest_gap,
            ignore=ignore,
            repeat=repeat,
            max_age=max_age,
            stale=stale,
        )
        return self._queue(f"cassette({os.fspath(path)!r})", content).forever()

    def record(self, aws: AwsKey | None = None) -> "Recorder":
        """From now on the services themselves answer, with the keys that the environment had, and
        `aws` for Bedrock. The result keeps what they say."""
        from .cassettes import Recorder

        self.origin.recorder = Recorder(self.origin, self._before, aws)
        return self.origin.recorder

    def every_cut(self, *parts: str | Event, step: Step = "byte") -> Iterator[CutPlace]:
        """For each step of a loop the same answer, the same bytes, split in two at one place after
        the other; first in one piece. With pytest's fixture `subtests`, all places that fail are
        reported: `with subtests.test(cut=cut):`."""

        def answer(offset: int) -> Scripted:
            sizes = Cutting.of_sizes(offset, _REST) if offset else Cutting.whole()
            return self.say(*parts).cut(sizes)

        return places(answer, step, renew=self.origin.mounts.renew)

    def every_truncation(self, *parts: str | Event, step: Step = "byte") -> Iterator[CutPlace]:
        """For each step of a loop the same answer, the body of which ends at one place after the
        other, while HTTP says that it is complete. It is, where `CutPlace.complete` says so. As for
        `every_cut`, each can be a subtest."""

        def answer(offset: int) -> Scripted:
            return self.say(*parts).fails(EndAfter(offset)).times(1)

        return places(answer, step, renew=self.origin.mounts.renew)

    # What was asked

    @property
    def requests(self) -> list[Received]:
        """The requests that asked a model, or were refused, in order."""
        return [each for each in self._received if not each.other]

    @property
    def other_requests(self) -> list[Received]:
        """All others: for the list of models, for a count of tokens. They use no answer."""
        return [each for each in self._received if each.other]

    @property
    def last(self) -> Received:
        """The last one of `requests`. Raises LocalProtocolError if there is none."""
        requests = self.requests
        if not requests:
            raise LocalProtocolError("no request has come yet")
        return requests[-1]

    @property
    def texts(self) -> list[str]:
        """What the user said last, in each of `requests`."""
        return [each.text for each in self.requests]

    @property
    def _received(self) -> list[Received]:
        return self.origin.received[self._forgotten :]

    def clear(self) -> None:
        """Forget the requests that came, and the answers that nobody asked for."""
        self._forgotten = len(self.origin.received)
        self._queued.clear()

    def reset(self) -> None:
        """As if it had just been started, at the same address."""
        self.clear()
        self._forgotten = 0
        self.origin.renew()

    def findings(self) -> list[str]:
        """What clients did wrong, as far as a server sees it: asked again too early, too often, or
        for nothing; waited for what was over. Whether they believed half an answer it can't see."""
        self.settle(0.5)
        return findings(self._received)

    def complaints(self) -> list[str]:
        """What must not be at the end of a test: answers that nobody asked for, requests without an
        answer, errors in answer functions."""
        return complaints(self._queued, self._received)

    def settle(self, patience: float) -> list[Received]:
        """Wait up to `patience` seconds until all responses are over. Those that are not."""
        self._portal.call(self.origin.settle, patience)
        return [each for each in self._received if not each.settled]

    def timeline(self) -> str:
        """A page of HTML that shows all answers on one axis, with their cuts and faults. Raises
        LocalProtocolError if the server was not told to keep them (`--tokenwire-timeline`)."""
        from .drawing import drawn  # few tests want it

        if not self.origin.keeps_wire:
            raise LocalProtocolError("nothing was kept for a timeline: give --tokenwire-timeline")
        return drawn(self.requests)

    def section(self) -> str:
        """What happened, in a few lines."""
        return section(self._queued, self._received)


_REST = 1 << 62
"""More bytes than any body has."""

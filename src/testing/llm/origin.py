"""The server of a test: every format on one origin, and the answers that were queued."""

import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketStream

from ...protocols.answering import events_of
from ...protocols.chat import Chat
from ...protocols.echo import echo
from ...protocols.errors import Refused, RemoteProtocolError, TransportError
from ...protocols.limits import Limits
from ...protocols.provider import Provider
from ...protocols.refusing import refuse
from ...protocols.service import Service
from ...protocols.toolkit.http import Request
from ...replay.tape import Tape
from ...server.embedded import Server
from ...server.faults import Cutting
from ...server.scripts import Plan, Script
from .answering import RawAnswer, ScriptedAnswer, Tracked
from .answers import Function, Raw, Refusal, Said, Scripted
from .mounting import Mounts, Reading, Readings, mounted
from .queue import Queue
from .received import Received
from .saying import saying

if TYPE_CHECKING:
    from .cassettes import Recorder

__all__ = ["Origin"]

_connection: ContextVar[int] = ContextVar("connection")
"""The number of the connection that a task serves."""


class Origin(Server):
    """The server. `received` is what it was asked, `queue` has the answers; `clock`: seconds."""

    def __init__(self, queue: Queue, clock: Callable[[], float] = time.monotonic) -> None:
        shown = mounted("openai")
        super().__init__(
            shown,
            echo(shown),
            address=("127.0.0.1", 0),
            key=None,
            cutting=Cutting.per_event(),
            fault=None,
            faults=(),
            ssl_context=None,
            public_url=None,
            cors=None,
            request_limit=Limits().document,
            patience=60,
            now=time.time,
            on_error=None,
        )
        self.queue = queue
        self.recorder: Recorder | None = None
        """Answers instead of the queue, if there is one."""
        self.mounts = Mounts()
        self.received: list[Received] = []
        self.stopping = False
        self.keeps_wire = False
        """Whether all that goes over the wire is kept, for a timeline."""
        self._clock = clock
        self._began = clock()
        self._news = anyio.Event()

    def renew(self) -> None:
        """Forget what happened; the time begins anew."""
        self.received = []
        self._began = self._clock()
        self.mounts.renew()

    def seconds(self) -> float:
        """Since the test began."""
        return self._clock() - self._began

    def settled(self) -> None:
        """A response is over."""
        self._news.set()

    async def settle(self, patience: float) -> None:
        """Wait until all responses are over, but not longer than `patience` seconds."""
        with anyio.move_on_after(patience):
            while not all(each.settled for each in self.received):
                self._news = anyio.Event()
                await self._news.wait()

    async def _connected(self, transport: SocketStream) -> None:
        _connection.set(self.connections + 1)
        await super()._connected(transport)

    def script(self, request: Request, plan: Plan) -> Script:
        received = Received(
            request,
            number=len(self.received) + 1,
            at=self.seconds(),
            connection=_connection.get(),
        )
        if self.keeps_wire:
            received.tape = Tape(request, clock=self._clock)
        self.received.append(received)
        script = self._script(received)
        script.track(received, self)
        return script

    def _script(self, received: Received) -> Tracked:
        readings = Readings(self.mounts, received.request, self.site.base_url_for)
        reading = readings.of(None)
        received.provider = reading.provider.name
        received.other = reading.chat is None
        received.chat = readings.chat(None)
        if self.recorder is not None:
            return self.recorder.answer_to(received, readings)
        scripted = self.queue.cassette()
        if scripted is not None:
            return self._played(received, readings, scripted)
        if not received.other:
            scripted = self.queue.take(readings.chat)
        if scripted is not None:
            return self._scripted(received, readings.of(scripted.wanted.provider), scripted)
        if isinstance(reading.chat, Chat):
            reading = reading.refused(self._unexpected())
            received.problems.append("no answer was queued for it")
        elif reading.chat is not None:
            received.problems.append(f"it was refused: {reading.chat.message}")
        return ScriptedAnswer(received.request, Plan(), reading, self.answer, report=self.report)

    def _unexpected(self) -> Refused:
        """What a client is told for whose request no answer was queued."""
        left = [repr(one) for one in self.queue.waiting()]
        queued = f" (queued, but not for it: {', '.join(left)})" if left else ""
        error = refuse(Refused, 500, f"the test has queued no answer for this request{queued}")
        error.should_retry = False
        return error

    def _scripted(self, received: Received, reading: "Reading", scripted: Scripted) -> Tracked:
        assert isinstance(reading.chat, Chat)
        received.answer = scripted
        received.chat = reading.chat
        received.provider = reading.provider.name
        plan = scripted.plan()
        if isinstance(scripted.content, Raw):
            return RawAnswer(received.request, plan, scripted.content, scripted)
        if scripted.on_wire is not None:
            scripted.on_wire(received, wire(reading.provider, received.request, scripted))

        def report(error: Exception) -> Refused:
            if not isinstance(error, RemoteProtocolError | TransportError):
                received.problems.append(f"{scripted} raised {error!r}{place_of(error)}")
            return self.report(error)

        return ScriptedAnswer(
            received.request,
            plan,
            reading,
            said_by(scripted, reading.provider),
            report=report,
            scripted=scripted,
        )

    def _played(self, received: Received, readings: Readings, scripted: Scripted) -> Tracked:
        from .cassettes import played  # few tests have one

        received.answer = scripted
        return played(self, received, readings, scripted)


def said_by(scripted: Scripted, provider: Provider) -> Function:
    """The answer function of a queued answer."""
    content = scripted.content
    if isinstance(content, Said):
        return lambda chat: saying(content.items, chat, provider.dialect)
    if isinstance(content, Refusal):
        return _refusing(content)
    assert callable(content)
    return content


def _refusing(content: Refusal) -> Function:
    def answer(chat: Chat) -> str:
        raise content.error()

    return answer


def wire(provider: Provider, request: Request, scripted: Scripted) -> list[bytes]:
    """The body of the first answer of a service, in pieces."""
    responder = Service(provider).responder()
    chat = responder.receive_request(request)
    assert chat is not None
    events = events_of(said_by(scripted, provider), provider.dialect, chat, request)
    return [*filter(None, map(responder.send, events)), *filter(None, (responder.end(),))]


def place_of(error: Exception) -> str:
    """Where an error was raised: the last line of the test's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_SOURCES)]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


_SOURCES = str(Path(__file__).parents[2])

"""A format as the checks of `check_dialect` see it: what to ask, and what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, TypeAlias

from hypothesis import strategies as st

from ..protocols.chat import Chat, as_chat
from ..protocols.events import End, Event, Finish, Native, Start, Text, Unrecognized
from ..protocols.exchange import Exchange
from ..protocols.limits import Limits
from ..protocols.provider import Provider
from .driving import Ending, Response
from .recording import Recorded, record
from .strategies import numbered

__all__ = [
    "Sent",
    "Subject",
    "hears_the_same",
    "repeats_what_it_can_say",
    "understands_the_same",
]


def hears_the_same(chat: Chat, answer: list[Event]) -> list[Event]:
    """Nothing is heard otherwise than it was said."""
    return answer


def understands_the_same(provider: Provider, chat: Chat) -> Chat:
    """Nothing is understood otherwise than it was asked, but for the model, which has its own
    name."""
    return chat.replace(model=provider.model(chat.model))


def repeats_what_it_can_say(
    provider: Provider, chat: Chat, events: list[Event]
) -> list[Event] | None:
    """The events that the format can say, but for native forms, after a text: by that, any client
    knows the body for an answer, whatever comes next. The parts are numbered anew."""
    says = provider.dialect.says_to(chat)
    said = [event for event in events if type(event) in says and not isinstance(event, End)]
    said = [event for event in said if not (isinstance(event, Unrecognized) and event.place)]
    start = [event for event in said if isinstance(event, Start)][:1]
    first: list[Event] = [Text(".")] if Text in says else []
    rest = [event for event in said if not isinstance(event, Start | Native)]
    return [*start, *numbered([*first, *rest]), End(provider.required_evidence)]


Proven: TypeAlias = Callable[["Sent", int, Ending], bool | None]
"""Whether the first so many bytes of the last body, ended like this, hold the required evidence;
None: it is not said."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Subject:
    """A provider, and one way of asking it. All but `provider` and `short` has a default, which is
    right for a format that loses nothing."""

    provider: Provider
    short: list[Event]
    """An answer to `as_chat("hi", **asked)` that is short enough to try every place of it."""
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    """What each chat must have: the model, above all."""
    questions: st.SearchStrategy[Chat] | None = None
    """Small chats, one for each way in which the answer differs. None: `as_chat("hi", **asked)`."""
    hears: Callable[[Chat, list[Event]], list[Event]] = hears_the_same
    """The events that the client half makes of an answer to a chat."""
    understands: Callable[[Provider, Chat], Chat] = understands_the_same
    """The chat that the server half makes of the request."""
    proven: Proven | None = None
    """None: at the event that is the evidence, or not before it."""
    signed: list[Event] | None = None
    """An answer to the same chat with native forms (`Native`), if the format has any: they have to
    come back equal in the next request."""
    unrecognized: st.SearchStrategy[bytes] | None = None
    """Lines or events that the format leaves to others."""
    form: tuple[bytes, bytes] | None = None
    """What stands before and after a text in an event of one line, without its line end: the form
    that tests of limits fill. None: no event of the format is one line."""

    # What a fuzzer begins with, in addition to `short`.
    examples: tuple[list[Event], ...] = ()
    """Other answers to the same chat, with events that `short` lacks."""
    seeds: tuple[tuple[bytes, ...], ...] = ()
    """Answers as bytes, of kinds that the server half does not write: a body for each response, or
    for the first ones."""
    words: tuple[bytes, ...] = ()
    """Words of the format, of answers and requests, that a fuzzer would not find by itself."""
    state: Any = None
    """What a service already keeps (`Service.state`), for requests that need it. None: nothing."""
    repeats: Callable[[Provider, Chat, list[Event]], list[Event] | None] = repeats_what_it_can_say
    """The events that a client received, from whatever bytes, as an answer that the server half can
    write; None: it can't. That answer is then heard as `hears` says."""

    def chats(self) -> st.SearchStrategy[Chat]:
        """The questions."""
        if self.questions is not None:
            return self.questions
        return st.just(as_chat("hi", **self.asked))

    def exchange(self, chat: Chat, limits: Limits | None = None) -> Exchange:
        """An exchange whose random strings are the same each time."""
        return self.provider.exchange(chat, limits=limits, random=Random(0))  # noqa: S311

    def send(self, chat: Chat, answer: list[Event]) -> "Sent":
        """What is sent if `chat` is answered with `answer`."""
        return Sent(chat, answer, record(self.provider, chat, answer))

    def send_short(self) -> "Sent":
        """What is sent of the short answer."""
        return self.send(as_chat("hi", **self.asked), self.short)

    def is_proven(self, sent: "Sent", size: int, ending: Ending) -> bool | None:
        """Whether the first `size` bytes of the last body hold the required evidence."""
        if self.proven is not None:
            return self.proven(sent, size, ending)
        required = self.provider.required_evidence
        if size >= len(sent.body) and (ending == "eof" or required in ("terminator", "finish")):
            return True
        if required in ("body_end", "connection_close"):
            return None if ending == "eof" and size else False
        # The last event that can be the evidence: before its bytes begin nothing is proven.
        kinds = (End,) if required == "terminator" else (End, Finish)
        places = [n for n, event in enumerate(sent.answer) if isinstance(event, kinds)]
        finishes = [n for n in places if isinstance(sent.answer[n], Finish)]
        wanted = sent.chat.n or 1
        if required == "finish" and len(finishes) >= wanted:
            first = finishes[wanted - 1]
        else:
            first = places[-1]
        starts = [0, *sent.ends()]
        return False if size <= starts[first] else None


@dataclass(frozen=True)
class Sent:
    """An answer to a chat, and what is sent of it."""

    chat: Chat
    answer: list[Event]
    recorded: list[Recorded]

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """The body of each response."""
        return tuple(each.body for each in self.recorded)

    @property
    def body(self) -> bytes:
        """The body of the last response."""
        return self.recorded[-1].body

    def responses(self, body: bytes | None = None, ending: Ending = "eof") -> list[Response]:
        """The responses, the last one with another `body`."""
        *before, last = self.recorded
        body = last.body if body is None else body
        return [
            *(Response(each.body, each.status, each.headers) for each in before),
            Response(body, last.status, last.headers, ending),
        ]

    def ends(self) -> list[int]:
        """Where each piece of the last body ends."""
        return list(accumulate(map(len, self.recorded[-1].pieces)))

    def end_of(self, event: Event) -> int:
        """Where the bytes of an event of the answer end."""
        return self.ends()[next(n for n, e in enumerate(self.answer) if e is event)]

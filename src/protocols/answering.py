"""Answer functions, with which a server half answers: what they may say, and what that means.

An answer function is given the chat, and says a text, pieces of text, or events. It may return or
yield them, and be `async`. If it has a second parameter without a default, that is the `Request`.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Protocol, TypeAlias, cast

from .chat import Chat
from .dialect import Dialect
from .errors import LocalProtocolError
from .events import Event, Finish, Text
from .toolkit.http import Request

__all__ = [
    "AnswerFunction",
    "Answered",
    "RequestAnswerFunction",
    "Said",
    "Told",
    "answer_with",
    "events_of",
    "said_at_once",
]

Said: TypeAlias = Event | str
"""A piece of an answer: an event, or a text, which is short for `Text`."""

Answered: TypeAlias = str | Iterable[Said] | AsyncIterable[Said]
"""What an answer function says: a whole answer, or the pieces of one."""


AnswerFunction: TypeAlias = Callable[[Chat], Answered | Awaitable[Answered]]
"""A function that answers a chat. An answer with an event in it is complete if its last event is
`End`; one of nothing but text is complete when the function is done."""


class RequestAnswerFunction(Protocol):
    """An answer function that is given the request, too. A class of its own, as type checkers
    understand a lambda only where one callable is expected."""

    def __call__(self, chat: Chat, request: Request, /) -> Answered | Awaitable[Answered]:
        """What is said."""
        ...


def answer_with(
    function: AnswerFunction | RequestAnswerFunction, chat: Chat, request: Request
) -> Answered | Awaitable[Answered]:
    """What `function` returns for `chat`, which `request` asks."""
    call: Callable[..., Answered | Awaitable[Answered]] = function
    return call(chat, request) if _wants_request(function) else call(chat)


def _wants_request(function: AnswerFunction | RequestAnswerFunction) -> bool:
    from importlib import import_module  # few programs answer
    from importlib.util import find_spec
    from inspect import signature

    # Python 3.14 would evaluate annotations, which may name what only type checkers know.
    lazy = find_spec("annotationlib") is not None
    how = {"annotation_format": import_module("annotationlib").Format.FORWARDREF} if lazy else {}
    try:
        parameters = signature(function, **how).parameters.values()
    except (TypeError, ValueError):  # some functions of C have none
        return False
    needed = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.default is each.empty
    ]
    return len(needed) > 1


def said_at_once(answered: object) -> Iterable[Said]:
    """The pieces of an answer that needs no event loop.

    Raises LocalProtocolError for one that does, and for what is no answer.
    """
    if isinstance(answered, str):
        return (answered,)
    if isinstance(answered, Iterable):
        return cast(Iterable[Said], answered)
    if isinstance(answered, Awaitable | AsyncIterable):
        if isinstance(answered, Coroutine):  # it would warn that nobody awaited it
            answered.close()
        raise LocalProtocolError("an async answer function needs a server: see tokenwire.server")
    kind = type(answered).__name__
    raise LocalProtocolError(f"the answer function gave {kind}: give text, or events")


class Told:
    """The events of an answer that may be text."""

    def __init__(self, dialect: Dialect, chat: Chat) -> None:
        self._dialect = dialect
        self._chat = chat
        self._has_text = False
        self._has_events = False

    def event(self, said: Said) -> Event:
        """The event that `said` is."""
        if isinstance(said, str):
            self._has_text = True
            return Text(said)
        self._has_events = True
        return said

    def rest(self) -> Iterator[Event]:
        """What an answer of nothing but text lacks at its end."""
        if self._has_events or not self._has_text:
            return
        if Finish in self._dialect.says_to(self._chat):
            yield Finish(self._dialect.reason("stop"), "stop")
        yield self._dialect.end()


def events_of(
    function: AnswerFunction | RequestAnswerFunction,
    dialect: Dialect,
    chat: Chat,
    request: Request,
) -> Iterator[Event]:
    """The events of an answer that needs no event loop. Raises LocalProtocolError."""
    told = Told(dialect, chat)
    for said in said_at_once(answer_with(function, chat, request)):
        yield told.event(said)
    yield from told.rest()

"""What a service answers, as the server half of the caller's format can write it."""

import re
from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from ..protocols.chat import Chat
from ..protocols.dialect import Dialect
from ..protocols.encoding import accepted_id
from ..protocols.errors import ContentFiltered, Refused
from ..protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from .matrix import EVENTS, rule_of
from .sealing import StateSealer

__all__ = ["Answering"]

_PREFIXES = {
    "openai_chat": "chatcmpl-",
    "openai_responses": "resp_",
    "anthropic": "msg_",
}
"""How ids of answers begin."""
_PLAIN = (Text, Reasoning, Image, Citation)
"""Events that are written as they are, if they can be."""
_SHORT = re.compile(r".{1,64}", re.DOTALL)
"""What an id of a call may be in every format; one that takes less replaces it itself."""
_STOPPED = ("stop_sequence", "STOP_SEQUENCE")
"""The finish reasons that tell a stop sequence from the end."""
_WRITTEN = {"openai_chat": ("stop", "length", "tool_calls", "content_filter", "function_call")}
"""The finish reasons that a format's own service writes, where it reads those of others, too."""
_NO_FILTER = ("ollama", "cohere")
"""Formats without a finish reason for a filter."""
_PAUSED = "pause_turn"
"""Anthropic's finish reason by which the turn goes on: callers of other formats can't go on."""
_OTHER = {"gemini": "OTHER"}
"""The finish reasons for one that is not known."""


class Answering:
    """Makes of the events of a service what the server half of the caller's format can write.

    `chat` is what the caller asked, `model` what the caller calls the model. `unique`: text for the
    id of an answer that has none. `estimate`: how many tokens the request may have, for a format
    that says so first (0: not known). `sealer` is that of the server half: it is told of the parts.

    `losses` are the rows of the matrix by which something was left out, with how often;
    `unrecognized` counts what was not understood. `failure`: the answer is one that the caller's
    format can only report as an error; nothing more is to be written.
    """

    def __init__(
        self,
        front: Dialect,
        chat: Chat,
        model: str,
        *,
        unique: str = "1",
        estimate: int = 0,
        sealer: StateSealer | None = None,
    ) -> None:
        self.losses: dict[str, int] = {}
        self.unrecognized = 0
        self.failure: Refused | None = None
        self._front = front
        self._chat = chat
        self._model = model
        self._unique = unique
        self._estimate = estimate if front.name == "anthropic" else 0
        self._sealer = sealer
        self._ids: dict[tuple[int, int], str] = {}  # of calls, by choice and number
        self._left: set[tuple[int, int]] = set()  # calls that are left out
        self._cut: set[int] = set()  # choices with calls that are not complete
        self._refused: set[int] = set()  # choices that are refusals
        self._finishes: list[Finish] = []  # that wait for the end
        self._held: dict[tuple[int, int], list[Event]] = {}  # calls that are not whole yet
        self._called: dict[tuple[int, int], str] = {}  # the names of those that are open
        # What these begin with, if that is an empty object.
        self._bare: dict[tuple[int, int], ToolCallDelta | None] = {}
        self._begun = self._counted = self._guessed = False
        self._flows = False  # something was said after the start
        self._plain = frozenset(
            kind
            for kind in _PLAIN
            if kind in front.says and rule_of(EVENTS[kind], front.name) == "="
        )

    def events(self, batch: list[Event]) -> list[Event]:
        """What to write of a batch of events."""
        if len(batch) == 1 and self._goes_on(batch[0]):
            return batch
        ordered = _thoughts_first(batch)
        for event in ordered:  # first, as the native form of a part may precede it
            if isinstance(event, ToolCallStart):
                self._name(event)
            elif isinstance(event, Text) and self._sealer is not None:
                self._sealer.texts.add((event.index, event.part))
        said: list[Event] = []
        for event in ordered:
            if self.failure is not None:
                break
            if self._flows and type(event) in self._plain and not getattr(event, "index", 0):
                said.append(event)  # most events
            else:
                said += self._own(event)
        return said

    def _goes_on(self, event: Event) -> bool:
        """Whether an event is a text as most are, which is written as it is."""
        if not isinstance(event, Text) or event.index or self.failure is not None:
            return False
        if self._sealer is not None:
            self._sealer.texts.add((0, event.part))
        return self._flows and Text in self._plain

    def _name(self, call: ToolCallStart) -> None:
        id = call.id or f"call_{len(self._chat.messages)}_{call.call}"
        if call.index and not call.id:
            id += f"_{call.index}"
        id = self._ids[call.index, call.call] = accepted_id(id, _SHORT)
        if self._sealer is not None:
            self._sealer.calls[call.index, call.part] = id

    def _own(self, event: Event) -> Iterator[Event]:
        if isinstance(event, Unrecognized):
            self.unrecognized += 1
            return
        if isinstance(event, Start):
            yield self._start(event.id)
            return
        if not self._begun:
            yield self._start("")
        if isinstance(event, Usage):
            self._counted = True
        elif self._estimate and not (self._counted or self._guessed):
            self._guessed = True
            yield Usage(input_tokens=self._estimate)
        self._flows = self._flows or not isinstance(event, Usage)
        if self._says(event):
            yield from self._changed(event)

    def _start(self, id: str) -> Start:
        self._begun = True
        prefix = _PREFIXES.get(self._front.name, "")
        id = id or self._unique
        return Start(id if id.startswith(prefix) else f"{prefix}{id}", self._model)

    def _says(self, event: Event) -> bool:
        """Whether the front can say an event; if not, it is counted."""
        name = self._row(event)
        if name is None:
            return True
        if name:
            self.losses[name] = self.losses.get(name, 0) + 1
        return False

    def _row(self, event: Event) -> str | None:
        """The row by which an event is left out; empty if it is a piece of something that is; None:
        it is said."""
        front, index = self._front, getattr(event, "index", 0)
        name = EVENTS[type(event)]
        if type(event) not in front.says or rule_of(name, front.name) != "=":
            return name
        if index and rule_of("choices", front.name) != "=":
            return "choices" if isinstance(event, Finish) else ""
        match event:
            case LogProbs() if event.of != "content":
                of = "token_logprobs_of"
                return None if rule_of(of, front.name) == "=" else of
            case ToolCallStart(custom=True) if rule_of("called_custom", front.name) != "=":
                self._left.add((index, event.call))
                return "called_custom"
            case ToolCallDelta() | ToolCallEnd() if (index, event.call) in self._left:
                return ""
            case ToolCallEnd(complete=False) if rule_of("cut_call", front.name) != "=":
                self._cut.add(index)
                self._held.pop((index, event.call), None)
                return "cut_call"
            case _:
                return None

    def _changed(self, event: Event) -> Iterator[Event]:
        match event:
            case Refusal() if self._front.name == "anthropic":
                self._refused.add(event.index)
                yield Text(event.text, event.part, event.index)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                yield from self._call(event)
            case Native() if (held := self._held_part(event)) is not None:
                held.append(event)
            case Finish() if event.kind == "error":
                pass  # the exchange raises it
            case Finish() if self._fails(event):
                pass
            case Finish() if self._front.whole_calls:
                self._finishes.append(event)  # a call may yet turn out to be cut
            case Finish():
                yield self._finish(event)
            case End():
                yield from map(self._finish, self._finishes)
                if self._guessed and not self._counted:
                    yield Usage()  # the guess is not repeated as the truth
                yield event
            case _:
                yield event

    def _call(self, event: ToolCallStart | ToolCallDelta | ToolCallEnd) -> Iterator[Event]:
        """A piece of a call; where only whole calls can be said, they are held back until then."""
        key = event.index, event.call
        if not isinstance(event, ToolCallDelta):
            event = msgspec.structs.replace(event, id=self._ids.get(key, event.id))
        if not self._front.whole_calls:
            yield from self._piece(key, event)
        elif isinstance(event, ToolCallEnd):
            yield from self._held.pop(key, ())
            yield event
        else:
            self._held.setdefault(key, []).append(event)

    def _piece(
        self, key: tuple[int, int], event: ToolCallStart | ToolCallDelta | ToolCallEnd
    ) -> Iterator[Event]:
        """The same where pieces are written. What they can't take back, its end may: an empty
        object before the arguments, which waits for them, and half a name (quirks 83, 84)."""
        match event:
            case ToolCallStart():
                self._called[key] = event.name
            case ToolCallDelta() if key not in self._bare:
                self._bare[key] = event if event.arguments == "{}" else None
                if event.arguments == "{}":
                    return
            case ToolCallDelta():
                if (bare := self._bare[key]) is not None and event.arguments[:1] != "{":
                    yield bare
                self._bare[key] = None
            case ToolCallEnd():
                if (bare := self._bare.pop(key, None)) is not None:
                    yield bare
                if self._chat.stream and event.name != self._called.pop(key, event.name):
                    said = "the name of a tool call came in pieces, which can't be sent on"
                    self.failure = Refused(said, code="split_name")
                    return
            case _:
                assert_never(event)
        yield event

    def _held_part(self, native: Native) -> list[Event] | None:
        """The events of the call that a native form is of, if that is held back."""
        for (index, _), held in self._held.items():
            if index == native.index and getattr(held[0], "part", None) == native.part:
                return held
        return None

    def _fails(self, finish: Finish) -> bool:
        front = self._front.name
        if finish.kind == "content_filter" and front in _NO_FILTER:
            said = finish.detail or "the answer was stopped by a content filter"
            self.failure = ContentFiltered(said, code=finish.reason)
        elif finish.reason == _PAUSED and front != "anthropic":
            said = "the model has paused, which only callers of the format anthropic can go on from"
            self.failure = Refused(said, code="paused")
        return self.failure is not None

    def _finish(self, finish: Finish) -> Finish:
        """A finish in the words of the front."""
        front, known = self._front, self._front.finish
        if front.name in _WRITTEN:
            known = {word: known[word] for word in _WRITTEN[front.name]}
        if finish.index in self._cut and finish.kind != "length":
            return Finish(front.reason("length"), "length", "", finish.index)
        if finish.index in self._refused and finish.kind != "length":
            return Finish("refusal", "content_filter", finish.detail, finish.index)
        if not finish.kind:
            word = finish.reason if finish.reason in known else _OTHER.get(front.name, "")
            return msgspec.structs.replace(finish, reason=word or finish.reason)
        word = next((word for word in _STOPPED if word in known), "")
        if not (word and finish.kind == "stop" and finish.detail in self._chat.stop):
            word = finish.reason
        if known.get(word) != finish.kind:
            word = front.reason(finish.kind)
        return msgspec.structs.replace(
            finish, reason=word if word in known else front.reason("stop")
        )


def _thoughts_first(batch: Iterable[Event]) -> list[Event]:
    """The events, with each native form of a thought after it, where other formats have a place for
    it."""
    ordered: list[Event] = []
    for event in batch:
        ordered.append(event)
        match ordered[-2:]:
            case [Native() as native, Reasoning() as thought] if _place(native) == _place(thought):
                ordered[-2:] = thought, native
            case _:
                pass
    return ordered


def _place(event: Native | Reasoning) -> tuple[int, int]:
    return event.index, event.part

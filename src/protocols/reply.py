"""The fold of an answer: returned by `ask()` and `read()`, and kept in an error's `answer`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, assert_never

from .chat import (
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)
from .events import (
    Citation,
    End,
    Event,
    Evidence,
    Finish,
    FinishKind,
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
from .toolkit.http import Headers, get_header

ChoiceEvent: TypeAlias = (
    Text
    | Reasoning
    | Refusal
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Image
    | Citation
    | Native
    | LogProbs
    | Finish
)

__all__ = ["Choice", "CollectedToolCall", "Reply"]


class CollectedToolCall:
    """A tool call. Run it only if it is `complete`: then the answer is shown to be whole, and the
    arguments are one strict JSON object (any text, if the call is `custom`)."""

    def __init__(self, id: str, name: str, *, custom: bool = False) -> None:
        self.id = id
        self.name = name
        self.custom = custom
        self.complete = False
        self._arguments: list[str] = []

    @property
    def arguments(self) -> str:
        """The arguments as text, as far as they have been received."""
        return "".join(self._arguments)

    def result(self, content: str | Sequence[Part], failed: bool = False) -> Message:
        """The tool message that answers this call. `failed`: the tool failed."""
        return ToolCall(self.id, self.name, "").result(content, failed)

    def add(self, event: ToolCallDelta | ToolCallEnd) -> None:
        """Add the next event of this call."""
        match event:
            case ToolCallDelta():
                self._arguments.append(event.arguments)
            case ToolCallEnd():
                self.id, self.name = event.id, event.name  # a service may send them late
                self._arguments = [event.arguments]
                self.complete, self.custom = event.complete, event.custom
            case _:
                assert_never(event)

    def __repr__(self) -> str:
        return f"<{self.name}({self.arguments}) id={self.id!r} complete={self.complete}>"


class _PartOf:
    """What the events of one part of a choice have said."""

    __slots__ = ("call", "images", "native", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.images: list[Image] = []
        self.call: tuple[int, CollectedToolCall] | None = None
        self.native: Native | None = None

    def parts(self) -> Iterator[Part]:
        """This part. A native form makes it a single one; without one, each kind of text is a part
        of its own."""
        native = self.native
        text, thought, refusal = map("".join, (self.text, self.reasoning, self.refusal))
        if native is not None:
            native = Native(native.dialect, native.raw)  # its part and index are those of this part
        if self.call is not None:
            _, call = self.call
            if call.complete:  # no service accepts half a call
                yield ToolCall(call.id, call.name, call.arguments, call.custom, native=native)
        elif self.images:
            for image in self.images if native is None else self.images[:1]:
                yield ImagePart(image.data_url, native=native)
        elif native is None:
            if thought:
                yield ReasoningPart(thought)
            if text:
                yield TextPart(text)
            if refusal:
                yield RefusalPart(refusal)
        elif self.reasoning:
            yield ReasoningPart(thought, native)
        elif self.text or self.refusal:
            yield TextPart(text + refusal, native=native) if text else RefusalPart(refusal, native)
        else:
            yield Opaque(native)

    def events(self, number: int, index: int) -> Iterator[Event]:
        """This part as events, each kind of text in one piece."""
        thought, text, refusal = map("".join, (self.reasoning, self.text, self.refusal))
        if thought:
            yield Reasoning(thought, number, index)
        if text:
            yield Text(text, number, index)
        if refusal:
            yield Refusal(refusal, number, index)
        yield from self.images
        if self.call is not None:
            place, call = self.call
            yield ToolCallStart(place, call.id, call.name, call.custom, number, index)
            if call.arguments:
                yield ToolCallDelta(place, call.arguments, index)
        if self.native is not None:
            yield self.native


class Choice:
    """One of the answers to a chat (`Chat.n`; usually there is one)."""

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.finish: Finish | None = None
        """Why it ended; None if the service never said."""
        self.images: list[Image] = []
        self.citations: list[Citation] = []
        self.logprobs: list[LogProbs] = []
        self._parts: dict[int, _PartOf] = {}
        self._calls: dict[int, CollectedToolCall] = {}

    @property
    def text(self) -> str:
        """The text."""
        return "".join(piece for part in self._in_order() for piece in part.text)

    @property
    def reasoning(self) -> str:
        """What the model thought, as far as the service shows it."""
        return "".join(piece for part in self._in_order() for piece in part.reasoning)

    @property
    def refusal(self) -> str:
        """The text in which the model declined."""
        return "".join(piece for part in self._in_order() for piece in part.refusal)

    @property
    def tool_calls(self) -> list[CollectedToolCall]:
        """The tool calls, in the order in which they began."""
        return list(self._calls.values())

    @property
    def natives(self) -> list[Native]:
        """The native forms of its parts, in their order."""
        return [part.native for part in self._in_order() if part.native is not None]

    @property
    def finish_reason(self) -> str | None:
        """Why it ended, as the service spells it; None if the service never said."""
        return None if self.finish is None else self.finish.reason

    @property
    def finish_kind(self) -> FinishKind:
        """The meaning of the finish reason: see `Finish.kind`."""
        return self.finish.kind if self.finish is not None else ""

    def message(self) -> Message:
        """The assistant's message, for the next question: the parts in their order, with native
        forms. Of a truncated answer it has the text, and the calls that are complete."""
        parts = tuple(part for each in self._in_order() for part in each.parts())
        if all(part == TextPart(self.text) for part in parts):  # one, or none
            return Message("assistant", self.text)
        return Message("assistant", parts)

    def events(self) -> Iterator[Event]:
        """Its parts as events, one after the other, each text in one piece: what a format writes
        that sends an answer whole. Unlike `message()` it has calls that are not complete, too."""
        for number in sorted(self._parts):
            yield from self._parts[number].events(number, self.index)

    def add(self, event: ChoiceEvent) -> None:
        """Add the next event of this choice."""
        match event:
            case Text():
                self._part(event.part).text.append(event.text)
            case Reasoning():
                self._part(event.part).reasoning.append(event.text)
            case Refusal():
                self._part(event.part).refusal.append(event.text)
            case ToolCallStart():
                call = CollectedToolCall(event.id, event.name, custom=event.custom)
                self._calls[event.call] = call
                self._part(event.part).call = event.call, call
            case ToolCallDelta() | ToolCallEnd():
                self._calls.setdefault(event.call, CollectedToolCall("", "")).add(event)
            case Image():
                self.images.append(event)
                self._part(event.part).images.append(event)
            case Citation():
                self.citations.append(event)
            case Native():
                self._part(event.part).native = event
            case LogProbs():
                self.logprobs.append(event)
            case Finish():
                self.finish = event
            case _:
                assert_never(event)

    def _part(self, number: int) -> _PartOf:
        part = self._parts.get(number)
        if part is None:
            part = self._parts[number] = _PartOf()
        return part

    def _in_order(self) -> Iterator[_PartOf]:
        return (self._parts[number] for number in sorted(self._parts))


class Reply:
    """An answer. `text` and the like are those of choice 0; `choices` has all."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.unrecognized: list[Unrecognized] = []
        self.evidence: Evidence | None = None
        """What shows that the answer is complete; None: nothing does."""
        self.request_id: str | None = None
        """The service's id of the request, if the reply was read by a transport."""
        self.headers: Headers = []
        """All headers of the response that had the answer (the last one, if there were several), if
        the reply was read by a transport to its end. The errors of a failed answer have theirs."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Reply":
        """The fold of `events`."""
        reply = cls()
        for event in events:
            reply.add(event)
        return reply

    def add(self, event: Event) -> None:
        """Add the next event."""
        match event:
            case Start():
                self.id, self.model = event.id, event.model
            case Usage():
                self.usage = event
            case Unrecognized():
                self.unrecognized.append(event)
            case End():
                self.evidence = event.evidence
            case _:
                choice = self.choices.get(event.index)
                if choice is None:
                    choice = self.choices[event.index] = Choice(event.index)
                choice.add(event)

    def header(self, name: str) -> str | None:
        """The value of a response header as text, such as that of `x-ratelimit-remaining-requests`;
        None: there was none."""
        return get_header(self.headers, name.lower().encode())

    def message(self) -> Message:
        """The assistant's message of choice 0: what `Chat.then` adds to the conversation."""
        return self._first.message()

    def __repr__(self) -> str:
        what = f"finish_reason={self.finish_reason} evidence={self.evidence}"
        return f"<Reply {self.text[:60]!r} {what}>"

    @property
    def text(self) -> str:
        """The text of choice 0."""
        return self._first.text

    @property
    def reasoning(self) -> str:
        """What the model thought before choice 0."""
        return self._first.reasoning

    @property
    def refusal(self) -> str:
        """The refusal of choice 0."""
        return self._first.refusal

    @property
    def tool_calls(self) -> list[CollectedToolCall]:
        """The tool calls of choice 0."""
        return self._first.tool_calls

    @property
    def images(self) -> list[Image]:
        """The pictures of choice 0."""
        return self._first.images

    @property
    def citations(self) -> list[Citation]:
        """The sources of choice 0."""
        return self._first.citations

    @property
    def finish_reason(self) -> str | None:
        """Why choice 0 ended, as the service spells it."""
        return self._first.finish_reason

    @property
    def finish_kind(self) -> FinishKind:
        """The meaning of the finish reason: see `Finish.kind`."""
        return self._first.finish_kind

    @property
    def _first(self) -> Choice:
        return self.choices.get(0) or Choice()  # reading changes nothing

"""An answer, folded: what `ask()` and `read()` return, and what an error's `answer` holds."""

from collections.abc import Iterable
from typing import TypeAlias, assert_never

from .events import (
    Citation,
    End,
    Event,
    Evidence,
    Finish,
    Image,
    LogProbs,
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

ChoiceEvent: TypeAlias = (
    Text
    | Reasoning
    | Refusal
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Image
    | LogProbs
    | Finish
)

__all__ = ["Choice", "CollectedToolCall", "Reply"]


class CollectedToolCall:
    """A tool call. Run it only if `complete`: proven to be whole, and one strict JSON object."""

    def __init__(self, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self.complete = False
        self._arguments: list[str] = []

    @property
    def arguments(self) -> str:
        """The arguments as JSON text, as far as they came."""
        return "".join(self._arguments)

    def add(self, event: ToolCallDelta | ToolCallEnd) -> None:
        """Take in the next event of this call."""
        match event:
            case ToolCallDelta():
                self._arguments.append(event.arguments)
            case ToolCallEnd():
                self.id, self.name = event.id, event.name  # which may have come late
                self._arguments = [event.arguments]
                self.complete = event.complete
            case _:
                assert_never(event)

    def __repr__(self) -> str:
        return f"<{self.name}({self.arguments}) id={self.id!r} complete={self.complete}>"


class Choice:
    """One of the answers to a chat (`Chat.n`; mostly there is one)."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        """As the service spells it; None if it never came."""
        self.images: list[Image] = []
        self.logprobs: list[LogProbs] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, CollectedToolCall] = {}

    @property
    def text(self) -> str:
        """The text."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What the model thought, as far as the service tells."""
        return "".join(self._reasoning)

    @property
    def refusal(self) -> str:
        """The text by which the model declined."""
        return "".join(self._refusal)

    @property
    def tool_calls(self) -> list[CollectedToolCall]:
        """The tool calls in the order of their beginning."""
        return list(self._calls.values())

    def add(self, event: ChoiceEvent) -> None:
        """Take in the next event of this choice."""
        match event:
            case Text():
                self._text.append(event.text)
            case Reasoning():
                self._reasoning.append(event.text)
            case Refusal():
                self._refusal.append(event.text)
            case ToolCallStart():
                self._calls[event.call] = CollectedToolCall(event.id, event.name)
            case ToolCallDelta() | ToolCallEnd():
                self._calls.setdefault(event.call, CollectedToolCall("", "")).add(event)
            case Image():
                self.images.append(event)
            case LogProbs():
                self.logprobs.append(event)
            case Finish():
                self.finish_reason = event.reason
            case _:
                assert_never(event)


class Reply:
    """An answer in parts. Text and the like are those of choice 0; `choices` has all."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.citations: list[Citation] = []
        self.unrecognized: list[Unrecognized] = []
        self.evidence: Evidence | None = None
        """What proves that the answer is complete; None: it is not."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Reply":
        """The fold of `events`."""
        reply = cls()
        for event in events:
            reply.add(event)
        return reply

    def add(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case Start():
                self.id, self.model = event.id, event.model
            case Usage():
                self.usage = event
            case Citation():
                self.citations.append(event)
            case Unrecognized():
                self.unrecognized.append(event)
            case End():
                self.evidence = event.evidence
            case _:
                self.choices.setdefault(event.index, Choice()).add(event)

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
    def finish_reason(self) -> str | None:
        """Why choice 0 ended, as the service spells it."""
        return self._first.finish_reason

    @property
    def _first(self) -> Choice:
        return self.choices.get(0) or Choice()  # reading changes nothing

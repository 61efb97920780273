"""What became of a call: for its log line, the metrics and the traces."""

from math import inf

import msgspec

from ..protocols.events import End, Event, Finish, Reasoning, Start, Text, Usage

__all__ = ["Record", "Try"]


class Try(msgspec.Struct, frozen=True):
    """What became of one attempt: `result` is `complete`, or the kind of the error whose words are
    in `error`."""

    target: str
    result: str
    error: str = ""


class Record(msgspec.Struct):
    """What became of a call. Times are seconds of `time.monotonic`; names are those of the
    configuration. `id` may be the caller's own, `unique` is not. `looks_up`: whether it asks for
    what a service has kept, which uses nothing. `asked` is when the first target was asked,
    `answered_by` how the upstream calls the model; `held` counts the events that were held back."""

    id: str
    began: float
    unique: str = ""
    front: str = ""
    key: str = ""
    model: str = ""
    target: str = ""
    back: str = ""
    lane: str = ""
    attempts: int = 0
    tries: tuple[Try, ...] = ()
    status: int = 200
    outcome: str = ""
    characters: int = 0
    evidence: str = ""
    stream: bool = False
    looks_up: bool = False
    asked: float = inf
    first: float = inf
    ended: float = inf
    size: int = 0
    pings: int = 0
    held: int = 0
    usage: Usage | None = None
    estimated: bool = False
    limit: str = ""
    finishes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    unrecognized: int = 0
    error: str = ""
    answered_by: str = ""

    def note(self, event: Event) -> None:
        """The next event of the answer."""
        match event:
            case Text() | Reasoning():  # as most are
                self.characters += len(event.text)
            case Usage() if not self.looks_up:  # which was used when the answer was made
                self.usage = event
            case Start():
                self.answered_by = event.model
            case Finish():
                self.finishes += (event.reason,)
            case End():
                self.evidence = event.evidence
            case _:
                pass

    def used(self, expected: Usage) -> Usage | None:
        """What the call used; None: nothing. An answer that is yet to be made, in the background,
        will use what is `expected`, as far as is known."""
        if self.looks_up:
            return None
        told = None if self.usage is None else self.usage.output_tokens
        # What is told at the beginning of an answer that broke off is not all of it.
        if (self.evidence and told is not None) or not self.characters:
            later = self.outcome == "complete" and not (self.usage or self.finishes)
            return expected if later else self.usage
        self.estimated = True
        output = max(self.characters // 4, told or 0)
        self.usage = msgspec.structs.replace(self.usage or Usage(), output_tokens=output)
        return self.usage

"""Questions, outcomes and lines, for the tests of batches."""

from typing import Any

from tokenwire import PROVIDERS, End, Finish, Reply, Start, Text, Truncated, Usage
from tokenwire.batch.lines import Writer
from tokenwire.batch.outcomes import Outcome
from tokenwire.batch.rows import Question, Reader

READER = Reader(PROVIDERS["openai"], model="m")
WRITER = Writer()


def question(number: int = 1, custom_id: str = "", prompt: str = "Hello") -> Question:
    """A row."""
    row = {"prompt": prompt, **({"custom_id": custom_id} if custom_id else {})}
    return READER.value(number, row)


def answer(text: str = "Hi", *, whole: bool = True) -> Reply:
    """An answer, or the half of one."""
    reply = Reply.of([Start("c-1", "m"), Text(text)])
    if whole:
        reply.add(Usage(input_tokens=3, output_tokens=2, total_tokens=5))
        reply.add(Finish("stop", "stop"))
        reply.add(End("terminator"))
        reply.request_id = "req-1"
    return reply


def outcome(of: Question, kind: str = "complete", **fields: Any) -> Outcome:
    """What became of a row."""
    if kind == "complete":
        fields = {"reply": answer(), "evidence": "terminator", **fields}
    elif "error" not in fields:
        fields = {"error": Truncated("cut"), "partial": answer(whole=False), **fields}
    return Outcome(
        custom_id=of.custom_id, kind=kind, number=of.number, asked=of.asked, attempts=1, **fields
    )


def line(of: Question, kind: str = "complete", **fields: Any) -> bytes:
    """Its line, without the end."""
    return WRITER.line(outcome(of, kind, **fields))[:-1]

"""What a test is told of its server: what must not be, and what happened."""

from collections.abc import Iterator, Sequence

from ...protocols.toolkit.redaction import redact
from .queue import Queue
from .received import Received

__all__ = ["complaints", "section"]

_LONGEST = 2048
"""Bytes of a section."""
_MOST = _LONGEST // 16
"""Requests of which it may have a line."""
_LINE = 200
"""Characters of a message in it."""


def complaints(queue: Queue, requests: Sequence[Received]) -> list[str]:
    """What must not be at the end of a test."""
    return [*_problems(requests), *_unasked(queue)]


def _problems(requests: Sequence[Received]) -> Iterator[str]:
    for received in requests:
        for problem in received.problems:
            yield redact(f"{received!r}: {problem}", received.secrets())


def _unasked(queue: Queue) -> Iterator[str]:
    for number, scripted in enumerate(queue.all, 1):
        if scripted.left:
            asked = f"{scripted.asked} of {scripted.asked + scripted.left} times"
            how = asked if scripted.asked else "by nobody"
            yield f"answer {number}, {scripted!r}, was asked for {how}"
        if scripted.unused:
            yield f"answer {number}, {scripted!r}: nobody asked for {scripted.unused}"


def section(queue: Queue, requests: Sequence[Received]) -> str:
    """The requests, and what came of them; the last one's messages; what is still queued."""
    lines = [
        f"{received!r}" if received.answer is None else f"{received!r} by {received.answer!r}"
        for received in requests[-_MOST:]
    ]
    lines += [f"{'':4}{problem}" for received in requests for problem in received.problems]
    lines += [f"still queued: {scripted!r}" for scripted in queue.waiting()]
    chats = [received for received in requests if received.chat is not None]
    if chats:
        lines += [f"request {chats[-1].number} asks:", *_messages(chats[-1])]
    text = "\n".join(lines) or "no request came"
    # The end tells more than the beginning. Only that is searched for keys, as it takes long, but
    # in whole lines: of a key that is cut in two, a part could be left.
    shown = text[text.rfind("\n", 0, max(0, len(text) - _LONGEST)) + 1 :]
    secrets = {secret for received in requests for secret in received.secrets()}
    data = redact(shown, secrets).encode(errors="replace")
    if len(shown) == len(text) and len(data) <= _LONGEST:
        return data.decode()
    last = data[4 - _LONGEST :].partition(b"\n")[2]
    return "...\n" + last.decode()


def _messages(received: Received) -> Iterator[str]:
    assert received.chat is not None
    for message in received.chat.messages:
        text = message.text
        calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
        said = " ".join((text, *calls)).strip()
        yield f"{'':4}{message.role}: {said if len(said) <= _LINE else said[:_LINE] + '...'}"

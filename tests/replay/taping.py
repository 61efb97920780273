"""Cassettes for tests, made in memory."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tokenwire
from tokenwire import NO_RETRY, Clocks, TokenwireError
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.replay.cassette import Cassette, Ending, Head, Piece, Recording, Sent
from tokenwire.replay.redaction import Redactor, kept_headers
from tokenwire.testing import record
from tokenwire.testing.driving import Outcome
from tokenwire.transports.sync import Client

WORDS = "It is blue. Grüße, 世界"
SAID: list[tokenwire.Event] = [
    *(tokenwire.Text(word) for word in WORDS.split(" ")),
    tokenwire.Finish("stop", "stop"),
    tokenwire.End("terminator"),
]
PATIENT = Clocks(connect=30, first_event=30, idle=30)
QUICK = Clocks(connect=30, first_event=1, idle=0.5)
"""For a server that falls silent after an event. httpx waits for the longer of the two."""
SILENT = Clocks(connect=30, first_event=0.5)
"""For one that says nothing."""


def body_said(provider: str = "openai") -> bytes:
    """The body of an answer."""
    return bytes(recorded(PROVIDERS[provider]).body)


def recorded(provider: Provider) -> Any:
    """What goes over the network when `provider` is asked."""
    return record(provider, chat(provider), SAID)[-1]


def chat(provider: Provider) -> tokenwire.Chat:
    return tokenwire.as_chat("Why?", model=provider.default_model or "m")


def recording(
    sizes: Iterable[int] = (),
    *,
    provider: str = "openai",
    end: Ending = "eof",
    gap: float = 0,
    upto: int | None = None,
) -> Recording:
    """A recording of an answer, cut into pieces of these sizes; the last one has the rest."""
    made = recorded(PROVIDERS[provider])
    redactor = Redactor(made.request)
    sent = Sent(made.request.method, redactor.url(), redactor.headers(), redactor.body())
    body = made.body[:upto]
    pieces: list[Piece] = []
    for size in sizes:
        pieces.append(Piece(gap, body[:size]))
        body = body[size:]
    pieces.append(Piece(gap, body))
    head = Head(made.status, "1.1", "chunked", kept_headers(made.headers), 5.0)
    return Recording(sent, head, tuple(piece for piece in pieces if piece.data), end=end)


def cassette(*recordings: Recording, provider: str = "openai") -> Cassette:
    return Cassette(recordings or (recording(),), provider=provider)


def outcome(base_url: str | None = None, *, client: Any = None, **options: Any) -> Outcome:
    """The events and the error of a question that is asked once."""
    own = None if client else Client(retry=NO_RETRY)
    events: list[tokenwire.Event] = []
    options = {"model": "m", "clocks": PATIENT, **options}
    question = options.pop("question", "Why?")
    provider = options.pop("provider", "openai")
    try:
        with tokenwire.stream(
            provider, question, client=client or own, base_url=base_url, **options
        ) as answer:
            events.extend(answer)
    except TokenwireError as error:
        return Outcome(events, error)
    finally:
        if own is not None:
            own.close()
    return Outcome(events, None)


def steady(*times: float) -> Callable[[], float]:
    """A clock that tells these seconds one after the other, then the last one."""
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path

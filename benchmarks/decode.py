"""Decoding an OpenAI chat stream: CPU time an event, beside others, in one interleaved run.

    make bench        or: .venv/bin/python benchmarks/decode.py [--events 20000] [--rounds 5]

Everyone gets the same bytes in the same pieces, from memory, and must come to the same text:
tokenwire's exchange; the `openai` SDK over a transport that hands out the pieces; `httpx-sse` over
a response that does, with `json.loads`; a hand-written loop of `split` and `json.loads`; and, as
the floor, `split` with one typed msgspec decoder, which checks nothing.

Times are the process's own CPU time, the best of the rounds; `ratio` is to the floor.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import httpx
import httpx2
import httpx_sse
import msgspec
import openai

from tokenwire import PROVIDERS, Text, as_chat

WORDS = ("the", " stream", " of", " tokens", " goes", " on", " and", " on", ",", " über", " \u2028")


def make_events(count: int) -> list[bytes]:
    """`count` events of 200 to 330 bytes, as OpenAI and its relatives write them."""
    events: list[bytes] = []
    for number in range(count):
        chunk: dict[str, object] = {
            "id": "chatcmpl-BdGV4aVFcvXbT6kZ7k1lH2mD3q9wz",
            "object": "chat.completion.chunk",
            "created": 1748000000,
            "model": "gpt-4o-mini-2024-07-18",
        }
        if number % 3:  # relatives leave these out
            chunk |= {"service_tier": "default", "system_fingerprint": "fp_54eb4bd693"}
        delta = {"content": WORDS[number % len(WORDS)]}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        chunk["choices"] = [choice]
        if number % 3:
            chunk |= {"usage": None, "obfuscation": "x" * (number % 9)}
        data = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
        events.append(f"data: {data}\n\n".encode())
    return events


END = b"data: [DONE]\n\n"


def cut(body: bytes, size: int) -> list[bytes]:
    """`body` in pieces of `size` bytes."""
    return [body[i : i + size] for i in range(0, len(body), size)]


def by_tokenwire(pieces: Iterable[bytes]) -> str:
    exchange = PROVIDERS["openai"].exchange(as_chat("q", model="m"))
    exchange.next_request()
    exchange.receive_response(200, [(b"content-type", b"text/event-stream")])
    parts: list[str] = []
    for piece in pieces:
        for event in exchange.receive_data(piece):
            if type(event) is Text:
                parts.append(event.text)
    exchange.receive_eof(framed=True)
    assert exchange.next_request() is None
    return "".join(parts)


class Pieces(httpx2.SyncByteStream):
    """A body that arrives in given pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


def by_openai_sdk(pieces: Iterable[bytes]) -> str:
    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=Pieces(pieces))

    with (
        httpx2.Client(transport=httpx2.MockTransport(answer)) as http,
        openai.OpenAI(api_key="k", base_url="http://localhost/v1", http_client=http) as client,
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "q"}], stream=True
        ) as stream,
    ):
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


class PlainPieces(httpx.SyncByteStream):
    """The same, for httpx."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


def by_httpx_sse(pieces: Iterable[bytes]) -> str:
    headers = {"content-type": "text/event-stream"}
    response = httpx.Response(200, headers=headers, stream=PlainPieces(pieces))
    parts: list[str] = []
    for event in httpx_sse.EventSource(response).iter_sse():
        if event.data == "[DONE]":
            break
        parts.append(json.loads(event.data)["choices"][0]["delta"]["content"])
    return "".join(parts)


def by_hand(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                return "".join(parts)
            parts.append(json.loads(data)["choices"][0]["delta"]["content"])
    return "".join(parts)


class Delta(msgspec.Struct):
    content: str


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


decode_chunk = msgspec.json.Decoder(Chunk).decode


def by_floor(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            data = event[6:]
            if data == b"[DONE]":
                return "".join(parts)
            parts.append(decode_chunk(data).choices[0].delta.content)
    return "".join(parts)


DECODERS: dict[str, Callable[[Iterable[bytes]], str]] = {
    "floor: split + typed msgspec": by_floor,
    "tokenwire": by_tokenwire,
    "by hand: split + json.loads": by_hand,
    "httpx-sse + json.loads": by_httpx_sse,
    "openai SDK": by_openai_sdk,
}


def measure(
    pieces: list[bytes], rounds: int, expected: str, names: Iterable[str]
) -> dict[str, float]:
    """The best CPU seconds of each decoder, taken in turns."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name in names:
            start = time.process_time()
            text = DECODERS[name](pieces)
            spent = time.process_time() - start
            if text != expected:
                raise SystemExit(f"{name} came to another text: {text[:80]!r}...")
            best[name] = min(best.get(name, spent), spent)
    return best


def one_large_event() -> None:
    """One event of 1, 2, 4 and 8 MiB in 64-byte pieces: linear time doubles with the size."""
    print("\none event in pieces of 64 bytes, tokenwire\n   size       CPU ms   ms/MiB")
    for mebibytes in (1, 2, 4, 8):
        text = "x" * (mebibytes * 1024 * 1024)
        chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
        body = b"data: " + json.dumps(chunk).encode() + b"\n\n" + END
        pieces = cut(body, 64)
        spent = measure(pieces, 3, text, ["tokenwire"])["tokenwire"] * 1000
        print(f"  {mebibytes:2d} MiB  {spent:10.0f}  {spent / mebibytes:7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    events = make_events(arguments.events)
    expected = "".join(WORDS[number % len(WORDS)] for number in range(len(events)))
    body = b"".join(events) + END
    sizes = sorted(len(event) for event in events)
    print(
        f"Python {sys.version.split()[0]}, openai {openai.__version__}, httpx {httpx.__version__}; "
        f"{len(events)} events of {sizes[0]} to {sizes[-1]} bytes"
    )
    ways = {
        "pieces of 64 KiB": (cut(body, 64 * 1024), arguments.rounds),
        "one event a piece": ([*events, END], arguments.rounds),
        "pieces of 1,400 bytes": (cut(body, 1400), arguments.rounds),
        "single bytes": (cut(body, 1), 1),
    }
    for way, (pieces, rounds) in ways.items():
        best = measure(pieces, rounds, expected, DECODERS)
        floor = best["floor: split + typed msgspec"]
        print(f"\n{way:30s}  us/event   ratio")
        for name, seconds in best.items():
            each = seconds / len(events) * 1e6
            print(f"  {name:28s}  {each:8.2f}  {seconds / floor:6.2f}")
    one_large_event()


if __name__ == "__main__":
    main()

"""The decoder of each contestant, from an answer's bytes to its text; measures one of them.

    python -m benchmarks.decoders NAME DIALECT CUT EVENTS [SIZE]

CUT: `event` for one event per piece, or the number of bytes in a piece. SIZE: the number of bytes
in each event; without it, events are those of `benchmarks.streams`. After a few hundred events for
warming up, the answer is decoded repeatedly, and its text checked each time. The last line printed
is JSON, with the median CPU time in microseconds: `cpu_us` per event, `pass_us` for all of them.

Imports, and what a contestant needs once per process (a client, a parser class), are made in
advance. What it needs once per stream (an exchange, a request, a response) is measured.
"""

import argparse
import gc
import importlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.loops import BY_HAND, FLOOR, Decode
from benchmarks.streams import STREAMS, Stream, cut, sized

__all__ = ["DECODERS", "EVERY_DIALECT", "OWN_DIALECT", "pieces_of", "stream_of"]

SECONDS = 0.3  # of CPU time, for passes
NODE = shutil.which("node")
PARSER = Path(__file__).with_name("node_modules") / "eventsource-parser"
URL = "http://localhost/v1"
QUESTION = [{"role": "user", "content": "q"}]
SSE = [(b"content-type", b"text/event-stream")]
FRAMES = [(b"content-type", b"application/vnd.amazon.eventstream")]


def floor(dialect: str) -> Decode:
    """`split` and one typed msgspec decoder; see `benchmarks.loops`."""
    return FLOOR[dialect]


def by_hand(dialect: str) -> Decode:
    """`split` and `json.loads`; see `benchmarks.loops`."""
    return BY_HAND[dialect]


def by_tokenwire(dialect: str) -> Decode:
    """An exchange, fed by hand, as its transports do."""
    from tokenwire import PROVIDERS, Text, as_chat

    provider = PROVIDERS[dialect]
    chat = as_chat("q", model=provider.default_model or "m")
    random = Random(1)
    base_url = URL if dialect == "bedrock" else None  # its own needs a region

    def decode(pieces: Iterable[bytes]) -> str:
        exchange = provider.exchange(chat, random=random, base_url=base_url)
        exchange.next_request()
        if dialect == "aichatonline":  # its first request asks for a token
            exchange.receive_response(200, [(b"content-type", b"application/json")])
            exchange.receive_data(b'{"code": 200, "data": "token-123"}')
            exchange.receive_eof(framed=True)
            exchange.next_request()
        exchange.receive_response(200, FRAMES if dialect == "bedrock" else SSE)
        parts: list[str] = []
        for piece in pieces:
            for event in exchange.receive_data(piece):
                if type(event) is Text:
                    parts.append(event.text)
        exchange.receive_eof(framed=True)
        assert exchange.next_request() is None
        return "".join(parts)

    return decode


def by_httpx_sse(dialect: str) -> Decode:
    """`EventSource.iter_sse()` of the sync kind, and `json.loads` of each event's data."""
    import httpx
    import httpx_sse

    body = body_of(httpx)

    def decode(pieces: Iterable[bytes]) -> str:
        response = httpx.Response(200, headers=SSE, stream=body(pieces))
        return join(event.data for event in httpx_sse.EventSource(response).iter_sse())

    return decode


def by_httpx2(dialect: str) -> Decode:
    """httpx2's own `EventSource`, and `json.loads` of each event's data. Its limit of 1 MiB per
    event is turned off, so that it accepts the large ones, too."""
    import httpx2

    request = httpx2.Request("POST", "http://localhost/")
    body = body_of(httpx2)

    def decode(pieces: Iterable[bytes]) -> str:
        response = httpx2.Response(200, headers=SSE, stream=body(pieces), request=request)
        return join(event.data for event in httpx2.EventSource(response, max_event_size=None))

    return decode


def by_sseclient(dialect: str) -> Decode:
    """sseclient-py: `SSEClient(response).events()`, and `json.loads` of each event's data."""
    sseclient: Any = importlib.import_module("sseclient")

    def decode(pieces: Iterable[bytes]) -> str:
        return join(event.data for event in sseclient.SSEClient(pieces).events())

    return decode


def by_openai(dialect: str, over: str = "httpx2") -> Decode:
    """`create(stream=True)` of the sync client, over a transport that returns the pieces."""
    openai: Any = importlib.import_module("openai")
    http, serve = client_of(over)
    client = openai.OpenAI(api_key="k", base_url=URL, http_client=http)

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        with client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream:
            return "".join([chunk.choices[0].delta.content or "" for chunk in stream])

    return decode


def by_anthropic(dialect: str) -> Decode:
    """`create(stream=True)` of the sync client, over a transport that returns the pieces."""
    client, serve = _anthropic()

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        parts: list[str] = []
        with client.messages.create(**ASK_ANTHROPIC, stream=True) as stream:
            for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    parts.append(event.delta.text)
        return "".join(parts)

    return decode


def by_anthropic_helper(dialect: str) -> Decode:
    """`messages.stream(...)`, its `text_stream`, over the same."""
    client, serve = _anthropic()

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        with client.messages.stream(**ASK_ANTHROPIC) as stream:
            return "".join(stream.text_stream)

    return decode


ASK_ANTHROPIC: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": QUESTION}


def _anthropic() -> tuple[Any, Callable[[Iterable[bytes]], None]]:
    anthropic: Any = importlib.import_module("anthropic")
    http, serve = client_of("httpx2")
    return anthropic.Anthropic(api_key="k", base_url=URL, http_client=http), serve


def by_genai(dialect: str) -> Decode:
    """google-genai: `generate_content_stream` of the sync client, over the same."""
    genai: Any = importlib.import_module("google.genai")
    http, serve = client_of("httpx")
    options = {"httpx_client": http, "base_url": URL}
    client = genai.Client(api_key="k", http_options=options)

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        stream = client.models.generate_content_stream(model="m", contents="q")
        return "".join([chunk.candidates[0].content.parts[0].text for chunk in stream])

    return decode


def by_mistral(dialect: str) -> Decode:
    """mistralai: `chat.stream` of the sync client, over httpx."""
    mistralai: Any = importlib.import_module("mistralai.client")
    http, serve = client_of("httpx")
    client = mistralai.Mistral(api_key="k", server_url=URL, client=http)

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        stream = client.chat.stream(model="m", messages=QUESTION)
        return "".join([event.data.choices[0].delta.content for event in stream])

    return decode


def by_ollama(dialect: str) -> Decode:
    """`chat(stream=True)` of the sync client, over a transport that returns the pieces."""
    ollama: Any = importlib.import_module("ollama")
    transport, serve = transport_of("httpx")
    client = ollama.Client(URL, transport=transport)

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        parts = client.chat(model="m", messages=QUESTION, stream=True)
        return "".join([part.message.content for part in parts])

    return decode


def by_cohere(dialect: str) -> Decode:
    """`chat_stream` of the sync client, over a transport that returns the pieces."""
    cohere: Any = importlib.import_module("cohere")
    http, serve = client_of("httpx")
    how = {"base_url": "http://localhost", "httpx_client": http}
    client = cohere.ClientV2("k", log_warning_experimental_features=False, **how)

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        parts: list[str] = []
        for event in client.chat_stream(model="m", messages=QUESTION):
            if event.type == "content-delta":
                parts.append(event.delta.message.content.text)
        return "".join(parts)

    return decode


def by_botocore(dialect: str) -> Decode:
    """botocore's `EventStream`, as boto3's `converse_stream` returns it, over the pieces."""
    session: Any = importlib.import_module("botocore.session").get_session()
    parsers: Any = importlib.import_module("botocore.parsers")
    stream: Any = importlib.import_module("botocore.eventstream").EventStream
    operation = session.get_service_model("bedrock-runtime").operation_model("ConverseStream")
    shape = operation.output_shape.members["stream"]

    class Body:
        def __init__(self, pieces: Iterable[bytes]) -> None:
            self.stream = lambda: pieces

    def decode(pieces: Iterable[bytes]) -> str:
        parts: list[str] = []
        parser = parsers.EventStreamJSONParser()
        for event in stream(Body(pieces), shape, parser, "ConverseStream"):
            if "contentBlockDelta" in event:
                parts.append(event["contentBlockDelta"]["delta"]["text"])
        return "".join(parts)

    return decode


def by_openai_responses(dialect: str) -> Decode:
    """`responses.create(stream=True)` of the sync client, over a transport that returns the
    pieces."""
    client, serve = _openai()

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        parts: list[str] = []
        with client.responses.create(model="m", input="q", stream=True) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    parts.append(event.delta)
        return "".join(parts)

    return decode


def by_openai_responses_helper(dialect: str) -> Decode:
    """`responses.stream(...)` over the same."""
    client, serve = _openai()

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        parts: list[str] = []
        with client.responses.stream(model="m", input="q") as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    parts.append(event.delta)
        return "".join(parts)

    return decode


def _openai() -> tuple[Any, Callable[[Iterable[bytes]], None]]:
    openai: Any = importlib.import_module("openai")
    http, serve = client_of("httpx2")
    return openai.OpenAI(api_key="k", base_url=URL, http_client=http), serve


def by_langchain(dialect: str) -> Decode:
    """langchain-openai: `ChatOpenAI(http_client=...).stream()`, with tracing off."""
    os.environ["LANGSMITH_TRACING"] = "false"
    langchain: Any = importlib.import_module("langchain_openai")
    http, serve = client_of("httpx2")
    model = langchain.ChatOpenAI(
        model="m", api_key="k", base_url=URL, http_client=http, stream_usage=False
    )

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        return "".join([chunk.content for chunk in model.stream("q")])

    return decode


def by_openai_2(dialect: str) -> Decode:
    """The last openai before version 3, over httpx, which is what litellm needs."""
    return by_openai(dialect, "httpx")


def by_litellm(dialect: str) -> Decode:
    """`completion(stream=True, client=...)`, with openai's client over httpx, as litellm requires;
    with the price list of the package instead of one from the internet, and without logging what it
    streams, which would double the cost."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm: Any = importlib.import_module("litellm")
    litellm.disable_streaming_logging = True
    openai: Any = importlib.import_module("openai")
    http, serve = client_of("httpx")
    client = openai.OpenAI(api_key="k", base_url=URL, http_client=http)

    def decode(pieces: Iterable[bytes]) -> str:
        serve(pieces)
        stream = litellm.completion(model="openai/m", messages=QUESTION, stream=True, client=client)
        return "".join([chunk.choices[0].delta.content or "" for chunk in stream])

    return decode


EVENTSOURCE = "eventsource-parser (node)"

DECODERS: dict[str, Callable[[str], Decode]] = {
    "floor": floor,
    "tokenwire": by_tokenwire,
    "by hand": by_hand,
    "httpx-sse": by_httpx_sse,
    "httpx2": by_httpx2,
    "sseclient-py": by_sseclient,
    "openai": by_openai,
    "openai 2": by_openai_2,
    "langchain-openai": by_langchain,
    "litellm": by_litellm,
    "anthropic": by_anthropic,
    "anthropic stream()": by_anthropic_helper,
    "openai responses": by_openai_responses,
    "openai responses.stream()": by_openai_responses_helper,
    "google-genai": by_genai,
    "mistralai": by_mistral,
    "ollama": by_ollama,
    "cohere": by_cohere,
    "botocore": by_botocore,
}
"""By contestant, the function that makes its decoder for a dialect."""

EVERY_DIALECT = ("floor", "tokenwire", "by hand")
"""Those that decode every dialect."""

OWN_DIALECT = {
    "anthropic": "anthropic",
    "anthropic stream()": "anthropic",
    "openai responses": "openai-responses",
    "openai responses.stream()": "openai-responses",
    "google-genai": "gemini",
    "mistralai": "mistral",
    "ollama": "ollama",
    "cohere": "cohere",
    "botocore": "bedrock",
}
"""Those that decode only this one. All others decode openai's."""


def join(payloads: Iterable[str]) -> str:
    parts: list[str] = []
    for data in payloads:
        if data == "[DONE]":
            break
        parts.append(json.loads(data)["choices"][0]["delta"]["content"])
    return "".join(parts)


def body_of(http: Any) -> Any:
    """A class for response bodies that arrive in given pieces, for httpx or httpx2."""

    class Body(http.SyncByteStream):  # type: ignore[misc]  # its base is only known at run time
        def __init__(self, pieces: Iterable[bytes]) -> None:
            self._pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._pieces)

    return Body


def client_of(library: str) -> tuple[Any, Callable[[Iterable[bytes]], None]]:
    """A client of httpx or httpx2, and a function that sets the body of its next response."""
    transport, serve = transport_of(library)
    return importlib.import_module(library).Client(transport=transport), serve


def transport_of(library: str) -> tuple[Any, Callable[[Iterable[bytes]], None]]:
    """The same, but only the transport of a client."""
    http: Any = importlib.import_module(library)
    body = body_of(http)
    bodies: list[Iterable[bytes]] = []

    def answer(request: object) -> Any:
        return http.Response(200, headers=SSE, stream=body(bodies.pop()))

    return http.MockTransport(answer), bodies.append


def stream_of(dialect: str, events: int, size: int = 0) -> Stream:
    """An answer of `events` events, of `size` bytes each if that is given."""
    return sized(dialect, size, events) if size else STREAMS[dialect](events)


def pieces_of(stream: Stream, how: str) -> list[bytes]:
    """`stream` split into pieces, as CUT says."""
    return stream.events if how == "event" else cut(stream.body, int(how))


def measure(decode: Decode, pieces: list[bytes], text: str) -> list[float]:
    """The CPU microseconds of each pass."""
    passes: list[float] = []
    while not enough(passes):
        gc.collect()
        start = time.process_time_ns()
        found = decode(pieces)
        passes.append((time.process_time_ns() - start) / 1000)
        check(found, text)
    return passes


def enough(passes: list[float]) -> bool:
    """Whether there were as many passes as fit into `SECONDS`: at least three unless they are slow,
    and at most a hundred, because the garbage collection between them takes time, too."""
    spent = sum(passes) / 1e6
    return len(passes) >= 100 or spent > 10 * SECONDS or (len(passes) > 2 and spent > SECONDS)


def measure_node(pieces: list[bytes], text: str) -> list[float]:
    """The same for eventsource-parser, which `eventsource.mjs` measures."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("eventsource.mjs")), str(SECONDS)],
        input=b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces),
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout)
    check(found["text"], text)
    passes: list[float] = found["passes"]
    return passes


def check(found: str, text: str) -> None:
    """End the process if a contestant arrived at another text."""
    if found != text:
        raise SystemExit(f"another text came out: {found[:80]!r}... instead of {text[:80]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=[*DECODERS, EVENTSOURCE])
    parser.add_argument("dialect", choices=STREAMS)
    parser.add_argument("cut")
    parser.add_argument("events", type=int)
    parser.add_argument("size", type=int, nargs="?", default=0)
    args = parser.parse_args()
    stream = stream_of(args.dialect, args.events, args.size)
    pieces = pieces_of(stream, args.cut)
    if args.name == EVENTSOURCE:
        passes = measure_node(pieces, stream.text)
    else:
        decode = DECODERS[args.name](args.dialect)
        warm_up = stream_of(args.dialect, 300)
        check(decode(warm_up.events), warm_up.text)
        passes = measure(decode, pieces, stream.text)
    each = median(passes)
    print(json.dumps({"cpu_us": each / args.events, "pass_us": each}))


if __name__ == "__main__":
    main()

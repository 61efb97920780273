"""What all formats have in common. Above all: a failure that is told inside an answer, beside its
content or by its finish reason, is no success; all is delivered, no call is complete, and the
service's words are raised."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from tests.driving import JSON, SSE, Outcome, Response, alike, no_sign_of_life
from tokenwire import (
    PROVIDERS,
    Chat,
    Finish,
    ImagePart,
    Message,
    Provider,
    Text,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    Unrecognized,
    as_chat,
)
from tokenwire.protocols.errors import (
    BadRequest,
    LocalProtocolError,
    Malformed,
    Refused,
    Truncated,
)
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.frames import encode_frame
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.protocols.toolkit.json import is_list, is_object
from tokenwire.testing.recording import asking

LINES: Headers = [(b"content-type", b"application/x-ndjson")]
FRAMES: Headers = [(b"content-type", b"application/vnd.amazon.eventstream")]
ERROR = {"message": "it broke", "code": "engine"}
Built = Callable[[str, dict[str, Any]], list[dict[str, Any]]]
"""Makes the events of an answer that calls a tool, of a finish reason and of further keys, which
stand at the place that a case is about."""


def chat(reason: str, inner: dict[str, Any], **choice: Any) -> list[dict[str, Any]]:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
    return [
        {"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": inner, **choice}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
    ]


def chat_whole(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
    message = {"content": "a", "tool_calls": [call], **inner}
    return [{"id": "i", "choices": [{"message": message, "finish_reason": reason}]}]


def anthropic(reason: str, **places: dict[str, Any]) -> list[dict[str, Any]]:
    def at(place: str) -> dict[str, Any]:
        return places.get(place, {})

    use = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
    return [
        {"type": "message_start", "message": {"id": "i", "model": "m", **at("message")}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}},
        {"type": "content_block_stop", "index": 0, **at("stop")},
        {"type": "content_block_start", "index": 1, "content_block": use},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, **at("delta")},
            **at("message_delta"),
        },
        {"type": "message_stop", **at("message_stop")},
    ]


def anthropic_text(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    """The error is beside a piece of text, which is decoded by a shorter way."""
    start, *rest = anthropic(reason)
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "b"}}
    return [
        *(start, rest[0], {**delta, "index": 0}, {**delta, "index": 0, **inner}),
        *rest[1:],
    ]


def anthropic_whole(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
    content = [{"type": "text", "text": "a"}, use]
    return [{"id": "i", "content": content, "stop_reason": reason, **inner}]


def responses(status: str, **places: dict[str, Any]) -> list[dict[str, Any]]:
    def at(place: str) -> dict[str, Any]:
        return places.get(place, {})

    message = {"type": "message", "id": "1", "content": [{"type": "output_text", "text": "a"}]}
    call = {"type": "function_call", "id": "2", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
    response = {"id": "i", "model": "m"}
    return [
        {"type": "response.created", "response": {**response, **at("created")}},
        {"type": "response.output_item.done", "output_index": 0, "item": message, **at("item")},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "", **at("piece")},
        {"type": "response.output_item.done", "output_index": 1, "item": call},
        {"type": "response.completed", "response": {**response, "status": status}, **at("over")},
    ]


def gemini(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [{"text": "a"}, {"functionCall": {"name": "f", "args": {"a": 1}}}]
    return [
        {"responseId": "i", "candidates": [{"content": {"parts": parts}, **inner}]},
        {"candidates": [{"finishReason": reason}]},
    ]


def gemini_whole(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    first, _ = gemini(reason, inner)
    return [{"candidates": [{**first["candidates"][0], "finishReason": reason}]}]


def cohere(reason: str, **places: dict[str, Any]) -> list[dict[str, Any]]:
    def at(place: str) -> dict[str, Any]:
        return places.get(place, {})

    function = {"name": "f", "arguments": '{"a":1}'}
    call = {"id": "c", "type": "function", "function": function}
    return [
        {"type": "message-start", "id": "i", **at("event")},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}},
        {
            "type": "tool-call-start",
            "index": 0,
            "delta": {"message": {"tool_calls": call, **at("message")}, **at("delta")},
        },
        {"type": "message-end", "delta": {"finish_reason": reason}},
    ]


def ollama(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    message = {"content": "a", "tool_calls": [call], **inner}
    return [
        {"model": "m", "message": message, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": reason},
    ]


def ollama_whole(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**ollama(reason, inner)[0], "done": True, "done_reason": reason}]


def bedrock(reason: str, **places: dict[str, Any]) -> list[dict[str, Any]]:
    def at(place: str) -> dict[str, Any]:
        return places.get(place, {})

    call = {"toolUseId": "c", "name": "f"}
    return [
        {"messageStart": {"role": "assistant", **at("start")}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "a"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": ""}, **at("piece")}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": call}}},
        {
            "contentBlockDelta": {
                "contentBlockIndex": 1,
                "delta": {"toolUse": {"input": '{"a":1}'}, **at("delta")},
            }
        },
        {"messageStop": {"stopReason": reason, **at("stop")}},
        {"metadata": {"usage": {"inputTokens": 1}, **at("metadata")}},
    ]


def bedrock_whole(reason: str, inner: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}
    message = {"content": [{"text": "a"}, call], **inner}
    return [{"output": {"message": message}, "stopReason": reason}]


def hear(provider: str, events: list[dict[str, Any]], end: bytes = b"") -> Outcome:
    """The outcome of these events; one alone is a whole answer."""
    whole = len(events) == 1
    said = [json.dumps(event).encode() for event in events]
    headers = JSON
    if whole:
        body = said[0]
    elif provider == "ollama":
        body, headers = b"\n".join(said) + b"\n", LINES
    elif provider == "bedrock":
        frames = [(name, inner) for event in events for name, inner in event.items()]
        body, headers = b"".join(frame(name, inner) for name, inner in frames), FRAMES
    else:
        body, headers = b"".join(b"data: %b\n\n" % event for event in said) + end, SSE
    asked = as_chat("hi", model="m", stream=not whole)
    exchange = PROVIDERS[provider].exchange(asked, key="id:secret", base_url="https://s.example")
    return alike(exchange, Response(body, 200, headers))


def frame(name: str, fields: Any) -> bytes:
    headers = {":message-type": "event", ":event-type": name}
    return encode_frame(headers, json.dumps(fields).encode())


def check(outcome: Outcome, *words: str) -> None:
    outcome.refused_by(Refused, *words)
    assert "".join(e.text for e in outcome.events if isinstance(e, Text))[:1] == "a"
    assert not any(e.complete for e in outcome.events if isinstance(e, ToolCallEnd))


def told(key: str, build: Callable[..., Any]) -> Built:
    return lambda reason, inner: build(reason, **{key: inner})


FORMATS: dict[str, tuple[str, str, Built]] = {
    "chat": ("openai", "tool_calls", chat),
    "chat-whole": ("openai", "tool_calls", chat_whole),
    "mistral": ("mistral", "tool_calls", chat),
    "anthropic-message": ("anthropic", "tool_use", told("message", anthropic)),
    "anthropic-stop": ("anthropic", "tool_use", told("stop", anthropic)),
    "anthropic-delta": ("anthropic", "tool_use", told("delta", anthropic)),
    "anthropic-end": ("anthropic", "tool_use", told("message_delta", anthropic)),
    "anthropic-over": ("anthropic", "tool_use", told("message_stop", anthropic)),
    "anthropic-text": ("anthropic", "tool_use", anthropic_text),
    "anthropic-whole": ("anthropic", "tool_use", anthropic_whole),
    "responses-created": ("openai-responses", "completed", told("created", responses)),
    "responses-item": ("openai-responses", "completed", told("item", responses)),
    "responses-piece": ("openai-responses", "completed", told("piece", responses)),
    "responses-over": ("openai-responses", "completed", told("over", responses)),
    "gemini": ("gemini", "STOP", gemini),
    "gemini-whole": ("gemini", "STOP", gemini_whole),
    "cohere-event": ("cohere", "TOOL_CALL", told("event", cohere)),
    "cohere-delta": ("cohere", "TOOL_CALL", told("delta", cohere)),
    "cohere-message": ("cohere", "TOOL_CALL", told("message", cohere)),
    "ollama": ("ollama", "stop", ollama),
    "ollama-whole": ("ollama", "stop", ollama_whole),
    "bedrock-start": ("bedrock", "tool_use", told("start", bedrock)),
    "bedrock-piece": ("bedrock", "tool_use", told("piece", bedrock)),
    "bedrock-delta": ("bedrock", "tool_use", told("delta", bedrock)),
    "bedrock-stop": ("bedrock", "tool_use", told("stop", bedrock)),
    "bedrock-metadata": ("bedrock", "tool_use", told("metadata", bedrock)),
    "bedrock-whole": ("bedrock", "tool_use", bedrock_whole),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("nothing", [None, {}, "", False])
def test_an_error_that_says_nothing(name: str, nothing: Any) -> None:
    provider, reason, build = FORMATS[name]
    outcome = hear(provider, build(reason, {"error": nothing})).succeeded()
    if name != "bedrock-delta" or nothing is None:  # what is not understood of a call spoils it
        assert any(e.complete for e in outcome.events if isinstance(e, ToolCallEnd))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("error", [ERROR, "it broke"])
def test_an_error_beside_the_content(name: str, error: Any) -> None:
    provider, reason, build = FORMATS[name]
    outcome = hear(provider, build(reason, {"error": error}))
    if name == "responses-created":  # the answer has not begun
        outcome.refused_by(Refused, "it broke")
    else:
        check(outcome, "it broke")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "reason",
    ["error", "ABORTED", "cancelled", "failed", "timeout", "timed_out", "malformed_function_call"],
)
def test_a_reason_that_is_a_failure(name: str, reason: str) -> None:
    provider, _, build = FORMATS[name]
    outcome = hear(provider, build(reason, {}))
    assert isinstance(outcome.error, Refused)
    assert reason in (outcome.error.code, outcome.error.type)
    assert not any(e.complete for e in outcome.events if isinstance(e, ToolCallEnd))


def test_a_reason_of_another_format() -> None:
    """As gateways pass it on."""
    reason = "MALFORMED_FUNCTION_CALL"
    outcome = hear("openai", chat(reason, {}), b"data: [DONE]\n\n")
    check(outcome, reason)
    assert [e for e in outcome.events if isinstance(e, Finish)] == [Finish(reason, "error")]


def test_an_error_of_a_candidate_without_a_reason() -> None:
    check(hear("gemini", gemini("", {"error": ERROR})), "it broke")


@pytest.mark.parametrize("name", ["internalServerException", "throttlingException"])
def test_an_exception_in_a_frame_of_an_event(name: str) -> None:
    start, text, *_ = bedrock("end_turn")
    outcome = hear("bedrock", [start, text, {name: {"message": "it broke"}}])
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == name


@pytest.mark.parametrize(
    "provider", ["openai", "anthropic", "gemini", "cohere", "openai-responses"]
)
def test_a_side_event_with_a_message(provider: str) -> None:
    """It has a name of its own, so it is no refusal (quirk 55)."""
    side = b'event: tool.progress\ndata: {"message":"searching"}\n\n'
    exchange = PROVIDERS[provider].exchange(as_chat("hi", model="m"), base_url="https://s.example")
    outcome = alike(exchange, Response(side))
    assert outcome.events == [Unrecognized(b'{"message":"searching"}')]
    assert type(outcome.error) is Truncated


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", b'{"choices":[],"n":[1,-'),
        ("anthropic", b'{"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","n":0.'),
        ("cohere", b'{"message":{},"finish_reason":"COMPLETE","n":NaN,"m":1e'),
        ("ollama", b'{"message":{},"done":true,"n":-'),
    ],
)
def test_a_document_that_is_cut_inside_a_number(provider: str, body: bytes) -> None:
    asked = as_chat("hi", model="m", stream=False)
    outcome = alike(PROVIDERS[provider].exchange(asked), Response(body, 200, JSON))
    outcome.refused_by(Truncated, "inside its JSON document")


def test_a_number_that_is_too_large() -> None:
    for number in ("1" * 5000, "-1e999", "1" * 400 + ".5"):
        events = [json.dumps(event) for event in chat("stop", {})]
        events[0] = events[0].replace('"id": "i"', f'"created": {number}, "usage": {number}')
        body = "".join(f"data: {event}\n\n" for event in events).encode()
        exchange = PROVIDERS["openai"].exchange(as_chat("hi", model="m"))
        assert alike(exchange, Response(body)).succeeded().reply.text == "a"
    wrong = b'data: {"choices":[{"delta":{"content":"a"}}],"created":007}\n\n'
    alike(PROVIDERS["openai"].exchange(as_chat("hi", model="m")), Response(wrong)).refused_by(
        Malformed
    )


@pytest.mark.parametrize("provider", ["openai", "mistral", "gemini", "cohere", "openai-responses"])
@pytest.mark.parametrize(
    "word", ["ping", "keepalive", "keep-alive", "keep_alive", "heartbeat", "heart-beat"]
)
def test_pings_by_any_name_are_no_sign_of_life(provider: str, word: str) -> None:
    named = f"event: {word}\ndata: {{}}\n\n".encode()
    for ping in (named, b'data: {"type": "%b", "n": 1}\n\n' % word.encode()):
        exchange = PROVIDERS[provider].exchange(as_chat("hi", model="m"))
        no_sign_of_life(exchange, b": begin\n\n", ping)


def of_choice(text: str) -> dict[str, Any]:
    call = {"index": 0, "function": {"arguments": text}}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def of_block(text: str) -> dict[str, Any]:
    delta = {"type": "input_json_delta", "partial_json": text}
    return {"type": "content_block_delta", "index": 1, "delta": delta}


def of_item(text: str) -> dict[str, Any]:
    return {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": text}


def of_message(text: str) -> dict[str, Any]:
    call = {"function": {"arguments": text}}
    delta = {"message": {"tool_calls": call}}
    return {"type": "tool-call-delta", "index": 0, "delta": delta}


def of_frame(text: str) -> dict[str, Any]:
    delta = {"toolUse": {"input": text}}
    return {"contentBlockDelta": {"contentBlockIndex": 1, "delta": delta}}


BEGUN: dict[str, Any] = {"type": "function_call", "id": "2", "call_id": "c", "name": "f"}
ADDED = {"type": "response.output_item.added", "output_index": 1, "item": BEGUN}
CALLS: dict[str, tuple[list[dict[str, Any]], int, Callable[[str], dict[str, Any]]]] = {
    "openai": (chat("tool_calls", {}), 2, of_choice),
    "mistral": (chat("tool_calls", {}), 2, of_choice),
    "anthropic": (anthropic("tool_use"), 4, of_block),
    "openai-responses": ([*(said := responses("completed"))[:3], ADDED, *said[3:]], 4, of_item),
    "cohere": (cohere("TOOL_CALL"), 3, of_message),
    "bedrock": (bedrock("tool_use"), 5, of_frame),
}
"""An answer that calls a tool, where pieces of the arguments may stand, and what these are."""


@pytest.mark.parametrize("provider", CALLS)
@pytest.mark.parametrize("pieces", [['{"a":1}'], ['{"a', '{"a":1}', '{"a":1}']])
def test_arguments_that_are_said_again(provider: str, pieces: list[str]) -> None:
    """Quirk 83."""
    events, place, piece = CALLS[provider]
    if provider not in ("anthropic", "openai-responses"):  # there they are told with the call
        pieces = pieces[-1:]
    outcome = hear(provider, [*events[:place], *map(piece, pieces), *events[place:]]).succeeded()
    (call,) = outcome.reply.tool_calls
    assert (call.arguments.replace(" ", ""), call.complete) == ('{"a":1}', True)
    told = "".join(e.arguments for e in outcome.events if isinstance(e, ToolCallDelta))
    assert told == call.arguments


def prefixed(body: bytes) -> bytes:
    """Each event put into another, as a framework does that writes the prefixes itself."""
    events = body.removesuffix(b"\n\n").split(b"\n\n")
    return b"".join(
        b"".join(b"data: %b\n" % line for line in event.split(b"\n")) + b"data: \n\n"
        for event in events
    )


@pytest.mark.parametrize("name", ["openai", "mistral", "anthropic", "cohere", "openai-responses"])
@pytest.mark.parametrize("named", [False, True])
def test_an_event_inside_an_event(name: str, named: bool) -> None:
    """Quirk 86."""
    unknown: dict[str, Any] = {"type": "unknown", "choices": []}
    events = [*CALLS[name][0], unknown]
    body = b"".join(
        b"event: %b\n" % str(event.get("type", "message")).encode() * named
        + b"data: %b\n\n" % json.dumps(event).encode()
        for event in events
    )
    asked = as_chat("hi", model="m")
    exchange = PROVIDERS[name].exchange(asked, key="k", base_url="https://s.example")
    plain = alike(exchange.fresh(), Response(body)).succeeded()
    assert alike(exchange.fresh(), Response(prefixed(body))).what == plain.what
    twice = body.replace(b"data: ", b"data: data: ")
    assert alike(exchange.fresh(), Response(twice)).what == plain.what


def test_an_event_inside_an_event_of_gemini() -> None:
    body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in gemini("STOP", {}))
    exchange = PROVIDERS["gemini"].exchange(as_chat("hi", model="m"))
    plain = alike(exchange.fresh(), Response(body)).succeeded()
    assert alike(exchange, Response(prefixed(body))).what == plain.what


def test_an_event_inside_an_event_inside_an_event() -> None:
    """So deep it is handed on, as often as it may be repeated."""
    body = b"data: " * 9999 + b"\n\n" + b"data: [DONE]\n\n"
    outcome = alike(PROVIDERS["openai"].exchange(as_chat("hi", model="m")), Response(body))
    assert outcome.events == [Unrecognized(b"data: " * 9997)]


@pytest.mark.parametrize(
    ("provider", "pings"),
    [
        *(
            (name, [b"data:\n\n", b"data: {}\n\n", b"data: null\n\n", b"data: \r\n\r\n"])
            for name in ("openai", "mistral", "anthropic", "gemini", "cohere", "openai-responses")
        ),
        ("openai", [b'data: {"id":"i","object":"chat.completion.chunk"}\n\n']),
        ("ollama", [b"{}\n", b'{"model":"m","created_at":"t"}\n', b'{"message":null}\n']),
    ],
)
def test_what_says_nothing_is_no_sign_of_life(provider: str, pings: list[bytes]) -> None:
    for ping in pings:
        exchange = PROVIDERS[provider].exchange(as_chat("hi", model="m"))
        no_sign_of_life(exchange, b"\n", ping)


# Requests: what of a message, a tool or an option is not known is sent, or refused by name, by both
# halves.

RICH = Chat(
    messages=(
        Message("system", "be brief"),
        Message("user", (TextPart("look"), ImagePart.of_bytes(b"\x89PNG", "image/png"))),
        Message("assistant", (TextPart("so"), ToolCall("call_1", "f", '{"a":1}'))),
        Message("tool", "1", tool_call_id="call_1"),
        Message("user", "go on"),
    ),
    model="m",
    tools=(Tool("f", "does", {"type": "object", "properties": {"a": {"type": "integer"}}}),),
    max_tokens=9,
)
FORCED: dict[str, Any] = {"tool_choice": "f", "schema": {"type": "object"}}
ASKED: dict[str, list[Chat]] = {
    **{
        name: [RICH, RICH.replace(**FORCED)]
        for name in ("openai", "mistral", "anthropic", "openai-responses", "gemini", "bedrock")
    },
    "ollama": [RICH],
    "cohere": [RICH],
}


def places_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the objects in a JSON value are."""
    if is_object(value):
        yield path
        for key, each in value.items():
            yield from places_of(each, (*path, key))
    elif is_list(value):
        for number, each in enumerate(value):
            yield from places_of(each, (*path, number))


def with_a_further_key(body: bytes, path: tuple[Any, ...]) -> bytes:
    place = value = json.loads(body)
    for key in path:
        place = place[key]
    place["zznew"] = ["zzsaid"]
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", ASKED)
def test_further_keys_anywhere_in_a_request(name: str) -> None:
    provider = PROVIDERS[name]
    for chat in ASKED[name]:
        request = asking(provider, chat).next_request()
        assert request is not None
        for path in places_of(json.loads(request.body)):
            body = with_a_further_key(request.body, path)
            odd = msgspec.structs.replace(request, body=body)
            assert "zz" in sent_again(provider, odd), path


def sent_again(provider: Provider, request: Request) -> str:
    """What is sent if somebody asks what the service has understood of a request; or why not."""
    try:
        chat = Service(provider).responder().receive_request(request)
        assert chat is not None
        again = asking(provider, chat).next_request()
    except (BadRequest, LocalProtocolError) as error:
        return str(error)
    assert again is not None
    return again.body.decode()

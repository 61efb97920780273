"""The bytes that everything is measured on: an answer in each wire format, built in advance.

They are made without tokenwire, so that it is not measured on its own output.
"""

import json
from collections.abc import Callable
from itertools import cycle, islice
from struct import pack
from typing import Any, NamedTuple
from zlib import crc32

__all__ = ["DOCUMENTS", "STREAMS", "Stream", "chunked", "cut", "plain", "sized", "words"]

WORDS = ("the", " stream", " of", " tokens", " goes", " on", " and", " on", ",", " über", " \u2028")


class Stream(NamedTuple):
    """The body of one streamed answer: `events` as they are on the wire, `text` as they are read.

    The last of `events` is the format's terminator, if it has one. Few are not about text.
    """

    content_type: str
    events: list[bytes]
    text: str

    @property
    def body(self) -> bytes:
        return b"".join(self.events)


def words(count: int) -> list[str]:
    """The texts of `count` events."""
    return list(islice(cycle(WORDS), count))


def openai(count: int) -> Stream:
    """Chat completion chunks of 227 to 333 bytes, as OpenAI and compatible services write them."""
    texts = words(count)
    events = [
        b"data: " + _json(_chunk(number, text)) + b"\n\n" for number, text in enumerate(texts)
    ]
    return Stream("text/event-stream", [*events, b"data: [DONE]\n\n"], "".join(texts))


def mistral(count: int) -> Stream:
    """Chunks of 210 to 229 bytes, as Mistral writes them: with padding of random length."""
    texts = words(count)
    chunk = {
        "id": "b5c8c2b2f3a94d0c9c3a1f7d2e6b8a90",
        "object": "chat.completion.chunk",
        "created": 1748000000,
        "model": "mistral-small-latest",
    }
    events: list[bytes] = []
    for number, text in enumerate(texts):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        padded = {**chunk, "choices": [choice], "p": "abcdefghijklm"[: number % 14]}
        events.append(b"data: " + _json(padded) + b"\n\n")
    return Stream(
        "text/event-stream; charset=utf-8", [*events, b"data: [DONE]\n\n"], "".join(texts)
    )


def _chunk(number: int, text: str) -> dict[str, Any]:
    chunk: dict[str, Any] = {
        "id": "chatcmpl-BdGV4aVFcvXbT6kZ7k1lH2mD3q9wz",
        "object": "chat.completion.chunk",
        "created": 1748000000,
        "model": "gpt-4o-mini-2024-07-18",
    }
    if number % 3:  # compatible services leave these out
        chunk |= {"service_tier": "default", "system_fingerprint": "fp_54eb4bd693"}
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    chunk["choices"] = [choice]
    if number % 3:
        chunk |= {"usage": None, "obfuscation": "x" * (number % 9)}
    return chunk


def darkai(count: int) -> Stream:
    """Events of some 60 bytes, each followed by a blank line."""
    texts = words(count)
    events = [_data({"event": "text-chunk", "data": {"text": text}}) for text in texts]
    end = _data({"event": "stream-end", "data": {}})
    return Stream("text/event-stream", [*events, end], "".join(texts))


def aichats(count: int) -> Stream:
    """Bare text after `data: `. White space alone would be held back, so no event is only that."""
    texts = [text.replace(" \u2028", " again") for text in words(count)]
    events = [b"data: " + text.encode() + b"\n" for text in texts]
    return Stream("text/event-stream", events, "".join(texts))


def aichatonline(count: int) -> Stream:
    """JSON lines."""
    texts = words(count)
    events = [_json({"code": 200, "data": {"message": text}}) + b"\n" for text in texts]
    return Stream("application/json", events, "".join(texts))


def anthropic(count: int) -> Stream:
    """Events with a name, of 116 to 130 bytes: padded, as Anthropic's are, with a ping now and
    then. Before and after them stand those of the message and of its one block."""
    texts = words(count)
    usage = {"input_tokens": 12, "cache_read_input_tokens": 0, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "msg_01EbDEqWaPoEJkRcsZfDqQtk",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    ping = _named("ping")
    block = {"type": "text", "text": ""}
    events = [_named("message_start", message=message)]
    events.append(_named("content_block_start", index=0, content_block=block))
    for number, text in enumerate(texts):
        delta = {"type": "text_delta", "text": text}
        event = _named("content_block_delta", index=0, delta=delta)
        event = event[:-3] + b" " * (number % 9) + event[-3:]
        events.append(event + ping if number % 200 == 0 else event)
    events.append(_named("content_block_stop", index=0))
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append(_named("message_delta", delta=stop, usage={"output_tokens": count}))
    events.append(_named("message_stop"))
    return Stream("text/event-stream; charset=utf-8", events, "".join(texts))


def ollama(count: int) -> Stream:
    """JSON lines of 122 to 128 bytes, as Ollama writes a chat (Go escapes U+2028); the last one has
    the counts and no text."""
    texts = words(count)
    message = [{"role": "assistant", "content": text} for text in [*texts, ""]]
    fields: list[dict[str, Any]] = [
        {
            "model": "qwen3:4b",
            "created_at": f"2026-08-04T19:58:15.{number % 1_000_000:06}Z",
            "message": said,
            "done": number == count,
        }
        for number, said in enumerate(message)
    ]
    fields[-1] |= {
        "done_reason": "stop",
        "total_duration": 5645304708,
        "load_duration": 55095250,
        "prompt_eval_count": 307,
        "prompt_eval_duration": 710671250,
        "eval_count": count,
        "eval_duration": 4466025455,
    }
    lines = [_json(each).replace("\u2028".encode(), rb"\u2028") + b"\n" for each in fields]
    return Stream("application/x-ndjson", lines, "".join(texts))


def cohere(count: int) -> Stream:
    """Events with a name, of 108 to 114 bytes, as Cohere writes the text of a chat. Before and
    after them stand those of the message and of its one content."""
    texts = words(count)
    empty: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    start = {"message": {"role": "assistant", **empty}}
    block = {"message": {"content": {"type": "text", "text": ""}}}
    tokens = {"input_tokens": 12, "output_tokens": count}
    over = {"finish_reason": "COMPLETE", "usage": {"billed_units": tokens, "tokens": tokens}}
    events = [
        _named("message-start", id="c9117d7f-a7e4-499f-b643-a2a1e139687b", delta=start),
        _named("content-start", index=0, delta=block),
        *(
            _named("content-delta", index=0, delta={"message": {"content": {"text": text}}})
            for text in texts
        ),
        _named("content-end", index=0),
        _named("message-end", delta=over),
    ]
    return Stream("text/event-stream", [*events, b"data: [DONE]\n\n"], "".join(texts))


def responses(count: int) -> Stream:
    """Events with a name, of 257 to 264 bytes, as OpenAI writes the text of a response. Before and
    after them stand those of the response, of its one message, and of the text."""
    texts = words(count)
    text = "".join(texts)
    response: dict[str, Any] = {
        "id": "resp_0f2f6f1a8c8e4d3b0068c2e6ea8d1c8190b6a4d4f8e0a3c5d7",
        "object": "response",
        "created_at": 1757603562,
        "status": "in_progress",
        "model": "gpt-5.4-2026-03-05",
        "output": [],
        "usage": None,
    }
    id = "msg_0f2f6f1a8c8e4d3b0068c2e6eb7a9c8190a1b2c3d4e5f60718"
    where: dict[str, Any] = {"item_id": id, "output_index": 0, "content_index": 0}
    item: dict[str, Any] = {"id": id, "type": "message", "status": "in_progress"}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    done: dict[str, Any] = {**item, "status": "completed", "content": [{**part, "text": text}]}
    said: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": response}),
        ("in_progress", {"response": response}),
        ("output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
        ("content_part.added", {**where, "part": part}),
        *(
            ("output_text.delta", {**where, "delta": text, "logprobs": [], "obfuscation": "x" * 12})
            for text in texts
        ),
        ("output_text.done", {**where, "text": text, "logprobs": []}),
        ("content_part.done", {**where, "part": {**part, "text": text}}),
        ("output_item.done", {"output_index": 0, "item": done}),
        ("completed", {"response": {**response, "status": "completed", "output": [done]}}),
    ]
    events = [
        _named(f"response.{type}", sequence_number=number, **fields)
        for number, (type, fields) in enumerate(said)
    ]
    return Stream("text/event-stream; charset=utf-8", events, text)


def _named(type: str, **fields: Any) -> bytes:
    return f"event: {type}\ndata: ".encode() + _json({"type": type, **fields}) + b"\n\n"


def gemini(count: int) -> Stream:
    """Response objects of 322 to 332 bytes, with line ends as Gemini has them, each with the usage
    so far, which grows. A last one has the finish reason."""
    texts = words(count)
    events = [_response(number, [text]) for number, text in enumerate(texts)]
    events.append(_response(count, [""], finishReason="STOP"))
    return Stream("text/event-stream", events, "".join(texts))


def _response(number: int, texts: list[str], **candidate: Any) -> bytes:
    content = {"parts": [{"text": text} for text in texts], "role": "model"}
    usage = {
        "promptTokenCount": 12,
        "candidatesTokenCount": number,
        "totalTokenCount": 12 + number,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    }
    response = {
        "candidates": [{"content": content, **candidate, "index": 0}],
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "aYFfavXOBYDQjrEP1JudsA4",
    }
    text = json.dumps(response, ensure_ascii=False, separators=(",", ": "))
    return f"data: {text}\r\n\r\n".encode()


def bedrock(count: int) -> Stream:
    """Frames of 154 to 221 bytes, as Bedrock's Converse writes them: JSON with padding of any
    length, beside a start and three ends."""
    texts = words(count)
    events = [_frame("messageStart", p="abcd", role="assistant")]
    for number, text in enumerate(texts):
        padding = _LETTERS[: number * 7 % len(_LETTERS)]
        delta = {"text": text}
        events.append(_frame("contentBlockDelta", contentBlockIndex=0, delta=delta, p=padding))
    events.append(_frame("contentBlockStop", contentBlockIndex=0, p="abc"))
    events.append(_frame("messageStop", p="abcdef", stopReason="end_turn"))
    usage = {"inputTokens": 9, "outputTokens": count, "totalTokens": count + 9}
    events.append(_frame("metadata", metrics={"latencyMs": 547}, p="ab", usage=usage))
    return Stream("application/vnd.amazon.eventstream", events, "".join(texts))


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _frame(type: str, **fields: Any) -> bytes:
    headers = b"".join(
        b"%c%b\7%b%b" % (len(name), name, len(value).to_bytes(2, "big"), value)
        for name, value in (
            (b":event-type", type.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    payload = _json(fields)
    lengths = pack(">II", 16 + len(headers) + len(payload), len(headers))
    frame = b"".join((lengths, pack(">I", crc32(lengths)), headers, payload))
    return frame + pack(">I", crc32(frame))


STREAMS: dict[str, Callable[[int], Stream]] = {
    "openai": openai,
    "mistral": mistral,
    "anthropic": anthropic,
    "openai-responses": responses,
    "gemini": gemini,
    "ollama": ollama,
    "cohere": cohere,
    "bedrock": bedrock,
    "darkai": darkai,
    "aichats": aichats,
    "aichatonline": aichatonline,
}
"""By dialect, a function that makes an answer of a number of text events."""


def openai_document(count: int) -> Stream:
    """A whole chat completion, as an answer that was not asked to be streamed."""
    text = "".join(words(count))
    message = {"role": "assistant", "content": text, "refusal": None}
    usage = {"prompt_tokens": 12, "completion_tokens": count, "total_tokens": 12 + count}
    document = {
        **_chunk(0, ""),
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }
    return _document(document, text)


def anthropic_document(count: int) -> Stream:
    """A whole message of Anthropic's."""
    text = "".join(words(count))
    document = {
        "id": "msg_01EbDEqWaPoEJkRcsZfDqQtk",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": count},
    }
    return _document(document, text)


def _document(document: dict[str, Any], text: str) -> Stream:
    body = _json(document)
    middle = len(body) // 2
    return Stream("application/json", [body[:middle], body[middle:]], text)


DOCUMENTS = {"openai": openai_document, "anthropic": anthropic_document}
"""By dialect, a function that makes a whole answer, in two pieces, with that many words."""


FORMS: dict[str, tuple[bytes, bytes]] = {
    "openai": (b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}\n\n'),
    "mistral": (b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}\n\n'),
    "anthropic": (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        b'{"type":"text_delta","text":"',
        b'"}}\n\n',
    ),
    "gemini": (
        b'data: {"candidates": [{"content": {"parts": [{"text": "',
        b'"}],"role": "model"},"index": 0}]}\r\n\r\n',
    ),
    "ollama": (
        b'{"model":"m","created_at":"2026-08-04T19:58:15.000001Z",'
        b'"message":{"role":"assistant","content":"',
        b'"},"done":false}\n',
    ),
    "cohere": (
        b'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":'
        b'{"message":{"content":{"text":"',
        b'"}}}}\n\n',
    ),
    "openai-responses": (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
        b'"item_id":"m","output_index":0,"content_index":0,"delta":"',
        b'"}\n\n',
    ),
    "darkai": (b'data: {"event": "text-chunk", "data": {"text": "', b'"}}\n\n'),
    "aichats": (b"data: ", b"\n"),
    "aichatonline": (b'{"code":200,"data":{"message":"', b'"}}\n'),
}
"""By dialect, the least that comes before and after the text of an event; but for bedrock, whose
frames have checksums."""


BEGINNINGS = {"anthropic": 2, "openai-responses": 4, "cohere": 2}
"""By dialect, how many events stand before the first text; none if it is not named here."""


def sized(dialect: str, size: int, count: int = 1) -> Stream:
    """`count` events of `size` bytes each, almost all of it text."""
    before, after = FORMS[dialect]
    text = "x" * (size - len(before) - len(after))
    model = STREAMS[dialect](0)
    first = BEGINNINGS.get(dialect, 0)
    events = [before + text.encode() + after] * count
    events = [*model.events[:first], *events, *model.events[first:]]
    return Stream(model.content_type, events, text * count)


def plain(stream: Stream) -> Stream:
    """The same without U+2028, for those that take it for the end of a line."""
    events = [event.replace("\u2028".encode(), b"...") for event in stream.events]
    return Stream(stream.content_type, events, stream.text.replace("\u2028", "..."))


def cut(body: bytes, size: int) -> list[bytes]:
    """`body` split into pieces of `size` bytes."""
    return [body[start : start + size] for start in range(0, len(body), size)]


def chunked(stream: Stream) -> list[bytes]:
    """An HTTP/1.1 response with `stream`: the head, each event in its own chunk, the end."""
    head = (
        "HTTP/1.1 200 OK\r\n"
        f"content-type: {stream.content_type}\r\n"
        "transfer-encoding: chunked\r\n"
        "\r\n"
    )
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in stream.events]
    return [head.encode(), *chunks, b"0\r\n\r\n"]


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"

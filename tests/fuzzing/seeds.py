"""What the targets begin with: answers that the server halves give, and others that were seen;
and words that a fuzzer would not find by itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    LogProbs,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service

__all__ = [
    "AICHATONLINE",
    "AICHATS",
    "DARKAI",
    "JSON_WORDS",
    "LINE_WORDS",
    "OPENAI",
    "OPENAI_WORDS",
    "OTHER_WORDS",
    "PICTURES",
    "SEPARATOR",
    "answer",
]

SEPARATOR = b"\x1e"
"""Stands between two answers."""


def answer(name: str, events: list[Event]) -> bytes:
    """The body by which the server half of `name` says `events`."""
    responder = Service(PROVIDERS[name]).responder()
    return b"".join(map(responder.send, events)) + responder.end()


def _recorded() -> Iterator[bytes]:
    """Of each recorded stream of chat completions, some lines of its beginning and of its end.

    They lie in the folder that TOKENWIRE_CORPUS names, if it is set.
    """
    folder = os.environ.get("TOKENWIRE_CORPUS")
    if not folder:
        return
    size = 500
    for line in (Path(folder) / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["format"] == "openai-chat":
            body = (Path(folder) / row["file"]).read_bytes()
            yield body[:size].rpartition(b"\n")[0] or body[:size]
            if len(body) > size:
                yield body[-size:].partition(b"\n")[2]


_HI: list[Event] = [Text("h\u20ac"), Text(" i\n")]
_CALL: list[Event] = [
    Start("c-1", "m"),
    Reasoning("so"),
    ToolCallStart(0, "a", "f"),
    ToolCallDelta(0, '{"q":'),
    ToolCallDelta(0, "1}"),
    Finish("tool_calls", "tool_call"),
    Usage(1, 2, 3, raw={"prompt_tokens": 1}),
    End("terminator"),
]
_RICH: list[Event] = [
    Start("c-1", "m"),
    Refusal("no"),
    Citation("https://a.example", "A"),
    LogProbs([TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1.0)])]),
    Text("b", index=1),
    Finish("length", "length", index=1),
    Finish("stop", "stop", index=0),
]

OPENAI = [
    answer("openai", [*_HI, Finish("stop", "stop"), End("terminator")]),
    answer("openai", _CALL),
    answer("openai", _RICH),
    b'{"id":"c","model":"m","choices":[{"message":{"content":"hi","tool_calls":[{"id":"x",'
    b'"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1}}',
    b'data: {"choices":[{"message":{"content":{"a":1}}}]}\n\ndata: [DONE]\n\n',
    b'data: {"error":{"message":"no","code":"rate_limit"}}\n\n',
    b'event: error\ndata: {"message":"no"}\n\n',
    b'error: {"message":"no"}\n\n{\n "error": {\n  "message": "no"\n }\n}\n',
    b": ping\n\ndata: hello\n\nfoo: bar\n\ndata: [DONE]\n\n",
    b'data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"thinking",'
    b'"thinking":[{"text":"b"}]},{"x":1}],"reasoning_details":[{"type":"t","text":"c"}],'
    b'"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"stop"}],'
    b'"x_groq":{"usage":{"total_tokens":1}},"citations":["https://a"]}\r\n\r\n',
    b'{"error":{"message":"no","type":"auth"}}',
    b"<html>captcha</html>",
    *_recorded(),
]
DARKAI = [
    answer("darkai", [*_HI, End("terminator")]),
    b'data:{"event":"text-chunk","data":{"text":"\\ud83d"}}\r\ndata: {"event":"x"}\rid: 1\n'
    b': c\ndata: {"event":"stream-end"}',
    b'event: error\ndata: {"data":{"detail":"no"}}\n\n',
    b'{"detail":"no"}',
]
AICHATS = [
    answer("aichats", [Text(" a\n b "), Text("\u20ac")]),
    b"\xef\xbb\xbfdata:a\r\ndata:  b \r\rfoo\ndata\ndata:\xff\x0b\n",
    b'{"error":"no"}',
]
PICTURES = [
    b'{"data": [{"url": "https://img.test/1.png"}]}' + SEPARATOR + b"\x89PNG",
    b'{"data":[]}' + SEPARATOR,
    b'{"error":{"message":"no"}}' + SEPARATOR,
]
AICHATONLINE = [
    b'{"code":200,"data":"token-1"}' + SEPARATOR + answer("aichatonline", _HI),
    b'{"data":"t"}' + SEPARATOR + b'{"data":{"message":"a"}}\r{"x":1}\r\n\n[DONE]\n',
    b'{"code":401,"message":"no"}' + SEPARATOR,
    b'{"data":"t"}' + SEPARATOR + b'{"code":"500","message":"no"}\n',
]

LINE_WORDS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"data: ", b"event: error\n", b": c\n"),
    *(b"\xef\xbb\xbf", b"\xe2\x82\xac", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff", b"\0"),
]
JSON_WORDS = [
    *rb'{ } [ ] " ": , null true false \ud83d \u \n 1e9 1e400 -0 1.5 NaN Infinity {"a":1}'.split(),
    b"12345678901234567890",
    b"\xed\xa0\x80",
]
OPENAI_WORDS = [
    *(b"data: [DONE]\n\n", b"error: ", b"<html>"),
    *(
        b'"choices":[{"delta":{ "content":"x" "finish_reason":"stop" "index":1 "id": "model":"m" '
        b'"reasoning":"r" "reasoning_content":"r" "refusal":"r" "usage":{ "text": "message":{ '
        b'"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}] "error":{ '
        b'"annotations":[{"url_citation":{"url":"u"}}] "logprobs":{"content":[{"token":"a", '
        b'"logprob":-1}]} "function_call":{"name":"f"} "reasoning_details":[{ "type":"text" '
        b'"thinking":[{"text":"t"}] "summary":"s" "signature":"s" "data": "arguments": '
        b'"x_groq":{"usage": "citations":["c"] "prompt_tokens":1 "finish_reason":"length" '
        b'"finish_reason":"tool_calls" "content":{"a":1}'
    ).split(),
]
OTHER_WORDS = [
    *(SEPARATOR, b'data: {"event":"stream-end"}\n\n', b'{"data":{"message":"a"}}\n', b"[DONE]"),
    *(
        b'"event":"text-chunk" "data":{"text":"a"} {"event":"text-chunk","data":{"text":"b"}} '
        b'"code":200 "data":"t" "detail":"x" "message":"x" {"error":{"message":"no","code":"c"}} '
        b'{"data":[{"url":" https://a.test/ http://127.0.0.1/ ?k=sekret12 <html>'
    ).split(),
]

"""Chat completions, client half: requests, and answers with every quirk from 15 to 26."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.driving import JSON, SSE, Ending, Outcome, Response, alike, drive, no_sign_of_life
from tests.formats.openai_chat import THE_LONG_WAY
from tokenwire.protocols.chat import Chat, ImagePart, Message, TextPart, Tool, ToolCall, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    TimedOut,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.formats.openai_chat.wire import IGNORES
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.question import Question
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.refusals import ErrorTable

CHAT = as_chat("hi", model="m")
DONE = "[DONE]"
END = End("terminator")


def ask(chat: Chat = CHAT, limits: Limits | None = None) -> Exchange:
    return PROVIDERS["openai"].exchange(chat, limits=limits)


def sse(*payloads: Any) -> bytes:
    """An event each: JSON of anything but text, which is as it is."""
    texts = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
    return b"".join(b"data: %b\n\n" % text.encode() for text in texts)


def choice(delta: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A choice of a chunk; without a `delta` if that is None."""
    return {"index": index, **({} if delta is None else {"delta": delta}), **more}


def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
    return {"choices": list(choices), **more}


def say(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return chunk(choice({"content": text}, index), **more)


def stop(reason: str = "stop", index: int = 0, **more: Any) -> dict[str, Any]:
    return chunk(choice({}, index, finish_reason=reason), **more)


def receive(*payloads: Any, n: int | None = None) -> Outcome:
    return alike(ask(CHAT.replace(n=n)), sse(*payloads))


def events_of(*payloads: Any, n: int | None = None) -> list[Event]:
    """The events of a success but for its last, which is `[DONE]`'s."""
    *events, end = receive(*payloads, n=n).succeeded().events
    assert end == END
    return events


def calls(*fragments: Any, reason: str | None = "tool_calls") -> list[Event]:
    """The events that a choice gives whose deltas have these lists of tool call fragments."""
    chunks = [chunk(choice({"tool_calls": fragment})) for fragment in fragments]
    return events_of(*chunks, *([stop(reason)] if reason else []), DONE)


# Requests


def request_of(chat: Chat = CHAT, **options: Any) -> tuple[dict[bytes, bytes], Any]:
    request = PROVIDERS["openai"].exchange(chat, **options).next_request()
    assert request is not None
    assert request.method == "POST"
    assert request.url == "https://api.openai.com/v1/chat/completions"
    return dict(request.headers), json.loads(request.body)


def test_request() -> None:
    headers, body = request_of(key="sk-1234567890")
    assert headers[b"authorization"] == b"Bearer sk-1234567890"
    assert headers[b"accept"] == b"text/event-stream"
    assert headers[b"accept-encoding"] == b"identity"
    assert headers[b"content-type"] == b"application/json"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_request_without_key_or_stream() -> None:
    headers, body = request_of(CHAT.replace(stream=False))
    assert b"authorization" not in headers
    assert headers[b"accept"] == b"application/json"
    assert body["stream"] is False


def test_request_with_all_there_is() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    chat = Chat(
        model="m",
        messages=(
            Message("system", "be brief"),
            Message("user", (TextPart("what is"), ImagePart("https://x.test/a.png"))),
            Message("assistant", (ToolCall("c1", "f", '{"x":1}'),)),
            Message("tool", "7", tool_call_id="c1"),
        ),
        tools=(Tool("f", "does f", schema), Tool("g")),
        tool_choice="f",
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        stop=("a", "b"),
        n=2,
        seed=3,
        extra={"user": "u", "seed": 4},
    )
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    f = {"name": "f", "description": "does f", "parameters": schema}
    assert request_of(chat)[1] == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "what is"}, picture]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "content": "7", "tool_call_id": "c1"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {"type": "function", "function": f},
            {"type": "function", "function": {"name": "g", "parameters": nothing}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 7,
        "stop": ["a", "b"],
        "n": 2,
        "seed": 4,
        "user": "u",
    }


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_tool_choice_that_is_no_name(mode: str) -> None:
    assert request_of(CHAT.replace(tool_choice=mode))[1]["tool_choice"] == mode


def test_no_message() -> None:
    with pytest.raises(LocalProtocolError, match=r"^no message: a chat needs at least one$"):
        ask(Chat(messages=(), model="m"))


# Streams as they should be


def test_plain_stream() -> None:
    head: dict[str, Any] = {"id": "c1", "model": "m-1"}
    assert events_of(
        chunk(choice({"role": "assistant", "content": ""}), **head),
        say("Hel", **head),
        say("", **head),
        say("lo", **head),
        stop(**head),
        DONE,
    ) == [Start("c1", "m-1"), Text("Hel"), Text("lo"), Finish("stop", "stop")]


def test_finish_without_terminator_is_enough() -> None:
    outcome = receive(say("a"), stop()).succeeded()
    assert outcome.events == [Text("a"), Finish("stop", "stop"), End("finish")]


@pytest.mark.parametrize("ending", ["close", "disconnect", "timeout"])
def test_finish_then_nothing_more(ending: Ending) -> None:
    outcome = alike(ask(), Response(sse(say("a"), stop()), ending=ending)).succeeded()
    assert outcome.events[-1] == End("finish")


@pytest.mark.parametrize("ending", ["eof", "close", "disconnect"])
def test_no_finish_is_truncated(ending: Ending) -> None:
    outcome = alike(ask(), Response(sse(say("a")), ending=ending))
    assert outcome.refused_by(Truncated, "before data: [DONE] or a finish_reason").events == [
        Text("a")
    ]


KEEPALIVES = [
    b"\n",
    b": ping\n",
    b"event: ping\ndata: {}\n\n",
    b'data: {"type": "ping"}\n\n',
    b"event: message\n\n",
    b"id: 7\n\n",
    b"retry: 1000\n\n",
    b'data: {"choices": []}\n\n',
    b'data: {"choices": [], "usage": null}\n\n',
    b'data: {"choices": null, "id": "c"}\n\n',
    b'data: {"choices": [{"delta": {"content": ""}, "logprobs": {"content": []}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": ""}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": null}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": ""}}]}\n\n',
    sse(dict.fromkeys(sorted(IGNORES - {"type"}), 1)),
]


@pytest.mark.parametrize("ping", KEEPALIVES)
def test_keepalives_are_no_sign_of_life(ping: bytes) -> None:
    no_sign_of_life(ask(), sse(say("a")), ping)


# Framing (quirks 1 to 13)


def test_quirk_1_crlf() -> None:
    body = sse(say("a"), stop(), DONE)
    crlf = alike(ask(), body.replace(b"\n", b"\r\n"))
    assert crlf.what == alike(ask(), body.replace(b"\n", b"\r")).what == alike(ask(), body).what


@pytest.mark.parametrize(
    "idle", [b": OPENROUTER PROCESSING\n\n", b":\n", b": ping - 2025\n\n" * 3, b"\n" * 50, b"\r\n"]
)
def test_quirks_2_and_3_comments_and_blank_lines(idle: bytes) -> None:
    body = idle + sse(say("a")) + idle + sse(stop()) + idle + sse(DONE)
    assert alike(ask(), body).succeeded().events == [Text("a"), Finish("stop", "stop"), END]


def test_quirk_4_error_field() -> None:
    body = sse(say("a")) + b'error: {"message": "out of memory", "code": 503}\n\n'
    outcome = alike(ask(), body).refused_by(Overloaded, "out of memory")
    assert outcome.events == [Text("a")]


def test_quirk_4_error_field_that_is_text() -> None:
    alike(ask(), sse(say("a")) + b"error: it broke\n\n").refused_by(Refused, "it broke")


PRETTY = b'{\n  "error": {\n    "message": "boom",\n    "code": 429\n  }\n}\n'


@pytest.mark.parametrize("behind", [b"", b"\n", b"data: [DONE]\n\n"])
def test_quirk_5_pretty_printed_error(behind: bytes) -> None:
    outcome = alike(ask(), sse(say("a")) + PRETTY + behind)
    assert outcome.refused_by(RateLimited, "boom").events == [Text("a")]


def test_what_is_no_call_does_not_make_the_answer_one() -> None:
    said = {"content": "a", "tool_calls": [{"fun": 1}]}
    events = events_of(chunk(choice(said)), stop(), DONE)
    assert events == [
        Text("a"),
        Unrecognized(b'{"fun": 1}', "choices[0].delta.tool_calls"),
        Finish("stop", "stop"),
    ]


def test_quirk_5_json_that_is_no_error() -> None:
    unknown = b'{\n"cost": {"eur": 1}\n}\n'
    outcome = alike(ask(), sse(say("a")) + unknown + sse(stop(), DONE)).succeeded()
    assert outcome.events == [Text("a"), Unrecognized(unknown), Finish("stop", "stop"), END]


def test_json_without_its_end_is_not_lost() -> None:
    outcome = alike(ask(), sse(say("a")) + b'{"cost":\n1\n' + sse(stop(), DONE)).succeeded()
    assert outcome.events[1:] == [Unrecognized(b'{"cost":\n1\n'), Finish("stop", "stop"), END]
    cut = alike(ask(), sse(say("a")) + PRETTY[:20]).refused_by(Truncated)
    assert cut.events[0] == Text("a")
    assert isinstance(cut.events[1], Unrecognized)


def test_json_without_its_end_is_not_kept_for_ever() -> None:
    body = sse(say("a")) + b"{\n" + b"1,\n" * 9 + sse(stop(), DONE)
    outcome = alike(ask(limits=Limits(error_body=20)), body).succeeded()
    strays = [e.raw for e in outcome.events if isinstance(e, Unrecognized)]
    assert b"".join(strays).startswith(b"{\n1,\n1,\n")


def test_unknown_line() -> None:
    outcome = alike(ask(), sse(say("a")) + b"hello there\n" + sse(stop(), DONE)).succeeded()
    assert outcome.events[1] == Unrecognized(b"hello there")


@pytest.mark.parametrize("comment", [b"", b": hm\n"])  # with one, lines are read one by one
def test_quirk_7_events_after_done(comment: bytes) -> None:
    body = comment + sse(say("a"), stop(), DONE, {"cost": 1}, say("b"), "junk")
    assert alike(ask(), body).events == [Text("a"), Finish("stop", "stop"), END]


def test_the_step_lets_go_of_its_prompt() -> None:
    question = Question(PROVIDERS["openai"], CHAT, "m", "http://h/v1", Limits(), key="key-secret")
    step = PROVIDERS["openai"].dialect.ask(question)
    remembered = step.request.remembered()
    assert remembered != step.request
    step.response(200, [])
    assert step.request == remembered


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_last_event_without_its_blank_line(end: bytes) -> None:
    body = sse(say("a"), say("b"), stop()).removesuffix(b"\n\n") + end
    outcome = alike(ask(), body).succeeded()
    assert outcome.events == [Text("a"), Text("b"), Finish("stop", "stop"), End("finish")]


def test_what_is_too_long_fails_before_it_is_whole() -> None:
    """What came with it is handed out first; after [DONE] it is no fault."""
    rest = b"data: " + b"x" * 300
    for body, events in (
        (sse(say("a")), [Text("a")]),
        (sse(say("a"), DONE), [Text("a"), END]),
    ):
        exchange = ask(limits=Limits(event=300))
        exchange.next_request()
        exchange.receive_response(200, SSE)
        assert exchange.receive_data(body + rest) == events
        assert exchange.answered == (END in events)
        assert exchange.failed == (END not in events)


def test_what_is_too_long_after_done_is_no_fault() -> None:
    body = sse(say("a"), stop(), DONE, "x" * 500)
    assert alike(ask(limits=Limits(event=300)), body).succeeded()
    early = sse(say("a"), stop(), "x" * 500, DONE)
    outcome = alike(ask(limits=Limits(event=300)), early)
    outcome.refused_by(LimitExceeded, "300 bytes")
    assert outcome.events == [Text("a"), Finish("stop", "stop")]


@pytest.mark.parametrize("mark", ["data:[DONE]", "data: [DONE] ", "data:  [DONE]"])
def test_quirk_9_spaces(mark: str) -> None:
    body = sse(say("a")).replace(b"data: ", b"data:") + mark.encode() + b"\n\n"
    assert alike(ask(), body).succeeded().events == [Text("a"), END]


def test_quirk_10_last_event_without_its_blank_line() -> None:
    for ends in (1, 2):
        body = sse(say("a"), stop())[:-ends]
        assert alike(ask(), body).succeeded().events[-2:] == [Finish("stop", "stop"), End("finish")]
        body = sse(say("a"), DONE)[:-ends]
        assert alike(ask(), body).succeeded().events == [Text("a"), END]
    # Not where nobody says that the line is whole.
    alike(ask(), Response(body, ending="disconnect")).refused_by(Truncated)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_events_that_end_with_one_line_feed(end: bytes) -> None:
    body = sse(say("a"), say("b"), stop(), DONE).replace(b"\n\n", b"\n")[:-1] + end
    outcome = alike(ask(), body).succeeded()
    assert outcome.events == [Text("a"), Text("b"), Finish("stop", "stop"), END]


def test_events_that_end_with_one_line_feed_come_as_they_arrive() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, SSE)
    body = sse(say("a"), say("b"), say("c")).replace(b"\n\n", b"\n")
    assert exchange.receive_data(body) == [Text("a"), Text("b")]
    # One that was cut is Truncated, with all that came.
    assert exchange.receive_data(b'data: {"choices') == []
    assert exchange.receive_eof() == [Text("c"), Unrecognized(b'{"choices')]
    with pytest.raises(Truncated):
        exchange.next_request()


def test_last_event_that_was_cut_is_no_malformed_one() -> None:
    body = sse(say("a"), say("bcd"))[:-8]
    outcome = alike(ask(), body).refused_by(Truncated)
    assert outcome.events == [Text("a"), Unrecognized(body.rpartition(b"data: ")[2])]


def test_quirk_11_several_data_lines_id_and_retry() -> None:
    body = (
        b'retry: 100\n\nid: 1\ndata: {"choices": [{"index": 0,\ndata:  "delta": {"content": "a"}}'
        b"]}\n\nid: 2\ndata: [DONE]\n\n"
    )
    assert alike(ask(), body).succeeded().events == [Text("a"), END]


def test_quirk_11_data_that_is_not_json() -> None:
    outcome = receive(say("a"), "<b>oops", "1", say("b"), DONE).succeeded()
    handed_on = [Unrecognized(b"<b>oops"), Unrecognized(b"1")]
    assert outcome.events == [Text("a"), *handed_on, Text("b"), END]
    outcome = receive(say("a"), '{"id":}]}', say("b")).refused_by(Malformed, "not JSON", "id")
    assert outcome.events == [Text("a")]


def test_quirk_12_line_separators_are_data() -> None:
    text = "a\u2028b\u2029c\u0085d"
    body = "data: " + json.dumps(say(text), ensure_ascii=False) + "\n\ndata: [DONE]\n\n"
    assert alike(ask(), body.encode()).succeeded().events == [Text(text), END]


def test_quirk_13_bom_and_half_characters() -> None:
    body = b"\xef\xbb\xbf" + sse(say("\u20ac")) + b'data: {"choices":[{"index":0,"delta":{'
    body += b'"content":"\xe2\x82"}}]}\n\n' + sse('{"choices":[{"delta":{"content":"\\ud83d"}}]}')
    outcome = alike(ask(), body + sse(DONE)).succeeded()
    assert outcome.events == [Text("\u20ac"), Text("\ufffd"), Text("\ufffd"), END]


# Chat completions and their relatives (quirks 15 to 26)


def test_quirk_15_chunks_without_choices() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert events_of(
        chunk(id="", model="", object="", prompt_filter_results=[{"prompt_index": 0}]),
        say("a", id="c", model="m"),
        stop(),
        chunk(usage=usage),
        chunk(moderation={"flagged": False}),
        DONE,
    ) == [
        Start("c", "m"),
        Text("a"),
        Usage(1, 2, 3, raw=usage),
        Finish("stop", "stop"),
    ]


def test_quirk_16_deltas_of_every_poverty() -> None:
    assert events_of(
        chunk(choice(None)),
        chunk(choice({"role": None, "content": None})),
        chunk(choice({"role": "assistant", "content": "a"})),
        chunk(choice({"role": "assistant", "content": "b"})),
        chunk(choice({"content": ""})),
        chunk({"delta": {"content": "c"}}),
        stop(),
        chunk(choice({})),
        DONE,
    ) == [Text("a"), Text("b"), Text("c"), Finish("stop", "stop")]


def test_quirk_17_finish_reason_twice() -> None:
    usage = {"total_tokens": 3}
    assert events_of(say("a"), stop(), stop(usage=usage), DONE) == [
        Text("a"),
        Usage(total_tokens=3, raw=usage),
        Finish("stop", "stop"),
    ]


def test_quirk_17_finish_reason_never() -> None:
    assert events_of(say("a"), DONE) == [Text("a")]


def test_quirk_17_finish_reason_beside_content() -> None:
    last = chunk(choice({"content": "b"}, finish_reason="stop"))
    assert events_of(say("a"), last, DONE) == [Text("a"), Text("b"), Finish("stop", "stop")]


def test_quirk_17_empty_finish_reason_is_none() -> None:
    empty = chunk(choice({"content": "a"}, finish_reason=""))
    assert events_of(empty, DONE) == [Text("a")]
    receive(empty).refused_by(Truncated)


def test_quirk_17_content_after_finish() -> None:
    assert events_of(stop(), say("a"), DONE) == [Text("a"), Finish("stop", "stop")]


@pytest.mark.parametrize("ending", ["eof", "disconnect"])
@pytest.mark.parametrize("apart", [True, False])
def test_content_after_finish_and_a_cut(ending: Ending, apart: bool) -> None:
    """It is unfinished again, until the next reason: else half an answer would be a success."""
    first = stop() if apart else chunk(choice({"content": "a"}, finish_reason="stop"))
    body = sse(say("x"), first, say("b"), say("c"))
    outcome = drive(ask(), Response(body, ending=ending))
    assert isinstance(outcome.error, Truncated)
    assert outcome.reply.text.endswith("bc")
    again = drive(ask(), Response(body + sse(stop()), ending=ending)).succeeded()
    assert again.events[-2:] == [Finish("stop", "stop"), End("finish")]
    usage: Any = {"choices": [], "usage": {"total_tokens": 1}}  # which says nothing of the choice
    drive(ask(), Response(sse(say("x"), first, usage, say("")), ending=ending)).succeeded()


@pytest.mark.parametrize("ending", ["eof", "disconnect", "timeout"])
def test_half_an_event_after_finish(ending: Ending) -> None:
    """It may be more content, so that the reason shows nothing. A terminator, or what is no event
    yet, is none."""
    body = sse(say("x"), stop())
    for half in (json.dumps(say("y")).encode()[:-1], b'{"choices":[', b"{"):
        outcome = alike(ask(), Response(body + b"data: " + half, ending=ending))
        assert isinstance(outcome.error, TimedOut if ending == "timeout" else Truncated)
        unknown = [Unrecognized(half)] if ending == "eof" else []
        assert outcome.events == [Text("x"), *unknown, Finish("stop", "stop")]
    for rest in (b"data: [DON", b"data: [DONE]", b"data: ", b"da", b": {", b"\n", b"event: x\n"):
        outcome = drive(ask(), Response(body + rest, ending=ending))
        assert isinstance(outcome.succeeded().events[-1], End)
    whole = drive(ask(), Response(body + sse(say("y")).rstrip(), ending=ending))
    assert isinstance(whole.error, TimedOut if ending == "timeout" else Truncated)


def test_quirk_18_stop_with_tool_calls() -> None:
    call = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
    assert calls(call, reason="stop") == [
        ToolCallStart(0, "c", "f"),
        ToolCallDelta(0, "{}"),
        ToolCallEnd(0, "c", "f", "{}", True),
        Finish("stop", "tool_call"),
    ]


@pytest.mark.parametrize(("arguments", "kept"), [('{"a": [1', '{"a": [1'), ("", "{}")])
def test_quirk_18_length_with_cut_arguments(arguments: str, kept: str) -> None:
    call = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": arguments}}]
    assert calls(call, reason="length")[-2:] == [
        ToolCallEnd(0, "c", "f", kept, False),
        Finish("length", "length"),
    ]


def test_a_cut_stream_ends_no_tool_call() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    outcome = receive(chunk(choice({"tool_calls": [call]}))).refused_by(Truncated)
    assert outcome.events == [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")]


def test_quirk_19_usage_on_every_chunk() -> None:
    first, last = {"total_tokens": 1, "prompt_tokens_details": None}, {"total_tokens": 2}
    outcome = receive(say("a", usage=first), say("b", usage=last), stop(usage=None), DONE)
    assert [e for e in outcome.events if isinstance(e, Usage)] == [
        Usage(total_tokens=1, raw=first),
        Usage(total_tokens=2, raw=last),
    ]
    assert outcome.reply.usage == Usage(total_tokens=2, raw=last)


def test_an_error_in_x_groq() -> None:
    """The stream stopped early, whatever its reason says."""
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    half = chunk(choice({"tool_calls": [{"index": 0, **call}]}))
    last = stop("tool_calls", x_groq={"error": {"message": "no", "code": "rate_limit"}})
    outcome = receive(say("a"), half, last, "[DONE]").refused_by(RateLimited, "refused: no")
    assert outcome.reply.text == "a"
    assert [e.complete for e in outcome.events if isinstance(e, ToolCallEnd)] == [False]
    receive(say("a"), stop(x_groq={"error": ""}), "[DONE]").succeeded()


def test_quirk_19_usage_in_x_groq() -> None:
    assert events_of(
        say("a", x_groq={"id": "r"}),
        stop(x_groq={"usage": {"total_tokens": 1}}),
        chunk(x_groq="?"),
        chunk(usage={"total_tokens": 2}, x_groq={"usage": {"total_tokens": 1}}),
        DONE,
    ) == [
        Text("a"),
        Usage(total_tokens=1, raw={"total_tokens": 1}),
        Usage(total_tokens=2, raw={"total_tokens": 2}),
        Finish("stop", "stop"),
    ]


def test_usage_without_choices() -> None:
    """Without `choices`, and of no use at all."""
    assert events_of(say("a"), {"usage": {"total_tokens": 1}}, {"usage": 5}, DONE) == [
        Text("a"),
        Usage(total_tokens=1, raw={"total_tokens": 1}),
        Unrecognized(b"5", "usage"),
    ]


def test_usage_in_detail() -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": "many",
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert events_of(say("a", usage=usage), DONE)[1] == Usage(1, 2, 3, 4, None, 5, usage)


def test_quirk_20_id_and_model_change() -> None:
    assert events_of(say("a", id="x", model="m"), say("b", id="stub", model="n"), DONE) == [
        Start("x", "m"),
        Text("a"),
        Text("b"),
    ]


@pytest.mark.parametrize(
    "first",
    [
        chunk(id="", model="m"),  # Copilot
        chunk(id="", model=""),  # Azure
        chunk(choice({"role": "assistant", "content": ""})),
        chunk(choice({"role": "assistant"}), model="m"),
    ],
)
def test_the_start_waits_for_the_id(first: dict[str, Any]) -> None:
    """As long as nothing else is said."""
    assert events_of(first, say("a", id="x", model="m"), stop(), DONE) == [
        Start("x", "m"),
        Text("a"),
        Finish("stop", "stop"),
    ]


def test_the_start_is_first_or_never() -> None:
    assert events_of(say("a"), say("b", id="x", model="m"), DONE) == [Text("a"), Text("b")]
    assert events_of(say("a", model="m"), say("b", id="x"), DONE)[0] == Start("", "m")


def test_the_start_of_an_answer_that_says_nothing() -> None:
    assert events_of(stop(model="m"), DONE) == [Start("", "m"), Finish("stop", "stop")]


def test_the_start_is_before_what_an_error_left() -> None:
    outcome = receive(say("a", model="m", error={"message": "no"}))
    outcome.refused_by(Refused)
    assert outcome.events == [Start("", "m"), Text("a")]


@pytest.mark.parametrize("head", [{"id": "x"}, {"model": "n"}])
def test_half_a_start(head: dict[str, Any]) -> None:
    start = Start(head.get("id", ""), head.get("model", ""))
    assert events_of(say("a", **head), DONE) == [start, Text("a")]


def test_quirk_21_cumulative_duplicates() -> None:
    def both(delta: str, whole: str) -> dict[str, Any]:
        return chunk(
            choice({"content": delta}, message={"role": "assistant", "content": whole}, text=delta)
        )

    assert events_of(both("a", "a"), both("b", "ab"), DONE) == [Text("a"), Text("b")]


@pytest.mark.parametrize("empty", [{}, {"role": "assistant", "content": ""}, {"content": None}])
def test_an_answer_beside_empty_deltas(empty: dict[str, Any]) -> None:
    assert events_of(chunk(choice(empty, text="a")), chunk(choice(empty, text="b")), DONE) == [
        Text("a"),
        Text("b"),
    ]
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "a", "tool_calls": [call]}
    assert events_of(chunk(choice(empty, message=message)), stop("tool_calls"), DONE) == [
        Text("a"),
        ToolCallStart(0, "c", "f", part=1),
        ToolCallDelta(0, "{}"),
        ToolCallEnd(0, "c", "f", "{}", True),
        Finish("tool_calls", "tool_call"),
    ]


def test_what_repeats_the_deltas_is_none_of_the_answer() -> None:
    whole = choice({}, message={"content": "ab"}, text="")
    assert events_of(say("a"), say("b"), chunk(whole), DONE) == [Text("a"), Text("b")]


def test_old_completion() -> None:
    assert events_of(chunk(choice(text="a")), DONE) == [Text("a")]


NO_ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "empty": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}],
    "null in a string": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "null"}}],
    "null": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": None}}],
    "none": [{"index": 0, "id": "c", "function": {"name": "f"}}],
    "an empty object": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": {}}}],
}


@pytest.mark.parametrize("form", NO_ARGUMENTS)
def test_quirk_22_call_without_arguments(form: str) -> None:
    end = ToolCallEnd(0, "c", "f", "{}", True)
    assert [e for e in calls(NO_ARGUMENTS[form]) if isinstance(e, ToolCallEnd)] == [end]


def fragment(arguments: str = "", **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"function": {**name, "arguments": arguments}, **more}


F = fragment('{"a":', index=0, id="c1", name="f")
G = fragment('{"b":', index=1, id="c2", name="g")
F_AND_G: dict[str, list[list[dict[str, Any]]]] = {
    "whole, in a fragment each": [
        [fragment('{"a":1}', index=0, id="c1", name="f")],
        [fragment('{"b":2}', index=1, id="c2", name="g")],
    ],
    "several in one delta": [[F, G], [fragment("1}", index=0), fragment("2}", index=1)]],
    "interleaved": [[F], [G], [fragment("1}", index=0)], [fragment("2}", index=1)]],
    "no index, whole": [
        [fragment('{"a":1}', id="c1", name="f")],
        [fragment('{"b":2}', id="c2", name="g")],
    ],
    "no index, in pieces": [
        [fragment('{"a":', id="c1", name="f")],
        [fragment("1}")],
        [fragment('{"b":', id="c2", name="g")],
        [fragment("2}")],
    ],
    "index from 1": [
        [fragment('{"a":', index=1, id="c1", name="f")],
        [fragment("1}", index=1)],
        [fragment('{"b":2}', index=2, id="c2", name="g")],
    ],
    "the same index": [
        [fragment('{"a":1}', index=0, id="c1", name="f")],
        [fragment('{"b":2}', index=0, id="c2", name="g")],
    ],
    "null and empty ids": [
        [F],
        [fragment("1}", index=0, id=None)],
        [G],
        [fragment("2", index=1, id="")],
        [fragment("}", index=1, id="", name=None)],
    ],
    "ids on every fragment": [
        [F],
        [fragment("1}", index=0, id="c1")],
        [G],
        [fragment("2}", index=1, id="c2")],
    ],
    "an object": [
        [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}],
        [{"index": 1, "id": "c2", "function": {"name": "g", "arguments": {"b": 2}}}],
    ],
}


@pytest.mark.parametrize("form", F_AND_G)
def test_quirk_22_two_calls(form: str) -> None:
    events = calls(*F_AND_G[form])
    assert [e for e in events if isinstance(e, ToolCallStart)] == [
        ToolCallStart(0, "c1", "f"),
        ToolCallStart(1, "c2", "g", part=1),
    ]
    assert events[-3:] == [
        ToolCallEnd(0, "c1", "f", '{"a":1}', True),
        ToolCallEnd(1, "c2", "g", '{"b":2}', True),
        Finish("tool_calls", "tool_call"),
    ]


def test_tool_calls_end_with_the_stream_too() -> None:
    assert calls([fragment("{}", index=0, id="c", name="f")], reason=None)[-1] == (
        ToolCallEnd(0, "c", "f", "{}", True)
    )


def test_old_function_call() -> None:
    for more in ({}, {"name": "f"}):
        deltas = [{"name": "f", "arguments": '{"a":'}, {"arguments": "1}", **more}]
        chunks = [chunk(choice({"function_call": delta})) for delta in deltas]
        assert events_of(*chunks, stop("function_call"), DONE)[-2:] == [
            ToolCallEnd(0, "", "f", '{"a":1}', True),
            Finish("function_call", "tool_call"),
        ]


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "thi"}, {"reasoning_content": "nk"}],
        [{"reasoning": "thi"}, {"reasoning": "nk"}],
        [{"reasoning": "thi", "reasoning_content": "thi"}, {"reasoning_content": "nk"}],
        [
            {"reasoning_details": [{"type": "reasoning.text", "text": "thi"}]},
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "nk"}]},
        ],
        [
            {"reasoning": "thi", "reasoning_details": [{"type": "reasoning.text", "text": "thi"}]},
            {"reasoning": "nk", "reasoning_details": [{"type": "x", "summary": "nk"}]},
        ],
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "thi"}]}]},
            {"content": [{"type": "thinking", "thinking": [{"text": "n"}, {"text": "k"}]}]},
        ],
    ],
)
def test_quirk_23_reasoning_counts_once(deltas: list[dict[str, Any]]) -> None:
    chunks = [chunk(choice(delta)) for delta in deltas]
    assert events_of(*chunks, say("so"), DONE) == [
        Reasoning("thi"),
        Reasoning("nk"),
        Text("so", part=1),
    ]


@pytest.mark.parametrize("detail", [{"kind": "unheard of"}, {"type": "x", "text": 5}, "text"])
def test_quirk_23_details_that_say_nothing_are_handed_on(detail: Any) -> None:
    place = "choices[0].delta.reasoning_details"
    assert events_of(chunk(choice({"reasoning_details": [detail]})), DONE) == [
        Unrecognized(json.dumps(detail).encode(), place)
    ]


def test_an_empty_detail_is_nothing() -> None:
    empty = {"type": "reasoning.text", "text": "", "signature": None}
    assert events_of(chunk(choice({"reasoning_details": [empty]})), say("a"), DONE) == [Text("a")]


def native(value: Any, part: int = 0) -> Native:
    return Native("openai_chat", json.dumps(value, separators=(",", ":")).encode(), part)


@pytest.mark.parametrize(
    "detail",
    [
        {"type": "reasoning.encrypted", "data": "AAAA"},
        {"type": "reasoning.encrypted", "data": "AAAA", "summary": ""},
        {"type": "reasoning.text", "text": "", "signature": "s"},
        {"type": "reasoning.text", "id": "r1"},
    ],
)
def test_a_detail_without_text_is_a_part_of_its_own(detail: Any) -> None:
    assert events_of(say("a"), chunk(choice({"reasoning_details": [detail]})), DONE) == [
        Text("a"),
        native({"reasoning_details": [detail]}, part=1),
    ]


def test_quirk_23_signed_details_are_one_native_form() -> None:
    """The pieces of one index are joined; those without one stay apart. In their order."""
    pieces: list[dict[str, Any]] = [
        {"type": "reasoning.text", "text": "a", "index": 0, "format": "e"},
        {"type": "reasoning.text", "text": "b", "index": 0, "format": "f"},
        {"type": "reasoning.text", "text": None, "signature": "s", "index": 0, "format": None},
        {"type": "reasoning.summary", "summary": "c", "format": None},
        {"type": "reasoning.summary", "summary": "d"},
        {"type": "reasoning.encrypted", "data": "AA", "index": 0, "id": None},
        {"type": "reasoning.encrypted", "data": "BB", "index": 0, "id": "r"},
    ]
    deltas = [chunk(choice({"reasoning_details": [piece]})) for piece in pieces]
    joined = [
        {"type": "reasoning.text", "text": "ab", "index": 0, "format": "f", "signature": "s"},
        {"type": "reasoning.summary", "summary": "c", "format": None},
        {"type": "reasoning.summary", "summary": "d"},
        {"type": "reasoning.encrypted", "data": "AABB", "index": 0, "id": "r"},
    ]
    *thoughts, text, whole, finish = events_of(*deltas, say("so"), stop(), DONE)
    assert thoughts == [Reasoning(text) for text in "abcd"]
    assert (text, finish) == (Text("so", part=1), Finish("stop", "stop"))
    assert whole == native({"reasoning_details": joined})


def test_copilots_opaque_thoughts() -> None:
    deltas = [{"reasoning_text": "th"}, {"reasoning_text": "ink"}]
    deltas += [{"reasoning_opaque": "AA"}, {"reasoning_opaque": "=="}]
    assert events_of(*(chunk(choice(delta)) for delta in deltas), say("so"), DONE) == [
        Reasoning("th"),
        Reasoning("ink"),
        Text("so", part=1),
        native({"reasoning_text": "think", "reasoning_opaque": "AA=="}),
    ]


def test_thoughts_that_are_not_signed_have_no_native_form() -> None:
    deltas = [{"reasoning_text": "a"}, {"reasoning_details": [{"text": "a", "index": 0}]}]
    for delta in deltas:
        assert events_of(chunk(choice(delta)), DONE) == [Reasoning("a")]
    assert events_of(*map(chunk, map(choice, deltas)), DONE) == [Reasoning("a")]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_details": [{"text": "x" * 60, "index": 0}]},
        {"reasoning_text": "x" * 60},
        {"reasoning_opaque": "x" * 60},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}, "new": "x" * 60}]},
    ],
)
def test_what_is_kept_for_native_forms_is_bounded(delta: Any) -> None:
    body = sse(*[chunk(choice(delta))] * 3, DONE)
    alike(ask(limits=Limits(event=300)), body).succeeded()
    outcome = alike(ask(limits=Limits(event=300)), body.replace(sse(DONE), body))
    outcome.refused_by(LimitExceeded, "native forms of more than 300 bytes")


def test_as_much_as_is_allowed_is_kept_for_native_forms() -> None:
    body = sse(*[chunk(choice({"reasoning_text": "x" * 60}))] * 3, DONE)
    alike(ask(limits=Limits(event=180)), body).succeeded()
    alike(ask(limits=Limits(event=179)), body).refused_by(LimitExceeded, "more than 179 bytes")


def test_quirk_23_content_as_a_list() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}
    parts: list[Any] = [
        thought,
        {"type": "text", "text": "a"},
        {"type": "text", "text": ""},
        {"type": "thinking", "thinking": []},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text"},
        {"type": "thinking"},
        {"type": "text", "thinking": [{"text": "hm"}]},
        "b",
    ]
    place = "choices[0].delta.content"
    assert events_of(chunk(choice({"content": parts})), say("c"), DONE) == [
        Reasoning("hm"),
        Unrecognized(b"true", f"{place}.closed"),
        Text("a", part=1),
        Unrecognized(b'{"type": "reference", "reference_ids": [1]}', place),
        Unrecognized(b'{"type": "text"}', place),
        Unrecognized(b'{"type": "thinking"}', place),
        Unrecognized(b'{"type": "text", "thinking": [{"text": "hm"}]}', place),
        Unrecognized(b'"b"', place),
        Text("c", part=1),
    ]


def test_what_a_choice_says_has_its_index() -> None:
    deltas: list[dict[str, Any]] = [
        {"content": [{"type": "text", "text": "a"}]},
        {"content": [{"type": "thinking", "thinking": [{"text": "b"}]}]},
        {"content": {"c": 1}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "d"}]},
        {"reasoning": "e"},
        {"refusal": "f"},
        {"content": ["g"]},
        {"images": [{"image_url": {"url": "data:image/png;base64,UE5H"}}]},
        {"annotations": [{"url_citation": {"url": "u"}}]},
        {"reasoning_opaque": "AA"},
    ]
    logprobs = {"content": [{"token": "h", "logprob": -0.5}]}
    chunks = [chunk(choice(delta, 1)) for delta in deltas]
    chunks += [chunk(choice({}, 1, logprobs=logprobs)), chunk(choice(None, 1, text="i"))]
    assert events_of(*chunks, DONE) == [
        Text("a", index=1),
        Reasoning("b", part=1, index=1),
        Text('{"c":1}', part=2, index=1),
        Reasoning("d", part=3, index=1),
        Reasoning("e", part=3, index=1),
        Refusal("f", part=4, index=1),
        Unrecognized(b'"g"', "choices[1].delta.content"),
        Image(b"PNG", "image/png", part=5, index=1),
        Citation("u", part=5, index=1),
        LogProbs([TokenLogProb("h", -0.5)], index=1),
        Text("i", part=6, index=1),
        Native("openai_chat", b'{"reasoning_text":"","reasoning_opaque":"AA"}', 3, 1),
    ]


def test_cloudflare_answers_with_an_object() -> None:
    answer = chunk(choice({"content": {"name": "x", "list": [1, 2.50]}}))
    assert events_of(answer, DONE) == [Text('{"name":"x","list":[1, 2.5]}')]


def test_an_object_with_broken_utf8_is_still_text() -> None:
    answer = b'data: {"choices":[{"delta":{"content":{"name":"a\xff"}}}]}\n\n' + sse(DONE)
    assert alike(ask(), answer).succeeded().events == [Text('{"name":"a\ufffd"}'), END]


ERRORS: dict[str, tuple[bytes, type[Refused], str]] = {
    "an error alone": (sse({"error": {"message": "m1", "code": 429}}), RateLimited, "m1"),
    "code as text": (sse({"error": {"message": "m1", "code": "502"}}), Overloaded, "m1"),
    "code in words": (sse({"error": {"code": "moderation", "message": ""}}), ContentFiltered, ""),
    "error is text": (sse({"error": "m1"}), Refused, "m1"),
    "a message": (sse({"object": "error", "message": "m1", "code": 400}), BadRequest, "m1"),
    "detail": (sse({"detail": [{"msg": "m1"}, {"msg": "m2"}]}), Refused, "m1; m2"),
    "beside no choices": (sse(chunk(error={"message": "m1", "code": 502})), Overloaded, "m1"),
    "event: error": (b'event: error\ndata: {"message": "m1"}\n\n', Refused, "m1"),
    "event: error of text": (b"event: error\ndata: m1\n\n", Refused, "m1"),
    "event: error in its own words": (
        b'event: error\ndata: {"error": {"message": "m1", "type": "rate_limit_error"}}\n\n',
        RateLimited,
        "m1",
    ),
    "event: error that looks like an answer": (
        b"event: error\n" + sse(chunk(choice({"content": "b"}), message="m1")),
        Refused,
        "m1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", ERRORS)
@pytest.mark.parametrize("ending", [b"", b"data: [DONE]\n\n"])
def test_quirk_24_errors_in_a_stream(form: str, ending: bytes) -> None:
    body, kind, message = ERRORS[form]
    begin = sse(say("a", id="x"))
    outcome = alike(ask(), begin + body + ending).refused_by(kind, message)
    assert outcome.events == [Start("x", ""), Text("a")]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.data == body.rpartition(b"data: ")[2].strip()
    alike(ask(), body + ending).refused_by(kind, message)


def test_quirk_24_error_beside_choices_after_the_finish() -> None:
    usage = {"total_tokens": 9}
    last = stop("error", error={"message": "lost it", "code": 503}, usage=usage)
    outcome = receive(say("a"), stop(), last, DONE).refused_by(Overloaded, "lost it")
    assert outcome.events == [Text("a"), Usage(total_tokens=9, raw=usage), Finish("error", "error")]


@pytest.mark.parametrize("key", ["message", "detail"])
def test_a_side_event_with_a_message_is_no_refusal(key: str) -> None:
    side = json.dumps({"tool": "web", key: "Searching the web"}).encode()
    named = b"event: tool.progress\ndata: " + side + b"\n\n"
    outcome = alike(ask(), sse(say("a")) + named + sse(say("b"), DONE)).succeeded()
    assert outcome.events == [Text("a"), Unrecognized(side), Text("b"), END]
    alike(ask(), sse(say("a")) + b"data: " + side + b"\n\n").refused_by(Refused, "Searching")
    named_error = b'event: tool.progress\ndata: {"error": "broken"}\n\n'
    alike(ask(), sse(say("a")) + named_error).refused_by(Refused, "broken")
    named_chunk = b"event: chunk\n" + sse(say("b"))
    assert alike(ask(), sse(say("a")) + named_chunk + sse(DONE)).reply.text == "ab"


def test_no_error_at_all() -> None:
    assert events_of(say("a", error=None), {"error": {}}, {"hello": 1}, DONE) == [
        Text("a"),
        Unrecognized(b'{"error": {}}'),
        Unrecognized(b'{"hello": 1}'),
    ]


def test_quirk_25_interleaved_choices() -> None:
    outcome = receive(
        chunk(choice({"content": "b"}, 1), choice({"content": "a"}, 0)),
        say("B", 1),
        stop("length", 1),
        say("A", 0),
        stop("stop", 0),
        n=2,
    ).succeeded()
    assert outcome.events == [
        Text("b", index=1),
        Text("a", index=0),
        Text("B", index=1),
        Text("A", index=0),
        Finish("stop", "stop", index=0),
        Finish("length", "length", index=1),
        End("finish"),
    ]


def test_a_choice_that_begins_later_owes_its_finish_too() -> None:
    outcome = receive(say("a", 1, id="x"), say("b"), stop(index=1)).refused_by(Truncated)
    assert outcome.events == [
        Start("x", ""),
        Text("a", index=1),
        Text("b"),
        Finish("stop", "stop", index=1),
    ]


def test_a_call_ends_once_that_is_proven() -> None:
    """Calls of an answer that may be truncated are never executable."""
    call = chunk(
        choice({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]})
    )
    begun = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")]
    ended = [ToolCallEnd(0, "c", "f", "{}", True), Finish("tool_calls", "tool_call")]
    body = sse(call, stop("tool_calls"))
    for owes in ("finish", "terminator"):
        provider = PROVIDERS["openai"].replace(owes=owes)
        exchange = provider.exchange(as_chat("a", model="m"))
        outcome = alike(exchange, body + sse(DONE)).succeeded()
        assert outcome.events == [*begun, *ended, END]
    assert alike(ask(), body).succeeded().events == [*begun, *ended, End("finish")]
    assert alike(exchange, body).refused_by(Truncated).events == [*begun, ended[1]]


def test_every_choice_owes_its_finish() -> None:
    one_of_two = [say("a"), stop()]
    outcome = receive(*one_of_two, n=2).refused_by(Truncated)
    assert outcome.events == [Text("a"), Finish("stop", "stop")]
    receive(*one_of_two, say("b", 1)).refused_by(Truncated)
    receive(*one_of_two, say("b", 1), stop("stop", 1)).succeeded()


def test_quirk_25_logprobs() -> None:
    def token(text: str) -> dict[str, Any]:
        return {"token": text, "logprob": -0.5, "bytes": [97], "top_logprobs": []}

    logprobs = {
        "content": [token("a")],
        "refusal": None,
        "reasoning_content": [token("b")],
        "unheard": [token("c")],
    }
    place = "choices[0].logprobs."
    assert events_of(
        chunk(choice({"content": "a"}, logprobs=logprobs), obfuscation="xyz", p="ab"),
        chunk(choice({}, logprobs={"content": "?", "refusal": [token("d")]})),
        DONE,
    ) == [
        Text("a"),
        LogProbs([TokenLogProb("a", -0.5, [97], [])]),
        LogProbs([TokenLogProb("b", -0.5, [97], [])], "reasoning"),
        Unrecognized(json.dumps(logprobs["unheard"]).encode(), place + "unheard"),
        Unrecognized(b'"?"', place + "content"),
        LogProbs([TokenLogProb("d", -0.5, [97], [])], "refusal"),
    ]


def test_quirk_26_unknown_keys_everywhere() -> None:
    """What may hold content is handed on; the keys of a call are its native form."""
    new: dict[str, Any] = {"new": [{"deep": 1}], "nothing": None}
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}", **new}, **new}
    raw = b'[{"deep": 1}]'
    value = {"name": "f", "arguments": "{}", "new": [{"deep": 1}]}
    called = {"id": "c", "type": "function", "function": value, "new": [{"deep": 1}]}
    assert events_of(
        chunk(choice({"content": "a", "tool_calls": [call], **new}, **new), **new), stop(), DONE
    ) == [
        Text("a"),
        ToolCallStart(0, "c", "f", part=1),
        ToolCallDelta(0, "{}"),
        Unrecognized(raw, "choices[0].new"),
        Unrecognized(raw, "choices[0].delta.new"),
        native({"tool_calls": [called]}, part=1),
        ToolCallEnd(0, "c", "f", "{}", True),
        Finish("stop", "tool_call"),
    ]


def test_an_unknown_key_is_named_as_it_is() -> None:
    assert events_of(chunk(choice({"a.": 1}), 7), DONE) == [
        Unrecognized(b"1", "choices[0].delta.a."),
        Unrecognized(b"7", "choices[0]"),
    ]


def test_content_that_is_an_object_is_text() -> None:
    """As Cloudflare answers where JSON was asked for."""
    said: Any = {"b": 1.0, "a": [1]}
    assert events_of(say("x"), say(said), say("y"), DONE) == [
        *(Text("x"), Text('{"b":1.0,"a":[1]}'), Text("y"))
    ]


def test_the_text_of_an_old_completion_goes_on_with_that_of_a_delta() -> None:
    old = chunk(choice(text="b"))
    assert events_of(say("a"), old, say("c"), DONE) == [*map(Text, "abc")]


def test_private_state_before_all_else_is_the_first_part() -> None:
    said = events_of(chunk(choice({"reasoning_opaque": "A"})), stop(), DONE)
    state = {"reasoning_text": "", "reasoning_opaque": "A"}
    assert said == [native(state, part=0), Finish("stop", "stop")]


def test_keys_that_say_nothing_of_the_content() -> None:
    said: dict[str, Any] = {key: [1] for key in IGNORES if key != "index"}
    assert events_of(chunk(choice({"content": "a", **said}, **said)), DONE) == [Text("a")]
    # Beside one that is not understood, when each key is read by itself.
    assert events_of(chunk(choice({"content": "a", "new": 1, **said}, **said)), DONE) == [
        Text("a"),
        Unrecognized(b"1", "choices[0].delta.new"),
    ]


def test_refusal() -> None:
    chunks = [chunk(choice({"refusal": text})) for text in ("I ", "won't")]
    assert events_of(*chunks, DONE) == [Refusal("I "), Refusal("won't")]


def test_citations_once_each() -> None:
    def note(url: str, **more: Any) -> dict[str, Any]:
        return {"type": "url_citation", "url_citation": {"url": url, **more}}

    nameless = {"url_citation": {"title": "no address"}}
    notes = [note("u1", title="one"), note("u2"), {"type": "file"}, nameless]
    assert events_of(
        chunk(choice({"content": "a", "annotations": notes}), citations=["u2", "u3", 4]),
        say("b", citations=["u1", "u3"]),
        say("c", citations="u4", search_results="u5"),
        say("d", search_results=[{"url": "u6", "title": "six"}, {"url": "u7", "title": 7}]),
        say("e", search_results=[{"url": "u6"}, {"title": "no address"}, "u8"]),
        DONE,
    ) == [
        Text("a"),
        Citation("u1", "one"),
        Citation("u2"),
        Unrecognized(b'{"type": "file"}', "choices[0].delta.annotations"),
        Unrecognized(json.dumps(nameless).encode(), "choices[0].delta.annotations"),
        Citation("u3"),
        Unrecognized(b"4", "citations"),
        Text("b"),
        Text("c"),
        Citation("u5"),
        Citation("u4"),
        Text("d"),
        Citation("u6", "six"),
        Citation("u7"),
        Text("e"),
        Unrecognized(b'{"title":"no address"}', "search_results"),
        Citation("u8"),
    ]


def test_what_stands_beside_the_choices() -> None:
    """Perplexity says it again and again; Z.ai has addresses by another name."""
    images = [{"image_url": "https://i"}]
    beside: Any = {"images": images, "related_questions": ["why?"], "citations": {"x": 1}}
    found = {"url": "u", "title": "t", "snippet": "s", "date": "2026"}
    linked = {"link": "l", "title": "m", "content": "c", "media": "web"}
    assert events_of(
        say("a", search_results=[found], **beside),
        say("b", web_search=[linked], **beside),
        chunk(choice({"content": "c"}), **{**beside, "related_questions": []}),
        say("d"),
        DONE,
    ) == [
        *(Text("a"), Citation("u", "t", quote="s"), Unrecognized(b'{"x":1}', "citations")),
        Unrecognized(b'[{"image_url":"https://i"}]', "images"),
        *(Unrecognized(b'["why?"]', "related_questions"), Text("b"), Citation("l", "m", quote="c")),
        *(Text("c"), Unrecognized(b"[]", "related_questions"), Text("d")),
    ]


@pytest.mark.parametrize("none", [{}, {"choices": None}])
def test_what_stands_beside_no_choices(none: Any) -> None:
    beside = {**none, "citations": ["u"], "images": ["i"]}
    groq = {**none, "x_groq": {"usage": {"total_tokens": 1}}}
    assert events_of(say("a"), beside, groq, DONE) == [
        *(Text("a"), Citation("u"), Unrecognized(b'["i"]', "images")),
        Usage(total_tokens=1, raw={"total_tokens": 1}),
    ]


def test_choices_that_are_no_list() -> None:
    alone = {"choices": {"delta": {"content": "b"}}, "usage": {"total_tokens": 1}}
    assert events_of(say("a"), alone, {"choices": "x", "usage": {"total_tokens": 2}}, DONE) == [
        *(Text("a"), Text("b"), Usage(total_tokens=1, raw={"total_tokens": 1})),
        Unrecognized(b'"x"', "choices[0]"),
        Usage(total_tokens=2, raw={"total_tokens": 2}),
    ]


def test_a_failure_of_minimax_beside_the_choices() -> None:
    def told(code: int) -> Any:
        base = {"status_code": code, "status_msg": "output is sensitive"}
        return {**say("b"), "base_resp": base}

    assert events_of(say("a"), told(0), DONE) == [Text("a"), Text("b")]
    outcome = alike(PROVIDERS["minimax"].exchange(CHAT), sse(say("a"), told(1026), DONE))
    error = outcome.refused_by(ContentFiltered, "output is sensitive").error
    assert outcome.events == [Text("a"), Text("b")]
    assert isinstance(error, Refused)
    assert json.loads(error.data) == told(1026)


@pytest.mark.parametrize("key", ["delta", "message"])
def test_an_error_in_the_delta_or_the_message(key: str) -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    said = chunk({"index": 0, key: {"content": "a", "error": error}})
    outcome = receive(said, stop(), DONE).refused_by(RateLimited, "slow down")
    assert Text("a") in outcome.events
    own = chunk({"index": 0, key: {"content": "a", "error": {"code": "1301", "message": "no"}}})
    alike(PROVIDERS["zai"].exchange(CHAT), sse(own, stop(), DONE)).refused_by(ContentFiltered)
    dotted = chunk({"index": 0, key: {"content": "a", "an.error": error}})
    receive(dotted, stop(), DONE).succeeded()


def test_a_whole_answer_with_an_error_beside_it() -> None:
    body = {"choices": [{"message": {"content": "a"}}], "error": {"message": "it broke"}}
    outcome = receive_whole(body, stream=False).refused_by(Refused, "it broke")
    assert outcome.events == [Text("a")]


def test_further_keys_of_sources_pictures_and_thoughts() -> None:
    note = {"type": "url_citation", "new": 1, "url_citation": {"url": "u", "title": 7, "more": [2]}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA==", "x": 3}}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "t", "y": 4}]}
    place = "choices[0].delta"
    assert events_of(
        chunk(choice({"annotations": [note], "images": [picture], "content": [thought]})), DONE
    ) == [
        Unrecognized(json.dumps(thought).encode(), f"{place}.content"),
        Image(b"x", "image/png"),
        Unrecognized(b"3", f"{place}.images.x"),
        Citation("u", "7"),
        Unrecognized(b"1", f"{place}.annotations.new"),
        Unrecognized(b"[2]", f"{place}.annotations.more"),
    ]


def test_further_keys_of_a_reasoning_detail() -> None:
    detail = {"type": "reasoning.text", "text": "t", "new": 1}
    assert events_of(chunk(choice({"reasoning_details": [detail]})), DONE) == [
        Reasoning("t"),
        Native("openai_chat", msgspec.json.encode({"reasoning_details": [detail]})),
    ]


def test_quirk_50_thoughts_that_differ() -> None:
    both = {"reasoning": "a", "reasoning_content": "b"}
    assert events_of(chunk(choice(both)), DONE) == [Reasoning("b"), Reasoning("a")]


def test_citations_of_a_place_in_the_text() -> None:
    said = {"url": "u", "title": "t", "content": "quoted", "start_index": 1, "end_index": 2}
    note = {"type": "url_citation", "url_citation": said}
    assert events_of(
        chunk(choice({"annotations": [note]})),
        chunk(choice({"reasoning": "hm", "content": "a"})),
        chunk(choice({"annotations": [note]})),
        DONE,
    ) == [
        Citation("u", "t", quote="quoted", start=1, end=2),
        Reasoning("hm"),
        Text("a", part=1),
        Citation("u", "t", quote="quoted", start=1, end=2, part=1),
    ]


@pytest.mark.parametrize("fragment", [{"index": 0}, {"index": 0, "function": None}, 5, "f"])
def test_fragment_that_says_nothing(fragment: Any) -> None:
    assert events_of(chunk(choice({"tool_calls": [fragment]})), DONE) == [
        Unrecognized(json.dumps(fragment).encode(), "choices[0].delta.tool_calls")
    ]


def test_fragment_whose_function_comes_later() -> None:
    first = {"index": 0, "id": "c", "type": "function", "function": None}
    assert calls([first], [fragment("{}", index=0, name="f")]) == [
        ToolCallStart(0, "c", "f"),
        ToolCallDelta(0, "{}"),
        ToolCallEnd(0, "c", "f", "{}", True),
        Finish("tool_calls", "tool_call"),
    ]


def test_fields_of_a_call_of_other_types() -> None:
    """Numbers are read as text and text as numbers; what can't be read is handed on."""
    call = {"index": "0", "id": 7, "function": {"name": 8, "arguments": "{}"}}
    odd = {"index": 0, "function": {"name": [1], "arguments": " "}, "custom": 5}
    place = "choices[0].delta.tool_calls"
    assert calls([call], [odd]) == [
        ToolCallStart(0, "7", "8"),
        ToolCallDelta(0, "{}"),
        ToolCallDelta(0, " "),
        Unrecognized(b"[1]", f"{place}.function.name"),
        Unrecognized(b"5", f"{place}.custom"),
        ToolCallEnd(0, "7", "8", "{} ", False),
        Finish("tool_calls", "tool_call"),
    ]


@pytest.mark.parametrize(
    ("odd", "complete"),
    [
        *(({"function": {"name": "f", "arguments": each}}, False) for each in ([1], True)),
        ({"function": {"name": {"n": 1}, "arguments": "{}"}}, False),
        ({"function": "f"}, False),
        ({"id": {}, "index": [], "function": {"name": "f", "arguments": "{}"}}, True),
    ],
)
def test_a_call_of_which_something_is_not_understood(odd: Any, complete: bool) -> None:
    """It is not to be run, unless that is only which call it is."""
    events = calls([{"index": 0, "id": "c", **odd}])
    assert [e.complete for e in events if isinstance(e, ToolCallEnd)] == [complete]
    assert any(isinstance(e, Unrecognized) for e in events)


def test_custom_call() -> None:
    first = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": "l"}}
    rest = {"index": 0, "custom": {"input": "s {", "new": 1}}
    value = {"name": "sh", "input": "ls {", "new": 1}
    assert calls([first], [rest]) == [
        ToolCallStart(0, "c", "sh", custom=True),
        ToolCallDelta(0, "l"),
        ToolCallDelta(0, "s {"),
        native({"tool_calls": [{"id": "c", "type": "custom", "custom": value}]}),
        ToolCallEnd(0, "c", "sh", "ls {", True, custom=True),
        Finish("tool_calls", "tool_call"),
    ]


def test_custom_calls_in_pieces() -> None:
    begun: list[Any] = [
        {"index": 0, "id": "c", "custom": {"name": "sh"}},
        {"index": 1, "id": "d", "custom": {}},
    ]
    first = {"index": 0, "custom": {"input": "ls"}}
    second = {"index": 1, "custom": {"name": "py", "input": "1"}}
    assert calls(begun, [first], [second]) == [
        ToolCallStart(0, "c", "sh", custom=True, part=0),
        ToolCallDelta(0, "ls"),
        ToolCallStart(1, "d", "py", custom=True, part=1),
        ToolCallDelta(1, "1"),
        ToolCallEnd(0, "c", "sh", "ls", True, custom=True),
        ToolCallEnd(1, "d", "py", "1", True, custom=True),
        Finish("tool_calls", "tool_call"),
    ]


def test_pictures() -> None:
    def image(url: Any) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": url}}

    strange = [
        *(image(f"{before}UE5H") for before in ("https://x.test/a;base64,", "data:image/png,")),
        image("data:image/png;base64,UE5H;base64,UE5H"),
        *(image("https://x.test/a.png"), image("data:image/png;base64,?"), image(5)),
    ]
    images = [image("data:image/png;base64,UE5H"), *strange]
    assert events_of(say("a"), chunk(choice({"images": images})), say("b"), DONE) == [
        Text("a"),
        Image(b"PNG", "image/png", part=1),
        *(Unrecognized(json.dumps(i).encode(), "choices[0].delta.images") for i in strange),
        Text("b", part=2),
    ]


def test_usage_in_a_choice() -> None:
    usage = {"total_tokens": 3}
    assert events_of(say("a"), chunk(choice({}, finish_reason="stop", usage=usage)), DONE) == [
        Text("a"),
        Usage(total_tokens=3, raw=usage),
        Finish("stop", "stop"),
    ]


def counted(asked: int | None, said: int | None, total: int, thought: int) -> dict[str, Any]:
    counts = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": total}
    return {**counts, "completion_tokens_details": {"reasoning_tokens": thought}}


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_cache_hit_tokens": 4}, Usage(cache_read_input_tokens=4)),  # DeepSeek
        ({"cached_tokens": 4}, Usage(cache_read_input_tokens=4)),  # Moonshot
        ({"num_cached_tokens": 4}, Usage(cache_read_input_tokens=4)),  # Mistral
        ({"cache_read_input_tokens": 4}, Usage(cache_read_input_tokens=4)),  # Databricks
        ({"prompt_token_details": {"cached_tokens": 4}}, Usage(cache_read_input_tokens=4)),
        ({"cache_write_tokens": 5}, Usage(cache_write_input_tokens=5)),
        ({"cache_creation_input_tokens": 5}, Usage(cache_write_input_tokens=5)),
        (
            {"prompt_tokens_details": {"cache_creation_tokens": 5}, "cache_write_tokens": 6},
            Usage(cache_write_input_tokens=5),
        ),
        (counted(1, 2, 6, 3), Usage(1, 5, 6, reasoning_output_tokens=3)),  # xAI counts it apart
        (counted(1, 3, 4, 3), Usage(1, 3, 4, reasoning_output_tokens=3)),
        (counted(1, 3, 9, 3), Usage(1, 3, 9, reasoning_output_tokens=3)),
        (counted(None, 3, 6, 3), Usage(None, 3, 6, reasoning_output_tokens=3)),
        (counted(1, None, 4, 3), Usage(1, None, 4, reasoning_output_tokens=3)),
        ({"prompt_tokens": True, "completion_tokens": "2"}, Usage(None, 2)),
        (
            {"prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 5}},
            Usage(cache_read_input_tokens=0, cache_write_input_tokens=5),
        ),
        (  # in the words of Responses (quirk 85)
            {
                "input_tokens": 5,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(5, 7, 12, cache_read_input_tokens=3, reasoning_output_tokens=2),
        ),
        ({"prompt_tokens": 5, "input_tokens": 0, "output_tokens": 0}, Usage(5, 0, 5)),
    ],
)
def test_usage_by_other_names(usage: dict[str, Any], read: Usage) -> None:
    (got,) = [e for e in events_of(say("a"), chunk(usage=usage), DONE) if isinstance(e, Usage)]
    assert got == msgspec.structs.replace(read, raw=usage)


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        *((each, "stop") for each in ("STOP", "end_turn", "", None, 5)),
    ],
)
def test_a_failure_behind_another_reason(native: Any, reason: str, odd: bool) -> None:
    """Where a chunk is decoded loosely, too (quirk 88)."""
    more = {"new": 1} if odd else {}
    over = chunk(choice({}, finish_reason="stop", native_finish_reason=native, **more))
    outcome = receive(say("a"), over, DONE)
    assert outcome.reply.finish_reason == reason
    if reason == "stop":
        outcome.succeeded()
    else:
        outcome.refused_by(Refused, reason)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_call"),
        ("function_call", "tool_call"),
        ("content_filter", "content_filter"),
        ("new_word", ""),
        (24, ""),
    ],
)
def test_what_a_finish_reason_means(reason: Any, kind: Any) -> None:
    assert events_of(say("a"), stop(reason), DONE)[-1] == Finish(str(reason), kind)


def test_the_stop_sequence_is_a_detail() -> None:
    last = chunk(choice({}, finish_reason="stop", stop_reason="###"))
    assert events_of(say("a"), last, DONE)[-1] == Finish("stop", "stop", "###")
    last = chunk(choice({}, finish_reason="stop", stop_reason=154827))
    assert events_of(say("a"), last, DONE)[-1] == Finish("stop", "stop")


def test_finish_reasons_of_a_provider() -> None:
    provider = PROVIDERS["openai"].replace(finishes={"eos_token": "stop", "stop": "length"})
    kinds: dict[str, FinishKind] = {"eos_token": "stop", "stop": "length", "length": "length"}
    for reason, kind in kinds.items():
        events = drive(provider.exchange(CHAT), sse(say("a"), stop(reason), DONE)).events
        assert events[-2] == Finish(reason, kind)


@pytest.mark.parametrize("reason", ["error", "abort"])
@pytest.mark.parametrize("ending", [sse(DONE), b""])
def test_a_finish_reason_that_is_an_error(reason: str, ending: bytes) -> None:
    """All of the answer is delivered, its usage too, and then it is no success."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    usage = {"total_tokens": 3}
    body = sse(chunk(choice({"tool_calls": [call]})), stop(reason), chunk(usage=usage)) + ending
    outcome = alike(ask(), body).refused_by(Refused, f"the service refused: {reason}")
    assert outcome.events == [
        ToolCallStart(0, "c", "f"),
        ToolCallDelta(0, "{}"),
        Usage(total_tokens=3, raw=usage),
        ToolCallEnd(0, "c", "f", "{}", False),
        Finish(reason, "error"),
    ]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == reason


def test_an_error_in_a_choice() -> None:
    error = {"code": 502, "message": "the upstream broke"}
    last = chunk(choice({"content": "b"}, finish_reason="error", error=error))
    outcome = receive(say("a"), last, DONE).refused_by(Overloaded, "the upstream broke")
    assert outcome.events == [Text("a"), Text("b"), Finish("error", "error")]
    without_reason = chunk(choice({}, error=error))
    outcome = receive(say("a"), without_reason).refused_by(Overloaded, "the upstream broke")
    assert outcome.events == [Text("a")]
    whole = {"choices": [{"index": 0, "error": error, "finish_reason": "error"}]}
    receive_whole(whole).refused_by(Overloaded, "the upstream broke")


def test_further_keys_of_a_call_of_which_only_an_id_came() -> None:
    said = chunk(choice({"content": "a", "tool_calls": [{"index": 0, "id": "c", "seal": "x"}]}))
    raw = b'{"tool_calls":[{"id":"c","type":"function","function":{"name":"","arguments":""},'
    assert events_of(said, stop("tool_calls"), DONE) == [
        Text("a"),
        ToolCallStart(0, "c", "", part=1),
        Native("openai_chat", raw + b'"seal":"x"}]}', part=1),
        ToolCallEnd(0, "c", "", "{}", True),
        Finish("tool_calls", "tool_call"),
    ]


def test_as_many_choices_as_were_asked_for_by_extra() -> None:
    finished = chunk(choice(finish_reason="stop"))
    exchange = ask(CHAT.replace(extra={"n": 2}))
    alike(exchange, Response(sse(finished), ending="disconnect")).refused_by(Truncated)


def test_a_document_without_an_answer() -> None:
    for body in (b'{"choices": []}', b'{"choices": [{"index": 0}]}'):
        error = alike(ask(), Response(body, 200, JSON)).refused_by(UnexpectedContent).error
        assert isinstance(error, UnexpectedContent)
        assert error.message == "a JSON object whose choices hold no answer"
        assert error.data == body


@pytest.mark.parametrize("said", [{"text": "a"}, {"delta": {"content": "a"}}], ids=str)
def test_a_document_that_says_its_text_in_another_way(said: Any) -> None:
    body = msgspec.json.encode(chunk({"index": 0, **said}))
    assert alike(ask(), Response(body, 200, JSON)).succeeded().events == [Text("a"), END]


class OwnErrors(OpenAIChat):
    errors = ErrorTable(read=lambda value: ("c", None, "no") if "bad" in str(value) else None)


@pytest.mark.parametrize(
    "response",
    [
        Response(b'{"bad": 1}', 200, JSON),
        Response(b'{"error": "bad", "choices": []}', 200, JSON),
        sse({"bad": 1}),
        sse({"error": "bad", "choices": []}),
        sse(stop(x_groq={"error": "bad"}), DONE),
        sse(chunk(choice({}, error="bad")), DONE),
        b'event: error\ndata: {"bad": 1}\n\n',
        b"event: error\ndata: bad\n\n",
    ],
)
def test_an_error_in_the_words_of_a_format_of_its_own(response: Response | bytes) -> None:
    exchange = replace(PROVIDERS["openai"], dialect=OwnErrors()).exchange(CHAT)
    outcome = drive(exchange, response).refused_by(Refused, "refused: no")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == "c"


def test_plain_text_goes_on_with_its_part() -> None:
    thought = chunk(choice({"reasoning_content": "hm"}))
    assert events_of(thought, say("a"), say("b"), say("c"), DONE) == [
        Reasoning("hm"),
        *(Text(text, part=1) for text in "abc"),
    ]


def test_a_choice_that_goes_on_is_not_finished_by_another_one() -> None:
    chunks = [say("a"), say("b", 1), stop(), say("c"), stop(index=1)]
    receive(*chunks, n=2).refused_by(Truncated)
    assert receive(*chunks, stop(), n=2).succeeded().events[-1] == End("finish")


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "content_filter"])
def test_a_call_that_was_cut_to_nothing_is_not_complete(reason: str) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
    finish = chunk(choice({"tool_calls": [call]}, finish_reason=reason))
    outcome = receive(finish, DONE).succeeded()
    assert [e.complete for e in outcome.events if isinstance(e, ToolCallEnd)] == [False]


def test_the_comment_that_is_told_is_short_and_text() -> None:
    body = sse(say("a")) + b": \xff" + b"x" * 99 + b"\n"
    error = alike(ask(), body).refused_by(Truncated).error
    assert str(error).endswith("; its last comment was '\ufffd" + "x" * 78 + "'")


def test_the_last_comment_is_told_of_a_cut_stream() -> None:
    body = sse(say("a")) + b":408: 408 Request Timeout\n\n"
    alike(ask(), body).refused_by(Truncated, "its last comment was '408: 408 Request Timeout'")


def test_the_start_is_told_as_soon_as_its_id_is_known() -> None:
    first = chunk(choice({"role": "assistant"}), id="c")
    assert receive(first).refused_by(Truncated).events == [Start("c", "")]


def test_an_id_may_be_a_number() -> None:
    assert receive(say("a") | {"id": 7}, DONE).succeeded().events[0] == Start("7", "")


def test_done_alone() -> None:
    for payloads in ([DONE], [chunk(), DONE]):
        error = receive(*payloads).refused_by(UnexpectedContent).error
        assert isinstance(error, UnexpectedContent)
        assert error.message == "data: [DONE] came before any part of an answer"
        assert error.data == b"[DONE]"


@pytest.mark.parametrize(
    "payload", ["1", "[]", '"text"', "ping", '{"type":"new"}', '{"id":"i","new":1}']
)
def test_what_is_no_object_is_handed_on(payload: str) -> None:
    outcome = receive(say("a"), payload, DONE).succeeded()
    assert outcome.events == [Text("a"), Unrecognized(payload.encode()), END]


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        " {",
        '{"a":' * 5000,
        '{"choices": NaN',
    ],
)
def test_malformed_chunks(payload: str) -> None:
    receive(say("a"), payload, say("b"), DONE).refused_by(Malformed)


@pytest.mark.parametrize(
    ("payload", "events"),
    [
        ('{"choices": 1}', [Unrecognized(b"1", "choices[0]")]),
        ('{"choices": [1]}', [Unrecognized(b"1", "choices[0]")]),
        ('{"choices": [{"index": "0"}]}', []),
        ('{"choices": [{"index": [], "delta": {"content": "a"}}]}',
         [Text("a"), Unrecognized(b"[]", "choices[0].index")]),
        ('{"choices": [{"delta": []}]}', [Unrecognized(b"[]", "choices[0].delta")]),
        ('{"choices": [{"delta": {"content": 1}}]}', [Text("1")]),
        ('{"x": NaN, "choices": [{"x": -Infinity, "delta": {"content": "a"}}]}',
         [Text("a"), Unrecognized(b'"-Infinity"', "choices[0].x")]),
        ('{"choices": [{"delta": {"content": true, "refusal": "r"}}]}',
         [Refusal("r", part=1), Unrecognized(b"true", "choices[0].delta.content")]),
    ],
)  # fmt: skip
def test_an_odd_field_never_costs_the_answer(payload: str, events: list[Event]) -> None:
    outcome = receive(say("-"), payload, say("+"), DONE).succeeded()
    first, *found, last, end = outcome.events
    assert (first, found, end) == (Text("-"), events, END)
    assert isinstance(last, Text)


@pytest.mark.parametrize(
    "field", ["content", "tool_calls", "logprobs", "usage", "error", "unheard"]
)
@pytest.mark.parametrize("depth", [100, 900, 960, 980, 990, 2000, 10000])
def test_deep_nesting_is_nobodys_crash(field: str, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"error":', "}"), ('{"detail":', "}")):
        deep = opening * depth + "1" + closing * depth
        inner = f'"{field}": {deep}'
        for payload in (
            f"{{{inner}}}",
            f'{{"choices": [{{"index": 0, {inner}}}]}}',
            f'{{"choices": [{{"index": 0, "delta": {{{inner}}}}}]}}',
            f'{{"choices": [{{"delta": {{"function_call": {{"arguments": {deep}}}}}}}]}}',
        ):
            outcome = drive(ask(), sse(payload, DONE))
            assert isinstance(outcome.error, RemoteProtocolError | None)


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_deep_nesting_where_nobody_reads(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = sse(say("a"), f'{{"x": {deep}, "choices": [{{"delta": {{"content": "b"}}}}]}}', DONE)
    assert drive(ask(), body).succeeded().events == [Text("a"), Text("b"), END]


def test_the_logarithm_of_nothing() -> None:
    token = '{"token": "a", "logprob": -Infinity, "top_logprobs": []}'
    payload = f'{{"choices": [{{"delta": {{}}, "logprobs": {{"content": [{token}]}}}}]}}'
    assert events_of(payload, DONE) == [LogProbs([TokenLogProb("a", -math.inf, None, [])])]


def test_the_other_half_is_the_server() -> None:
    responder = Service(PROVIDERS["openai"]).responder()
    assert responder.send(Finish("stop", "stop")).startswith(b"data: {")


def test_both_halves_are_at_the_path_of_the_provider() -> None:
    provider = PROVIDERS["openai"].replace(path="/elsewhere")
    says: list[Event] = [Start("c", "m"), Text("a"), Finish("stop", "stop"), END]
    assert list(pair(provider.exchange(CHAT), Service(provider), lambda chat: says)) == says


# Whole answers


def answer(**message: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", **chunk({"message": message, "finish_reason": "stop"})}


def receive_whole(value: Any, ending: Ending = "eof", stream: bool = True) -> Outcome:
    body = value if isinstance(value, bytes) else json.dumps(value, indent=1).encode()
    return alike(ask(CHAT.replace(stream=stream)), Response(body, 200, JSON, ending))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("ending", ["eof", "close", "disconnect", "timeout"])
def test_whole_answer(ending: Ending, stream: bool) -> None:
    """Also where a stream was asked for (quirk 6). The last brace says that it is whole."""
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    usage = {"total_tokens": 3}
    message = answer(role="assistant", content="hi", reasoning="hm", tool_calls=[call])
    assert receive_whole({**message, "usage": usage}, ending, stream).succeeded().events == [
        Start("c", "m"),
        Reasoning("hm"),
        Text("hi", part=1),
        ToolCallStart(0, "t", "f", part=2),
        ToolCallDelta(0, '{"a": 1}'),
        Usage(total_tokens=3, raw=usage),
        ToolCallEnd(0, "t", "f", '{"a": 1}', True),
        Finish("stop", "tool_call"),
        END,
    ]


@pytest.mark.parametrize("ending", ["eof", "disconnect"])
def test_whole_answer_that_ends_in_half_a_character(ending: Ending) -> None:
    body = b'{"choices": [{"message": {"content": "a\\ud83d"}}]}'
    assert receive_whole(body, ending).succeeded().events == [Text("a\ufffd"), END]


def test_whole_old_completion() -> None:
    outcome = receive_whole(chunk(choice(text="a", finish_reason="stop"))).succeeded()
    assert outcome.events == [Text("a"), Finish("stop", "stop"), END]


def test_whole_answer_beside_an_empty_delta() -> None:
    message = {"delta": {"role": "assistant", "content": ""}, "message": {"content": "a"}}
    assert receive_whole(chunk(message)).succeeded().events == [Text("a"), END]


@pytest.mark.parametrize("more", [{}, {"message": None}, {"message": {}}])
def test_azures_filtered_answer(more: dict[str, Any]) -> None:
    """A reason, and no message."""
    filtered = choice(finish_reason="content_filter", content_filter_results={}, **more)
    assert receive_whole(chunk(filtered, id="c", model="m")).succeeded().events == [
        Start("c", "m"),
        Finish("content_filter", "content_filter"),
        END,
    ]


def test_empty_function_call_is_none() -> None:
    empty = {"name": "", "arguments": ""}
    message = {"content": "a", "function_call": empty, "tool_calls": None}
    assert receive_whole(answer(**message)).succeeded().events == [
        Start("c", "m"),
        Text("a"),
        Finish("stop", "stop"),
        END,
    ]


def test_whole_tool_calls_that_share_an_id() -> None:
    call = {"id": "f", "function": {"name": "f", "arguments": "{}"}}
    events = receive_whole(answer(tool_calls=[call, call])).succeeded().events
    assert [e for e in events if isinstance(e, ToolCallEnd)] == [
        ToolCallEnd(0, "f", "f", "{}", True),
        ToolCallEnd(1, "f", "f", "{}", True),
    ]


def test_whole_answer_in_choices() -> None:
    two = chunk(
        {"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}
    )
    assert receive_whole(two).succeeded().events == [Text("a"), Text("b", index=1), END]


@pytest.mark.parametrize("ending", ["eof", "close", "disconnect"])
def test_whole_answer_cut_anywhere(ending: Ending) -> None:
    body = json.dumps(answer(content="h\u20ac\\")).encode()
    for size in range(1, len(body)):
        outcome = drive(ask(), Response(body[:size], 200, JSON, ending))
        outcome.refused_by(Truncated)
    assert drive(ask(), Response(body, 200, JSON, ending)).succeeded()


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ({"error": {"message": "m1", "code": 429}}, RateLimited, "the service refused: m1"),
        ({"error": "m1"}, Refused, "the service refused: m1"),
        ({"choices": [], "error": {"message": "m1"}}, Refused, "the service refused: m1"),
        ({"detail": "m1"}, Refused, "the service refused: m1"),
        ({"hello": 1}, UnexpectedContent, "a JSON object without choices"),
        ({"choices": None}, UnexpectedContent, "a JSON object without choices"),
        ([1], Malformed, "JSON of an unexpected shape"),
        (b"{]", Malformed, "not JSON"),
    ],
)
def test_whole_body_that_is_no_answer(value: Any, kind: type[Exception], words: str) -> None:
    outcome = receive_whole(value)
    assert type(outcome.error) is kind
    assert isinstance(outcome.error, RemoteProtocolError)
    assert outcome.error.message.startswith(words)
    body = value if isinstance(value, bytes) else json.dumps(value, indent=1).encode()
    assert outcome.error.data == body
    assert outcome.events == []


# Anything at all

_text = st.text(max_size=5)
_scalars = st.none() | st.booleans() | st.integers(-9, 9) | _text | st.just(0.5)
_KEYS = (
    *("id", "model", "choices", "index", "delta", "message", "content", "reasoning", "type"),
    *("reasoning_details", "text", "thinking", "tool_calls", "function", "name", "arguments"),
    *("finish_reason", "logprobs", "usage", "error", "code", "detail", "annotations"),
    *("url_citation", "url", "citations", "x_groq"),
)
_values = st.recursive(
    _scalars,
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(
            st.sampled_from(_KEYS),
            v,
            max_size=5,
        )
    ),
    max_leaves=20,
)
_deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": _scalars | _values,
        "reasoning": _scalars,
        "refusal": _scalars,
        "tool_calls": st.lists(_values, max_size=2),
        "reasoning_details": st.lists(_values, max_size=2),
        "annotations": st.lists(_values, max_size=2),
    },
)
_choices = st.fixed_dictionaries(
    {"index": st.integers(0, 1)},
    optional={"delta": _deltas, "message": _deltas, "finish_reason": st.none() | _text},
)
_chunks = st.fixed_dictionaries(
    {"choices": st.lists(_choices, max_size=2)}, optional={"usage": _values, "citations": _values}
)


@given(st.lists(_chunks | _values | _text.filter(lambda t: "\n" not in t and "\r" not in t)))
def test_whatever_json_comes(payloads: list[Any]) -> None:
    outcome = receive(*payloads)
    assert isinstance(outcome.error, Malformed | Truncated | Refused | UnexpectedContent | None)
    ends = [e for e in outcome.events if isinstance(e, End)]
    assert len(ends) == (outcome.error is None)
    finishes = [e.index for e in outcome.events if isinstance(e, Finish)]
    assert len(finishes) == len(set(finishes))


@given(st.lists(_chunks | _values))
def test_the_short_way_for_plain_text_is_the_long_one(payloads: list[Any]) -> None:
    short = drive(ask(), sse(*payloads))
    with THE_LONG_WAY:
        assert drive(ask(), sse(*payloads)).what == short.what


CODES = {"1302": "RateLimited", "1113": "RateLimited", "bad_key": "AuthenticationFailed"}


@pytest.mark.parametrize(
    ("code", "kind"), [("1302", RateLimited), ("bad_key", AuthenticationFailed)]
)
def test_a_provider_has_error_codes_of_its_own(code: str, kind: type[Refused]) -> None:
    provider = PROVIDERS["openai"].replace(error_codes=CODES)
    body = b'{"error":{"message":"no","code":"%s"}}' % code.encode()
    for response in (
        Response(body, 200),
        Response(b"data: " + body + b"\n\n"),
        Response(body, 400),
    ):
        drive(provider.exchange(as_chat("hi", model="m")), response).refused_by(kind, "no")


@pytest.mark.parametrize("name", ["Nothing", "Truncated", "quote"])
def test_an_error_code_names_an_error(name: str) -> None:
    provider = PROVIDERS["openai"].replace(error_codes={"1": name})
    with pytest.raises(LocalProtocolError, match=f"error_codes: '{name}' is not one of the errors"):
        provider.exchange(as_chat("hi", model="m"))


def test_further_keys_of_a_call_that_has_begun() -> None:
    begun = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    events = calls([begun], [{"index": 0, "extra_content": {"a": 1}}])
    (native,) = (event for event in events if isinstance(event, Native))
    (call,) = (event for event in events if isinstance(event, ToolCallStart))
    assert native.part == call.part
    assert json.loads(native.raw)["tool_calls"][0]["extra_content"] == {"a": 1}

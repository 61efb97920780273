"""Converse, client half: answers, streamed and whole."""

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from tests.driving import JSON, Response, alike, drive
from tests.formats.bedrock.subject import BEDROCK, MODEL, stream
from tokenwire import Chat, Limits, as_chat
from tokenwire.protocols.aws import event_frame
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    Native,
    Reasoning,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.toolkit.frames import encode_frame
from tokenwire.protocols.toolkit.http import Headers

KIND = (b"content-type", b"application/vnd.amazon.eventstream")
FRAMES: Headers = [KIND, (b"x-amzn-requestid", b"r-1")]
START = Start("r-1", MODEL)


def ask(limits: Limits | None = None, **options: Any) -> Exchange:
    return BEDROCK.exchange(as_chat("hi", model=MODEL, **options), limits=limits)


def said(*frames: bytes, headers: Headers = FRAMES, ending: Any = "eof") -> list[Event]:
    """The events of a stream that is a success, after its start."""
    response = Response(b"".join(frames), 200, headers, ending)
    first, *rest = alike(ask(), response).succeeded().events
    assert first == START
    return rest


def event(type: str, **fields: Any) -> bytes:
    return event_frame(type, json.dumps({"p": "abcd", **fields}).encode())


def start(number: int, **kind: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=number, start=kind)


def delta(number: int, **kind: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=number, delta=kind)


def stop(number: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=number)


def over(reason: str = "end_turn", **fields: Any) -> bytes:
    return event("messageStop", stopReason=reason, **fields)


BEGIN = event("messageStart", role="assistant")
META = event("metadata", usage={"inputTokens": 2, "outputTokens": 3}, metrics={"latencyMs": 5})
RAW = {"inputTokens": 2, "outputTokens": 3, "metrics": {"latencyMs": 5}}
USAGE = Usage(2, 3, 5, raw=RAW)
STOP = Finish("end_turn", "stop")
END = [USAGE, STOP, End("terminator")]


def native(number: int, **form: Any) -> Native:
    return Native("bedrock", json.dumps(form, separators=(",", ":")).encode(), number)


def test_the_path() -> None:
    provider = BEDROCK.replace(models=("a/b:c@d",))
    for streams, end in ((True, "-stream"), (False, "")):
        exchange = provider.exchange(as_chat("hi", model="a/b:c@d", stream=streams))
        request = exchange.next_request()
        assert request is not None
        assert request.target == f"/model/a%2Fb%3Ac%40d/converse{end}"


# Text, and how it ends


def test_a_text() -> None:
    frames = (BEGIN, delta(0, text="h"), delta(0, text="\u20ac"), stop(0), over(), META)
    assert said(*frames) == [Text("h"), Text("\u20ac"), *END]


def test_an_empty_text_is_none() -> None:
    frames = [BEGIN, *(delta(0, text=text) for text in ("h", "", "i")), stop(0), over(), META]
    assert said(*frames) == [Text("h"), Text("i"), *END]


def test_nothing_after_the_metadata_is_read() -> None:
    assert said(BEGIN, delta(0, text="h"), over(), META, b"\xff" * 20) == [Text("h"), *END]


@pytest.mark.parametrize("ending", ["eof", "disconnect", "timeout"])
def test_the_finish_is_enough(ending: Any) -> None:
    events = [Text("h"), STOP, End("finish")]
    assert said(BEGIN, delta(0, text="h"), stop(0), over(), ending=ending) == events


def test_metadata_before_the_end() -> None:
    assert said(BEGIN, delta(0, text="h"), META, over(), b"rest") == [
        *(Text("h"), USAGE, STOP, End("terminator"))
    ]


def test_without_the_finish_it_is_truncated() -> None:
    frames = (BEGIN, delta(0, text="h"), stop(0), META)
    for size, words in ((4, ""), (3, ", inside a frame")):
        body = b"".join(frames[:size]) + (META[:9] if size == 3 else b"")
        outcome = alike(ask(), Response(body, 200, FRAMES))
        outcome.refused_by(Truncated, f"the stream ended before messageStop{words}")
        assert outcome.events[:2] == [START, Text("h")]


def test_a_finish_without_a_reason_proves_nothing() -> None:
    body = BEGIN + delta(0, text="h") + event("messageStop") + META
    alike(ask(), Response(body, 200, FRAMES)).refused_by(Truncated)


def test_it_goes_on_after_its_finish() -> None:
    body = BEGIN + delta(0, text="h") + over() + delta(1, text="i")
    outcome = alike(ask(), Response(body, 200, FRAMES)).refused_by(Truncated)
    assert outcome.events[:3] == [START, Text("h"), Text("i", 1)]
    assert said(body, over("max_tokens"), META) == [
        *(Text("h"), Text("i", 1), USAGE, Finish("max_tokens", "length"), End("terminator"))
    ]


def test_an_error_between_the_finish_and_the_metadata() -> None:
    headers = {":message-type": "exception", ":exception-type": "internalServerException"}
    error = encode_frame(headers, b'{"message":"no"}')
    outcome = alike(ask(), Response(BEGIN + over() + error, 200, FRAMES))
    outcome.refused_by(Refused, "no")


def test_half_a_frame_after_the_finish_is_handed_on() -> None:
    assert said(BEGIN, over(), META[:20]) == [Unrecognized(META[:20]), STOP, End("finish")]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stop_sequence", "stop"),
        ("tool_use", "tool_call"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("new", ""),
    ],
)
def test_the_reason(reason: str, kind: Any) -> None:
    assert said(BEGIN, over(reason), META)[1] == Finish(reason, kind)


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_a_reason_that_is_an_error(reason: str) -> None:
    body = BEGIN + start(0, toolUse={"toolUseId": "t", "name": "f"}) + over(reason) + META
    outcome = alike(ask(), Response(body, 200, FRAMES)).refused_by(Refused, reason)
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == reason
    assert outcome.events[2:] == [
        USAGE,
        ToolCallEnd(0, "t", "f", "{}", False),
        Finish(reason, "error"),
    ]


def test_fields_of_the_models_own() -> None:
    for fields in ({"stop_sequence": "x"}, {"delta": {"stop_sequence": "x"}}):
        raw = json.dumps(fields).encode()
        assert said(BEGIN, over("stop_sequence", additionalModelResponseFields=fields)) == [
            Unrecognized(raw, "additionalModelResponseFields"),
            Finish("stop_sequence", "stop", "x"),
            End("finish"),
        ]
    found = said(BEGIN, over(additionalModelResponseFields={"delta": {"stop_sequence": None}}))
    assert found[1] == STOP
    assert said(BEGIN, over(additionalModelResponseFields=[1]))[1] == STOP


def test_without_an_id_there_is_no_start() -> None:
    body = BEGIN + delta(0, text="h") + over()
    outcome = alike(ask(), Response(body, 200, [KIND])).succeeded()
    assert outcome.events == [Text("h"), STOP, End("finish")]


def test_the_start_comes_without_its_event() -> None:
    assert said(delta(0, text="h"), over()) == [Text("h"), STOP, End("finish")]


@pytest.mark.parametrize("kind", [b"application/octet-stream", b""])
def test_other_content_types(kind: bytes) -> None:
    headers: Headers = [(b"content-type", kind), FRAMES[1]]
    assert said(BEGIN, over(), headers=headers) == [STOP, End("finish")]


def test_a_frame_without_a_content_type() -> None:
    headers = {":message-type": "event", ":event-type": "messageStop"}
    assert said(encode_frame(headers, b'{"stopReason":"end_turn"}')) == [STOP, End("finish")]


# Tools


def test_a_tool_call() -> None:
    assert said(
        *(BEGIN, delta(0, text="h"), stop(0)),
        start(1, toolUse={"toolUseId": "t1", "name": "f", "type": "tool_use"}),
        *(delta(1, toolUse={"input": '{"a"'}), delta(1, toolUse={"input": ":1}"}), stop(1)),
        start(2, toolUse={"toolUseId": "t2", "name": "g"}),
        *(stop(2), over("tool_use"), META),
    ) == [
        *(Text("h"), ToolCallStart(0, "t1", "f", part=1)),
        *(ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}")),
        *(ToolCallStart(1, "t2", "g", part=2), USAGE),
        ToolCallEnd(0, "t1", "f", '{"a":1}', True),
        ToolCallEnd(1, "t2", "g", "{}", True),
        *(Finish("tool_use", "tool_call"), End("terminator")),
    ]


@pytest.mark.parametrize("pieces", [[], [""], ["{}"], ["", "{}"]])
def test_a_tool_call_without_arguments(pieces: list[str]) -> None:
    inputs = [delta(0, toolUse={"input": piece}) for piece in pieces]
    events = said(
        BEGIN, start(0, toolUse={"toolUseId": "t", "name": "f"}), *inputs, stop(0), over("tool_use")
    )
    assert ToolCallEnd(0, "t", "f", "{}", True) in events


@pytest.mark.parametrize(("text", "reason"), [('{"a":', "max_tokens"), ("", "max_tokens")])
def test_a_tool_call_that_was_cut(text: str, reason: str) -> None:
    events = said(
        BEGIN,
        start(0, toolUse={"toolUseId": "t", "name": "f"}),
        *(delta(0, toolUse={"input": text}), over(reason)),
    )
    assert ToolCallEnd(0, "t", "f", text or "{}", False) in events


def test_a_tool_call_with_something_new() -> None:
    events = said(
        BEGIN, start(0, toolUse={"toolUseId": "t", "name": "f", "new": [1]}), over("tool_use")
    )
    assert events[:2] == [
        ToolCallStart(0, "t", "f"),
        Unrecognized(b"[1]", "content[0].start.toolUse.new"),
    ]


def test_a_tool_of_the_services() -> None:
    """It runs the tool itself: a client must not."""
    call = {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}
    result = {"toolUseId": "s", "type": "nova_grounding_result"}
    assert said(
        *(BEGIN, start(0, toolUse=call)),
        *(delta(0, toolUse={"input": '{"q":'}), delta(0, toolUse={"input": " 1}"}), stop(0)),
        start(1, toolResult=result),
        *(delta(1, toolResult=[{"text": "a"}]), delta(1, toolResult=[{"json": 1}]), stop(1)),
        *(start(2, toolUse=call), stop(2), over()),
    ) == [
        Native(
            "bedrock",
            b'{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use",'
            b'"input":{"q": 1}}}',
        ),
        native(1, toolResult={**result, "content": [{"text": "a"}, {"json": 1}]}),
        native(2, toolUse={**call, "input": {}}),
        *(STOP, End("finish")),
    ]


def test_a_tool_of_the_services_that_was_cut() -> None:
    call = {"toolUseId": "s", "name": "n", "type": "server_tool_use"}
    assert said(BEGIN, start(0, toolUse=call), delta(0, toolUse={"input": '{"q'}), over()) == [
        Unrecognized(
            b'{"toolUse":{"toolUseId":"s","name":"n","type":"server_tool_use"}}', "content[0]"
        ),
        Unrecognized(b'{"q', "content[0].input"),
        *(STOP, End("finish")),
    ]


# Thoughts


def test_a_signed_thought() -> None:
    assert said(
        *(
            BEGIN,
            delta(0, reasoningContent={"text": "s"}),
            delta(0, reasoningContent={"text": "o"}),
        ),
        *(delta(0, reasoningContent={"signature": "sig"}), stop(0)),
        *(delta(1, reasoningContent={"redactedContent": "YQ=="}), stop(1)),
        *(delta(2, text="h"), stop(2), over()),
    ) == [
        *(Reasoning("s"), Reasoning("o")),
        native(0, reasoningContent={"reasoningText": {"text": "so", "signature": "sig"}}),
        native(1, reasoningContent={"redactedContent": "YQ=="}),
        *(Text("h", 2), STOP, End("finish")),
    ]


def test_a_signature_without_a_thought() -> None:
    assert said(BEGIN, delta(0, reasoningContent={"signature": "sig"}), stop(0), over()) == [
        native(0, reasoningContent={"reasoningText": {"text": "", "signature": "sig"}}),
        *(STOP, End("finish")),
    ]


def test_a_thought_that_is_not_signed() -> None:
    assert said(BEGIN, delta(0, reasoningContent={"text": "so"}), stop(0), over()) == [
        *(Reasoning("so"), STOP, End("finish"))
    ]


def test_it_begins_with_nothing() -> None:
    """As gpt-oss does."""
    assert said(
        *(BEGIN, delta(0, text=""), stop(0)),
        *(delta(1, reasoningContent={"text": "so"}), stop(1), over()),
    ) == [Reasoning("so"), STOP, End("finish")]


# Sources

LOCATIONS: list[tuple[Any, str, str]] = [
    ({"web": {"url": "https://a.test", "domain": "a.test"}}, "https://a.test", ""),
    ({"documentChar": {"documentIndex": 0, "start": 1, "end": 2}}, "", "0"),
    ({"searchResultLocation": {"searchResultIndex": 1}}, "", ""),
    ({"new": 1}, "", ""),
    (None, "", ""),
]


@pytest.mark.parametrize(("location", "url", "source"), LOCATIONS)
def test_a_cited_text(location: Any, url: str, source: str) -> None:
    cited = {"title": "t", "sourceContent": [{"text": "q"}, {"text": "r"}], "location": location}
    form = {"content": [{"text": "hi"}], "citations": [cited]}
    assert said(
        *(BEGIN, delta(0, citation=cited), delta(0, text="h"), delta(0, text="i"), stop(0), over())
    ) == [
        *(Citation(url, "t", source, "qr"), Text("h"), Text("i")),
        *(native(0, citationsContent=form), STOP, End("finish")),
    ]


def test_a_source_that_has_a_name() -> None:
    events = said(BEGIN, delta(0, citation={"source": "doc-1"}), stop(0), over())
    assert events[:2] == [
        Citation(source="doc-1"),
        native(0, citationsContent={"content": [], "citations": [{"source": "doc-1"}]}),
    ]


def test_sources_after_their_text() -> None:
    """Of that text nothing was kept, so there is no native form."""
    assert said(
        *(BEGIN, delta(0, text="h"), delta(0, citation={"title": "t"}), stop(0)),
        *(delta(1, citation={"title": "u"}), delta(1, citation={"title": "v"}), stop(1), over()),
    ) == [
        *(Text("h"), Citation(title="t"), Citation(title="u", part=1), Citation(title="v", part=1)),
        native(1, citationsContent={"content": [], "citations": [{"title": "u"}, {"title": "v"}]}),
        *(STOP, End("finish")),
    ]


# Pictures


def test_a_picture() -> None:
    first, second = b64encode(b"abc").decode(), b64encode(b"d").decode()
    assert said(
        *(BEGIN, delta(0, text="h"), start(1, image={"format": "png"})),
        delta(1, image={"source": {"bytes": first}}),
        *(delta(1, image={"source": {"bytes": second}}), stop(1), over()),
    ) == [Text("h"), Image(b"abcd", "image/png", part=1), STOP, End("finish")]


def test_a_picture_elsewhere() -> None:
    source = {"s3Location": {"uri": "s3://a/b"}}
    assert said(
        *(BEGIN, start(0, image={"format": "png"}), delta(0, image={"source": source})),
        *(stop(0), over()),
    ) == [native(0, image={"format": "png", "source": source}), STOP, End("finish")]


def test_a_picture_that_failed() -> None:
    events = said(
        *(BEGIN, start(0, image={"format": "png"})),
        *(delta(0, image={"error": {"message": "no"}}), stop(0), over()),
    )
    assert events[:2] == [
        Unrecognized(b'{"error": {"message": "no"}}', "content[0].delta.image"),
        Unrecognized(b'{"image":{"format":"png"}}', "content[0]"),
    ]
    assert events[2] == STOP


def test_a_picture_that_is_none() -> None:
    events = said(
        *(BEGIN, start(0, image={"format": "png"})),
        *(delta(0, image={"source": {"bytes": "?"}}), delta(0, image={"source": {"bytes": "!"}})),
        *(stop(0), over()),
    )
    assert events[:2] == [Unrecognized(b"?!", "content[0].image"), STOP]


@pytest.mark.parametrize(
    "image", [{"source": {"bytes": "YQ=="}, "new": 1}, {"source": {}, "new": 1}, {"source": 1}]
)
def test_a_piece_of_a_picture_that_is_not_understood(image: Any) -> None:
    raw = json.dumps(image).encode()
    events = said(BEGIN, start(0, image={"format": "png"}), delta(0, image=image), stop(0), over())
    assert events == [
        Unrecognized(raw, "content[0].delta.image"),
        Unrecognized(b'{"image":{"format":"png"}}', "content[0]"),
        *(STOP, End("finish")),
    ]


def test_a_source_of_a_picture_with_more_than_bytes() -> None:
    source = {"bytes": "YQ==", "new": 1}
    image = delta(0, image={"source": source})
    events = said(BEGIN, start(0, image={"format": "png"}), image, stop(0), over())
    assert events == [native(0, image={"format": "png", "source": source}), STOP, End("finish")]


# What is not understood


@pytest.mark.parametrize(
    ("frame", "unknown"),
    [
        (event_frame("new", b"no JSON"), Unrecognized(b"no JSON", "new")),
        (delta(0, new=[1]), Unrecognized(b"[1]", "content[0].delta.new")),
        (delta(0, text=1), Unrecognized(b"1", "content[0].delta.text")),
        (
            delta(0, toolUse={"input": "{}"}),
            Unrecognized(b'{"input": "{}"}', "content[0].delta.toolUse"),
        ),
        (delta(0, toolResult=[]), Unrecognized(b"[]", "content[0].delta.toolResult")),
        (delta(0, image={}), Unrecognized(b"{}", "content[0].delta.image")),
        (delta(0, citation=1), Unrecognized(b"1", "content[0].delta.citation")),
        (
            delta(0, reasoningContent={"signature": "s", "new": 1}),
            Unrecognized(b'{"signature": "s", "new": 1}', "content[0].delta.reasoningContent"),
        ),
        (
            delta(0, reasoningContent={"redactedContent": "s", "new": 1}),
            Unrecognized(
                b'{"redactedContent": "s", "new": 1}', "content[0].delta.reasoningContent"
            ),
        ),
        (
            event("contentBlockDelta", contentBlockIndex=0, delta=[]),
            Unrecognized(b"[]", "content[0].delta"),
        ),
        (start(0, new={"a": 1}), Unrecognized(b'{"a": 1}', "content[0].start.new")),
        (start(0, toolUse=1), Unrecognized(b"1", "content[0].start.toolUse")),
        (
            event("contentBlockStart", contentBlockIndex=0, start="x"),
            Unrecognized(b'"x"', "content[0].start"),
        ),
        (event("metadata", trace={"a": 1}), Unrecognized(b'{"a": 1}', "metadata.trace")),
    ],
)
def test_something_new(frame: bytes, unknown: Unrecognized) -> None:
    """It is handed on as it came, and the stream goes on."""
    assert said(BEGIN, frame, stop(0), delta(3, text="h"), stop(3), over()) == [
        *(unknown, Text("h"), STOP, End("finish")),
    ]


def test_a_piece_that_has_what_is_null() -> None:
    pieces = delta(0, text="h", toolUse=None), delta(1, reasoningContent={"text": "t"}, text=None)
    assert said(BEGIN, *pieces, over()) == [
        *(Text("h"), Reasoning("t", 1), STOP, End("finish")),
    ]


@pytest.mark.parametrize("kind", [{}, {"text": None}, {"text": ""}])
def test_a_piece_of_nothing(kind: Any) -> None:
    empty = event("contentBlockStart", contentBlockIndex=0, start={})
    assert said(BEGIN, empty, delta(0, **kind), delta(0, text="h"), over()) == [
        *(Text("h"), STOP, End("finish"))
    ]


def test_no_piece_at_all() -> None:
    assert said(BEGIN, event("contentBlockDelta"), event("contentBlockStop"), over()) == [
        *(STOP, End("finish"))
    ]


@pytest.mark.parametrize(
    ("opened", "odd"),
    [
        (delta(0, text="h"), delta(0, reasoningContent={"text": "x"})),
        (delta(0, text="h"), delta(0, reasoningContent={"signature": "x"})),
        (delta(0, text="h"), delta(0, reasoningContent={"redactedContent": "x"})),
        (delta(0, text="h"), delta(0, toolUse={"input": "x"})),
        (delta(0, reasoningContent={"text": "h"}), delta(0, text="x")),
        (delta(0, reasoningContent={"text": "h"}), delta(0, citation={"title": "x"})),
        (start(0, toolUse={"toolUseId": "t", "name": "f"}), delta(0, text="x")),
        (start(0, toolResult={"toolUseId": "t"}), delta(0, toolResult={"a": 1})),
    ],
)
def test_a_piece_of_another_kind(opened: bytes, odd: bytes) -> None:
    outcome = alike(ask(), Response(BEGIN + opened + odd + over("tool_use"), 200, FRAMES))
    unknown = [e for e in outcome.succeeded().events if isinstance(e, Unrecognized)]
    assert unknown
    assert unknown[0].place.startswith("content[0].delta.")


def test_a_thought_with_something_new_has_no_native_form() -> None:
    events = said(
        *(BEGIN, delta(0, reasoningContent={"text": "so"}), delta(0, new=1)),
        *(delta(0, reasoningContent={"signature": "s"}), stop(0), over()),
    )
    assert not [e for e in events if isinstance(e, Native)]
    assert [e.place for e in events if isinstance(e, Unrecognized)] == [
        "content[0].delta.new",
        "content[0].delta.reasoningContent",
    ]


def test_a_call_with_something_new_is_not_run() -> None:
    events = said(
        *(BEGIN, start(0, toolUse={"toolUseId": "t", "name": "f"})),
        *(delta(0, toolUse={"input": "{}", "new": 1}), stop(0), over("tool_use")),
    )
    assert ToolCallEnd(0, "t", "f", "{}", False) in events


def test_blocks_without_numbers_and_stops() -> None:
    call = event("contentBlockStart", start={"toolUse": {"toolUseId": "t", "name": "f"}})
    piece = event("contentBlockDelta", delta={"toolUse": {"input": "{}"}})
    text = event("contentBlockDelta", delta={"text": "h"})
    assert said(BEGIN, text, text, call, piece, piece[:0], over())[:4] == [
        *(Text("h"), Text("h"), ToolCallStart(0, "t", "f", part=1), ToolCallDelta(0, "{}"))
    ]
    new = event("contentBlockStart", start={"new": 1})
    assert said(BEGIN, new, over())[0] == Unrecognized(b"1", "content[0].start.new")
    odd = event("contentBlockDelta", delta={"new": 1})
    assert said(BEGIN, odd, text, odd, over())[::2][:2] == [
        *(Unrecognized(b"1", "content[0].delta.new"), Unrecognized(b"1", "content[0].delta.new"))
    ]


def test_pieces_of_blocks_that_are_open_at_once() -> None:
    result = {"toolUseId": "t"}
    assert said(
        *(BEGIN, start(0, toolResult=result), delta(1, reasoningContent={"text": "so"})),
        *(delta(2, citation={"title": "t"}), start(3, toolResult=result), delta(9, text="h")),
        *(delta(0, toolResult=[{"text": "a"}]), delta(1, reasoningContent={"signature": "s"})),
        *(delta(2, citation={"title": "u"}), delta(3, new=1), stop(0), delta(9, text="i")),
        *(stop(1), stop(2), stop(3), over()),
    ) == [
        *(Reasoning("so", 1), Citation(title="t", part=2), Text("h", 4)),
        *(Citation(title="u", part=2), Unrecognized(b"1", "content[3].delta.new")),
        Unrecognized(b'{"toolResult":{"toolUseId":"t"}}', "content[3]"),
        *(native(0, toolResult={**result, "content": [{"text": "a"}]}), Text("i", 4)),
        native(1, reasoningContent={"reasoningText": {"text": "so", "signature": "s"}}),
        native(2, citationsContent={"content": [], "citations": [{"title": "t"}, {"title": "u"}]}),
        *(STOP, End("finish")),
    ]


def test_numbers_that_are_not_in_turn() -> None:
    piece = event("contentBlockDelta", delta={"reasoningContent": {"text": "x"}})
    signature = {"signature": "s"}
    assert said(
        *(BEGIN, delta(7, reasoningContent=signature), stop(7)),
        *(delta(4, reasoningContent={"text": "so"}), delta(4, reasoningContent=signature)),
        *(delta(3, text="h"), stop(3), piece, over()),
    ) == [
        native(0, reasoningContent={"reasoningText": {"text": "", "signature": "s"}}),
        *(Reasoning("so", 1), Text("h", 2)),
        # It is number 4, which begins anew.
        native(1, reasoningContent={"reasoningText": {"text": "so", "signature": "s"}}),
        *(Reasoning("x", 3), STOP, End("finish")),
    ]


def test_a_call_with_a_number_that_is_not_in_turn() -> None:
    call = start(7, toolUse={"toolUseId": "t", "name": "f"})
    events = said(BEGIN, call, delta(7, toolUse={"input": '{"a":1}'}), stop(7), over("tool_use"))
    assert ToolCallEnd(0, "t", "f", '{"a":1}', True) in events


def test_a_text_after_its_stop_is_another() -> None:
    assert said(BEGIN, delta(0, text="h"), stop(0), delta(0, text="i"), over()) == [
        *(Text("h"), Text("i", 1), STOP, End("finish"))
    ]


def test_a_hidden_thought_with_something_new_is_handed_on() -> None:
    hidden = delta(0, reasoningContent={"redactedContent": "YQ=="})
    assert said(BEGIN, hidden, delta(0, new=1), stop(0), over()) == [
        Unrecognized(b"1", "content[0].delta.new"),
        Unrecognized(b'{"reasoningContent":{"redactedContent":"YQ=="}}', "content[0]"),
        *(STOP, End("finish")),
    ]


def test_a_result_that_begins_again() -> None:
    result = {"toolUseId": "t"}
    events = said(BEGIN, start(0, toolResult=result), start(0, toolResult=result), over())
    assert events[:2] == [native(0, toolResult=result), native(1, toolResult=result)]


def test_a_block_that_begins_again() -> None:
    call = {"toolUseId": "t", "name": "f"}
    events = said(*(BEGIN, start(0, toolUse=call), start(0, toolUse=call), over("tool_use")))
    assert [e.part for e in events if isinstance(e, ToolCallStart)] == [0, 1]


@pytest.mark.parametrize(
    "type", ["contentBlockDelta", "contentBlockStart", "messageStop", "metadata"]
)
@pytest.mark.parametrize("payload", [b"no JSON", b""])
def test_an_event_that_is_no_json(type: str, payload: bytes) -> None:
    body = BEGIN + delta(0, text="h") + event_frame(type, payload)
    outcome = alike(ask(), Response(body, 200, FRAMES)).refused_by(Malformed)
    assert outcome.events == [START, Text("h")]


@pytest.mark.parametrize(
    "type", ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
)
@pytest.mark.parametrize("payload", [b"[]", b"null", b'"x"', b"1"])
def test_an_event_that_is_no_object(type: str, payload: bytes) -> None:
    body = event_frame(type, payload) + delta(0, text="h")
    assert said(BEGIN, body, over()) == [
        *(Unrecognized(payload, type), Text("h"), STOP, End("finish"))
    ]


# Usage


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (
            {
                "inputTokens": 2,
                "cacheReadInputTokens": 0,
                "cacheWriteInputTokens": 1322,
                "outputTokens": 5,
                "totalTokens": 1329,
            },
            Usage(1324, 5, 1329, 0, 1322),
        ),
        ({"inputTokens": 2, "cacheReadInputTokens": 3}, Usage(5, None, None, 3)),
        ({"outputTokens": 3.0, "serverToolUsage": {}}, Usage(None, 3)),
        ({"inputTokens": "2", "totalTokens": 4}, Usage(2, None, 4)),
        ({"inputTokens": [2], "totalTokens": 4}, Usage(None, None, 4)),
        ({}, Usage()),
    ],
)
def test_usage(usage: dict[str, Any], counted: Usage) -> None:
    (found, *_) = said(BEGIN, over(), event("metadata", usage=usage))
    assert isinstance(found, Usage)
    assert found == msgspec.structs.replace(counted, raw=usage)


def test_metadata_without_usage() -> None:
    assert said(BEGIN, over(), event("metadata")) == [STOP, End("terminator")]
    about = {"performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"}}
    assert said(BEGIN, over(), event("metadata", **about)) == [
        *(Usage(raw=about), STOP, End("terminator"))
    ]


# The whole answer

WHOLE: dict[str, Any] = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "so", "signature": "sig"}}},
                {"reasoningContent": {"reasoningText": {"text": "plain"}}},
                {"text": "h\u20ac"},
                {
                    "citationsContent": {
                        "content": [{"text": "a"}, {"text": "b"}],
                        "citations": [{"title": "t"}],
                    }
                },
                {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1.0, "b": "\u20ac"}}},
                {"toolUse": {"toolUseId": "u", "name": "g"}},
                {
                    "toolUse": {
                        "toolUseId": "s",
                        "name": "n",
                        "type": "server_tool_use",
                        "input": {},
                    }
                },
                {"image": {"format": "png", "source": {"bytes": "YWJj"}}},
                {"new": 1},
                {"text": "x", "new": 1},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 2, "outputTokens": 3},
    "metrics": {"latencyMs": 5},
}
HEADERS: Headers = [*JSON, FRAMES[1]]


def whole(**changes: Any) -> Response:
    return Response(json.dumps({**WHOLE, **changes}, indent=1).encode(), 200, HEADERS)


@pytest.mark.parametrize("asked", [True, False])
def test_a_whole_answer(asked: bool) -> None:
    outcome = alike(ask(stream=asked), whole()).succeeded()
    blocks = WHOLE["output"]["message"]["content"]
    assert outcome.events == [
        *(START, Reasoning("so"), native(0, **blocks[0])),
        *(Reasoning("plain", 1), Text("h\u20ac", 2)),
        *(Citation(title="t", part=3), Text("a", 3), Text("b", 3), native(3, **blocks[3])),
        ToolCallStart(0, "t", "f", part=4),
        ToolCallDelta(0, '{"a":1.0,"b":"\\u20ac"}'),
        *(ToolCallStart(1, "u", "g", part=5), native(6, **blocks[6])),
        *(Image(b"abc", "image/png", part=7), native(8, **blocks[8])),
        *(Text("x", 9), native(9, **blocks[9])),
        USAGE,
        ToolCallEnd(0, "t", "f", '{"a":1.0,"b":"\\u20ac"}', True),
        ToolCallEnd(1, "u", "g", "{}", True),
        *(Finish("tool_use", "tool_call"), End("terminator")),
    ]


def test_a_further_key_of_a_thought_in_a_whole_answer() -> None:
    block = {"reasoningContent": {"reasoningText": {"text": "so"}, "new": 1}}
    output = {"message": {"role": "assistant", "content": [block]}}
    outcome = alike(ask(stream=False), whole(output=output)).succeeded()
    assert outcome.events[1:3] == [Reasoning("so"), native(0, **block)]


def test_blocks_of_a_whole_answer() -> None:
    call = {"toolUseId": "t", "name": "f", "type": "tool_use"}
    odd: list[dict[str, Any]] = [
        {"citationsContent": 1},
        {"citationsContent": {"content": []}, "new": 1},
    ]
    response = whole(output={"message": {"content": [{"toolUse": call}, *odd]}})
    events = alike(ask(stream=False), response).succeeded().events
    assert events[1:4] == [ToolCallStart(0, "t", "f"), native(1, **odd[0]), native(2, **odd[1])]


def test_a_whole_answer_that_is_not_quite_utf8() -> None:
    body = b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"f",'
    body += b'"input":{"a": "\xff"}}}]}},"stopReason":"tool_use"}'
    events = alike(ask(stream=False), Response(body, 200, HEADERS)).succeeded().events
    assert ToolCallEnd(0, "t", "f", '{"a":"\ufffd"}', True) in events


def test_a_whole_answer_without_an_id() -> None:
    response = whole()
    response.headers = JSON
    assert alike(ask(stream=False), response).succeeded().events[0] == Reasoning("so")


def test_what_stands_beside_a_whole_answer() -> None:
    response = whole(
        trace={"a": 1},
        additionalModelResponseFields={"stop_sequence": "x"},
        output={"message": {"content": ["x"], "new": 2}},
    )
    events = alike(ask(stream=False), response).succeeded().events
    assert events[1:] == [
        Unrecognized(b'"x"', "content[0]"),
        Unrecognized(b"2", "output.message.new"),
        *(USAGE, Unrecognized(b'{\n  "a": 1\n }', "metadata.trace")),
        Unrecognized(b'{\n  "stop_sequence": "x"\n }', "additionalModelResponseFields"),
        *(Finish("tool_use", "tool_call", "x"), End("terminator")),
    ]


def test_a_whole_answer_without_a_reason() -> None:
    response = whole(stopReason=None)
    alike(ask(stream=False), response).refused_by(Truncated)
    bare = Response(json.dumps({"output": WHOLE["output"]}).encode(), 200, HEADERS)
    outcome = alike(ask(stream=False), bare).refused_by(Truncated)
    assert Text("h\u20ac", 2) in outcome.events


def test_a_whole_answer_without_an_output() -> None:
    bare = {"stopReason": "end_turn"}
    for odd, unknown in (
        ({}, []),
        ({"output": [1]}, [Unrecognized(b"[1]", "output")]),
        ({"output": {"message": 5}}, [Unrecognized(b"5", "output.message")]),
    ):
        response = Response(json.dumps({**bare, **odd}).encode(), 200, HEADERS)
        events = alike(ask(stream=False), response).succeeded().events
        assert events == [START, *unknown, STOP, End("terminator")]


def test_an_odd_reason_of_a_whole_answer() -> None:
    outcome = alike(ask(stream=False), whole(stopReason=[1])).refused_by(Truncated)
    assert Unrecognized(b"[\n  1\n ]", "stopReason") in outcome.events


SLOW = {"code": "ThrottlingException", "message": "slow"}


@pytest.mark.parametrize(
    ("frame", "place"),
    [
        (event("messageStart", role="assistant", error=SLOW), "messageStart.error"),
        (event("metadata", error=SLOW), "metadata.error"),
        (delta(0, text="a", error=SLOW), "content[0].delta.error"),
    ],
)
def test_an_error_beside_what_an_event_says(frame: bytes, place: str) -> None:
    body = BEGIN + frame + over() + META
    outcome = alike(ask(), Response(body, 200, FRAMES)).refused_by(RateLimited, "slow")
    assert Unrecognized(json.dumps(SLOW).encode(), place) in outcome.events
    assert outcome.events[-1] == STOP


def test_an_error_in_a_whole_message() -> None:
    response = whole(output={"message": {"content": [{"text": "a"}], "error": SLOW}})
    outcome = alike(ask(stream=False), response).refused_by(RateLimited, "slow")
    assert outcome.events[1] == Text("a")


@pytest.mark.parametrize(
    "value", [{}, {"output": {}}, {"output": 1}, [], {"output": {"message": 1}}]
)
def test_a_document_without_an_output(value: Any) -> None:
    response = Response(json.dumps(value).encode(), 200, HEADERS)
    error = alike(ask(), response).refused_by(Malformed).error
    assert isinstance(error, Malformed)
    assert (error.message, error.data) == ("a JSON document without an output", response.body)


def test_a_document_that_is_an_error() -> None:
    response = Response(b'{"__type":"a#ThrottlingException","Message":"no"}', 200, HEADERS)
    error = alike(ask(), response).refused_by(RateLimited, "the service refused: no").error
    assert isinstance(error, RateLimited)
    assert (error.code, error.data) == ("ThrottlingException", response.body)


# Errors


def exception(name: str, **fields: Any) -> bytes:
    headers = {":message-type": "exception", ":exception-type": name}
    return encode_frame(headers, json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", RateLimited),
        ("ThrottlingException", RateLimited),
        ("serviceUnavailableException", Overloaded),
        ("modelTimeoutException", Overloaded),
        ("validationException", BadRequest),
        ("internalServerException", Refused),
        ("modelStreamErrorException", Refused),
        ("somethingNewException", Refused),
    ],
)
def test_an_exception_midway(name: str, kind: type[Refused]) -> None:
    body = BEGIN + delta(0, text="h") + exception(name, message="slow", originalMessage="why")
    outcome = alike(ask(), Response(body, 200, FRAMES)).refused_by(kind, "slow: why")
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.code, outcome.error.request_id) == (name, "r-1")
    assert outcome.events == [START, Text("h")]


def test_refusals_before_the_stream() -> None:
    suffix = b":http://internal.amazon.com/coral/com.amazon.bedrock/"
    named: Headers = [*HEADERS, (b"x-amzn-errortype", b"ValidationException" + suffix)]
    outcome = alike(ask(), Response(b'{"message":"no"}', 400, named)).refused_by(BadRequest)
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.code, outcome.error.request_id) == ("ValidationException", "r-1")
    key = b'{"Message":"Authentication failed: Please make sure your API Key is valid."}'
    outcome = alike(ask(), Response(key, 403, HEADERS))
    outcome.refused_by(AuthenticationFailed, "make sure your API Key is valid")
    for status, kind in ((429, RateLimited), (503, Overloaded), (500, Refused)):
        alike(ask(), Response(b"{}", status, HEADERS)).refused_by(kind)
    page = Response(b"<html>hello</html>", 200, [(b"content-type", b"text/html")])
    alike(ask(), page).refused_by(UnexpectedContent, "an HTML page")
    page.headers = FRAMES
    alike(ask(), page).refused_by(UnexpectedContent, "an HTML page")


# Limits


def test_a_frame_that_is_too_large() -> None:
    """Its length is believed once its own checksum is right, and nothing more is waited for."""
    limits = Limits(event=200)
    frames = BEGIN + delta(0, text="h") + delta(0, text="x" * 200)
    outcome = alike(ask(limits), Response(frames, 200, FRAMES))
    outcome.refused_by(LimitExceeded, "a frame of more than 200 bytes")
    assert outcome.events == [START, Text("h")]
    huge = bytes.fromhex("80000000000000009e8a67a5")
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, FRAMES)
    exchange.receive_data(huge[:11])
    assert exchange.wants_data
    exchange.receive_data(huge[11:])
    assert not exchange.wants_data


@pytest.mark.parametrize(
    "pieces",
    [
        [delta(0, reasoningContent={"text": "x" * 60})] * 5,
        [delta(0, reasoningContent={"signature": "x" * 60})] * 5,
        [delta(0, citation={"title": "x" * 60})] * 5,
        [start(0, image={"format": "png"}), *[delta(0, image={"source": {"bytes": "x" * 60}})] * 5],
        [start(0, toolResult={"toolUseId": "t"}), *[delta(0, toolResult=[{"text": "x" * 60}])] * 5],
    ],
)
def test_what_is_kept_is_bounded(pieces: list[bytes]) -> None:
    limits = Limits(event=270)
    outcome = alike(ask(limits), Response(BEGIN + b"".join(pieces), 200, FRAMES))
    outcome.refused_by(LimitExceeded, "a block of more than 270 characters")


def test_parts_are_bounded() -> None:
    frames = BEGIN + b"".join(delta(n, text="h") for n in range(5))
    alike(ask(Limits(parts=4)), Response(frames, 200, FRAMES)).refused_by(LimitExceeded)


def test_100000_frames() -> None:
    frames = BEGIN + delta(0, text="h") * 100_000 + over() + META
    events = drive(ask(), Response(frames, 200, FRAMES)).succeeded().events
    assert len(events) == 100_004


def test_the_next_request_has_the_native_forms() -> None:
    body = b"".join(
        [
            *(BEGIN, delta(0, reasoningContent={"text": "so"})),
            *(delta(0, reasoningContent={"signature": "sig"}), stop(0)),
            *(delta(1, reasoningContent={"redactedContent": "YQ=="}), stop(1)),
            *(delta(2, citation={"title": "t"}), delta(2, text="hi"), stop(2)),
            *(start(3, toolUse={"toolUseId": "t", "name": "f"}), stop(3), over("tool_use"), META),
        ]
    )
    reply = drive(ask(), Response(body, 200, FRAMES)).succeeded().reply
    chat: Chat = as_chat("hi", model=MODEL).then(reply, reply.tool_calls[0].result("r"))
    request = BEDROCK.exchange(chat).next_request()
    assert request is not None
    assert json.loads(request.body)["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "so", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "YQ=="}},
                {"citationsContent": {"content": [{"text": "hi"}], "citations": [{"title": "t"}]}},
                {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "r"}]}}],
        },
    ]


def test_the_seeds_of_the_fuzzers_are_streams() -> None:
    body = stream(("messageStop", '{"stopReason":"end_turn"}'))
    assert said(body) == [STOP, End("finish")]


# What is nearly as it should be


def test_two_members_in_one_piece() -> None:
    """A union with two members: neither is lost, and none is guessed."""
    call = start(0, toolUse={"toolUseId": "t", "name": "f"})
    both = delta(0, text="a", toolUse={"input": "{}"})
    thought = delta(1, text="a", reasoningContent={"text": "b"})
    assert said(BEGIN, call, both, stop(0), thought, over("tool_use"), META) == [
        ToolCallStart(0, "t", "f"),
        Unrecognized(b'"a"', "content[0].delta.text"),
        Unrecognized(b'{"input": "{}"}', "content[0].delta.toolUse"),
        Unrecognized(b'"a"', "content[1].delta.text"),
        Unrecognized(b'{"text": "b"}', "content[1].delta.reasoningContent"),
        USAGE,
        ToolCallEnd(0, "t", "f", "{}", complete=False),
        Finish("tool_use", "tool_call"),
        End("terminator"),
    ]


def test_a_further_member_of_a_piece() -> None:
    """What is known of it is said."""
    text, thought = delta(0, new=[1], text="a"), delta(1, reasoningContent={"text": "b"}, new=2)
    call = start(2, toolUse={"toolUseId": "t", "name": "f"})
    piece = delta(2, toolUse={"input": "{}"}, new=3)
    assert said(BEGIN, text, delta(0, text="c"), thought, call, piece, over("tool_use"), META) == [
        *(Text("a"), Unrecognized(b"[1]", "content[0].delta.new"), Text("c")),
        *(Reasoning("b", 1), Unrecognized(b"2", "content[1].delta.new")),
        *(ToolCallStart(0, "t", "f", part=2), ToolCallDelta(0, "{}")),
        Unrecognized(b"3", "content[2].delta.new"),
        USAGE,
        ToolCallEnd(0, "t", "f", "{}", complete=False),
        Finish("tool_use", "tool_call"),
        End("terminator"),
    ]


def test_a_signature_of_a_hidden_thought() -> None:
    hidden = delta(0, reasoningContent={"redactedContent": "YQ=="})
    signature = delta(0, reasoningContent={"signature": "s"})
    assert said(BEGIN, hidden, signature, stop(0), over(), META)[:2] == [
        Unrecognized(b'{"signature": "s"}', "content[0].delta.reasoningContent"),
        Unrecognized(b'{"reasoningContent":{"redactedContent":"YQ=="}}', "content[0]"),
    ]


@pytest.mark.parametrize(
    ("call", "id", "name", "handed_on"),
    [
        ({"toolUseId": 5, "name": "f"}, "5", "f", None),
        ({"toolUseId": [5], "name": "f"}, "", "f", ("toolUseId", b"[5]")),
        ({"toolUseId": "t", "name": ["f"]}, "t", "", ("name", b'["f"]')),
        ({"toolUseId": "t", "name": None}, "t", "", None),
    ],
)
def test_a_call_of_odd_types(
    call: Any, id: str, name: str, handed_on: tuple[str, bytes] | None
) -> None:
    """A number is an id, too; a call that can't be run is not whole."""
    further = (
        [Unrecognized(handed_on[1], f"content[0].start.toolUse.{handed_on[0]}")]
        if handed_on
        else []
    )
    ends = [USAGE, ToolCallEnd(0, id, name, "{}", complete=id == "5")]
    finish = [Finish("tool_use", "tool_call"), End("terminator")]
    streamed = said(BEGIN, start(0, toolUse=call), stop(0), over("tool_use"), META)
    assert streamed == [ToolCallStart(0, id, name), *further, *ends, *finish]
    content = [{"toolUse": {**call, "input": {"a": 1}}}]
    document = {"output": {"message": {"content": content}}, "stopReason": "tool_use"}
    response = Response(msgspec.json.encode(document), 200, JSON)
    events = alike(ask(stream=False), response).succeeded().events
    assert [e for e in events if isinstance(e, ToolCallStart | ToolCallEnd)] == [
        ToolCallStart(0, id, name),
        ToolCallEnd(0, id, name, '{"a":1}', complete=id == "5"),
    ]
    assert [e.raw for e in events if isinstance(e, Unrecognized)] == (
        [handed_on[1]] if handed_on else []
    )


def test_the_input_of_a_call_where_it_begins() -> None:
    """Its place is in the pieces: a call without it must not be run. An empty one says nothing."""
    for early, complete in (({"a": 1}, False), ({}, True), ("", True)):
        call = start(0, toolUse={"toolUseId": "t", "name": "f", "input": early})
        events = said(BEGIN, call, stop(0), over("tool_use"), META)
        further = [] if complete else [Unrecognized(b'{"a": 1}', "content[0].start.toolUse.input")]
        assert events[:-2] == [
            ToolCallStart(0, "t", "f"),
            *further,
            USAGE,
            ToolCallEnd(0, "t", "f", "{}", complete=complete),
        ]


def test_further_keys_of_a_whole_answer() -> None:
    png = {"format": "png", "source": {"bytes": "iVBORw=="}}
    content: Any = [
        {"text": "a", "toolUse": None},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}, "new": [1]}},
        {"image": {**png, "error": {"message": "no"}}},
        {"image": {**png, "source": {"bytes": "YQ==", "new": 1}}},
    ]
    document: Any = {
        "output": {"message": {"role": "assistant", "content": content}, "new": {"text": "b"}},
        "stopReason": "tool_use",
    }
    response = Response(msgspec.json.encode(document), 200, JSON)
    events = alike(ask(stream=False), response).succeeded().events
    assert events[:-3] == [
        Text("a"),
        ToolCallStart(0, "t", "f", part=1),
        ToolCallDelta(0, "{}"),
        Unrecognized(b"[1]", "content[1].toolUse.new"),
        Native("bedrock", msgspec.json.encode(content[2]), 2),
        Native("bedrock", msgspec.json.encode(content[3]), 3),
        Unrecognized(b'{"text":"b"}', "output.new"),
    ]


def test_a_picture_with_something_else() -> None:
    frames = (
        start(0, image={"format": "png", "new": 1}),
        delta(0, image={"source": {"bytes": "iVBORw=="}}),
        delta(0, image={"source": {"s3Location": {"uri": "s3://a/b"}}}),
    )
    assert said(BEGIN, *frames, stop(0), over(), META)[:2] == [
        Image(b"\x89PNG", "image/png"),
        Unrecognized(b'{"new":1,"source":{"s3Location":{"uri":"s3://a/b"}}}', "content[0].image"),
    ]

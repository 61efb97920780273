"""Lines of a journal: what is written, and what is read of any."""

import json
from typing import Any

import pytest

from tests.batch.making import WRITER, answer, line, outcome, question
from tokenwire import (
    Image,
    LocalProtocolError,
    RateLimited,
    Reasoning,
    Reply,
    Text,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from tokenwire.batch.digests import asked_text
from tokenwire.batch.lines import Begun, Line, Writer, began_line, read_line
from tokenwire.batch.outcomes import Fate, Outcome

ROW = question(1, "q1")
ASKED = asked_text(ROW.asked)


def written(found: Outcome, writer: Writer = WRITER) -> Any:
    data = writer.line(found)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    return json.loads(data)


def test_a_complete_answer_is_a_chat_completion() -> None:
    found = written(
        outcome(
            ROW,
            usage=Usage(input_tokens=3, output_tokens=2),
            tokens=5,
            cost=0.25,
            started=1_796_000_000.5,
            seconds=1.23456,
            first=0.5,
        )
    )
    assert found["custom_id"] == "q1"
    assert found["error"] is None
    assert found["response"]["status_code"] == 200
    assert found["response"]["request_id"] == "req-1"
    body = found["response"]["body"]
    assert (body["object"], body["id"], body["created"]) == (
        "chat.completion",
        "c-1",
        1_796_000_000,
    )
    assert body["choices"][0]["message"]["content"] == "Hi"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 5
    assert found["tokenwire"] == {
        "outcome": "complete",
        "evidence": "terminator",
        "finish": "stop",
        "asked": ASKED,
        "attempts": 1,
        "started": "2026-11-30T00:53:20.500Z",
        "seconds": 1.235,
        "first": 0.5,
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "tokens": 5,
        "cost": 0.25,
    }


def test_half_an_answer_is_no_response() -> None:
    reply = Reply.of([Reasoning("Hm"), Text("He"), ToolCallStart(0, "c", "f")])
    reply.add(ToolCallDelta(0, '{"a'))
    found = written(outcome(ROW, "truncated", error=LocalProtocolError("cut"), partial=reply))
    assert found["response"] is None
    assert found["error"] == {"code": "truncated", "message": "cut"}
    assert found["tokenwire"]["partial"] == {
        "text": "He",
        "reasoning": "Hm",
        "tool_calls": [{"name": "f", "arguments": '{"a'}],
    }
    nothing = written(outcome(ROW, "disconnected", error=LocalProtocolError("x"), partial=Reply()))
    assert "partial" not in nothing["tokenwire"]


def test_a_refusal_has_its_response() -> None:
    error = RateLimited("slow down", data=b'{"error":{"message":"slow down"}}')
    error.status, error.request_id = 429, "req-2"
    found = written(outcome(ROW, "rate_limited", error=error))
    assert found["response"] == {
        "status_code": 429,
        "request_id": "req-2",
        "body": {"error": {"message": "slow down"}},
    }
    assert found["error"] == {"code": "rate_limited", "message": "slow down"}
    error.data = b"<html>\xff"
    assert written(outcome(ROW, "rate_limited", error=error))["response"]["body"] == "<html>\ufffd"


def test_an_answer_without_an_id_gets_one_and_pictures_are_in_its_message() -> None:
    reply = Reply.of([Image(b"x", "image/png")])
    body = written(outcome(ROW, reply=reply))["response"]["body"]
    assert body["id"] == f"chatcmpl-{ROW.asked:016x}"
    (image,) = body["choices"][0]["message"]["images"]
    assert image["image_url"]["url"] == "data:image/png;base64,eA=="


def test_plain_lines_have_no_key_of_ours() -> None:
    found = written(outcome(ROW), Writer(plain=True))
    assert list(found) == ["custom_id", "id", "response", "error"]


def test_no_line_has_a_secret() -> None:
    writer = Writer(secrets=('a-long-se"cret-key', "EMPTY"))
    found = writer.line(outcome(ROW, reply=answer('is a-long-se"cret-key it, or EMPTY?')))
    assert b"cret-key" not in found
    assert b"[secret] it, or EMPTY?" in found
    assert json.loads(found)["response"]["body"]["id"] == "c-1"
    assert b"[secret]" not in writer.line(outcome(ROW))


# Reading


def test_what_is_written_is_read() -> None:
    found = read_line(
        line(ROW, usage=Usage(input_tokens=3), tokens=5, cost=0.25, started=1_796_000_000)
    )
    assert found == Line(
        "q1", "complete", ROW.asked, "2026-11-30T00:53:20.000Z", {"input_tokens": 3}, 5, 0.25
    )
    assert isinstance(found, Line)
    assert (found.fate, found.is_complete) == (Fate.COMPLETE, True)
    begun = read_line(began_line(["a", "b"], "part-1"))
    assert begun == Begun(["a", "b"], "part-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"custom_id":"a","response":{"status_code":200},"error":null}', "complete"),
        ('{"custom_id":"a","response":null,"error":{"code":"truncated"}}', "truncated"),
        ('{"custom_id":"a","response":{"status_code":500},"error":null}', "failed"),
        ('{"custom_id":"a","response":{"status_code":200},"error":{"code":5}}', "failed"),
        (
            '{"custom_id":"a","tokenwire":{"outcome":"complete","asked":"b2:zz"},"new":1}',
            "complete",
        ),
        ('{"custom_id":"a","tokenwire":{"outcome":"of_a_later_version"}}', "of_a_later_version"),
    ],
)
def test_lines_of_other_programs_and_versions(text: str, expected: str) -> None:
    assert read_line(text.encode()) == Line("a", expected, 0)


@pytest.mark.parametrize("text", ["", "{", "5", '{"x":1}', '{"custom_id":5}', "{" * 3000])
def test_what_is_no_line(text: str) -> None:
    assert read_line(text.encode()) is None

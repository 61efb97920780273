"""The cases of others' test suites for event streams (Web Platform Tests and many more).

They are no part of the project: TOKENWIRE_CORPUS names the folder with `sse_conformance.json`.
"""

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.asking import question
from tests.cutting import every_way
from tests.driving import Response, alike
from tests.protocols.toolkit.test_differential_sse import assert_alike
from tests.whatwg import Message, interpret
from tokenwire.protocols.errors import UnexpectedContent
from tokenwire.protocols.toolkit.lines import Lines
from tokenwire.protocols.toolkit.sse import ServerSentEvent, SSEDecoder, SSEItem

CORPUS = os.environ.get("TOKENWIRE_CORPUS")
PATH = Path(CORPUS or ".") / "sse_conformance.json"
SUITES: dict[str, list[dict[str, Any]]] = json.loads(PATH.read_text()) if CORPUS else {}
CASES = [case for case in SUITES.get("cases", []) if case["whatwg_conformant"]]
WRONG_TYPE = ("format-mime-bogus", "format-mime-valid-bogus")

pytestmark = pytest.mark.skipif(
    not CORPUS, reason="TOKENWIRE_CORPUS does not name a folder with sse_conformance.json"
)


def cases(*, wrong_type: bool) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['suite']}: {case['name']}")
        for case in CASES
        if (case["name"] in WRONG_TYPE) == wrong_type
    ]


def cut_every_way(case: dict[str, Any]) -> list[list[bytes]]:
    pieces = [b64decode(piece) for piece in case.get("chunks_b64", ())]
    body = b64decode(case["body_b64"]) if "body_b64" in case else b"".join(pieces)
    return [*every_way(body, seeds=8), *([pieces] if pieces else [])]


@pytest.mark.parametrize("case", cases(wrong_type=False))
def test_events(case: dict[str, Any]) -> None:
    for pieces in cut_every_way(case):
        decoder = SSEDecoder()
        items: list[SSEItem] = []
        for piece in pieces:
            decoder.feed(piece, items)
        events = [
            {
                "type": item.type,
                "data": item.data.decode(errors="replace"),
                "lastEventId": item.last_event_id,
            }
            for item in items
            if isinstance(item, ServerSentEvent)
        ]
        assert events == case["expected"]
        assert decoder.retry == case["final_retry"]
        if "final_last_event_id" in case:
            assert decoder.last_event_id == case["final_last_event_id"]
        if "expected_comments" in case:
            assert decoder.last_comment.decode() == case["expected_comments"][-1]


@pytest.mark.parametrize("case", cases(wrong_type=False))
def test_the_reference_of_our_tests(case: dict[str, Any]) -> None:
    """Who tests the tester: tests/whatwg.py has to hold here, too, before ours is held to it."""
    body = b64decode(case["body_b64"])
    found = interpret(body)
    dispatched = [
        {"type": item.type, "data": item.data, "lastEventId": item.last_event_id}
        for item in found.items
        if isinstance(item, Message)
    ]
    assert (dispatched, found.retry) == (case["expected"], case["final_retry"])
    assert found.last_event_id == case.get("final_last_event_id", found.last_event_id)
    assert found.comments == case.get("expected_comments", found.comments)
    assert_alike(body, cut_every_way(case))


@pytest.mark.parametrize("case", cases(wrong_type=True))
def test_a_wrong_content_type_is_no_answer(case: dict[str, Any]) -> None:
    headers = [(b"content-type", case["content_type"].encode())]
    outcome = alike(question(), Response(b64decode(case["body_b64"]), headers=headers))
    assert case["expected"] == outcome.events == []
    assert type(outcome.error) is UnexpectedContent


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in SUITES.get("line_cases", [])]
)
def test_lines(case: dict[str, Any]) -> None:
    for pieces in cut_every_way(case):
        lines = Lines(1000)
        found = [line for piece in pieces for line in lines.feed(piece).splitlines()]
        if lines.rest:
            found.append(lines.rest)
        assert [line.decode() for line in found] == case["expected_lines"]


def test_nothing_is_left_out() -> None:
    assert len(cases(wrong_type=True)) == len(WRONG_TYPE)
    assert len(CASES) > 100
    assert all(case["whatwg_conformant"] for case in SUITES["cases"])

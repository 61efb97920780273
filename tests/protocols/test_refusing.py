"""How a service reports errors: statuses, headers, and the error object."""

import json
from typing import Any

import msgspec
import pytest

from tests.driving import JSON, Response, drive
from tests.subjects import EACH_FORMAT, SUBJECTS
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ContentFiltered,
    Disconnected,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    Truncated,
)
from tokenwire.protocols.events import Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.refusing import advice_of, refusal_of_upstream, refuse, status_of
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.testing.recording import responder_to


def ask() -> Exchange:
    return PROVIDERS["openai"].exchange(as_chat("hi", model="m"))


def with_status(error: RemoteProtocolError, status: int) -> RemoteProtocolError:
    error.status = status
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthenticationFailed(""), 401),
        (RateLimited(""), 429),
        (Overloaded(""), 503),
        (BadRequest(""), 400),
        (ContentFiltered(""), 400),
        (Malformed(""), 400),
        (LocalProtocolError(""), 400),
        (Refused(""), 500),
        (Truncated(""), 502),
        (with_status(AuthenticationFailed(""), 403), 403),
        (with_status(Refused(""), 501), 501),
        (with_status(Refused(""), 400), 400),
        (with_status(BadRequest(""), 399), 400),
        # An error inside a stream, which a gateway passes on.
        (with_status(RateLimited(""), 200), 429),
        (with_status(Truncated(""), 200), 502),
        (with_status(Malformed(""), 200), 502),
        (with_status(Redirected(""), 302), 500),
    ],
)
def test_status_of(error: RemoteProtocolError | LocalProtocolError, status: int) -> None:
    assert status_of(error) == status


REFUSALS = [Refused, AuthenticationFailed, RateLimited, Overloaded, BadRequest, ContentFiltered]


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("code", [None, "some_code"])
def test_a_failure_is_the_same_at_the_other_end(kind: type[Refused], code: str | None) -> None:
    """Whether the status says it or, in a stream, the type."""
    responder = Service(PROVIDERS["openai"]).responder()
    error = kind("m1", code=code)
    body = responder.fail(error)
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    status, headers = responder.head()
    assert (status, headers[:1]) == (status_of(error), JSON)
    status, headers = responder.head()
    assert (status, headers[:1]) == (status_of(error), JSON)
    whole = drive(ask(), Response(body, *responder.head())).refused_by(kind, "m1")
    midway = drive(ask(), responder.send(Text("a")) + responder.fail_midway(error))
    for outcome in (whole, midway.refused_by(kind, "m1")):
        assert isinstance(outcome.error, Refused)
        assert outcome.error.code == code
    assert midway.events[-1] == Text("a")


def test_failures_that_have_no_message_of_their_own() -> None:
    responder = Service(PROVIDERS["openai"]).responder()
    error = json.loads(responder.fail(LocalProtocolError("can't say it")))["error"]
    assert error == {
        "message": "can't say it",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    error = json.loads(responder.fail(Malformed("m1", data=b"{")))["error"]
    assert (error["message"], error["type"]) == ("m1", "invalid_request_error")
    error = json.loads(responder.fail(Challenged("m1", data=b"<html>")))["error"]
    assert (error["message"], error["type"]) == ("m1", "server_error")
    error = json.loads(responder.fail(Refused("m1", type="own_type")))["error"]
    assert error["type"] == "own_type"


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (None, []),
        ("", []),
        ("7", [(b"retry-after", b"7")]),
        ("1500ms", [(b"retry-after", b"2"), (b"retry-after-ms", b"1500")]),
        ("1m30s", [(b"retry-after", b"90")]),
        ("3 s", [(b"retry-after", b"3")]),
        ("9" * 400 + "s", []),
        ("Wed, 21 Oct 2015 07:28:00 GMT", [(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")]),
        ("1\r\nx: y", []),
        ("\u0663", []),
    ],
)
def test_a_failure_tells_how_long_to_wait(retry_after: str | None, header: Headers) -> None:
    error = RateLimited("slow down")
    error.retry_after = retry_after
    assert advice_of(error) == header


@pytest.mark.parametrize(("advice", "value"), [(True, b"true"), (False, b"false")])
def test_a_failure_tells_whether_to_come_again(advice: bool, value: bytes) -> None:
    error = RateLimited("slow down")
    error.should_retry = advice
    responder = Service(PROVIDERS["openai"]).responder()
    body = responder.fail(error)
    assert (b"x-should-retry", value) in responder.head()[1]
    outcome = drive(ask(), Response(body, *responder.head()))
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.should_retry is advice


@pytest.mark.parametrize("name", EACH_FORMAT)
def test_what_is_lasting_is_so_at_the_other_end(name: str) -> None:
    """In a format that has a code for it, or not."""
    error = RateLimited("no credit left")
    error.lasting = True
    responder = Service(PROVIDERS[name]).responder()
    responder.fail(error)
    assert responder.head()[1].count((b"x-should-retry", b"false")) == 1


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (with_status(RateLimited("no"), 429), RateLimited, 429),
        (TimedOut("too late", "idle"), Overloaded, 504),
        (Disconnected("it closed"), Overloaded, 502),
        (with_status(Truncated("half"), 200), Overloaded, 502),
        (with_status(Malformed("odd", data=b"{secret}"), 200), Overloaded, 502),
        (with_status(Redirected("elsewhere"), 302), Overloaded, 502),
    ],
)
def test_what_an_upstream_did(error: Any, kind: type[Refused], status: int) -> None:
    refusal = refusal_of_upstream(error)
    assert (type(refusal), refusal.status) == (kind, status)
    assert "secret" not in str(refusal)
    assert refusal.lasting is isinstance(error, Redirected)
    assert str(error).startswith(refusal.message)


@pytest.mark.parametrize("name", EACH_FORMAT)
def test_where_an_upstream_is_stays_here(name: str) -> None:
    error = with_status(BadRequest("no such path"), 404)
    error.asked = "POST https://upstream.internal/v1"
    service = Service(PROVIDERS[name])
    assert b"no such path" in service.responder().fail(error)
    assert b"internal" not in service.responder().fail(error)
    assert b"internal" not in service.responder().fail_midway(error)


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("kind", [AuthenticationFailed, BadRequest, ContentFiltered, RateLimited])
def test_a_message_is_the_same_however_many_hops(name: str, kind: type[Refused]) -> None:
    """Each hop asks the next one without a key, of which the caller before it is told nothing."""
    subject = SUBJECTS[name]
    sent = subject.send_short()
    error: RemoteProtocolError = kind("the service refused: so it is")
    messages: list[str] = []
    for _ in range(3):
        responder = responder_to(subject.provider, sent.chat)
        body = responder.fail(error)
        response = Response(body, *responder.head())
        outcome = drive(subject.exchange(sent.chat), *sent.responses()[:-1], response)
        assert isinstance(outcome.error, Refused)
        error = outcome.error
        messages.append(error.message)
    assert messages == [messages[0]] * 3
    assert messages[0].endswith("so it is")
    assert messages[0].count("the service refused: ") == 1


def test_the_wait_makes_the_round_trip() -> None:
    responder = Service(PROVIDERS["openai"]).responder()
    error = RateLimited("slow down")
    error.retry_after = "1500ms"
    outcome = drive(ask(), Response(responder.fail(error), *responder.head()))
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.retry_after == "1500ms"


def test_a_failure_tells_what_would_be_right() -> None:
    error = refuse(BadRequest, 405, "no", "wrong_method")
    assert (error.status, error.code, error.message) == (405, "wrong_method", "no")
    allow = (b"allow", b"GET")
    error.headers = [(b"server", b"x"), allow, (b"accept-encoding", b"gzip")]
    error.retry_after = "2"
    error.should_retry = False
    assert advice_of(error) == [
        allow,
        (b"accept-encoding", b"gzip"),
        (b"retry-after", b"2"),
        (b"x-should-retry", b"false"),
    ]


DETAILS = {"tokenwire": {"kind": "truncated", "text_so_far": 3}}
INSIDE = ("openai", "openai-responses", "anthropic", "gemini")
"""Services whose errors are an object in an object."""


@pytest.mark.parametrize("midway", [False, True])
@pytest.mark.parametrize("name", [*INSIDE, "cohere", "bedrock", "mistral"])
def test_further_details_of_an_error(name: str, midway: bool) -> None:
    """Beside the format's own fields, which stay as they are without them."""

    def said(error: RemoteProtocolError) -> bytes:
        provider = PROVIDERS[name].replace(any_model=True, base_url="http://x.test")
        responder = responder_to(provider, as_chat("hi", model="m", max_tokens=9))
        return responder.fail_midway(error) if midway else responder.fail(error)

    error = refuse(Overloaded, 503, "too much", "busy")
    plain = said(error)
    error.details = DETAILS
    detailed = said(error)
    text = msgspec.json.encode(DETAILS)[1:-1]
    assert detailed.count(text) == 1
    assert text not in plain
    if midway:
        return
    found = msgspec.json.decode(detailed)
    inner = found["error"] if name in INSIDE else found
    assert inner.pop("tokenwire") == DETAILS["tokenwire"]
    assert found == msgspec.json.decode(plain)


def test_ollama_has_no_place_for_details() -> None:
    error = refuse(Overloaded, 503, "too much")
    error.details = DETAILS
    responder = responder_to(PROVIDERS["ollama"], as_chat("hi", model="m"))
    assert responder.fail(error) == b'{"error":"too much"}'

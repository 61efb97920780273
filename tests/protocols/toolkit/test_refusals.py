"""Refusals: every shape of error body, every status, one typed error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asking import HTML, question
from tests.driving import JSON, SSE, Response, alike
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ContentFiltered,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.protocols.toolkit.json import is_object
from tokenwire.protocols.toolkit.redaction import conceal
from tokenwire.protocols.toolkit.refusals import (
    ErrorTable,
    incomplete,
    is_refusal,
    looks_like_html,
    refusal_beside,
    refusal_of_document,
    refusal_of_object,
    refusal_of_response,
    refusal_of_text,
    request_id,
    truncated_document,
    unexpected,
    words_of,
)

# Quirk 44: the body; code, type and message that are read of it.
SHAPES: dict[str, tuple[Any, str | None, str | None, str]] = {
    "code a string": (
        {"error": {"message": "no", "type": "invalid_request_error", "code": "bad_thing"}},
        *("bad_thing", "invalid_request_error", "no"),
    ),
    "code an int": ({"error": {"message": "no", "code": 1302}}, "1302", None, "no"),
    "code null": ({"error": {"message": "no", "type": "t", "code": None}}, None, "t", "no"),
    "code empty": ({"error": {"message": "no", "code": ""}}, None, None, "no"),
    "code empty, alone": ({"message": "no", "code": ""}, None, None, "no"),
    "code beside the error": ({"code": "c", "error": {"message": "no"}}, "c", None, "no"),
    "error a text": ({"error": "no"}, None, None, "no"),
    "type, error, request_id": (
        {
            "type": "error",
            "error": {"type": "api_error", "message": "no"},
            "request_id": "r",
        },
        *(None, "api_error", "no"),
    ),
    "message": ({"message": "no"}, None, None, "no"),
    "id, message": ({"id": "x-1", "message": "no"}, None, None, "no"),
    "object, message, type, code": (
        {"object": "error", "message": "no", "type": "t", "code": 40001},
        *("40001", "t", "no"),
    ),
    "detail a text": ({"detail": "no"}, None, None, "no"),
    "detail a list": (
        {"detail": [{"loc": ["body", "n"], "msg": "no", "type": "t"}, {"msg": "never"}]},
        *(None, None, "no; never"),
    ),
    "detail an object": ({"detail": {"message": "no"}}, None, None, "no"),
    "code, error a text": ({"code": "c", "error": "no"}, "c", None, "no"),
    "status_code": ({"status_code": 422, "message": "no"}, "422", None, "no"),
    "msg": ({"code": 5, "msg": "no"}, "5", None, "no"),
    "reason": ({"reason": "no"}, None, None, "no"),
    "data": ({"data": {"detail": "no"}}, None, None, "no"),
    "in a list": ([{"error": {"code": 400, "message": "no"}}], "400", None, "no"),
    "message a list": ({"message": ["no", 5, "never"]}, None, None, "no; never"),
    "a text": ("no", None, None, "no"),
    "error in an error": ({"error": {"error": {"message": "no", "code": "c"}}}, "c", None, "no"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shapes_of_an_error_body(shape: str) -> None:
    value, code, type_, message = SHAPES[shape]
    body = json.dumps(value).encode()
    for error in (
        refusal_of_response(418, JSON, body),
        alike(question(), Response(body, 418, JSON)).error,
        alike(question(), Response(body, 418, JSON, "disconnect")).error,
    ):
        assert type(error) is BadRequest
        assert str(error) == f"the service refused: {message}"
        assert (error.code, error.type, error.data) == (code, type_, body)


@pytest.mark.parametrize(("depth", "code"), [(8, "c"), (9, None)])
def test_how_deep_a_code_may_lie(depth: int, code: str | None) -> None:
    value: dict[str, Any] = {"message": "no", "code": "c"}
    for _ in range(depth):
        value = {"error": value}
    error = refusal_of_object(value)
    assert (error.message, error.code, error.data) == ("the service refused: no", code, b"")


def nested(depth: int, *, lists: bool) -> dict[str, Any]:
    """An error whose message lies in so many lists or objects."""
    message: Any = "no"
    for _ in range(depth):
        message = [message] if lists else {"msg": message}
    return {"message": message}


@pytest.mark.parametrize("lists", [True, False])
def test_how_deep_a_reason_may_lie(lists: bool) -> None:
    for depth, reason in ((8, "no"), (9, "no reason given")):
        error = refusal_of_object(nested(depth, lists=lists))
        assert error.message == f"the service refused: {reason}"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"raw": '{"error": {"message": "too long", "code": 1}}'}, "it failed: too long"),
        ({"raw": {"detail": "too long"}}, "it failed: too long"),
        ({"raw": "upstream is busy"}, "it failed: upstream is busy"),
        ({"raw": '["a", "b"]'}, "it failed: a"),
        *(({"raw": raw}, "it failed") for raw in ("", "{}", "5", None, 5, "[]")),
        ({"raw": "\ud800"}, "it failed: \ud800"),
        *((metadata, "it failed") for metadata in ({}, {"provider_name": "x"}, "raw", None)),
    ],
)
def test_what_a_gateway_relays(metadata: Any, said: str) -> None:
    """Quirk 89."""
    value = {"error": {"message": "it failed", "code": 429, "metadata": metadata}}
    error = refusal_of_object(value)
    assert (type(error), error.message) == (RateLimited, f"the service refused: {said}")


def test_how_deep_a_gateway_is_heard() -> None:
    value = '{"message": "m"}'
    for _ in range(12):
        value = json.dumps({"message": "m", "metadata": {"raw": value}})
    assert refusal_of_text(value.encode()).message == "the service refused: " + ": ".join("m" * 9)


@pytest.mark.parametrize(
    ("value", "said", "code"),
    [
        ({"messages": [{"errorCode": "auth-1", "message": "no key"}]}, "no key", None),
        ({"errors": [{"code": "c", "message": "no"}], "status_code": 404}, "no", "404"),
        ({"errors": [{"title": "Invalid", "detail": "too long"}]}, "too long", None),
        ({"errors": ["a", "b"]}, "a; b", None),
        ({"error": "invalid_token", "error_description": "it expired"}, "it expired", None),
        ({"type": "about:blank", "title": "Too Many", "status": 429}, "Too Many", None),
        ({"title": "Bad", "detail": "too long"}, "too long", None),
        ({"errorMessage": "timed out", "errorType": "Sandbox"}, "timed out", "Sandbox"),
        ({"Message": "not authorized"}, "not authorized", None),
        ({"error_code": 336003, "error_msg": "too long"}, "too long", "336003"),
        ({"Response": {"Error": {"Code": "Auth", "Message": "bad key"}}}, "bad key", None),
        ({"ErrorCode": "C", "OriginalMessage": "too long"}, "too long", None),
        ({"ok": False, "description": "no"}, "no", None),
    ],
)
def test_words_of_gateways_and_clouds(value: Any, said: str, code: str | None) -> None:
    """Quirk 93."""
    error = refusal_of_response(400, JSON, json.dumps(value).encode())
    assert (error.message, error.code) == (f"the service refused: {said}", code)


def test_an_xml_document_is_no_page() -> None:
    body = b'\xef\xbb\xbf\n<?xml version="1.0"?><Error><Message>Access Denied</Message></Error>'
    assert "Access Denied" in str(refusal_of_response(403, HTML, body))


def test_an_error_under_a_key_of_another_name() -> None:
    inner = {"type": "error", "error": {"type": "invalid", "message": "no"}}
    value: Any = {"error": {"type": "failed", "headers": {}, "upstream_error": inner}}
    error = refusal_of_object(value)
    assert (error.message, error.type) == ("the service refused: no", "failed")
    for depth, reason in ((8, "no"), (9, "no reason given")):
        value = {"message": "no"}
        for _ in range(depth):
            value = {"other": value}
        assert refusal_of_object(value).message == f"the service refused: {reason}"


@pytest.mark.parametrize("value", [{}, [], [[]], None, 5, True, {"error": {}}, {"error": None}, ""])
def test_no_reason_given(value: Any) -> None:
    body = json.dumps(value).encode()
    error = refusal_of_response(400, JSON, body)
    assert str(error) == "the service refused: no reason given (status 400)"
    assert str(refusal_of_object(value)) == "the service refused: no reason given"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, BadRequest) for status in (400, 404, 405, 409, 413, 415, 422)),
        *((status, AuthenticationFailed) for status in (401, 403, 407)),
        *((status, RateLimited) for status in (402, 429)),
        *((status, Overloaded) for status in (408, 498, 502, 503, 504, 529)),
        *((status, Refused) for status in (500, 501, 520, 599, 600, 999, 0)),
        *((status, Redirected) for status in (300, 301, 302, 304, 307, 308)),
    ],
)
def test_each_status(status: int, kind: type[Refused]) -> None:
    for body in (b"", b"no", b"{}", b'{"error": "no"}', b"<p>no</p>", b"\xff\0"):
        error = refusal_of_response(status, JSON, body)
        assert type(error) is kind
        assert str(status) in str(error) or "no" in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "status 500: no body"),
        (b" \n ", "status 500: no body"),
        (b"upstream\r\n\tconnect  error", "status 500: upstream connect error"),
        (b"x" * 1000, f"status 500: {'x' * 400}"),
        (b"\xff", "status 500: \ufffd"),
        (b'{"error": "n', 'status 500: {"error": "n'),
        (b"\n <!DOCTYPE html><h1>502</h1>", "status 500: an HTML page"),
        (b"\xef\xbb\xbf<html>", "status 500: an HTML page"),
    ],
)
def test_an_error_body_that_is_no_json(body: bytes, said: str) -> None:
    error = refusal_of_response(500, HTML, body)
    assert str(error) == f"the service answered with {said}"
    assert error.data == body


@pytest.mark.parametrize(
    "body",
    [
        b'event: error\ndata: {"error": {"message": "no"}}\n\n',
        b'error: {"message": "no"}\n',
        b': hm\r\ndata:{"detail": "no"}\r\n\r\n',
        b'data: hm\nid: {"error": "x"}\ndata: {"error": "no"}\n\n',
    ],
)
def test_an_error_body_that_is_a_stream(body: bytes) -> None:
    assert str(refusal_of_response(500, SSE, body)) == "the service refused: no"


def test_a_stream_whose_error_was_cut() -> None:
    error = refusal_of_response(503, SSE, b'data: {"error": {"mess')
    assert type(error) is Overloaded
    assert str(error).endswith('status 503: data: {"error": {"mess')


@pytest.mark.parametrize(
    ("data", "said"),
    [(b'{"error": "no"}', "no"), (b"no", "no"), (b'{"error', '{"error'), (b"no\xff", "no\ufffd")],
)
def test_words_that_may_be_json_or_not(data: bytes, said: str) -> None:
    error = refusal_of_text(data)
    assert (error.message, error.data) == (f"the service refused: {said}", data)


# Pages

CHALLENGES = [
    (HTML, b"<!DOCTYPE html><title>Just a moment...</title>"),
    (HTML, b"<html><script src='/cdn-cgi/challenge-platform/x.js'>"),
    (HTML, b"<html><h1>Attention Required! | Cloudflare"),
    (HTML, b"<html><div class='g-recaptcha'>"),
    ([*HTML, (b"cf-mitigated", b"challenge")], b""),
]


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize(("headers", "body"), CHALLENGES)
def test_a_challenge_page(status: int, headers: Headers, body: bytes) -> None:
    outcome = alike(question(), Response(body, status, headers)).refused_by(Challenged)
    assert isinstance(outcome.error, Challenged)
    said = "a bot check in front of the service answered"
    assert outcome.error.message == (said if status == 200 else f"{said} (status {status})")
    assert outcome.error.data == body


def test_a_captcha_in_json_is_no_challenge_page() -> None:
    error = refusal_of_response(403, JSON, b'{"error": "solve the captcha"}')
    assert type(error) is AuthenticationFailed


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, UnexpectedContent), (403, AuthenticationFailed), (503, Overloaded), (404, BadRequest)],
)
@pytest.mark.parametrize("headers", [HTML, SSE, JSON, []])
def test_a_page_of_html(status: int, kind: type[Exception], headers: Headers) -> None:
    body = b"\r\n<html><h1>Bad gateway</h1></html>"
    outcome = alike(question(), Response(body, status, headers))
    assert type(outcome.error) is kind
    assert "an HTML page" in str(outcome.error)
    assert isinstance(outcome.error, RemoteProtocolError)
    assert outcome.error.status == status


@pytest.mark.parametrize(
    ("body", "is_page"),
    [(b"<", True), (b"\xef\xbb\xbf \n<p>", True), (b"{", False), (b"", False), (b"X<b", False)],
)
def test_looks_like_html(body: bytes, is_page: bool) -> None:
    assert looks_like_html(body) == is_page


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (HTML, "received content of type 'text/html' instead of an answer"),
        ([], "received content of type 'no content type'"),
        ([(b"content-type", b"x" * 999)], "received content of type '(too long to show)'"),
    ],
)
def test_unexpected_content(headers: Headers, words: str) -> None:
    error = unexpected(headers, b"hm")
    assert type(error) is UnexpectedContent
    assert words in str(error)
    assert error.data == b"hm"


def test_an_unexpected_page() -> None:
    error = unexpected(SSE, b"<p>hm")
    assert error.message == "received an HTML page instead of an answer"
    assert error.data == b"<p>hm"


# Redirects, and headers

LOCATIONS: list[tuple[Headers, str, str]] = [
    (
        [(b"location", b"https://login.test/?k=1")],
        "https://login.test/?k=1",
        " to https://login.test/",
    ),
    (
        [(b"location", b"https://login.test/?k=1&u=?")],
        "https://login.test/?k=1&u=?",
        " to https://login.test/",
    ),
    ([(b"location", b"https://login.test/")], "https://login.test/", " to https://login.test/"),
    ([], "", ""),
]


@pytest.mark.parametrize(("headers", "location", "to"), LOCATIONS)
def test_a_redirect_is_not_followed(headers: Headers, location: str, to: str) -> None:
    error = alike(question(), Response(b"<p>moved", 302, headers)).error
    assert type(error) is Redirected
    assert error.location == location
    assert error.message == f"the service redirects{to} (status 302), which is not followed"


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        ([], None),
        ([(b"Retry-After", b"20")], "20"),
        ([(b"retry-after", b" Wed, 21 Oct 2015 07:28:00 GMT")], "Wed, 21 Oct 2015 07:28:00 GMT"),
        ([(b"retry-after", b"2"), (b"retry-after-ms", b"1500")], "1500ms"),
        ([(b"retry-after", b"soon")], "soon"),
    ],
)
def test_retry_after_is_kept_as_it_came(headers: Headers, retry_after: str | None) -> None:
    for status in (302, 429, 503):
        error = alike(question(), Response(b"{}", status, headers)).error
        assert isinstance(error, Refused)
        assert error.retry_after == retry_after


@pytest.mark.parametrize("name", [b"x-request-id", b"Request-Id"])
def test_the_request_id(name: bytes) -> None:
    error = refusal_of_response(500, [(name, b"r-1")], b"")
    assert error.request_id == "r-1"
    assert refusal_of_response(500, [], b"").request_id is None


def test_the_request_id_may_stand_in_the_body() -> None:
    body = b'{"error": "no", "request_id": "r-1"}'
    assert refusal_of_response(500, [], body).request_id == "r-1"
    assert refusal_of_response(500, [(b"x-request-id", b"r-2")], body).request_id == "r-2"
    assert refusal_of_object({"error": "no", "request_id": 1}).request_id is None


# What code and type mean

WORDS: list[tuple[dict[str, Any], type[Refused]]] = [
    ({"code": 429}, RateLimited),
    ({"code": "429"}, RateLimited),
    ({"code": 503}, Overloaded),
    ({"code": "401"}, AuthenticationFailed),
    ({"code": 400}, BadRequest),
    ({"code": 599}, Refused),
    ({"code": 599, "type": "rate_limit"}, Refused),
    ({"code": 600, "type": "rate_limit"}, RateLimited),
    ({"code": 200}, Refused),
    ({"code": 10**30}, Refused),
    ({"code": "\u0664\u0662\u0669"}, RateLimited),
    ({"code": 1.5}, Refused),
    ({"code": "rate_limit_exceeded"}, RateLimited),
    ({"code": "insufficient_quota"}, RateLimited),
    ({"type": "too_many_requests"}, RateLimited),
    ({"type": "ThrottlingException"}, RateLimited),
    ({"type": "overloaded_error"}, Overloaded),
    ({"code": "service_unavailable"}, Overloaded),
    ({"code": "invalid_api_key"}, AuthenticationFailed),
    ({"type": "authentication_error"}, AuthenticationFailed),
    ({"type": "permission_error"}, AuthenticationFailed),
    ({"type": "invalid_request_error"}, BadRequest),
    ({"type": "BAD_REQUEST"}, BadRequest),
    ({"code": "model_not_found"}, BadRequest),
    ({"code": "context_length_exceeded"}, BadRequest),
    ({"code": "tool_use_failed"}, BadRequest),
    ({"code": "content_filter"}, ContentFiltered),
    ({"code": "content_policy_violation"}, ContentFiltered),
    ({"type": "moderation_blocked", "code": 400}, ContentFiltered),
    ({"type": "new_error"}, Refused),
    ({}, Refused),
]


@pytest.mark.parametrize(("words", "kind"), WORDS)
def test_an_error_within_a_stream(words: dict[str, Any], kind: type[Refused]) -> None:
    value = {"error": {"message": "no", **words}}
    assert type(refusal_of_object(value)) is kind
    body = b"data: " + json.dumps(value).encode() + b"\n\n"
    alike(question(), body).refused_by(kind, "the service refused: no")


def test_a_status_says_more_than_words_except_for_a_filter() -> None:
    error = {"error": {"message": "no", "code": "rate_limit"}}
    assert type(refusal_of_object(error, status=401)) is AuthenticationFailed
    error = {"error": {"message": "no", "code": "content_filter"}}
    assert type(refusal_of_object(error, status=400)) is ContentFiltered


def test_a_long_reason_is_shortened() -> None:
    assert str(refusal_of_object("x" * 9999)) == f"the service refused: {'x' * 2000}"


# A service of its own kind


def wait(value: Any) -> str | None:
    return value.get("wait") if is_object(value) else None


OWN = ErrorTable(
    statuses={422: Overloaded, 429: AuthenticationFailed},
    words={"balance": RateLimited, "moderation": BadRequest},
    request_ids=(b"x-own-id", b"request-id"),
    retry_after=wait,
)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # Its own words go before all else, and its own statuses before the common ones.
        (400, {"error": {"code": "Low_Balance"}}, RateLimited),
        (422, {"error": {"type": "moderation_failed"}}, BadRequest),
        (422, {}, Overloaded),
        (429, {}, AuthenticationFailed),
        (503, {}, Overloaded),
        (418, {}, BadRequest),
        # A filter's verdict goes before the status.
        (422, {"error": {"code": "content_filter"}}, ContentFiltered),
    ],
)
def test_a_service_may_mean_something_else(status: int, body: Any, kind: type[Refused]) -> None:
    assert type(refusal_of_response(status, [], json.dumps(body).encode(), OWN)) is kind
    assert type(refusal_of_object({"code": str(status)}, OWN)) is OWN.kind(None, None, status)


def test_the_wait_may_stand_in_the_body() -> None:
    body = b'{"wait": "7", "error": "slow down"}'
    assert refusal_of_text(body, OWN).retry_after == "7"
    error = refusal_of_document(body, OWN)
    assert isinstance(error, Refused)
    assert error.retry_after == "7"
    assert refusal_of_response(429, [], body, OWN).retry_after == "7"
    assert refusal_of_response(429, [(b"retry-after", b"9")], body, OWN).retry_after == "9"
    assert refusal_of_response(429, [(b"retry-after-ms", b"9")], body, OWN).retry_after == "9ms"
    assert refusal_of_response(429, [], b"slow down", OWN).retry_after is None


def test_the_request_id_is_in_a_header_of_its_own() -> None:
    headers: Headers = [(b"request-id", b"a"), (b"x-own-id", b"b"), (b"x-request-id", b"c")]
    assert [request_id(headers[:n], OWN) for n in (0, 1, 2)] == [None, "a", "b"]
    assert request_id([(b"x-own-id", b""), (b"request-id", b"a")], OWN) == "a"
    assert request_id(headers) == "c"
    assert refusal_of_response(500, headers, b"", OWN).request_id == "b"


@pytest.mark.parametrize(
    ("status", "code", "lasting"),
    [
        (402, None, True),
        (429, "insufficient_quota", True),
        (429, "exceeded_current_quota_error", True),
        (403, "BILLING_hard_limit", True),
        (429, "usage_limit_reached", True),
        (None, "insufficient_quota", True),
        (429, "rate_limit_exceeded", False),
        (503, None, False),
    ],
)
def test_what_trying_again_cannot_help(status: int | None, code: str | None, lasting: bool) -> None:
    error = refusal_of_object({"error": {"message": "no", "code": code}}, status=status)
    assert error.lasting is lasting
    error = refusal_of_object({"error": {"message": "no", "type": code}}, status=status)
    assert error.lasting is lasting


@pytest.mark.parametrize(
    ("message", "lasting"),
    [
        ("Your team x has either used all available credits or reached its limit.", True),
        ("Your team x has reached its monthly spending limit.", True),
        ("Sorry, your account balance is insufficient", True),
        ("Insufficient account balance", True),
        ("Too many tokens, please wait before trying again.", False),
        ("you (me) have reached your weekly usage limit", True),
        ("You are using a Trial key, which is limited to 1,000 API calls / month.", True),
        ("You are using a Trial key, which is limited to 10 API calls / minute.", False),
        ("Too many tokens per day, please wait before trying again.", True),  # Bedrock
        ("Rate limit exceeded: free-models-per-day.", True),  # OpenRouter
        ("On tokens per day (TPD): Limit 9. Please try again in 7m12.48s.", False),  # Groq
        ("Your credit balance is too low to access the API.", True),
        ("Insufficient Balance", True),
        ("You exceeded your current quota, please check your plan and billing details.", False),
        ("Rate limit reached", False),
    ],
)
def test_words_of_a_used_up_budget(message: str, lasting: bool) -> None:
    assert refusal_of_object({"message": message}, status=429).lasting is lasting
    assert refusal_of_object({"error": message}, status=429).lasting is lasting


@pytest.mark.parametrize(
    "code", ["insufficient_balance", "payment_required", "credit_balance_too_low"]
)
def test_codes_of_a_used_up_budget(code: str) -> None:
    assert refusal_of_object({"error": {"code": code}}, status=429).lasting


def test_what_a_format_knows_to_last() -> None:
    table = ErrorTable(lasting=lambda value: value == {"error": "forever"})
    assert refusal_of_object({"error": "forever"}, table, status=429).lasting
    assert not refusal_of_object({"error": "no"}, table, status=429).lasting
    assert refusal_of_object({"error": "no"}, table, status=402).lasting


# Documents instead of a stream

IS_REFUSAL: list[tuple[Any, bool]] = [
    ({"error": "no"}, True),
    ({"error": {"message": "no"}, "choices": []}, True),
    ({"detail": "no"}, True),
    ({"detail": []}, True),
    ({"message": "no"}, True),
    ({"message": "no", "choices": []}, False),
    ({"message": {"role": "assistant"}}, False),
    ({"error": None}, False),
    ({"error": ""}, False),
    ({}, False),
    ([], False),
    ("error", False),
]


@pytest.mark.parametrize(("value", "refused"), IS_REFUSAL)
def test_is_refusal(value: Any, refused: bool) -> None:
    assert is_refusal(value) == refused
    body = json.dumps(value).encode()
    error = refusal_of_document(body)
    assert error.data == body
    if refused:
        assert isinstance(error, Refused)
        assert error.message == refusal_of_object(value).message
    else:
        assert type(error) is UnexpectedContent
        assert error.message == "received a JSON document instead of a stream"


def test_a_document_that_is_no_json() -> None:
    error = refusal_of_document(b"{]")
    assert str(error) == "not JSON: b'{]'"


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b'{"a', b'{"a": "\xe2\x80', b"[1,", b"[" * 9, b"", b"tru"),
        *(b"[-", b"[1.", b"[1e", b"[1e-", b"[NaN, ", rb'["\ud83d", "a'),
        b"[" + b"[" * 99 + b"]" * 99,
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_incomplete(body: bytes, mark: bytes) -> None:
    assert incomplete(mark + body)


def test_a_document_that_was_cut() -> None:
    error = truncated_document(b"{")
    assert type(error) is Truncated
    assert (error.message, error.data) == ("the body ended inside its JSON document", b"{")


@pytest.mark.parametrize(
    "body", [b"{}", b"{]", b"{}}", rb'["\ud83d"]', b'"\xff"', b"[" * 100_000, b"nope"]
)
def test_not_incomplete(body: bytes) -> None:
    assert not incomplete(body)


# Whatever comes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "detail", "msg", "data", "x"]),
            inner,
            max_size=4,
        )
    ),
)
BODIES = (
    st.binary(max_size=60)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | VALUES.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n")
    | st.text("<!{}[]\":, errodatn1\n'", max_size=40).map(str.encode)
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"content-type", b"location", b"retry-after", b"retry-after-ms", b"cf-mitigated"]
        ),
        st.binary(max_size=9),
    ),
    max_size=3,
)


@given(st.integers(0, 999), HEADERS, BODIES)
def test_nothing_is_raised_whatever_comes(status: int, headers: Headers, body: bytes) -> None:
    for error in (
        refusal_of_response(status, headers, body),
        unexpected(headers, body),
        refusal_of_document(body),
    ):
        assert isinstance(error, RemoteProtocolError)
        assert str(error)
        conceal(error, ["secret-secret"])


HOSTILE = [
    b"[" * 900 + b"]" * 900,
    b'{"error":' * 900 + b"1" + b"}" * 900,
    b'{"message":' + b"[" * 900 + b'"no"' + b"]" * 900 + b"}",
    b'{"message":' + b'{"msg":' * 480 + b'"no"' + b"}" * 481,
    b'{"error":{"code":' + b"1" * 5000 + b"}}",
    b'{"error":{"code":"' + b"1" * 5000 + b'"}}',
    b"data: {" * 100 + b"\n",
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_is_only_an_error(body: bytes) -> None:
    assert type(refusal_of_response(500, JSON, body)) is Refused
    assert isinstance(refusal_of_document(body), RemoteProtocolError)


def _read_oops(value: Any) -> tuple[str | None, str | None, str] | None:
    oops = value.get("oops") if is_object(value) else None
    return None if oops is None else (oops["code"], None, oops["what"])


def test_a_service_with_keys_of_its_own() -> None:
    table = ErrorTable(read=_read_oops)
    value = {"oops": {"what": "slow down", "code": "content_filter"}}
    assert is_refusal(value, table)
    assert not is_refusal(value)
    assert not is_refusal({"other": 1}, table)
    assert is_refusal({"error": "no"}, table)
    error = refusal_of_response(429, [], json.dumps(value).encode(), table)
    assert (type(error), error.code) == (ContentFiltered, "content_filter")
    assert "slow down" in str(error)
    plain = refusal_of_object({"error": "no"}, table)
    assert "no" in str(plain)
    document = refusal_of_document(json.dumps(value).encode(), table)
    assert (type(document), str(document)) == (ContentFiltered, str(error))


# When to come again

TOLD: dict[str, tuple[dict[bytes, bytes], bytes, str | None]] = {
    "seconds": ({b"retry-after": b"7"}, b"{}", "7"),
    "milliseconds": ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, b"{}", "1500ms"),
    "milliseconds of Microsoft": ({b"x-ms-retry-after-ms": b"900"}, b"{}", "900ms"),
    "with its unit": ({b"retry-after-ms": b"900ms"}, b"{}", "900ms"),
    "Azure's nothing": ({b"retry-after-ms": b"0", b"retry-after": b"1"}, b"{}", "1"),
    "nothing but nothing": ({b"retry-after-ms": b"0.0"}, b"{}", None),
    "Google's": (
        {},
        b'[{"error":{"details":[7,{"@type":"x"},{"retryDelay":"34.07s"}]}}]',
        "34.07s",
    ),
    "a header and a body": (
        {b"retry-after": b"1"},
        b'{"error":{"details":[{"retryDelay":"2s"}]}}',
        "1",
    ),
    "in words": ({}, b'{"error":{"message":"Slow. Please retry in 10h17m5.7s."}}', "10h17m5.7s"),
    "in other words": ({}, b'{"error":{"message":"Limit. Please try again in 2.5s."}}', "2.5s"),
    "odd details": ({}, b'{"error":{"details":{"retryDelay":"2s"},"message":7}}', None),
    "in words of seconds": ({}, b'{"error":{"message":"Please retry after 26 seconds."}}', "26 s"),
    "in words that are too fine": ({}, b'{"error":"try again in 2 milliseconds"}', None),
    "no object": ({}, b'{"error":"try again in 2s"}', "2s"),
    "a message": ({}, b'{"message":"Too many. Try again in 1m2s"}', "1m2s"),
    "no number": ({b"retry-after-ms": b"soon", b"retry-after": b"2"}, b"{}", "2"),
    "no number of milliseconds": ({b"retry-after-ms": b"-5", b"retry-after": b"2"}, b"{}", "2"),
    "half a millisecond": ({b"retry-after-ms": b".5"}, b"{}", ".5ms"),
    "nothing": ({}, b'{"error":{"message":"retry in a while"}}', None),
    **{
        f"a limit that holds until {told}": (
            {},
            b'{"error":{"metadata":{"headers":{"X-RateLimit-Reset":%b}}}}' % told.encode(),
            wait,
        )
        for told, wait in {
            '"1790000000000"': "Mon, 21 Sep 2026 14:13:20 GMT",
            "1790000000000": "Mon, 21 Sep 2026 14:13:20 GMT",
            "1000000000000": "Sun, 09 Sep 2001 01:46:40 GMT",
            "100000000000000": None,
            '"1790000000"': None,  # it may be seconds, and from whenever
            '"99999999999999999"': None,
            '"soon"': None,
        }.items()
    },
}


@pytest.mark.parametrize("name", TOLD)
def test_when_to_come_again(name: str) -> None:
    headers, body, expected = TOLD[name]
    error = refusal_of_response(429, list(headers.items()), body)
    assert error.retry_after == expected


@pytest.mark.parametrize(("before", "wait"), [(1989, "2s"), (1990, None)])
def test_how_far_in_the_words_a_wait_may_stand(before: int, wait: str | None) -> None:
    error = refusal_of_object({"error": {"message": "x" * before + "retry in 2s"}})
    assert error.retry_after == wait


@pytest.mark.parametrize(
    ("value", "advice"), [(b"true", True), (b"False", False), (b"perhaps", None), (None, None)]
)
def test_whether_to_come_again(value: bytes | None, advice: bool | None) -> None:
    headers = [] if value is None else [(b"x-should-retry", value)]
    assert refusal_of_response(500, headers, b"").should_retry is advice


def test_the_words_of_each_hop_are_said_once() -> None:
    body = b'{"error":{"message":"the service refused: the service refused: no"}}'
    assert refusal_of_response(400, [], body).message == "the service refused: no"


def test_it_is_a_proxy_that_answers_407() -> None:
    error = refusal_of_response(407, HTML, b"<html>who?")
    assert type(error) is AuthenticationFailed
    assert str(error) == "the proxy answered with status 407: an HTML page"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b"a  b\r\nc", "a b c"),
        (b"<html>a", "an HTML page"),
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"error": {"mess', '{"error": {"mess'),
    ],
)
def test_the_words_of_a_body(body: bytes, words: str) -> None:
    assert words_of(body) == words


@pytest.mark.parametrize(
    ("body", "code", "kind"),
    [
        ({"error": {"code": "1"}}, "1", RateLimited),
        ({"error": {"type": "1"}}, None, RateLimited),
        ({"error": {"code": "x", "type": "1"}}, "x", RateLimited),
        ({"error": {"code": "2", "type": "1"}}, "2", Overloaded),
        ({"error": {"code": "x", "type": "y"}}, "x", BadRequest),
    ],
)
def test_codes_of_its_own(body: Any, code: str | None, kind: type[Refused]) -> None:
    table = ErrorTable(codes={"1": RateLimited, "2": Overloaded}, lasting_codes=frozenset("2"))
    error = refusal_of_object(body, table, status=400)
    assert (type(error), error.code, error.lasting) == (kind, code, code == "2")


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        ("Incorrect API key provided: x", 400, AuthenticationFailed),
        ("invalid api key", 422, AuthenticationFailed),
        ("the field: invalid API key", 400, BadRequest),
        ("Incorrect API key provided", 429, RateLimited),
    ],
)
def test_words_about_the_key(words: str, status: int, kind: type[Refused]) -> None:
    assert type(refusal_of_object({"error": words}, status=status)) is kind


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"success": False, "errors": [{"code": 10000, "message": "no"}, {"code": 1}]}, "10000"),
        ({"base_resp": {"status_code": 1004, "status_msg": "no"}}, "1004"),
        ({"fault": {"faultstring": "no"}}, None),
    ],
)
def test_failures_under_other_names(value: Any, code: str | None) -> None:
    assert is_refusal(value)
    error = refusal_of_object(value)
    assert (error.message, error.code) == ("the service refused: no", code)


@pytest.mark.parametrize(
    "value",
    [
        {"success": True, "errors": [{"code": 1}]},
        {"success": 0, "errors": [{"code": 1}]},
        {"success": False, "errors": []},
        {"success": False, "errors": "no"},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"base_resp": 7},
        {"fault": "no"},
    ],
)
def test_what_is_no_failure(value: Any) -> None:
    assert not is_refusal(value)


@pytest.mark.parametrize("status", [402, 412])
def test_an_account_that_is_at_its_end(status: int) -> None:
    assert refusal_of_object({}, status=status).lasting
    assert not refusal_of_object({}, status=413).lasting


def test_the_headers_that_have_the_id_of_a_request() -> None:
    names = (
        *(b"x-request-id", b"request-id", b"apim-request-id", b"x-ds-trace-id"),
        *(b"x-generation-id", b"inference-id", b"mistral-correlation-id", b"x-amzn-requestid"),
    )
    headers = [(name, name[::-1]) for name in names]
    for number, name in enumerate(names):
        assert request_id(headers[number:][::-1]) == name[::-1].decode()


CODED = ErrorTable(codes={"Slow": RateLimited}, code_header=b"x-code")


@pytest.mark.parametrize("body", [b'{"message": "no"}', b"no", b""])
def test_a_header_may_have_the_code(body: bytes) -> None:
    error = refusal_of_response(400, [(b"x-code", b" Slow :http://a/:b")], body, CODED)
    assert (type(error), error.code) == (RateLimited, "Slow")
    error = refusal_of_response(400, [(b"x-code", b" : ")], body, CODED)
    assert (type(error), error.code) == (BadRequest, None)


@pytest.mark.parametrize("data", [b'{"message": "no", "code": "own"}', b"no"])
def test_a_code_beside_the_words(data: bytes) -> None:
    error = refusal_of_text(data, CODED, code="Slow")
    assert (type(error), error.code) == (RateLimited, "Slow")


def test_an_empty_type_is_none() -> None:
    error = refusal_of_object({"error_code": "a", "type": "", "message": "no"})
    assert (error.code, error.type) == ("a", None)


def test_an_error_beside_the_content() -> None:
    unknown = [("note", b"7"), ("error", b'{"message": "no", "code": "Slow"}'), ("error", b'"b"')]
    error = refusal_beside(unknown, CODED)
    assert isinstance(error, RateLimited)
    assert (error.message, error.code) == ("the service refused: no", "Slow")
    assert error.data == unknown[1][1]


@pytest.mark.parametrize("raw", [b"null", b"{}", b'""', b"false", b"0"])
def test_an_empty_error_is_none(raw: bytes) -> None:
    assert refusal_beside([("error", raw), ("note", b'"text"')]) is None


@pytest.mark.parametrize(("before", "lasting"), [(1984, True), (1985, False)])
def test_how_far_in_its_words_a_used_up_budget_is_looked_for(before: int, lasting: bool) -> None:
    words = "x" * before + "payment required"
    assert refusal_of_object({"error": words}).lasting is lasting

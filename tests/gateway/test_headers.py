"""Which headers pass the gateway."""

import pytest

from tokenwire.gateway.headers import from_caller, is_request_id, to_caller
from tokenwire.protocols.toolkit.http import Headers, make_headers

SECRETS: Headers = [
    (b"authorization", b"Bearer s"),
    (b"x-api-key", b"s"),
    (b"api-key", b"s"),
    (b"x-goog-api-key", b"s"),
    (b"cookie", b"s"),
    (b"proxy-authorization", b"s"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"forwarded", b"for=10.0.0.1"),
    (b"x-amz-security-token", b"s"),
    (b"openai-organization", b"o"),
]
VERSIONS: Headers = [(b"anthropic-version", b"2023-06-01"), (b"openai-beta", b"x=1")]


def test_only_what_is_listed_goes_upstream() -> None:
    sent = [*SECRETS, *VERSIONS, (b"x-trace", b"t"), (b"user-agent", b"theirs")]
    assert from_caller(sent, "anthropic", ()) == {"anthropic-version": "2023-06-01"}
    assert from_caller(sent, "openai_chat", ()) == {"openai-beta": "x=1"}
    assert from_caller(sent, "gemini", ()) == {}
    assert from_caller(sent, "gemini", ("X-Trace",)) == {"x-trace": "t"}


def test_no_operator_can_forward_a_secret() -> None:
    forward = [name.decode() for name, _ in SECRETS]
    assert from_caller(SECRETS, "openai_chat", forward) == {}


def test_several_values_are_joined_and_hop_by_hop_ones_stay() -> None:
    betas: Headers = [(b"anthropic-beta", b"a"), (b"anthropic-beta", b"b")]
    assert from_caller(betas, "anthropic", ()) == {"anthropic-beta": "a, b"}
    named = [*betas, (b"connection", b"close, Anthropic-Beta")]
    assert from_caller(named, "anthropic", ()) == {}


def test_what_callers_get_of_the_upstreams() -> None:
    received: Headers = [
        (b"content-type", b"text/event-stream"),
        (b"set-cookie", b"s"),
        (b"server", b"x"),
        (b"retry-after", b"7"),
        (b"x-ratelimit-remaining-tokens", b"5"),
        (b"x-ratelimit-of-its-own", b"6"),
        (b"request-id", b"req_1"),
    ]
    passed = [*received[3:6], (b"x-upstream-request-id", b"req_1")]
    assert to_caller(received, "openai_chat", "openai_chat", 0.0) == passed
    assert to_caller(received, "gemini", "openai_chat", 0.0) == passed


X = "openai_chat"
A = "anthropic"


@pytest.mark.parametrize(
    ("front", "back", "given", "passed"),
    [
        (A, X, ("x-ratelimit-limit-requests", "9"), ("anthropic-ratelimit-requests-limit", "9")),
        (
            A,
            X,
            ("x-ratelimit-remaining-tokens", "5"),
            ("anthropic-ratelimit-tokens-remaining", "5"),
        ),
        (
            A,
            X,
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("anthropic-ratelimit-tokens-reset", "1970-01-01T00:16:40.000000Z"),
        ),
        (
            A,
            X,
            ("x-ratelimit-reset-requests", "17ms"),
            ("anthropic-ratelimit-requests-reset", "1970-01-01T00:10:40.017000Z"),
        ),
        (X, A, ("anthropic-ratelimit-requests-limit", "60"), ("x-ratelimit-limit-requests", "60")),
        (
            X,
            A,
            ("anthropic-ratelimit-tokens-reset", "1970-01-01T00:10:47.5Z"),
            ("x-ratelimit-reset-tokens", "7.5s"),
        ),
        (
            X,
            A,
            ("anthropic-ratelimit-tokens-reset", "1970-01-01T00:00:00+00:00"),
            ("x-ratelimit-reset-tokens", "0s"),
        ),
        # What the other has not, or nobody understands, is left out.
        (A, X, ("x-ratelimit-reset-tokens", "soon"), None),
        (A, X, ("x-ratelimit-reset-tokens", "inf"), None),
        (X, A, ("anthropic-ratelimit-tokens-reset", "soon"), None),
        (X, A, ("anthropic-ratelimit-tokens-reset", "1970-01-01T00:00:00"), None),
        (X, A, ("anthropic-ratelimit-input-tokens-limit", "9"), None),
        (A, X, ("x-ratelimit-limit-images", "9"), None),
    ],
)
def test_rate_limits_in_the_callers_form(
    front: str, back: str, given: tuple[str, str], passed: tuple[str, str] | None
) -> None:
    (header,) = make_headers([given])
    expected = [] if passed is None else make_headers([passed])
    assert to_caller([header], front, back, 640.0) == expected
    assert to_caller([header], back, back, 640.0) == [header]


@pytest.mark.parametrize(
    ("value", "fits"),
    [(b"a", True), (b"A.b_c:1-2", True), (b"", False), (b"a" * 129, False), (b"a b", False)],
)
def test_ids_of_requests(value: bytes, fits: bool) -> None:
    assert is_request_id(value) is fits

"""Web pages of one origin: what a browser is told."""

import pytest

from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.server.cors import Cors

APP = "https://app.example"
ASKED: Headers = [
    (b"origin", APP.encode()),
    (b"access-control-request-method", b"POST"),
    (b"access-control-request-headers", b"authorization,content-type,x-stainless-os"),
]


@pytest.mark.parametrize("origin", [APP, "http://localhost:5173", "http://[::1]:1"])
def test_an_origin(origin: str) -> None:
    assert Cors(origin).headers([(b"origin", origin.encode())]) == [
        (b"vary", b"origin"),
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", b"*"),
    ]


@pytest.mark.parametrize(
    "origin", ["*", "", "null", "app.example", f"{APP}/", f"{APP}/x", f"{APP}?x", f"{APP}#x"]
)
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"^cors"):
        Cors(origin)


@pytest.mark.parametrize("origin", [None, b"https://other.example", b"null", b"http://app.example"])
def test_another_origin_is_not_told(origin: bytes | None) -> None:
    headers = [] if origin is None else [(b"origin", origin)]
    assert Cors(APP).headers(headers) == [(b"vary", b"origin")]
    assert Cors(APP).preflight(Request("OPTIONS", "http://x/", [*headers, *ASKED[1:]])) is None


def test_a_preflight() -> None:
    assert Cors(APP).preflight(Request("OPTIONS", "http://x/", ASKED)) == [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
        (b"access-control-allow-headers", b"authorization,content-type,x-stainless-os"),
        (b"access-control-max-age", b"600"),
    ]
    assert Cors(APP).preflight(Request("OPTIONS", "http://x/", ASKED[:2])) == [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
        (b"access-control-max-age", b"600"),
    ]


def test_what_is_no_preflight() -> None:
    for request in (
        Request("POST", "http://x/", ASKED),
        Request("OPTIONS", "http://x/", ASKED[:1]),
    ):
        assert Cors(APP).preflight(request) is None

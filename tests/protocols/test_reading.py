"""Reading requests: their content-encoding, their JSON, an estimate of their tokens."""

import gzip
import zlib
from collections.abc import Callable

import msgspec
import pytest

from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.reading import decoded, read_json, tokens_in
from tokenwire.protocols.toolkit.http import Request

_any = msgspec.json.Decoder()


TOO_LARGE = "the request body is too large once it is decoded"
CODINGS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"X-GZIP": gzip.compress,
    b"deflate": zlib.compress,
    b"identity": bytes,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_request_may_be_compressed(coding: bytes, size: int) -> None:
    headers = [(b"Content-Encoding", coding), (b"x-other", b"y")]
    body = CODINGS[coding](b"x" * size)
    request = decoded(Request("POST", "http://x.test/a", headers, body), 1000)
    assert request.body == b"x" * size
    assert (request.method, request.url) == ("POST", "http://x.test/a")
    assert not body or request.headers == [(b"x-other", b"y")]


@pytest.mark.parametrize(
    ("coding", "body", "status", "message"),
    [
        (b"br", b"x", 415, "content-encoding: use gzip, deflate, or none"),
        (b"gzip, gzip", b"x", 415, "content-encoding: use gzip, deflate, or none"),
        (b"gzip", b"xyz", 400, "the request: the body is not valid gzip"),
        (
            b"gzip",
            gzip.compress(b"x", mtime=0)[:-1],
            400,
            "the request: the body ends inside its content-encoding",
        ),
        (b"gzip", gzip.compress(bytes(1001), mtime=0), 413, TOO_LARGE),
        (b"deflate", zlib.compress(bytes(1_000_000)), 413, TOO_LARGE),
    ],
)
def test_a_request_that_is_compressed_as_it_must_not_be(
    coding: bytes, body: bytes, status: int, message: str
) -> None:
    request = Request("POST", "http://x.test/a", [(b"content-encoding", coding)], body)
    with pytest.raises(BadRequest, match=f"^{message}") as caught:
        decoded(request, 1000)
    takes = [(b"accept-encoding", b"gzip, deflate")] if status == 415 else []
    assert (caught.value.status, caught.value.headers) == (status, takes)


def test_a_large_request_is_decoded_in_pieces() -> None:
    body = b"0123456789" * 100_000
    headers = [(b"content-encoding", b"gzip")]
    request = Request("POST", "http://x.test/a", headers, gzip.compress(body))
    assert decoded(request, len(body)).body == body


def test_a_request_that_is_not_compressed_is_itself() -> None:
    for headers, body in (([], b"x"), ([(b"content-encoding", b"br")], b"")):
        request = Request("POST", "http://x.test/a", headers, body)
        assert decoded(request, 9) is request


def test_an_estimate_of_tokens() -> None:
    assert tokens_in({"a": "x" * 8, "b": ["y" * 7, {"c": "z" * 8}], "d": 7}) == 5
    assert tokens_in("") == 1


def post(body: bytes, content: str | None = "application/json") -> Request:
    headers = [] if content is None else [(b"content-type", content.encode())]
    return Request("POST", "http://x.test/chat", headers, body)


@pytest.mark.parametrize("content", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_body(content: str) -> None:
    assert read_json(post(b'{"a": 1}', content), _any) == {"a": 1}


def test_a_json_body_may_be_as_long_as_a_document() -> None:
    assert read_json(post(b"1" + b" " * (Limits().document - 1)), _any) == 1


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (post(b"{}", None), 415, "content-type is missing, not application/json"),
        (post(b"{}", "text/plain"), 415, "content-type is text/plain, not application/json"),
        (post(b" " * (Limits().document + 1)), 413, "the request body is too large"),
        (post(b"{"), 400, "the request body is not JSON"),
    ],
)
def test_a_body_that_is_not_json(request_: Request, status: int, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_json(request_, _any)
    assert (caught.value.status, caught.value.message) == (status, message)


def test_a_body_of_another_shape() -> None:
    words = (
        "the request body is JSON of an unexpected shape (Expected `int`, got `str` - at `$[0]`)"
    )
    with pytest.raises(BadRequest) as caught:
        read_json(post(b'["a"]'), msgspec.json.Decoder(list[int]))
    assert (caught.value.status, caught.value.message) == (400, words)


def test_a_body_that_need_not_be_labelled() -> None:
    for kind in (None, "application/x-www-form-urlencoded"):
        assert read_json(post(b"{}", kind), _any, labelled=False) == {}


DEEP = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
ODD = b'{"x":NaN,"y":[%b]}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (DEEP, "the request body is nested too deeply"),
        (ODD % b",".join([b'"a"'] * 50_000), "the request body is not JSON"),
        (ODD % b",".join([b"[]"] * 100_000), "the request body is not JSON"),
        (ODD % b",".join([b"{}"] * 100_000), "the request body is not JSON"),
        (b'{"x":', "the request body is not JSON"),
    ],
)
def test_a_request_that_would_take_much_time(body: bytes, message: str) -> None:
    request = Request("POST", "http://x.test", [(b"content-type", b"application/json")], body)
    with pytest.raises(BadRequest, match=f"^{message}") as refused:
        read_json(request, _any)
    assert refused.value.status == 400


def test_a_request_that_is_not_quite_json() -> None:
    for count in (1, 49_997):
        body = ODD % b",".join([b'"a"'] * count)
        request = Request("POST", "http://x.test", [(b"content-type", b"application/json")], body)
        assert read_json(request, _any)["y"] == ["a"] * count


def test_tokens_of_what_is_nested_deeply() -> None:
    value: object = "four" * 5
    for _ in range(5_000):
        value = [value, {"x": "four"}]
    assert tokens_in(value) == 5_005

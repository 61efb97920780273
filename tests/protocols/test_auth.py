"""Keys: how they go along with a request, and where a server finds them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.auth import Auth, AwsKey, Bearer, Header, Key, NoKey, Query, key_text
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Request, get_header

REQUEST = Request("POST", "https://x.test/a", [(b"accept", b"*/*")], b"{}")
AWS = AwsKey("AKIA", "s3cret", "t0ken", "eu-west-1")


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (Bearer(), (b"authorization", b"Bearer k-1")),
        (Header("Authorization", "Bearer "), (b"authorization", b"Bearer k-1")),
        (Header("x-goog-api-key"), (b"x-goog-api-key", b"k-1")),
        (Header("Authorization", "Key "), (b"authorization", b"Key k-1")),
    ],
)
def test_a_key_in_a_header(auth: Header, header: tuple[bytes, bytes]) -> None:
    signed = auth.sign(REQUEST, " k-1\r\n", None)
    assert signed == Request("POST", REQUEST.url, [*REQUEST.headers, header], b"{}")
    assert REQUEST.headers == [(b"accept", b"*/*")]
    assert auth.found(signed) == "k-1"


def test_a_header_that_the_caller_gave_stays() -> None:
    given = Request("GET", "https://x", [(b"authorization", b"Basic abc")])
    assert Bearer().sign(given, "k", None) is given


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://x/a", "https://x/a?key=k%2F1%20%26"),
        ("https://x/a?alt=sse", "https://x/a?alt=sse&key=k%2F1%20%26"),
    ],
)
def test_a_key_in_the_query(url: str, signed: str) -> None:
    request = Query("key").sign(Request("GET", url, []), "k/1 &\n", None)
    assert request.url == signed
    assert Query("key").found(request) == "k/1 &"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([(b"authorization", b"Bearer k")], "k"),
        ([(b"Authorization", b"BEARER   k ")], "k"),
        ([(b"authorization", b"Basic k")], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"x-api-key", b"k")], None),
    ],
)
def test_a_key_is_found_in_a_header(headers: Any, found: str | None) -> None:
    assert Bearer().found(Request("GET", "https://x", headers)) == found


def test_a_key_is_found_in_the_query() -> None:
    assert Query("key").found(Request("GET", "https://x?a=b&key=k%201", [])) == "k 1"
    for url in ("https://x", "https://x?keys=1", "https://x?key"):
        assert Query("key").found(Request("GET", url, [])) is None


def test_no_key() -> None:
    with pytest.raises(LocalProtocolError, match=r"^this service takes no key: leave it out$"):
        NoKey().sign(REQUEST, "k", None)
    assert NoKey().found(Bearer().sign(REQUEST, "k", None)) is None


@pytest.mark.parametrize("auth", [Bearer(), Query("key")])
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("k\nsecret", "^key has a control character: remove it$"),
        ("secret\u20ac", "^key: use only Latin-1 characters$"),
        ("secret\ud800", "^key: use only Latin-1 characters$"),
        (AWS, "^this service takes a key as text: don't give an AwsKey$"),
    ],
)
def test_a_key_that_cannot_be_sent(auth: Auth, key: Key, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words) as caught:
        auth.sign(REQUEST, key, None)
    assert "secret" not in str(caught.value)


def test_the_text_of_a_key() -> None:
    assert key_text("\t na\u00efve key \n") == "na\u00efve key"
    assert key_text("") == key_text(" \r\n") == ""


def test_the_credentials_of_aws_are_not_shown() -> None:
    assert repr(AWS) == str(AWS) == "<AwsKey>"
    assert msgspec.structs.replace(AWS, region="") == AwsKey("AKIA", "s3cret", "t0ken")


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=1))
def test_every_key_that_is_sent_is_found(key: str) -> None:
    for auth in (Bearer(), Header("x-key"), Query("key")):
        found = auth.found(auth.sign(REQUEST, key, None))
        assert (found or "") == key.strip()


# A way of one's own


class Dated(msgspec.Struct, frozen=True):
    """A signature over the final request, with the time in it."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        if not isinstance(key, AwsKey) or now is None:
            raise LocalProtocolError("give an AwsKey and now=time.time")
        text = f"{key.id} {now():g} {len(request.headers)} {len(request.body)}"
        added = (b"x-signature", text.encode())
        return msgspec.structs.replace(request, headers=[*request.headers, added])

    def found(self, request: Request) -> str | None:
        return get_header(request.headers, b"x-signature")


def test_a_signature_is_the_last_thing_that_is_done_to_a_request() -> None:
    provider = PROVIDERS["openai"].replace(auth=Dated())
    times = iter([10.0, 20.0])
    exchange = provider.exchange(
        as_chat("hi", model="m"), key=lambda: AWS, now=lambda: next(times), headers={"x-mine": "1"}
    )
    unsigned = exchange.request
    for asked, time in ((exchange, 10), (exchange.fresh(), 20)):
        request = asked.next_request()
        assert request is not None
        assert request.headers[:-1] == unsigned.headers
        said = f"AKIA {time} {len(unsigned.headers)} {len(unsigned.body)}"
        assert provider.auth is not None
        assert provider.auth.found(request) == said


def test_a_key_in_the_query_is_put_after_the_query_of_the_address() -> None:
    provider = PROVIDERS["openai"].replace(auth=Query("key"), query={"alt": "sse"})
    exchange = provider.exchange(as_chat("hi", model="m"), key="k", base_url="https://h/v1?a=b")
    request = exchange.next_request()
    assert request is not None
    assert parse_qs(urlsplit(request.url).query) == {"a": ["b"], "alt": ["sse"], "key": ["k"]}

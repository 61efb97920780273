"""Keys: how they go along with a request, and where a server finds them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokenwire.protocols.auth import (
    Auth,
    AwsKey,
    Bearer,
    Header,
    Key,
    NoKey,
    Query,
    SigV4,
    key_text,
)
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import AuthenticationFailed, LocalProtocolError
from tokenwire.protocols.exchange import Exchange
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


def test_a_bearer_token() -> None:
    assert Bearer() == Header("authorization", "Bearer ")


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
    assert not NoKey().accepts(Bearer().sign(REQUEST, "k", None), "k", None)


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
    assert key_text("k\xff") == "k\xff"
    assert key_text("\ufeffk \u200b\n") == key_text(" \u2060\u200dk\u200c") == "k"


@pytest.mark.parametrize("key", ["Bearer k", "bearer  k\n", "BEARER k"])
def test_a_key_that_has_its_scheme(key: str) -> None:
    """Quirk 94."""
    for auth in (Bearer(), SigV4("bedrock")):
        assert auth.sign(REQUEST, key, None).headers[-1] == (b"authorization", b"Bearer k")
    assert Header("x-key").found(Header("x-key").sign(REQUEST, key, None)) == key.strip()
    for word in ("Bearer", "bearerk"):
        assert Bearer().found(Bearer().sign(REQUEST, word, None)) == word


def test_the_credentials_of_aws_are_not_shown() -> None:
    assert repr(AWS) == str(AWS) == "<AwsKey>"
    assert msgspec.structs.replace(AWS, region="") == AwsKey("AKIA", "s3cret", "t0ken")


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=1))
def test_every_key_that_is_sent_is_found(key: str) -> None:
    assume(not key.strip().lower().startswith("bearer "))
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

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        return (get_header(request.headers, b"x-signature") or "").startswith("AKIA")


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
        assert get_header(request.headers, b"x-signature") == said


def test_a_key_in_the_query_is_put_after_the_query_of_the_address() -> None:
    provider = PROVIDERS["openai"].replace(auth=Query("key"), query={"alt": "sse"})
    exchange = provider.exchange(as_chat("hi", model="m"), key="k", base_url="https://h/v1?a=b")
    request = exchange.next_request()
    assert request is not None
    assert parse_qs(urlsplit(request.url).query) == {"a": ["b"], "alt": ["sse"], "key": ["k"]}


def test_a_key_in_two_places() -> None:
    auth = Header("api-key", never_with="authorization")
    given = Request("GET", "https://x", [(b"authorization", b"Bearer abc")])
    with pytest.raises(LocalProtocolError) as caught:
        auth.sign(given, "k", None)
    assert str(caught.value) == "there is a key in authorization, too: give one of both"
    assert dict(auth.sign(REQUEST, "k", None).headers)[b"api-key"] == b"k"
    own = Request("GET", "https://x", [(b"api-key", b"abc")])
    assert auth.sign(own, "k", None) is own


# Signatures of AWS

AWS_REQUEST = Request("POST", "https://x.eu-west-1.amazonaws.com/a%3Ab", [], b"{}")


def test_an_aws_key_signs_and_a_text_is_sent() -> None:
    auth = SigV4("bedrock")
    signed = auth.sign(AWS_REQUEST, AWS, lambda: 0)
    assert [name for name, _ in signed.headers] == [
        b"x-amz-date",
        b"x-amz-security-token",
        b"authorization",
    ]
    assert auth.accepts(signed, AWS, None)
    assert auth.accepts(signed, AWS, 0)
    assert not auth.accepts(signed, AWS, 1000)
    assert not SigV4("s3").accepts(signed, AWS, None)
    assert not auth.accepts(signed, "k-1", None)
    sent = auth.sign(AWS_REQUEST, "k-1", None)
    assert sent.headers == [(b"authorization", b"Bearer k-1")]
    assert auth.accepts(sent, "k-1", None)
    assert not auth.accepts(sent, "k-2", None)
    assert not auth.accepts(sent, AWS, None)


def test_a_signature_needs_the_time() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        SigV4("bedrock").sign(AWS_REQUEST, AWS, None)
    assert str(caught.value) == "a signature has a time: give now=time.time"


def test_the_callers_authorization_goes_before_a_signature() -> None:
    given = Request("GET", "https://x", [(b"authorization", b"Basic abc")])
    assert SigV4("bedrock").sign(given, AWS, None) is given


@pytest.mark.parametrize("auth", [Bearer(), Header("x-key"), Query("key")])
def test_a_key_that_is_text_is_compared(auth: Auth) -> None:
    request = auth.sign(REQUEST, "k\u00e9y", None)
    assert auth.accepts(request, "k\u00e9y", None)
    assert not auth.accepts(request, "key", None)
    assert not auth.accepts(request, AWS, None)
    assert not auth.accepts(REQUEST, "k\u00e9y", None)


def test_keys_of_no_characters_are_compared() -> None:
    """As the environment gives bytes that are not UTF-8."""
    request = Bearer().sign(REQUEST, "key", None)
    assert not Bearer().accepts(request, "key\udc80", None)
    assert not Query("key").accepts(Request("GET", "https://x?key=\udc80", []), "key", None)


def ask_bedrock(**how: Any) -> Exchange:
    how = {"params": {"region": "eu-west-1"}, **how}
    return PROVIDERS["bedrock"].exchange(as_chat("hi", model="m"), **how)


def sent_by(exchange: Exchange) -> Request:
    request = exchange.next_request()
    assert request is not None
    return request


def test_a_retry_is_signed_anew() -> None:
    times = iter([1000.0, 1600.0])
    exchange = ask_bedrock(key=AWS, now=lambda: next(times))
    first, second = sent_by(exchange), sent_by(exchange.fresh())
    dates = [get_header(request.headers, b"x-amz-date") for request in (first, second)]
    assert dates == ["19700101T001640Z", "19700101T002640Z"]
    assert first.headers[-1][0] == b"authorization"
    assert first.headers[-1] != second.headers[-1]
    for request, now in ((first, 1000), (second, 1600)):
        assert SigV4("bedrock").accepts(request, AWS, now)


def test_no_time_is_an_error_before_anything_is_sent() -> None:
    exchange = ask_bedrock(key=AWS)
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match=r"give now=time\.time"):
            exchange.next_request()
    assert exchange.unstarted


def test_the_region_of_the_key_is_that_of_the_address() -> None:
    for how in ({"params": None}, {"params": {"region": "eu-west-1"}}):
        exchange = ask_bedrock(key=AWS, now=lambda: 0.0, **how)
        assert exchange.request.origin.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    exchange = ask_bedrock(key=AWS, now=lambda: 0.0, params={"region": "us-west-2"})
    request = sent_by(exchange)
    assert request.origin.host == "bedrock-runtime.us-west-2.amazonaws.com"
    assert "/us-west-2/bedrock/" in str(get_header(request.headers, b"authorization"))
    with pytest.raises(LocalProtocolError, match=r"needs region: .* or set AWS_REGION"):
        ask_bedrock(key=msgspec.structs.replace(AWS, region=""), params=None)


def test_a_bearer_key_has_no_date() -> None:
    names = dict(sent_by(ask_bedrock(key="k-1")).headers)
    assert names[b"authorization"] == b"Bearer k-1"
    assert b"x-amz-date" not in names
    with pytest.raises(LocalProtocolError) as caught:
        ask_bedrock(key="k\nsecret")
    assert "secret" not in str(caught.value)


def test_no_secret_and_no_signature_is_shown() -> None:
    """A refusal quotes the request that was signed, with the token."""
    key = AwsKey("AKIAIOSFODNN7EXAMPLE", "sEcReT/KeY+1234567", "tOkEn+of/a+session==", "eu-west-1")
    exchange = ask_bedrock(key=key, now=lambda: 0.0)
    request = sent_by(exchange)
    said = str(get_header(request.headers, b"authorization"))
    signature = said.rpartition("=")[2]
    words = f"The request signature {signature} does not match: {said}\n{key.token}\ncontent-type"
    exchange.receive_response(403, [(b"x-amzn-errortype", b"InvalidSignatureException:http://x/")])
    exchange.receive_data(msgspec.json.encode({"message": words, "token": key.token}))
    exchange.receive_eof()
    with pytest.raises(AuthenticationFailed) as caught:
        exchange.next_request()
    error = caught.value
    shown = f"{error} {error!r} {vars(error)} {request!r} {exchange!r}"
    assert signature not in shown
    assert key.token not in shown
    assert key.secret not in shown
    assert "AWS4-HMAC-SHA256" in error.message  # which is no secret, nor are the names
    assert "content-type" in error.message
    assert error.code == "InvalidSignatureException"
    assert (b"x-amzn-errortype", b"InvalidSignatureException:http://x/") in error.headers

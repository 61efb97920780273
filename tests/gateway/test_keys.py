"""The keys of callers."""

import tomllib
from datetime import UTC, date, datetime
from hashlib import sha256

import msgspec
import pytest

from tokenwire.gateway.config import Key, Limits
from tokenwire.gateway.keys import KeyRing, new_key
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.toolkit.http import Request
from tokenwire.protocols.toolkit.sigv4 import sign_request

TODAY = date(2026, 12, 31)
NOW = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
SECRET, _ = new_key("ci", bytes(range(32)))


def key(text: str, name: str = "ci", expires: date | None = None) -> Key:
    return Key(
        name=name,
        digest=sha256(text.encode()).digest(),
        models=None,
        limits=Limits(),
        per_model={},
        expires=expires,
    )


CI = key(SECRET)
AWS = AwsKey("tw-aws", "very secret", region="us-east-1")
SIGNER = Key(
    name="aws", digest=b"", aws=AwsKey(AWS.id, AWS.secret), models=None, per_model={}, expires=None
)


def request(headers: dict[str, str], query: str = "") -> Request:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request("POST", f"http://127.0.0.1:4000/v1/messages{query}", pairs)


PLACES = {
    "bearer": {"authorization": f"Bearer {SECRET}"},
    "bearer, otherwise written": {"authorization": f"bearer  {SECRET} "},
    "Anthropic's": {"x-api-key": SECRET},
    "Azure's": {"api-key": SECRET},
    "Google's": {"x-goog-api-key": SECRET},
    "one of several": {"authorization": "Bearer x", "x-api-key": SECRET},
}


@pytest.mark.parametrize("place", PLACES)
def test_where_a_key_may_be(place: str) -> None:
    ring = KeyRing((key("other", "other"), CI), query=False)
    assert ring.find(request(PLACES[place]), NOW) is CI


NO_KEY = {
    "none": {},
    "an empty one": {"authorization": "Bearer "},
    "a wrong one": {"authorization": f"Bearer {SECRET}x"},
    "half of one": {"x-api-key": SECRET[:-1]},
    "another case": {"x-api-key": SECRET.upper()},
    "its digest": {"x-api-key": sha256(SECRET.encode()).hexdigest()},
    "another scheme": {"authorization": f"Basic {SECRET}"},
    "no scheme": {"authorization": SECRET},
    "another header": {"x-key": SECRET},
    "a cookie": {"cookie": f"key={SECRET}"},
    "no text": {"x-api-key": "\xff\xfe"},
}


@pytest.mark.parametrize("case", NO_KEY)
def test_what_is_no_key(case: str) -> None:
    assert KeyRing((CI,), query=True).find(request(NO_KEY[case]), NOW) is None


def test_without_keys_none_is_found() -> None:
    ring = KeyRing((), query=True)
    assert ring.find(request({"x-api-key": SECRET}), NOW) is None
    assert not ring
    assert KeyRing((CI,), query=True)


def test_a_key_in_the_query() -> None:
    asked = request({}, f"?alt=sse&key={SECRET}")
    assert KeyRing((CI,), query=True).find(asked, NOW) is CI
    assert KeyRing((CI,), query=False).find(asked, NOW) is None
    assert KeyRing((CI,), query=True).find(request({}, "?key=%ED%A0%80"), NOW) is None


@pytest.mark.parametrize(
    ("expires", "valid"),
    [(date(2027, 1, 1), True), (date(2026, 12, 31), False), (date(2026, 12, 30), False)],
)
def test_when_a_key_expires(expires: date, valid: bool) -> None:
    mine = key(SECRET, expires=expires)
    found = KeyRing((mine,), query=False).find(request({"x-api-key": SECRET}), NOW)
    assert found is (mine if valid else None)


def test_an_expired_key_beside_a_valid_one() -> None:
    ring = KeyRing((key("old", expires=TODAY), CI), query=False)
    both = request({"authorization": "Bearer old", "x-api-key": SECRET})
    assert ring.find(both, NOW) is CI


@pytest.mark.parametrize("name", ["ci", 'Zoë\'s "laptop" \\ 7', "日本"])
def test_a_new_key_and_its_lines(name: str) -> None:
    text, lines = new_key(name, b"\xff" * 32)
    assert text == "tw-" + "_" * 42 + "8"
    digest = sha256(text.encode()).hexdigest()
    assert tomllib.loads(lines) == {"keys": [{"name": name, "sha256": digest}]}
    assert text not in lines


def test_two_keys_differ() -> None:
    assert new_key("a", b"a" * 32) != new_key("a", b"b" * 32)


@pytest.mark.parametrize(
    ("name", "random", "message"),
    [
        ("ci", b"short", "^a key is made of 32 random bytes, not 5$"),
        ("", b"a" * 32, "^a key needs a name$"),
        ("a\nb", b"a" * 32, "^name 'a.nb' has a control character"),
    ],
)
def test_what_no_key_is_made_of(name: str, random: bytes, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        new_key(name, random)


def test_a_ring_shows_no_key() -> None:
    assert SECRET not in repr(KeyRing((CI,), query=False))


def signed(key: AwsKey = AWS, service: str = "bedrock", at: float = NOW) -> Request:
    asked = Request(
        "POST", "http://127.0.0.1:4000/model/m/converse", [(b"host", b"127.0.0.1:4000")], b"{}"
    )
    return sign_request(asked, key, service, at)


def test_a_request_that_is_signed() -> None:
    ring = KeyRing((CI, SIGNER), query=False)
    assert ring.find(signed(), NOW) is SIGNER
    assert KeyRing((SIGNER,), query=False)
    other = AwsKey(AWS.id, "another secret", region="us-east-1")
    unknown = AwsKey("tw-other", AWS.secret, region="us-east-1")
    for wrong in (signed(other), signed(unknown), signed(service="s3"), signed(at=NOW - 1000)):
        assert ring.find(wrong, NOW) is None
    changed = msgspec.structs.replace(signed(), body=b"{ }")
    assert ring.find(changed, NOW) is None
    assert KeyRing((CI,), query=False).find(signed(), NOW) is None


def test_a_signature_by_an_expired_key() -> None:
    expired = msgspec.structs.replace(SIGNER, expires=TODAY)
    assert KeyRing((expired,), query=False).find(signed(), NOW) is None
    assert AWS.secret not in repr(expired)

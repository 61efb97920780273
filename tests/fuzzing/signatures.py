"""Signature Version 4: any request signed, and any request verified.

An input is a request (`request_of`). The last bytes say with which key it is signed, when it is
verified, and which byte of it is changed then.
"""

import re

import msgspec

from tests.fuzzing.requests import request_of
from tests.fuzzing.source import Target, split
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.toolkit.http import Request, get_header
from tokenwire.protocols.toolkit.sigv4 import (
    AwsKey,
    canonical_request,
    is_signed,
    sign_request,
)

__all__ = ["SIGV4"]

_NAME = re.compile(rb"(?!authorization\Z|x-amz-security-token\Z)[a-z0-9!#$%&'*+.^_`|~-]+")
"""The names of headers that a client can have beside its signature."""
_NOW = 1767323045
_SKEWS = (0, 300, -300, 301, -301)
_KEYS = (
    AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI", region="us-east-1"),
    AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI", "TOKENOFASESSION", "eu-west-1"),
)
_OTHERS = (
    AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMJ", region="us-east-1"),
    AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI", "TOKENOFASESSION", "us-east-1"),
    AwsKey("AKIDEXAMPLF", "wJalrXUtnFEMI", region="us-east-1"),
)
_SERVICE = "bedrock"


def _fuzz_sigv4(data: bytes) -> None:
    text, (which, when, what, place, bit) = split(data, 5)
    request, key = request_of(text), _KEYS[which % len(_KEYS)]
    # Nobody who does not know the secret can write one that is right.
    assert not is_signed(request, key, _SERVICE)
    plain = [pair for pair in request.headers if _NAME.fullmatch(pair[0])]
    try:
        signed = sign_request(msgspec.structs.replace(request, headers=plain), key, _SERVICE, _NOW)
    except LocalProtocolError:
        return
    skew = _SKEWS[when % len(_SKEWS)]
    assert is_signed(signed, key, _SERVICE, _NOW + skew) == (abs(skew) <= 300)
    assert key.secret.encode() not in b"".join(value for _, value in signed.headers)
    assert not any(is_signed(signed, other, _SERVICE) for other in _OTHERS)
    assert not is_signed(signed, key, "s3")
    changed = _changed(signed, what, place, 1 << bit % 8)
    holds = is_signed(changed, key, _SERVICE, _NOW)
    assert holds == _is_alike(changed, signed)
    assert not holds or (changed.method, changed.body) == (signed.method, signed.body)
    more = [*signed.headers, (b"x-amz-more", changed.body)]
    assert not is_signed(msgspec.structs.replace(signed, headers=more), key, _SERVICE)


def _changed(request: Request, what: int, place: int, bit: int) -> Request:
    """`request` with one bit of a part of it changed, or a header fewer or twice."""
    headers = request.headers
    number = place % len(headers)
    name, value = headers[number]
    match what % 5:
        case 0:
            body = _flipped(request.body, place, bit)
            return msgspec.structs.replace(request, body=body)
        case 1:
            begin = request.url.index("/", 8) + 1  # another host may be no address
            target = request.url[begin:].encode("latin-1")
            target = _flipped(target, place, bit)
            url = request.url[:begin] + target.decode("latin-1")
            return msgspec.structs.replace(request, url=url)
        case 2:
            changed = [(name, _flipped(value, what // 5, bit))]
        case 3:
            changed = []
        case _:
            changed = [headers[number]] * 2
    headers = [*headers[:number], *changed, *headers[number + 1 :]]
    return msgspec.structs.replace(request, headers=headers)


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    if not data:
        return b"x"
    place %= len(data)
    return data[:place] + bytes((data[place] ^ bit,)) + data[place + 1 :]


def _is_alike(changed: Request, signed: Request) -> bool:
    """Whether a signature has to hold for both: they say the same, in all that is signed."""
    said = get_header(signed.headers, b"authorization") or ""
    if get_header(changed.headers, b"authorization") != said:
        return False
    names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    return canonical_request(changed, names) == canonical_request(signed, names)


_SEEDS = (
    b"POST /model/a.b-v1%3A0/converse\ncontent-type:application/json\nx-amzn-trace-id:1\n\n{}",
    b"POST /model/a:0/../b//c/?b=2&a=%7E1&a\nx-amz-meta: a  b \nx-amz-meta:c\nhost:h\n\n\xff",
    b"GET /\nx-amz-date:20260102T030405Z\nauthorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"
    b"20260102/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    + b"0"
    * 64,
)
SIGV4 = Target(
    _fuzz_sigv4,
    [
        seed + bytes((which, 0, what, 3, 0))
        for seed in _SEEDS
        for which in range(2)
        for what in range(5)
    ],
    [
        b"x-amz-",
        b"x-amzn-trace-id:",
        b"x-amz-security-token:",
        b"content-type:",
        b"host:",
        b"/../",
        b"/./",
        b"%2F",
        b"%",
        b"?a=1&",
        b"#",
        b"SignedHeaders=host;x-amz-date",
    ],
)

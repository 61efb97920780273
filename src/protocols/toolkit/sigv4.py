"""Signature Version 4 of Amazon Web Services, by which a request proves who sent it.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
The functions are pure: the time is an argument. What is signed is the request as it is sent, so a
client must not write its path, host or signed headers in another way afterwards.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec

from ..errors import LocalProtocolError
from .dates import rfc3339
from .http import Request, get_header, make_headers

__all__ = [
    "AwsKey",
    "amz_date",
    "canonical_request",
    "is_signed",
    "region_of",
    "scope_of",
    "sign_request",
    "signing_key",
    "string_to_sign",
]

_ALGORITHM = "AWS4-HMAC-SHA256"
_VALID = 300
"""Seconds before and after its time in which a signature is accepted."""

_HOST = re.compile(
    r"(?:\A|\.)([a-z]{2}(?:-[a-z]+)+-[0-9]+)(?:\.vpce)?\.(?:amazonaws\.com(?:\.cn)?|api\.aws)\Z"
)
_WORD = r"[^/,\s]+"
_AUTHORIZATION = re.compile(
    rf"{_ALGORITHM} +Credential=({_WORD})/([0-9]{{8}}/({_WORD})/({_WORD})/aws4_request) *, *"
    r"SignedHeaders=([^,\s]+) *, *Signature=([0-9a-f]{64})"
)
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SPACES = re.compile(r"[ \t]+")


class AwsKey(msgspec.Struct, frozen=True):
    """The credentials of Amazon Web Services. `token` is that of a session. `region` counts where
    the host that is asked does not name one."""

    id: str
    secret: str
    token: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return "<AwsKey>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has all of it
        return []


def region_of(host: str) -> str:
    """The region in the name of a host of AWS, before the domain; empty if it has none."""
    found = _HOST.search(host)
    return found[1] if found else ""


def amz_date(seconds: float) -> str:
    """A time as `x-amz-date` has it: `20260102T030405Z`. `seconds`: since 1970 began."""
    return rfc3339(seconds)[:19].replace("-", "").replace(":", "") + "Z"


def sign_request(request: Request, key: AwsKey, service: str, seconds: float) -> Request:
    """`request` with `x-amz-date`, `x-amz-security-token` if the key has one, and `authorization`.
    Signed are the host, the content type and all `x-amz*` but a trace. `seconds`: the time, since
    1970 began.

    Raises LocalProtocolError, which does not show it, for a key that can't be used.
    """
    region = region_of(request.origin.host) or key.region
    if not region:
        raise LocalProtocolError("a signature needs the region: give AwsKey(..., region=...)")
    if not (key.id and key.secret and f"{key.id}{key.secret}{region}".isascii()):
        raise LocalProtocolError("an AwsKey has an id and a secret, which are ASCII")
    if any(each != each.strip() for each in (key.secret, key.token)):
        raise LocalProtocolError("an AwsKey has white space around its secret or token: remove it")
    if not (re.fullmatch(_WORD, key.id) and re.fullmatch(_WORD, region)):
        raise LocalProtocolError("the id and the region of an AwsKey are one word each")
    date = amz_date(seconds)
    added = {"x-amz-date": date, **({"x-amz-security-token": key.token} if key.token else {})}
    kept = [pair for pair in request.headers if pair[0].decode("latin-1") not in added]
    request = msgspec.structs.replace(request, headers=[*kept, *make_headers(added.items())])
    signed = sorted({"host", *filter(_is_signed, _names(request))})
    scope = scope_of(date, region, service)
    said = (
        f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={';'.join(signed)}, "
        f"Signature={_signature(request, signed, date, scope, key)}"
    )
    headers = [*request.headers, *make_headers([("authorization", said)])]
    return msgspec.structs.replace(request, headers=headers)


def is_signed(request: Request, key: AwsKey, service: str, seconds: float | None = None) -> bool:
    """Whether `request` is signed with `key`, for its region if it has one.

    The host and all `x-amz*` but a trace must be signed. If the time is known, `seconds` since 1970
    began, the signature is valid for five minutes before and after its own.
    """
    found = _AUTHORIZATION.fullmatch(get_header(request.headers, b"authorization") or "")
    date = get_header(request.headers, b"x-amz-date") or ""
    if found is None or not _DATE.fullmatch(date):
        return False
    id, scope, region, for_service, names, signature = found.groups()
    signed = names.split(";")
    needed = {"host", *filter(_is_amz, _names(request))}
    if seconds is not None and not (
        amz_date(seconds - _VALID) <= date <= amz_date(seconds + _VALID)
    ):
        return False
    try:
        expected = _signature(request, signed, date, scope, key)
    except UnicodeEncodeError:
        return False  # it was not read from the wire
    return (
        compare_digest(expected, signature)
        and (id, for_service, scope[:8]) == (key.id, service, date[:8])
        and region == (key.region or region)
        and (get_header(request.headers, b"x-amz-security-token") or "") == key.token
        and needed.issubset(signed)
    )


def canonical_request(request: Request, signed: Sequence[str]) -> str:
    """The request in the form that is hashed. `signed` are the names of headers, in lower case and
    sorted. Without a `host` among the headers it is that of the URL."""
    path, _, query = request.target.partition("?")
    return "\n".join(
        (
            request.method,
            _canonical_path(path),
            _canonical_query(query),
            *(f"{name}:{_value(request, name)}" for name in signed),
            "",
            ";".join(signed),
            sha256(request.body).hexdigest(),
        )
    )


def scope_of(date: str, region: str, service: str) -> str:
    """What a signature is for: a day, a region and a service."""
    return f"{date[:8]}/{region}/{service}/aws4_request"


def string_to_sign(canonical: str, date: str, scope: str) -> str:
    """What is signed: the scope, and the hash of the canonical request."""
    return "\n".join((_ALGORITHM, date, scope, sha256(canonical.encode("latin-1")).hexdigest()))


def signing_key(secret: str, scope: str) -> bytes:
    """The key that signs: the secret, bound to a scope."""
    key = b"AWS4" + secret.encode()
    for word in scope.split("/"):
        key = hmac_digest(key, word.encode(), "sha256")
    return key


def _signature(request: Request, signed: Sequence[str], date: str, scope: str, key: AwsKey) -> str:
    text = string_to_sign(canonical_request(request, signed), date, scope)
    return hmac_digest(signing_key(key.secret, scope), text.encode(), "sha256").hex()


def _is_signed(name: str) -> bool:
    return name == "content-type" or _is_amz(name)


def _is_amz(name: str) -> bool:
    """Whether a header says something to AWS. A trace is changed on the way."""
    return name.startswith("x-amz") and name != "x-amzn-trace-id"


def _names(request: Request) -> list[str]:
    return [name.decode("latin-1").lower() for name, _ in request.headers]


def _value(request: Request, name: str) -> str:
    """The values of a header, each with single spaces."""
    key = name.encode("latin-1")
    values = [value.decode("latin-1") for each, value in request.headers if each.lower() == key]
    if name == "host" and not values:
        values = [request.origin.authority]
    return ",".join(_SPACES.sub(" ", value.strip()) for value in values)


def _canonical_path(path: str) -> str:
    """The path as it is sent, without dots and empty segments, percent-encoded once more."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(quote(segment))
    end = "/" if segments and path.endswith("/") else ""
    return f"/{'/'.join(segments)}{end}"


def _canonical_query(query: str) -> str:
    """The fields of a query, sorted."""
    fields = (field.partition("=") for field in query.split("&") if field)
    pairs = sorted((_encoded(name), _encoded(value)) for name, _, value in fields)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="")

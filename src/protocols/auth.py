"""How a key is sent with a request, and where a server finds it.

A format declares the places where a key may be; a provider may choose one of its own. A request is
signed last, when its address, headers and body are final.
"""

from collections.abc import Callable
from hmac import compare_digest
from typing import Protocol, TypeAlias
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from .errors import LocalProtocolError
from .toolkit.http import Request, check_plain, get_header, make_headers
from .toolkit.sigv4 import AwsKey, is_signed, sign_request

__all__ = [
    "Auth",
    "AwsKey",
    "Bearer",
    "Header",
    "Key",
    "KeySource",
    "NoKey",
    "Query",
    "SigV4",
    "key_text",
]


Key: TypeAlias = str | AwsKey
"""What identifies the customer of a service."""

KeySource: TypeAlias = Key | Callable[[], Key]
"""A key, or a function that returns one. It is called for each request, so keys can be renewed."""


class Auth(Protocol):
    """One way of sending a key."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        """`request` with the key. `now` returns seconds since 1970, for signatures with a time.

        Raises LocalProtocolError for a key that can't be sent in this way.
        """
        ...

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        """Whether `request` has `key` in this place. `now`: seconds since 1970, if it is known."""
        ...


class Header(msgspec.Struct, frozen=True):
    """The key in the header `name`, after `prefix`. If the caller gives a header of this name, that
    header is sent instead of the key. `never_with`: a header in which another kind of key would be
    (Azure refuses both)."""

    name: str
    prefix: str = ""
    never_with: str = ""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        name = self.name.lower().encode()
        other = self.never_with
        if other and get_header(request.headers, other.encode()) is not None:
            raise LocalProtocolError(f"there is a key in {other}, too: give one of both")
        if get_header(request.headers, name) is not None:
            return request
        text = key_text(key)
        if self.prefix and text.lower().startswith(self.prefix.lower()):
            text = text[len(self.prefix) :].lstrip()  # pasted with it (quirk 94)
        added = make_headers(((self.name, self.prefix + text),))
        return msgspec.structs.replace(request, headers=[*request.headers, *added])

    def found(self, request: Request) -> str | None:
        """The key that a request has in this place, or None."""
        value = get_header(request.headers, self.name.lower().encode())
        if value is None or not value.lower().startswith(self.prefix.lower()):
            return None
        return value[len(self.prefix) :].strip()

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        return _is_same(self.found(request), key)


def Bearer() -> Header:  # noqa: N802  it is used like the classes beside it
    """`Authorization: Bearer KEY` (RFC 6750)."""
    return Header("authorization", "Bearer ")


class Query(msgspec.Struct, frozen=True):
    """The key in a field of the query."""

    name: str

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        separator = "&" if "?" in request.url else "?"
        url = f"{request.url}{separator}{self.name}={quote(key_text(key), safe='')}"
        return msgspec.structs.replace(request, url=url)

    def found(self, request: Request) -> str | None:
        """The key that a request has in this place, or None."""
        return dict(parse_qsl(urlsplit(request.url).query)).get(self.name)

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        return _is_same(self.found(request), key)


class SigV4(msgspec.Struct, frozen=True):
    """An `AwsKey` signs the request for `service` (Signature Version 4). A key that is text is sent
    as a bearer key, as `Bearer` does. If the caller gives the header `authorization`, that is sent
    instead."""

    service: str

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        if isinstance(key, str):
            return Bearer().sign(request, key, now)
        if get_header(request.headers, b"authorization") is not None:
            return request
        if now is None:
            raise LocalProtocolError("a signature has a time: give now=time.time")
        return sign_request(request, key, self.service, now())

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        if isinstance(key, str):
            return Bearer().accepts(request, key, now)
        return is_signed(request, key, self.service, now)


class NoKey(msgspec.Struct, frozen=True):
    """The service takes no key: giving one is an error."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        raise LocalProtocolError("this service takes no key: leave it out")

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        return False


def _is_same(found: str | None, key: Key) -> bool:
    """Whether a key that was found is `key`. The time it takes does not tell how much is alike."""
    if found is None or not isinstance(key, str):
        return False
    return compare_digest(found.encode(errors="replace"), key.encode(errors="replace"))


_NO_WIDTH = "\ufeff\u200b\u200c\u200d\u2060"


def key_text(key: Key) -> str:
    """A key that is text, without the white space around it that pasting and files add, also that
    of no width.

    Raises LocalProtocolError, which does not show it, for one that a header can't hold.
    """
    if not isinstance(key, str):
        raise LocalProtocolError("this service takes a key as text: don't give an AwsKey")
    key = check_plain(key.strip().strip(_NO_WIDTH).strip(), "key", show=False)
    if not key.isascii() and max(key) > "\xff":
        raise LocalProtocolError("key: use only Latin-1 characters")
    return key

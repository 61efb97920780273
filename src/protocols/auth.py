"""How a key goes along with a request, and where a server finds it.

A format declares where a key may stand; a provider may say which of these it wants. To put the key
in is the last thing that happens to a request, over its final address, headers and body.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from .errors import LocalProtocolError
from .toolkit.http import Request, check_plain, get_header, make_headers

__all__ = ["Auth", "AwsKey", "Bearer", "Header", "Key", "KeySource", "NoKey", "Query", "key_text"]


class AwsKey(msgspec.Struct, frozen=True):
    """The credentials of Amazon Web Services. `token` is that of a session; an empty `region` is
    the provider's."""

    id: str
    secret: str
    token: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return "<AwsKey>"


Key: TypeAlias = str | AwsKey
"""What a service knows its customer by."""

KeySource: TypeAlias = Key | Callable[[], Key]
"""A key, or what gives one: it is called for each request, so that keys can be renewed."""


class Auth(Protocol):
    """One way of sending a key."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        """`request` with the key. `now` tells seconds since 1970, for signatures with a time.

        Raises LocalProtocolError for a key that can't be sent like this.
        """
        ...

    def found(self, request: Request) -> str | None:
        """The key that a request carries in this way; None if it carries none."""
        ...


class Header(msgspec.Struct, frozen=True):
    """The key in a header of its own, after `prefix`. A header of this name that the caller gives
    is left as it is."""

    name: str
    prefix: str = ""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        name = self.name.lower().encode()
        if get_header(request.headers, name) is not None:
            return request
        added = make_headers(((self.name, self.prefix + key_text(key)),))
        return msgspec.structs.replace(request, headers=[*request.headers, *added])

    def found(self, request: Request) -> str | None:
        value = get_header(request.headers, self.name.lower().encode())
        if value is None or not value.lower().startswith(self.prefix.lower()):
            return None
        return value[len(self.prefix) :].strip()


def Bearer() -> Header:  # noqa: N802  it reads as the class that it makes an object of
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
        return dict(parse_qsl(urlsplit(request.url).query)).get(self.name)


class NoKey(msgspec.Struct, frozen=True):
    """No key is ever sent: giving one is an error."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        raise LocalProtocolError("this service takes no key: leave it out")

    def found(self, request: Request) -> str | None:
        return None


def key_text(key: Key) -> str:
    """A key that is text, without the white space around it that pasting and files add.

    Raises LocalProtocolError, which does not show it, for one that can't stand in a header.
    """
    if not isinstance(key, str):
        raise LocalProtocolError("this service takes a key as text: don't give an AwsKey")
    key = check_plain(key.strip(), "key", show=False)
    if not key.isascii() and max(key) > "\xff":
        raise LocalProtocolError("key: only Latin-1 characters")
    return key

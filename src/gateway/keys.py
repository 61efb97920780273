"""The keys of callers: 32 random bytes each, of which the gateway knows only the SHA-256.

The SDKs of Amazon Web Services send no key, but sign by one: for those it has to know the secret.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import UTC, date, datetime
from hashlib import sha256

import msgspec

from ..protocols.auth import Bearer, Header, Query
from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.http import Request, check_plain, get_header
from ..protocols.toolkit.sigv4 import is_signed
from .config import Key

__all__ = ["KEY_BYTES", "KeyRing", "new_key"]

KEY_BYTES = 32
"""Random bytes of a key: so many can't be guessed, so a digest without salt is enough."""

_HEADERS = (Bearer(), *map(Header, ("x-api-key", "api-key", "x-goog-api-key")))
"""Where the clients of all formats put their keys."""

_SIGNER = re.compile(r"AWS4-HMAC-SHA256 +Credential=([^/,\s]+)/")
"""Whoever signed a request: the id of a key."""
_SERVICE = "bedrock"
"""For which requests to Bedrock are signed."""


class KeyRing:
    """Finds the key of a request by its digest, so the time it takes tells nothing about the key.

    `query`: whether a key may be in the query, too (`?key=`, as Gemini's clients do): addresses get
    into logs.
    """

    def __init__(self, keys: Iterable[Key], *, query: bool) -> None:
        keys = [*keys]
        self._keys = {key.digest: key for key in keys if key.digest}
        self._signers = {key.aws.id: (key, key.aws) for key in keys if key.aws is not None}
        self._places: tuple[Header | Query, ...] = (*_HEADERS, *([Query("key")] if query else []))

    def __bool__(self) -> bool:
        """Whether there is any: without keys a gateway is open."""
        return bool(self._keys or self._signers)

    def find(self, request: Request, now: float) -> Key | None:
        """The key that `request` has, in whichever place, or by which it is signed; None: it has
        none, or only unknown and expired ones. `request` is as it was sent. `now`: seconds since
        1970; days are UTC's."""
        today = datetime.fromtimestamp(now, UTC).date()
        for place in self._places:
            text = place.found(request)
            if text is None:
                continue
            key = self._keys.get(_digest(text))
            if key is not None and _is_valid(key, today):
                return key
        signer = _SIGNER.match(get_header(request.headers, b"authorization") or "")
        if signer is not None and signer[1] in self._signers:
            key, aws = self._signers[signer[1]]
            if _is_valid(key, today) and is_signed(request, aws, _SERVICE, now):
                return key
        return None


def _is_valid(key: Key, today: date) -> bool:
    return key.expires is None or today < key.expires


def new_key(name: str, random: bytes) -> tuple[str, str]:
    """A new key made of `KEY_BYTES` random bytes, and the lines for the configuration that let it
    in. Raises LocalProtocolError."""
    if len(random) != KEY_BYTES:
        raise LocalProtocolError(f"a key is made of {KEY_BYTES} random bytes, not {len(random)}")
    if not name:
        raise LocalProtocolError("a key needs a name")
    key = f"tw-{urlsafe_b64encode(random).decode().rstrip('=')}"
    quoted = msgspec.json.encode(check_plain(name, "name")).decode()  # TOML has JSON's escapes
    return key, f'[[keys]]\nname = {quoted}\nsha256 = "{_digest(key).hex()}"\n'


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="replace")).digest()

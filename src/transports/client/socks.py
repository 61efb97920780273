"""The way through a SOCKS proxy: version 5 (RFC 1928), with a user and a password (RFC 1929)."""

import ipaddress
from collections.abc import Generator

from ...protocols.errors import ConnectFailed
from ...protocols.toolkit.http import Origin
from .proxy import Proxy

__all__ = ["Socks"]

_NO_CREDENTIALS, _PASSWORD = 0, 2
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SIZES = {_IPV4: 4, _NAME: 0, _IPV6: 16}  # a name says its size itself
_REASONS = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "it can't connect by TCP",
    8: "it does not know this type of address",
}
_LASTING = (2, 7, 8)


class Socks:
    """The way to `origin`, whose name the proxy resolves; `established` once it has connected."""

    __slots__ = (
        "_origin",
        "_out",
        "_proxy",
        "_read",
        "_talk",
        "_wanted",
        "established",
        "unfinished",
    )

    def __init__(self, proxy: Proxy, origin: Origin) -> None:
        self._proxy = proxy
        self._origin = origin
        self._out = b"\5\2\0\2" if proxy.user else b"\5\1\0"
        self._read = b""
        self._talk = self._answers()
        self._wanted = next(self._talk)
        self.established = False
        self.unfinished = f"{proxy.name} closed the connection"

    def data_to_send(self) -> bytes:
        """Bytes for the proxy."""
        data, self._out = self._out, b""
        return data

    def receive(self, data: bytes) -> bytes:
        """Bytes from the proxy. Returns those after its last answer. Raises ConnectFailed."""
        self._read += data
        while not self.established:
            if len(self._read) < self._wanted:
                return b""
            taken, self._read = self._read[: self._wanted], self._read[self._wanted :]
            try:
                self._wanted = self._talk.send(taken)
            except StopIteration:
                self.established = True
        return self._read

    def _answers(self) -> Generator[int, bytes]:
        """Takes what the proxy says, in pieces of the sizes that it yields, and answers."""
        proxy = self._proxy
        version, method = yield 2
        if version != 5:
            raise self._refusal("does not speak SOCKS 5")
        if method == _PASSWORD and proxy.user:
            credentials = proxy.user.encode(), proxy.password.encode()
            self._out = b"\1" + b"".join(bytes((len(part),)) + part for part in credentials)
            _, status = yield 2
            if status:
                raise self._refusal("refused the user and password of its URL")
        elif method != _NO_CREDENTIALS:
            raise self._refusal(
                "takes no user and password"
                if proxy.user
                else "wants a user and password: give them in its URL"
            )
        host, port = self._origin.host, self._origin.port
        if len(host) > 255:
            raise self._refusal("takes names of up to 255 bytes")
        self._out = b"\5\1\0" + _address(host) + port.to_bytes(2)
        _, reason = yield 2
        if reason:
            why = _REASONS.get(reason, f"error {reason}")
            what = f"could not reach {host}:{port}: {why}"
            raise self._refusal(what, lasting=reason in _LASTING)
        _, kind = yield 2
        if kind not in _SIZES:
            raise self._refusal(f"answered with an address of the unknown type {kind}")
        size = _SIZES[kind] or (yield 1)[0]
        yield size + 2  # the address that it connects from, and its port

    def _refusal(self, what: str, *, lasting: bool = True) -> ConnectFailed:
        refusal = ConnectFailed(f"{self._proxy.name} {what}")
        refusal.lasting = lasting
        return refusal


def _address(host: str) -> bytes:
    """`host` with its type, as a SOCKS request has it."""
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.encode()
        return bytes((_NAME, len(name))) + name
    return bytes((_IPV4 if len(packed) == 4 else _IPV6,)) + packed

"""TLS without a socket (`ssl.MemoryBIO`): bytes in, bytes out, the same for every event loop."""

import ssl
import threading
from functools import cache
from typing import cast

from ...protocols.errors import ConnectFailed

__all__ = ["TLS", "default_context"]


@cache
def default_context() -> ssl.SSLContext:
    """One verifying context for all: making one is slow, as it loads the system's roots."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


RECORD = 16 * 1024
"""The most bytes in a record (RFC 8446 section 5.1), and the most that is read at once."""

_PART_OF_HANDSHAKE = 512
"""The most bytes of a handshake that are given to OpenSSL at once."""


class _Shared(threading.local):
    """The buffer that all connections of a thread decrypt into; reads don't make one each."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(RECORD))


_shared = _Shared()


class TLS:
    """One TLS connection. `established` once the handshake is done; `closed` once the peer has sent
    close_notify; `broken` after an alert or invalid data from it. `name`: how messages call the
    peer."""

    __slots__ = ("_in", "_name", "_out", "_tls", "broken", "closed", "established", "unfinished")

    def __init__(self, context: ssl.SSLContext, host: str, name: str = "") -> None:
        name = name or host
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        except (ValueError, ssl.SSLError) as error:
            raise ConnectFailed(f"TLS with {name}: {error}") from None
        self._name = name
        self.established = False
        self.closed = False
        self.broken = False
        self.unfinished = f"{name} closed the connection during TLS"
        self._shake()

    def data_to_send(self) -> bytes:
        """Bytes for the peer."""
        return self._out.read()

    def send(self, data: bytes) -> None:
        """Encrypt `data`. Only when established; ignored once broken."""
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self.broken = True

    def receive(self, data: bytes) -> bytes:
        """Decrypt bytes from the peer. Raises ConnectFailed if the handshake fails."""
        plain: list[bytes] = []
        start = 0
        while start < len(data):
            # In parts, as a BIO never gives memory back while the stream lives.
            end = start + (RECORD if self.established else _PART_OF_HANDSHAKE)
            self._in.write(data[start:end])
            start = end
            if not self.established:
                self._shake()
            if self.established:
                self._read(plain)
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def _read(self, plain: list[bytes]) -> None:
        """Append the plaintext that is complete to `plain`."""
        buffer = _shared.buffer
        # Don't ask OpenSSL for more than there is: raising an error takes longer than reading.
        while not self.closed and (self._in.pending or self._tls.pending()):
            try:
                size = cast(int, self._tls.read(RECORD, buffer))
            except ssl.SSLWantReadError:
                return
            except ssl.SSLError:
                self.broken = True
                return
            if not size:  # the peer's close_notify
                self.closed = True
            plain.append(bytes(buffer[:size]))

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLCertVerificationError as error:
            untrusted = ConnectFailed(
                f"the certificate of {self._name} is not trusted ({error.verify_message}); "
                "if it is one of your own, give a context that trusts it with ssl_context="
            )
            untrusted.lasting = True
            raise untrusted from error
        except ssl.SSLError as error:
            raise ConnectFailed(f"TLS with {self._name} failed: {error.reason}") from error
        self.established = True

"""TLS without a socket (`ssl.MemoryBIO`): bytes in, bytes out, the same for every event loop."""

import glob
import re
import ssl
import threading
from typing import cast

from ...protocols.errors import ConnectFailed

__all__ = ["TLS", "default_context"]


_kept: list[ssl.SSLContext] = []


def default_context() -> ssl.SSLContext:
    """One verifying context for all: making one is slow, as it loads the system's authorities. It
    is not kept if there are none: they may be installed, or `SSL_CERT_FILE` be set, later."""
    if _kept:
        return _kept[0]
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if _has_authorities(context):
        _kept.append(context)
    return context


def _has_authorities(context: ssl.SSLContext) -> bool:
    if context.cert_store_stats()["x509_ca"]:
        return True
    folder = ssl.get_default_verify_paths().capath  # is read when a certificate is verified
    return bool(folder and glob.glob(f"{glob.escape(folder)}/*.[0-9]"))


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
    close_notify; `fault` after an alert or invalid data from it. `name`: how messages call the
    peer."""

    __slots__ = ("_in", "_name", "_out", "_tls", "closed", "established", "fault", "unfinished")

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
        self.fault: ConnectFailed | None = None
        self.unfinished = f"{name} closed the connection during TLS"
        self._shake()

    def data_to_send(self) -> bytes:
        """Bytes for the peer."""
        return self._out.read()

    def send(self, data: bytes) -> None:
        """Encrypt `data`. Only when established; ignored after a fault."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self.fault = self.fault or self._failure(error)

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
            except ssl.SSLError as error:
                # In TLS 1.3 a server refuses the client's certificate after the handshake.
                self.fault = self._failure(error)
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
            raise self._failure(error) from error
        self.established = True

    def _failure(self, error: ssl.SSLError) -> ConnectFailed:
        """The reason in words. Alerts tell the peer's (RFC 8446 section 6.2), which stays."""
        # Not its `reason`: Python has no name for the alerts that OpenSSL added later.
        found = _REASON.fullmatch(error.args[-1])
        assert found is not None  # as it matches everything
        alert, words = found.groups()
        failure = ConnectFailed(f"TLS with {self._name} failed: {words}{_ADVICE.get(words, '')}")
        failure.lasting = alert is not None and words != "internal error"
        return failure


# `[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:1006)`
_REASON = re.compile(
    r"(?:\[.*?\] )?((?:sslv3|tlsv1|tlsv13|ssl/tls) (?:alert )?)?(.*?)(?: \(_ssl\.c:\d+\))?",
    re.DOTALL,
)
_ADVICE = {
    "certificate required": "; give a context that presents one with ssl_context=",
    "no application protocol": "; it does not speak HTTP/1.1, so ask it by the httpx transport",
}

"""What the commands that ask a service have in common: where, how, and for how long."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocols.clocks import Clocks
from ..protocols.errors import LocalProtocolError
from ..protocols.provider import Provider

if TYPE_CHECKING:
    import ssl

__all__ = ["AskOptions", "own_context"]


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """The options of a command that asks a service."""

    provider: Provider
    base_url: str | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)  # either may have a secret
    proxy: str | None = field(repr=False)
    ca_file: Path | None
    timeout: float | None
    connect: float | None
    first_event: float | None
    idle: float | None
    embedded: bool

    @property
    def clocks(self) -> Clocks:
        """The provider's clocks, but for those that are given; infinite ones are none. `timeout`
        replaces all of them: a limit for a part of the time would be a surprise."""
        clocks = self.provider.clocks
        if self.timeout is not None:
            clocks = Clocks(connect=None, first_event=None, idle=None)
        given = {
            "connect": self.connect,
            "first_event": self.first_event,
            "idle": self.idle,
            "total": self.timeout,
        }
        changes = {
            name: None if seconds == inf else seconds
            for name, seconds in given.items()
            if seconds is not None
        }
        return msgspec.structs.replace(clocks, **changes)

    def client_options(self) -> dict[str, Any]:
        """The arguments of a client. Raises LocalProtocolError."""
        if self.embedded and (self.base_url is not None or self.proxy is not None):
            raise LocalProtocolError(
                "--embedded needs no network: leave out --base-url and --proxy"
            )
        return {
            "proxy": self.proxy,
            "trust_env": not self.embedded,
            "ssl_context": own_context(self.ca_file, {} if self.embedded else os.environ),
        }


def own_context(ca_file: Path | None, environ: Mapping[str, str]) -> "ssl.SSLContext | None":
    """A context that trusts the authorities in `ca_file`, and no others. Without it, those in the
    file or folder that `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` name, in addition to the
    system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead. None: only the latter,
    as Python itself reads them.

    Raises LocalProtocolError if there are no certificates.
    """
    known = ("", environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR"))
    added: dict[str, str] = {}
    if ca_file is None:
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if (found := environ.get(variable, "")) not in known:
                added[variable] = found
        if not added:
            return None
    import ssl

    name, place = "--ca-file", str(ca_file)
    try:
        context = ssl.create_default_context(cafile=ca_file)  # None: the system's
        for name, place in added.items():  # noqa: B007  the name is for the error
            kind = "capath" if os.path.isdir(place) else "cafile"
            context.load_verify_locations(**{kind: place})
    except OSError as error:
        why = "it has no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise LocalProtocolError(f"{name}: {place} can't be used: {why}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context

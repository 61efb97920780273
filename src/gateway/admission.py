"""Who may call at all: by which name of the host, from which web page."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from ..protocols.errors import BadRequest, brief
from ..protocols.refusing import refuse
from ..protocols.toolkit.http import Headers, Request, get_header
from ..server.cors import Cors
from .config import Config, host_and_port, is_loopback

__all__ = ["Hosts", "Origins"]


class Hosts:
    """The names by which a gateway on a loopback address may be called: else any page in a browser
    could read its answers, as the name of the page's own host may suddenly lead here ("DNS
    rebinding")."""

    def __init__(self, config: Config) -> None:
        host, _ = host_and_port(config.listen)
        own = {"localhost", "127.0.0.1", "::1", host.lower(), *map(str.lower, config.hosts)}
        self._names = own if is_loopback(host) else None

    def check(self, request: Request) -> None:
        """Raises BadRequest (421) for a request to another host."""
        if self._names is None:
            return
        host = get_header(request.headers, b"host") or ""
        if _name_of(host) not in self._names:
            what = f"this gateway answers to its own address, not to {brief(host)!r}"
            raise refuse(BadRequest, 421, f"{what} (hosts = [...] adds a name)")


def _name_of(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
    except ValueError:  # brackets that are not closed
        return ""
    return parts.hostname or "" if parts.netloc == host else ""


class Origins:
    """The web pages that may use the gateway."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._rules = {origin: Cors(origin) for origin in origins}

    def headers(self, request: Request) -> Headers:
        """The headers of each response."""
        rules = self._of(request)
        if rules is None:
            return [(b"vary", b"origin")] if self._rules else []
        return rules.headers(request.headers)

    def preflight(self, request: Request) -> Headers | None:
        """The headers of the response to a preflight; None: it is none, or not allowed."""
        rules = self._of(request)
        return None if rules is None else rules.preflight(request)

    def _of(self, request: Request) -> Cors | None:
        return self._rules.get(get_header(request.headers, b"origin") or "")

"""Where the embedded server is: its addresses as clients know them, and whom it answers.

A server on a loopback address answers only requests that call it by that address, or localhost.
Otherwise any page in a browser could read its answers: the name of the page's own host may suddenly
lead to this machine ("DNS rebinding"), and then the browser takes the two for one site.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..protocols.errors import BadRequest, LocalProtocolError, brief
from ..protocols.refusing import refuse
from ..protocols.toolkit.http import Origin, check_url

__all__ = ["Site"]

_DELIMITERS = frozenset("/?#")
"""What ends the host in a URL: a header that has one of them says more than a host."""


class Site:
    """The addresses of one server.

    `origin`: where this machine reaches it. `url`: the base URL for clients.
    """

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int,
        *,
        bound: Sequence[str],
        path: str,
        public_url: str | None,
    ) -> None:
        """`host` as it was given, `bound`: the IP addresses that this was found to be. `path`: that
        of the provider's base URL. `public_url`: how clients reach the server, if not there."""
        addresses = [ip_address(address) for address in bound]
        if addresses[0].is_unspecified:  # all of the machine's: one that leads there
            host = "127.0.0.1" if addresses[0].version == 4 else "::1"
        self.origin = f"{scheme}://{Origin(scheme, host, port).authority}"
        self.url = f"{(public_url or self.origin).removesuffix(path)}{path}"
        self._path = path
        self._is_public = public_url is not None
        self._hosts: set[str] | None = None  # any
        if all(address.is_loopback for address in addresses):
            public = urlsplit(self.url).hostname or ""
            self._hosts = {"localhost", "127.0.0.1", "::1", host.lower(), *bound, public}

    def url_of(self, target: str, host: str | None) -> str:
        """The URL that is asked for by a request line's `target` and the header `Host` (RFC 9112
        section 3.3). Raises BadRequest (400, or 421 if the host is another's)."""
        host = host or urlsplit(self.origin).netloc
        if not _DELIMITERS.isdisjoint(host):
            raise refuse(BadRequest, 400, f"the request's URL: {brief(host)!r} is not a host")
        if "://" not in target.partition("?")[0]:  # else it is in the form for proxies
            scheme = urlsplit(self.origin).scheme
            target = f"{scheme}://{host}/{target.removeprefix('/')}"
        try:
            url = check_url(target, "the request's URL")
        except LocalProtocolError as error:
            raise refuse(BadRequest, 400, str(error)) from None
        name = urlsplit(url).hostname or ""
        if self._hosts is not None and name not in self._hosts:
            raise refuse(
                BadRequest,
                421,  # Misdirected Request, RFC 9110 section 15.5.20
                f"this server answers to localhost and its own address, not to {brief(name)!r} "
                "(public_url=, or --public-url, adds a name)",
            )
        return url

    def base_url_for(self, url: str) -> str:
        """The base URL for whoever asked for `url`: what reached the server once will do so
        again."""
        if self._is_public:
            return self.url
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}{self._path}"

"""Lets the web pages of one origin use the server (https://fetch.spec.whatwg.org/#http-cors-protocol).

A browser asks first ("preflight") whether a page may send what it wants to, and shows the page only
answers that name its origin.
"""

from urllib.parse import urlsplit

from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.http import Headers, Request, check_url, get_header

__all__ = ["Cors"]


class Cors:
    """The rules for pages of `origin`, such as `https://app.example`.

    Raises LocalProtocolError for anything else, `*` and a path included.
    """

    def __init__(self, origin: str) -> None:
        parts = urlsplit(check_url(origin, "cors"))
        if origin != f"{parts.scheme}://{parts.netloc}":
            raise LocalProtocolError(
                f"cors {origin!r}: give an origin, as in https://app.example, without a path"
            )
        self._origin = origin

    def headers(self, asked: Headers) -> Headers:
        """The headers of each response; `asked` are those of the request."""
        vary = (b"vary", b"origin")
        if get_header(asked, b"origin") != self._origin:
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", self._origin.encode()),
            (b"access-control-expose-headers", b"*"),
        ]

    def preflight(self, request: Request) -> Headers | None:
        """The further headers of the response to a preflight; None: `request` is none of ours."""
        method = get_header(request.headers, b"access-control-request-method")
        if (
            request.method != "OPTIONS"
            or method is None
            or get_header(request.headers, b"origin") != self._origin
        ):
            return None
        # The SDKs send dozens of headers (x-stainless-...); none of them is dangerous here.
        wanted = get_header(request.headers, b"access-control-request-headers")
        allowed = [] if wanted is None else [(b"access-control-allow-headers", wanted.encode())]
        return [
            (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
            *allowed,
            (b"access-control-max-age", b"600"),
        ]

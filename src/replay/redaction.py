"""Keeps secrets out of cassettes: lists of what may stand there, and a search for the rest.

Headers are kept if they are on a list, so one that nobody thought of is left out. The secrets that
a request carried are looked for in all that is recorded, in any spelling, also across pieces. In a
response each of their bytes becomes `x`, so that lengths and cuts stay as they were. At last,
before a file is written, `check` looks for the shapes of known keys.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from ..protocols.errors import LocalProtocolError, RemoteProtocolError
from ..protocols.toolkit.coding import content_decoder
from ..protocols.toolkit.http import Headers, Request, names_secret
from ..protocols.toolkit.json import is_list, is_object
from ..protocols.toolkit.redaction import places
from .cassette import Body, Cassette, Piece, Recording, body_of, encode
from .pointers import changed

__all__ = ["LEFT_OUT", "Redactor", "SecretFound", "check", "kept_headers"]

LEFT_OUT = "[left out]"

_REQUEST = frozenset(
    (
        *(b"accept", b"content-type", b"user-agent", b"anthropic-version", b"anthropic-beta"),
        *(b"openai-beta",),
    )
)
_RESPONSE = frozenset(
    (
        *(b"content-type", b"content-encoding", b"transfer-encoding", b"content-length", b"date"),
        *(b"server", b"retry-after", b"retry-after-ms", b"x-ms-retry-after-ms", b"x-request-id"),
        *(b"request-id", b"x-amzn-requestid", b"x-amzn-errortype", b"x-debug-trace-id"),
        *(b"mistral-correlation-id", b"x-should-retry", b"openai-version"),
        *(b"openai-processing-ms",),
    )
)
# What every client of HTTP says, which is no secret, and says nothing of the question.
_PLAIN = frozenset(
    (
        *(b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding"),
        *(b"accept-language", b"keep-alive", b"te", b"expect", b"sec-fetch-mode", b"x-amz-date"),
        *(b"amz-sdk-invocation-id", b"amz-sdk-request", b"traceparent", b"origin", b"referer"),
        *(b"cache-control", b"pragma", b"dnt", b"priority", b"x-amz-user-agent"),
    )
)
_STAINLESS = re.compile(rb"x-stainless-(?:lang|os|arch|runtime|.*version|retry-count|async)\Z")
_SHORTEST = 8
"""Characters of the shortest secret that is looked for: a shorter one would be found by chance."""
_WORDS = re.compile(r"[a-z ]*|[A-Z]?[a-z]+|[\d.:]*\Z")


class SecretFound(LocalProtocolError):
    """A recording has what looks like a key, so it is not written. The message does not show it."""


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """Those of a response that may be kept."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in _RESPONSE or b"ratelimit" in name.replace(b"-", b"")
    )


class Redactor:
    """Takes secrets out of one request and its response.

    `redact`: what else of the request's body is to be left out: JSON pointers, in which `*` is any
    index (`/messages/*/name`), and patterns (`re:...`) for texts.
    """

    def __init__(self, request: Request, redact: Sequence[str] = ()) -> None:
        self._request = request
        self._redact = redact
        self._secrets = _secrets(request)

    def url(self) -> str:
        """The URL of the request."""
        origin = "/".join(self._request.url.split("/")[:3])
        path, mark, query = self._request.url[len(origin) :].partition("?")
        fields = [_field(field) for field in query.split("&")]
        return origin + self._without(f"{path}{mark}{'&'.join(fields)}")

    def headers(self) -> dict[str, str]:
        """The headers of the request: of those that are not listed only the names."""
        return {
            name.decode("latin-1"): self._without(value.decode("latin-1"))
            if name in _REQUEST or _STAINLESS.match(name)
            else LEFT_OUT
            for name, value in self._request.headers
        }

    def body(self) -> Body:
        """The body of the request."""
        data = self._request.body
        for secret in self._secrets:
            data = data.replace(secret.encode("latin-1", "replace"), LEFT_OUT.encode())
        body = body_of(data)
        for rule in self._redact:
            kind, _, pattern = rule.partition(":")
            if kind == "re":
                body = _replaced(body, re.compile(pattern))
            else:
                body = changed(body, rule, LEFT_OUT)
        return body

    def text(self, text: str) -> str:
        """A text of the response, such as the value of a header."""
        for start, stop in places(text, self._secrets):
            text = text[:start] + "x" * (stop - start) + text[stop:]
        return text

    def pieces(self, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
        """The pieces of the response's body: also a secret that is cut is found."""
        body = b"".join(piece.data for piece in pieces)
        clean = self.text(body.decode("latin-1")).encode("latin-1")
        if clean == body:
            return tuple(pieces)
        found: list[Piece] = []
        start = 0
        for piece in pieces:
            end = start + len(piece.data)
            found.append(Piece(piece.after, clean[start:end]))
            start = end
        return tuple(found)

    def finds(self, data: bytes) -> bool:
        """Whether a secret is in `data`."""
        return bool(places(data.decode("latin-1"), self._secrets))

    def _without(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, LEFT_OUT)
        return text


def _secrets(request: Request) -> list[str]:
    """What the request carried that must not be shown, longest first: of headers that are not known
    to be harmless anything that is no plain word, and the parts of credentials."""
    unknown = {
        name
        for name, value in request.headers
        if name not in _REQUEST | _PLAIN
        and not _STAINLESS.match(name)
        and not _WORDS.fullmatch(value.decode("latin-1"))
    }
    bare = request.url.partition("?")[0]
    found = set(msgspec.structs.replace(request, url=bare, given=request.given | unknown).secrets())
    for field in urlsplit(request.url).query.split("&"):
        name, _, value = field.partition("=")
        if names_secret(name.lower().encode()):
            found.update((value, unquote(value)))
    return sorted((each for each in found if len(each) >= _SHORTEST), key=len, reverse=True)


def _field(field: str) -> str:
    """A field of a query, without its value if that is secret."""
    name, equals, value = field.partition("=")
    secret = value and names_secret(name.lower().encode("utf-8", "replace"))
    return f"{name}={LEFT_OUT}" if secret else f"{name}{equals}{value}"


def _replaced(value: Any, pattern: "re.Pattern[str]") -> Any:
    """`value` without what `pattern` finds in its texts."""
    if isinstance(value, str):
        return pattern.sub(LEFT_OUT, value)
    if is_list(value):
        return [_replaced(item, pattern) for item in value]
    if is_object(value):
        return {key: _replaced(item, pattern) for key, item in value.items()}
    return value


# The shapes of keys

_SHAPES: dict[str, "re.Pattern[bytes]"] = {
    "a key of Anthropic (sk-ant-)": re.compile(rb"\bsk-ant-[\w-]{16,}"),
    "a key (sk-)": re.compile(rb"\bsk-(?!ant-)[\w-]{20,}"),
    "a key of Google (AIza)": re.compile(rb"\bAIza[\w-]{35}"),
    "a key of AWS (AKIA, ASIA)": re.compile(rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a token of GitHub (gh._)": re.compile(rb"\bgh[pousr]_\w{30,}"),
    "a token of Slack (xox.-)": re.compile(rb"\bxox[abposr]-[\w-]{10,}"),
    "a token of Hugging Face (hf_)": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a key of Groq (gsk_)": re.compile(rb"\bgsk_[A-Za-z0-9]{30,}"),
    "a signed token (JWT)": re.compile(rb"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a private key (PEM)": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}


def check(cassette: Cassette, allow: Collection[str] = ()) -> None:
    """Raises SecretFound if there is anything with the shape of a key that is not in `allow`, also
    across pieces, and in a body that is compressed."""
    allowed = {secret.encode() for secret in allow}
    for number, line in enumerate(encode(cassette).split(b"\n"), 1):
        for kind in _shapes(line, allowed):
            raise SecretFound(f"line {number} has {kind}: it is not written (allow_secrets=...)")
    for number, recording in enumerate(cassette.recordings, 1):
        for what, data in _bodies(recording):
            for kind in _shapes(data, allowed):
                raise SecretFound(
                    f"{what} of request {number} has {kind}: it is not written (allow_secrets=...)"
                )


def _shapes(data: bytes, allowed: Collection[bytes]) -> Iterator[str]:
    for kind, shape in _SHAPES.items():
        if any(match[0] not in allowed for match in shape.finditer(data)):
            yield kind


def _bodies(recording: Recording) -> Iterator[tuple[str, bytes]]:
    body = recording.request.body
    if isinstance(body, bytes):
        yield "the body", body
    yield "the response", recording.body
    if (plain := decoded(recording)) is not None:
        yield "the response", plain


def decoded(recording: Recording) -> bytes | None:
    """The body of the response, if it was compressed, as far as that can be undone; else None."""
    if recording.response is None:
        return None
    headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in recording.response.headers]
    if not any(name == b"content-encoding" for name, _ in headers):
        return None
    plain: list[bytes] = []
    try:
        coding = content_decoder(headers)
        coding.feed(recording.body)
        while coding.more:
            plain.append(coding.take())
    except RemoteProtocolError:  # it is broken, or of a kind that nobody reads
        pass
    return b"".join(plain)

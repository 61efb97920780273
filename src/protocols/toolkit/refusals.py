"""Turns the error bodies of services, which have many shapes, into typed errors.

The shapes are those of quirk 44: `{error: {message, code, type}}`, `{error: "text"}`, `{message}`,
`{detail}` as text or list, `{code, error: "text"}`, Cloudflare's `{success: false, errors}`,
MiniMax's `base_resp`, a gateway's `{fault}`, and a page of HTML.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ContentFiltered,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
    brief,
)
from .http import Headers, content_type, get_header
from .json import count_in, decode_json, is_cut_json, is_list, is_object, is_whole_json

__all__ = [
    "STANDARD",
    "ErrorTable",
    "is_refusal",
    "looks_like_html",
    "refusal_beside",
    "refusal_of_document",
    "refusal_of_object",
    "refusal_of_response",
    "refusal_of_text",
    "request_id",
    "unexpected",
    "without_prefix",
    "words_of",
]

_json = msgspec.json.Decoder()

_STATUSES: dict[int, type[Refused]] = {
    401: AuthenticationFailed,
    402: RateLimited,
    403: AuthenticationFailed,
    407: AuthenticationFailed,
    408: Overloaded,
    429: RateLimited,
    498: Overloaded,
    499: Refused,
    502: Overloaded,
    503: Overloaded,
    504: Overloaded,
    529: Overloaded,
}

_FILTER = ("content_filter", "content_policy", "moderation", "data_inspection")
"""Parts of `code` and `type` values by which a content filter speaks."""

# Those of other errors, the telling ones first.
_WORDS: dict[str, type[Refused]] = {
    "rate_limit": RateLimited,
    "quota": RateLimited,
    "too_many_requests": RateLimited,
    "throttl": RateLimited,
    "overloaded": Overloaded,
    "unavailable": Overloaded,
    "api_key": AuthenticationFailed,
    "auth": AuthenticationFailed,
    "permission": AuthenticationFailed,
    "invalid_request": BadRequest,
    "bad_request": BadRequest,
    "not_found": BadRequest,
    "context_length": BadRequest,
    "tool_use_failed": BadRequest,
}
_LASTING = ("insufficient_quota", "exceeded_current_quota", "billing", "usage_limit_reached")
"""Parts of `code` and `type` values that mean a used-up budget."""
_USED_UP = re.compile(
    r"insufficient[ _](?:account[ _])?(?:balance|credit|fund)|payment[ _]required"
    r"|balance is insufficient"  # SiliconFlow, with 403 or 429
    r"|credit[ _]balance[ _](?:is )?too[ _]low"
    r"|used all available credits"  # xAI, with 429
    r"|reached (?:your|its) \w+ (?:usage|spending) limit"  # Ollama's cloud; xAI
    r"|limited to [\d,]+ api calls / month"  # Cohere's trial keys
)
"""The same in a message, or a code. Words of quotas are none: they may be those of a minute."""
_OF_A_DAY = re.compile(r"(?:tokens|requests|models|calls)[ -]per[ -]day")
"""Words of a limit that lasts too long to wait for, unless the service says how long to wait."""
_ENDED = (402, 412)
"""Statuses of an account without money, or suspended (Fireworks)."""
_WRONG_KEY = re.compile(r"(?:incorrect|invalid) api key", re.IGNORECASE)
"""How a message begins that is about the key, though its status is a plain 400 (xAI)."""


class ErrorTable(msgspec.Struct, frozen=True):
    """What the errors of a service mean, if that differs from others.

    `codes` (a whole `code` or `type`), `statuses` and `words` (parts of them, in lower case) are
    looked up before the common ones; after one of `lasting_codes` trying again can't help.
    `request_ids` are the headers that may have the id of a request, the likeliest first;
    `request_id` is its key in an error's JSON value; `code_header` is the one that has the code of
    an error, up to a colon. `retry_after` reads how long to wait from an error's JSON value, in the
    header's form. `read` finds code, type and message in an error's JSON value, if the service has
    keys of its own for them; None: the value is no such error. `lasting` tells of an error's JSON
    value whether trying again can't help, in addition to what all services say.
    """

    codes: dict[str, type[Refused]] = {}
    statuses: dict[int, type[Refused]] = {}
    words: dict[str, type[Refused]] = {}
    lasting_codes: frozenset[str] = frozenset()
    request_ids: tuple[bytes, ...] = (
        *(b"x-request-id", b"request-id", b"apim-request-id", b"x-ds-trace-id"),
        *(b"x-generation-id", b"inference-id", b"mistral-correlation-id", b"x-amzn-requestid"),
    )
    request_id: str = "request_id"
    code_header: bytes = b""
    retry_after: Callable[[Any], str | None] | None = None
    read: "Callable[[Any], tuple[str | None, str | None, str] | None] | None" = None
    lasting: Callable[[Any], bool] | None = None

    def said(self, value: Any) -> tuple[str | None, str | None, str]:
        """Code, type and message of an error's JSON value."""
        found = None if self.read is None else self.read(value)
        return _read(value) if found is None else found

    def code_in(self, headers: Headers) -> str | None:
        """The code of an error, if a header has it."""
        value = get_header(headers, self.code_header) or ""
        return value.partition(":")[0].strip() or None

    def kind(self, code: str | None, type_: str | None, status: int | None) -> type[Refused]:
        """The class of the error with this code, type and status."""
        for own in (code, type_):
            if own in self.codes:
                return self.codes[own]
        words = _words(code, type_)
        for word, kind in self.words.items():
            if word in words:
                return kind
        if any(word in words for word in _FILTER):  # before the status, a plain 400
            return ContentFiltered
        if status is None and code is not None and code.isdecimal():
            status = int(code[:9]) if 400 <= int(code[:9]) <= 599 else None
        if status is not None:
            if found := self.statuses.get(status) or _STATUSES.get(status):
                return found
            return BadRequest if 400 <= status < 500 else Refused
        return next((kind for word, kind in _WORDS.items() if word in words), Refused)


def _words(code: str | None, type_: str | None) -> str:
    """Where the words of a service are looked for."""
    return f"{code or ''} {type_ or ''}".lower()


STANDARD = ErrorTable()
"""What errors mean at most services."""

_CHALLENGE = (b"just a moment", b"cf-chl", b"challenge-platform", b"captcha", b"attention required")


_MARGIN = b"\xef\xbb\xbf \t\r\n"
"""What may stand before markup."""


def looks_like_html(body: bytes) -> bool:
    """Whether a body is a page of markup."""
    return body.lstrip(_MARGIN)[:1] == b"<"


def is_refusal(value: Any, table: ErrorTable = STANDARD) -> bool:
    """Whether a JSON value, received instead of an answer, is an error object."""
    if table.read is not None and table.read(value) is not None:
        return True
    return is_object(value) and (
        bool(value.get("error"))
        or _wrapped(value) is not None
        or (
            "choices" not in value
            and any(isinstance(value.get(key), str | list) for key in ("detail", "message"))
        )
    )


def refusal_of_object(
    value: Any,
    table: ErrorTable = STANDARD,
    *,
    status: int | None = None,
    data: bytes = b"",
    code: str | None = None,
) -> Refused:
    """The error that a JSON value reports. `status` is that of its response unless it was 2xx;
    `code` is one that came beside the value."""
    said_code, type_, message = table.said(value)
    code = code or said_code
    kind = table.kind(code, type_, status)
    if kind is BadRequest and _WRONG_KEY.match(message):
        kind = AuthenticationFailed
    said = (
        message or f"no reason given (status {status})" if status else message or "no reason given"
    )
    said = without_prefix(said)
    error = kind(f"{_PREFIX}{said[:2000]}", data=data, code=code, type=type_)
    words = _words(code, type_)
    error.lasting = (
        status in _ENDED
        or code in table.lasting_codes
        or any(word in words for word in _LASTING)
        or _USED_UP.search(f"{words} {message[:2000].lower()}") is not None
        or (table.lasting is not None and table.lasting(value))
    )
    if table.retry_after is None:
        error.retry_after = _told_wait(value, message)
    else:
        error.retry_after = table.retry_after(value)
    if error.retry_after is None and kind is RateLimited and not error.lasting:
        error.lasting = _OF_A_DAY.search(message[:2000].lower()) is not None
    if is_object(value) and isinstance(id := value.get(table.request_id), str):
        error.request_id = id
    return error


def without_prefix(message: str) -> str:
    """The words of a service, without what each hop on the way has put before them."""
    while message.startswith(_PREFIX):
        message = message.removeprefix(_PREFIX)
    return message


_PREFIX = "the service refused: "
_SAID_WAIT = re.compile(
    r"(?:retry|try again) (?:in|after) ((?:[0-9.]+ ?(?:h|ms|m(?!illi)|s) ?)+)", re.IGNORECASE
)
_MILLISECONDS = re.compile(r"([0-9]*\.?[0-9]+)(?:ms)?")


def _wait_header(headers: Headers) -> str | None:
    """How long to wait, by a header; a number of milliseconds has its unit. Azure's 0 of them says
    nothing, beside `retry-after: 1`, and nor does what is no number."""
    for name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
        told = _MILLISECONDS.fullmatch(get_header(headers, name) or "")
        if told is not None and float(told[1]):
            return f"{told[1]}ms"
    return get_header(headers, b"retry-after")


def _told_wait(value: Any, message: str) -> str | None:
    """How long to wait, by the body of an error: Google's `retryDelay` (google.rpc.RetryInfo), the
    time until which OpenRouter's limit holds, in milliseconds since 1970 (quirk 95), or what its
    message says."""
    if is_list(value):
        value = next(iter(value), None)
    error = value.get("error") if is_object(value) else None
    details = error.get("details") if is_object(error) else None
    for detail in details if is_list(details) else ():
        delay = detail.get("retryDelay") if is_object(detail) else None
        if isinstance(delay, str):
            return delay
    metadata = error.get("metadata") if is_object(error) else None
    headers = metadata.get("headers") if is_object(metadata) else None
    reset = count_in(headers, "X-RateLimit-Reset")
    if reset is not None and 10**12 <= reset < 10**14:
        from email.utils import formatdate  # imports much, and is rarely needed

        return formatdate(reset / 1000, usegmt=True)
    found = _SAID_WAIT.search(message[:2000])
    return None if found is None else found[1].strip()


def refusal_of_text(
    data: bytes, table: ErrorTable = STANDARD, *, code: str | None = None
) -> Refused:
    """The error that `data` reports, as a JSON value or as plain text."""
    try:
        value = decode_json(_json, data)
    except Malformed:
        value = data.decode(errors="replace")
    return refusal_of_object(value, table, data=data, code=code)


def refusal_beside(
    unknown: Iterable[tuple[str, bytes]], table: ErrorTable = STANDARD
) -> Refused | None:
    """The error that an object reports beside its content, by a key `error` among those that the
    format does not know. None: it reports none, or an empty one."""
    for key, raw in unknown:
        if key == "error" and (said := _json_value(raw)):
            return refusal_of_object({"error": said}, table, data=raw)
    return None


def refusal_of_response(
    status: int, headers: Headers, body: bytes, table: ErrorTable = STANDARD
) -> Refused:
    """The error for a response whose status is not 2xx. `body` may be truncated."""
    error: Refused
    if 300 <= status < 400:
        location = get_header(headers, b"location") or ""
        where = brief(location.partition("?")[0])  # a query may hold a key
        to = f" to {where}" if where else ""
        redirected = Redirected(
            f"the service redirects{to} (status {status}), which is not followed"
        )
        redirected.location = location
        error = redirected
    elif _is_challenge(headers, body):
        error = Challenged(
            f"a bot check in front of the service answered (status {status})", data=body
        )
    else:
        code = table.code_in(headers)
        try:
            value = _decode_error(body)
            error = refusal_of_object(value, table, status=status, data=body, code=code)
        except Malformed:
            who = "the proxy" if status == 407 else "the service"
            words = f"{who} answered with status {status}: {words_of(body) or 'no body'}"
            error = table.kind(code, None, status)(words, data=body, code=code)
    error.retry_after = _wait_header(headers) or error.retry_after
    advice = (get_header(headers, b"x-should-retry") or "").lower()
    error.should_retry = {"true": True, "false": False}.get(advice)
    error.request_id = request_id(headers, table) or error.request_id
    return error


def words_of(body: bytes) -> str:
    """What the body of an error says, in a line: its message, if it is JSON. Empty: nothing."""
    try:
        return STANDARD.said(_decode_error(body))[2]
    except Malformed:
        page = looks_like_html(body) and not body.lstrip(_MARGIN).startswith(b"<?xml")
        return "an HTML page" if page else _one_line(body)


def request_id(headers: Headers, table: ErrorTable = STANDARD) -> str | None:
    """The service's id of the request, if a header has it."""
    found = (get_header(headers, name) for name in table.request_ids)
    return next(filter(None, found), None)


def unexpected(headers: Headers, body: bytes) -> RemoteProtocolError:
    """The error for a 2xx response whose body is not an answer. `body` may be truncated."""
    if _is_challenge(headers, body):
        return Challenged("a bot check in front of the service answered", data=body)
    if looks_like_html(body):
        return UnexpectedContent("received an HTML page instead of an answer", data=body)
    kind = content_type(headers) or "no content type"
    return UnexpectedContent(
        f"received content of type {brief(kind)!r} instead of an answer", data=body
    )


def refusal_of_document(body: bytes, table: ErrorTable = STANDARD) -> RemoteProtocolError:
    """The error for a JSON document that was received instead of a stream."""
    try:
        value = _json_value(body)
    except Malformed as error:
        return error
    if is_refusal(value, table):
        return refusal_of_object(value, table, data=body)
    return UnexpectedContent("received a JSON document instead of a stream", data=body)


def incomplete(body: bytes) -> bool:
    """Whether `body` is the beginning of a JSON document."""
    return not is_whole_json(body) and is_cut_json(body)


def truncated_document(body: bytes) -> Truncated:
    """The error for a truncated JSON document."""
    return Truncated("the body ended inside its JSON document", data=body)


def _json_value(body: bytes) -> Any:
    return decode_json(_json, body)


def _decode_error(body: bytes) -> Any:
    """An error body's JSON value: the body itself, or the data of a server-sent event in it."""
    try:
        return _json_value(body)
    except Malformed:
        for line in body.splitlines():
            name, _, value = line.partition(b":")
            if name in (b"data", b"error") and value.strip()[:1] == b"{":
                return _json_value(value)
        raise


_MESSAGES = (
    *("message", "detail", "error_description", "error", "msg", "reason", "data", "status_msg"),
    *("faultstring", "error_msg", "errorMessage", "Message", "OriginalMessage", "description"),
    *("messages", "errors", "title"),
)
_SAID = ("msg", "message", "detail", "title")
_CODES = ("code", "status_code", "error_code", "errorCode", "Code", "errorType")
# How deep a reason is searched for: a hostile body may be nested deeper than Python's stack.
_DEPTH = 8


def _read(value: Any, depth: int = _DEPTH) -> tuple[str | None, str | None, str]:
    """Code, type and message of an error object, whatever its shape."""
    if is_list(value):  # Gemini wraps its error in a list
        value = next(iter(value), None)
    if not is_object(value):
        return None, None, _text(value)
    inner = value.get("error") or _wrapped(value)
    if is_object(inner) and depth:
        code, type_, message = _read(inner, depth - 1)
        return code or _word(value.get("code")), type_, message
    codes = (_word(value.get(key)) for key in _CODES)
    code, type_ = next(filter(None, codes), None), _word(value.get("type"))
    for key in _MESSAGES:
        if message := _text(value.get(key)):
            return code, type_, ": ".join(filter(None, (message, _relayed(value, depth))))
    if not depth:
        return code, type_, ""
    # A gateway may put the service's whole error under a key of its own (quirk 89).
    inside = (each for key, each in value.items() if is_object(each) and key not in _MESSAGES)
    return code, type_, next(filter(None, (_read(each, depth - 1)[2] for each in inside)), "")


def _relayed(value: dict[str, Any], depth: int) -> str:
    """What OpenRouter relays of a service's own error, as text or JSON. Its message only says that
    there was one (quirk 89)."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if is_object(metadata) and depth else None
    try:
        told = _json_value(raw.encode()) if isinstance(raw, str) else raw
    except (Malformed, UnicodeEncodeError):
        return _text(raw)
    return _read(told, depth - 1)[2]


def _wrapped(value: dict[str, Any]) -> Any:
    """What reports a failure in place of an `error`; None: nothing does."""
    errors, base, fault = value.get("errors"), value.get("base_resp"), value.get("fault")
    if value.get("success") is False and is_list(errors) and errors:  # Cloudflare
        return errors[0]
    if is_object(base) and base.get("status_code"):  # MiniMax: 0 is a success
        return base
    return fault if is_object(fault) else None  # an API gateway in front of Fireworks


def _text(value: Any, depth: int = _DEPTH) -> str:
    if isinstance(value, str):
        return value
    if is_list(value) and depth:
        return "; ".join(filter(None, (_text(item, depth - 1) for item in value)))
    if is_object(value) and depth:
        return _text(next(filter(None, map(value.get, _SAID)), None), depth - 1)
    return ""


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _is_challenge(headers: Headers, body: bytes) -> bool:
    if get_header(headers, b"cf-mitigated") == "challenge":
        return True
    return looks_like_html(body) and any(mark in body.lower() for mark in _CHALLENGE)


def _one_line(body: bytes) -> str:
    return " ".join(body[:400].decode(errors="replace").split())

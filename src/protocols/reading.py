"""Reading requests, as server halves do: the content-encoding, the JSON, and what a relay has to
know of them."""

from typing import Any, TypeVar

import msgspec

from .errors import BadRequest, Malformed, UnexpectedContent
from .limits import Limits
from .refusing import refuse
from .toolkit.coding import content_decoder
from .toolkit.http import Request, content_type, get_header
from .toolkit.json import decode_json, is_list, is_object

__all__ = ["Asked", "Asking", "decode_asking", "decoded", "read_json", "tokens_in"]

_T = TypeVar("_T")


class Asked(msgspec.Struct, frozen=True):
    """What a relay has to know of a request to the main endpoint. `alike`: whether the client half
    of the format asks in this way, too, so that the answer can be passed on as it comes. `goes_on`:
    whether it needs what the service that it asked before has kept. `path`, with its query: it is
    not a chat, but asks the service for something that it has kept."""

    model: str
    stream: bool
    alike: bool = True
    goes_on: bool = False
    path: str = ""


class Asking(msgspec.Struct, frozen=True):
    """How most formats say it."""

    model: str = ""
    stream: bool | None = None


decode_asking = msgspec.json.Decoder(Asking)


def decoded(request: Request, limit: int) -> Request:
    """`request` without a content-encoding. Raises BadRequest (400, 413, 415)."""
    if not request.body or get_header(request.headers, b"content-encoding") is None:
        return request
    try:
        decoder = content_decoder(request.headers)
        decoder.feed(request.body)
        body = bytearray()
        while decoder.more:
            body += decoder.take()
            if len(body) > limit:
                raise refuse(BadRequest, 413, "the request body is too large once it is decoded")
    except UnexpectedContent:
        refusal = refuse(BadRequest, 415, "content-encoding: use gzip, deflate, or none")
        refusal.headers = [(b"accept-encoding", b"gzip, deflate")]  # RFC 9110 section 15.5.16
        raise refusal from None
    except Malformed as error:
        raise refuse(BadRequest, 400, f"the request: {error.message}") from None
    if not decoder.whole:
        raise refuse(BadRequest, 400, "the request: the body ends inside its content-encoding")
    headers = [pair for pair in request.headers if pair[0].lower() != b"content-encoding"]
    return Request(request.method, request.url, headers, bytes(body))


def read_json(
    request: Request, decoder: "msgspec.json.Decoder[_T]", *, labelled: bool = True
) -> _T:
    """The JSON body of a request. Raises Refused with status 400, 413 or 415. `labelled`: whether
    its content type must say that it is JSON."""
    kind = content_type(request.headers)
    if labelled and "json" not in kind:
        raise refuse(BadRequest, 415, f"content-type is {kind or 'missing'}, not application/json")
    body = request.body
    if len(body) > Limits().document:
        raise refuse(BadRequest, 413, "the request body is too large")
    try:
        return decoder.decode(body)
    except RecursionError:
        raise refuse(BadRequest, 400, "the request body is nested too deeply") from None
    except msgspec.ValidationError as error:
        words = f"the request body is JSON of an unexpected shape ({error})"
        raise refuse(BadRequest, 400, words) from None
    except ValueError:
        pass
    if sum(map(body.count, _MARKS)) > _REPAIRED:
        raise refuse(BadRequest, 400, "the request body is not JSON")
    try:
        return decode_json(decoder, body)
    except Malformed as error:
        raise refuse(BadRequest, 400, f"the request body is {error.message}") from None


_MARKS = (b'"', b"[", b"{")
_REPAIRED = 100_000
"""How many of these marks a request may have that is not quite JSON: to read one takes time for
each of them, and whoever sent it may be a stranger."""


def tokens_in(value: Any) -> int:
    """About how many tokens the texts in a JSON value have: a quarter of their characters."""
    characters, left = 0, [value]
    while left:  # no recursion, for a stranger may have nested it as deeply as is accepted
        value = left.pop()
        if isinstance(value, str):
            characters += len(value)
        elif is_list(value):
            left += value
        elif is_object(value):
            left += value.values()
    return max(characters // 4, 1)

r"""For tests of what you build on this: chats, answers and bytes drawn by hypothesis; both sides of
a provider joined in memory (`pair`); the embedded server (`serve`) with its cuttings and faults.

    from hypothesis import given, strategies as st
    from tokenwire import PROVIDERS, Text, as_chat
    from tokenwire.testing import answers, cuts, record

    openai, chat = PROVIDERS["openai"], as_chat("hi", model="m")

    @given(st.data())
    def test_my_parser(data):
        answer = data.draw(answers(openai, chat))
        body = record(openai, chat, answer)[-1].body  # what the service would send
        parser = MyParser()
        for piece in data.draw(cuts(body)):
            parser.feed(piece)
        assert parser.text == "".join(e.text for e in answer if isinstance(e, Text))

And with `data.draw(mutations(body))` in the place of `body`: whatever comes, it raises nothing but
what it documents. A client of yours can be pointed at a server that cuts it short:

    with serve("openai", fault=CloseAfter(200)) as server:
        my_client(base_url=server.url)

Needs the extra `testing` (hypothesis, and anyio for the server). All strategies go by what a
provider says of itself, so they fit a provider of yours too.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple, TypeVar

import msgspec
from hypothesis import strategies as st

from .protocols.chat import Chat, ImagePart, Message, Part, Role, TextPart, Tool, ToolCall
from .protocols.errors import LocalProtocolError
from .protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from .protocols.exchange import Exchange
from .protocols.provider import Provider
from .protocols.service import Responder, Service, pair
from .protocols.toolkit.http import Headers, Request
from .server.embedded import Server, serve
from .server.faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Fault,
    Faults,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)

__all__ = [
    "BreakEvent",
    "CloseAfter",
    "CloseIdle",
    "Cutting",
    "DropTerminator",
    "EndAfter",
    "ErrorObject",
    "Fault",
    "Faults",
    "Gzip",
    "HtmlPage",
    "KeepAlives",
    "Linger",
    "Recorded",
    "RefuseWith",
    "ResetAfter",
    "Server",
    "StallAfter",
    "Unframed",
    "answers",
    "chats",
    "cut_at",
    "cuts",
    "mutations",
    "pair",
    "record",
    "serve",
]

_T = TypeVar("_T")
_Text = TypeVar("_Text", bytes, str)


# What was sent


class Recorded(NamedTuple):
    """One request of an exchange, and the response to it."""

    request: Request
    chat: Chat | None
    """What the service understood of the request; None if it answered that by itself (a token)."""
    status: int
    headers: Headers
    pieces: list[bytes]
    """The body: the bytes of each event of the answer, and those behind the last one."""

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces)


def record(provider: Provider, chat: Chat, answer: Iterable[Event]) -> list[Recorded]:
    """What goes over the network when `provider` is asked `chat` and answers with `answer`.

    The random strings of its requests are the same each time. Raises LocalProtocolError for what
    the provider can't be asked or can't say, and what an exchange raises.
    """
    answer = list(answer)
    exchange, service = _ask(provider, chat), Service(provider)
    recorded: list[Recorded] = []
    while (request := exchange.next_request()) is not None:
        responder = service.responder()
        received = responder.receive_request(request)
        pieces = [] if received is None else [responder.send(event) for event in answer]
        pieces.append(responder.end())
        recorded.append(Recorded(request, received, *responder.head(), pieces))
        _respond(exchange, responder, recorded[-1].body)
    return recorded


def _ask(provider: Provider, chat: Chat) -> Exchange:
    return provider.exchange(chat, random=Random(0))  # noqa: S311, the same requests each time


def _respond(exchange: Exchange, responder: Responder, body: bytes) -> None:
    exchange.receive_response(*responder.head())
    exchange.receive_data(body)
    exchange.receive_eof(framed=True)


# Pieces


def cut_at(data: _Text, places: Iterable[int]) -> list[_Text]:
    """`data` cut at these places; a place twice, the start or the end gives an empty piece."""
    bounds = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def cuts(data: _Text, max_cuts: int = 8) -> st.SearchStrategy[list[_Text]]:
    """`data` in up to `max_cuts` + 1 pieces, as a network could deliver it; some may be empty."""
    places = st.lists(st.integers(0, len(data)), max_size=max_cuts)
    return places.map(lambda chosen: cut_at(data, chosen))


# Faulty bytes

_WORDS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b",", b'"', b"\\", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xe2\x82", b"\xc2\x85", b"\xe2\x80\xa8", b'\\ud83d"', b"{", b"}", b"["),
    *(b"data", b"data:", b"data: ", b"event: ", b"id: ", b"retry: ", b"error: ", b"<html>"),
    *(b"null", b"true", b"0", b"-1", b"1e999", b'""', b"[]", b"{}", b"[{}]", b"[null]"),
    *(b"1" * 5000, b"[" * 3000, b'{"a":' * 3000),
]
_UNITS = [
    *(b": keepalive\n\n", b"data\n\n", b"data:\n\n", b"data: [DONE]\n\n", b"data: hello\n\n"),
    *(b"event: error\n", b"event: done\n", b"id: \0\n", b"retry: 9\n", b"hello\n", b"[DONE]\n"),
    *(b"data: {}\n\n", b"data: []\n\n", b"data: null\n\n", b'data: {"error": "no"}\n\n', b"{}\n"),
    *(b'error: {"message": "no"}\n', b'{"error": {"code": 429}}\n', b"{\n", b"}\n", b"[1]\n"),
    b'data: {"choices": [{"index": 7, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n',
    *(b'data: {"choices": []}\n\n', b'data: {"event": "stream-end"}\n\n', b'{"code": 500}\n'),
    b'{"data": {"message": "x"}}\n',
]
# What a mutation takes hold of: a line, a server-sent event, or a value of JSON.
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_EVENT = re.compile(rb".+?(?:\n\n|\Z)", re.DOTALL)
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.]*|true|false|null|\{\}|\[\]')


@st.composite
def mutations(draw: st.DrawFn, data: bytes, max_changes: int = 3) -> bytes:
    """`data` with up to `max_changes` changes: a stretch of bytes, a line, a server-sent event or a
    JSON value is flipped, left out, doubled, moved, or has something put before it or in its place.
    """
    for _ in range(draw(st.integers(1, max_changes))):
        data = _changed(draw, data)
    return data


def _changed(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = draw(_stretches(data))
    before, stretch, behind = data[:start], data[start:end], data[end:]
    match draw(st.sampled_from(["flip", "leave", "double", "move", "insert", "replace"])):
        case "flip":
            if not stretch:
                return data
            place = draw(st.integers(0, len(stretch) - 1))
            flipped = stretch[place] ^ draw(st.integers(1, 255))
            return before + stretch[:place] + bytes((flipped,)) + stretch[place + 1 :] + behind
        case "leave":
            return before + behind
        case "double":
            return before + stretch * 2 + behind
        case "move":
            rest = before + behind
            place = draw(st.integers(0, len(rest)))
            return rest[:place] + stretch + rest[place:]
        case "insert":
            return before + draw(_strange_bytes) + stretch + behind
        case _:
            return before + draw(_strange_bytes) + behind


_strange_bytes = st.sampled_from(_WORDS) | st.sampled_from(_UNITS) | st.binary(max_size=9)


def _stretches(data: bytes) -> st.SearchStrategy[tuple[int, int]]:
    places = st.integers(0, len(data))
    found: list[st.SearchStrategy[tuple[int, int]]] = [
        st.tuples(places, places).map(lambda pair: (min(pair), max(pair))),
        places.map(lambda place: (place, min(place + 1, len(data)))),
    ]
    for pattern in (_LINE, _EVENT, _VALUE):
        if spans := [match.span() for match in pattern.finditer(data)]:
            found.append(st.sampled_from(spans))
    return st.one_of(found)


# Values

_HOSTILE = [
    *(
        "\n",
        "\r",
        "\r\n",
        "\0",
        "\t",
        " ",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u20ac",
        "\U0001f600",
    ),
    *("data: [DONE]", "\n\ndata: ", "event: error", '{"error": 1}', "<html>", '"', "\\", "[DONE]"),
]


def _texts(max_size: int = 8) -> st.SearchStrategy[str]:
    """Text that is not empty, hostile to those who split lines or JSON carelessly."""
    plain = st.text(min_size=1, max_size=max_size)
    return plain | st.lists(st.sampled_from(_HOSTILE) | plain, min_size=1, max_size=3).map("".join)


_texts_ = _texts()
_names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
_ints = st.integers(-(2**63), 2**63 - 1)
_json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _ints | st.floats(allow_nan=False, allow_infinity=False) | _texts_,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)
_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(max_size=4), _json_values, max_size=3
)


# Chats


@st.composite
def chats(draw: st.DrawFn, /, provider: Provider, **fields: Any) -> Chat:
    """A chat that `provider` can be asked, by its `capabilities`; `fields` of it are given.

    Roles and several messages come for a service that takes one prompt, too: they are flattened.
    """
    can = provider.capabilities
    drawn: dict[str, Any] = {
        "messages": tuple(draw(st.lists(_messages(can), min_size=1, max_size=4))),
        "model": draw(_models(provider)),
    }
    if "tools" in can:
        tools = tuple(draw(st.lists(_tools, max_size=2)))
        choices = [None, "auto", "none", "required", *(tool.name for tool in tools)]
        drawn |= {"tools": tools, "tool_choice": draw(st.sampled_from(choices))}
    if "options" in can:
        drawn |= draw(_options)
    return Chat(**drawn | fields)


def _models(provider: Provider) -> st.SearchStrategy[str]:
    known = [*provider.models, *provider.aliases, *([""] if provider.default_model else [])]
    others = _names.map(lambda name: f"{name}/\u00e9:1")
    return st.one_of(
        *([st.sampled_from(known)] if known else []), *([others] if provider.any_model else [])
    )


@st.composite
def _messages(draw: st.DrawFn, can: frozenset[str]) -> Message:
    roles: list[Role] = ["system", "developer", "user", "assistant"]
    if "tools" in can:
        roles.append("tool")
    role = draw(st.sampled_from(roles))
    parts: st.SearchStrategy[Part] = st.builds(TextPart, st.just("") | _texts_)
    if "vision" in can:
        parts |= st.sampled_from(
            [ImagePart("https://x.test/1.png"), ImagePart.of_bytes(b"\x89PNG", "image/png")]
        )
    content = st.just("") | _texts_ | st.lists(parts, min_size=1, max_size=3).map(tuple)
    more: dict[str, Any] = {}
    if "tools" in can and role == "assistant":
        more["tool_calls"] = tuple(draw(st.lists(_tool_calls, max_size=2)))
    if role == "tool":
        more["tool_call_id"] = draw(_texts_)
    if "history" in can:
        more["name"] = draw(st.just("") | _texts_)
    return Message(role, draw(content), **more)


_tool_calls = st.builds(
    ToolCall, _texts_, _texts_, _objects.map(lambda value: _json_text(value)) | _texts_
)
_tools = st.builds(Tool, _names.map(lambda name: f"f_{name}"), st.just("") | _texts_, _objects)
_options: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_tokens": st.integers(1, 10_000_000),
        "stop": st.lists(_texts_, max_size=3).map(tuple),
        "n": st.integers(1, 3),
        "seed": _ints,
        "stream": st.booleans(),
        "extra": st.dictionaries(_names.map(lambda name: f"x_{name}"), _json_values, max_size=2),
    },
)


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Answers


def answers(
    provider: Provider, chat: Chat, *, unrecognized: st.SearchStrategy[bytes] | None = None
) -> st.SearchStrategy[list[Event]]:
    """An answer of `provider` to `chat`: events in a legal order, of the kinds that it can say.

    A `Start` is first, if there is one, and `End` last; each choice ends with a `ToolCallEnd` of
    each of its calls and its `Finish`, if it has one; a source is cited once, a picture comes once.
    `unrecognized`: lines or events that the format leaves to others (none come otherwise).

    Raises LocalProtocolError if `provider` can't be asked `chat`.
    """
    return _answers(provider, _sayable(provider, chat), range(chat.n or 1), unrecognized)


_SAMPLES: list[Event] = [
    *(Start("i", "m"), Text("t"), Reasoning("t"), Refusal("t"), ToolCallStart(0, "i", "n")),
    *(Image(b"d", "image/png"), Citation("u"), LogProbs([]), Usage(1, 2), Finish("stop", "stop")),
    Unrecognized(b"{}"),
]


def _sayable(provider: Provider, chat: Chat) -> frozenset[type[Event]]:
    """The kinds of events that `provider` can say in answer to `chat`."""
    responder = _responder(provider, chat)
    kinds: set[type[Event]] = set()
    for event in _SAMPLES:
        try:
            responder.send(event)
        except LocalProtocolError:
            continue
        kinds.add(type(event))
    return frozenset(kinds)


def _responder(provider: Provider, chat: Chat) -> Responder:
    """The service's side of the request that asks `chat`."""
    exchange, service = _ask(provider, chat), Service(provider)
    while (request := exchange.next_request()) is not None:
        responder = service.responder()
        if responder.receive_request(request) is not None:
            return responder
        _respond(exchange, responder, responder.end())
    raise LocalProtocolError(f"{provider.name} was never asked the chat")


@st.composite
def _answers(
    draw: st.DrawFn,
    provider: Provider,
    kinds: frozenset[type[Event]],
    indexes: Sequence[int],
    unrecognized: st.SearchStrategy[bytes] | None,
) -> list[Event]:
    parts = [draw(_choices(kinds, index)) for index in indexes]
    beside: list[st.SearchStrategy[Event]] = []
    if Usage in kinds:
        beside.append(_usages)
    if Citation in kinds:
        beside.append(_citations)
    if Unrecognized in kinds and unrecognized is not None:
        beside.append(unrecognized.map(Unrecognized))
    if beside:
        parts.append(draw(st.lists(st.one_of(beside), max_size=4, unique_by=_identity)))
    events = draw(_merged(parts))
    if Start in kinds and draw(st.booleans()):
        events.insert(0, Start(draw(_texts_), draw(_texts_)))
    return [*events, End(provider.required_evidence)]


def _identity(event: Event) -> object:
    """Of equal ones, one comes: an address is cited once, and any other event may come again."""
    return event.url if isinstance(event, Citation) else object()


@st.composite
def _merged(draw: st.DrawFn, parts: list[list[_T]]) -> list[_T]:
    """All items of `parts`, each part in its own order."""
    order = [number for number, part in enumerate(parts) for _ in part]
    rests = [iter(part) for part in parts]
    return [next(rests[number]) for number in draw(st.permutations(order))]


@st.composite
def _choices(draw: st.DrawFn, kinds: frozenset[type[Event]], index: int) -> list[Event]:
    """What one choice says."""
    said: list[st.SearchStrategy[Event]] = []
    for kind in (Text, Reasoning, Refusal):
        if kind in kinds:
            said.append(st.builds(kind, _texts_, st.just(index)))
    if LogProbs in kinds:
        said.append(
            st.builds(LogProbs, st.lists(_tokens, max_size=2), st.sampled_from(_OF), st.just(index))
        )
    parts: list[list[Event]] = []
    if said:
        parts.append(draw(st.lists(st.one_of(said), min_size=1, max_size=5)))
    if Image in kinds:
        parts.append([draw(_images(index))])
    reason = draw(st.sampled_from([*_REASONS, None])) if Finish in kinds else None
    ends: list[Event] = []
    if ToolCallStart in kinds:
        calling: list[Event] = []
        for number in reversed(range(draw(st.integers(0, 2)))):
            start, *deltas, end = draw(_calls(number, index, reason))
            calling = [start, *draw(_merged([deltas, calling]))]  # they begin in their order
            ends.insert(0, end)
        parts.append(calling)
    if reason is not None:
        ends.append(Finish(reason, index=index))
    return [*draw(_merged(parts)), *ends]


_REASONS = ["stop", "tool_calls", "length", "content_filter"]
_CUT = ("length", "content_filter")
_OF = ["content", "refusal", "reasoning"]


@st.composite
def _calls(draw: st.DrawFn, number: int, index: int, reason: str | None) -> list[Event]:
    """A tool call with the pieces of its arguments: an object, one that is cut, or nothing."""
    id, name = draw(st.sampled_from(["", "c1", "c2"])), draw(_texts_)
    whole = _json_text(draw(_objects))
    arguments = draw(st.just(whole) | st.integers(0, len(whole) - 1).map(lambda to: whole[:to]))
    complete = arguments == whole or not (arguments or reason in _CUT)
    end = ToolCallEnd(number, id, name, arguments or "{}", complete, index=index)
    pieces = draw(cuts(arguments, 2))
    deltas = [ToolCallDelta(number, piece, index) for piece in pieces if piece]
    return [ToolCallStart(number, id, name, index=index), *deltas, end]


def _images(index: int) -> st.SearchStrategy[Image]:
    media_types = st.sampled_from(["image/png", "image/jpeg", "application/octet-stream"])
    data = st.binary(min_size=1, max_size=64)
    return st.builds(Image, data, media_types, st.just("https://x.test/1"), _texts_, st.just(index))


_logprobs = st.floats(-9, 0)
_alternatives = st.none() | st.lists(st.builds(TokenLogProb, _texts_, _logprobs), max_size=2)
_bytes = st.none() | st.lists(st.integers(0, 255), max_size=3)
_tokens = st.builds(TokenLogProb, _texts_, _logprobs, _bytes, _alternatives)
_counts = st.none() | st.integers(0, 2**40)
_usages: st.SearchStrategy[Event] = st.builds(
    Usage, _counts, _counts, _counts, _counts, _counts
).filter(lambda usage: usage != Usage())
_citations: st.SearchStrategy[Event] = st.builds(Citation, _texts_, st.just("") | _texts_)

"""Strategies of hypothesis: chats that a provider can be asked, and answers that it can give. They
go by what its format declares."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from ..protocols.chat import (
    Chat,
    FilePart,
    ImagePart,
    Message,
    Part,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from ..protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
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
from ..protocols.provider import Provider
from ..protocols.toolkit.parts import PartNumbers
from .pieces import cuts
from .recording import responder_to

__all__ = ["answers", "chats", "numbered"]

_T = TypeVar("_T")

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
    """A chat that `provider` can be asked, by what its format `takes`; `fields` of it are given.

    Roles and several messages are drawn for a service that takes one prompt, too, as they are made
    one.
    """
    takes = provider.takes
    messages = draw(st.lists(_messages(takes), min_size=1, max_size=4))
    if "system_first" in takes:
        messages.sort(key=lambda message: message.role not in _SYSTEM)
    place = next((n for n, m in enumerate(messages) if m.role not in _SYSTEM), len(messages))
    alone = place == len(messages) and "system_first" in takes
    if "history" in takes and ("any_start" not in takes or alone):
        messages.insert(place, Message("user", draw(_texts_)))
    drawn: dict[str, Any] = {
        "messages": tuple(messages),
        "model": draw(_models(provider)),
    }
    if "tools" in takes:
        tools = tuple(draw(st.lists(_tools(takes), max_size=2)))
        # Some services are told once for all tools whether they are strict.
        tools = tuple(msgspec.structs.replace(tool, strict=tools[0].strict) for tool in tools)
        choices: list[str | None] = [None]
        if takes & {"tool_choice", "tools_off"}:
            choices += ["auto", "none"]
        called = any(message.role == "tool" or message.tool_calls for message in messages)
        if "tools_kept" in takes and called:
            choices.remove("none")
        if "tool_choice" in takes and tools:
            choices += ["required", *(tool.name for tool in tools)]
        drawn["tools"] = tools
        drawn["tool_choice"] = draw(st.sampled_from(choices))
    options = {name: strategy for name, strategy in _OPTIONS.items() if name in takes}
    if "chosen_logprobs" in takes:
        options["logprobs"] = st.just(0)
    efforts = provider.dialect.efforts if provider.effort is None else provider.effort
    if efforts and "effort" in takes:
        options["effort"] = st.sampled_from(sorted(efforts))
    if options:
        options["extra"] = st.dictionaries(
            _names.map(lambda name: f"x_{name}"), _json_values, max_size=2
        )
    drawn |= draw(st.fixed_dictionaries({}, optional=options))
    return Chat(**drawn | fields)


def _models(provider: Provider) -> st.SearchStrategy[str]:
    known = [*provider.models, *provider.aliases, *([""] if provider.default_model else [])]
    others = _names.map(lambda name: f"{name}/\u00e9:1")
    return st.one_of(
        *([st.sampled_from(known)] if known else []), *([others] if provider.any_model else [])
    )


_SYSTEM: tuple[Role, ...] = ("system", "developer")


@st.composite
def _messages(draw: st.DrawFn, takes: frozenset[str]) -> Message:
    roles: list[Role] = ["system", "developer", "user", "assistant"]
    if "tools" in takes:
        roles.append("tool")
    role = draw(st.sampled_from(roles))
    nothing = st.just("") if "empty" in takes or "history" not in takes else st.nothing()
    parts: st.SearchStrategy[Part] = st.builds(TextPart, nothing | _texts_)
    if "images" in takes and role == "user":
        parts |= st.sampled_from(_IMAGES)
    if {"images", "detail"} <= takes and role == "user":
        parts |= st.just(ImagePart("https://x.test/1.png", "low"))
    if "image_bytes" in takes and role == "user":
        parts |= st.just(_IMAGES[-1])
    if "files" in takes and role == "user":
        parts |= st.just(FilePart.of_bytes(b"%PDF", "application/pdf", "a.pdf"))
    content: str | tuple[Part, ...] = draw(
        nothing | _texts_ | st.lists(parts, min_size=1, max_size=3).map(tuple)
    )
    more: dict[str, Any] = {}
    if "tools" in takes and role == "assistant":
        calls = tuple(draw(st.lists(_tool_calls("custom" in takes), max_size=2)))
        content = (*Message(role, content).parts, *calls) if calls else content
    if role == "tool":
        more = {"tool_call_id": draw(_texts_), "failed": draw(st.booleans())}
        if "named" in takes:
            more["name"] = draw(_texts_)
    if "name" in takes:
        more["name"] = draw(st.just("") | _texts_)
    return Message(role, content, **more)


_IMAGES = [ImagePart("https://x.test/1.png"), ImagePart.of_bytes(b"\x89PNG", "image/png")]


def _tool_calls(free: bool) -> st.SearchStrategy[ToolCall]:
    """Calls whose arguments are objects, or any text where that can be said, too."""
    arguments = _objects.map(_json_text)
    return st.builds(ToolCall, _texts_, _texts_, arguments | _texts_ if free else arguments)


def _tools(takes: frozenset[str]) -> st.SearchStrategy[Tool]:
    strict = st.none() | st.booleans() if "strict" in takes else st.none()
    names = _names.map(lambda name: f"f_{name}".replace("-", "_"))  # which every service takes
    return st.builds(Tool, names, st.just("") | _texts_, _objects, strict)


_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(1, 100),
    "max_tokens": st.integers(1, 10_000_000),
    "stop": st.lists(_texts_, max_size=3).map(tuple),
    "n": st.integers(1, 3),
    "seed": _ints,
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "logprobs": st.integers(0, 20),
    "parallel": st.booleans(),
    "schema": st.just({"type": "object", "properties": {}}),
    "stream": st.booleans(),
}


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Answers


def answers(
    provider: Provider, chat: Chat, *, unrecognized: st.SearchStrategy[bytes] | None = None
) -> st.SearchStrategy[list[Event]]:
    """An answer of `provider` to `chat`: events in a legal order, of the kinds that it can say.

    A `Start` is first, if there is one, and `End` last; each choice ends with a `ToolCallEnd` for
    each of its calls and its `Finish`, if it has one; parts are numbered as they begin; a source is
    cited once, a picture comes once. Native forms are each format's own matter: none are drawn.
    `unrecognized`: lines or events that the format leaves to others (none are drawn otherwise).

    Raises LocalProtocolError if `provider` can't be asked `chat`.
    """
    responder = responder_to(provider, chat)
    kinds = provider.dialect.says_to(responder.chat)
    return _answers(provider, kinds, range(chat.n or 1), unrecognized, responder.can_say)


@st.composite
def _answers(
    draw: st.DrawFn,
    provider: Provider,
    kinds: frozenset[type[Event]],
    indexes: Sequence[int],
    unrecognized: st.SearchStrategy[bytes] | None,
    can_say: Callable[[Event], bool],
) -> list[Event]:
    parts = [draw(_choices(provider, kinds, index)) for index in indexes]
    beside: list[st.SearchStrategy[Event]] = []
    if Usage in kinds:
        beside.append(_usages)
    if Citation in kinds:
        beside.append(_citations)
    if Unrecognized in kinds and unrecognized is not None:
        beside.append(unrecognized.map(Unrecognized))
    if beside:
        parts.append(draw(st.lists(st.one_of(beside), max_size=4, unique_by=_identity)))
    events = [event for event in numbered(draw(_merged(parts))) if can_say(event)]
    if Start in kinds and draw(st.booleans()):
        events.insert(0, Start(draw(_texts_), draw(_texts_)))
    return [*events, End(provider.required_evidence)]


def _identity(event: Event) -> object:
    """Of equal ones, one is drawn: an address is cited once, and any other event may be
    repeated."""
    return event.url if isinstance(event, Citation) else object()


def numbered(events: list[Event]) -> list[Event]:
    """`events` with the numbers of their parts."""
    numbers: dict[int, PartNumbers] = {}
    numbered: list[Event] = []
    for event in events:
        match event:
            case Text() | Reasoning() | Refusal():
                choice = numbers.setdefault(event.index, PartNumbers())
                part = choice.of(type(event).__name__)
            case ToolCallStart() | Image():
                part = numbers.setdefault(event.index, PartNumbers()).new()
            case Citation():
                part = max(numbers.setdefault(event.index, PartNumbers()).last, 0)
            case _:
                numbered.append(event)
                continue
        numbered.append(msgspec.structs.replace(event, part=part))
    return numbered


@st.composite
def _merged(draw: st.DrawFn, parts: list[list[_T]]) -> list[_T]:
    """All items of `parts`, each part in its own order."""
    order = [number for number, part in enumerate(parts) for _ in part]
    rests = [iter(part) for part in parts]
    return [next(rests[number]) for number in draw(st.permutations(order))]


@st.composite
def _choices(
    draw: st.DrawFn, provider: Provider, kinds: frozenset[type[Event]], index: int
) -> list[Event]:
    """What one choice says."""
    said: list[st.SearchStrategy[Event]] = []
    for kind in (Text, Reasoning, Refusal):
        if kind in kinds:
            said.append(st.builds(kind, _texts_, index=st.just(index)))
    if LogProbs in kinds:
        said.append(
            st.builds(
                LogProbs,
                st.lists(_tokens, min_size=1, max_size=2),
                st.sampled_from(_OF),
                st.just(index),
            )
        )
    parts: list[list[Event]] = []
    if said:
        parts.append(draw(st.lists(st.one_of(said), min_size=1, max_size=5)))
    if Image in kinds:
        parts.append([draw(_images(index))])
    finishes: list[Finish | None] = []
    if Finish in kinds:
        known = provider.dialect.finish.items()
        finishes += [Finish(reason, kind, index=index) for reason, kind in known if kind != "error"]
    if not finishes or provider.required_evidence != "finish":
        finishes.append(None)
    finish = draw(st.sampled_from(finishes))
    ends: list[Event] = []
    if ToolCallStart in kinds:
        calling: list[Event] = []
        interleaves = provider.dialect.interleaves
        means = None if finish is None else finish.kind
        whole = provider.dialect.whole_calls
        for number in reversed(range(draw(st.integers(0, 2)))):
            start, *deltas, end = draw(_calls(number, index, means, whole))
            rest = draw(_merged([deltas, calling])) if interleaves else [*deltas, *calling]
            calling = [start, *rest]  # they begin in their order
            ends.insert(0, end)
        parts.append(calling)
        if calling and finish is not None and finish.kind == "stop":
            finish = msgspec.structs.replace(finish, kind="tool_call")
    if finish is not None:
        ends.append(finish)
    if provider.dialect.interleaves:
        return [*draw(_merged(parts)), *ends]
    return [*(event for part in parts for event in part), *ends]


_OF = ["content", "refusal", "reasoning"]


@st.composite
def _calls(
    draw: st.DrawFn, number: int, index: int, kind: FinishKind | None, always_whole: bool
) -> list[Event]:
    """A tool call with the pieces of its arguments: an object, one that is truncated, or
    nothing."""
    id, name = draw(st.sampled_from(["c1", "c2"])), draw(_texts_)
    whole = _json_text(draw(_objects))
    part = st.integers(0, len(whole) - 1).map(lambda to: whole[:to])
    arguments = draw(st.just(whole) if always_whole else st.just(whole) | part)
    proven = kind in (None, "stop", "tool_call")
    complete = arguments == whole or (not arguments and proven)
    end = ToolCallEnd(number, id, name, arguments or "{}", complete, index=index)
    pieces = draw(cuts(arguments, 2))
    deltas = [ToolCallDelta(number, piece, index) for piece in pieces if piece]
    return [ToolCallStart(number, id, name, index=index), *deltas, end]


def _images(index: int) -> st.SearchStrategy[Image]:
    media_types = st.sampled_from(["image/png", "image/jpeg", "application/octet-stream"])
    data = st.binary(min_size=1, max_size=64)
    url = st.just("https://x.test/1")
    return st.builds(Image, data, media_types, url, _texts_, index=st.just(index))


_logprobs = st.floats(-9, 0)
_alternatives = st.none() | st.lists(st.builds(TokenLogProb, _texts_, _logprobs), max_size=2)
_bytes = st.none() | st.lists(st.integers(0, 255), max_size=3)
_tokens = st.builds(TokenLogProb, _texts_, _logprobs, _bytes, _alternatives)
_counts = st.none() | st.integers(0, 2**40)
_usages: st.SearchStrategy[Event] = st.builds(
    Usage, _counts, _counts, _counts, _counts, reasoning_output_tokens=_counts
).filter(lambda usage: usage != Usage())
_citations: st.SearchStrategy[Event] = st.builds(Citation, _texts_, st.just("") | _texts_)

"""One choice of a chat completion: what its deltas say, in all the forms that services use.

A `Finish` and the ends of tool calls are held back until the answer is over: the reason is sent
twice, or early, with content after it, and a tool call is to be run only when it is proven whole.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ...dialect import words
from ...encoding import merge
from ...errors import LimitExceeded, Malformed, RemoteProtocolError
from ...events import (
    Citation,
    Event,
    FinishKind,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Text,
    TokenLogProb,
    Unrecognized,
)
from ...limits import Parts
from ...mappings import DIALECT
from ...toolkit.citations import Citations
from ...toolkit.finish import failure_of, finish_of, kind_of
from ...toolkit.json import Lenient, decode_json
from ...toolkit.parts import PartNumbers
from ...toolkit.toolcalls import Call, ToolCalls
from .wire import (
    Delta,
    Fragment,
    Function,
    OddChoice,
    OddFragment,
    WireChoice,
    decode_fragment,
)

__all__ = ["ChoiceReader"]


_NOTHING = msgspec.Raw()


class _ThinkingText(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    type: Any = None


class _Part(msgspec.Struct):
    """A part of a `content` that is a list (Mistral)."""

    type: str = ""
    text: str | None = None
    thinking: list[_ThinkingText] | None = None


class _Detail(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of `reasoning_details`."""

    type: Any = None
    text: Any = None
    summary: Any = None
    signature: Any = None
    data: Any = None
    id: Any = None
    format: Any = None
    index: Any = None


class _UrlCitation(msgspec.Struct):
    url: str = ""
    title: str = ""
    content: str = ""  # OpenRouter's
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(msgspec.Struct):
    url_citation: msgspec.Raw = _NOTHING


class _ImageUrl(msgspec.Struct):
    url: str = ""


class _Image(msgspec.Struct):
    image_url: msgspec.Raw = _NOTHING


_part = Lenient(_Part)
_detail = msgspec.json.Decoder(_Detail)
_odd_detail = Lenient(_Detail)
_annotation = Lenient(_Annotation, words("type"))
_url_citation = Lenient(_UrlCitation)
_image = Lenient(_Image, words("type index"))
_image_url = Lenient(_ImageUrl)
_tokens = msgspec.json.Decoder(list[TokenLogProb], strict=False)  # "-Infinity" is a number
_any = msgspec.json.Decoder()

_CALL_KEYS = {*Fragment.__struct_fields__, *Function.__struct_fields__, "input"}
_PLACES = ("id", "index")
"""Those without which a call is whole all the same."""
_TEXTS = ("text", "summary", "data")
"""What of a piece of `reasoning_details` goes on in the next one."""
_LOGPROBS: dict[str, Literal["content", "refusal", "reasoning"]] = {
    "content": "content",
    "refusal": "refusal",
    "reasoning": "reasoning",
    "reasoning_content": "reasoning",
}


class ChoiceReader:
    """Makes events of one choice. A format that is a subclass derives its own.

    `finish_reason` is the last one that was sent; `failure` is what it means if it is an error.
    `finishes` are the reasons that are known; `limit` bounds what is kept for native forms.
    """

    __slots__ = (
        "_by_delta",
        "_citations",
        "_detail",
        "_details",
        "_finishes",
        "_further",
        "_index",
        "_kept",
        "_limit",
        "_named",
        "_opaque",
        "_parts",
        "_signed",
        "_thought",
        "_thought_part",
        "_tool_calls",
        "failure",
        "finish_reason",
        "numbers",
    )

    dialect = DIALECT
    """The format that its native forms are of."""

    def __init__(
        self,
        index: int,
        citations: Citations,
        parts: Parts,
        finishes: Mapping[str, FinishKind],
        limit: int,
    ) -> None:
        self.finish_reason: str | None = None
        self.failure: RemoteProtocolError | None = None
        self.numbers = PartNumbers()
        self._index = index
        self._citations = citations
        self._parts = parts
        self._finishes = finishes
        self._limit = limit
        self._kept = 0  # bytes for native forms
        self._detail = ""
        self._by_delta = False  # whether a delta said something
        self._tool_calls: ToolCalls | None = None  # with the first, as most answers have none
        self._further: dict[int, dict[str, Any]] = {}  # keys of calls, by the calls' numbers
        self._details: list[bytes] = []  # all of them, as the last one may be signed
        self._signed = False  # whether one is
        self._named = False  # whether thoughts came under another name, too
        self._thought: list[str] = []
        self._thought_part = -1
        self._opaque = ""

    def take(self, choice: WireChoice, events: list[Event]) -> None:
        """What one chunk says of the choice."""
        before = len(events)
        if choice.delta is not None:
            self._take_delta(choice.delta, events)
            self._by_delta = self._by_delta or len(events) > before
        if choice.message is not None and not self._by_delta:
            # Beside deltas it repeats all before it (Perplexity, Writer); alone it is the answer.
            self._take_delta(choice.message, events, whole=True)
        if choice.text and len(events) == before:
            # Together repeats the delta in it; alone it is an old completion.
            events.append(Text(choice.text, self.numbers.of("text"), self._index))
        if choice.logprobs is not None:
            for of, raw in choice.logprobs.items():
                self._take_logprobs(of, bytes(raw), events)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
            native = choice.native_finish_reason
            if isinstance(native, str) and kind_of(native, self._finishes) == "error":
                self.finish_reason = native  # OpenRouter's own word for it is `stop` (quirk 88)
        if isinstance(choice.stop_reason, str):
            self._detail = choice.stop_reason
        if type(choice) is OddChoice:
            for place, value in choice.unknown:
                self._hand_on(value, place, events)

    def settle(self, proven: bool, events: list[Event]) -> None:
        """The answer is over: native forms and the ends of calls, if it is `proven` complete, and
        the Finish, if there was a reason. See `Step.settle`."""
        reason = self.finish_reason
        calls, finish = self._tool_calls, None
        if reason is not None:
            # What was no call may have been handed on instead.
            finish = finish_of(reason, self._finishes, bool(calls), self._detail, self._index)
            self.failure = self.failure or failure_of(finish)
        if proven:
            if calls is not None:
                calls.start_all(events)  # native forms of calls say which parts these are
            self._settle_natives(events)
            if calls is not None:
                kind = None if finish is None else finish.kind
                calls.settle("error" if self.failure is not None else kind, events)
        if finish is not None:
            events.append(finish)

    def _take_delta(self, delta: Delta, events: list[Event], whole: bool = False) -> None:
        reasoning = delta.reasoning_content or delta.reasoning or delta.reasoning_text
        if reasoning:
            self._named = True
            self._think(reasoning, events)
            # OpenRouter sends the same thought by two names; if they differ both count (quirk 50).
            other = delta.reasoning or delta.reasoning_text
            if other and other != reasoning:
                self._think(other, events)
        if delta.reasoning_text or delta.reasoning_opaque:
            self._take_opaque(delta.reasoning_text or "", delta.reasoning_opaque or "")
        for raw in delta.reasoning_details or ():
            self._take_reasoning_detail(bytes(raw), events)
        if isinstance(delta.content, str):
            if delta.content:
                events.append(Text(delta.content, self.numbers.of("text"), self._index))
        elif isinstance(delta.content, dict):  # Cloudflare's answer where JSON was asked for
            text = msgspec.json.encode(delta.content).decode(errors="replace")  # raw, as it came
            events.append(Text(text, self.numbers.of("text"), self._index))
        else:
            for raw in delta.content or ():
                self._take_part(bytes(raw), events)
        if delta.refusal:
            events.append(Refusal(delta.refusal, self.numbers.of("refusal"), self._index))
        for raw in delta.images or ():
            self._take_image(bytes(raw), events)
        for number, raw in enumerate(delta.tool_calls or ()):
            # Each one of a whole message is a call, even if services give them all the same id.
            self._take_fragment(bytes(raw), number if whole else None, events)
        if delta.function_call is not None:
            name, arguments = delta.function_call.name or "", _arguments(delta.function_call)
            if name or arguments:  # Snowflake has an empty one in every answer
                self._calls.fragment(0, "", name, arguments, events)
        for raw in delta.annotations or ():
            self._take_annotation(bytes(raw), events)

    def _think(self, text: str, events: list[Event]) -> None:
        part = self._thought_part = self.numbers.of("reasoning")
        events.append(Reasoning(text, part, self._index))

    def _take_fragment(self, raw: bytes, place: int | None, events: list[Event]) -> None:
        try:
            fragment = decode_fragment(raw)
        except Malformed:
            self._hand_on(raw, "delta.tool_calls", events)
            return
        id, function, custom = fragment.id or "", fragment.function, fragment.custom
        place = fragment.index if place is None else place
        if function is not None:
            name, arguments = function.name or "", function.arguments
            if type(arguments) is not str:
                arguments = _arguments(function)
            call = self._calls.fragment(place, id, name, arguments, events)
        elif custom is not None:
            name, arguments = custom.name or "", custom.input or ""
            call = self._calls.fragment(place, id, name, arguments, events, custom=True)
        elif id:
            call = self._calls.fragment(place, id, "", "", events)
        elif (known := self._calls.at(place)) is not None:  # only further keys of it
            call = known
        else:
            self._hand_on(raw, "delta.tool_calls", events)
            return
        if type(fragment) is OddFragment:
            for outer, key, value in fragment.unknown:
                self._take_further(call, outer, key, value, events)

    def _take_further(
        self, call: Call, outer: str, key: str, raw: bytes, events: list[Event]
    ) -> None:
        """What a call says beyond what is understood: a key of it, or of its object `outer`."""
        if key in _CALL_KEYS:  # its value is not understood
            call.broken = call.broken or key not in _PLACES
            self._hand_on(raw, ".".join(filter(None, ("delta.tool_calls", outer, key))), events)
            return
        self._keep(len(raw))
        value = {key: decode_json(_any, raw)}
        further = self._further.setdefault(call.number, {})
        self._further[call.number] = merge(further, {outer: value} if outer else value)

    @property
    def _calls(self) -> ToolCalls:
        if self._tool_calls is None:
            self._tool_calls = ToolCalls(self._index, self._parts, self.numbers.new)
        return self._tool_calls

    def _take_part(self, raw: bytes, events: list[Event]) -> None:
        try:
            part, unknown = _part.decode(raw)
        except Malformed:
            part, unknown = _Part(), []
        if part.type == "text" and part.text is not None:
            if part.text:
                events.append(Text(part.text, self.numbers.of("text"), self._index))
        elif part.type == "thinking" and part.thinking is not None:
            if text := "".join(thought.text for thought in part.thinking):
                self._think(text, events)
        else:
            self._hand_on(raw, "delta.content", events)
            return
        self._hand_on_keys("delta.content", unknown, events)

    def _take_reasoning_detail(self, raw: bytes, events: list[Event]) -> None:
        try:
            detail, odd = _detail_of(raw)
        except Malformed:
            self._hand_on(raw, "delta.reasoning_details", events)
            return
        text = detail.text or detail.summary
        if not (detail.signature or detail.data or detail.id):
            if type(text) is not str and detail.text != "":
                self._hand_on(raw, "delta.reasoning_details", events)
                return
            self._signed = self._signed or odd
        else:
            self._signed = True
        if text and not self._named and isinstance(text, str):
            self._think(text, events)
        self._keep(len(raw))
        self._details.append(raw)

    def _take_opaque(self, text: str, opaque: str) -> None:
        self._keep(len(text) + len(opaque))
        self._thought.append(text)
        self._opaque += opaque

    def _take_image(self, raw: bytes, events: list[Event]) -> None:
        try:
            image, further = _image.decode(raw)
            address, more = _image_url.decode(bytes(image.image_url))
            head, comma, data = address.url.partition(";base64,")
            if not comma or not head.startswith("data:"):
                raise ValueError
            content = b64decode(data, validate=True)
        except (Malformed, ValueError):
            self._hand_on(raw, "delta.images", events)
            return
        self._parts.add()
        media_type = head.removeprefix("data:")
        events.append(Image(content, media_type, part=self.numbers.new(), index=self._index))
        self._hand_on_keys("delta.images", further + more, events)

    def _take_annotation(self, raw: bytes, events: list[Event]) -> None:
        try:
            annotation, further = _annotation.decode(raw)
            said, more = _url_citation.decode(bytes(annotation.url_citation))
            if not said.url:
                raise ValueError
        except (Malformed, ValueError):
            self._hand_on(raw, "delta.annotations", events)
            return
        citation = Citation(
            said.url,
            said.title,
            quote=said.content,
            start=said.start_index,
            end=said.end_index,
            part=max(self.numbers.last, 0),
            index=self._index,
        )
        self._citations.cite(citation, events)
        self._hand_on_keys("delta.annotations", further + more, events)

    def _take_logprobs(self, of: str, raw: bytes, events: list[Event]) -> None:
        if raw in (b"null", b"[]"):
            return
        try:
            tokens = decode_json(_tokens, raw)
            events.append(LogProbs(tokens, _LOGPROBS[of], self._index))
        except (Malformed, KeyError):
            self._hand_on(raw, f"logprobs.{of}", events)

    def _hand_on(self, raw: bytes, place: str, events: list[Event]) -> None:
        """A piece that is not understood, as it came."""
        below = f".{place}" if place else ""
        events.append(Unrecognized(raw, f"choices[{self._index}]{below}"))

    def _hand_on_keys(
        self, place: str, unknown: list[tuple[str, bytes]], events: list[Event]
    ) -> None:
        for key, value in unknown:
            self._hand_on(value, f"{place}.{key}", events)

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > self._limit:
            raise LimitExceeded(f"native forms of more than {self._limit} bytes")

    def _settle_natives(self, events: list[Event]) -> None:
        """What the next request has to carry, where the other events are not enough."""
        thoughts: dict[str, Any] = {}
        if self._opaque:
            thoughts = {"reasoning_text": "".join(self._thought), "reasoning_opaque": self._opaque}
        if self._signed:
            thoughts["reasoning_details"] = _joined(self._details)
        if thoughts:
            part = self.numbers.new() if self._thought_part < 0 else self._thought_part
            self._add_native(thoughts, part, events)
        for number, further in self._further.items():
            call = self._calls[number]
            key, text = ("custom", "input") if call.custom else ("function", "arguments")
            known = {"name": call.name, text: "".join(call.arguments)}
            value = {"id": call.id, "type": key, key: known}
            self._add_native({"tool_calls": [merge(value, further)]}, call.part, events)

    def _add_native(self, value: dict[str, Any], part: int, events: list[Event]) -> None:
        self._parts.add()
        events.append(Native(self.dialect, msgspec.json.encode(value), part, self._index))


def _detail_of(raw: bytes) -> tuple[_Detail, bool]:
    """A piece of `reasoning_details`, and whether it has more than is understood. Raises Malformed
    if it is no object."""
    try:
        return decode_json(_detail, raw), False
    except Malformed:
        return _odd_detail.decode(raw)[0], True


def _joined(details: list[bytes]) -> list[dict[str, Any]]:
    """The pieces of `reasoning_details`, those of one index and type joined."""
    joined: dict[object, dict[str, Any]] = {}
    texts: dict[tuple[object, str], list[str]] = {}
    for number, raw in enumerate(details):
        detail: dict[str, Any] = decode_json(_any, raw)
        place: object = number  # without an index it is a piece of its own
        if isinstance(detail.get("index"), int):
            place = detail["index"], str(detail.get("type"))
        whole = joined.setdefault(place, {})
        for key, value in detail.items():
            if key in _TEXTS and isinstance(value, str):
                texts.setdefault((place, key), []).append(value)
            if value is not None or key not in whole:
                whole[key] = value
    for (place, key), pieces in texts.items():
        joined[place][key] = "".join(pieces)
    return list(joined.values())


def _arguments(function: Function) -> str:
    """Arguments as JSON text, also where a service sends an object."""
    if isinstance(function.arguments, dict):
        return msgspec.json.encode(function.arguments).decode()
    return function.arguments or ""

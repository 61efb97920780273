"""One candidate of an answer: what its parts say, and the sources of its text.

A `Finish` and the ends of calls are held back until the answer is over: a reason may come several
times, with content after it, and a call is to be run only when it is proven whole.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ...dialect import words
from ...errors import Malformed, Refused
from ...events import (
    Citation,
    Event,
    FinishKind,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallStart,
    Unrecognized,
)
from ...limits import Limits, Parts
from ...toolkit.citations import Citations
from ...toolkit.finish import failure_of, finish_of
from ...toolkit.json import decode_json, is_list, is_object
from ...toolkit.parts import PartNumbers
from ...toolkit.toolcalls import Call
from .arguments import Arguments
from .spoken import Spoken
from .wire import (
    MODIFIERS,
    Candidate,
    Fields,
    WireCall,
    blobs,
    calls,
    contents,
    decode_fields,
    decode_logprobs,
    partial_args,
)

__all__ = ["DIALECT", "CandidateReader", "native_of"]

DIALECT = "gemini"

_SIGNATURE = "thoughtSignature"
_NUMBERS = {"1": "STOP", "2": "MAX_TOKENS", "3": "SAFETY", "4": "RECITATION", "5": "OTHER"}
"""Finish reasons that came as integers. The services differ about those above."""
_STREAMED = ("partialArgs", "willContinue")
"""Keys of a call whose arguments come in pieces. Its native form has none of them."""
_PAGE = words("uri title domain")
_LISTS = words("citations citationSources urlMetadata")
_TEXTS = words("uri sourceUri title retrievedUrl")
_CITED = _TEXTS | words("startIndex endIndex")
_READ = "URL_RETRIEVAL_STATUS_SUCCESS"
_SOURCES = ("web", "retrievedContext", "maps", "image")
_value = msgspec.json.Decoder()


class _OpenCall:
    """A call whose arguments come in pieces. `form` is the part that began it, if it needs a native
    form."""

    def __init__(self, call: Call, arguments: Arguments, form: Fields | None) -> None:
        self.call = call
        self.arguments = arguments
        self.form = form


class CandidateReader:
    """Makes events of one candidate.

    `finished`: whether its last word is a reason, or an error. `failure` is the error that it
    reports, or what its reason means if it is one. `finishes` are the reasons that are known.
    """

    def __init__(
        self,
        index: int,
        citations: Citations,
        parts: Parts,
        finishes: Mapping[str, FinishKind],
        limits: Limits,
    ) -> None:
        self.finished = False
        self.failure: Refused | None = None
        self.numbers = PartNumbers()
        self.spoken = Spoken()
        self._index = index
        self._citations = citations
        self._parts = parts
        self._finishes = finishes
        self._limits = limits
        self._reason = self._detail = ""
        self._calls: list[Call] = []
        self._open: _OpenCall | None = None
        self._cited: dict[str, bytes] = {}  # the last metadata, as a service may repeat it

    def take(
        self, candidate: Candidate, unknown: list[tuple[str, bytes]], events: list[Event]
    ) -> None:
        """What one chunk says of the candidate. Raises LimitExceeded."""
        said = self._take_content(bytes(candidate.content), events)
        if raw := bytes(candidate.logprobs_result):
            self._take_logprobs(raw, events)
        for key, raw in (
            ("citationMetadata", bytes(candidate.citation_metadata)),
            ("groundingMetadata", bytes(candidate.grounding_metadata)),
            ("urlContextMetadata", bytes(candidate.url_context_metadata)),
        ):
            if raw and raw != self._cited.get(key):
                self._cited[key] = raw
                self._take_sources(key, raw, events)
        if candidate.finish_reason:
            self._reason = _NUMBERS.get(candidate.finish_reason, candidate.finish_reason)
            self.finished = True
        elif said:
            self.finished = False  # it goes on after all
        self._detail = candidate.finish_message or self._detail
        for key, value in unknown:
            self._hand_on(value, key, events)

    def say(self, text: str, events: list[Event]) -> None:
        """A piece of text, of which a chunk has nothing more."""
        if not text:
            return
        self.finished = False
        before = self.numbers.last
        part = self.numbers.of("text")
        if part != before:
            self.spoken.begin(part)
        self.spoken.pieces.append(text)
        events.append(Text(text, part, self._index))

    def settle(self, proven: bool, events: list[Event]) -> None:
        """The answer is over: the ends of calls, if it is `proven` complete, and the Finish, if
        there was a reason. See `Step.settle`."""
        finish = finish_of(
            self._reason, self._finishes, bool(self._calls), self._detail, self._index
        )
        if self._reason:
            self.failure = self.failure or failure_of(finish)
        if proven:
            kind = finish.kind if self._reason else None
            if self.failure is not None:
                kind = "error"
            if self._open is not None and kind != "tool_call":
                self._open.call.broken = True  # it was cut inside its arguments
            self._close(events)
            events += [call.end(kind, self._index) for call in self._calls]
        if self._reason:
            events.append(finish)

    # Its parts

    def _take_content(self, raw: bytes, events: list[Event]) -> bool:
        """Whether it says anything."""
        if not raw:
            return False
        if raw[:1] != b"{":
            self._hand_on(raw, "content", events)
            return False
        content, unknown = contents.decode(raw)
        said = False
        for part in content.parts or ():
            said = self._take_part(bytes(part), events) or said
        for key, value in unknown:
            self._hand_on(value, f"content.{key}", events)
        return said

    def _take_part(self, raw: bytes, events: list[Event]) -> bool:
        """A part; whether it says anything."""
        if raw[:1] != b"{":
            self._hand_on(raw, "content.parts", events)
            return True
        form = decode_json(decode_fields, raw)
        keys = {key for key, value in form.items() if bytes(value) != b"null"}
        thought = "thought" in keys and bytes(form["thought"]) == b"true"
        if bytes(form.get(_SIGNATURE, b"")) == b'""':
            keys.discard(_SIGNATURE)
        if "text" in keys:
            text = _value_of(form, "text")
            if isinstance(text, str):
                plain = not keys - {"text", "thought"}
                return self._take_text(text, thought, raw, plain, events)
        elif "functionCall" in keys:
            return self._take_call(form, keys == {"functionCall"}, raw, events)
        elif "inlineData" in keys:
            picture = _picture(bytes(form["inlineData"]))
            if picture is not None:
                self._parts.add()
                part = self.numbers.new()
                if keys != {"inlineData"}:
                    self._keep(raw, part, events)
                events.append(Image(*picture, part=part, index=self._index))
                return True
        elif not keys - MODIFIERS:
            return False
        self._keep(raw, self.numbers.new(), events)
        return True

    def _take_text(
        self, text: str, thought: bool, raw: bytes, plain: bool, events: list[Event]
    ) -> bool:
        if plain:
            if thought and text:
                events.append(Reasoning(text, self.numbers.of("reasoning"), self._index))
            elif not thought:
                self.say(text, events)
            return bool(text)
        part = self.numbers.new()
        self._keep(raw, part, events)
        if text and thought:
            events.append(Reasoning(text, part, self._index))
        elif text:
            self.spoken.begin(part)
            self.spoken.pieces.append(text)
            events.append(Text(text, part, self._index))
        return True

    # Calls

    def _take_call(self, form: Fields, plain: bool, raw: bytes, events: list[Event]) -> bool:
        """A call, or a fragment of one: without a name it goes on with the one that is open."""
        inner = bytes(form["functionCall"])
        if inner[:1] != b"{":
            self._keep(raw, self.numbers.new(), events)
            return True
        said, unknown = calls.decode(inner)
        if not said.name:
            if self._open is not None:
                self._add_fragment(inner, events)
                for key, value in form.items():
                    if key != "functionCall" and bytes(value) != b"null":
                        self._hand_on(bytes(value), f"content.parts.{key}", events)
            elif plain and said == WireCall() and not unknown:
                return False  # the end of a call that is over
            elif not self._add_late(b"" if unknown or not plain else bytes(said.args), events):
                self._keep(raw, self.numbers.new(), events)
            return True
        self._close(events)
        plain = plain and not unknown
        self._parts.add()
        call = Call(len(self._calls), None)
        call.id, call.name, call.part = said.id, said.name, self.numbers.new()
        self._calls.append(call)
        begun = said.partial_args is not None or said.will_continue
        if not plain and not begun:
            self._keep(raw, call.part, events)
        events.append(
            ToolCallStart(call.number, call.id, call.name, part=call.part, index=self._index)
        )
        if begun:
            arguments = Arguments(self._parts, self._limits)
            self._open = _OpenCall(call, arguments, None if plain else form)
            if args := bytes(said.args):
                call.broken = True  # they can't be joined with pieces
                self._hand_on(args, "content.parts.functionCall.args", events)
            self._add_fragment(inner, events)
        elif args := bytes(said.args):
            call.broken = args[:1] == b'"'
            self._add_arguments(call, _arguments(args), events)
        return True

    def _add_late(self, args: bytes, events: list[Event]) -> bool:
        """Arguments without a name: of a call that came without any (quirk 91). Returns whether
        there is one; of several nobody knows which, and none of them is whole."""
        bare = [call for call in self._calls if call.arguments in ([], ["{}"])]
        if len(bare) == 1 and args[:1] == b"{":
            self._add_arguments(bare[0], _arguments(args), events)
            return True
        for call in bare:
            call.broken = True
        return False

    def _add_fragment(self, raw: bytes, events: list[Event]) -> None:
        open = self._open
        assert open is not None  # else there is nothing to add to
        said, unknown = calls.decode(raw)
        for piece in map(bytes, said.partial_args or ()):
            odd: object = True
            if piece[:1] == b"{":
                value, odd = partial_args.decode(piece)
                odd = odd or not open.arguments.add(value, len(piece))
            if odd:
                open.call.broken = True
                self._hand_on(piece, "content.parts.functionCall.partialArgs", events)
        if any(not said.name or key in _STREAMED for key, _ in unknown):
            open.call.broken = True
            self._hand_on(raw, "content.parts.functionCall", events)
        if not said.will_continue:
            self._close(events)

    def _close(self, events: list[Event]) -> None:
        """The call that is open is over, if there is one."""
        if self._open is None:
            return
        call, arguments, form = self._open.call, self._open.arguments, self._open.form
        self._open = None
        self._add_arguments(call, arguments.text(), events)
        if form is not None and not call.broken:
            told = _value_of(form, "functionCall")
            kept = {k: v for k, v in told.items() if k not in _STREAMED}
            kept["args"] = msgspec.Raw(arguments.text().encode())
            raw = msgspec.json.encode({**form, "functionCall": kept})
            self._keep(raw, call.part, events)

    def _add_arguments(self, call: Call, text: str, events: list[Event]) -> None:
        call.arguments.append(text)
        events.append(ToolCallDelta(call.number, text, self._index))

    # What is beside the parts

    def _take_logprobs(self, raw: bytes, events: list[Event]) -> None:
        try:
            said = decode_json(decode_logprobs, raw)
        except Malformed:
            self._hand_on(raw, "logprobsResult", events)
            return
        tops = [top.candidates or [] for top in said.top_candidates or ()]
        tokens = [
            TokenLogProb(
                chosen.token,
                chosen.log_probability,
                None,
                [TokenLogProb(top.token, top.log_probability) for top in tops[number]]
                if number < len(tops)
                else None,
            )
            for number, chosen in enumerate(said.chosen_candidates or ())
        ]
        if tokens:
            events.append(LogProbs(tokens, index=self._index))

    def _take_sources(self, key: str, raw: bytes, events: list[Event]) -> None:
        said = decode_json(_value, raw)
        if not is_object(said):
            self._hand_on(raw, key, events)
            return
        match key:
            case "citationMetadata":
                found = list(self._citations_of(said))
            case "groundingMetadata":
                found = list(self._grounds_of(said))
            case _:
                found = list(_addresses_of(said))
        for citation in found:
            if citation.url or citation.source or citation.title or citation.quote:
                own = msgspec.structs.replace(citation, index=self._index)
                self._citations.cite(own, events)
        plain = _is_plain(said, found) if key == "groundingMetadata" else _is_listed(said)
        if not plain:
            # It has what must be shown beside the answer (`searchEntryPoint`), the queries, a
            # license, or a page that could not be read.
            self._hand_on(raw, key, events)

    def _citations_of(self, said: dict[str, Any]) -> Iterator[Citation]:
        for each in _objects(said, "citations") or _objects(said, "citationSources"):
            yield self._cited_at(_source_of(each), each, None)

    def _grounds_of(self, said: dict[str, Any]) -> Iterator[Citation]:
        sources: list[Citation] = []
        for chunk in _objects(said, "groundingChunks"):
            inner = (chunk.get(kind) for kind in _SOURCES)
            known = next(filter(is_object, inner), None)
            sources.append(Citation() if known is None else _source_of(known))
        for support in _objects(said, "groundingSupports"):
            segment, numbers = support.get("segment"), support.get("groundingChunkIndices")
            for number in numbers if is_list(numbers) else ():
                if isinstance(number, int) and 0 <= number < len(sources):
                    place = segment if is_object(segment) else {}
                    yield self._cited_at(sources[number], place, place.get("partIndex"))
        yield from sources  # those that were cited with a place are not cited again

    def _cited_at(self, source: Citation, place: dict[str, Any], number: Any) -> Citation:
        """`source` with the place that it supports, if that can be found."""
        end = place.get("endIndex")
        span = None
        if isinstance(end, int):
            start, text = place.get("startIndex") or 0, place.get("text")
            span = self.spoken.span(
                start if isinstance(start, int) else 0,
                end,
                text if isinstance(text, str) else None,
                number if isinstance(number, int) else 0,
            )
        if span is None:
            return source
        return msgspec.structs.replace(source, part=span.part, start=span.start, end=span.end)

    def _keep(self, raw: bytes, part: int, events: list[Event]) -> None:
        """The native form of a part."""
        self._parts.add()
        events.append(native_of(raw, part, self._index))

    def _hand_on(self, raw: bytes, place: str, events: list[Event]) -> None:
        """A piece that is not understood, as it came."""
        events.append(Unrecognized(raw, f"candidates[{self._index}].{place}"))


def native_of(raw: bytes, part: int, index: int) -> Native:
    """The native form of a part: as it came, if that is strict JSON."""
    try:
        msgspec.json.decode(raw)
    except (ValueError, RecursionError):  # it has half a character
        raw = msgspec.json.encode(decode_json(_value, raw))
    return Native(DIALECT, raw, part, index)


def _value_of(form: Fields, key: str) -> Any:
    return decode_json(_value, bytes(form[key]))


def _arguments(raw: bytes) -> str:
    """Arguments as they came. A string is none, but may tell what they were to be."""
    if raw[:1] == b'"':
        return str(decode_json(_value, raw))
    return raw.decode(errors="replace")


def _picture(raw: bytes) -> tuple[bytes, str] | None:
    """The bytes and the type of a picture."""
    try:
        blob, unknown = blobs.decode(raw)
        if unknown or not blob.mime_type.startswith("image/"):
            return None
        data = blob.data.replace("-", "+").replace("_", "/")
        return b64decode(data, validate=True), blob.mime_type
    except (Malformed, ValueError):
        return None


def _objects(said: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list; one that is none has nothing in it."""
    listed = said.get(key)
    return [each if is_object(each) else {} for each in listed] if is_list(listed) else []


def _source_of(said: dict[str, Any]) -> Citation:
    def text(*keys: str) -> str:
        return next((value for key in keys if isinstance(value := said.get(key), str)), "")

    return Citation(
        url=text("uri", "sourceUri"),
        title=text("title"),
        source=text("documentName", "placeId"),
        quote=text("text"),
    )


def _is_plain(said: dict[str, Any], found: list[Citation]) -> bool:
    """Whether grounding metadata is nothing but addresses with their titles, and places in the
    text, which were all `found`."""
    chunks, supports = _objects(said, "groundingChunks"), _objects(said, "groundingSupports")
    numbers = (support.get("groundingChunkIndices") for support in supports)
    return (
        said.keys() <= {"groundingChunks", "groundingSupports"}
        and all(map(_is_list_of_objects, said.values()))
        and all(chunk.keys() == {"web"} and _is_page(chunk["web"]) for chunk in chunks)
        and all(support.keys() <= {"segment", "groundingChunkIndices"} for support in supports)
        and sum(len(each) for each in numbers if is_list(each))
        == sum(each.start is not None for each in found)
    )


def _is_list_of_objects(value: Any) -> bool:
    return value is None or (is_list(value) and all(map(is_object, value)))


def _is_page(page: Any) -> bool:
    """Whether it is nothing but an address with its title."""
    return is_object(page) and all(
        key in _PAGE and (value is None or isinstance(value, str)) for key, value in page.items()
    )


def _is_listed(said: dict[str, Any]) -> bool:
    """Whether metadata of other kinds is nothing but a list of addresses, which were all told."""
    lists = [value for value in said.values() if value]
    return said.keys() <= _LISTS and all(
        is_list(value) and all(map(_is_address, value)) for value in lists
    )


def _is_address(item: Any) -> bool:
    """Whether an item is an address with its title and place, or a page that was read."""
    if not is_object(item):
        return False
    told = {key: value for key, value in item.items() if value}
    read = told.pop("urlRetrievalStatus", None) == _READ or "retrievedUrl" not in told
    return (
        read
        and told.keys() <= _CITED
        and all(isinstance(told[k], str) for k in _TEXTS & told.keys())
    )


def _addresses_of(said: dict[str, Any]) -> Iterator[Citation]:
    """The pages that were read."""
    for each in _objects(said, "urlMetadata"):
        url, status = each.get("retrievedUrl"), each.get("urlRetrievalStatus")
        if isinstance(url, str) and status == _READ:
            yield Citation(url)

"""The client half of Converse and ConverseStream.

Sources: botocore's model of `bedrock-runtime` (2023-09-30), the API reference
(docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html), and recordings.
"""

from base64 import b64decode
from typing import Any
from urllib.parse import quote

import msgspec

from ...aws import ERRORS, REQUEST_ID
from ...blocks import Block, BlockKind, BlockReader
from ...dialect import words
from ...errors import Malformed
from ...events import (
    Citation,
    Event,
    Image,
    Native,
    Reasoning,
    Start,
    Text,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...question import Question
from ...step import FrameStep, Step
from ...toolkit.http import Headers, get_header
from ...toolkit.json import count_in, decode_json, is_list, is_object, objects_of, text_of
from ...toolkit.refusals import is_refusal, refusal_of_object
from ...toolkit.toolcalls import is_json_object
from .request import DIALECT, encode_chat
from .wire import (
    Call,
    Fields,
    Usual,
    calls,
    decode_fields,
    decode_text,
    events,
    messages,
    metadata,
    usuals,
    wholes,
)

__all__ = ["STREAM", "WHOLE", "ConverseStep"]

STREAM, WHOLE = "/model/{model}/converse-stream", "/model/{model}/converse"
"""Where chats are asked, streamed or not."""

_value = msgspec.json.Decoder()
_EVENTS = words(
    "messageStart contentBlockStart contentBlockDelta contentBlockStop messageStop metadata"
)
_USUAL = words("text toolUse reasoningContent")
"""The members that most pieces are. Of two of them none is guessed to be the right one."""
_PICTURE = {"format", "source", "bytes"}
"""The keys of a picture, and of its source."""
_UNTOLD: tuple[dict[str, Any], ...] = (
    {"reasoningContent": {"reasoningText": {}}},
    {"citationsContent": {"content": [], "citations": []}},
)
"""Native forms of which nothing has been told yet but what other events say."""
_ABOUT = ("metrics", "performanceConfig", "serviceTier")
"""What is told beside the usage."""


class ConverseStep(FrameStep):
    """One message, streamed or not."""

    unfinished = "the stream ended before messageStop"
    errors = ERRORS

    def __init__(self, question: Question) -> None:
        path = STREAM if question.chat.stream else WHOLE
        path = path.replace("{model}", quote(question.model, safe=""))
        super().__init__(question.post(path, encode_chat(question)), question.limits)
        self._reader = BlockReader(DIALECT, question.limits, question.finishes)
        self._model = question.model
        self._id = ""
        self._counted = False  # whether the metadata came, which are last as a rule
        self._plain: Block | None = None  # the open text, if the pieces of it are all it has

    def response(self, status: int, headers: Headers) -> None:
        super().response(status, headers)
        self._id = get_header(headers, REQUEST_ID) or ""

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        if self._id:
            self._begin(events)
        plain = self._plain
        if plain is not None and type == "contentBlockDelta":  # it may well go on
            try:
                piece = decode_text(data)
            except (ValueError, RecursionError):
                pass
            else:
                if piece.contentBlockIndex == plain.number:
                    if text := piece.delta.text:
                        events.append(Text(text, plain.part))
                    return
        if type not in _EVENTS or not _holds_object(data):
            events.append(Unrecognized(data, type))
            return
        match type:
            case "contentBlockDelta":
                try:
                    usual = usuals.decode(data)
                except (ValueError, RecursionError):
                    usual = None
                if usual is None or not self._take_usual(usual, events):
                    self._take_event(data, type, events)
            case "metadata":
                self._counted = self._count(data, events)
                if self.evidence is not None:
                    self.evidence = "terminator"
            case _:
                self._take_event(data, type, events)

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        output = value.get("output") if is_object(value) else None
        told = is_object(output) and is_object(output.get("message"))
        if not told and not (is_object(value) and "stopReason" in value):
            if is_refusal(value, self.errors):
                raise refusal_of_object(value, self.errors, data=body)
            raise Malformed("a JSON document without an output", data=body)
        if self._id:
            self._begin(events)
        whole, unknown = wholes.decode(body)
        for key, raw in _members(bytes(whole.output), "output", events):
            if key == "message" and raw[:1] == b"{":
                self._take_message(raw, events)
            else:
                events.append(Unrecognized(raw, f"output.{key}"))
        self._reader.hand_on(
            [(key, raw) for key, raw in unknown if key == "stopReason"], "", self.errors, events
        )
        self._count(body, events, ignored=("output", "stopReason", "additionalModelResponseFields"))
        self._stop(whole.stopReason, bytes(whole.additionalModelResponseFields), events)
        if self.evidence is not None:
            # The closing brace shows that it is whole; without a reason it is half an answer.
            self.evidence = "terminator"
        return None

    def settle(self, proven: bool, events: list[Event]) -> None:
        self._reader.settle(proven, events)
        self.failure = self._reader.failure

    # The message

    def _begin(self, events: list[Event]) -> None:
        events.append(Start(self._id, self._model))
        self._id = ""

    def _take_message(self, raw: bytes, events: list[Event]) -> None:
        """The message of a whole answer."""
        message, unknown = messages.decode(raw)
        for number, block in enumerate(message.content or ()):
            self._take_block(number, bytes(block), events)
        self._reader.hand_on(unknown, "output.message.", self.errors, events)

    def _take_event(self, data: bytes, type: str, out: list[Event]) -> None:
        """An event that is not one of the usual ones."""
        event, unknown = events.decode(data)
        self._reader.hand_on(unknown, f"{type}.", self.errors, out)
        reader = self._reader
        block = reader.find(event.contentBlockIndex)
        number = event.contentBlockIndex
        match type:
            case "contentBlockStart":
                self._start(reader.next if number is None else number, bytes(event.start), out)
            case "contentBlockDelta":
                if number is None:
                    number = reader.next if block is None else block.number
                self._take_delta(number, bytes(event.delta), out)
            case "contentBlockStop":
                if block is not None:
                    self._close(block, out)
            case "messageStop":
                for each in reader.opened:
                    self._close(each, out)
                self._stop(event.stopReason, bytes(event.additionalModelResponseFields), out)
            case _:
                pass

    def _stop(self, reason: str, fields: bytes, events: list[Event]) -> None:
        """The message is over. `fields` are those of the model's own that the caller asked for."""
        if fields:
            events.append(Unrecognized(fields, "additionalModelResponseFields"))
            value = decode_json(_value, fields)
            inner = value.get("delta") if is_object(value) else None
            self._reader.detail = text_of(value, "stop_sequence") or text_of(inner, "stop_sequence")
        if reason:
            self._reader.finish_reason = reason
            self.evidence = "terminator" if self._counted else "finish"

    def _count(self, data: bytes, events: list[Event], ignored: tuple[str, ...] = ()) -> bool:
        """The metadata, of an event or of a whole answer. Returns whether the usage is there."""
        told, unknown = metadata.decode(data)
        about = {key: value for key in _ABOUT if (value := getattr(told, key)) is not None}
        if told.usage is not None or about:
            events.append(_usage_of({**(told.usage or {}), **about}))
        further = [(key, value) for key, value in unknown if key not in ignored]
        self._reader.hand_on(further, "metadata.", self.errors, events)
        return told.usage is not None

    # Its blocks

    def _open(
        self, number: int, kind: BlockKind, events: list[Event], *, id: str = "", name: str = ""
    ) -> Block:
        if (open := self._reader.find(number)) is not None:  # it has no stop
            self._close(open, events)
        if self.evidence == "finish":
            self.evidence = None  # it goes on after all
        self._plain = None
        return self._reader.open(number, kind, events, id=id, name=name)

    def _start(self, number: int, raw: bytes, events: list[Event]) -> None:
        """A block begins that says so. Others begin with a piece."""
        place = f"content[{number}].start"
        for kind, inner in _members(raw, place, events):
            fields = _fields_of(inner)
            said = {} if fields is None else {key: _decoded(fields[key]) for key in fields}
            if kind not in ("toolUse", "toolResult", "image") or fields is None:
                events.append(Unrecognized(inner, f"{place}.{kind}"))
            elif kind == "toolUse" and said.get("type") in (None, "tool_use"):
                call, further = calls.decode(inner)
                if (early := bytes(call.input)) not in (b"", b"{}", b'""'):
                    further.append(("input", early))  # its place is in the pieces
                self._open(number, ToolCallStart, events, id=call.toolUseId, name=call.name)
                self._judge(number, call, further, f"{place}.{kind}", events)
            else:  # a tool that the service runs, its result, or a picture
                block = self._open(number, Native, events)
                block.form = {kind: said}
                self._reader.keep(block, len(inner))

    def _take_usual(self, event: Usual, events: list[Event]) -> bool:
        """A usual piece. Returns whether its block is open and can have it."""
        number, delta = event.contentBlockIndex, event.delta
        text, thought = delta.text, delta.reasoningContent
        block = self._reader.find(number)
        if delta.toolUse is not None:
            if text is not None or thought is not None or block is None or not _has_input(block):
                return False
            self._reader.piece(block, delta.toolUse.input, events)
            return True
        kind: type[Text] | type[Reasoning] = Text
        if text is None and thought is not None:
            kind, text = Reasoning, thought.text
        elif text is None or thought is not None:
            return False
        if block is None:
            if not text:  # some models begin with nothing
                return True
            block = self._begin_with(number, kind, events)
        if block.kind is not kind:
            return False
        self._reader.piece(block, text, events)
        if kind is Text and not block.form:
            self._plain = block
        return True

    def _begin_with(
        self, number: int | None, kind: type[Text] | type[Reasoning], events: list[Event]
    ) -> Block:
        """A block begins with a piece of it."""
        block = self._open(self._reader.next if number is None else number, kind, events)
        if kind is Reasoning:
            block.form = {"reasoningContent": {"reasoningText": {}}}
        return block

    def _take_delta(self, number: int, raw: bytes, events: list[Event]) -> None:
        """A piece that is rare, or has something that is not understood, or no block."""
        place = f"content[{number}].delta"
        members = _members(raw, place, events)
        usual = [member for member in members if member[0] in _USUAL]
        if len(usual) == 1 and self._take_alone(number, *usual[0], events):
            members.remove(usual[0])
        for kind, inner in members:
            if not self._take_member(number, kind, inner, events):
                self._reader.hand_on([(kind, inner)], f"{place}.", self.errors, events)
                self._spoil(number, events)

    def _take_member(self, number: int, kind: str, raw: bytes, events: list[Event]) -> bool:
        """One member of a piece. Returns whether it is understood."""
        reader, block = self._reader, self._reader.find(number)
        value = _decoded(msgspec.Raw(raw))
        match kind:
            case "reasoningContent":
                return self._think(number, value, events)
            case "citation" if is_object(value):
                return self._cite(number, value, len(raw), events)
            case "toolResult" if block is not None and "toolResult" in block.form:
                if not is_list(value):
                    return False
                reader.keep(block, len(raw))
                result = block.form["toolResult"]
                result["content"] = [*result.get("content", ()), *value]
                return True
            case "image" if block is not None and "image" in block.form and is_object(value):
                return self._draw(block, value, len(raw))
            case _:  # the usual ones, of which something is not
                return False

    def _take_alone(self, number: int, kind: str, raw: bytes, events: list[Event]) -> bool:
        """The only member of a piece that is not null. Returns whether it is a usual one."""
        piece = b'{"contentBlockIndex":%d,"delta":{"%b":%b}}' % (number, kind.encode(), raw)
        try:
            usual = decode_json(usuals, piece)
        except Malformed:
            return False
        return self._take_usual(usual, events)

    def _think(self, number: int, value: Any, events: list[Event]) -> bool:
        """What a block of thoughts has beside them: a signature, or nothing but a hidden thought
        (`redactedContent`)."""
        block, reader = self._reader.find(number), self._reader
        match value:
            case {"signature": str(signature), **others} if not others:
                if block is None:
                    block = self._begin_with(number, Reasoning, events)
                if block.kind is not Reasoning or not block.form:
                    return False
                reader.keep(block, len(signature))
                block.form["reasoningContent"]["reasoningText"]["signature"] = signature
                return True
            case {"redactedContent": str(content), **others} if not others and block is None:
                block = self._open(number, Native, events)
                block.form = {"reasoningContent": value}
                reader.keep(block, len(content))
                return True
            case _:
                return False

    def _cite(self, number: int, value: dict[str, Any], size: int, events: list[Event]) -> bool:
        """A source. A text that will be cited begins with one; of another one nothing was kept, so
        that it has no native form."""
        block = self._reader.find(number)
        if block is None:
            block = self._open(number, Text, events)
            block.form = {"citationsContent": {"content": [], "citations": []}}
        if block.kind is not Text:
            return False
        if block.form:
            self._reader.keep(block, size)
            block.form["citationsContent"]["citations"].append(value)
        events.append(_citation(value, block.part))
        return True

    def _draw(self, block: Block, value: dict[str, Any], size: int) -> bool:
        """A piece of a picture, or where it is."""
        self._reader.keep(block, size)
        match value:
            case {"source": {"bytes": str(data), **others}} if not others and len(value) == 1:
                block.pieces.append(data)
            case {"source": source} if is_object(source) and len(value) == 1:
                block.form["image"]["source"] = source
            case _:
                return False
        return True

    def _close(self, block: Block, events: list[Event]) -> None:
        """A block is over: its native form, if it needs one and all of it is understood."""
        if block is self._plain:
            self._plain = None
        form = block.form
        match form:
            case {"reasoningContent": {"reasoningText": thought}}:
                form = {"reasoningText": {"text": block.text, **thought}}
                block.form = {"reasoningContent": form} if "signature" in thought else {}
            case {"citationsContent": cited}:
                cited["content"] = [{"text": block.text}] if block.pieces else []
            case {"toolUse": call}:
                if is_json_object(block.text or "{}"):
                    call["input"] = msgspec.Raw((block.text or "{}").encode())
                else:
                    self._spoil(block.number, events)
            case {"image": image} if block.pieces:
                self._show(block, image, events)
            case _:
                pass
        self._reader.close(block, events)

    def _show(self, block: Block, image: dict[str, Any], events: list[Event]) -> None:
        """A picture whose pieces are bytes, each in base64 of its own."""
        block.form = {}
        try:
            data = b"".join(b64decode(piece, validate=True) for piece in block.pieces)
        except ValueError:
            raw = "".join(block.pieces).encode()
            events.append(Unrecognized(raw, f"content[{block.number}].image"))
            return
        events.append(Image(data, f"image/{text_of(image, 'format')}", part=block.part))
        if further := {key: value for key, value in image.items() if key != "format"}:
            raw = msgspec.json.encode(further)
            events.append(Unrecognized(raw, f"content[{block.number}].image"))

    def _spoil(self, number: int, events: list[Event]) -> None:
        """Something of a block is not understood, so it has no native form: what is known of it by
        nothing else is handed on."""
        block = self._reader.find(number)
        if block is not None and block.form and block.form not in _UNTOLD:
            place = f"content[{number}]"
            events.append(Unrecognized(msgspec.json.encode(block.form), place))
            if block.kind is Native and block.pieces:
                events.append(Unrecognized(block.text.encode(), f"{place}.input"))
        self._reader.spoil(number)

    def _judge(
        self,
        number: int,
        call: Call,
        further: list[tuple[str, bytes]],
        place: str,
        events: list[Event],
    ) -> None:
        """Hand on what of a call is not understood. One that can't be run then is not whole."""
        events += [Unrecognized(value, f"{place}.{key}") for key, value in further]
        if not call.name or dict(further).keys() & {"toolUseId", "input"}:
            self._reader.spoil(number)

    # Those of a whole answer

    def _take_block(self, number: int, raw: bytes, events: list[Event]) -> None:
        reader, value = self._reader, _decoded(msgspec.Raw(raw))
        if is_object(value):
            value = {key: member for key, member in value.items() if member is not None}
        match value:
            case {"text": str(text), **others} if not others.keys() & _USUAL:
                reader.whole(Text, text, events, form=value if others else None)
            case {"toolUse": {**said}, **others} if not others and said.get("type") in (
                None,
                "tool_use",
            ):
                inner = bytes(decode_json(decode_fields, raw)["toolUse"])
                call, further = calls.decode(inner)
                id, name, own = call.toolUseId, call.name, reader.next
                reader.whole(ToolCallStart, _input_of(call), events, id=id, name=name)
                self._judge(own, call, further, f"content[{number}].toolUse", events)
            case {
                "reasoningContent": {"reasoningText": {"text": str(text), **said}, **more},
                **others,
            } if not others:
                reader.whole(Reasoning, text, events, form=value if said or more else None)
            case {"citationsContent": cited, **others} if is_object(cited) and not others:
                block = reader.open(number, Text, events)
                block.form = value
                for citation in objects_of(cited.get("citations")):
                    events.append(_citation(citation, block.part))
                for piece in objects_of(cited.get("content")):
                    reader.piece(block, text_of(piece, "text"), events)
                reader.close(block, events)
            case {"image": {"format": str(kind), "source": {"bytes": str(data)}}} if (
                len(value) == 1 and {*value["image"], *value["image"]["source"]} == _PICTURE
            ):
                block = reader.open(number, Native, events)
                block.pieces.append(data)
                self._show(block, {"format": kind}, events)
                reader.close(block, events)
            case _ if is_object(value):
                reader.whole(Native, "", events, form=value)
            case _:
                events.append(Unrecognized(raw, f"content[{number}]"))


def _holds_object(data: bytes) -> bool:
    """Whether a payload is an object. Raises Malformed if it is no JSON."""
    return data.lstrip()[:1] == b"{" or is_object(decode_json(_value, data))


def _members(raw: bytes, place: str, events: list[Event]) -> list[tuple[str, bytes]]:
    """The members of a union that are not null. What is no object is handed on."""
    fields = _fields_of(raw)
    if fields is None:
        if raw:
            events.append(Unrecognized(raw, place))
        return []
    return [(key, bytes(value)) for key, value in fields.items() if bytes(value) != b"null"]


def _fields_of(raw: bytes) -> Fields | None:
    return decode_json(decode_fields, raw) if raw[:1] == b"{" else None


def _decoded(raw: msgspec.Raw) -> Any:
    return decode_json(_value, bytes(raw))


def _has_input(block: Block) -> bool:
    return block.call is not None or "toolUse" in block.form


def _input_of(call: Call) -> str:
    """The input of a call, as compact JSON; a string, as our server half writes one that is no
    object, as it is."""
    text = bytes(call.input) or b'""'
    value = decode_json(_value, text)
    if isinstance(value, str):
        return value
    return msgspec.json.format(text, indent=-1).decode(errors="replace")


def _citation(said: dict[str, Any], part: int) -> Citation:
    location = said.get("location")
    places = objects_of([*location.values()]) if is_object(location) else []
    place: dict[str, Any] = places[0] if places else {}
    document = place.get("documentIndex")
    return Citation(
        url=text_of(place, "url"),
        title=text_of(said, "title"),
        source=text_of(said, "source") or ("" if document is None else str(document)),
        quote="".join(text_of(each, "text") for each in objects_of(said.get("sourceContent"))),
        part=part,
    )


def _usage_of(told: dict[str, Any]) -> Usage:
    """Of a `usage` object. The wire's `inputTokens` are those that no cache was involved in."""
    read = count_in(told, "cacheReadInputTokens")
    written = count_in(told, "cacheWriteInputTokens")
    fresh, said = count_in(told, "inputTokens"), count_in(told, "outputTokens")
    asked = None if fresh is None else fresh + (read or 0) + (written or 0)
    total = count_in(told, "totalTokens")
    if total is None and asked is not None and said is not None:
        total = asked + said
    return Usage(asked, said, total, read, written, raw=told)

"""The client half of Cohere's chat, version 2.

Sources: the vendor's schema (cohere-openapi.yaml), documentation (docs.cohere.com) and SDKs, and
recordings. What an event is, its data says (`type`); the name beside it may be missing.
"""

from typing import Any

import msgspec

from ...blocks import Block, BlockKind, BlockReader
from ...errors import ContentFiltered, Malformed, UnexpectedContent
from ...events import (
    Citation,
    Event,
    LogProbs,
    Native,
    Reasoning,
    Start,
    Text,
    TokenLogProb,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...limits import Parts
from ...question import Question
from ...step import EventStep, Step
from ...toolkit.citations import Citations
from ...toolkit.finish import kind_of
from ...toolkit.json import count_in, decode_json, is_object, objects_of, text_of
from ...toolkit.refusals import ErrorTable, is_refusal, refusal_of_object
from .request import DIALECT, encode_chat
from .wire import (
    USUAL,
    answers,
    calls,
    contents,
    deltas,
    ends,
    events,
    functions,
    logprobs,
    messages,
    texts,
    thoughts,
)

__all__ = ["ERRORS", "PATH", "CohereStep"]

PATH = "/v2/chat"
"""Where chats are asked, below the base URL."""


def _error(value: Any) -> tuple[str | None, str | None, str] | None:
    """An error of the service: `{"id", "message"}`, sometimes with an `error_type`."""
    if not is_object(value) or not isinstance(message := value.get("message"), str):
        return None
    kind = text_of(value, "error_type") or None
    return kind, kind, message


ERRORS = ErrorTable(
    statuses={498: ContentFiltered},  # the request or the answer hit a deny list
    request_ids=(b"x-debug-trace-id",),
    request_id="id",
    read=_error,
)

decode_text, decode_thought = texts.decode, thoughts.decode
_PLAIN: dict[type[Text] | type[Reasoning], msgspec.json.Decoder[Any]] = {
    Text: texts,
    Reasoning: thoughts,
}
_value = msgspec.json.Decoder()
_text = msgspec.json.Decoder(str)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_PIECES = frozenset(
    f"{kind}-{what}"
    for kind in ("content", "tool-call", "citation", "tool-plan")
    for what in ("start", "delta", "end")
)
"""The events that say a piece of the message."""

_CONTENT, _CALL = 0, 1
"""The kinds of blocks, which count from 0 each."""

_PLAN, _CITATIONS = 2, 3
"""The numbers of what is like a block and has no index."""


def _key(kind: int, index: int) -> int:
    """The number of a block among those of all kinds."""
    return 4 * index + kind


class CohereStep(EventStep):
    """One chat, streamed or not."""

    unfinished = "the stream ended before message-end"
    errors = ERRORS
    usual = USUAL

    def __init__(self, question: Question) -> None:
        accept = "text/event-stream" if question.chat.stream else "application/json"
        body = encode_chat(question.chat, question.model)
        super().__init__(question.post(PATH, body, {"accept": accept}), question.limits)
        self._model = question.model
        self._finishes = question.finishes
        self._reader = BlockReader(DIALECT, question.limits, question.finishes)
        self._cited = Citations(Parts(question.limits.parts))
        self._begun = False
        self._last = {_CONTENT: -1, _CALL: -1}  # the last index of each kind
        self._text: Block | None = None  # the last text or thought
        self._plan: Block | None = None  # while it goes on
        self._planned = 0  # the part of the plan
        self._citations: Block | None = None

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        block = self._text
        for payload in payloads:
            if block is not None:  # it may well go on
                thinks = block.kind is Reasoning
                try:
                    piece = decode_thought(payload) if thinks else decode_text(payload)
                except (ValueError, RecursionError):
                    pass
                else:
                    if 4 * piece.index == block.number:  # that is its `_key`
                        if said := piece.delta.message.content.text:
                            part = block.part
                            events.append(Reasoning(said, part) if thinks else Text(said, part))
                        continue
            self.event(payload, USUAL, events)
            if self.evidence == "terminator":
                return
            block = self._text

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        if type in (USUAL, "message") and self._take_piece(data, events):
            return
        if data.lstrip()[:1] != b"{":
            # `[DONE]` comes after the end, or too early, and says nothing (quirk 8).
            if data.strip() != b"[DONE]":
                self.no_json(data, events)
        else:
            self._take_event(data, "" if type == "message" else type, events)

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        told = is_object(value) and (is_object(value.get("message")) or "finish_reason" in value)
        if not told:
            if is_refusal(value):
                raise refusal_of_object(value, self.errors, data=body)
            raise UnexpectedContent("a JSON document that is no answer", data=body)
        said, unknown = answers.decode(body)
        self._begin(said.id or said.generation_id, events)
        self._take_message(bytes(said.message), "message", None, False, events)
        self._take_logprobs(bytes(said.logprobs), events)
        self._end(said, unknown, "", events)
        return None

    def settle(self, proven: bool, events: list[Event]) -> None:
        super().settle(proven, events)
        self._reader.settle(proven, events)
        self.failure = self._reader.failure

    def _take_piece(self, data: bytes, events: list[Event]) -> bool:
        """An event of nothing but some text or thought, which may be large: whether it is one, and
        its content is understood."""
        for kind, decoder in _PLAIN.items():
            try:
                piece = decode_json(decoder, data)
            except Malformed:
                continue
            number = _key(_CONTENT, self._index(_CONTENT, piece.index, False))
            block = self._reader.find(number)
            if block is not None and block.kind is Native:
                return False
            self._begun = True
            self._say(block, number, kind, piece.delta.message.content.text, events)
            return True
        return False

    def _take_event(self, data: bytes, name: str, out: list[Event]) -> None:
        said, unknown = events.decode(data)
        type = said.type or name
        if type == "message-start":
            self._begin(said.id, out)
        elif type == "message-end":
            end, more = ends.decode(self._object(bytes(said.delta), "delta", out))
            self._take_message(bytes(end.message), "delta.message", None, False, out)
            self._end(end, more, "delta.", out)
        elif type not in _PIECES:
            # Of other names, a `message` may be that of a side event (quirk 55).
            value = decode_json(_value, data) if type in ("", "error") else None
            if is_refusal(value):
                raise refusal_of_object(value, self.errors, data=data)
            out.append(Unrecognized(data))
            return
        self._begun = True
        if type != "message-end":
            delta, more = deltas.decode(self._object(bytes(said.delta), "delta", out))
            begins = type.endswith("-start")
            self._take_message(bytes(delta.message), "delta.message", said.index, begins, out)
            self._reader.hand_on(more, "delta.", self.errors, out)
        self._take_logprobs(bytes(said.logprobs), out)
        self._reader.hand_on(unknown, "", self.errors, out)

    def _begin(self, id: Any, events: list[Event]) -> None:
        """The answer begins; nothing in it says which model answers."""
        if not self._begun:
            events.append(Start(str(id or ""), self._model))

    def _end(
        self, said: Any, unknown: list[tuple[str, bytes]], place: str, events: list[Event]
    ) -> None:
        """The answer is over."""
        self._end_plan(events)
        if self._citations is not None:
            self._reader.close(self._citations, events)
        if said.usage:
            events.append(_usage(said.usage))
        events += [Unrecognized(value, f"{place}{key}") for key, value in unknown]
        reason = said.finish_reason
        words = said.error if isinstance(said.error, str) else ""
        if said.error or said.error_type or kind_of(reason, self._finishes) == "error":
            reason = reason or "ERROR"
            value = {"message": words, "error_type": said.error_type or reason}
            if said.error and not words:
                value = {"error": said.error}
            self._reader.failure = refusal_of_object(value, self.errors)
        self._reader.finish_reason, self._reader.detail = reason, words
        self.evidence = "terminator"

    # The message

    def _object(self, raw: bytes, place: str, events: list[Event]) -> bytes:
        """`raw`, if it is an object; anything else is handed on."""
        if raw[:1] == b"{":
            return raw
        if raw:
            events.append(Unrecognized(raw, place))
        return b"{}"

    def _take_message(
        self, raw: bytes, place: str, index: int | None, begins: bool, out: list[Event]
    ) -> None:
        """A message, or a piece of one: that of the block `index`, which may begin."""
        message, unknown = messages.decode(self._object(raw, place, out))
        for content, where, whole in _each(bytes(message.content), f"{place}.content"):
            self._take_content(content, where, None if whole else index, begins, whole, out)
        if message.tool_plan:
            if self._plan is None:
                self._plan = self._reader.open(_PLAN, Reasoning, out)
                self._planned = self._plan.part
            self._reader.piece(self._plan, message.tool_plan, out)
        for call, where, whole in _each(bytes(message.tool_calls), f"{place}.tool_calls"):
            self._take_call(call, where, None if whole else index, begins or whole, out)
        for citation, where, _ in _each(bytes(message.citations), f"{place}.citations"):
            self._cite(citation, where, out)
        self._reader.hand_on(unknown, f"{place}.", self.errors, out)

    def _index(self, kind: int, index: int | None, begins: bool) -> int:
        """The index of a block; one that is missing is that of the last, or of the next."""
        if index is None:
            index = self._last[kind] + 1 if begins else max(self._last[kind], 0)
        self._last[kind] = index
        return index

    def _open(self, number: int, kind: BlockKind, events: list[Event]) -> Block:
        """A content begins, and the plan before it is over."""
        self._end_plan(events)
        block = self._reader.open(number, kind, events)
        self._text = None if kind is Native else block
        return block

    def _end_plan(self, events: list[Event]) -> None:
        if (plan := self._plan) is not None:
            plan.form = {"tool_plan": plan.text}
            self._reader.close(plan, events)
            self._plan = None

    def _take_content(
        self,
        raw: bytes,
        place: str,
        index: int | None,
        begins: bool,
        whole: bool,
        events: list[Event],
    ) -> None:
        """Some text or thought: its key says which. A `whole` one stands in a list."""
        number = _key(_CONTENT, self._index(_CONTENT, index, begins or whole))
        block = None if begins or whole else self._reader.find(number)
        if raw[:1] == b'"':  # as some servers write a text
            raw = b'{"text":%b}' % raw
        content, unknown = contents.decode(self._object(raw, place, events))
        if block is None and content.type not in ("", "text", "thinking"):
            block = self._open(number, Native, events)
            if whole:
                block.form = {"content": [decode_json(_value, raw)]}
                self._reader.close(block, events)
                return
        if block is not None and block.kind is Native:  # of a type that is not understood
            events.append(Unrecognized(raw, place))
            return
        if block is None and content.type:
            block = self._open(number, Text if content.type == "text" else Reasoning, events)
        block = self._say(block, number, Reasoning, content.thinking, events)
        self._say(block, number, Text, content.text, events)
        events += [Unrecognized(value, f"{place}.{key}") for key, value in unknown]

    def _say(
        self,
        block: Block | None,
        number: int,
        kind: type[Text] | type[Reasoning],
        text: str,
        events: list[Event],
    ) -> Block | None:
        """Some text or thought of a block, if that has this kind; else it begins one."""
        if text:
            if block is None or block.kind is not kind:
                block = self._open(number, kind, events)
            events.append(kind(text, block.part))
        return block

    def _take_call(
        self, raw: bytes, place: str, index: int | None, begins: bool, events: list[Event]
    ) -> None:
        number = _key(_CALL, self._index(_CALL, index, begins))
        try:
            call, further = calls.decode(raw)
            function, unknown = functions.decode(bytes(call.function) or b"{}")
            arguments = _arguments(bytes(function.arguments))
        except Malformed:
            self._reader.spoil(number)
            events.append(Unrecognized(raw, place))
            return
        block = None if begins else self._reader.find(number)
        if begins and function.name:
            self._end_plan(events)
            block = self._reader.open(number, ToolCallStart, events, id=call.id, name=function.name)
        if block is None:  # of no call, or of one that nobody can run
            self._reader.spoil(number)  # what follows is not of the call before it
            events.append(Unrecognized(raw, place))
            return
        self._reader.piece(block, arguments, events)
        further += [(f"function.{key}", value) for key, value in unknown]
        events += [Unrecognized(value, f"{place}.{key}") for key, value in further]

    def _cite(self, raw: bytes, place: str, events: list[Event]) -> None:
        """A citation: an event for each source. All of them go back as they came, which holds
        whole documents."""
        said = decode_json(_value, raw)
        if not is_object(said):
            events.append(Unrecognized(raw, place))
            return
        block = self._citations
        if block is None:
            block = self._reader.open(_CITATIONS, Native, events)
            block.form = {"citations": []}
            self._citations = block
        self._reader.keep(block, len(raw))
        block.form["citations"].append(said)
        part = self._part_of(said)
        for source in objects_of(said.get("sources")):
            self._cited.cite(_citation(said, source, part), events)

    def _part_of(self, said: dict[str, Any]) -> int:
        """The part that a citation is about; the last text, if it does not say."""
        if said.get("type") == "PLAN":
            return self._planned
        index = count_in(said, "content_index")
        block = self._text if index is None else self._reader.find(_key(_CONTENT, index))
        return 0 if block is None else block.part

    def _take_logprobs(self, raw: bytes, events: list[Event]) -> None:
        tokens: list[TokenLogProb] = []
        for each, place, _ in _each(raw, "logprobs"):
            said, unknown = logprobs.decode(each) if each[:1] == b"{" else (None, ())
            if said is None or unknown or len(said.token_ids) > 1 or len(said.logprobs) != 1:
                # Of several tokens it is not told which text each one is.
                events.append(Unrecognized(each, place))
            else:
                tokens.append(TokenLogProb(said.text, said.logprobs[0]))
        if tokens:
            events.append(LogProbs(tokens))


def _each(raw: bytes, place: str) -> list[tuple[bytes, str, bool]]:
    """A piece, or the items of a list, each with its place, and whether it is an item."""
    if raw[:1] != b"[":
        return [(raw, place, False)] if raw else []
    items = decode_json(_list, raw)
    return [(bytes(item), f"{place}[{n}]", True) for n, item in enumerate(items)]


def _arguments(raw: bytes) -> str:
    """The arguments of a call, or a piece of them, as text. Raises Malformed for anything but a
    text or an object."""
    if raw[:1] == b"{":
        return raw.decode(errors="replace")
    return decode_json(_text, raw or b'""')


def _citation(said: dict[str, Any], source: dict[str, Any], part: int) -> Citation:
    found = source.get("document", source.get("tool_output"))
    return Citation(
        url=text_of(found, "url"),
        title=text_of(found, "title"),
        source=text_of(source, "id"),
        quote=text_of(found, "snippet"),
        start=count_in(said, "start"),
        end=count_in(said, "end"),
        part=part,
    )


def _usage(usage: dict[str, Any]) -> Usage:
    """A `usage` object, with OpenTelemetry's names. What is billed leaves out templates and
    documents, and counts only where nothing else is told."""
    tokens = usage.get("tokens") or usage.get("billed_units")
    asked, said = count_in(tokens, "input_tokens"), count_in(tokens, "output_tokens")
    return Usage(
        input_tokens=asked,
        output_tokens=said,
        total_tokens=None if asked is None or said is None else asked + said,
        cache_read_input_tokens=count_in(usage, "cached_tokens"),
        reasoning_output_tokens=count_in(tokens, "reasoning_tokens"),
        raw=usage,
    )

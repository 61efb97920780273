"""The server half of Converse and ConverseStream: as Bedrock itself writes them.

A stream is one block after the other, numbered without gaps. Only tool calls, and what the service
ran, have a start. The finish and the usage wait for the end, where the format has their place.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from ...aws import AwsResponder, event_frame
from ...blocks import Act, Block, BlockWriter, blocks_of, with_citations
from ...chat import Chat
from ...encoding import accepted_id, value_of
from ...errors import LocalProtocolError
from ...events import (
    Citation,
    End,
    Event,
    Finish,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallStart,
    Usage,
)
from ...limits import Limits
from ...reading import read_json
from ...reply import Choice, Reply
from ...service import Service
from ...toolkit.http import Request
from ...toolkit.json import is_list, is_object, objects_of, text_of
from .body import chat_of
from .request import DIALECT, IDS

__all__ = ["ConverseResponder"]

_dict = msgspec.json.Decoder(dict[str, Any])
_USAGE = ("cacheDetails", "serverToolUsage")
"""What of a service's own usage goes on as it is, beside the counts."""
_ABOUT = ("metrics", "performanceConfig", "serviceTier")
"""What stands beside the usage."""
_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "content_filtered",
}
"""The words for finish reasons of other formats."""


class ConverseResponder(AwsResponder):
    """Answers one request for a message, streamed or not."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._begun = False
        self._writer = BlockWriter(DIALECT)
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._called = False
        self._thoughts: set[int] = set()  # the parts that are thoughts
        self._sealed = 0
        self._cited: Block | None = None  # the open text, if it began with a source

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        """The chat. Refuses (415, 413, 400, 404) what a real service refuses."""
        stream = self.is_streamed(request)
        model = self.service.check_model(found["model"])
        fields = read_json(request, _dict, labelled=False)  # some of its SDKs do not label it
        return chat_of(fields, model, self.service.sealer, stream=stream)

    def can_say(self, event: Event) -> bool:
        if getattr(event, "index", 0) or getattr(event, "custom", False):
            return False
        return super().can_say(event)

    def write(self, event: Event) -> bytes:
        match event:
            case Start():
                return b""
            case Usage():
                self._usage = event
                return b""
            case Finish():
                self._finish = event
                return b""
            case End():
                return self._begin() + self._acts(self._writer.end()) + self._over()
            case _:
                return self._begin() + self._acts(self._writer.write(self._own(event)))

    def write_whole(self, reply: Reply) -> bytes:
        choice = reply.choices.get(0, Choice())
        self._usage, self._finish = reply.usage, choice.finish
        events = map(self._own, with_citations(choice))
        complete = [call.complete for call in choice.tool_calls]
        content = [self._whole_block(block, complete) for block in blocks_of(events, DIALECT)]
        return msgspec.json.encode(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                **(self._stopped() if self.complete or choice.finish else {}),
                **_metadata(self._usage),
            }
        )

    def _own(self, event: Event) -> Event:
        """`event`; another format's native form as one of ours, if there is a sealer: the signature
        of a thought, or a hidden thought of its own. A refusal is text."""
        if isinstance(event, Refusal):
            return Text(event.text, event.part)
        if isinstance(event, Reasoning):
            self._thoughts.add(event.part)
        self._called = self._called or isinstance(event, ToolCallStart)
        sealer = self.service.sealer
        if not isinstance(event, Native) or event.dialect in ("", DIALECT) or sealer is None:
            return event
        data = sealer.seal(event)
        if event.part in self._thoughts:
            thought: dict[str, Any] = {"reasoningText": {"signature": data}}
            part = event.part
        else:
            self._sealed += 1
            thought = {"redactedContent": b64encode(data.encode()).decode()}
            part = -self._sealed
        return Native(DIALECT, msgspec.json.encode({"reasoningContent": thought}), part)

    # The stream

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _event("messageStart", role="assistant")

    def _over(self) -> bytes:
        return _event("messageStop", **self._stopped()) + _event(
            "metadata", **_metadata(self._usage)
        )

    def _stopped(self) -> dict[str, Any]:
        """Why the answer is over."""
        finish = self._finish or Finish("", "tool_call" if self._called else "stop")
        reason = finish.reason
        if reason not in self.service.provider.dialect.finish:
            reason = _REASONS.get(finish.kind, reason)
        return {"stopReason": reason}

    def _acts(self, acts: list[Act]) -> bytes:
        written: list[bytes] = []
        for act in acts:
            block = act.block
            match act.does:
                case "open":
                    written += self._open(block)
                case "piece" if act.citation is not None or block is self._cited:
                    written += self._cite(act)
                case "piece":
                    block.size = 1  # it has begun
                    written.append(_delta(block, _piece(block, act.text)))
                case _:
                    written += self._close(block)
        return b"".join(written)

    def _open(self, block: Block) -> Iterator[bytes]:
        if block.call is not None:
            yield _start(block, {"toolUse": self._call(block)})
        elif block.kind is Native:
            yield from _whole_pieces(block, _form(block))

    def _cite(self, act: Act) -> Iterator[bytes]:
        """A source, or a piece of a text that began with one. That text is held back, as its native
        form, which comes last, has the sources in full."""
        block = act.block
        if not block.size:
            self._cited = block
        if block is not self._cited:
            yield _delta(block, {"citation": _citation(act.citation)})
            return
        block.pieces.append(act.text)
        block.size += len(act.text) + 1
        if block.size > Limits().event:
            raise LocalProtocolError("a text with sources that is too long: leave out its sources")

    def _close(self, block: Block) -> Iterator[bytes]:
        form = _form(block)
        if block is self._cited:
            self._cited = None
            for citation in _citations(block):
                yield _delta(block, {"citation": citation})
            if block.text:
                yield _delta(block, {"text": block.text})
        elif block.kind is Reasoning and (signature := _signature(form)):
            yield _delta(block, {"reasoningContent": {"signature": signature}})
        yield _event("contentBlockStop", contentBlockIndex=block.number)

    def _call(self, block: Block) -> dict[str, Any]:
        call = block.call
        assert call is not None  # as its kind is that of a call
        id = accepted_id(call.id or f"tooluse_{self.number}_{call.number}", IDS)
        return {"toolUseId": id, "name": call.name}

    # The whole answer

    def _whole_block(self, block: Block, complete: list[bool]) -> dict[str, Any]:
        """`complete`: whether each call is."""
        form = _form(block)
        if block.kind is Native:
            return form
        if block.kind is Text:
            text = {"text": block.text}
            if not block.citations:
                return text
            return {
                "citationsContent": {
                    "content": [text] if block.text else [],
                    "citations": _citations(block),
                }
            }
        if block.kind is Reasoning:
            signed = {"signature": signature} if (signature := _signature(form)) else {}
            return {"reasoningContent": {"reasoningText": {"text": block.text, **signed}}}
        # Of a call that was cut before its arguments, an empty object would tell otherwise.
        call = block.call
        cut = call is not None and not complete[call.number] and block.text in ("", "{}")
        return {"toolUse": {**self._call(block), "input": "" if cut else _input(block.text)}}


def _event(type: str, **fields: Any) -> bytes:
    return event_frame(type, msgspec.json.encode(fields))


def _start(block: Block, start: dict[str, Any]) -> bytes:
    return _event("contentBlockStart", contentBlockIndex=block.number, start=start)


def _delta(block: Block, delta: dict[str, Any]) -> bytes:
    return _event("contentBlockDelta", contentBlockIndex=block.number, delta=delta)


def _piece(block: Block, text: str) -> dict[str, Any]:
    if block.call is not None:
        return {"toolUse": {"input": text}}
    return {"reasoningContent": {"text": text}} if block.kind is Reasoning else {"text": text}


def _form(block: Block) -> dict[str, Any]:
    """The native form of a block, if it has one."""
    if block.native is None:
        return {}
    value = value_of(block.native)
    if not is_object(value):
        raise LocalProtocolError("a native form of bedrock is a block: an object")
    return value


def _signature(form: dict[str, Any]) -> str:
    thought = form.get("reasoningContent")
    return text_of(thought.get("reasoningText") if is_object(thought) else None, "signature")


def _whole_pieces(block: Block, form: dict[str, Any]) -> Iterator[bytes]:
    """A block that is nothing but its native form, without its stop."""
    match form:
        case {"reasoningContent": {"reasoningText": thought}} if is_object(thought):
            for key in ("text", "signature"):
                if thought.get(key):
                    yield _delta(block, {"reasoningContent": {key: thought[key]}})
        case {"reasoningContent": thought}:
            yield _delta(block, {"reasoningContent": thought})
        case {"citationsContent": cited} if is_object(cited):
            for citation in objects_of(cited.get("citations")):
                yield _delta(block, {"citation": citation})
            for piece in objects_of(cited.get("content")):
                yield _delta(block, piece)
        case {"toolUse": call} if is_object(call):
            yield _start(block, {"toolUse": {k: v for k, v in call.items() if k != "input"}})
            text = msgspec.json.encode(call.get("input", {})).decode()
            yield _delta(block, {"toolUse": {"input": text}})
        case {"toolResult": result} if is_object(result):
            yield _start(block, {"toolResult": {k: v for k, v in result.items() if k != "content"}})
            yield _delta(block, {"toolResult": result.get("content", [])})
        case {"image": image} if is_object(image):
            yield _start(block, {"image": {k: v for k, v in image.items() if k != "source"}})
            yield _delta(block, {"image": {"source": image.get("source")}})
        case _:
            keys = ", ".join(form)[:80]
            raise LocalProtocolError(f"a stream of bedrock has no block {keys}: leave it out")


def _citations(block: Block) -> list[Any]:
    """The citations of a text: as its service wrote them, or as a search would."""
    cited = _form(block).get("citationsContent")
    own = cited.get("citations") if is_object(cited) else None
    return own if is_list(own) else [_citation(citation) for citation in block.citations]


def _citation(citation: Citation | None) -> dict[str, Any]:
    assert citation is not None  # the callers have one
    said: dict[str, Any] = {"title": citation.title}
    if citation.source:
        said["source"] = citation.source
    if citation.quote:
        said["sourceContent"] = [{"text": citation.quote}]
    if citation.url:
        said["location"] = {"web": {"url": citation.url}}
    return said


def _input(arguments: str) -> Any:
    """The input of a call; arguments that are no object stay a string, which no client runs."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if is_object(value) else arguments


def _metadata(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    fresh = max((usage.input_tokens or 0) - (read or 0) - (written or 0), 0)
    said = usage.output_tokens or 0
    counts: dict[str, Any] = {"inputTokens": fresh, "outputTokens": said}
    counts["totalTokens"] = fresh + (read or 0) + (written or 0) + said
    if read is not None:
        counts["cacheReadInputTokens"] = read
    if written is not None:
        counts["cacheWriteInputTokens"] = written
    counts |= {key: usage.raw[key] for key in _USAGE if key in usage.raw}
    about = {key: usage.raw[key] for key in _ABOUT if key in usage.raw}
    return {"usage": counts, "metrics": {"latencyMs": 0}, **about}

"""The server half of Cohere's chat: as Cohere itself writes it.

A stream is one block after the other. Content blocks, calls and citations are numbered apart.
Citations, the usage and the finish wait for the end.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from ...blocks import Act, Block, BlockWriter, blocks_of
from ...chat import Chat
from ...encoding import value_of
from ...errors import ContentFiltered, LocalProtocolError, Refused, RemoteProtocolError
from ...events import (
    Citation,
    End,
    Event,
    Finish,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    Unrecognized,
    Usage,
)
from ...reading import read_json
from ...refusing import error_fields
from ...reply import Choice, Reply
from ...service import Responder, Service
from ...toolkit.http import Headers, Request
from ...toolkit.json import is_object, is_whole_json
from ...toolkit.sse import encode_sse
from .body import chat_of
from .request import DIALECT, is_piece
from .wire import USUAL

__all__ = ["PING", "PLAN", "CohereResponder"]

PING = b": ping\n\n"

PLAN = 2000
"""The characters of the longest plan: a thought of more is written at once, as what it is."""

_dict = msgspec.json.Decoder(dict[str, Any])
_DONE = b"data: [DONE]\n\n"


class CohereResponder(Responder):
    """Answers one chat, streamed or not."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._number = service.number()
        self._id = f"chat_{self._number}"
        self._begun = False
        self._writer = BlockWriter(DIALECT)
        self._contents = self._calls = 0  # how many have begun
        self._indexes: dict[int, int] = {}  # of blocks that have begun, by their numbers
        self._places: dict[int, dict[str, Any]] = {}  # by its part, what a citation says of a text
        self._cited: list[Any] = []  # as Cohere wrote them
        self._citations: list[Citation] = []
        self._usage: Usage | None = None
        self._finish: Finish | None = None

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        chat = chat_of(read_json(request, _dict))
        return chat.replace(model=self.service.check_model(chat.model))

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        if does == "model":
            return msgspec.json.encode(_model(self.service.check_model(found["model"])))
        provider = self.service.provider
        names = provider.models or ((provider.default_model or "any"),)
        return msgspec.json.encode({"models": list(map(_model, names))})

    def head(self) -> tuple[int, Headers]:
        return self.status, [*self.headers, (b"x-debug-trace-id", self._trace.encode())]

    def can_say(self, event: Event) -> bool:
        if getattr(event, "index", 0) or getattr(event, "custom", False):
            return False
        if isinstance(event, Unrecognized) and not is_whole_json(event.raw):
            return False
        return super().can_say(event)

    def write(self, event: Event) -> bytes:
        match event:
            case Start():
                self._id = event.id or self._id
                return b""
            case Usage():
                self._usage = event
                return b""
            case Finish():
                self._finish = event
                return b""
            case Citation():
                self._citations.append(event)
                return b""
            case Unrecognized():
                # Without a name, a `message` in it would be that of an error.
                return self._begin() + encode_sse(event.raw, type="unrecognized")
            case LogProbs():
                return self._begin() + b"".join(map(self._logprob, event.tokens))
            case End():
                said = self._begin() + self._acts(self._writer.end())
                return said + self._cite() + _event("message-end", delta=self._over()) + _DONE
            case _:
                return self._begin() + self._acts(self._writer.write(_own(event)))

    def write_whole(self, reply: Reply) -> bytes:
        choice = reply.choices.get(0, Choice())
        self._usage, self._finish, self._citations = reply.usage, choice.finish, choice.citations
        message: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": []}
        complete = [call.complete for call in choice.tool_calls]
        for block in blocks_of(map(_own, choice.events()), DIALECT):
            self._add(block, message, self._calls < len(complete) and complete[self._calls])
        message["citations"] = self._citations_of_all()
        answer = {
            "id": reply.id or self._id,
            "message": {"role": "assistant", **{k: v for k, v in message.items() if v}},
            **self._over(),
        }
        if tokens := [token for each in choice.logprobs for token in each.tokens]:
            answer["logprobs"] = list(map(_logprob, tokens))
        return msgspec.json.encode(answer)

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        body = super().fail(error)
        if isinstance(error, ContentFiltered) and error.status is None:
            self.status = 498
        return body

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        said = error_fields(error)
        over = {
            "finish_reason": "ERROR",
            "error": error.message,
            "error_type": said["code"] or said["type"],
            **error.details,
        }
        return self._begin() + _event("message-end", delta=over) + _DONE

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        said = {"id": self._trace, "message": error.message}
        kind = (error.code or error.type) if isinstance(error, Refused) else None
        own = {"error_type": kind} if kind else {}
        return msgspec.json.encode({**said, **own, **error.details})

    @property
    def _trace(self) -> str:
        return f"trace_{self._number}"

    # The stream

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        empty: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        delta = {"message": {"role": "assistant", **empty}}
        return _event("message-start", id=self._id, delta=delta)

    def _acts(self, acts: list[Act]) -> bytes:
        written: list[bytes] = []
        for act in acts:
            match act.does:
                case "open":
                    # With tools, a thought may be the plan of a call: its native form tells.
                    if act.block.kind is not Reasoning or not self.chat.tools:
                        written += self._open(act.block)
                case "piece":
                    written += self._piece(act.block, act.text)
                case _:
                    written += self._close(act.block)
        return b"".join(written)

    def _open(self, block: Block) -> Iterator[bytes]:
        if block.call is not None:
            index = self._indexes[block.number] = self._calls
            self._calls += 1
            yield _piece("tool-call-start", index, tool_calls=self._call(block))
        elif block.kind is not Native:
            yield self._start(block, _content(block, ""))

    def _start(self, block: Block, content: Any) -> bytes:
        """A content begins."""
        index = self._indexes[block.number] = self._contents
        self._contents += 1
        self._places[block.part] = _place(block, index)
        return _piece("content-start", index, content=content)

    def _piece(self, block: Block, text: str) -> Iterator[bytes]:
        if block.number in self._indexes:
            yield self._delta(block, text)
            return
        block.pieces.append(text)
        block.size += len(text)
        if block.size > PLAN:
            yield from self._release(block)

    def _release(self, block: Block) -> Iterator[bytes]:
        """A thought that was held back is no plan."""
        yield from self._open(block)
        for text in block.pieces:
            yield self._delta(block, text)

    def _delta(self, block: Block, text: str) -> bytes:
        index = self._indexes[block.number]
        if block.call is not None:
            return _piece("tool-call-delta", index, tool_calls={"function": {"arguments": text}})
        key = "thinking" if block.kind is Reasoning else "text"
        return _piece("content-delta", index, content={key: text})

    def _close(self, block: Block) -> Iterator[bytes]:
        native = _form(block)
        self._cited += native.get("citations", ())
        plan = native.get("tool_plan")
        if block.kind is Native:
            for content in native.get("content", ()):
                yield self._start(block, content)
                yield _event("content-end", index=self._indexes[block.number])
        elif block.number not in self._indexes and not plan:
            yield from self._release(block)
        if plan and block.number not in self._indexes:
            self._places[block.part] = {"type": "PLAN"}
            for text in block.pieces or [str(plan)]:
                yield _event("tool-plan-delta", delta={"message": {"tool_plan": text}})
        elif block.kind is not Native:
            kind = "content" if block.call is None else "tool-call"
            yield _event(f"{kind}-end", index=self._indexes[block.number])

    def _logprob(self, token: TokenLogProb) -> bytes:
        delta = {"message": {"content": {"text": ""}}}
        index = max(self._contents - 1, 0)
        return _event(USUAL, index=index, delta=delta, logprobs=_logprob(token))

    def _cite(self) -> bytes:
        written: list[bytes] = []
        for index, citation in enumerate(self._citations_of_all()):
            written.append(_piece("citation-start", index, citations=citation))
            written.append(_event("citation-end", index=index))
        return b"".join(written)

    # The message

    def _add(self, block: Block, message: dict[str, Any], complete: bool) -> None:
        """A block of an answer that is sent whole."""
        native = _form(block)
        self._cited += native.get("citations", ())
        if block.call is not None:
            self._calls += 1
            # Of a call that was cut before its arguments, an empty object would tell otherwise.
            arguments = "" if block.text == "{}" and not complete else block.text
            message["tool_calls"].append(self._call(block, arguments))
        elif plan := native.get("tool_plan"):
            self._places[block.part] = {"type": "PLAN"}
            message["tool_plan"] = f"{message['tool_plan']}{block.text or plan}"
        elif block.kind is Native:
            message["content"].extend(native.get("content", ()))
        else:
            self._places[block.part] = _place(block, len(message["content"]))
            message["content"].append(_content(block, block.text))

    def _call(self, block: Block, arguments: str = "") -> dict[str, Any]:
        call = block.call
        assert call is not None  # by whoever asks
        function = {"name": call.name, "arguments": arguments}
        id = call.id or f"call_{self._number}_{call.number}"
        return {"id": id, "type": "function", "function": function}

    def _citations_of_all(self) -> list[Any]:
        """The citations, as Cohere wrote them, or in its form."""
        return self._cited or list(map(self._citation, self._citations))

    def _citation(self, citation: Citation) -> dict[str, Any]:
        document = {
            "id": citation.source,
            "url": citation.url,
            "title": citation.title,
            "snippet": citation.quote,
        }
        document = {key: value for key, value in document.items() if value}
        named = {"id": citation.source} if citation.source else {}
        span = {"start": citation.start, "end": citation.end}
        return {
            **{key: value for key, value in span.items() if value is not None},
            "sources": [{"type": "document", **named, "document": document}],
            **self._places.get(citation.part, {"type": "TEXT_CONTENT"}),
        }

    def _over(self) -> dict[str, Any]:
        """What an answer ends with."""
        finish = self._finish or Finish("", "tool_call" if self._calls else "stop")
        reason, words = finish.reason, finish.detail
        if reason not in self.service.provider.dialect.finish:
            reason, words = _REASONS.get(finish.kind, reason), words or reason
        over: dict[str, Any] = {"finish_reason": reason}
        if self._usage is not None:
            over["usage"] = _usage(self._usage)
        if self.service.provider.dialect.finish.get(reason) == "error":
            if words:
                over["error"] = words
            if finish.kind == "content_filter":
                over["error_type"] = finish.kind
        return over


_REASONS = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_call": "TOOL_CALL",
    "content_filter": "ERROR",
    "error": "ERROR",
}
"""The words for finish reasons of other formats."""


def _event(type: str, **fields: Any) -> bytes:
    return encode_sse(msgspec.json.encode({"type": type, **fields}), type=type)


def _piece(type: str, index: int, **message: Any) -> bytes:
    return _event(type, index=index, delta={"message": message})


def _own(event: Event) -> Event:
    """A refusal as text."""
    return Text(event.text, event.part) if isinstance(event, Refusal) else event


def _content(block: Block, text: str) -> dict[str, Any]:
    key = "thinking" if block.kind is Reasoning else "text"
    return {"type": key, key: text}


def _place(block: Block, index: int) -> dict[str, Any]:
    """What a citation says of the content that it is about."""
    kind = "THINKING" if block.kind is Reasoning else "TEXT"
    return {"type": f"{kind}_CONTENT", "content_index": index}


def _form(block: Block) -> dict[str, Any]:
    """The native form of a block, if it has one."""
    if block.native is None:
        return {}
    value = value_of(block.native)
    if not is_piece(value) or value.keys() - _SAYS:
        raise LocalProtocolError(f"a native form of cohere is a piece of a message: {_KNOWN}")
    return value


_SAYS = {"content", "tool_plan", "tool_calls", "citations"}
_KNOWN = ", ".join(sorted(_SAYS))


def _logprob(token: TokenLogProb) -> dict[str, Any]:
    return {"text": token.token, "token_ids": [], "logprobs": [token.logprob]}


def _usage(usage: Usage) -> dict[str, Any]:
    """The counts of a `Usage`, and what else was told of them if Cohere did."""
    counts = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
    billed, tokens = (usage.raw.get(key) for key in ("billed_units", "tokens"))
    said: dict[str, Any] = {
        "billed_units": billed if is_object(billed) else counts,
        "tokens": {**(tokens if is_object(tokens) else {}), **counts},
    }
    if usage.reasoning_output_tokens is not None:
        said["tokens"]["reasoning_tokens"] = usage.reasoning_output_tokens
    if usage.cache_read_input_tokens is not None:
        said["cached_tokens"] = usage.cache_read_input_tokens
    return said


def _model(name: str) -> dict[str, Any]:
    return {"name": name, "endpoints": ["chat"], "finetuned": False, "default_endpoints": []}

"""The server half of Anthropic Messages: as Anthropic itself writes them.

A stream is one block after the other, numbered without gaps, and every event has its name: clients
depend on that. The finish and the usage wait for the end, where the format has their place.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from ...blocks import Act, Block, BlockWriter, blocks_of, with_citations
from ...chat import Chat
from ...encoding import accepted_id, value_of
from ...errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
)
from ...events import (
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
from ...reading import read_json
from ...refusing import status_of
from ...reply import Choice, Reply
from ...service import Responder, Service
from ...toolkit.http import Headers, Request
from ...toolkit.json import is_list, is_object
from ...toolkit.sse import encode_sse
from .body import chat_of, count_of
from .client import UNSIGNED
from .request import DIALECT, IDS

__all__ = ["PING", "AnthropicResponder"]

PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_dict = msgspec.json.Decoder(dict[str, Any])
_USAGE = ("cache_creation", "server_tool_use", "service_tier", "inference_geo", "speed")
"""What of a service's own usage goes on as it is, beside the counts."""
_WITH_INPUT = ("server_tool_use", "mcp_tool_use")
"""Blocks of the service whose input comes in pieces."""


class AnthropicResponder(Responder):
    """Answers one request for a message, streamed or not."""

    labelled: ClassVar[bool] = True
    """Whether the content type of a request must say that it is JSON."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._number = service.number()
        self._id = f"msg_{self._number}"
        self._model = ""
        self._begun = False
        self._writer = BlockWriter(DIALECT)
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._refusal: list[str] = []
        self._called = False
        self._thoughts: set[int] = set()  # the parts that are thoughts
        self._sealed = 0

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        """The chat. Refuses (415, 413, 400, 404) what a real service refuses."""
        chat = self._chat(request, found)
        self._model = chat.model
        return chat

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        if does == "count":
            self._chat(request, found, count=True)
            return msgspec.json.encode({"input_tokens": count_of(read_json(request, _dict))})
        provider = self.service.provider
        if does == "model":
            return msgspec.json.encode(_model(self.service.check_model(found["model"])))
        names = provider.models or ((provider.default_model or "any"),)
        listed = {"data": list(map(_model, names)), "has_more": False}
        return msgspec.json.encode({**listed, "first_id": names[0], "last_id": names[-1]})

    def head(self) -> tuple[int, Headers]:
        return self.status, [*self.headers, (b"request-id", self._request_id.encode())]

    def can_say(self, event: Event) -> bool:
        if getattr(event, "index", 0) or getattr(event, "custom", False):
            return False
        return super().can_say(event)

    def write(self, event: Event) -> bytes:
        match event:
            case Start():
                self._id, self._model = event.id or self._id, event.model or self._model
            case Usage():
                self._usage = event
            case Finish():
                self._finish = event
            case Refusal():
                self._refusal.append(event.text)
            case End():
                over = [*self._acts(self._writer.end()), *self._over()]
                return b"".join(map(self.frame, [*self._begin(), *over]))
            case _:
                said = self._acts(self._writer.write(self._own(event)))
                return b"".join(map(self.frame, [*self._begin(), *said]))
        return b""

    def go_on(self, event: Text) -> bytes | None:
        block = None if event.index else self._writer.going_on(event.part)
        if block is None:
            return None
        return _MORE % (block.number, msgspec.json.encode(event.text))

    def frame(self, event: dict[str, Any]) -> bytes:
        """An event of the stream as it is sent. After the first comes a keep-alive, as clients
        expect."""
        data = encode_sse(msgspec.json.encode(event), type=event["type"])
        return data + PING if event["type"] == "message_start" else data

    def write_whole(self, reply: Reply) -> bytes:
        choice = reply.choices.get(0, Choice())
        self._usage, self._finish = reply.usage, choice.finish
        self._refusal = [choice.refusal]
        said = (
            e for e in with_citations(choice) if not isinstance(e, Refusal)
        )  # that is the reason
        events = map(self._own, said)
        content = [_whole_block(block, self._number) for block in blocks_of(events, DIALECT)]
        return msgspec.json.encode(
            {
                **self._message(reply.id, reply.model),
                "content": content,
                **(self._stopped() if self.complete or choice.finish else _UNSTOPPED),
                "usage": _usage(self._usage),
            }
        )

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        body = super().fail(error)
        if isinstance(error, Overloaded) and error.status is None:
            self.status = 529
        useless = isinstance(error, _USELESS) or (isinstance(error, Refused) and error.lasting)
        if useless and getattr(error, "should_retry", None) is None:
            self.headers.append((b"x-should-retry", b"false"))
        return body

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return encode_sse(self.write_error(error), type="error")

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        said = {"type": _error_type(error), "message": error.message, **error.details}
        return msgspec.json.encode({"type": "error", "error": said, "request_id": self._request_id})

    @property
    def _request_id(self) -> str:
        return f"req_{self._number}"

    def _chat(self, request: Request, found: dict[str, str], *, count: bool = False) -> Chat:
        fields = read_json(request, _dict, labelled=self.labelled)
        chat = chat_of(fields, found.get("model", ""), self.service.sealer, count=count)
        return chat.replace(model=self.service.check_model(chat.model))

    def _own(self, event: Event) -> Event:
        """`event`; another format's native form as one of ours, if there is a sealer: the signature
        of a thought, or a hidden thought of its own."""
        if isinstance(event, Reasoning):
            self._thoughts.add(event.part)
        self._called = self._called or isinstance(event, ToolCallStart)
        sealer = self.service.sealer
        if not isinstance(event, Native) or event.dialect in ("", DIALECT) or sealer is None:
            return event
        data = sealer.seal(event)
        if event.part in self._thoughts:
            raw = {"type": "thinking", "thinking": "", "signature": data}
            return Native(DIALECT, msgspec.json.encode(raw), event.part)
        self._sealed += 1
        raw = {"type": "redacted_thinking", "data": data}
        return Native(DIALECT, msgspec.json.encode(raw), -self._sealed)

    # The stream

    def _message(self, id: str = "", model: str = "") -> dict[str, Any]:
        return {
            "id": id or self._id,
            "type": "message",
            "role": "assistant",
            "model": model or self._model,
        }

    def _begin(self) -> list[dict[str, Any]]:
        if self._begun:
            return []
        self._begun = True
        usage = _usage(self._usage) | {"output_tokens": 0}  # it is counted at the end
        message: dict[str, Any] = {**self._message(), "content": [], **_UNSTOPPED, "usage": usage}
        return [{"type": "message_start", "message": message}]

    def _over(self) -> list[dict[str, Any]]:
        usage = _usage(self._usage)
        if self._usage is None or self._usage.input_tokens is None:
            del usage["input_tokens"]  # what was told at the start holds
        over = {"type": "message_delta", "delta": self._stopped(), "usage": usage}
        return [over, {"type": "message_stop"}]

    def _stopped(self) -> dict[str, Any]:
        """Why the answer is over."""
        finish = self._finish or Finish("", "tool_call" if self._called else "stop")
        reason, text = finish.reason, "".join(self._refusal)
        if reason not in self.service.provider.dialect.finish:
            reason = _REASONS.get(finish.kind, reason)
            if finish.kind == "stop" and text:
                reason = "refusal"
            elif finish.kind == "stop" and finish.detail:
                reason = "stop_sequence"
        stopped: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
        category = ""
        if reason == "stop_sequence":
            stopped["stop_sequence"] = finish.detail or None
        elif reason in ("refusal", finish.reason):
            category = finish.detail
        if reason == "refusal" or text or category:
            stopped["stop_details"] = {
                "type": "refusal",
                "category": category or None,
                "explanation": text or None,
            }
        return stopped

    def _acts(self, acts: list[Act]) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        for number, act in enumerate(acts):
            block = act.block
            match act.does:
                case "open":
                    start = _start_of(block, self._number)
                    if any(each.citation for each in acts[number : number + 2]):
                        start["citations"] = []  # so a text begins that will be cited
                    written.append(_of_block(block, "start", content_block=start))
                case "piece":
                    if act.text:
                        written.append(_delta(block, *_PIECES[block.kind], act.text))
                case _:
                    written += _close(block)
        return written


_MORE = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)
_UNSTOPPED = {"stop_reason": None, "stop_sequence": None}
_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "refusal",
}
"""The words for finish reasons of other formats."""
_PIECES: dict[Any, tuple[str, str]] = {
    Text: ("text_delta", "text"),
    Reasoning: ("thinking_delta", "thinking"),
    ToolCallStart: ("input_json_delta", "partial_json"),
}
_USELESS = (AuthenticationFailed, BadRequest, ContentFiltered, LocalProtocolError)
"""The errors after which trying again can't help."""


def _of_block(block: Block, what: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"content_block_{what}", "index": block.number, **fields}


def _delta(block: Block, type: str, key: str, value: Any) -> dict[str, Any]:
    return _of_block(block, "delta", delta={"type": type, key: value})


def _start_of(block: Block, number: int) -> dict[str, Any]:
    """A block as it begins: what is sent in pieces is empty. `number` is that of the answer."""
    if block.kind is Text:
        return {"type": "text", "text": ""}
    if block.kind is Reasoning:
        return {"type": "thinking", "thinking": "", "signature": ""}
    if block.call is not None:
        id = accepted_id(block.call.id or f"toolu_{number}_{block.call.number}", IDS)
        return {"type": "tool_use", "id": id, "name": block.call.name, "input": {}}
    value = _form(block)
    if value.get("type") == "thinking":
        return {**value, "thinking": "", "signature": ""}
    return {**value, "input": {}} if value.get("type") in _WITH_INPUT else value


def _close(block: Block) -> Iterator[dict[str, Any]]:
    """The end of a block, with what it has beside its pieces."""
    value = _form(block)
    if block.kind is Text:
        for citation in _citations(block):
            yield _delta(block, "citations_delta", "citation", citation)
    if block.kind is Native and value.get("thinking"):
        yield _delta(block, "thinking_delta", "thinking", value["thinking"])
    if block.kind is Reasoning or value.get("type") == "thinking":
        signature = value.get("signature") or UNSIGNED
        yield _delta(block, "signature_delta", "signature", signature)
    if block.kind is Native and value.get("type") in _WITH_INPUT:
        text = msgspec.json.encode(value.get("input", {})).decode()
        yield _delta(block, "input_json_delta", "partial_json", text)
    yield _of_block(block, "stop")


def _form(block: Block) -> dict[str, Any]:
    """The native form of a block, if it has one."""
    if block.native is None:
        return {}
    value = value_of(block.native)
    if not is_object(value):
        raise LocalProtocolError("a native form of anthropic is a block: an object")
    return value


def _citations(block: Block) -> list[Any]:
    """The citations of a text: as its service wrote them, or as a search would."""
    own = _form(block).get("citations")
    if is_list(own):
        return own
    return [
        {
            "type": "web_search_result_location",
            "url": citation.url,
            "title": citation.title,
            "cited_text": citation.quote,
            "encrypted_index": "",
        }
        for citation in block.citations
    ]


# The whole answer


def _whole_block(block: Block, number: int) -> dict[str, Any]:
    value = _form(block)
    if block.kind is Native:
        return value
    start = {**value, **_start_of(block, number)}
    if block.kind is Text:
        cited = {"citations": citations} if (citations := _citations(block)) else {}
        return {**start, "text": block.text, **cited}
    if block.kind is Reasoning:
        return {**start, "thinking": block.text, "signature": value.get("signature") or UNSIGNED}
    return {**start, "input": _input(block.text)}


def _input(arguments: str) -> Any:
    """The input of a call; arguments that are no object stay a string, which no client runs."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if is_object(value) else arguments


# Usage, models, errors


def _usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    fresh = max((usage.input_tokens or 0) - (read or 0) - (written or 0), 0)
    counts: dict[str, Any] = {"input_tokens": fresh, "output_tokens": usage.output_tokens or 0}
    if read is not None:
        counts["cache_read_input_tokens"] = read
    if written is not None:
        counts["cache_creation_input_tokens"] = written
    if usage.reasoning_output_tokens is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_output_tokens}
    return counts | {key: usage.raw[key] for key in _USAGE if key in usage.raw}


def _model(name: str) -> dict[str, Any]:
    created = "1970-01-01T00:00:00Z"
    return {"type": "model", "id": name, "display_name": name, "created_at": created}


_TYPES: dict[int, str] = {
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    504: "timeout_error",
}
_CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (AuthenticationFailed, "authentication_error"),
    (RateLimited, "rate_limit_error"),
    (Overloaded, "overloaded_error"),
    (BadRequest, "invalid_request_error"),
    (ContentFiltered, "invalid_request_error"),
    (Malformed, "invalid_request_error"),
    (LocalProtocolError, "invalid_request_error"),
)


def _error_type(error: RemoteProtocolError | LocalProtocolError) -> str:
    """The word for an error: that of its status, or of its class."""
    found = (word for kind, word in _CLASSES if isinstance(error, kind))
    return _TYPES.get(status_of(error)) or next(found, "api_error")

"""The server half of OpenAI Responses: as OpenAI itself writes them.

What clients need of it: an id that each item keeps, `content_part.added` before the pieces, numbers
without gaps, the whole output at the end, no type of event that they do not know. Counts of usage
that are None come as 0, and their sum as the total.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

import msgspec

from ...blocks import Act, Block, BlockKind, BlockWriter, blocks_of, with_citations
from ...chat import Chat
from ...dialect import words
from ...encoding import value_of
from ...errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    RemoteProtocolError,
    brief,
)
from ...events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from ...reading import Asked, Asking, read_json, tokens_in
from ...refusing import error_fields, refuse
from ...reply import Choice, Reply
from ...service import Responder, Service
from ...toolkit.http import Headers, Request, get_header
from ...toolkit.json import is_object
from ...toolkit.sse import encode_sse
from ...toolkit.toolcalls import is_json_object
from .body import chat_of
from .request import DIALECT

__all__ = ["ResponsesResponder"]

_Item: TypeAlias = dict[str, Any]

_dict = msgspec.json.Decoder(dict[str, Any])


class _Asking(Asking, frozen=True):
    previous_response_id: Any = None
    conversation: Any = None
    background: Any = None


_asking = msgspec.json.Decoder(_Asking)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=~-]{0,500}")
"""Ids of responses: no text that leads elsewhere as a part of a path, however that is read."""
_QUERY = words(
    "stream starting_after include include[] include_obfuscation after before limit order"
)
"""What may be in the query of a request for what was kept."""
_OWN = words("key api-version")
"""What services are asked with in the query by clients of their own: it is not passed on."""


class ResponsesResponder(Responder):
    """Answers one request for a response, streamed or not."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._number = service.number()
        self._id = f"resp_{self._number}"
        self._created = int(service.now())
        self._model = ""
        self._begun = False
        self._sequence = 0
        self._writer = BlockWriter(DIALECT)
        self._output: list[_Item] = []
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._image: Image | None = None  # it waits for its native form
        self._thoughts: set[int] = set()  # the parts that are thoughts
        self._told: set[int] = set()  # the calls that have arguments, or are closed
        self._annotations = 0  # of the open item
        self._ends: dict[int, bool] = {}  # whether a call is complete
        self._sealed = 0

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        """The chat. Refuses (415, 413, 400, 404) what a real service refuses."""
        chat = chat_of(read_json(request, _dict), self.service.sealer)
        self._model = self.service.check_model(chat.model)
        return chat.replace(model=self._model)

    def asked(self, request: Request, found: dict[str, str]) -> Asked:
        if "id" in found:
            return self._asked_of_kept(request, found["id"])
        asking = read_json(request, _asking)
        kept = (asking.previous_response_id, asking.conversation, asking.background)
        return Asked(asking.model, bool(asking.stream), goes_on=any(kept))

    def _asked_of_kept(self, request: Request, id: str) -> Asked:
        if not _ID.fullmatch(id):
            raise refuse(BadRequest, 404, f"there is no response {brief(id)!r}")
        query = parse_qsl(request.target.partition("?")[2], keep_blank_values=True)
        query = [(name, value) for name, value in query if name not in _OWN]
        for name, _ in query:
            if name not in _QUERY:
                known = ", ".join(sorted(_QUERY))
                raise refuse(BadRequest, 400, f"unknown parameter {brief(name)!r} (known: {known})")
        path = self.service.route(request)[0].path.replace("{id}", id)
        if query:
            path = f"{path}?{urlencode(query)}"
        return Asked("", dict(query).get("stream") == "true", path=path)

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        if does == "kept":
            message = f"there is no response {brief(found['id'])!r}: nothing is kept here"
            raise refuse(BadRequest, 404, message)
        if does == "socket":
            if "websocket" in (get_header(request.headers, b"upgrade") or "").lower():
                # At 426 Codex goes on with POST at once, at others it tries again and again.
                raise refuse(BadRequest, 426, "there is no WebSocket here: use POST")
            error = refuse(BadRequest, 405, "/responses takes POST, not GET")
            error.headers = [(b"allow", b"POST")]
            raise error
        if does == "count":
            fields = read_json(request, _dict)
            count = tokens_in([fields.get(key) for key in ("instructions", "input", "tools")])
            return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": count})
        return super().answer(does, request, found)

    def head(self) -> tuple[int, Headers]:
        return self.status, [*self.headers, (b"x-request-id", f"req_{self._number}".encode())]

    def can_say(self, event: Event) -> bool:
        if getattr(event, "index", 0) or (isinstance(event, LogProbs) and event.of != "content"):
            return False
        return super().can_say(event)

    def write(self, event: Event) -> bytes:
        match event:
            case Start():
                if not self._begun:
                    self._id, self._model = event.id or self._id, event.model or self._model
                return self._begin()
            case Usage():
                self._usage = event
                return b""
            case Finish():
                self._finish = event
                return b""
            case End():
                written = self._begin() + self._acts(self._image_before(None))
                return written + self._write(self._writer.end()) + self._over()
            case _:
                return self._begin() + self._acts(self._own(event))

    def write_whole(self, reply: Reply) -> bytes:
        choice = reply.choices.get(0, Choice())
        self._usage, self._finish = reply.usage, choice.finish
        self._id, self._model = reply.id or self._id, reply.model or self._model
        self._ends = {number: call.complete for number, call in enumerate(choice.tool_calls)}
        said = [own for event in _told(choice) for own in self._own(event)]
        said += self._image_before(None)
        self._output = [self._done(block, streamed=False) for block in blocks_of(said, DIALECT)]
        return msgspec.json.encode(self._ended()[1])

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        fields = error_fields(error)
        code, message = fields["code"] or _code(error), fields["message"]
        # The reference has it flat, OpenAI's SDK for Python raises only if it is nested, and Codex
        # looks only at the event after it.
        nested = {**fields, "code": code}
        flat = {"code": code, "message": message, "param": None}
        reported = self._begin() + self._event("error", **flat, error=nested)
        failed = self._response("failed", error={"code": code, "message": message})
        return reported + self._event("response.failed", response=failed)

    def _own(self, event: Event) -> list[Event]:
        """`event` in what items are made of. A picture becomes a native form, unless its own comes
        next; another format's native form becomes a hidden thought, if there is a sealer."""
        own = self._image_before(event)
        match event:
            case Image():
                self._image = event
            case Native() if event.dialect not in ("", DIALECT):
                own += self._seal(event)
            case ToolCallEnd():
                self._ends[event.call] = event.complete
                if event.complete and event.call not in self._told:
                    own.append(ToolCallDelta(event.call, event.arguments))
                own.append(event)
            case _:
                if isinstance(event, Reasoning):
                    self._thoughts.add(event.part)
                elif isinstance(event, ToolCallDelta) and event.arguments:
                    self._told.add(event.call)
                own.append(event)
        return own

    def _image_before(self, event: Event | None) -> list[Event]:
        """The picture that waits, as a native form, if `event` is not its own one; None is no
        event, but the end."""
        image, self._image = self._image, None
        if image is None:
            return []
        if (
            isinstance(event, Native)
            and event.dialect in ("", DIALECT)
            and event.part == image.part
        ):
            return []
        return [Native(DIALECT, msgspec.json.encode(_image_item(image)), image.part)]

    def _seal(self, native: Native) -> Iterator[Native]:
        """Another format's native form: of a thought what is encrypted of it, of anything else a
        thought of its own."""
        if self.service.sealer is None:
            return
        part = native.part
        sealed: _Item = {"type": "reasoning", "encrypted_content": self.service.sealer.seal(native)}
        if part not in self._thoughts:
            self._sealed += 1
            part = -1 - self._sealed
            sealed["summary"] = []
        yield Native(DIALECT, msgspec.json.encode(sealed), part)

    # The response

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        chat = self.chat
        choice: Any = chat.tool_choice or "auto"
        if choice not in ("auto", "none", "required"):
            choice = {"type": "function", "name": choice}
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self._model,
            "output": self._output,
            "parallel_tool_calls": chat.parallel is not False,
            "temperature": chat.temperature,
            "tool_choice": choice,
            "tools": [],
            "top_p": chat.top_p,
            "usage": None,
            **more,
        }

    def _event(self, type: str, **fields: Any) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        data = msgspec.json.encode({"type": type, "sequence_number": number, **fields})
        return encode_sse(data, type=type)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        response = self._response("in_progress")
        return b"".join(
            self._event(f"response.{word}", response=response)
            for word in ("created", "in_progress")
        )

    def _over(self) -> bytes:
        status, response = self._ended()
        return self._event(f"response.{status}", response=response)

    def _ended(self) -> tuple[str, dict[str, Any]]:
        """The status at the end, and the response. Without a finish reason it is complete."""
        finish = self._finish or Finish("")
        more: dict[str, Any] = {"usage": _usage(self._usage)}
        if finish.kind == "error":
            status = "failed"
            message = finish.detail or finish.reason
            more["error"] = {"code": finish.reason, "message": message}
        elif finish.kind in ("stop", "tool_call") or not finish.reason:
            status = "completed"
        else:
            status, dialect = "incomplete", self.service.provider.dialect
            reason = dialect.reason(finish.kind) if finish.kind else finish.reason
            more["incomplete_details"] = {"reason": reason}
        return status, self._response(status, **more)

    # Its items

    def _acts(self, events: Iterable[Event]) -> bytes:
        return b"".join(self._write(self._writer.write(event)) for event in events)

    def _write(self, acts: list[Act]) -> bytes:
        return b"".join(written for act in acts for written in self._act(act))

    def _act(self, act: Act) -> Iterator[bytes]:
        block = act.block
        match act.does:
            case "open":
                yield self._event(
                    "response.output_item.added", output_index=block.number, item=self._start(block)
                )
                self._annotations = 0
                if (group := _PARTS.get(block.kind)) is not None:
                    part = _part_of(Block(block.number, block.kind, block.part))
                    yield self._of(block, f"response.{group}.added", part=part)
            case "piece":
                block.pieces.append(act.text)
                if act.citation is not None:
                    number, self._annotations = self._annotations, self._annotations + 1
                    annotation = _annotation(act.citation)
                    kind = "response.output_text.annotation.added"
                    yield self._of(block, kind, annotation_index=number, annotation=annotation)
                    return
                group, _ = _PIECES[_kind_of(block)]
                more: dict[str, Any] = {"delta": act.text}
                if block.kind is Text:
                    more["logprobs"] = [] if act.logprobs is None else act.logprobs.tokens
                yield self._of(block, f"response.{group}.delta", **more)
            case _:
                if block.call is not None:
                    self._told.add(block.call.number)
                item = self._done(block, streamed=True)
                if block.kind is not Native:
                    group, key = _PIECES[_kind_of(block)]
                    whole: dict[str, Any] = {key: block.text}
                    if block.kind is Text:
                        whole["logprobs"] = block.logprobs
                    if key == "arguments":
                        whole = {"name": item.get("name", ""), key: item.get(key, block.text)}
                    yield self._of(block, f"response.{group}.done", **whole)
                if (group := _PARTS.get(block.kind)) is not None:
                    done = f"response.{group}.done"
                    yield self._of(block, done, part=_part_of(block))
                self._output.append(item)
                yield self._event("response.output_item.done", output_index=block.number, item=item)

    def _of(self, block: Block, type: str, **fields: Any) -> bytes:
        """An event of an item."""
        where: dict[str, Any] = {"item_id": self._id_of(block), "output_index": block.number}
        if block.kind is Text or block.kind is Refusal:
            where["content_index"] = 0
        elif block.kind is Reasoning:
            where["summary_index"] = 0
        return self._event(type, **where, **fields)

    def _id_of(self, block: Block) -> str:
        return f"{_PREFIXES[_kind_of(block)]}_{self._number}_{block.number}"

    def _start(self, block: Block) -> _Item:
        """An item as it begins."""
        if block.kind is Native:
            item = self._native_item(block)
            thought = item.get("type") == "reasoning"
            begun = {
                key: value
                for key, value in item.items()
                if key != "result" and (thought or key != "content")
            }
            if "content" in item:
                begun.setdefault("content", [])
            return begun | ({"status": "in_progress"} if "status" in item else {})
        item = self._item(block)
        return item if block.kind is Reasoning else {**item, "status": "in_progress"}

    def _native_item(self, block: Block) -> _Item:
        """An item that has only a native form."""
        return {"id": self._id_of(block), **_form(block)}

    def _item(self, block: Block) -> _Item:
        """An item of nothing."""
        item: _Item = {"id": self._id_of(block)}
        call = block.call
        if call is not None:
            kind, key = _CALLS[call.custom]
            id = call.id or f"call_{self._number}_{call.number}"
            return {**item, "type": kind, "call_id": id, "name": call.name, key: ""}
        if block.kind is Reasoning:
            return {**item, "type": "reasoning", "summary": []}
        return {**item, "type": "message", "role": "assistant", "content": []}

    def _done(self, block: Block, *, streamed: bool) -> _Item:
        """An item as it is when it is done: its native form, if it has one. If it was `streamed`,
        it keeps the id that it began with, as clients insist on that."""
        if block.kind is Native:
            return self._native_item(block)
        native, item = _form(block), self._item(block)
        if native:
            own = {"id": item["id"]} if streamed else {}
            if block.kind is Reasoning and "summary" not in native:  # it is a sealed one
                native = {**native, "summary": [_part_of(block)]}
            return {"id": item["id"], **native, **own}
        if block.call is not None:
            _, key = _CALLS[block.call.custom]
            text = block.text
            whole = self._ends.get(block.call.number)
            if whole is None:  # it is closed before the answer tells
                whole = block.call.custom or not text or is_json_object(text)
            return {**item, key: text, "status": "completed" if whole else "incomplete"}
        if block.kind is Reasoning:
            return {**item, "summary": [_part_of(block)]}
        return {**item, "status": "completed", "content": [_part_of(block)]}


_PARTS: dict[Any, str] = {
    Text: "content_part",
    Refusal: "content_part",
    Reasoning: "reasoning_summary_part",
}
"""The events of the parts of items."""
_PIECES: dict[Any, tuple[str, str]] = {
    Text: ("output_text", "text"),
    Refusal: ("refusal", "refusal"),
    Reasoning: ("reasoning_summary_text", "text"),
    ToolCallStart: ("function_call_arguments", "arguments"),
    True: ("custom_tool_call_input", "input"),
}
"""The events of pieces, and the key of the whole. True: of a custom call."""
_PREFIXES: dict[Any, str] = {
    Text: "msg",
    Refusal: "msg",
    Reasoning: "rs",
    ToolCallStart: "fc",
    True: "ctc",
    Native: "item",
}
_CALLS = {False: ("function_call", "arguments"), True: ("custom_tool_call", "input")}


def _kind_of(block: Block) -> BlockKind | bool:
    """The kind of a block; True: a custom call."""
    return True if block.call is not None and block.call.custom else block.kind


def _part_of(block: Block) -> dict[str, Any]:
    """The only part of an item."""
    text = block.text
    if block.kind is Refusal:
        return {"type": "refusal", "refusal": text}
    if block.kind is Reasoning:
        return {"type": "summary_text", "text": text}
    annotations = list(map(_annotation, block.citations))
    return {
        "type": "output_text",
        "text": text,
        "annotations": annotations,
        "logprobs": list(block.logprobs),
    }


def _annotation(citation: Citation) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if citation.start is not None:
        where = {"start_index": citation.start, "end_index": citation.end}
    if citation.source and not citation.url:
        file = {"file_id": citation.source, "filename": citation.title}
        if where:  # of a file that a tool of the service made
            return {"type": "container_file_citation", "container_id": "", **file, **where}
        return {"type": "file_citation", **file, "index": citation.end or 0}
    said = {"type": "url_citation", "url": citation.url, "title": citation.title}
    return {**said, "start_index": 0, "end_index": 0, **where}  # clients demand a place


def _image_item(image: Image) -> _Item:
    said: _Item = {"type": "image_generation_call", "status": "completed"}
    said["result"] = b64encode(image.data).decode()
    said["output_format"] = image.media_type.removeprefix("image/")
    return said | ({"revised_prompt": image.prompt} if image.prompt else {})


def _form(block: Block) -> dict[str, Any]:
    """The native form of a block, if it has one."""
    if block.native is None:
        return {}
    value = value_of(block.native)
    if not is_object(value):
        raise LocalProtocolError(f"a native form of {DIALECT} is an item: an object")
    return value


def _told(choice: Choice) -> Iterator[Event]:
    """The events of a choice, with the log probabilities after the first text."""
    tokens = [token for said in choice.logprobs for token in said.tokens]
    for event in with_citations(choice):
        yield event
        if isinstance(event, Text) and tokens:
            yield LogProbs(tokens)
            tokens = []
    if tokens:
        yield LogProbs(tokens)


def _usage(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    asked, said = usage.input_tokens or 0, usage.output_tokens or 0
    read: dict[str, Any] = {"cached_tokens": usage.cache_read_input_tokens or 0}
    if usage.cache_write_input_tokens is not None:
        read["cache_write_tokens"] = usage.cache_write_input_tokens
    counts = {
        "input_tokens": asked,
        "input_tokens_details": read,
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_output_tokens or 0},
        "total_tokens": usage.total_tokens or asked + said,
    }
    # What came in this form goes on: OpenRouter's cost, for one.
    ours = "input_tokens" in usage.raw and "total_tokens" in usage.raw
    return {**usage.raw, **counts} if ours else counts


_CODES: tuple[tuple[type[Exception], str], ...] = (
    (RateLimited, "rate_limit_exceeded"),
    (Overloaded, "server_is_overloaded"),
    (AuthenticationFailed, "invalid_api_key"),
    (ContentFiltered, "invalid_prompt"),
    (BadRequest, "invalid_request_error"),
    (Malformed, "invalid_request_error"),
    (LocalProtocolError, "invalid_request_error"),
)


def _code(error: RemoteProtocolError | LocalProtocolError) -> str:
    """The code for an error that has none: that of its class."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), "server_error")

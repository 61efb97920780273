"""The server half of Mistral's chat completions, as its SDK needs it (PyPI mistralai 3.7.0).

A tool call is one fragment, which is written when it ends. A finish reason is held back until the
next event, so that the usage goes along with the last one; the SDK refuses a whole answer without.
"""

from typing import Any

import msgspec

from ...chat import Message, Opaque, Tool
from ...encoding import merge, value_of
from ...errors import BadRequest, LocalProtocolError, RemoteProtocolError
from ...events import (
    End,
    Event,
    Finish,
    FinishKind,
    Native,
    Reasoning,
    Refusal,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from ...refusing import error_fields, refuse, status_of
from ...reply import Choice, Reply
from ...service import Service
from ...toolkit.http import Headers, Request
from ...toolkit.json import is_list, is_object
from ...toolkit.sse import encode_sse
from ..openai_chat.server import FINISH as OPENAI_FINISH
from ..openai_chat.server import OpenAIResponder, further_of
from .body import message_of_mistral, renamed
from .request import ID, nine

__all__ = ["FINISH", "MistralResponder"]

FINISH: dict[str, FinishKind] = {**OPENAI_FINISH, "model_length": "length"}
"""The finish reasons, and what they mean."""


class MistralResponder(OpenAIResponder):
    """Answers one request, streamed or not."""

    dialect = "mistral"
    whole = {}

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._pieces: dict[tuple[int, int], list[str]] = {}  # of calls that are not written
        self._more: dict[tuple[int, int], dict[str, Any]] = {}  # keys of calls, by their parts
        self._thinking: set[int] = set()  # choices with a thought
        self._thoughts: set[tuple[int, int]] = set()  # parts with a thought
        self._finish: Finish | None = None  # that is not written
        self._told: Usage | None = None

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """In OpenAI's words. Refuses (400) messages that a real service refuses, but for a user's
        after a tool's."""
        fields = dict(fields)
        if "random_seed" in fields:
            fields["seed"] = fields.pop("random_seed")
        if fields.get("tool_choice") == "any":
            fields["tool_choice"] = "required"
        fields.pop("stream_options", None)  # usage always comes
        messages = fields.get("messages")
        if is_list(messages) and messages and is_object(last := messages[-1]):
            if last.get("role") == "assistant" and last.get("prefix") is not True:
                raise _refuse(
                    "Expected last role User or Tool (or Assistant with prefix True)",
                    "invalid_request_message_order",
                    "3230",
                )
            unmarked = {key: value for key, value in last.items() if key != "prefix"}
            fields["messages"] = [*messages[:-1], unmarked]
        return fields

    def message(self, value: Any) -> Message:
        message = message_of_mistral(value)
        for id in (message.tool_call_id, *(call.id for call in message.tool_calls)):
            if id and not ID.fullmatch(id):
                words = f"Tool call id was {id[:100]} but must be 9 letters or digits"
                raise _refuse(words, "invalid_function_call", "3280")
        return message

    def own(self, tool: Tool | Opaque) -> Tool | Opaque:
        if tool.native is None:
            return tool
        return msgspec.structs.replace(tool, native=renamed(tool.native))

    def head(self) -> tuple[int, Headers]:
        return self.status, [
            *self.headers,
            (b"mistral-correlation-id", f"req-{self._number}".encode()),
        ]

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        """A model has a type and capabilities, which the SDK wants."""
        value = msgspec.json.decode(super().answer(does, request, found))
        for model in value.get("data", (value,)):
            model |= {"type": "base", "capabilities": {"completion_chat": True}}
        return msgspec.json.encode(value)

    def call_id(self, id: str, index: int, call: int) -> str:
        # Clients send it back, and one of another kind is refused.
        return nine(id) if id else f"{self._number:05}{index:02}{call:02}"[-9:]

    def go_on(self, event: Text) -> bytes | None:
        return None  # it may end a thought, or come after the finish

    def write(self, event: Event) -> bytes:
        match event:
            case Usage():
                self._told = event
                return b""
            case End():
                self._usage = self._told or Usage()
                return self._release_calls() + self._release_finish() + super().write(event)
            case Finish():
                released = self._release_calls(event.index) + self._release_finish()
                self._finish = event
                return released
            case _:
                said = self._write(event)
                return self._release_finish() + said if said else b""

    def _write(self, event: Event) -> bytes:
        match event:
            case Reasoning():
                self._thoughts.add((event.index, event.part))
                part = _thinking(event.text, closed=event.index in self._thinking)
                self._thinking.add(event.index)
                return self._delta(event.index, {"content": [part]})
            case Refusal():
                return self._delta(event.index, {"content": event.text})
            case ToolCallStart():
                self._pieces[event.index, event.call] = []
                return b""
            case ToolCallDelta():
                self._pieces.setdefault((event.index, event.call), []).append(event.arguments)
                return b""
            case ToolCallEnd():
                if self._pieces.pop((event.index, event.call), None) is None:
                    return b""  # it was written before its reason
                said = event.arguments if event.complete or event.arguments != "{}" else ""
                return self._call(event.index, event.call, said)
            case _:
                return super().write(event)

    def write_whole(self, reply: Reply) -> bytes:
        reply.usage = reply.usage or Usage()
        return super().write_whole(reply)

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        if self.status == 401:
            return msgspec.json.encode({"detail": error.message})
        status = {"raw_status_code": self.status}
        return msgspec.json.encode({"object": "error", **error_fields(error), **status})

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        fields = {"object": "error", **error_fields(error)}
        fields["raw_status_code"] = status_of(error)
        held = self._release_calls() + self._release_finish()
        return held + encode_sse(msgspec.json.encode(fields))

    def _release_finish(self) -> bytes:
        finish, self._finish = self._finish, None
        if finish is None:
            return b""
        return self._delta(finish.index, {}, finish_reason=self.reason(finish))

    def _release_calls(self, index: int | None = None) -> bytes:
        """Those that did not end: of one choice, or of all."""
        places = [place for place in self._pieces if index in (None, place[0])]
        return b"".join(self._call(*place, "".join(self._pieces.pop(place))) for place in places)

    def _call(self, index: int, call: int, arguments: str) -> bytes:
        """A tool call, whole."""
        start = self._calls.get((index, call), ToolCallStart(call, "", ""))
        value = {
            "index": call,
            "id": self.call_id(start.id, index, call),
            "type": "function",
            "function": {"name": start.name, "arguments": arguments},
        }
        more = self._more.pop((index, start.part), {})
        return self._delta(index, {"content": "", "tool_calls": [merge(value, more)]})

    def _native(self, native: Native) -> dict[str, Any]:
        """The piece of a message that carries a native form; empty if nothing can. Of a thought
        that was written it has only the signature; what a call has is written with it."""
        value = value_of(native) if native.dialect == self.dialect else None
        piece = dict(value) if is_object(value) else {}
        if is_list(calls := piece.pop("tool_calls", None)) and calls:
            self._more[native.index, native.part] = further_of(calls[0])
        content = piece.get("content")
        if (native.index, native.part) in self._thoughts and is_list(content):
            piece["content"] = [{**p, "thinking": []} if is_object(p) else p for p in content]
        return piece

    def _whole_choice(self, index: int, choice: Choice) -> dict[str, Any]:
        content: list[Any] = []
        calls: list[Any] = []
        thought = -1  # the part of the last thought
        for event in choice.events():
            match event:
                case Reasoning():
                    thought = event.part
                    content.append(_thinking(event.text, closed=True))
                case Text() | Refusal():
                    content.append({"type": "text", "text": event.text})
                case ToolCallStart():
                    call = choice.tool_calls[len(calls)]
                    calls.append(self._whole_call(index, len(calls), call))
                case Native() if event.dialect == self.dialect:
                    if event.part == thought:  # its native form has it
                        content.pop()
                    piece = value_of(event)
                    if is_object(piece) and is_list(more := piece.get("tool_calls")) and calls:
                        calls[-1] = merge(calls[-1], further_of(next(iter(more), None)))
                    if is_object(piece) and is_list(parts := piece.get("content")):
                        content += parts
                case _:
                    pass
        texts = all(part.keys() == {"type", "text"} for part in content)
        reason = "stop" if self.complete else None
        if choice.finish is not None:
            reason = self.reason(choice.finish)
        message = {
            "role": "assistant",
            "content": "".join(part["text"] for part in content) if texts else content,
            "tool_calls": calls or None,
        }
        return {"index": index, "message": message, "finish_reason": reason}


def _thinking(text: str, *, closed: bool) -> dict[str, Any]:
    part = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
    return {**part, "closed": True} if closed else part


def _refuse(message: str, type: str, code: str) -> BadRequest:
    error = refuse(BadRequest, 400, message, code)
    error.type = type
    return error

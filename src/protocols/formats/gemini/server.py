"""The server half of generateContent and streamGenerateContent: as Google itself writes them.

Clients are strict about it: no comment, no name and no end mark may be in a stream of events, and
each event is one line `data: ` with its blank line. The finish, the usage and the sources come on
the last chunk.
"""

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any

import msgspec

from ...chat import Chat
from ...encoding import value_of
from ...errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
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
    Unrecognized,
    Usage,
)
from ...reading import Asked, read_json
from ...refusing import refuse, status_of
from ...reply import Choice, Reply
from ...retry import seconds_of
from ...service import Responder, Service
from ...toolkit.http import Request
from ...toolkit.json import is_object
from ...toolkit.sse import encode_sse
from ...toolkit.toolcalls import is_json_object
from .body import chat_of, count_of, decode_request, sealed
from .candidate import DIALECT
from .client import COUNT, COUNTS, STREAM, WHOLE
from .spoken import byte_places

__all__ = ["GeminiResponder"]


_ARRAY = b"application/json; charset=UTF-8"
_RPC = "type.googleapis.com/google.rpc."


class _Candidate:
    """What was said of a candidate that is not written yet, or must not be written twice."""

    def __init__(self) -> None:
        self.texts: dict[int, list[str]] = {}  # by part; they are what sources support
        self.written: set[int] = set()  # parts that have a native form, and so are written
        self.thoughts: set[int] = set()
        self.calls: dict[int, ToolCallStart] = {}  # by number
        self.signatures: dict[int, str] = {}  # of calls to come, by part
        self.citations: list[Citation] = []
        self.finish: Finish | None = None


class GeminiResponder(Responder):
    """Answers one request for an answer, streamed or not."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._id = f"resp_{service.number()}"
        self._model = ""
        self._events = True  # not an array
        self._begun = False
        self._usage: Usage | None = None
        self._candidates: dict[int, _Candidate] = {}

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        """The chat. Refuses (415, 413, 400, 404) what a real service refuses."""
        read_json(request, decode_request)
        path, _, query = request.target.partition("?")
        stream = path.rstrip("/").endswith(STREAM)
        model = self.service.check_model(found["model"])
        chat = chat_of(request.body, model, self.service.sealer, stream=stream)
        self._model = model
        self._events = "alt=sse" in query.split("&")
        if stream and not self._events:
            self.headers = [(b"content-type", _ARRAY)]
        for index in range(chat.n or 1):
            self._candidates[index] = _Candidate()
        return chat

    def asked(self, request: Request, found: dict[str, str]) -> Asked:
        read_json(request, decode_request)
        path, _, query = request.target.partition("?")
        stream = path.rstrip("/").endswith(STREAM)
        return Asked(found["model"], stream, not stream or "alt=sse" in query.split("&"))

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        if does == "count":
            self.service.check_model(found["model"])
            read_json(request, decode_request)
            return msgspec.json.encode({"totalTokens": count_of(request.body)})
        path, *_ = request.target.partition("?")  # the rest may hold a key
        if does == "model" and found["model"].endswith((STREAM, WHOLE, COUNT)):
            error = refuse(BadRequest, 405, f"{path} takes POST, not {request.method}")
            error.headers = [(b"allow", b"POST")]
            raise error
        if does == "unknown":
            raise refuse(BadRequest, 404, f"there is no method at {path}")
        provider = self.service.provider
        if does == "model":
            return msgspec.json.encode(_model(self.service.check_model(found["model"])))
        names = provider.models or ((provider.default_model or "any"),)
        return msgspec.json.encode({"models": list(map(_model, names))})

    def can_say(self, event: Event) -> bool:
        if getattr(event, "custom", False):
            return False
        if isinstance(event, Unrecognized) and not self._events:
            return False
        return super().can_say(event)

    def write(self, event: Event) -> bytes:
        match event:
            case Start():
                self._id, self._model = event.id or self._id, event.model or self._model
                return b""
            case Usage():
                self._usage = event
                return b""
            case Unrecognized():
                return encode_sse(event.raw)
            case End():
                return self._over()
            case LogProbs():
                said = {"index": event.index, "logprobsResult": _logprobs(event)}
                return self._chunk([said]) if event.tokens else b""
            case Finish():
                self._candidate(event.index).finish = event
                return b""
            case Citation():
                self._candidate(event.index).citations.append(event)
                return b""
            case _:
                part = self._part(event, self._candidate(event.index))
                return b"" if part is None else self._chunk([_content(event.index, [part])])

    def write_whole(self, reply: Reply) -> bytes:
        self._id, self._model = reply.id or self._id, reply.model or self._model
        self._usage = reply.usage
        candidates: list[Any] = []
        for index in sorted({*self._candidates, *reply.choices}):
            choice = reply.choices.get(index, Choice())
            candidate = self._candidate(index)
            candidate.finish, candidate.citations = choice.finish, choice.citations
            written = _content(index, list(self._parts(choice, candidate)))
            if tokens := [token for said in choice.logprobs for token in said.tokens]:
                written["logprobsResult"] = _logprobs(LogProbs(tokens))
            candidates.append(written | self._ending(candidate))
        return msgspec.json.encode(self._response(candidates))

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        body = super().fail(error)
        if not (isinstance(error, ContentFiltered) and self._model):
            return body
        self.status = 200  # a prompt that is blocked is an answer
        if not self.chat.stream:
            return body
        self.headers = [(b"content-type", self.content_type if self._events else _ARRAY)]
        return self.fail_midway(error)

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        data = self.write_error(error)
        return self._framed(data) + (b"" if self._events else b"\n]\n")

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        if isinstance(error, ContentFiltered) and self._model:
            reason = error.code if error.code in _BLOCKS else "OTHER"
            blocked = {"blockReason": reason, "blockReasonMessage": error.message}
            return msgspec.json.encode({"promptFeedback": blocked})
        status = status_of(error)
        details: list[Any] = []
        code = error.code if isinstance(error, Refused) else None
        if code and not code.isdecimal():
            details.append({"@type": f"{_RPC}ErrorInfo", "reason": code, "domain": "tokenwire"})
        wait = error.retry_after if isinstance(error, Refused) else None
        seconds = seconds_of(wait) if wait else None
        if seconds is not None and isfinite(seconds):
            details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{seconds:g}s"})
        said: dict[str, Any] = {"code": status, "message": error.message}
        said["status"] = _word(error, status)
        if details:
            said["details"] = details
        return msgspec.json.encode({"error": {**said, **error.details}})

    # The parts

    def _candidate(self, index: int) -> _Candidate:
        return self._candidates.setdefault(index, _Candidate())

    def _part(self, event: Event, candidate: _Candidate) -> dict[str, Any] | None:
        """The part that an event completes, if it is not written yet."""
        if isinstance(event, Text | Refusal):
            candidate.texts.setdefault(event.part, []).append(event.text)
        match event:
            case ToolCallStart():
                candidate.calls[event.call] = event
                return None
            case ToolCallEnd():
                start = candidate.calls.get(event.call)
                part = -1 if start is None else start.part
                if part in candidate.written:
                    return None
                return _call(event.id, event.name, event.arguments, candidate.signatures.get(part))
            case Native():
                return self._native(event, candidate)
            case Text() | Refusal() | Reasoning() | Image() if event.part in candidate.written:
                return None
            case Text() | Refusal():
                return {"text": event.text} if event.text else None
            case Reasoning():
                candidate.thoughts.add(event.part)
                return {"text": event.text, "thought": True} if event.text else None
            case Image():
                return {"inlineData": {"mimeType": event.media_type, "data": event.data}}
            case _:  # a piece of a call, which is written when it ends
                return None

    def _native(self, event: Native, candidate: _Candidate) -> dict[str, Any] | None:
        if event.dialect in ("", DIALECT):
            value = value_of(event)
            if not is_object(value):
                raise LocalProtocolError("a native form of gemini is a part: an object")
            candidate.written.add(event.part)
            return value
        if self.service.sealer is None:
            return None
        signature = sealed(self.service.sealer.seal(event))
        if event.part in {start.part for start in candidate.calls.values()}:
            candidate.signatures[event.part] = signature
            return None
        thought = {"thought": True} if event.part in candidate.thoughts else {}
        return {"text": "", **thought, "thoughtSignature": signature}

    def _parts(self, choice: Choice, candidate: _Candidate) -> Iterator[dict[str, Any]]:
        """The parts of a whole choice. Its native forms go first, as all of a part is in them; a
        call that is not complete is left out."""

        complete = {n for n, call in enumerate(choice.tool_calls) if call.complete}
        start: ToolCallStart | None = None
        for event in _natives_first(_with_arguments(choice.events())):
            if isinstance(event, ToolCallStart):
                start = event
            elif isinstance(event, ToolCallDelta) and start is not None:
                if event.call not in complete:
                    continue
                event = ToolCallEnd(event.call, start.id, start.name, event.arguments, True)
            part = self._part(event, candidate)
            if part is not None:
                yield part

    # The stream

    def _response(self, candidates: list[Any]) -> dict[str, Any]:
        response: dict[str, Any] = {"candidates": candidates}
        if self._usage is not None:
            response["usageMetadata"] = _usage(self._usage)
        return {**response, "modelVersion": self._model, "responseId": self._id}

    def _over(self) -> bytes:
        candidates = [
            _content(index, [{"text": ""}]) | self._ending(candidate)
            for index, candidate in sorted(self._candidates.items())
        ]
        last = self._framed(msgspec.json.encode(self._response(candidates)))
        return last + (b"" if self._events else b"\n]\n")

    def _chunk(self, candidates: list[Any]) -> bytes:
        about = {"modelVersion": self._model, "responseId": self._id}
        return self._framed(msgspec.json.encode({"candidates": candidates, **about}))

    def _framed(self, data: bytes) -> bytes:
        if self._events:
            return b"data: " + data + b"\r\n\r\n"
        begin = b"\n,\r\n" if self._begun else b"["
        self._begun = True
        return begin + data

    def _ending(self, candidate: _Candidate) -> dict[str, Any]:
        """Why a candidate is over, and its sources."""
        finish = candidate.finish
        ending: dict[str, Any] = {}
        if finish is not None:
            known = finish.reason in self.service.provider.dialect.finish
            ending["finishReason"] = finish.reason if known else _REASONS.get(finish.kind, "STOP")
            if finish.detail:
                ending["finishMessage"] = finish.detail
        elif self.complete:
            ending["finishReason"] = "STOP"
        if candidate.citations:
            ending["groundingMetadata"] = _grounding(candidate)
        return ending


def _with_arguments(events: Iterable[Event]) -> Iterator[Event]:
    """The events of a choice, with the arguments of calls that have none, too."""
    events = list(events)
    told = {event.call for event in events if isinstance(event, ToolCallDelta)}
    for event in events:
        yield event
        if isinstance(event, ToolCallStart) and event.call not in told:
            yield ToolCallDelta(event.call, "")


def _natives_first(events: Iterable[Event]) -> Iterator[Event]:
    """The events of a choice, in each part our native form first, as all of the part is in it;
    another one before the arguments of the call that it signs."""

    def place(event: Event) -> int:
        if isinstance(event, Native) and event.dialect in ("", DIALECT):
            return 0
        return 2 if isinstance(event, ToolCallDelta) else 1

    group: list[Event] = []
    for event in events:
        number = getattr(event, "part", None)
        if group and number is not None and number != getattr(group[0], "part", None):
            yield from sorted(group, key=place)
            group = []
        group.append(event)
    yield from sorted(group, key=place)


def _content(index: int, parts: list[Any]) -> dict[str, Any]:
    return {"content": {"parts": parts, "role": "model"}, "index": index}


def _call(id: str, name: str, arguments: str, signature: str | None) -> dict[str, Any]:
    arguments = arguments.strip() or "{}"
    if not is_json_object(arguments):
        raise LocalProtocolError(f"the call {name!r} is not complete: leave it out")
    # As it came, but on one line: a line end between tokens would end the `data:` line.
    raw = msgspec.Raw(arguments.replace("\n", " ").replace("\r", " ").encode())
    said: dict[str, Any] = {"id": id} if id else {}
    call = {"functionCall": {**said, "name": name, "args": raw}}
    return {**call, "thoughtSignature": signature} if signature else call


_REASONS = {"length": "MAX_TOKENS", "content_filter": "SAFETY", "error": "MALFORMED_RESPONSE"}
"""The words for finish reasons of other formats; for all others, STOP."""
_BLOCKS = ("SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK")
"""Why a prompt is blocked, but for OTHER."""


def _grounding(candidate: _Candidate) -> dict[str, Any]:
    """The sources, and what each supports."""
    citations = candidate.citations
    texts = {part: "".join(pieces) for part, pieces in candidate.texts.items()}
    spans = {
        number: (said.part, said.start, said.end)
        for number, said in enumerate(citations)
        if said.start is not None and said.end is not None
    }
    ends = ((part, at) for part, start, end in spans.values() for at in (start, end))
    places = byte_places(texts, ends)
    supports = [
        {
            "segment": {
                "startIndex": places[part, start],
                "endIndex": places[part, end],
                "text": texts[part][start:end],
            },
            "groundingChunkIndices": [number],
        }
        for number, (part, start, end) in spans.items()
        if start <= end and (part, start) in places and (part, end) in places
    ]
    sources = [{"web": {"uri": said.url, "title": said.title}} for said in citations]
    return {"groundingChunks": sources} | ({"groundingSupports": supports} if supports else {})


def _logprobs(said: LogProbs) -> dict[str, Any]:
    def token(each: Any) -> dict[str, Any]:
        return {"token": each.token, "logProbability": each.logprob}

    return {
        "chosenCandidates": list(map(token, said.tokens)),
        "topCandidates": [
            {"candidates": list(map(token, each.top_logprobs or ()))} for each in said.tokens
        ],
    }


def _usage(usage: Usage) -> dict[str, Any]:
    """The counts: a service's own go on as they are."""
    if any(name in usage.raw for name in COUNTS):
        return usage.raw
    said, thoughts, total = usage.output_tokens, usage.reasoning_output_tokens, usage.total_tokens
    if total is None and usage.input_tokens is not None and said is not None:
        total = usage.input_tokens + said
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": None if said is None else max(said - (thoughts or 0), 0),
        "totalTokenCount": total,
        "cachedContentTokenCount": usage.cache_read_input_tokens,
        "thoughtsTokenCount": thoughts,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


_STATUSES: dict[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}
_CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (AuthenticationFailed, "UNAUTHENTICATED"),
    (RateLimited, "RESOURCE_EXHAUSTED"),
    (Overloaded, "UNAVAILABLE"),
)


def _word(error: RemoteProtocolError | LocalProtocolError, status: int) -> str:
    """The word for an error: that of its status, or of its class."""
    found = (word for kind, word in _CLASSES if isinstance(error, kind))
    class_ = next(found, "")
    return _STATUSES.get(status) or class_ or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")

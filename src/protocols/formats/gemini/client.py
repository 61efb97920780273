"""The client half of generateContent and streamGenerateContent.

Sources: the API reference (ai.google.dev/api/generate-content), its guides, and recordings. A
stream has no end mark: it is complete if the last word of each candidate is a finish reason.

Doubts. Between two rounds of code the service says STOP, and goes on: if the stream is cut just
there, nothing shows it. Which of several `partialArgs` calls a fragment without a name is of is not
told: it is taken for the last one. What a `partIndex` counts in a stream no page says: a place in
the text is believed if the words there are those that are told.
"""

import re
from typing import Any

import msgspec

from ...errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    UnexpectedContent,
)
from ...events import Event, Start, Text, Unrecognized, Usage
from ...limits import Parts
from ...question import Question
from ...step import EventStep, Step
from ...toolkit.citations import Citations
from ...toolkit.json import count_in, decode_json, is_list, is_object
from ...toolkit.refusals import (
    ErrorTable,
    is_refusal,
    refusal_beside,
    refusal_of_object,
    refusal_of_text,
    without_prefix,
)
from .candidate import CandidateReader
from .request import encode_chat, model_path
from .wire import Counts, candidates, chunks, decode_plain, named_chunks, usages

__all__ = ["COUNT", "COUNTS", "ERRORS", "STREAM", "WHOLE", "GeminiStep", "usage_of"]

STREAM = ":streamGenerateContent"
"""What follows the model in the path of a chat that is streamed."""
WHOLE = ":generateContent"
"""The same for one that is not."""
COUNT = ":countTokens"
"""The same for a count of tokens."""

_CONTENT = ("candidates", "promptFeedback")
"""Keys of a chunk that are handed on if they are not understood: the others are about it."""
_VERSION = re.compile(r"/v\d")
_decode_usage = usages.decode
_value = msgspec.json.Decoder()


def _read_error(value: Any) -> tuple[str | None, str | None, str] | None:
    """Code, type and message of a google.rpc.Status: the reason of its ErrorInfo, or the number;
    and its word. It may come in a list."""
    error = _error_of(value)
    if error is None:
        return None
    code, word, message = error.get("code"), error.get("status"), error.get("message")
    if not (isinstance(word, str) and isinstance(message, str)):
        return None
    reasons = (detail.get("reason") for detail in _details(error))
    reason = next((reason for reason in reasons if isinstance(reason, str) and reason), None)
    return reason or (str(code) if isinstance(code, int) else None), word, message


def _is_lasting(value: Any) -> bool:
    """Whether a quota is one of a day, or of nothing."""
    error = _error_of(value)
    if error is None:
        return False
    quotas = [v for detail in _details(error) if is_list(v := detail.get("violations"))]
    ids = (str(each.get("quotaId")) for quota in quotas for each in quota if is_object(each))
    return any("PerDay" in id for id in ids) or "limit: 0" in str(error.get("message"))


def _error_of(value: Any) -> dict[str, Any] | None:
    if is_list(value):
        value = next(iter(value), None)
    error = value.get("error") if is_object(value) else None
    return error if is_object(error) else None


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [each for each in details if is_object(each)] if is_list(details) else []


ERRORS = ErrorTable(
    codes={"API_KEY_INVALID": AuthenticationFailed},
    words={
        "invalid_argument": BadRequest,
        "failed_precondition": BadRequest,
        "out_of_range": BadRequest,
        "unauthenticated": AuthenticationFailed,
        "permission_denied": AuthenticationFailed,
        "resource_exhausted": RateLimited,
        "rate_limit_error": RateLimited,  # of aimock
        "cancelled": Refused,
        "internal": Refused,
        "unavailable": Overloaded,
        "deadline_exceeded": Overloaded,
    },
    read=_read_error,
    lasting=_is_lasting,
)


class GeminiStep(EventStep):
    """One answer, streamed or not."""

    elements = True
    reopens = True
    unfinished = "the stream ended before a finishReason for every candidate"
    errors = ERRORS

    def __init__(self, question: Question) -> None:
        chat = question.chat
        path = model_path(question.model) + (f"{STREAM}?alt=sse" if chat.stream else WHOLE)
        if not _VERSION.search(question.base_url):  # as the SDKs' variables have it
            path = f"/v1beta{path}"
        accept = "text/event-stream" if chat.stream else "application/json"
        request = question.post(path, encode_chat(chat, question.model), {"accept": accept})
        super().__init__(request, question.limits)
        config = chat.extra.get("generationConfig")
        n = config.get("candidateCount", chat.n) if is_object(config) else chat.n
        self._expected = n if isinstance(n, int) else 1
        self._limits = question.limits
        self._finishes = question.finishes
        self._readers: dict[int, CandidateReader] = {}
        self._open: set[int] = set()  # candidates whose last word is no finish reason
        self._parts = Parts(question.limits.parts)
        self._citations = Citations(self._parts)
        self._begun = False
        self._usage: dict[str, Any] = {}  # all that was told so far
        self._plain: CandidateReader | None = None  # the first candidate, if its text goes on

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        plain = self._plain
        pieces, part = ([], 0) if plain is None else (plain.spoken.pieces, plain.numbers.last)
        for payload in payloads:
            if plain is not None:  # it may well go on
                try:
                    chunk = decode_plain(payload)
                except (ValueError, RecursionError):
                    pass
                else:
                    if text := chunk.candidates[0].content.parts[0].text:
                        pieces.append(text)
                        events.append(Text(text, part))
                    if told := chunk.usage_metadata:
                        self._take_usage(told, events)
                    continue
            self.event(payload, "message", events)
            plain = self._plain
            if plain is not None:
                pieces, part = plain.spoken.pieces, plain.numbers.last

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        begin = data.lstrip()[:1]
        if type == "error":
            raise refusal_of_text(data, self.errors)
        if begin == b"{":
            if not self._take_plain(data, events):
                self._take_chunk(data, type, events)
        elif data.strip() == b"[DONE]":
            pass  # of a gateway: here it means nothing
        elif begin == b"[" and is_refusal(value := decode_json(_value, data), self.errors):
            raise refusal_of_object(value, self.errors, data=data)
        else:
            self.no_json(data, events)

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        if not is_object(value) or not {"candidates", "promptFeedback"} & value.keys():
            if is_refusal(value, self.errors):
                raise refusal_of_object(value, self.errors, data=body)
            raise UnexpectedContent("a JSON document without candidates", data=body)
        self._take_chunk(body, "message", events)
        self.array_over()
        return None

    def array_over(self) -> None:
        # The last brace or bracket shows that it is whole; without the reasons it is half an
        # answer.
        if self.evidence == "finish":
            self.evidence = "terminator"

    def settle(self, proven: bool, events: list[Event]) -> None:
        super().settle(proven, events)
        for _, reader in sorted(self._readers.items()):
            reader.settle(proven, events)
            self.failure = self.failure or reader.failure

    def _take_plain(self, data: bytes, events: list[Event]) -> bool:
        """A chunk with nothing but text, if it is one."""
        try:
            chunk = decode_json(named_chunks, data)
        except Malformed:
            return False
        before = len(events)
        self._begin(chunk.response_id or "", chunk.model_version or "", events)
        reader = self._reader(0)
        reader.say(chunk.candidates[0].content.parts[0].text, events)
        self._note(0, reader)
        self._take_usage(chunk.usage_metadata, events)
        self._begun = self._begun or len(events) > before
        return True

    def _take_chunk(self, data: bytes, type: str, events: list[Event]) -> None:
        chunk, unknown = chunks.decode(data)
        usage, failed = bytes(chunk.usage_metadata), bool(chunk.error)
        id, model = str(chunk.response_id or ""), str(chunk.model_version or "")
        if not (chunk.candidates or chunk.prompt_feedback or usage or id or model or failed):
            # What has a name of its own is about something else, even if it has a message.
            failed = type == "message" and is_refusal(decode_json(_value, data), self.errors)
            if chunk.candidates is None and not failed:
                if not self.is_ping(data, type):
                    events.append(Unrecognized(data))
                return
        before = len(events)
        self._begin(id, model, events)
        self._take_candidates(chunk.candidates or [], events)
        events += [Unrecognized(value, key) for key, value in unknown if key in _CONTENT]
        if usage[:1] not in (b"", b"{"):
            events.append(Unrecognized(usage, "usageMetadata"))
        self._take_usage(_told_in(chunk.usage_metadata), events)
        self._begun = self._begun or len(events) > before  # from now on it is too late for a Start
        if failed:
            raise refusal_of_object(decode_json(_value, data), self.errors, data=data)
        if chunk.prompt_feedback:
            _check_prompt(chunk.prompt_feedback, data)

    def _take_candidates(self, raws: list[msgspec.Raw], events: list[Event]) -> None:
        for number, raw in enumerate(map(bytes, raws)):
            if raw[:1] != b"{":
                events.append(Unrecognized(raw, f"candidates[{number}]"))
                continue
            candidate, unknown = candidates.decode(raw)
            index = candidate.index or 0
            reader = self._reader(index)
            reader.take(candidate, unknown, events)
            if (failure := refusal_beside(unknown, self.errors)) is not None:
                reader.failure, reader.finished = failure, True
            self._note(index, reader)

    def _begin(self, id: str, model: str, events: list[Event]) -> None:
        if not self._begun and (id or model):
            events.append(Start(id, model))

    def _reader(self, index: int) -> CandidateReader:
        reader = self._readers.get(index)
        if reader is None:
            self._parts.add()
            reader = self._readers[index] = CandidateReader(
                index, self._citations, self._parts, self._finishes, self._limits
            )
        return reader

    def _note(self, index: int, reader: CandidateReader) -> None:
        """A candidate has said something: what that means for the whole."""
        if reader.finished:
            self._open.discard(index)
        else:
            self._open.add(index)
        whole = len(self._readers) >= max(self._expected, 1) and not self._open
        self.evidence = "finish" if whole else None
        if index == 0:
            goes_on = reader.numbers.kind == "text" and not reader.finished
            self._plain = reader if goes_on else None

    def _take_usage(self, told: dict[str, Any], events: list[Event]) -> None:
        """The counts so far. A later chunk may lack some; nothing is added up."""
        counts = not COUNTS.isdisjoint(told)
        told = self._usage | told
        if told != self._usage:
            self._usage = told
            if counts:
                events.append(usage_of(told))


_FIELDS = msgspec.structs.fields(Counts)
COUNTS = frozenset(field.encode_name for field in _FIELDS)
"""The counts of tokens in a usage; what else it has is of no count."""


def _told_in(raw: msgspec.Raw) -> dict[str, Any]:
    """What a `usageMetadata` tells: nothing if it is no object."""
    try:
        told = _decode_usage(raw)
    except (ValueError, RecursionError):
        return {}
    return {key: value for key, value in told.items() if value is not None}


def _check_prompt(feedback: dict[str, Any], data: bytes) -> None:
    """Raises ContentFiltered if the prompt was blocked."""
    reason, message = feedback.get("blockReason"), feedback.get("blockReasonMessage")
    if not reason or reason == "BLOCK_REASON_UNSPECIFIED":
        return
    words = f"the prompt was blocked: {reason}"
    if isinstance(message, str) and message:
        said = without_prefix(message)[:2000]
        words = said if said.startswith(words) else f"{words}: {said}"  # of a hop on the way
    raise ContentFiltered(f"the service refused: {words}", data=data, code=str(reason))


def usage_of(told: dict[str, Any]) -> Usage:
    """A `usageMetadata`, with OpenTelemetry's names. On the wire the input excludes what tools of
    the service read, and the output excludes thoughts."""
    try:
        counts = msgspec.convert(told, Counts)
    except msgspec.ValidationError:  # one of them is a float, or none at all
        counts = Counts(*(count_in(told, field.encode_name) for field in _FIELDS))
    asked, tools = counts.prompt_token_count, counts.tool_use_prompt_token_count
    said, thoughts = counts.candidates_token_count, counts.thoughts_token_count
    return Usage(
        asked if tools is None else tools + (asked or 0),
        said if thoughts is None else thoughts + (said or 0),
        counts.total_token_count,
        counts.cached_content_token_count,
        None,
        thoughts,
        told,
    )

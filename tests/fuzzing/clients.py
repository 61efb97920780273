"""The client halves: any bytes as the answer of a service.

The body is what a service answers; where a dialect asks twice, the two answers stand on both sides
of a byte 0x1E. What may come of it: events, and a `RemoteProtocolError`, or `TimedOut` if a clock
ran out.
"""

import gzip
import zlib
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import msgspec

from tests.driving import JSON, SSE, Ending, Outcome, Response, drive
from tests.fuzzing import seeds
from tests.fuzzing.source import CUTS, Target, cut_by, split
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import (
    EXCERPT,
    LimitExceeded,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Evidence,
    Finish,
    Image,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
    proves,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.question import Question
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Headers, Request

__all__ = ["CLIENTS", "SMALL", "asked"]

SMALL = Limits(event=60, response=300, document=150, picture=40, head=150, error_body=50)
"""So small that an input meets each of them."""

_ENDINGS: list[Ending] = ["eof", "close", "disconnect", "timeout"]
_STATUSES = [200] * 9 + [201, 204, 302, 400, 401, 429, 503]
_TYPES: list[Headers] = [
    SSE,
    JSON,
    [(b"content-type", b"text/plain; charset=utf-8")],
    [(b"content-type", b"text/html")],
    [(b"content-type", b"image/png")],
    [],
]


class _Asked(Question, frozen=True, dict=True):
    """A question whose requests are written once: they are no part of what is fuzzed here."""

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str] = {}) -> Request:
        key = f"{path} {headers.get('uniqueid')}"
        if key not in self._made:
            self._made[key] = super().post(path, body, headers)
        return self._made[key]

    def get(self, path: str, headers: Mapping[str, str] = {}) -> Request:
        if path not in self._made:
            self._made[path] = super().get(path, headers)
        return self._made[path]

    @cached_property
    def _made(self) -> dict[str, Request]:
        return {}

    def random_text(self, length: int) -> str:
        return "r" * length


def asked(
    name: str, chat: Chat, limits: Limits, *, base_url: str = "", key: str | None = None
) -> Exchange:
    """The exchange that asks the provider `name`; what `fresh` makes of it shares its requests."""
    provider = PROVIDERS[name]
    model = provider.model(chat.model)
    question = _Asked(provider, chat, model, base_url or provider.base_url, limits, key)
    first = partial(provider.dialect.ask, question)
    return Exchange(first, owes=provider.required_evidence, clocks=provider.clocks, limits=limits)


class Client:
    """The client half of one dialect, and the server half that says what was heard once more."""

    def __init__(self, name: str, chat: Chat, *, two_answers: bool = False) -> None:
        self._provider = PROVIDERS[name]
        self._two_answers = two_answers
        self._large, self._small = (asked(name, chat, limits) for limits in (Limits(), SMALL))

    def fuzz(self, data: bytes) -> None:
        """The target."""
        body, choices = split(data, CUTS + 4)
        exchange = self._small if choices[0] & 1 else self._large
        responses = self._responses(body, choices)
        used = exchange.fresh()
        whole = drive(used, *responses)
        _check(whole, exchange.limits, self._provider.required_evidence)
        _check_over(used, whole)
        cut = cut_by(choices[4:])
        match choices[0] >> 1 & 3:  # one more each time: executions are what finds things
            case 0:
                assert drive(exchange.fresh(), *responses, cut=cut).what == whole.what
            case 1:
                coded = [_code(response, choices[0] >> 3) for response in responses]
                assert drive(exchange.fresh(), *coded, cut=cut).what == whole.what
            case 2:
                place = int.from_bytes(choices[5:7]) % (len(responses[-1].body) + 1)
                self._check_cut_off(exchange.fresh(), responses, place, whole)
            case _:
                self._check_round_trip(whole)

    def _responses(self, body: bytes, choices: bytes) -> list[Response]:
        bodies = body.split(seeds.SEPARATOR, 1) if self._two_answers else [body]
        if self._two_answers and len(bodies) == 1:
            bodies.append(b"")
        ending = _ENDINGS[choices[1] % 4]
        responses = [Response(part) for part in bodies]
        for response, choice in zip(responses, (choices[2] >> 4, choices[2]), strict=False):
            response.status = _STATUSES[choice & 0x0F]
        for response, choice in zip(responses, (choices[3] >> 4, choices[3]), strict=False):
            response.headers = _TYPES[(choice & 0x0F) % len(_TYPES)]
        responses[-1].ending = ending
        return responses

    def _check_cut_off(
        self, exchange: Exchange, responses: list[Response], place: int, whole: Outcome
    ) -> None:
        """An answer whose last body is cut at `place` is no success but by evidence; else what it
        says is the beginning of the whole."""
        *before, last = responses
        cut_off = Response(last.body[:place], last.status, last.headers, "disconnect")
        outcome = drive(exchange, *before, cut_off)
        if outcome.error is None:
            evidence = outcome.events[-1]
            assert isinstance(evidence, End)
            assert proves(evidence.evidence, self._provider.required_evidence)
        else:
            assert whole.reply.text.startswith(outcome.reply.text)
            assert whole.reply.reasoning.startswith(outcome.reply.reasoning)

    def _check_round_trip(self, whole: Outcome) -> None:
        """What was heard of a success, said by the server half, is heard again."""
        says = None if whole.error is not None else self._says(whole.events)
        if says is not None:
            service = Service(self._provider, base_url=_URL)
            heard = list(pair(self._large.fresh(), service, lambda chat: says))
            expected = list(map(_settled, says))
            assert list(map(_settled, heard)) == expected, (heard, says)

    def _says(self, events: list[Event]) -> list[Event] | None:
        """The events in a form that comes back as it is; None if the dialect can't say them."""
        match self._provider.name:
            case "darkai":
                return [Text("."), *events]
            case "aichatonline":
                return [Text("."), *events[:-1], End("body_end")]
            case "aichats" if self._two_answers:
                (image, end) = events
                assert isinstance(image, Image)
                return [Image(image.data, image.media_type, f"{_URL}/pictures/1", "hi"), end]
            case "aichats":
                texts: list[Event] = [event for event in events if isinstance(event, Text)]
                return [*texts, events[-1]] if texts else None  # nothing at all is no answer
            case _:
                known = self._provider.dialect.finish
                reasons = [event for event in events if isinstance(event, Finish) and event.kind]
                # One that means something but is spelled otherwise is said in our spelling.
                return _completion(events) if all(e.reason in known for e in reasons) else None


_URL = "https://pictures.example"


def _settled(event: Event) -> Event:
    """The event, but for the part of a source of the whole answer, for which there is no place."""
    if isinstance(event, Citation) and event.start is None:
        return msgspec.structs.replace(event, part=0)
    return event


def _completion(events: list[Event]) -> list[Event] | None:
    """A chat completion as its server half says it: the id first, `[DONE]` last. None if a tool
    call is put together of pieces that say less than their sum, or is one of two with one id."""
    starts = [e for e in events if isinstance(e, ToolCallStart)]
    ends = [e for e in events if isinstance(e, ToolCallEnd)]
    ids = [(e.index, e.id) for e in starts]
    plain = all(e.id and e.name for e in starts) and len(set(ids)) == len(ids)
    ended = {(e.index, e.call, e.id, e.name) for e in ends}
    if not plain or ended != {(e.index, e.call, e.id, e.name) for e in starts}:
        return None
    said = [e for e in events if not isinstance(e, Unrecognized | Start | End | Image)]
    # A usage in other words than the format's is written in its own.
    said = [e for e in said if not isinstance(e, Usage) or "prompt_tokens" in e.raw]
    start = next((e for e in events if isinstance(e, Start)), Start("", "m"))
    start = Start(start.id or "id", start.model)
    return [start, *said, End("terminator")]


def _check_over(exchange: Exchange, outcome: Outcome) -> None:
    """What comes after the end changes nothing, and an error is raised again and again."""
    assert not exchange.wants_data
    assert exchange.receive_data(b"data: [DONE]\n\n") == []
    assert exchange.receive_eof() == exchange.receive_disconnect() == []
    assert _raised(exchange) is outcome.error


def _raised(exchange: Exchange) -> TokenwireError | None:
    try:
        assert exchange.next_request() is None
    except (RemoteProtocolError, TimedOut) as error:
        return error
    return None


def _check(outcome: Outcome, limits: Limits, owes: Evidence) -> None:
    """What every outcome is."""
    said = sum(len(e.text) for e in outcome.events if isinstance(e, Text | Reasoning | Refusal))
    assert said <= limits.response
    for event in outcome.events:
        match event:
            case Text() | Reasoning() | Refusal():
                assert len(event.text) <= max(limits.event, limits.document)
            case Image():
                assert len(event.data) <= limits.picture
            case Unrecognized():
                assert len(event.raw) <= limits.event + limits.error_body + 1
            case _:
                pass
    if outcome.error is None:
        last = outcome.succeeded().events[-1]
        assert isinstance(last, End)
        assert proves(last.evidence, owes)
        return
    assert isinstance(outcome.error, RemoteProtocolError | TimedOut)
    assert not any(isinstance(event, End) for event in outcome.events)
    if isinstance(outcome.error, RemoteProtocolError):
        assert len(outcome.error.data) <= EXCERPT + 3
        assert limits is SMALL or not isinstance(outcome.error, LimitExceeded)


def _code(response: Response, choice: int) -> Response:
    """The response with a content-encoding."""
    bare = zlib.compressobj(1, wbits=-15)
    coding, body = [
        (b"gzip", gzip.compress(response.body, 1)),
        (b"deflate", zlib.compress(response.body, 1)),
        (b"deflate", bare.compress(response.body) + bare.flush()),
    ][choice % 3]
    headers = [*response.headers, (b"content-encoding", coding)]
    return Response(body, response.status, headers, response.ending)


def _target(client: Client, seeds: list[bytes], words: list[bytes], max_len: int) -> Target:
    """Each seed with each of the checks, the first by pieces of three bytes and small limits."""
    rest = bytes(CUTS + 3)
    ways = [b"\1\0\0\0\x32" + bytes(CUTS - 1), *(bytes((way,)) + rest for way in (2, 4, 6))]
    return Target(client.fuzz, [seed + way for seed in seeds for way in ways], words, max_len)


_HI = as_chat("hi")
_COUNTED = as_chat("hi", extra={"stream_options": {"include_usage": True}})
_WORDS = [*seeds.LINE_WORDS, *seeds.JSON_WORDS]
_OPENAI_WORDS, _OTHER_WORDS = [*_WORDS, *seeds.OPENAI_WORDS], [*_WORDS, *seeds.OTHER_WORDS]
CLIENTS: dict[str, Target] = {
    "openai": _target(
        Client("openai", _COUNTED.replace(model="m")), seeds.OPENAI, _OPENAI_WORDS, 600
    ),
    "ylokh": _target(Client("ylokh", _COUNTED), seeds.OPENAI, _OPENAI_WORDS, 600),
    "darkai": _target(Client("darkai", _HI), seeds.DARKAI, _OTHER_WORDS, 400),
    "aichats": _target(Client("aichats", _HI), seeds.AICHATS, _OTHER_WORDS, 300),
    "pictures": _target(
        Client("aichats", _HI.replace(model="dalle"), two_answers=True),
        seeds.PICTURES,
        _OTHER_WORDS,
        300,
    ),
    "aichatonline": _target(
        Client("aichatonline", _HI, two_answers=True), seeds.AICHATONLINE, _OTHER_WORDS, 400
    ),
}

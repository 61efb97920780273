"""The client halves: any bytes as the answer of a service.

The body is what a service answers; if a dialect asks several times, a byte 0x1E stands between two
answers. Allowed are events, and a `RemoteProtocolError`, or `TimedOut` if a clock ran
out.
"""

import gzip
import zlib
from collections.abc import Mapping

from tests.driving import JSON, SSE, Ending, Outcome, Response, drive
from tests.fuzzing import seeds
from tests.fuzzing.source import CUTS, Target, cut_by, split
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    EXCERPT,
    LimitExceeded,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from tokenwire.protocols.events import (
    End,
    Evidence,
    Image,
    Reasoning,
    Refusal,
    Text,
    Unrecognized,
    proves,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.testing import Subject

__all__ = ["SMALL", "clients"]

SMALL = Limits(event=60, response=300, document=150, picture=40, head=150, error_body=50)
"""So small that an input meets each of them."""

_ENDINGS: list[Ending] = ["eof", "close", "disconnect", "timeout"]
_STATUSES = [200] * 9 + [201, 204, 302, 400, 401, 429, 503]
_TYPES: list[Headers | None] = [
    None,  # as the server half says
    SSE,
    JSON,
    [(b"content-type", b"text/plain; charset=utf-8")],
    [(b"content-type", b"text/html")],
    [(b"content-type", b"image/png")],
    [],
]


class Client:
    """The client half of one subject, and the server half that says what was heard once more."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._chat = as_chat("hi", **subject.asked)
        self._large, self._small = (subject.exchange(self._chat, x) for x in (Limits(), SMALL))
        self._headers = [recorded.headers for recorded in subject.send_short().recorded]

    def fuzz(self, data: bytes) -> None:
        """The target."""
        body, choices = split(data, CUTS + 4)
        exchange = self._small if choices[0] & 1 else self._large
        responses = self._responses(body, choices)
        used = exchange.fresh()
        whole = drive(used, *responses)
        _check(whole, exchange.limits, self._owes)
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
        count = len(self._headers)
        bodies = body.split(seeds.SEPARATOR, count - 1)
        responses = [Response(part) for part in (*bodies, *[b""] * (count - len(bodies)))]
        for response, own in zip(responses, self._headers, strict=True):
            last = response is responses[-1]  # a half of a byte is for it, the other for the rest
            status, kind = (choices[2], choices[3]) if last else (choices[2] >> 4, choices[3] >> 4)
            headers = _TYPES[(kind & 0x0F) % len(_TYPES)]
            response.status = _STATUSES[status & 0x0F]
            response.headers = own if headers is None else headers
        responses[-1].ending = _ENDINGS[choices[1] % 4]
        return responses

    @property
    def _owes(self) -> Evidence:
        return self._subject.provider.required_evidence

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
            assert proves(evidence.evidence, self._owes)
        else:
            assert whole.reply.text.startswith(outcome.reply.text)
            assert whole.reply.reasoning.startswith(outcome.reply.reasoning)

    def _check_round_trip(self, whole: Outcome) -> None:
        """What was heard of a success, said by the server half, is heard again."""
        if whole.error is not None:
            return
        subject = self._subject
        says = subject.repeats(subject.provider, self._chat, whole.events)
        if says is not None:
            service = Service(subject.provider)
            heard = list(pair(self._large.fresh(), service, lambda chat: says))
            assert heard == subject.hears(self._chat, says), (heard, says)


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


def _target(subject: Subject) -> Target:
    """Each seed with each of the checks, the first by pieces of three bytes and small limits."""
    rest = bytes(CUTS + 3)
    ways = [b"\1\0\0\0\x32" + bytes(CUTS - 1), *(bytes((way,)) + rest for way in (2, 4, 6))]
    answers = [seeds.SEPARATOR.join(bodies) for bodies in seeds.answers(subject)]
    return Target(
        Client(subject).fuzz,
        [answer + way for answer in answers for way in ways],
        seeds.words(subject),
        max_len=1500,
    )


def clients(subjects: Mapping[str, Subject]) -> dict[str, Target]:
    """A target for each subject."""
    return {name: _target(subject) for name, subject in subjects.items()}

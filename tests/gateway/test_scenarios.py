"""Whatever a service does, as a table: what its caller gets, and whether another service answers
instead. In memory."""

from typing import NamedTuple

import anyio
import pytest

from tests.driving import Outcome
from tokenwire import (
    ConnectFailed,
    Disconnected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from tokenwire.gateway.record import Record
from tokenwire.protocols.toolkit.http import Request

from .driving import Heard, ask, exchange_of, gateway
from .memory import Said, in_memory

JSON = (("content-type", "application/json"),)
HTML = (("content-type", "text/html"),)


def sse(*events: str) -> bytes:
    return b"".join(b"data: %b\n\n" % event.encode() for event in events)


def delta(fields: str, more: str = '"finish_reason":null') -> str:
    return f'{{"id":"x","choices":[{{"index":0,"delta":{{{fields}}},{more}}}]}}'


ROLE = delta('"role":"assistant","content":""')
TEXT = delta('"content":"first half "')
CALL = delta(
    '"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\\"a"}}]'
)
STOP = delta("", '"finish_reason":"stop"')
ERROR = '{"error":{"message":"on fire","type":"server_error"}}'
OVERLOADED = '{"error":{"message":"busy","type":"overloaded_error"}}'
GOOD = sse(ROLE, TEXT, STOP, "[DONE]")


class Case(NamedTuple):
    """What a service says. `status` is what its only caller gets (0: a whole answer; 200: an error
    inside the answer), `again` whether another service is asked."""

    said: Said
    status: int
    again: bool = False


def refused(status: int, message: str = "no", *headers: tuple[str, str]) -> Said:
    body = b'{"error":{"message":"%b"}}' % message.encode()
    return Said(body, status, (*JSON, *headers))


def failed(error: TokenwireError) -> Said:
    return Said(error=error)


WHOLE = {
    "a whole answer": Said(GOOD),
    "in single bytes": Said(GOOD, cut=1),
    "with CR and LF": Said(GOOD.replace(b"\n", b"\r\n"), cut=7),
    "with pings": Said(b": ping\n\n" + GOOD.replace(b"\n\n", b"\n\n: ping\n\n")),
    "with an unknown event": Said(b"event: new\ndata: {}\n\n" + GOOD),
    "without the blank line at its end": Said(GOOD.removesuffix(b"\n\n")),
    "without the end mark": Said(sse(ROLE, TEXT, STOP)),
    "reset after the end mark": Said(GOOD, end="reset"),
    "silent after the end mark": Said(GOOD, end="silence"),
    "reset after the finish reason": Said(sse(TEXT, STOP), end="reset"),
    "closed after the finish reason": Said(sse(TEXT, STOP), end="closed"),
    "more after the end mark": Said(GOOD + b": cost 7\n\n"),
    "labelled as text": Said(GOOD, headers=(("content-type", "text/plain"),)),
}
CUT = {
    "ended in the text": Said(sse(ROLE, TEXT)),
    "closed in the text": Said(sse(ROLE, TEXT), end="closed"),
    "reset in the text": Said(sse(ROLE, TEXT), end="reset"),
    "silent in the text": Said(sse(ROLE, TEXT), end="silence"),
    "ended inside an event": Said(sse(ROLE, TEXT) + b'data: {"choi'),
    "reset inside an event": Said(sse(ROLE, TEXT) + b"data: {", end="reset"),
    "ended in a call": Said(sse(ROLE, CALL)),
    "reset in a call": Said(sse(ROLE, CALL), end="reset"),
    "an end mark without a finish reason": Said(sse(ROLE, CALL) + b'data: {"choices":[]}\n\n'),
    "garbage in the text": Said(sse(ROLE, TEXT, "{]", STOP, "[DONE]")),
    "an error in the text": Said(sse(ROLE, TEXT, ERROR)),
    "an overload in the text": Said(sse(ROLE, TEXT, OVERLOADED)),
    "an error, then the end as usual": Said(sse(ROLE, TEXT, ERROR, STOP, "[DONE]")),
}
EARLY = {
    "not there": Case(failed(ConnectFailed("nobody")), 502, True),
    "not reached in time": Case(failed(TimedOut("slow", "connect")), 504, True),
    "gone before the head": Case(failed(Disconnected("gone")), 502, True),
    "no event in time": Case(failed(TimedOut("slow", "first_event")), 504, True),
    "a page": Case(Said(b"<html>", headers=HTML), 502, True),
    "a page labelled as events": Case(Said(b"<html>hm"), 502, True),
    "nothing": Case(Said(), 502, True),
    "an error object": Case(Said(ERROR.encode(), headers=JSON), 500, True),
    "an error object as text": Case(Said(ERROR.encode()), 500, True),
    "an error as the first event": Case(Said(sse(ERROR)), 500, True),
    "an overload as the first event": Case(Said(sse(OVERLOADED)), 503, True),
    "ended after the handshake": Case(Said(sse(ROLE)), 502, True),
    "reset after the handshake": Case(Said(sse(ROLE), end="reset"), 502, True),
    "silent after the handshake": Case(Said(sse(ROLE), end="silence"), 504, True),
    "an error after the handshake": Case(Said(sse(ROLE, ERROR)), 500, True),
    "garbage after the handshake": Case(Said(sse(ROLE, "{]")), 502, True),
    "400": Case(refused(400), 400),
    "401": Case(refused(401), 502, True),
    "402": Case(refused(402), 502, True),
    "403": Case(refused(403), 502, True),
    "404": Case(refused(404), 404),
    "408": Case(refused(408), 408, True),
    "409": Case(refused(409), 502),
    "413": Case(refused(413), 413),
    "422": Case(refused(422), 422),
    "429": Case(refused(429, "slow", ("retry-after", "7")), 429, True),
    "500": Case(refused(500), 500, True),
    "502": Case(refused(502), 502, True),
    "503": Case(refused(503), 503, True),
    "504": Case(refused(504), 504, True),
    "529": Case(refused(529), 503, True),
    "a redirect": Case(Said(b"", 302, (("location", "http://other.test"),)), 502, True),
}
CASES = {
    **{name: Case(said, 0) for name, said in WHOLE.items()},
    **{name: Case(said, 200) for name, said in CUT.items()},
    **EARLY,
}
SECOND = Said(sse(delta('"content":"the second"'), STOP, "[DONE]"))


def config(count: int) -> str:
    services = "".join(
        f'[providers.p{n}]\ndialect = "openai_chat"\nbase_url = "http://p{n}.test/v1"\n'
        for n in range(count)
    )
    targets = ", ".join(f'{{ provider = "p{n}", model = "m" }}' for n in range(count))
    return f'{services}[[models]]\nname = "m"\ntargets = [{targets}]\n'


def asked(front: str, said: Said, count: int) -> tuple[Outcome, Heard, Record, list[str]]:
    """What a caller of the format `front` gets, and the hosts that were asked."""

    def play(request: Request) -> Said:
        return said if request.origin.host == "p0.test" else SECOND

    async def main() -> tuple[Outcome, Heard, Record, list[str]]:
        async with gateway(config(count)) as (app, records):
            services = in_memory(app, play)
            outcome, heard = await ask(app, exchange_of(front, "m", max_tokens=9))
            hosts = [request.origin.host for request in services.asked]
            return outcome, heard, records[0], hosts

    return anyio.run(main)


def test_there_are_many() -> None:
    assert len(CASES) >= 45


@pytest.mark.parametrize("front", ["openai", "anthropic"])
@pytest.mark.parametrize("name", CASES)
def test_one_service(name: str, front: str) -> None:
    case = CASES[name]
    outcome, heard, record, _ = asked(front, case.said, 1)
    assert record.attempts == 1
    match case.status:
        case 0:
            assert outcome.succeeded().reply.text == "first half "
            assert heard.whole
            assert record.outcome == "complete"
            if front == "openai":
                assert heard.body == case.said.body
        case 200:
            assert heard.status == 200
            assert isinstance(outcome.error, RemoteProtocolError)
            assert outcome.reply.text in ("first half ", "")
            assert not any(call.complete for call in outcome.reply.tool_calls)
            assert record.outcome not in ("", "complete")
            own = front == "openai" and ("error" in name or "overload" in name)
            assert heard.whole is own  # the upstream's bytes say it
        case status:
            expected = 529 if (status, front, name) == (503, "anthropic", "529") else status
            assert (heard.status, heard.whole) == (expected, True)
            assert isinstance(outcome.error, Refused)
            assert b"first half" not in heard.body
            assert b".test" not in heard.body  # where the service is
            assert record.outcome not in ("", "complete")


@pytest.mark.parametrize("name", CASES)
def test_two_services(name: str) -> None:
    case = CASES[name]
    outcome, heard, record, hosts = asked("openai", case.said, 2)
    assert hosts == (["p0.test", "p1.test"] if case.again else ["p0.test"])
    if case.again:
        assert outcome.succeeded().reply.text == "the second"
        assert heard.header("x-tokenwire-attempts") == "2"
        assert heard.body == SECOND.body  # nothing of the first
        assert record.outcome == "complete"
    else:
        assert heard.status == (case.status or 200)


def test_a_refusal_by_the_limits_is_told_at_once() -> None:
    _, heard, record, hosts = asked("openai", EARLY["429"].said, 1)
    assert hosts == ["p0.test"]
    assert (heard.status, heard.header("retry-after")) == (429, "7")
    assert record.tries[0].result == "rate_limited"

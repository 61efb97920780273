"""Observers of a service: what they are told, when, and that they can do no harm."""

import linecache
from collections.abc import Callable, Iterable

import pytest

import tokenwire
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    LocalProtocolError,
    RateLimited,
    RemoteProtocolError,
    Truncated,
)
from tokenwire.protocols.events import End, Event, Finish, Start, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.observer import Outcome
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.serving import ServiceObserver
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.server import serve

OPENAI = PROVIDERS["openai"]
SAYS: list[Event] = [Start("c", "m"), Text("h"), Finish("stop", "stop"), End("terminator")]


class Log(ServiceObserver):
    """What it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""
        self.outcome: Outcome | None = None

    def requested(self, request: Request) -> None:
        self.told.append(f"requested {request.method}")

    def asked(self, service: Service, chat: Chat) -> None:
        self.told.append(f"asked {chat.messages[-1].text} of {service.provider.name}")

    def responded(self, status: int, headers: Headers) -> None:
        self.told.append(f"responded {status}")
        assert dict(headers)[b"content-type"]

    def sent(self, data: bytes, event: Event | None) -> None:
        self.told.append(f"sent {None if event is None else type(event).__name__}")
        self.data += data

    def ended(self, outcome: Outcome) -> None:
        self.told.append(f"ended {outcome.word}")
        self.outcome = outcome


def ask(stream: bool = True) -> Exchange:
    return OPENAI.exchange(as_chat("hi", model="m", stream=stream), key="k-1234567")


def answer(chat: Chat) -> Iterable[Event]:
    return SAYS


BEGUN = ["requested POST", "asked hi of openai", "responded 200"]


def test_a_stream() -> None:
    log = Log()
    assert list(pair(ask(), Service(OPENAI, observers=[log]), answer)) == SAYS
    said = ("sent Start", "sent Text", "sent Finish", "sent End")
    assert log.told == [*BEGUN, *said, "ended complete"]
    assert log.outcome == Outcome("complete", evidence="terminator")
    assert log.data.endswith(b"data: [DONE]\n\n")


def test_an_answer_asked_for_whole() -> None:
    log = Log()
    list(pair(ask(stream=False), Service(OPENAI, observers=[log]), answer))
    assert log.told == [*BEGUN, "sent None", "ended complete"]
    assert log.data.endswith(b"}")


def test_half_an_answer() -> None:
    log = Log()
    with pytest.raises(Truncated):
        list(pair(ask(), Service(OPENAI, observers=[log]), lambda chat: SAYS[:2]))
    assert log.told == [*BEGUN, "sent Start", "sent Text", "ended truncated"]
    assert log.outcome == Outcome("truncated")


def test_a_refusal() -> None:
    log = Log()
    with pytest.raises(AuthenticationFailed):
        list(pair(ask(), Service(OPENAI, key="other", observers=[log]), answer))
    assert log.told == [
        *("requested POST", "responded 401", "sent None", "ended authentication_failed")
    ]
    assert log.outcome is not None
    assert isinstance(log.outcome.error, AuthenticationFailed)


def received(observers: list[ServiceObserver], provider: str = "openai") -> Responder:
    """A responder that has a question."""
    responder = Service(PROVIDERS[provider], observers=observers).responder()
    request = PROVIDERS[provider].exchange(as_chat("hi", model="m"), key="any").next_request()
    assert request is not None
    responder.receive_request(request)
    return responder


@pytest.mark.parametrize("error", [RateLimited("slow"), LocalProtocolError("no")])
def test_an_error_midway(error: RemoteProtocolError | LocalProtocolError) -> None:
    log = Log()
    responder = received([log])
    responder.send(Text("h"))
    responder.fail_midway(error)
    responder.leave()
    assert log.told == [*BEGUN, "sent Text", "sent None", f"ended {error.outcome}"]


def leaves(responder: Responder) -> None:
    responder.leave()
    responder.leave()


def forgets(responder: Responder) -> None:
    del responder


@pytest.mark.parametrize("stop", [leaves, forgets])
def test_the_client_is_gone(stop: Callable[[Responder], None]) -> None:
    log = Log()
    held = [received([log])]
    held[0].send(Text("h"))
    stop(held.pop())
    assert log.told == [*BEGUN, "sent Text", "ended left"]


def test_nothing_ends_that_was_not_asked() -> None:
    log = Log()
    Service(OPENAI, observers=[log]).responder().leave()
    assert log.told == []


def test_another_endpoint() -> None:
    log = Log()
    responder = Service(OPENAI, observers=[log]).responder()
    assert responder.receive_request(Request("GET", "http://x.test/v1/models", [])) is None
    responder.end()
    assert log.told == ["requested GET", "responded 200", "sent None", "ended complete"]


def test_an_observer_for_each_request_or_none() -> None:
    logs: list[Log] = []

    def make() -> Log | None:
        if len(logs) == 2:
            return None
        logs.append(Log())
        return logs[-1]

    service = Service(OPENAI, observers=[make])
    for _ in range(3):
        list(pair(ask(), service, answer))
    assert [log.told[-1] for log in logs] == ["ended complete"] * 2
    assert type(service.responder()) is type(Service(OPENAI).responder())


class Raises(ServiceObserver):
    def requested(self, request: Request) -> None:
        _, key = dict(request.headers)[b"authorization"].decode().split()
        raise ValueError(key)  # without the word before it that would tell what it is


def fails() -> ServiceObserver:
    raise ValueError("none")


def test_one_that_raises_is_removed() -> None:
    log = Log()
    service = Service(OPENAI, observers=[Raises(), log])
    said = r"^an observer raised ValueError.* is removed: <tests.*Raises object"
    with pytest.warns(RuntimeWarning, match=said) as warned:
        assert list(pair(ask(), service, answer)) == SAYS
    assert len(warned) == 1
    assert "k-1234567" not in str(warned[0].message)
    assert log.told[-1] == "ended complete"
    log = Log()
    said = r"^an observer raised ValueError\('none'\) and is removed: <function fails"
    with pytest.warns(RuntimeWarning, match=said):
        assert list(pair(ask(), Service(OPENAI, observers=[fails, log]), answer)) == SAYS
    assert log.told[-1] == "ended complete"


def test_the_warning_of_a_function_is_of_the_line_that_called_the_service() -> None:
    with pytest.warns(RuntimeWarning) as warned:
        Service(OPENAI, observers=[fails]).responder()
    line = linecache.getline(warned[0].filename, warned[0].lineno).strip()
    assert line == "Service(OPENAI, observers=[fails]).responder()"


def test_a_plain_responder_may_be_left() -> None:
    received([]).leave()


def test_an_embedded_server() -> None:
    logs: list[Log] = []

    def make() -> Log:
        logs.append(Log())
        return logs[-1]

    with serve("openai", lambda chat: "yes", observers=[make]) as server:
        reply = tokenwire.ask("openai", "hi", model="m", base_url=server.url, key="any")
    assert reply.text == "yes"
    (log,) = logs
    assert (log.told[0], log.told[-1]) == ("requested POST", "ended complete")

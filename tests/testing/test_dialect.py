"""`check_dialect`: it passes for a format of a user's, and finds out faulty ones."""

import dataclasses
from typing import Any

import msgspec
import pytest

from tests.formats.openai_chat.subject import SUBJECTS
from tokenwire import (
    PROVIDERS,
    Chat,
    Dialect,
    End,
    Endpoint,
    Event,
    LineStep,
    LocalProtocolError,
    Malformed,
    Native,
    Provider,
    RemoteProtocolError,
    Responder,
    Service,
    Step,
    Text,
    as_chat,
    pair,
)
from tokenwire.protocols.question import Question
from tokenwire.protocols.reading import read_json
from tokenwire.protocols.toolkit.http import Request
from tokenwire.testing import CHECKS, Subject, check_dialect


class HexStep(LineStep):
    """Text in hexadecimal digits, one line an event, and `BYE` at the end."""

    framing = "lines"
    unfinished = "the stream ended before BYE"

    def line(self, line: bytes, events: list[Event]) -> None:
        if line == b"BYE":
            self.evidence = "terminator"
            return
        try:
            text = bytes.fromhex(line.decode()).decode()
        except ValueError:
            raise Malformed("not hexadecimal digits", data=line) from None
        if text:
            events.append(Text(text))


_question = msgspec.json.Decoder(dict[str, str])


class HexResponder(Responder):
    """Its server half."""

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        return as_chat(read_json(request, _question)["question"], model="one")

    def write(self, event: Event) -> bytes:
        if isinstance(event, Text):
            return event.text.encode().hex().encode() + b"\n"
        return b"BYE\n"


class Hex(Dialect):
    """One prompt, and text."""

    name = "hex"
    auth = ()
    evidence = "terminator"
    endpoints = (Endpoint("chat", "POST", "/ask"),)

    step: type[LineStep] = HexStep
    responder: type[Responder] = HexResponder

    def ask(self, question: Question) -> Step:
        text = question.chat.messages[-1].text
        return self.step(question.post("/ask", {"question": text}), question.limits)

    def respond(self, service: Service) -> Responder:
        return self.responder(service)


def subject_of(dialect: Dialect) -> Subject:
    provider = Provider(
        name="mine",
        dialect=dialect,
        base_url="https://x.test",
        models=("one",),
        default_model="one",
    )
    short: list[Event] = [Text("h\u20ac"), Text("i"), End("terminator")]
    return Subject(provider=provider, short=short, understands=the_last_text)


def the_last_text(provider: Provider, chat: Chat) -> Chat:
    return as_chat(chat.messages[-1].text, model="one")


def test_a_format_of_the_users() -> None:
    check_dialect(subject_of(Hex()))


class Credulous(HexStep):
    """Takes each end of a body for the end of the answer."""

    def eof(self, events: list[Event]) -> None:
        self.evidence = "terminator"


class Piecemeal(HexStep):
    """Takes each piece for whole lines."""

    def data(self, data: bytes, events: list[Event]) -> None:
        for line in data.splitlines():
            self.line(line, events)


class Careless(HexStep):
    """Raises what is not the peer's fault."""

    def line(self, line: bytes, events: list[Event]) -> None:
        if line == b"BYE":
            self.evidence = "terminator"
        else:
            events.append(Text(bytes.fromhex(line.decode()).decode()))


class Loud(HexResponder):
    """Writes another text than it was given."""

    def write(self, event: Event) -> bytes:
        return super().write(Text(f"{event.text}!") if isinstance(event, Text) else event)


class Deaf(HexResponder):
    """Does not read the question."""

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        return as_chat("", model="one")


class Boastful(HexResponder):
    """Says more than it declares."""

    def can_say(self, event: Event) -> bool:
        return True


class Mute(HexResponder):
    """Does not say why it refuses."""

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return b"{}"


class Hasty(HexResponder):
    """Says that the answer is over, whether it is or not."""

    def end(self) -> bytes:
        self.complete = True
        return b"BYE\n"


FAULTS: dict[str, tuple[str, Any]] = {
    "truncated at every place": ("step", Credulous),
    "no beginning is a success": ("step", Credulous),
    "splits at every place": ("step", Piecemeal),
    "splitting never matters": ("step", Piecemeal),
    "broken bytes": ("step", Careless),
    "what is said is heard": ("responder", Loud),
    "what is asked is understood": ("responder", Deaf),
    "declarations": ("responder", Boastful),
    "half an answer": ("responder", Hasty),
    "failures": ("responder", Mute),
    "pings": ("ping", b"zz\n"),
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_faulty_format_is_found_out(check: str) -> None:
    half, fault = FAULTS[check]
    dialect: Any = type("Faulty", (Hex,), {half: fault})()
    with pytest.raises(ValueError if fault is Careless else AssertionError):
        CHECKS[check](subject_of(dialect))


def test_every_check_has_a_fault() -> None:
    """But that of earlier responses, and of native forms, which this format does not have."""
    assert {*FAULTS, "earlier responses truncated", "native forms"} == set(CHECKS)


class Forgetful(type(PROVIDERS["openai"].dialect)):  # type: ignore[misc]
    """Chat completions without native forms."""

    def respond(self, service: Service) -> Responder:
        responder: Responder = super().respond(service)
        write = responder.write

        def without_natives(event: Event) -> bytes:
            return b"" if isinstance(event, Native) else write(event)

        setattr(responder, "write", without_natives)  # noqa: B010
        return responder


def test_a_format_that_loses_native_forms_is_found_out() -> None:
    subject = SUBJECTS["openai"]
    provider = subject.provider.replace(dialect=Forgetful())
    with pytest.raises(AssertionError, match="thought_signature"):
        CHECKS["native forms"](dataclasses.replace(subject, provider=provider))
    with pytest.raises(AssertionError, match="an answer with native forms is needed"):
        CHECKS["native forms"](dataclasses.replace(subject, signed=subject.short))


def test_the_format_answers() -> None:
    subject = subject_of(Hex())
    exchange = subject.exchange(as_chat("hi"))
    assert list(pair(exchange, Service(subject.provider), lambda chat: subject.short)) == [
        *subject.short
    ]

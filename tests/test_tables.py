"""The tables that are made from the subjects: a format that has a subject has rows in each."""

import sys
from pathlib import Path

import msgspec
import pytest

from tests.fuzzing.clients import clients
from tests.fuzzing.exchanges import exchanges
from tests.fuzzing.requests import requests
from tests.fuzzing.source import Target
from tests.fuzzing.targets import targets
from tests.fuzzing.wires import wires
from tests.matrix import FORMAT_CASES, FormatCase, describe, format_cases, observe
from tests.subjects import FORMATS, SUBJECTS, formats_without_subject
from tests.test_growth import growing
from tokenwire import (
    Chat,
    Dialect,
    End,
    Endpoint,
    Event,
    LineStep,
    Malformed,
    Provider,
    Responder,
    Service,
    Step,
    Text,
    as_chat,
)
from tokenwire.protocols.question import Question
from tokenwire.protocols.reading import read_json
from tokenwire.protocols.toolkit.http import Request
from tokenwire.protocols.toolkit.json import decode_json
from tokenwire.protocols.toolkit.refusals import is_refusal, refusal_of_object
from tokenwire.testing import Subject
from tokenwire.testing.driving import Response, drive

# A made-up format: a string in JSON a line, and `bye` at the end.

_value = msgspec.json.Decoder()
_question = msgspec.json.Decoder(dict[str, str])


class StringStep(LineStep):
    framing = "lines"

    def line(self, line: bytes, events: list[Event]) -> None:
        if line == b"bye":
            self.evidence = "terminator"
            return
        value = decode_json(_value, line)
        if is_refusal(value):
            raise refusal_of_object(value, data=line)
        if not isinstance(value, str):
            raise Malformed("not a string", data=line)
        if value:
            events.append(Text(value))


class PiecemealStep(StringStep):
    """Takes each piece for whole lines."""

    def data(self, data: bytes, events: list[Event]) -> None:
        for line in data.split():
            self.line(line, events)


class StringResponder(Responder):
    def read(self, request: Request, found: dict[str, str]) -> Chat:
        return as_chat(read_json(request, _question).get("question", ""), model="one")

    def write(self, event: Event) -> bytes:
        return msgspec.json.encode(event.text) + b"\n" if isinstance(event, Text) else b"bye\n"


class Strings(Dialect):
    name = "strings"
    auth = ()
    evidence = "terminator"
    endpoints = (Endpoint("chat", "POST", "/ask"),)
    step: type[LineStep] = StringStep

    def ask(self, question: Question) -> Step:
        text = question.chat.messages[-1].text
        return self.step(question.post("/ask", {"question": text}), question.limits)

    def respond(self, service: Service) -> Responder:
        return StringResponder(service)


class PiecemealStrings(Strings):
    step = PiecemealStep


def understands_last(provider: Provider, chat: Chat) -> Chat:
    return as_chat(chat.messages[-1].text, model="one")


def subject_of(dialect: Dialect) -> Subject:
    return Subject(
        provider=Provider(
            name="strings",
            dialect=dialect,
            base_url="https://strings.example",
            models=("one",),
            default_model="one",
        ),
        short=[Text("h\u20ac"), Text("i"), End("terminator")],
        understands=understands_last,
        examples=([Text("a\n"), End("terminator")],),
        seeds=((b'"x"\r\n\nbye',), (b"{",)),
        words=(b"bye\n",),
    )


PLANTED = subject_of(Strings())
WITH_PLANTED = SUBJECTS | {"planted": PLANTED}


# Formats


def test_each_format_has_a_subject() -> None:
    assert formats_without_subject(FORMATS, SUBJECTS.values()) == set()


def test_a_format_without_a_subject_is_found_out(tmp_path: Path) -> None:
    for name in ("openai_chat", "founding", "founding/darkai", "founding/mine", "yours"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").touch()
    found = formats_without_subject(tmp_path, SUBJECTS.values())
    assert found == {"founding.mine", "yours"}


# Fuzzing


def test_a_subject_is_fuzzed() -> None:
    assert targets(WITH_PLANTED).keys() - targets(SUBJECTS).keys() == {"planted"}
    for make in (exchanges, requests, wires):
        assert len(make(WITH_PLANTED).seeds) > len(make(SUBJECTS).seeds)
    assert b"bye\n" in clients(WITH_PLANTED)["planted"].words


def run_seeds(target: Target) -> None:
    for seed in target.seeds:
        target.run(seed)


@pytest.mark.parametrize("name", WITH_PLANTED)
def test_the_seeds_of_a_subject(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no findings, on all targets."""
    monkeypatch.delenv("TOKENWIRE_CORPUS", raising=False)
    alone = {name: WITH_PLANTED[name]}
    for target in (clients(alone)[name], exchanges(alone), requests(alone), wires(alone)):
        run_seeds(target)


def test_a_faulty_format_is_found_out_by_its_seeds() -> None:
    target = clients({"planted": subject_of(PiecemealStrings())})["planted"]
    with pytest.raises(AssertionError):
        run_seeds(target)


# Faults

PLANTED_CASES = format_cases({"planted": PLANTED})


def test_a_subject_has_the_rows_of_all_formats() -> None:
    names = [case.name for case in PLANTED_CASES]
    for subject in SUBJECTS:
        assert [case.name for case in FORMAT_CASES if case.subject == subject] == names


@pytest.mark.parametrize("case", PLANTED_CASES, ids=lambda case: case.name)
def test_a_subject_meets_each_fault(case: FormatCase) -> None:
    if "reset" in case.name and sys.platform != "linux":
        pytest.skip("with a reset, other systems drop what came before it and was not read yet")
    outcome = observe(case, "sync")
    assert (describe(outcome), outcome.reply.text) == (case.outcome, case.text)


# Soak


@pytest.mark.skipif(sys.platform != "linux", reason="the soak looks into /proc")
def test_a_subject_is_soaked() -> None:
    from tests.soak import Stream, plain_kinds  # which needs what other systems have not

    kind = plain_kinds(WITH_PLANTED)[-1]
    assert kind.name == "planted"
    stream = Stream(3, kind)
    words = stream.whole_text.split(" ")
    stream.events = [Text(words[0]), *(Text(f" {word}") for word in words[1:]), End("terminator")]
    assert stream.problem() is None
    assert "aichats-picture" not in [kind.name for kind in plain_kinds(SUBJECTS)]


# Growth


def test_the_growth_of_a_subject_is_measured() -> None:
    rows = growing({"planted": PLANTED})
    assert list(rows) == ["many events of planted", "one large event of planted"]
    for (_, body), count in zip(rows.values(), (23, 1), strict=True):
        sent = body(1000)
        assert 800 < len(sent) < 1200
        exchange = PLANTED.exchange(as_chat("hi"))
        outcome = drive(exchange, Response(sent, ending="disconnect"))
        assert len(outcome.events) == count
    assert growing({"picture": SUBJECTS["aichats-picture"]}) == {}

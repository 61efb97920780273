"""`tokenwire.testing`: what it draws is what it says, and its example runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tokenwire.server
import tokenwire.server.faults
from tests.subjects import EACH_FORMAT
from tokenwire import testing
from tokenwire.protocols.chat import ImagePart, Tool, as_chat
from tokenwire.protocols.errors import LocalProtocolError, RemoteProtocolError
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
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
from tokenwire.protocols.formats.founding.darkai.server import DarkAIResponder
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder
from tokenwire.protocols.toolkit.http import Request
from tokenwire.testing import Subject, answers, chats, cut_at, cuts, mutations, record, serve

each_provider = pytest.mark.parametrize(
    "provider", [PROVIDERS[name] for name in EACH_FORMAT], ids=EACH_FORMAT
)
some = settings(max_examples=settings().max_examples // 5)
OPENAI = PROVIDERS["openai"]
CHAT = as_chat("hi", model="m")

T = TypeVar("T")


def drawn(strategy: st.SearchStrategy[T], count: int = 60) -> list[T]:
    """A sample."""
    sample: list[T] = []

    @settings(max_examples=count, phases=[Phase.generate])
    @given(strategy)
    def draw(value: T) -> None:
        sample.append(value)

    draw()
    return sample


# The module


def test_it_is_loaded_only_on_request() -> None:
    code = "import sys, tokenwire; sys.exit('hypothesis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_faults_are_all_there() -> None:
    for module in (tokenwire.server.faults, tokenwire.server):
        assert set(module.__all__) <= set(testing.__all__)
    for name in testing.__all__:
        assert hasattr(testing, name)


SETTINGS = """
from hypothesis import Phase, settings

settings.register_profile(
    "quick",
    deadline=None, database=None, derandomize=True, max_examples=50, phases=[Phase.generate],
)
settings.load_profile("quick")
"""
PARSER = '''
import json

class MyParser:
    """A careless one: right only as long as each line is whole and nothing surprises it."""

    def __init__(self):
        self.text, self.rest = "", b""

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\\n")
        for line in lines:
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    self.text += choice["delta"].get("content") or ""
'''


@pytest.mark.parametrize(
    ("careless", "found_out"),
    [
        ("", ""),
        ('(self.rest + data).split(b"\\n")->data.split(b"\\n")', "AssertionError"),
    ],
)
def test_the_example_runs_and_finds_faults(careless: str, found_out: str) -> None:
    (example,) = re.findall(r"^    from hypothesis.*?(?=^\S)", testing.__doc__ or "", re.M | re.S)
    old, _, new = careless.partition("->")
    assert old in PARSER
    code = PARSER.replace(old, new) if old else PARSER
    code = (
        SETTINGS + code + re.sub("^    ", "", example, flags=re.MULTILINE) + "\ntest_my_parser()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert found_out in done.stderr
    assert bool(done.returncode) is bool(found_out), done.stderr


# What was sent


def test_record() -> None:
    """Both requests of a provider that gives a token first, as its service understands them."""
    token, asked = record(
        PROVIDERS["aichatonline"], as_chat("hi"), [Text("a"), Text("b"), End("body_end")]
    )
    assert (token.request.method, token.chat, token.status) == ("GET", None, 200)
    assert token.pieces == [b'{"code":200,"data":"unique-1"}']
    assert asked.request.method == "POST"
    assert asked.chat == as_chat("hi", model="gpt-4o-mini")
    assert asked.headers[0] == (b"content-type", b"application/json")
    a, b = (b'{"code":200,"data":{"message":"%c"}}\n' % c for c in b"ab")
    assert asked.pieces == [a, b, b"", b""]
    assert asked.body == a + b
    again = record(PROVIDERS["aichatonline"], as_chat("hi"), [Text("a"), Text("b")])
    assert [each.request for each in again] == [token.request, asked.request]


def test_record_raises_what_the_halves_raise() -> None:
    with pytest.raises(LocalProtocolError, match="no message"):
        record(OPENAI, CHAT.replace(messages=()), [])
    with pytest.raises(LocalProtocolError, match="can't say Image"):
        record(OPENAI, CHAT, [Image(b"PNG", "image/png")])
    with pytest.raises(RemoteProtocolError, match="stream ended before"):
        record(OPENAI, CHAT, [Text("a")])


# Pieces


def test_cut_at() -> None:
    assert cut_at(b"abcd", [3, 1, 1]) == [b"a", b"", b"bc", b"d"]
    assert cut_at("abcd", []) == ["abcd"]
    assert cut_at(b"ab", [0, 2]) == [b"", b"ab", b""]


@given(st.data(), st.binary(max_size=9), st.integers(0, 4))
def test_cuts(data: st.DataObject, given: bytes, count: int) -> None:
    pieces = data.draw(cuts(given, count))
    assert b"".join(pieces) == given
    assert len(pieces) <= count + 1


def test_cuts_are_empty_and_inside_of_characters_too() -> None:
    sample = drawn(cuts("\u20ac".encode()))
    assert any(b"" in pieces for pieces in sample)
    assert [b"\xe2", b"\x82\xac"] in sample
    assert ["\u20ac"] in drawn(cuts("\u20ac"))


# Mutations


SMALL = b'data: {"a":[1]}\n\n: b\n\n'


def test_mutations_take_hold_of_events_lines_and_values() -> None:
    sample = set(drawn(mutations(SMALL, 1), 700))
    assert b": b\n\n" in sample  # an event is left out
    assert SMALL + b": b\n\n" in sample  # one is doubled
    assert b'data: {"a":[1]}\n' + SMALL in sample  # a line is doubled
    assert b'data: {"a":[]}\n\n: b\n\n' in sample  # a value is left out
    replaced = [m for m in sample if m[:12] == SMALL[:12] and m[-10:] == SMALL[-10:]]
    assert len(replaced) > 10
    assert len([m for m in sample if m.endswith(b"\n\n" + SMALL)]) > 1  # an event comes before
    flipped = [m for m in sample if len(m) == len(SMALL) and differences(m) == 1]
    assert len(flipped) > 10
    assert len([m for m in sample if sorted(m) == sorted(SMALL)]) > 10  # something is moved


def differences(mutated: bytes) -> int:
    return sum(a != b for a, b in zip(mutated, SMALL, strict=True))


@given(st.data(), st.binary(max_size=20))
def test_mutations_of_anything(data: st.DataObject, given: bytes) -> None:
    assert isinstance(data.draw(mutations(given)), bytes)


# Chats


@each_provider
@some
@given(data=st.data())
def test_chats_can_be_asked(provider: Provider, data: st.DataObject) -> None:
    chat = data.draw(chats(provider, model=provider.default_model or "m"))
    assert record(provider, chat, data.draw(answers(provider, chat)))


@pytest.mark.crosswise
def test_chats_use_what_the_provider_can() -> None:
    sample = drawn(chats(OPENAI), 300)
    messages = [message for chat in sample for message in chat.messages]
    contents = [m.content for m in messages if not isinstance(m.content, str)]
    assert any(message.tool_calls for message in messages)
    assert any(message.role == "tool" and message.name for message in messages)
    assert any(isinstance(part, ImagePart) for parts in contents for part in parts)
    assert any(
        chat.tool_choice in [tool.name for tool in chat.tools if isinstance(tool, Tool)]
        for chat in sample
    )
    assert {chat.n for chat in sample} == {None, 1, 2, 3}
    assert {chat.stream for chat in sample} == {True, False}
    assert "llama-3.1-70b" in {chat.model for chat in drawn(chats(PROVIDERS["darkai"]))}
    models = {chat.model for chat in drawn(chats(PROVIDERS["ylokh"]))}
    assert "" in models
    assert any("\u00e9" in model for model in models)


# Answers


def check_legal(events: list[Event], indexes: range) -> None:
    """The rules that the docstrings of the events state."""
    assert [e for e in events if isinstance(e, Start)] == events[: isinstance(events[0], Start)]
    assert [e for e in events if isinstance(e, End)] == events[-1:]
    urls = [e.url for e in events if isinstance(e, Citation)]
    assert len(urls) == len(set(urls))
    assert {getattr(e, "index", 0) for e in events} <= set(indexes)
    for index in indexes:
        of_choice = [e for e in events if getattr(e, "index", None) == index]
        check_choice([e for e in of_choice if not isinstance(e, Citation)])  # it may come later


def check_choice(events: list[Event]) -> None:
    assert events
    assert [e for e in events if isinstance(e, Finish)] in ([], events[-1:])
    calls = [e.call for e in events if isinstance(e, ToolCallStart)]
    ends = [e for e in events if isinstance(e, ToolCallEnd)]
    assert calls == [end.call for end in ends] == list(range(len(calls)))
    for end in ends:
        of_call = [e for e in events if getattr(e, "call", None) == end.call]
        assert isinstance(of_call[0], ToolCallStart)
        assert of_call[-1] is end
        deltas = [e for e in of_call if isinstance(e, ToolCallDelta)]
        assert of_call[1:-1] == deltas
        assert end.arguments == ("".join(delta.arguments for delta in deltas) or "{}")


@each_provider
@some
@given(data=st.data())
def test_answers_are_legal(provider: Provider, data: st.DataObject) -> None:
    chat = data.draw(chats(provider))
    events = data.draw(answers(provider, chat))
    check_legal(events, range(chat.n or 1))
    assert Unrecognized not in map(type, events)


KINDS: dict[tuple[str, str], set[type[Event]]] = {
    ("darkai", ""): {Text},
    ("aichats", ""): {Text},
    ("aichats", "dalle"): {Image},
    ("aichatonline", ""): {Text},
    ("openai", "m"): {
        *(Start, Text, Reasoning, Refusal, ToolCallStart, ToolCallDelta, ToolCallEnd),
        *(Citation, LogProbs, Usage, Finish),
    },
}


@pytest.mark.parametrize(("name", "model"), KINDS)
def test_answers_say_all_that_can_be_said(name: str, model: str) -> None:
    provider, chat = PROVIDERS[name], as_chat("hi", model=model)
    said = {type(event) for events in drawn(answers(provider, chat)) for event in events}
    assert said == KINDS[name, model] | {End}


def test_what_is_not_recognized_is_the_callers() -> None:
    strange = answers(PROVIDERS["darkai"], as_chat("hi"), unrecognized=st.just(b"id: 7"))
    assert any(Unrecognized(b"id: 7") in events for events in drawn(strange))


@pytest.mark.crosswise
def test_calls_are_whole_or_cut_or_empty() -> None:
    ends = {
        (event.complete, event.arguments)
        for events in drawn(answers(OPENAI, CHAT), 300)
        for event in events
        if isinstance(event, ToolCallEnd)
    }
    assert {(True, "{}"), (False, "{}"), (False, "{")} < ends


def test_calls_that_are_written_whole_are_whole() -> None:
    ends = [
        event
        for events in drawn(answers(PROVIDERS["ollama"], CHAT.replace(n=None)), 100)
        for event in events
        if isinstance(event, ToolCallEnd)
    ]
    assert ends
    assert all(event.complete for event in ends)


def test_what_cannot_be_asked_has_no_answers() -> None:
    with pytest.raises(LocalProtocolError, match="can't take n"):
        answers(PROVIDERS["darkai"], CHAT.replace(model="", n=2))


# The server


def test_the_server() -> None:
    def texts() -> Iterator[str]:
        with serve("darkai", lambda chat: [Text("hi"), End("terminator")]) as server:
            for event in tokenwire.stream("darkai", "hi", base_url=server.url):
                if isinstance(event, Text):
                    yield event.text

    assert list(texts()) == ["hi"]


def test_a_format_that_takes_tools_but_no_choice() -> None:
    provider = OPENAI.replace(refuses=frozenset(("tool_choice",)))
    sample = drawn(chats(provider))
    assert any(chat.tools for chat in sample)
    assert {chat.tool_choice for chat in sample} == {None}


@pytest.mark.crosswise
def test_a_format_that_takes_pictures_by_their_bytes_and_tools_off() -> None:
    sample = drawn(chats(PROVIDERS["ollama"], model="m"), 300)
    parts = [part for chat in sample for m in chat.messages for part in m.parts]
    assert {part.url[:5] for part in parts if isinstance(part, ImagePart)} == {"data:"}
    assert {chat.tool_choice for chat in sample} == {None, "auto", "none"}


def test_a_provider_that_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = PROVIDERS["darkai"].dialect

    def nothing(self: Responder, request: Request) -> None:
        """No chat."""

    def end(self: Responder) -> bytes:
        return b'data: {"event":"stream-end"}\n'

    monkeypatch.setattr(DarkAIResponder, "receive_request", nothing)
    monkeypatch.setattr(DarkAIResponder, "end", end)
    with pytest.raises(LocalProtocolError, match="darkai was never asked"):
        answers(PROVIDERS["darkai"], as_chat("hi"))
    assert dialect.name == "darkai"


def test_the_defaults_of_a_subject() -> None:
    darkai = Subject(provider=PROVIDERS["darkai"], short=[Text("a"), End("terminator")])
    asked = as_chat("hi", model="llama-3.1-70b")
    assert darkai.understands(darkai.provider, asked) == asked.replace(model="llama-3-70b")
    sent = darkai.send_short()
    assert darkai.is_proven(sent, len(sent.body), "disconnect")
    assert darkai.is_proven(sent, 0, "eof") is False
    assert darkai.is_proven(sent, len(sent.body) - 1, "eof") is None
    online = Subject(provider=PROVIDERS["aichatonline"], short=[Text("a"), End("body_end")])
    sent = online.send_short()
    assert online.is_proven(sent, len(sent.body), "eof")
    assert online.is_proven(sent, 3, "eof") is None
    assert online.is_proven(sent, 3, "close") is False
    said: list[Event] = [Text("a"), Finish("stop", "stop"), End("finish")]
    openai = Subject(provider=OPENAI, short=said, asked={"model": "m"})
    sent = openai.send_short()
    assert openai.is_proven(sent, sent.ends()[0], "eof") is False
    assert openai.is_proven(sent, sent.ends()[0] + 9, "eof") is None
    sent = openai.send(sent.chat, [said[0], said[2]])
    assert openai.is_proven(sent, sent.ends()[0], "eof") is False

"""What a test can queue, asked by our own client or by hand."""

import gzip
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

import tokenwire
from tests.testing.llm.plain import ask
from tokenwire import (
    Chat,
    End,
    Event,
    Finish,
    LocalProtocolError,
    Native,
    Reply,
    Start,
    Text,
    Usage,
    testing,
)
from tokenwire.protocols.errors import BadRequest, Overloaded, RateLimited, Refused, Truncated
from tokenwire.protocols.refusing import refuse
from tokenwire.testing import (
    CloseAfter,
    Cutting,
    HtmlPage,
    LlmServer,
    Mishap,
    RefuseWith,
    events,
)
from tokenwire.transports.sync import Client

lenient = pytest.mark.llm_server(strict=False)


def by(provider: str, question: str = "Why?", model: str = "m") -> Reply:
    with Client(retry=tokenwire.NO_RETRY) as client:
        return tokenwire.ask(provider, question, model=model, client=client)


def test_texts_and_what_they_lack(llm_server: LlmServer) -> None:
    llm_server.say("It is ", "blue.")
    reply = by("openai")
    assert reply.text == "It is blue."
    assert (reply.model, reply.finish_kind) == ("m", "stop")
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (1, 3)


def test_thoughts_and_calls(llm_server: LlmServer) -> None:
    llm_server.think("Hm.").say("I look.").call("look", where="up").calls(
        ("a", {}), ("b", {"c": 1})
    )
    reply = by("anthropic")
    assert (reply.reasoning, reply.text) == ("Hm.", "I look.")
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("look", '{"where":"up"}'),
        ("a", "{}"),
        ("b", '{"c":1}'),
    ]
    assert reply.finish_kind == "tool_call"


def test_formats_that_say_little(llm_server: LlmServer) -> None:
    llm_server.say("It is blue.")
    with Client() as client:
        reply = tokenwire.ask("darkai", "Why?", base_url=llm_server.url, client=client)
    assert reply.text == "It is blue."
    assert llm_server.last.provider == "darkai"


def test_the_names_that_are_imported_when_they_are_asked_for() -> None:
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = testing.nothing


def test_a_picture(llm_server: LlmServer) -> None:
    llm_server.draw(b"\x89PNG", "image/png")
    assert [image.data for image in by("gemini").images] == [b"\x89PNG"]


def test_events_as_they_are(llm_server: LlmServer) -> None:
    llm_server.call("f").say(
        Start("id-7", "other"), Text("x", 1), Usage(output_tokens=7), Finish("length", "length")
    )
    reply = by("openai")
    assert (reply.id, reply.model, reply.text) == ("id-7", "other", "x")
    assert reply.usage is not None
    assert reply.usage.output_tokens == 7
    assert [call.name for call in reply.tool_calls] == ["f"]
    llm_server.say("whole", End("terminator"))
    assert by("openai").text == "whole"


def test_a_refusal_in_the_format_of_the_service(llm_server: LlmServer) -> None:
    llm_server.refuse(429, "slow down", retry_after=2)
    with pytest.raises(RateLimited, match="slow down") as caught:
        by("anthropic")
    assert caught.value.retry_after == "2"
    assert llm_server.last.outcome == "refused with 429"
    assert llm_server.last.retry_after == "2"
    llm_server.refuse(400, "too long", code="context_length_exceeded")
    with pytest.raises(BadRequest) as told:
        by("openai")
    assert told.value.code == "context_length_exceeded"


def test_answer_functions(llm_server: LlmServer) -> None:
    def again(chat: Chat) -> str:
        return f"{chat.messages[-1].text} {chat.model}"

    async def slowly(chat: Chat) -> AsyncIterator[str]:
        yield "a"
        yield "b"

    def refusing(chat: Chat) -> Iterator[Event]:
        raise refuse(Overloaded, 503, "busy")

    llm_server.answer(again)
    llm_server.answer(slowly)
    llm_server.answer(refusing)
    assert by("ollama").text == "Why? m"
    assert by("cohere").text == "ab"
    with pytest.raises(Overloaded, match="busy"):
        by("openai")


@lenient
def test_an_answer_function_that_raises(llm_server: LlmServer) -> None:
    def broken(chat: Chat) -> str:
        raise ValueError("no idea")

    def half(chat: Chat) -> Iterator[str]:
        yield "half"
        raise ValueError("no more")

    llm_server.answer(broken)
    with pytest.raises(Refused):
        by("openai")
    llm_server.answer(half)
    with pytest.raises(Refused):
        by("openai")
    first, second = llm_server.complaints()
    assert "answer(broken) raised ValueError('no idea') (" in first
    assert "test_answers.py:" in first
    assert "no more" in second
    assert llm_server.last.outcome.startswith("failed after")


@lenient
def test_what_a_format_can_not_say(llm_server: LlmServer) -> None:
    llm_server.draw(b"\x89PNG")
    with pytest.raises(Refused):
        by("openai")
    (line,) = llm_server.complaints()
    assert "openai_chat can't say Image" in line
    assert line.endswith('leave it out of the answer")')  # all of the stack is ours


def test_a_response_as_it_is(llm_server: LlmServer) -> None:
    llm_server.raw(200, {"content-type": "text/plain"}, b"ab", b"c")
    assert ask(llm_server).body == b"abc"
    llm_server.raw(404, [("content-length", "2"), ("x-a", "b")], b"ab")
    got = ask(llm_server)
    assert (got.status, got.data) == (404, b"ab")
    assert b"x-a: b" in got.head
    llm_server.raw(200, {"content-length": "9"}, b"ab")
    assert ask(llm_server).data == b"ab"
    assert llm_server.last.outcome == "closed after 2 bytes"
    llm_server.raw(204)
    assert ask(llm_server).status == 204


def test_a_place_in_a_response_as_it_is(llm_server: LlmServer) -> None:
    llm_server.raw(200, (), b"It is", b" blue.").ends(after="is")
    assert ask(llm_server).body == b"It is"
    llm_server.raw(200, (), b"It is", b" blue.").closes(after=events(1))
    assert ask(llm_server).data == b"5\r\nIt is\r\n"
    llm_server.raw(200, (), b"It is", b" blue.").breaks(1, b"!")
    assert ask(llm_server).body == b"It is! blue."
    llm_server.raw(200, (), b"never").closes(head=False)
    assert ask(llm_server).head == b""


@lenient
def test_places_that_are_not_there(llm_server: LlmServer) -> None:
    llm_server.raw(200, (), b"abc").ends(after="x").breaks(7)
    assert ask(llm_server).body == b"abc"
    llm_server.say("abc").ends(after="x").breaks(after="y")
    assert by("openai").text == "abc"
    llm_server.say("abc").ends(after=events(99)).breaks(after="y")
    assert b"abc" in ask(llm_server, stream=False).body
    said = [line.partition("after=")[2] for line in llm_server.complaints()]
    assert said == ["Events(count=7)", "'x'", "'y'", "'x'", "'y'", "Events(count=99)"]


WRONG: tuple[Callable[[LlmServer], object], ...] = (
    lambda server: server.refuse(302),
    lambda server: server.raw(101),
    lambda server: server.raw(200, {"content-length": "x"}),
    lambda server: server.raw(200, {"content-length": "1"}, b"ab"),
    lambda server: server.when(provider="nobody"),
    lambda server: server.last,
    lambda server: server.say("x").times(0),
    lambda server: server.say("x").ends(after=-1),
    lambda server: server.say("x").ends(after=""),
    lambda server: server.say("x").cut(),
    lambda server: server.say("x").cut(Cutting.whole(), 3),
    lambda server: server.refuse(500).say("x"),
)


@pytest.mark.parametrize("wrong", WRONG)
@lenient
def test_what_can_not_be_queued(
    llm_server: LlmServer, wrong: Callable[[LlmServer], object]
) -> None:
    with pytest.raises(LocalProtocolError):
        wrong(llm_server)


def test_how_often(llm_server: LlmServer) -> None:
    always = llm_server.when(text="always").say("yes").forever()
    llm_server.say("twice").times(2)
    assert [by("openai", q).text for q in ("a", "always", "b", "always")] == [
        "twice",
        "yes",
        "twice",
        "yes",
    ]
    assert always.asked == 2


def test_for_which_requests(llm_server: LlmServer) -> None:
    def long(chat: Chat) -> bool:
        return len(chat.messages) > 1

    llm_server.when(model="large").say("by model")
    llm_server.when(text="Rome").say("by text")
    llm_server.when(provider="mistral").say("by provider")
    llm_server.when(predicate=long).say("by length")
    offering = llm_server.when(tool="look").say("by tool")
    llm_server.say("any")
    assert by("openai", "Rome?").text == "by text"
    assert by("openai", model="large").text == "by model"
    assert by("openai").text == "by provider"  # which has the same path
    assert llm_server.last.provider == "mistral"
    chat = tokenwire.as_chat("x", tools=[tokenwire.Tool("look")], model="m")
    assert tokenwire.ask("openai", chat).text == "by tool"
    assert tokenwire.ask("openai", tokenwire.as_chat("x", model="m").then("y", "z")).text == (
        "by length"
    )
    assert by("anthropic").text == "any"
    assert repr(offering) == "when(tool='look').say('by tool')"
    said = llm_server.when(predicate=long, text="t").say("x" * 99, Native("a", b"{}")).times(1)
    assert repr(said).startswith("when(text='t', predicate=long).say('xxx")
    assert repr(said).endswith("..., Native)")
    llm_server.clear()


def test_a_failure_lasts_until_something_else_is_queued(llm_server: LlmServer) -> None:
    llm_server.say("x").fails(CloseAfter(0))
    for _ in range(2):
        with pytest.raises(Truncated):
            by("openai")
    llm_server.say("better")
    assert by("openai").text == "better"
    llm_server.clear()
    llm_server.say("x").fails((HtmlPage(), None))  # type: ignore[arg-type]
    with pytest.raises(tokenwire.UnexpectedContent):
        by("openai")
    llm_server.clear()
    llm_server.say("x").fails(RefuseWith(503, headers=(("x-a", "b"),))).times(1)
    assert ask(llm_server).status == 503
    llm_server.say("x").fails(None).times(1)
    assert by("openai").text == "x"


def test_the_faults_of_one_word(llm_server: LlmServer) -> None:
    assert str(Mishap("ended", stop="end")) == "ended"
    llm_server.say("x").drops_terminator()
    assert b"[DONE]" not in ask(llm_server).body
    llm_server.say("x").gzips()
    assert b"[DONE]" in gzip.decompress(ask(llm_server).body)
    llm_server.say("x").unframed()
    assert ask(llm_server).head.startswith(b"HTTP/1.0 200")
    llm_server.say("x").cut(7).slowly(0)
    assert ask(llm_server).data.startswith(b"7\r\n")
    llm_server.say("x").cut(Cutting.whole())
    assert ask(llm_server).data.count(b"\r\n") == 4
    llm_server.say("abc").breaks()
    assert b'data: {"broken": \n\n' in ask(llm_server).body

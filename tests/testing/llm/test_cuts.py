"""Every place of an answer: for our own client on the wire, and for OpenAI's SDK."""

import openai
import pytest

import tokenwire
from tests.testing.llm.plain import ask
from tests.testing.llm.test_answers import by
from tokenwire import LocalProtocolError, TokenwireError
from tokenwire.testing import CutPlace, LlmServer
from tokenwire.testing.llm.cuts import following
from tokenwire.transports.sync import Client

TEXT = "Grüße, 世界"


def test_cutting_never_matters(llm_server: LlmServer) -> None:
    places: list[CutPlace] = []
    with Client() as client:
        for cut in llm_server.every_cut(TEXT):
            assert tokenwire.ask("ollama", "Why?", model="m", client=client).text == TEXT, cut
            places.append(cut)
    size = len(places[0].body)
    assert [place.offset for place in places] == list(range(size))
    assert {place.body for place in places} == {places[0].body}
    assert repr(places[3]) == (
        f"<byte 3 of {size}: b'{{\"m' before it, {places[3].body[3:19]!r} after it>"
    )


def test_by_characters_and_events(llm_server: LlmServer) -> None:
    events: list[CutPlace] = []
    body = b""
    for cut in llm_server.every_cut("ü", "x", step="event"):
        body = ask(llm_server, path="/api/chat").body
        events.append(cut)
    assert all(cut.before.endswith(b"\n") for cut in events[1:])
    assert len(events) == body.count(b"\n")
    at = body.index("ü".encode())
    assert following(at, body, [], "byte") == at + 1
    assert following(at, body, [], "character") == at + 2
    assert following(len(body) - 1, body, [], "character") is None


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
def test_truncation_is_an_error_where_the_answer_is_not_complete(
    llm_server: LlmServer, provider: str
) -> None:
    whole = 0
    for cut in llm_server.every_truncation(TEXT, step="event"):
        try:
            assert by(provider).text == TEXT
        except TokenwireError:
            assert not cut.complete, cut
        else:
            assert cut.complete, cut
            whole += 1
    assert whole == {"openai": 2, "anthropic": 1, "ollama": 0}[provider]


def test_of_an_answer_that_is_not_streamed(llm_server: LlmServer) -> None:
    for number, cut in enumerate(llm_server.every_truncation("x")):
        assert ask(llm_server, stream=False).body == cut.body[: cut.offset]
        assert not cut.complete
        if number == 9:
            break


def test_openai_reports_success_wherever_an_answer_ends(llm_server: LlmServer) -> None:
    """At each byte it is the same, but inside of a character; that takes long."""
    texts: list[str] = []
    with openai.OpenAI() as client:
        for _ in llm_server.every_truncation("It is ", "blue.", step="event"):
            stream = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Why?"}], stream=True
            )
            texts.append("".join(chunk.choices[0].delta.content or "" for chunk in stream))
    assert texts == ["", "", "It is ", "It is blue.", "It is blue."]


def test_nobody_asks(llm_server: LlmServer) -> None:
    cuts = llm_server.every_cut("x")
    with pytest.raises(LocalProtocolError, match="no request"):
        _ = next(cuts).complete
    with pytest.raises(AssertionError, match="cut at byte 0"):
        next(cuts)
    llm_server.clear()
    with pytest.raises(LocalProtocolError):
        _ = llm_server.last

"""How answers are cut short, on the wire; and what is noted of them."""

import socket
from collections.abc import Iterator
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest

import tokenwire
from tests.testing.llm.plain import ask
from tests.testing.llm.test_answers import by
from tokenwire import Chat, Text, TokenwireError
from tokenwire.testing import LlmServer, events
from tokenwire.testing.llm import answering

FORMATS = (
    *("openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "bedrock"),
    "bedrock-anthropic",
)


def half(provider: str, **how: Any) -> str:
    """The text that was received before the answer broke off."""
    with pytest.raises(TokenwireError) as caught:
        tokenwire.ask(provider, "Why?", model="m", **how)
    assert caught.value.answer is not None
    return caught.value.answer.text


@pytest.mark.parametrize("provider", FORMATS)
def test_a_text_is_whole_and_nothing_follows(llm_server: LlmServer, provider: str) -> None:
    how: dict[str, Any] = {}
    if "bedrock" in provider:
        how = {"base_url": llm_server.url}
    for queue in ("ends", "closes", "resets"):
        getattr(llm_server.say("It ", "is blue", "."), queue)(after="It is")
        assert half(provider, **how) == "It is"
    llm_server.say("It is", " blue.").ends(after="It is")
    assert half(provider, **how) == "It is"
    llm_server.say("It is blue.").ends()
    assert half(provider, **how) == "It is "  # the first half
    llm_server.call("look", where="up").ends()
    assert half(provider, **how) == ""


def test_so_many_bytes(llm_server: LlmServer) -> None:
    llm_server.say("It is blue.").ends(after=7)
    assert ask(llm_server).body == b"data: {"
    assert llm_server.last.outcome == "ended after 7 bytes"
    llm_server.say("It is blue.").closes(after=7)
    assert ask(llm_server)[1:] == (b"7\r\ndata: {\r\n", "closed")
    assert llm_server.last.outcome == "closed after 7 bytes"
    llm_server.say("It is blue.").resets(after=7)
    assert ask(llm_server).end == "reset"
    assert llm_server.last.outcome == "reset after 7 bytes"


def test_whole_documents(llm_server: LlmServer) -> None:
    llm_server.say('It "is" blue.')
    body = ask(llm_server, stream=False).body
    llm_server.say('It "is" blue.').ends(after='It "is"')
    assert ask(llm_server, stream=False).body.endswith(b'It \\"is\\"')
    llm_server.say('It "is" blue.').ends()
    assert len(ask(llm_server, stream=False).body) == len(body) // 2
    llm_server.say("It is").breaks(after="It", data=b"!")
    assert b"It! is" in ask(llm_server, stream=False).body
    llm_server.say("It is").closes(after="It")
    got = ask(llm_server, stream=False)
    assert got.data.endswith(b"It")
    assert f"content-length: {len(got.data)}".encode() not in got.head


def test_events_of_the_wire(llm_server: LlmServer) -> None:
    llm_server.say("a", "b").ends(after=events(1))
    assert ask(llm_server).body.count(b"data: ") == 1
    llm_server.say("a", "b").breaks(after="a", data=b": !\n\n")
    assert b'"a"' in ask(llm_server).body.split(b": !")[0]
    llm_server.say("a", "b").breaks(after=1, data=b"data: !\n\n")
    assert ask(llm_server).body.split(b"\n\n")[1] == b"data: !"
    llm_server.draw(b"\x89PNG").ends()
    assert by_gemini(llm_server) == 1


def by_gemini(server: LlmServer) -> int:
    """How many pictures came before the answer broke off."""
    with pytest.raises(TokenwireError) as caught:
        tokenwire.ask("gemini", "Why?", model="m")
    assert caught.value.answer is not None
    return len(caught.value.answer.images)


def test_a_client_that_leaves(llm_server: LlmServer) -> None:
    for stall in (llm_server.say("It is").stalls, llm_server.say("x").lingers):
        scripted = stall()
        assert scripted.asked == 0
        assert ask(llm_server, patience=0.1).end == "open"
    first, second = llm_server.requests
    assert first.outcome == f"stalled after {first.sent} bytes, client left then"
    assert not first.whole
    assert second.whole
    assert first.waited is not None
    llm_server.say("x").stalls(head=False)
    assert ask(llm_server, patience=0.1).head == b""
    llm_server.say("x").stalls(after=0)
    assert ask(llm_server, patience=0.1).status == 200
    llm_server.say("x").keeps_alive()
    assert ask(llm_server, until=b": keepalive").head
    assert llm_server.last.outcome.startswith("client left after")
    llm_server.say("It is").keeps_alive(after="It")
    assert b'"It' in ask(llm_server, stream=False, until=b"\n\n").data  # white space


def test_a_client_that_leaves_while_the_answer_is_made(llm_server: LlmServer) -> None:
    def slowly(chat: Chat) -> Iterator[Text]:
        yield Text("a")
        client.close()
        left.set()
        while True:
            yield Text("b" * 100_000)

    left = Event()
    llm_server.answer(slowly)
    parts = urlsplit(llm_server.url)
    client = socket.create_connection((parts.hostname or "", parts.port or 0))
    data = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "?"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    client.sendall(head.encode() + data)
    assert left.wait(10)
    assert llm_server.settle(10) == []
    assert llm_server.last.outcome.startswith("client left after")


def test_a_stall_does_not_last_for_ever(
    llm_server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "PATIENCE", 0.05)
    llm_server.say("x").stalls()
    assert ask(llm_server).end == "closed"
    assert llm_server.last.outcome.endswith("closed when it had waited long")


def test_no_body(llm_server: LlmServer) -> None:
    llm_server.say("x")
    assert ask(llm_server, method="HEAD", path="/v1/models").data == b""
    assert ask(llm_server, method="GET", path="/v1/models").body
    assert [each.outcome for each in llm_server.other_requests] == ["sent", "sent"]
    assert by("openai").text == "x"

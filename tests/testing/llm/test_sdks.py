"""The SDKs themselves, each led to the server by its environment variables."""

import pytest

from tests.testing.llm.asking import CLIENTS, Ask, Incomplete, asked_mistral
from tokenwire.testing import LlmServer


@pytest.fixture(params=CLIENTS)
def ask(request: pytest.FixtureRequest) -> Ask:
    return CLIENTS[request.param]


def test_an_answer(llm_server: LlmServer, ask: Ask) -> None:
    llm_server.say("It is ", "blue.")
    assert ask("Why is the sky blue?") == "It is blue."
    assert llm_server.texts == ["Why is the sky blue?"]
    assert llm_server.last.outcome == "sent"


def test_half_an_answer(llm_server: LlmServer, ask: Ask) -> None:
    llm_server.say("It is blue.").ends(after="It is")
    with pytest.raises(Exception) as caught:  # noqa: PT011  each has its own
        ask("Why?")
    if isinstance(caught.value, Incomplete):
        assert caught.value.args == ("It is",)
    assert llm_server.last.outcome.startswith("ended after")


def test_mistral(llm_server: LlmServer) -> None:
    llm_server.when(provider="mistral").say("It is blue.")
    assert "".join(asked_mistral("Why?", llm_server.url)) == "It is blue."
    assert llm_server.last.provider == "mistral"

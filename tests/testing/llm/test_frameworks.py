"""Frameworks whose requirements do not go with those of the other tests, led to the server by the
environment, too. `make frameworks` runs this with each of them; without one its test is skipped."""

from importlib import import_module
from typing import Any

import pytest

from tokenwire.testing import LlmServer


def imported(name: str) -> Any:
    """A framework's module, which may have no types."""
    pytest.importorskip(name.partition(".")[0])
    return import_module(name)


def by_langchain_openai(question: str) -> str:
    model = imported("langchain_openai").ChatOpenAI(model="gpt-4o", timeout=5)
    return "".join(chunk.text for chunk in model.stream(question))


def by_langchain_anthropic(question: str) -> str:
    model = imported("langchain_anthropic").ChatAnthropic(model="claude-x", timeout=5)
    return "".join(chunk.text for chunk in model.stream(question))


def by_llama_index(question: str) -> str:
    model = imported("llama_index.llms.openai").OpenAI(model="gpt-4o", timeout=5)
    return "".join(piece.delta or "" for piece in model.stream_complete(question))


def by_pydantic_ai(question: str) -> str:
    output: str = imported("pydantic_ai").Agent("openai-chat:gpt-4o").run_sync(question).output
    return output


def by_pydantic_ai_stream(question: str) -> str:
    agent = imported("pydantic_ai").Agent("openai-chat:gpt-4o")
    return "".join(agent.run_stream_sync(question).stream_text(delta=True))


def by_litellm(question: str) -> str:
    stream = imported("litellm").completion(
        model="openai/gpt-4o", messages=[{"role": "user", "content": question}], stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def by_litellm_anthropic(question: str) -> str:
    completion = imported("litellm").completion(
        model="anthropic/claude-x", messages=[{"role": "user", "content": question}]
    )
    return str(completion.choices[0].message.content)


CLIENTS = (
    by_langchain_openai,
    by_langchain_anthropic,
    by_llama_index,
    by_pydantic_ai,
    by_pydantic_ai_stream,
    by_litellm,
    by_litellm_anthropic,
)
BELIEVING = (by_langchain_openai, by_llama_index, by_pydantic_ai_stream)
"""Those that take a stream for whole that ended early. litellm does not, since 1.110."""


@pytest.mark.parametrize("ask", CLIENTS)
def test_an_answer(llm_server: LlmServer, ask: Any) -> None:
    llm_server.say("It is ", "blue.")
    assert ask("Why is the sky blue?") == "It is blue."
    assert llm_server.texts == ["Why is the sky blue?"]


@pytest.mark.parametrize("ask", BELIEVING)
def test_half_an_answer_is_believed(llm_server: LlmServer, ask: Any) -> None:
    llm_server.say("It is blue.").ends(after="It is")
    assert ask("Why?") == "It is"


def test_litellm_misses_the_end(llm_server: LlmServer) -> None:
    llm_server.say("It is blue.").ends(after="It is")
    with pytest.raises(Exception, match="before a finish_reason"):
        by_litellm("Why?")

"""OpenAI's own SDK asks the embedded server for all that its default answers can be asked for."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletion

from tests.batch.making import WRITER, outcome, question
from tokenwire.server.embedded import serve

HOW: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class Day(pydantic.BaseModel):
    date: str
    degrees: int = pydantic.Field(ge=5)


class Forecast(pydantic.BaseModel):
    city: str
    days: list[Day]


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with serve("openai") as server, httpx2.Client(trust_env=False) as http:
        yield openai.OpenAI(base_url=server.url, api_key="k", http_client=http, max_retries=0)


WEATHER = Forecast(city="hi", days=[Day(date="hi", degrees=5)])


def test_an_answer_of_a_class(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(**HOW, response_format=Forecast)
    assert completion.choices[0].message.parsed == WEATHER
    with client.chat.completions.stream(**HOW, response_format=Forecast) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == WEATHER


def test_arguments_of_a_class(client: openai.OpenAI) -> None:
    tools = [openai.pydantic_function_tool(Forecast)]
    completion = client.chat.completions.parse(**HOW, tools=tools, tool_choice="required")
    calls = completion.choices[0].message.tool_calls
    assert calls
    assert calls[0].function.parsed_arguments == WEATHER


def test_a_cut_answer(client: openai.OpenAI) -> None:
    how: Any = {**HOW, "messages": [{"role": "user", "content": "two words"}]}
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(**how, response_format=Forecast, max_tokens=1)


def test_log_probabilities(client: openai.OpenAI) -> None:
    how: Any = {**HOW, "logprobs": True, "top_logprobs": 1}
    create: Any = client.chat.completions.create  # its types don't take a dictionary
    completion = create(**how)
    with client.chat.completions.stream(**how) as stream:
        streamed: Any = stream.get_final_completion()
    answers: list[Any] = [completion.choices[0], streamed.choices[0]]
    for choice in answers:
        tokens: list[Any] = choice.logprobs.content
        assert "".join(token.token for token in tokens) == choice.message.content
        assert tokens[0].top_logprobs[0].token == tokens[0].token


def test_the_answers_of_a_batch_are_chat_completions() -> None:
    line = json.loads(WRITER.line(outcome(question(1, "q1"))))
    completion = ChatCompletion.model_validate(line["response"]["body"])
    assert completion.choices[0].message.content == "Hi"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 5
    assert completion.model_extra == {}

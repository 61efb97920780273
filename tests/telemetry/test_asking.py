"""What a span tells before there is an answer."""

from typing import Any

import pytest

from tests.telemetry.recording import check_attributes
from tokenwire import PROVIDERS, Chat, as_chat
from tokenwire.telemetry.asking import asking_attributes, identity

OPENAI = PROVIDERS["openai"]


def options(provider: str = "openai", **chat: Any) -> dict[str, Any]:
    """The attributes of the options, without their prefix."""
    asked = as_chat("hi", model="m", **chat)
    found = asking_attributes(PROVIDERS[provider], asked, "m")
    check_attributes(
        {n: tuple(v) if isinstance(v, list) else v for n, v in found.items()}  # pyright: ignore[reportUnknownArgumentType]
    )
    return {name.removeprefix("gen_ai.request."): value for name, value in found.items()}


@pytest.mark.parametrize(
    ("provider", "operation", "name"),
    [
        ("openai", "chat", "openai"),
        ("gemini", "generate_content", "gcp.gemini"),
        ("anthropic", "chat", "anthropic"),
        ("bedrock", "chat", "aws.bedrock"),
        ("azure", "chat", "azure.ai.openai"),
        ("mistral", "chat", "mistral_ai"),
        ("cohere", "chat", "cohere"),
        ("ollama", "chat", "ollama"),
        ("darkai", "chat", "darkai"),
        ("xai", "chat", "x_ai"),
        ("groq", "chat", "groq"),
    ],
)
def test_the_names_of_services(provider: str, operation: str, name: str) -> None:
    assert identity(PROVIDERS[provider], as_chat("hi"), "m") == {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": name,
        "gen_ai.request.model": "m",
    }


def test_a_picture() -> None:
    provider, chat = PROVIDERS["aichats"], as_chat("hi")
    assert identity(provider, chat, "dalle")["gen_ai.operation.name"] == "generate_content"
    assert asking_attributes(provider, chat, "dalle")["gen_ai.output.type"] == "image"
    assert identity(provider, chat, "gpt-4")["gen_ai.operation.name"] == "chat"
    assert "gen_ai.output.type" not in asking_attributes(provider, chat, "gpt-4")


PLAIN = {"openai.api.type": "chat_completions", "stream": True}


def test_without_options_there_is_little_to_tell() -> None:
    assert options() == PLAIN
    assert options(stream=False) == {"openai.api.type": "chat_completions"}
    assert options("groq") == {"stream": True}
    assert options("openai-responses") == {"openai.api.type": "responses", "stream": True}


def test_the_options_of_a_chat() -> None:
    given: dict[str, Any] = {
        "max_tokens": 5,
        "temperature": 1,
        "top_p": 0.5,
        "top_k": 3,
        "seed": 7,
        "stop": ("a", "b"),
        "frequency_penalty": 1,
        "presence_penalty": 0,
        "n": 2,
        "effort": "low",
        "schema": {},
    }
    assert options(**given) == PLAIN | {
        "max_tokens": 5,
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 3,
        "seed": 7,
        "stop_sequences": ["a", "b"],
        "frequency_penalty": 1.0,
        "presence_penalty": 0.0,
        "choice.count": 2,
        "reasoning.level": "low",
        "gen_ai.output.type": "json",
    }
    assert options(n=1) == PLAIN


@pytest.mark.parametrize(
    ("extra", "name", "value"),
    [
        ({"max_completion_tokens": 9}, "max_tokens", 9),
        ({"generationConfig": {"maxOutputTokens": 9}}, "max_tokens", 9),
        ({"options": {"num_predict": 9}}, "max_tokens", 9),
        ({"inferenceConfig": {"maxTokens": 9}}, "max_tokens", 9),
        ({"p": 0.25}, "top_p", 0.25),
        ({"stop": "x"}, "stop_sequences", ["x"]),
        ({"stopSequences": ["x"]}, "stop_sequences", ["x"]),
        ({"reasoning": {"effort": "high"}}, "reasoning.level", "high"),
        ({"reasoning_effort": "high"}, "reasoning.level", "high"),
        ({"previous_response_id": "r1"}, "previous_response.id", "r1"),
        ({"service_tier": "flex"}, "openai.request.service_tier", "flex"),
        ({"response_format": {"type": "json_object"}}, "gen_ai.output.type", "json"),
        (
            {"guardrailConfig": {"guardrailIdentifier": "g"}},
            "aws.bedrock.guardrail.id",
            "g",
        ),
    ],
)
def test_options_as_formats_spell_them(extra: dict[str, Any], name: str, value: Any) -> None:
    assert options(extra=extra) == PLAIN | {name: value}


@pytest.mark.parametrize(
    "extra",
    [
        {"temperature": "hot", "max_tokens": 1.5, "seed": True, "stop": [1], "n": "2"},
        {"options": [1], "effort": 3, "stop_sequences": [], "response_format": {"type": "text"}},
        {"service_tier": 5, "guardrailConfig": {}, "response_format": "json"},
    ],
)
def test_what_has_another_type_is_left_out(extra: dict[str, Any]) -> None:
    assert options(extra=extra) == PLAIN


def test_what_is_in_extra_wins() -> None:
    assert options(temperature=1, extra={"temperature": 0})["temperature"] == 0.0


def test_a_chat_of_wrong_types_fails_nowhere() -> None:
    wrong: Any = {"temperature": "x", "stop": 5, "n": "y"}
    chat = Chat(messages=(), **wrong)
    assert asking_attributes(OPENAI, chat, "m")["gen_ai.request.stream"]

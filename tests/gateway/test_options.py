"""Options and further fields, between two formats."""

from typing import Any

import pytest

from tests.gateway.formats import FORMATS, Target, ask, dialect
from tokenwire.gateway.matrix import COLUMNS
from tokenwire.gateway.translate import translated
from tokenwire.protocols.chat import Chat, Message, Tool, ToolCall
from tokenwire.protocols.errors import BadRequest

TOOLS = (Tool("read"), Tool("write"))


def chat(**fields: Any) -> Chat:
    return Chat(messages=(Message("user", "hi"),), **fields)


# Values


@pytest.mark.parametrize("back", COLUMNS)
def test_values_that_say_nothing_are_no_loss(back: str) -> None:
    neutral = chat(
        n=1, parallel=True, presence_penalty=0, frequency_penalty=0, top_p=1, max_tokens=9
    )
    found = ask(neutral, "openai_chat", back)
    assert found.losses == ()
    for name in found.chat.options():
        assert getattr(found.chat, name) == getattr(neutral, name)


@pytest.mark.parametrize(
    ("back", "most"),
    [("anthropic", 1), ("cohere", 1), ("bedrock", 1), ("mistral", 1.5), ("gemini", 2)],
)
def test_a_temperature_is_never_scaled(back: str, most: float) -> None:
    assert ask(chat(temperature=most), "ollama", back).chat.temperature == most
    with pytest.raises(BadRequest, match=r"options\.temperature: .* \(at most"):
        ask(chat(temperature=most + 0.1), "ollama", back, "temperature")


def test_ollama_takes_any_temperature() -> None:
    assert ask(chat(temperature=5.0), "openai_chat", "ollama").chat.temperature == 5


@pytest.mark.parametrize(("back", "most"), [("openai_chat", 4), ("gemini", 5), ("cohere", 5)])
def test_stop_sequences_are_never_cut(back: str, most: int) -> None:
    stop = tuple("abcdef"[:most])
    assert ask(chat(stop=stop), "anthropic", back).chat.stop == stop
    with pytest.raises(BadRequest, match=r"stop_sequences: .* sequences \(at most"):
        ask(chat(stop=(*stop, "z")), "anthropic", back, "stop")


def test_allowed_stop_sequences_are_left_out() -> None:
    found = ask(chat(stop=("a",)), "anthropic", "openai_responses", "stop")
    assert (found.chat.stop, found.losses) == ((), ("stop",))


def test_an_option_that_the_service_refuses_may_be_left_out() -> None:
    refused = {"refuses": frozenset(("seed",))}
    with pytest.raises(BadRequest, match=r'generationConfig\.seed: .*allow = \["seed"\]'):
        ask(chat(seed=1), "gemini", "openai_chat", **refused)
    found = ask(chat(seed=1), "gemini", "openai_chat", "seed", **refused)
    assert (found.chat.seed, found.losses) == (None, ("seed",))


def test_top_k_is_known_of_some_vendors() -> None:
    for model in ("us.anthropic.claude", "amazon.nova"):
        assert ask(chat(top_k=1, model=model), "ollama", "bedrock").chat.top_k == 1
    with pytest.raises(BadRequest, match=r"options\.top_k: "):
        ask(chat(top_k=1, model="meta.llama"), "ollama", "bedrock")


def test_log_probabilities_without_alternatives() -> None:
    assert ask(chat(logprobs=0), "openai_chat", "cohere").losses == ()
    with pytest.raises(BadRequest, match="logprobs: "):
        ask(chat(logprobs=2), "openai_chat", "cohere")
    found = ask(chat(logprobs=2), "openai_chat", "cohere", "logprobs")
    assert (found.chat.logprobs, found.losses) == (0, ("logprobs",))
    found = ask(chat(logprobs=2), "openai_chat", "anthropic", "logprobs")
    assert (found.chat.logprobs, found.losses) == (None, ("logprobs",))


def test_any_json_may_be_left_out() -> None:
    found = ask(chat(schema={}), "openai_chat", "anthropic", "json_mode")
    assert (found.chat.schema, found.losses) == (None, ("json_mode",))


# Tool choice


@pytest.mark.parametrize("choice", ["auto", "none"])
@pytest.mark.parametrize("back", COLUMNS)
def test_a_choice_that_each_format_has(choice: str, back: str) -> None:
    found = ask(chat(tools=TOOLS, tool_choice=choice), "openai_chat", back)
    assert (found.chat.tool_choice, found.losses) == (choice, ())


def test_a_tool_that_must_be_called_must_be_there() -> None:
    asked = chat(tools=TOOLS, tool_choice="write")
    assert ask(asked, "anthropic", "cohere").chat.tool_choice == "write"
    with pytest.raises(BadRequest, match="tool_choice: a tool that is not there"):
        ask(asked.replace(tools=TOOLS[:1]), "anthropic", "cohere")


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_bedrock_needs_tools_after_calls(role: str) -> None:
    call = ToolCall("c1", "read", "{}")
    said = Message("assistant", (call,)) if role == "assistant" else call.result("a")
    asked = Chat(messages=(Message("user", "hi"), said), tools=TOOLS, tool_choice="none")
    with pytest.raises(BadRequest, match="tool_choice: none, after calls,"):
        ask(asked, "openai_chat", "bedrock", "tool_choice_none")


# Effort


@pytest.mark.parametrize(
    ("back", "effort", "lower"),
    [
        ("ollama", "xhigh", "high"),
        ("ollama", "minimal", "none"),
        ("gemini", "max", "high"),
        ("anthropic", "minimal", "none"),
        ("cohere", "medium", "none"),
        ("bedrock", "none", None),
    ],
)
def test_an_effort_that_is_not_known_may_become_a_lower_one(
    back: str, effort: Any, lower: str | None
) -> None:
    with pytest.raises(BadRequest, match=f"reasoning.effort: '{effort}' can't be translated"):
        ask(chat(effort=effort), "openai_responses", back)
    found = ask(chat(effort=effort), "openai_responses", back, "effort")
    assert (found.chat.effort, found.losses) == (lower, ("effort",))


def test_the_words_are_those_of_the_service() -> None:
    own: dict[str, Any] = {"effort": {"high": {"think": True}}}
    assert ask(chat(effort="high"), "anthropic", "openai_chat", **own).chat.effort == "high"
    with pytest.raises(BadRequest, match="'low'"):
        ask(chat(effort="low"), "anthropic", "openai_chat", **own)
    none = {"refuses": frozenset(("effort",))}
    found = ask(chat(effort="high"), "anthropic", "openai_chat", "effort", **none)
    assert found.chat.effort is None


@pytest.mark.parametrize(
    ("tokens", "effort"),
    [(1, "low"), (2048, "low"), (2049, "medium"), (8192, "medium"), (9000, "high")],
)
def test_a_budget_may_become_an_effort(tokens: int, effort: str) -> None:
    extra = {"thinking": {"type": "enabled", "budget_tokens": tokens}}
    with pytest.raises(BadRequest, match=r"thinking\.budget_tokens: .*effort_from_budget"):
        ask(chat(extra=extra), "anthropic", "openai_chat")
    found = ask(chat(extra=extra), "anthropic", "openai_chat", "effort_from_budget")
    assert (found.chat.effort, found.chat.extra) == (effort, {})
    assert found.losses == ("effort_from_budget", "hints")


def test_an_effort_wins_over_a_budget() -> None:
    extra = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 100}}}
    asked = chat(extra=extra, effort="high")
    found = ask(asked, "gemini", "openai_chat", "effort_from_budget")
    assert found.chat.effort == "high"


def test_a_budget_that_is_no_number_is_unknown() -> None:
    extra = {"thinking": {"budget_tokens": "many"}}
    with pytest.raises(BadRequest, match=r"thinking\.budget_tokens: an unknown field"):
        ask(chat(extra=extra), "anthropic", "openai_chat", "effort_from_budget")


# Further fields


def test_fields_that_both_formats_know_are_carried() -> None:
    shared: dict[str, Any] = {
        "prompt_cache_key": "a",
        "metadata": {"a": {}},
        "store": False,
        "user": "u",
    }
    for front, back in (("openai_chat", "openai_responses"), ("openai_responses", "openai_chat")):
        found = ask(chat(extra=shared), front, back)
        assert (found.chat.extra, found.losses) == (shared, ())


def test_how_strict_a_schema_is() -> None:
    strict = {"name": "a", "strict": True}
    ours, theirs = {"response_format": {"json_schema": strict}}, {"text": {"format": strict}}
    asked = chat(schema={"type": "object"}, extra=ours)
    assert ask(asked, "openai_chat", "openai_responses").chat.extra == theirs
    assert ask(asked, "openai_chat", "mistral").chat.extra == ours
    assert ask(asked.replace(extra=theirs), "openai_responses", "openai_chat").chat.extra == ours
    for front, extra in (("openai_chat", ours), ("openai_responses", theirs)):
        found = ask(asked.replace(extra=extra), front, "gemini")
        assert (found.chat.extra, found.losses) == ({}, ("hints",))


@pytest.mark.parametrize(
    ("front", "extra"),
    [
        ("openai_chat", {"stream_options": {"include_obfuscation": False}, "verbosity": "low"}),
        ("openai_responses", {"client_metadata": {"a": 1}, "include": ["x"]}),
        ("openai_responses", {"reasoning": {"summary": "auto"}, "text": {"verbosity": "low"}}),
        ("anthropic", {"context_management": {"edits": []}, "metadata": {"user_id": "u"}}),
        ("anthropic", {"thinking": {"type": "adaptive", "display": "updates"}}),
        ("gemini", {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}),
        ("gemini", {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}),
        ("gemini", {"generationConfig": {"responseModalities": ["TEXT"]}}),
        ("ollama", {"keep_alive": "5m", "options": {"num_gpu": 1}}),
    ],
)
@pytest.mark.parametrize("back", COLUMNS)
def test_hints_never_cause_a_refusal(front: str, extra: dict[str, Any], back: str) -> None:
    found = ask(chat(extra=extra), front, back)
    if front != back:
        assert (found.chat.extra, found.losses) == ({}, ("hints",))
    else:
        assert (found.chat.extra, found.losses) == (extra, ())


@pytest.mark.parametrize("value", [None, "", [], {}, {"a": {"b": []}}])
def test_fields_without_a_value_say_nothing(value: Any) -> None:
    found = ask(chat(extra={"anything": value}), "openai_chat", "gemini")
    assert (found.chat.extra, found.losses) == ({}, ())


@pytest.mark.parametrize(
    ("front", "extra", "field", "unknown"),
    [
        ("openai_chat", {"logit_bias": {"50": 1}}, "logit_bias", False),
        ("openai_chat", {"api_base": "http://evil.test"}, "api_base", True),
        ("gemini", {"safetySettings": [{"a": 1}]}, "safetySettings", False),
        (
            "gemini",
            {"generationConfig": {"speechConfig": {"a": 1}}},
            "generationConfig.speechConfig.a",
            True,
        ),
        ("ollama", {"options": {"num_ctx": 9}}, "options.num_ctx", False),
        ("anthropic", {"thinking": {"type": "new"}}, "thinking.type", True),
        ("openai_responses", {"text": {"format": {"type": "grammar"}}}, "text.format.type", True),
    ],
)
def test_other_fields_are_refused_by_name(
    front: str, extra: dict[str, Any], field: str, unknown: bool
) -> None:
    back = "bedrock" if front != "bedrock" else "gemini"
    with pytest.raises(BadRequest) as caught:
        ask(chat(extra=extra), front, back)
    said = f"{field}: {'an unknown field ' if unknown else ''}can't be translated from {front} to"
    assert str(caught.value).startswith(said)
    for allow in (field, "unknown"):
        found = ask(chat(extra=extra), front, back, allow)
        assert (found.chat.extra, found.losses) == ({}, ("unknown",))


# The most tokens


def test_the_most_tokens_are_the_callers_or_the_targets() -> None:
    assert ask(chat(max_tokens=5), "openai_chat", "anthropic").chat.max_tokens == 5
    assert ask(chat(), "openai_chat", "anthropic").chat.max_tokens == 1000
    unbounded = Target(FORMATS["gemini"], None)
    assert translated(chat(), dialect("openai_chat"), unbounded, ()).chat.max_tokens is None


def test_a_target_that_needs_them_and_has_none() -> None:
    unbounded = Target(FORMATS["anthropic"], None)
    with pytest.raises(BadRequest, match="max_output_tokens: "):
        translated(chat(), dialect("openai_responses"), unbounded, ())
    bounded = Target(FORMATS["anthropic"].replace(fields={"max_tokens": 9}), None)
    assert translated(chat(), dialect("openai_responses"), bounded, ()).chat.max_tokens is None

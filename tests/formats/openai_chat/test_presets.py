"""The presets of chat completions: what each asks, and what is made of the answers of services that
differ, streamed as they send them. The sections are the items that presets are accepted by."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenwire
from tests.driving import JSON, Response, alike
from tests.formats.openai_chat.subject import completions, hears_chunks, understands_all
from tokenwire import (
    PROVIDERS,
    AuthenticationFailed,
    BadRequest,
    Chat,
    Citation,
    ContentFiltered,
    End,
    Exchange,
    Finish,
    ImagePart,
    LocalProtocolError,
    Message,
    Overloaded,
    Provider,
    RateLimited,
    Reasoning,
    Refused,
    Retry,
    Start,
    Text,
    Tool,
    ToolCall,
    ToolCallEnd,
    Truncated,
    Usage,
    as_chat,
    make_exchange,
)
from tokenwire.protocols import errors
from tokenwire.protocols.chat import FilePart
from tokenwire.server import serve
from tokenwire.testing import Subject, answers, cuts, record
from tokenwire.testing.driving import Outcome, drive

OPENAI = PROVIDERS["openai"]
PRESETS = [name for name, each in PROVIDERS.items() if each.dialect is OPENAI.dialect]
LOCAL = [name for name in PRESETS if "localhost" in PROVIDERS[name].base_url]
PARAMS = {
    "resource": "res",
    "account": "acc",
    "gateway": "gate",
    "host": "dbc.example",
    "location": "eu",
    "project": "proj",
    "region": "us-1",
}
HI = Message("user", "hi")


def ask(name: str, *, key: Any = "sesame", headers: Any = None, **options: Any) -> Exchange:
    """A question to the preset `name`."""
    chat = as_chat([HI], model=options.pop("model", "m"))
    return PROVIDERS[name].exchange(
        chat.replace(**options), key=key, params=PARAMS, headers=headers
    )


def body(name: str, **options: Any) -> Any:
    return json.loads(ask(name, **options).request.body)


def headers_of(exchange: Exchange) -> dict[bytes, bytes]:
    request = exchange.next_request()
    assert request is not None
    return dict(request.headers)


def refused(name: str, **options: Any) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        ask(name, **options).next_request()
    return str(caught.value)


def sse(*payloads: Any) -> bytes:
    texts = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
    return b"".join(b"data: %b\n\n" % text.encode() for text in texts)


def delta(said: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": said, "finish_reason": finish}
    return {"id": "gen-1", "model": "m", "choices": [choice], **more}


def streamed(name: str, *payloads: Any) -> Outcome:
    """What is made of these events, however they are split."""
    return alike(ask(name), sse(*payloads))


def answered(name: str, value: Any, status: int = 200, **headers: str) -> Refused:
    """The error that is made of this document."""
    fields = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    said = value if isinstance(value, bytes) else json.dumps(value).encode()
    outcome = alike(ask(name), Response(said, status, [*JSON, *fields]))
    assert isinstance(outcome.error, Refused), outcome
    assert outcome.events == []
    return outcome.error


SAID = delta({"content": "a"})
STOP = delta({}, "stop")
DONE = "[DONE]"


# 1 What is said of each holds


@pytest.mark.parametrize("name", PRESETS)
def test_a_record(name: str) -> None:
    provider = PROVIDERS[name]
    url = urlsplit(provider.base_url)
    assert url.scheme == ("http" if url.hostname == "localhost" else "https")
    assert not provider.base_url.endswith("/")
    assert not url.query
    variables = (*provider.env, *provider.base_env, *provider.params.values())
    assert all(re.fullmatch("[A-Z0-9_]+", variable) for variable in variables)
    assert set(provider.params) == set(re.findall(r"\{(\w+)\}", provider.base_url))
    for kind in provider.error_codes.values():
        assert issubclass(getattr(errors, kind), Refused)
    assert provider.lasting_codes <= provider.error_codes.keys()
    assert date.fromisoformat(provider.checked) <= date(2026, 12, 31)
    assert provider.source
    assert set(provider.doubtful) <= set(Provider.__struct_fields__)
    assert provider.default_model == "" or provider.model("") == provider.default_model


# 2 and 11 The first request, and whether it asks for the usage

KEY = "authorization: Bearer sesame"
TABLE = """
openai               https://api.openai.com/v1/chat/completions
azure                https://res.openai.azure.com/openai/v1/chat/completions
azure-entra          https://res.openai.azure.com/openai/v1/chat/completions
azure-dated          https://res.openai.azure.com/openai/deployments/m/chat/completions?api-version=2025-04-01-preview
groq                 https://api.groq.com/openai/v1/chat/completions
deepseek             https://api.deepseek.com/chat/completions
xai                  https://api.x.ai/v1/chat/completions
openrouter           https://openrouter.ai/api/v1/chat/completions
together             https://api.together.ai/v1/chat/completions
fireworks            https://api.fireworks.ai/inference/v1/chat/completions
perplexity           https://api.perplexity.ai/chat/completions
cerebras             https://api.cerebras.ai/v1/chat/completions
nvidia               https://integrate.api.nvidia.com/v1/chat/completions
moonshot             https://api.moonshot.ai/v1/chat/completions
moonshot-cn          https://api.moonshot.cn/v1/chat/completions
zai                  https://api.z.ai/api/paas/v4/chat/completions
zai-coding           https://api.z.ai/api/coding/paas/v4/chat/completions
zhipu                https://open.bigmodel.cn/api/paas/v4/chat/completions
minimax              https://api.minimax.io/v1/chat/completions
minimax-cn           https://api.minimaxi.com/v1/chat/completions
dashscope            https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions
dashscope-cn         https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions
dashscope-us         https://dashscope-us.aliyuncs.com/compatible-mode/v1/chat/completions
siliconflow          https://api.siliconflow.com/v1/chat/completions
siliconflow-cn       https://api.siliconflow.cn/v1/chat/completions
huggingface          https://router.huggingface.co/v1/chat/completions
cloudflare           https://api.cloudflare.com/client/v4/accounts/acc/ai/v1/chat/completions
cloudflare-gateway   https://gateway.ai.cloudflare.com/v1/acc/gate/compat/chat/completions
databricks           https://dbc.example/serving-endpoints/chat/completions
snowflake            https://acc.snowflakecomputing.com/api/v2/cortex/v1/chat/completions
sambanova            https://api.sambanova.ai/v1/chat/completions
novita               https://api.novita.ai/openai/chat/completions
deepinfra            https://api.deepinfra.com/v1/openai/chat/completions
nebius               https://api.tokenfactory.nebius.com/v1/chat/completions
baseten              https://inference.baseten.co/v1/chat/completions
vercel               https://ai-gateway.vercel.sh/v1/chat/completions
poe                  https://api.poe.com/v1/chat/completions
upstage              https://api.upstage.ai/v1/chat/completions
ai21                 https://api.ai21.com/studio/v1/chat/completions
reka                 https://api.reka.ai/v1/chat/completions
gemini-openai        https://generativelanguage.googleapis.com/v1beta/openai/chat/completions
vertex-openai        https://eu-aiplatform.googleapis.com/v1beta1/projects/proj/locations/eu/endpoints/openapi/chat/completions
vertex-openai-global https://aiplatform.googleapis.com/v1beta1/projects/proj/locations/global/endpoints/openapi/chat/completions
bedrock-openai       https://bedrock-runtime.us-1.amazonaws.com/openai/v1/chat/completions
bedrock-mantle       https://bedrock-mantle.us-1.api.aws/v1/chat/completions
cohere-openai        https://api.cohere.ai/compatibility/v1/chat/completions
ollama-openai        http://localhost:11434/v1/chat/completions
lmstudio             http://localhost:1234/v1/chat/completions
llamacpp             http://localhost:8080/v1/chat/completions
vllm                 http://localhost:8000/v1/chat/completions
sglang               http://localhost:30000/v1/chat/completions
tgi                  http://localhost:3000/v1/chat/completions
localai              http://localhost:8080/v1/chat/completions
koboldcpp            http://localhost:5001/v1/chat/completions
textgen              http://localhost:5000/v1/chat/completions
jan                  http://localhost:1337/v1/chat/completions
docker               http://localhost:12434/engines/v1/chat/completions
litellm              http://localhost:4000/chat/completions
ylokh                https://chatapi.ylokh.xyz/v1/chat/completions
"""
URLS = {line.split()[0]: line.split()[1] for line in TABLE.split("\n") if line}
KEYS = {
    "azure": "api-key: sesame",
    "azure-dated": "api-key: sesame",
    "cloudflare-gateway": "cf-aig-authorization: Bearer sesame",
}
NOT_ASKED = {
    *("groq", "openrouter", "together", "fireworks", "perplexity", "databricks"),
    *("cohere-openai", "koboldcpp", "ylokh"),
}
"""They report their usage anyway, or refuse to be asked for it."""
MORE: dict[str, dict[str, Any]] = {
    "minimax": {"reasoning_split": True},
    "minimax-cn": {"reasoning_split": True},
    "ylokh": {
        **dict.fromkeys(("temperature", "top_p"), 1),
        **dict.fromkeys(("presence_penalty", "frequency_penalty"), 0),
        "allow_fallback": True,
    },
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_first_request(name: str) -> None:
    request = ask(name).next_request()
    assert request is not None
    assert (request.method, request.url) == ("POST", URLS[name])
    sent = {f"{n.decode()}: {v.decode()}" for n, v in request.headers}
    assert KEYS.get(name, KEY) in sent
    assert len([header for header in sent if "sesame" in header]) == 1
    asked = {} if name in NOT_ASKED else {"stream_options": {"include_usage": True}}
    hi = {"role": "user", "content": "hi"}
    plain = {"model": "m", "messages": [hi], "stream": True}
    assert json.loads(request.body) == {**plain, **asked, **MORE.get(name, {})}
    assert "stream_options" not in body(name, stream=False)


def test_a_kind_of_token() -> None:
    name = b"x-snowflake-authorization-token-type"
    assert headers_of(ask("snowflake"))[name] == b"PROGRAMMATIC_ACCESS_TOKEN"
    assert headers_of(ask("snowflake", headers={name.decode(): "OAUTH"}))[name] == b"OAUTH"


# 3 Azure


def test_azure_has_one_key() -> None:
    sent = headers_of(ask("azure"))
    assert (sent[b"api-key"], sent.get(b"authorization")) == (b"sesame", None)
    tokens = iter(["first", "second"])
    exchange = ask("azure-entra", key=lambda: next(tokens))
    for asked, token in ((exchange, b"first"), (exchange.fresh(), b"second")):
        sent = headers_of(asked)
        assert (sent[b"authorization"], sent.get(b"api-key")) == (b"Bearer " + token, None)
    for name, other in (
        ("azure", "Authorization"),
        ("azure-dated", "authorization"),
        ("azure-entra", "Api-Key"),
    ):
        said = refused(name, headers={other: "Bearer other"})
        assert said == f"there is a key in {other.lower()}, too: give one of both"
    alone = headers_of(ask("azure", key=None, headers={"authorization": "Bearer t"}))
    assert alone[b"authorization"] == b"Bearer t"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "api-version=2025-04-01-preview"),
        ("?api-version=2026-01-01", "api-version=2026-01-01"),
        ("?api-version=", "api-version="),
        ("?x=1", "x=1&api-version=2025-04-01-preview"),
    ],
)
def test_the_version_is_said_once(query: str, expected: str) -> None:
    chat = as_chat("hi", model="a b")
    base_url = f"https://r.test/openai{query}"
    request = PROVIDERS["azure-dated"].exchange(chat, base_url=base_url).request
    path = "https://r.test/openai/deployments/a%20b/chat/completions"
    assert request.url == f"{path}?{expected}"


# 4 Placeholders


def test_a_placeholder_without_a_value() -> None:
    chat = as_chat("hi", model="m")
    for name, wants in (("azure", "resource"), ("snowflake", "account"), ("databricks", "host")):
        provider = PROVIDERS[name]
        for params in ({}, {wants: ""}):
            with pytest.raises(LocalProtocolError) as caught:
                provider.exchange(chat, params=params)
            assert f"{name} needs {wants}: give params=" in str(caught.value)
            assert f"or set {provider.params[wants]}" in str(caught.value)


@pytest.mark.parametrize(
    "value", ["a/b", "a?b", "a#b", "a\nb", "a b", "a\0b", "u@b", "a\\b", "%2f"]
)
def test_a_value_that_is_more_than_a_word(value: str) -> None:
    with pytest.raises(LocalProtocolError, match="resource is one word, not "):
        PROVIDERS["azure"].exchange(as_chat("hi", model="m"), params={"resource": value})


def test_a_host_with_a_port() -> None:
    chat = as_chat("hi", model="m")
    asked = PROVIDERS["databricks"].exchange(chat, params={"host": "a.test:8443"})
    assert asked.request.url == "https://a.test:8443/serving-endpoints/chat/completions"


# 5 The limit of tokens

COMPLETION = {
    *("openai", "azure", "azure-entra", "azure-dated", "groq", "xai", "cerebras"),
    *("minimax", "minimax-cn", "snowflake"),
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_limit_is_said_once(name: str) -> None:
    names = {"max_tokens", "max_completion_tokens"}
    said = {key: value for key, value in body(name, max_tokens=5).items() if key in names}
    assert said == {"max_completion_tokens" if name in COMPLETION else "max_tokens": 5}
    for other in names:
        assert "max_tokens is given twice" in refused(name, max_tokens=5, extra={other: 6})
        assert body(name, extra={other: 6})[other] == 6


# 6 Effort

OFF = {"thinking": {"type": "disabled"}}
EFFORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("xhigh", {"reasoning_effort": "xhigh"}),
    "deepseek": ("max", {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    "openrouter": ("minimal", {"reasoning": {"effort": "minimal"}}),
    "zai": ("high", {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
    "dashscope": ("high", {"enable_thinking": True}),
    "groq": ("none", {"reasoning_effort": "none"}),
    "together": ("low", {"reasoning_effort": "low"}),
    "moonshot": ("max", {"reasoning_effort": "max"}),
    "baseten": ("high", {"chat_template_args": {"enable_thinking": True}}),
    "huggingface": ("xhigh", {"reasoning_effort": "xhigh"}),
}
NO_EFFORT: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("deepseek", "zai", "moonshot", "minimax"), OFF),
    **{name: {"enable_thinking": False} for name in ("dashscope", "siliconflow", "novita")},
    "baseten": {"chat_template_args": {"enable_thinking": False}},
    "together": {"reasoning": {"enabled": False}},
    "vercel": {"reasoning": {"effort": "none"}},
}


def added(name: str, **options: Any) -> dict[str, Any]:
    """What the options add to the body."""
    plain = body(name)
    return {key: value for key, value in body(name, **options).items() if plain.get(key) != value}


@pytest.mark.parametrize("name", EFFORTS)
def test_effort(name: str) -> None:
    level, expected = EFFORTS[name]
    assert added(name, effort=level) == expected


@pytest.mark.parametrize("name", NO_EFFORT)
def test_no_effort(name: str) -> None:
    assert added(name, effort="none") == NO_EFFORT[name]


@pytest.mark.parametrize(
    ("name", "level", "known"),
    [
        ("openai", "max", "none, minimal, low, medium, high, xhigh"),
        ("deepseek", "medium", "none, low, high, max"),
        ("zai", "medium", "none, low, high, max"),
        ("groq", "minimal", "none, low, medium, high"),
        ("dashscope", "low", "none, high"),
        ("cohere-openai", "low", "none, high"),
        ("poe", "low", "none of them"),
    ],
)
def test_a_level_that_is_not_known(name: str, level: Any, known: str) -> None:
    assert refused(name, effort=level) == f"{name}: effort is {known}, not {level}"


def test_extra_wins_over_effort() -> None:
    extra = {"thinking": {"type": "disabled", "clear_thinking": False}}
    said = added("zai", effort="high", extra=extra)
    assert said == {**extra, "reasoning_effort": "high"}
    assert body("minimax", extra={"reasoning_split": False})["reasoning_split"] is False


# 7 Thoughts go back

CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = (delta({"tool_calls": [{"index": 0, **CALLED}]}), delta({}, "tool_calls"), DONE)
DETAILS = [
    {"type": "reasoning.text", "text": "I must.", "signature": "c2ln", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "index": 1},
]
HISTORY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **dict.fromkeys(
        ("deepseek", "moonshot", "xai", "zai", "dashscope", "fireworks", "novita"),
        ({"reasoning_content": "I must."}, {"reasoning_content": "I must."}),
    ),
    **dict.fromkeys(
        ("groq", "cerebras", "together"), ({"reasoning": "I must."}, {"reasoning": "I must."})
    ),
    **dict.fromkeys(
        ("openrouter", "vercel", "minimax", "snowflake"),
        ({"reasoning": "I must.", "reasoning_details": DETAILS}, {"reasoning_details": DETAILS}),
    ),
    **dict.fromkeys(
        ("openai", "azure", "perplexity", "siliconflow", "vllm"),
        ({"reasoning_content": "I must."}, {}),
    ),
}


def second_turn(name: str, *payloads: Any) -> dict[str, Any]:
    """The assistant's message in the request after this answer, without its call."""
    provider = PROVIDERS[name]
    if "tools" not in provider.takes:
        payloads = (*payloads[:-3], SAID, STOP, DONE)
    reply = streamed(name, *payloads).succeeded().reply
    results = (call.result("7") for call in reply.tool_calls)
    chat = Chat(messages=(HI,), model="m").then(reply, *results)
    said = json.loads(provider.exchange(chat, params=PARAMS).request.body)["messages"][1]
    return {k: v for k, v in said.items() if k not in ("role", "content", "tool_calls")}


@pytest.mark.parametrize("name", HISTORY)
def test_thoughts_go_back(name: str) -> None:
    thought, expected = HISTORY[name]
    assert second_turn(name, delta(thought), *CALLING) == expected


def test_thoughts_that_are_required() -> None:
    for name in ("deepseek", "moonshot", "moonshot-cn"):
        assert second_turn(name, *CALLING) == {"reasoning_content": ""}
    for name in ("xai", "groq", "zai"):
        assert second_turn(name, *CALLING) == {}


# 8 What is refused

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("groq", {"n": 2}, "n"),
    ("groq", {"messages": (Message("user", "hi", name="ada"),)}, "a message's name"),
    ("groq", {"logprobs": 0}, "logprobs"),
    ("groq", {"extra": {"logit_bias": {}}}, "logit_bias"),
    ("perplexity", {"tools": (Tool("f"),)}, "tools"),
    ("perplexity", {"messages": (HI, ToolCall("c", "f", "{}").result("7"))}, "tools"),
    ("cohere-openai", {"parallel": False}, "parallel"),
    ("cohere-openai", {"extra": {"service_tier": "flex"}}, "service_tier"),
    ("deepseek", {"seed": 1}, "seed"),
    ("zai", {"extra": {"parallel_tool_calls": True}}, "parallel_tool_calls"),
    ("xai", {"tools": (Tool("f", strict=True),)}, "a tool's strict"),
    ("azure", {"messages": (Message("user", (FilePart.of_bytes(b"x", "application/pdf"),)),)}, "files"),
    ("deepinfra", {"tool_choice": "required"}, "tool_choice, other than auto and none"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "what"), REFUSED)
def test_what_is_refused(name: str, options: dict[str, Any], what: str) -> None:
    assert refused(name, **options) == f"{name} can't take {what}: leave it out of the chat"


def test_what_is_taken_in_part() -> None:
    assert body("deepinfra", tool_choice="none")["tool_choice"] == "none"
    here, there = "data:image/png;base64,UE5H", "https://x.test/a.png"
    seen = body("moonshot", messages=(Message("user", (ImagePart(here),)),))
    assert seen["messages"][0]["content"][0]["image_url"] == {"url": here}
    said = refused("moonshot", messages=(Message("user", (ImagePart(there),)),))
    assert said == "moonshot takes a picture by its bytes only"
    narrow = PROVIDERS["moonshot"].replace(refuses=frozenset(("images", "image_urls")))
    assert narrow.takes.isdisjoint(("images", "image_bytes"))


# 9 Schemas


def test_schemas() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    written = {"name": "answer", "schema": schema}
    for name in ("groq", "openai", "perplexity", "vllm"):
        format_ = body(name, schema=schema)["response_format"]
        assert format_ == {"type": "json_schema", "json_schema": written}
    for name in ("deepseek", "zai", "siliconflow", "ai21", "tgi"):
        assert body(name, schema=schema)["response_format"] == {"type": "json_object"}
    assert refused("poe", schema=schema) == "poe can't take schema: leave it out of the chat"


# 10 The system


def test_the_system() -> None:
    said = (Message("system", "a"), HI, Message("developer", "b"))
    roles = [(m["role"], m["content"]) for m in body("minimax", messages=said)["messages"]]
    assert roles == [("system", "a\n\nb"), ("user", "hi")]
    roles = [(m["role"], m["content"]) for m in body("openai", messages=said)["messages"]]
    assert roles == [("system", "a"), ("user", "hi"), ("developer", "b")]
    for name in ("deepseek", "together", "perplexity", "moonshot", "zai", "dashscope", "nebius"):
        assert [m["role"] for m in body(name, messages=said)["messages"]][2] == "system"


# 12 Usage, wherever it is

COUNTS = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
COUNTED = Usage(5, 2, 7, raw=COUNTS)
CUMULATIVE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
PLACES: dict[str, tuple[str, tuple[Any, ...], int]] = {
    "trailer": ("openai", (SAID, STOP, {"choices": [], "usage": COUNTS}, DONE), 1),
    "finish": ("deepseek", (SAID, delta({}, "stop", usage=COUNTS), DONE), 1),
    "every": (
        "databricks",
        (delta({"content": "a"}, usage=CUMULATIVE), delta({}, "stop", usage=COUNTS), DONE),
        2,
    ),
    "choice": (
        "moonshot",
        (SAID, {"choices": [{**STOP["choices"][0], "usage": COUNTS}]}, DONE),
        1,
    ),
    "x_groq": ("groq", (SAID, delta({}, "stop", x_groq={"id": "r", "usage": COUNTS}), DONE), 1),
    "x_groq and usage": (
        "groq",
        (SAID, delta({}, "stop", usage=COUNTS, x_groq={"id": "r", "usage": CUMULATIVE}), DONE),
        1,
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_place_of_the_usage(place: str) -> None:
    name, payloads, times = PLACES[place]
    outcome = streamed(name, *payloads).succeeded()
    found = [event for event in outcome.events if isinstance(event, Usage)]
    assert (found[-1], len(found)) == (COUNTED, times)
    assert outcome.reply.usage == COUNTED


def test_a_reason_that_is_repeated() -> None:
    """OpenRouter's last chunk."""
    again = delta({"content": ""}, "stop", usage=COUNTS)
    outcome = streamed("openrouter", SAID, STOP, again, DONE).succeeded()
    assert [e for e in outcome.events if isinstance(e, Finish)] == [Finish("stop", "stop")]


# 13 Counts


def usage_of(usage: dict[str, Any]) -> Usage:
    found = streamed("openai", SAID, delta({}, "stop", usage=usage), DONE).succeeded().reply.usage
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("prompt", "completion", "thought", "total", "said"),
    [
        (468, 77, 582, 1127, 659),  # xAI
        (14, 10, 11, 24, 10),  # OpenRouter
        (9, 35, 267, 44, 35),  # Vercel, of Gemini
        (10, 20, 15, 30, 20),  # OpenAI
        (10, 20, 0, 30, 20),
        (11, 15, None, 401, 15),  # Mistral's audio
    ],
)
def test_whether_thoughts_are_counted(
    prompt: int, completion: int, thought: int | None, total: int, said: int
) -> None:
    counts: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    usage = usage_of(counts)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (prompt, said, total)
    assert (usage.reasoning_output_tokens, usage.raw) == (thought, counts)


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens_details": {"cached_tokens": 3}},
        {"cached_tokens": 3},
        {"num_cached_tokens": 3},
        {"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 2},
        {"cache_read_input_tokens": 3},
    ],
)
def test_cached_tokens(counts: dict[str, Any]) -> None:
    assert usage_of({**COUNTS, **counts}).cache_read_input_tokens == 3


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("key", ["cache_write_tokens", "cache_creation_input_tokens"])
def test_written_tokens(key: str, inside: bool) -> None:
    counts = {"prompt_tokens_details": {key: 3}} if inside else {key: 3}
    assert usage_of({**COUNTS, **counts}).cache_write_input_tokens == 3


# 14 Reasons that are failures


@pytest.mark.parametrize("end", [(DONE,), ()])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("deepseek", "insufficient_system_resource"),
        ("zai", "network_error"),
        ("openrouter", "error"),
        ("vllm", "abort"),
    ],
)
def test_a_reason_that_is_a_failure(name: str, reason: str, end: tuple[str, ...]) -> None:
    call = delta({"tool_calls": [{"index": 0, **CALLED}]})
    outcome = streamed(name, SAID, call, delta({}, reason, usage=COUNTS), *end)
    outcome.refused_by(Refused, f"the service refused: {reason}")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == reason
    assert outcome.reply.text == "a"
    assert COUNTED in outcome.events
    assert Finish(reason, "error") in outcome.events
    assert [e.complete for e in outcome.events if isinstance(e, ToolCallEnd)] == [False]


@pytest.mark.parametrize("end", [(DONE,), ()])
@pytest.mark.parametrize("error", ["over capacity", {"message": "over capacity", "code": "c"}])
def test_a_failure_beside_the_reason(error: Any, end: tuple[str, ...]) -> None:
    """Groq's stream that stopped early."""
    call = delta({"tool_calls": [{"index": 0, **CALLED}]})
    last = delta({}, "tool_calls", x_groq={"id": "r", "error": error, "usage": COUNTS})
    outcome = streamed("groq", SAID, call, last, *end)
    outcome.refused_by(Refused, "the service refused: over capacity")
    assert outcome.reply.text == "a"
    assert COUNTED in outcome.events
    assert [e.complete for e in outcome.events if isinstance(e, ToolCallEnd)] == [False]


# 15 Other words for reasons


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("sensitive", "content_filter"),
        ("model_context_window_exceeded", "length"),
        ("new_reason", ""),
    ],
)
def test_words_for_reasons(reason: str, kind: Any) -> None:
    outcome = streamed("openai", SAID, delta({}, reason), DONE).succeeded()
    assert Finish(reason, kind) in outcome.events


# 16 Ends


def test_ends() -> None:
    crlf = sse(SAID, delta({}, "stop", object="chat.completion.done")).replace(b"\n", b"\r\n")
    outcome = alike(ask("perplexity"), crlf).succeeded()
    assert outcome.events[-1] == End("finish")
    truncated = crlf[: crlf.index(b'"stop"')]
    alike(ask("perplexity"), truncated).refused_by(Truncated)
    writer = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop",
                           "message": {"role": "assistant", "content": "a"}}]}  # fmt: skip
    for name, payloads in (("huggingface", (SAID, STOP)), ("openai", (SAID, writer))):
        outcome = streamed(name, *payloads).succeeded()
        assert (outcome.reply.text, outcome.events[-1]) == ("a", End("finish"))
        streamed(name, payloads[0]).refused_by(Truncated)
    outcome = streamed("snowflake", SAID, DONE).succeeded()
    assert outcome.events[-1] == End("terminator")
    assert Finish not in map(type, outcome.events)
    streamed("snowflake", SAID).refused_by(Truncated)


# 17 and 18 Error bodies

WORDS = "no such luck"
ERRORS: dict[str, tuple[str, int, Any, type[Refused], str | None]] = {
    "openai's quota": (
        *("openai", 429),
        {"error": {"message": WORDS, "type": "insufficient_quota", "code": "insufficient_quota"}},
        *(RateLimited, "insufficient_quota"),
    ),
    "azure's key": ("azure", 401, {"error": {"code": "401", "message": WORDS}}, AuthenticationFailed, "401"),
    "azure's filter": (
        *("azure", 400),
        {"error": {"message": WORDS, "code": "content_filter", "innererror": {"code": "R"}}},
        *(ContentFiltered, "content_filter"),
    ),
    "azure's deployment": (
        *("azure", 404),
        {"error": {"code": "DeploymentNotFound", "message": WORDS}},
        *(BadRequest, "DeploymentNotFound"),
    ),
    "groq's tool": (
        *("groq", 400),
        {"error": {"message": WORDS, "type": "invalid_request_error", "code": "tool_use_failed", "failed_generation": "x"}},
        *(BadRequest, "tool_use_failed"),
    ),
    "groq's capacity": ("groq", 498, {"error": {"message": WORDS}}, Overloaded, None),
    "deepseek's balance": (
        *("deepseek", 402),
        {"error": {"message": WORDS, "type": "unknown_error", "code": "invalid_request_error"}},
        *(RateLimited, "invalid_request_error"),
    ),
    "deepseek's key": (
        *("deepseek", 401),
        {"error": {"message": WORDS, "type": "authentication_error", "code": "invalid_request_error"}},
        *(AuthenticationFailed, "invalid_request_error"),
    ),
    "xai's argument": ("xai", 400, {"code": "invalid-argument", "error": WORDS}, BadRequest, "invalid-argument"),
    "openrouter": (
        *("openrouter", 429),
        {"error": {"code": 429, "message": WORDS, "metadata": {"provider_name": "X", "raw": ""}}, "user_id": "u"},
        *(RateLimited, "429"),
    ),
    "openrouter's moderation": (
        *("openrouter", 403),
        {"error": {"code": 403, "message": WORDS}},
        *(AuthenticationFailed, "403"),
    ),
    "fireworks' fault": ("fireworks", 401, {"fault": {"faultstring": WORDS}}, AuthenticationFailed, None),
    "fireworks' text": ("fireworks", 400, {"error": WORDS}, BadRequest, None),
    "fireworks' object": (
        *("fireworks", 400),
        {"error": {"object": "error", "type": "invalid_request_error", "code": "c", "message": WORDS}},
        *(BadRequest, "c"),
    ),
    "fireworks' account": ("fireworks", 412, {"error": {"message": WORDS}}, BadRequest, None),
    "perplexity": ("perplexity", 400, {"error": {"message": WORDS, "type": "too_many_prompt_tokens", "code": 400}}, BadRequest, "400"),
    "cerebras": (
        *("cerebras", 429),
        {"message": WORDS, "type": "too_many_requests_error", "param": "quota", "code": "request_quota_exceeded"},
        *(RateLimited, "request_quota_exceeded"),
    ),
    "moonshot's filter": ("moonshot", 400, {"error": {"message": WORDS, "type": "content_filter"}}, ContentFiltered, None),
    "moonshot's quota": ("moonshot", 429, {"error": {"message": WORDS, "type": "exceeded_current_quota_error"}}, RateLimited, None),
    "moonshot's engine": ("moonshot", 429, {"error": {"message": WORDS, "type": "engine_overloaded_error"}}, Overloaded, None),
    "moonshot's rate": ("moonshot", 429, {"error": {"message": WORDS, "type": "rate_limit_reached_error"}}, RateLimited, None),
    "zai's key": ("zai", 401, {"error": {"code": "1001", "message": WORDS}}, AuthenticationFailed, "1001"),
    "zai's balance": ("zai", 429, {"error": {"code": "1113", "message": WORDS}}, RateLimited, "1113"),
    "zai's content": ("zai", 400, {"error": {"code": "1301", "message": WORDS}}, ContentFiltered, "1301"),
    "zai's rate": ("zai-coding", 429, {"error": {"code": "1302", "message": WORDS}}, RateLimited, "1302"),
    "minimax's rate": ("minimax", 200, {"base_resp": {"status_code": 1002, "status_msg": WORDS}}, RateLimited, "1002"),
    "minimax's key": ("minimax", 200, {"choices": None, "base_resp": {"status_code": 1004, "status_msg": WORDS}}, AuthenticationFailed, "1004"),
    "minimax's balance": ("minimax-cn", 200, {"base_resp": {"status_code": 1008, "status_msg": WORDS}}, RateLimited, "1008"),
    "minimax's content": ("minimax", 200, {"base_resp": {"status_code": 1026, "status_msg": WORDS}}, ContentFiltered, "1026"),
    "minimax's parameters": ("minimax", 200, {"base_resp": {"status_code": 2013, "status_msg": WORDS}}, BadRequest, "2013"),
    "dashscope's content": (
        *("dashscope", 400),
        {"error": {"code": "data_inspection_failed", "message": WORDS, "type": "data_inspection_failed"}, "request_id": "own"},
        *(ContentFiltered, "data_inspection_failed"),
    ),
    "siliconflow": ("siliconflow", 400, {"code": 20012, "message": WORDS, "data": None}, BadRequest, "20012"),
    "cloudflare's key": (
        *("cloudflare", 401),
        {"result": None, "success": False, "errors": [{"code": 10000, "message": WORDS}], "messages": []},
        *(AuthenticationFailed, "10000"),
    ),
    "cloudflare's path": (
        *("cloudflare", 400),
        {"result": None, "success": False, "errors": [{"code": 7003, "message": WORDS}], "messages": []},
        *(BadRequest, "7003"),
    ),
    "databricks": ("databricks", 429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": WORDS}, RateLimited, "REQUEST_LIMIT_EXCEEDED"),
    "deepinfra": ("deepinfra", 422, {"detail": [{"loc": ["body", "n"], "msg": WORDS, "type": "t"}]}, BadRequest, None),
    "ai21": ("ai21", 401, {"detail": WORDS}, AuthenticationFailed, None),
    "baseten": ("baseten", 400, {"error": WORDS}, BadRequest, None),
    "llama.cpp": ("llamacpp", 400, {"error": {"code": 400, "message": WORDS, "type": "exceed_context_size_error", "n_ctx": 8}}, BadRequest, "400"),
    "llama.cpp loading": ("llamacpp", 503, {"error": {"code": 503, "message": WORDS, "type": "unavailable_error"}}, Overloaded, "503"),
    "vllm": ("vllm", 404, {"object": "error", "message": WORDS, "type": "NotFoundError", "code": 404}, BadRequest, "404"),
    "tgi": ("tgi", 429, {"error": WORDS, "error_type": "overloaded"}, RateLimited, None),
    "koboldcpp": ("koboldcpp", 401, {"error": WORDS}, AuthenticationFailed, None),
    "jan": ("jan", 401, {"error": {"message": WORDS}}, AuthenticationFailed, None),
}  # fmt: skip
# ruff: noqa: E501
LASTING = {
    *("openai's quota", "deepseek's balance", "moonshot's quota", "zai's balance"),
    *("minimax's balance", "fireworks' account"),
}


@pytest.mark.parametrize("row", ERRORS)
def test_an_error_body(row: str) -> None:
    name, status, value, kind, code = ERRORS[row]
    id = "own" if "request_id" in value else "r-1"
    headers = {} if id == "own" else {"x_request_id": id}
    error = answered(name, value, status, retry_after="7", **headers)
    assert (type(error), error.message) == (kind, f"the service refused: {WORDS}")
    assert (error.code, error.request_id) == (code, id)
    assert (error.retry_after, error.lasting) == (None if status == 200 else "7", row in LASTING)
    retried = Retry().pause(error, 1, wall_clock=0, jitter=0)
    assert retried == (
        7 if status in (429, 498, 503) and row not in LASTING and row != "groq's capacity" else None
    )


@pytest.mark.parametrize("row", ERRORS)
def test_an_error_body_with_status_200(row: str) -> None:
    name, status, value, kind, code = ERRORS[row]
    error = answered(name, value)
    assert (error.message, error.code) == (f"the service refused: {WORDS}", code)
    if code in PROVIDERS[name].error_codes or status == 200:
        assert type(error) is kind
    outcome = streamed(name, SAID, value)
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.message, outcome.reply.text) == (f"the service refused: {WORDS}", "a")


def test_a_body_that_is_no_error() -> None:
    fine = delta({"content": "b"}, base_resp={"status_code": 0, "status_msg": ""}, success=True)
    assert streamed("minimax", SAID, fine, STOP, DONE).succeeded().reply.text == "ab"
    odds: list[dict[str, Any]] = [
        *({"success": False, "errors": []}, {"success": False}, {"fault": "x"}),
    ]
    for odd in odds:
        assert streamed("cloudflare", SAID, odd, STOP, DONE).succeeded().reply.text == "a"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("openai", "x_request_id"),
        ("azure", "apim_request_id"),
        ("deepseek", "x_ds_trace_id"),
        ("openrouter", "x_generation_id"),
        ("cerebras", "inference_id"),
        ("bedrock-openai", "x_amzn_requestid"),
    ],
)
def test_the_id_of_a_request(name: str, header: str) -> None:
    assert answered(name, {"error": WORDS}, 400, **{header: "id-1"}).request_id == "id-1"
    exchange = ask(name)
    exchange.next_request()
    exchange.receive_response(200, [(header.replace("_", "-").encode(), b"id-2")])
    assert exchange.request_id == "id-2"


@pytest.mark.parametrize(
    ("name", "status", "value"),
    [
        ("xai", 400, {"code": "Client specified an invalid argument",
                      "error": "Incorrect API key provided: xa***. You can obtain one."}),
        ("azure", 401, {"error": {"code": "401", "message": "Access denied"}}),
        ("deepseek", 200, {"error": {"message": "Authentication Fails", "type": "authentication_error",
                                     "code": "invalid_request_error"}}),
        ("cloudflare", 200, {"success": False, "errors": [{"code": 10000, "message": "no"}]}),
    ],
)  # fmt: skip
def test_a_wrong_key(name: str, status: int, value: Any) -> None:
    assert type(answered(name, value, status)) is AuthenticationFailed


def test_other_words_about_keys_are_not_about_the_caller() -> None:
    error = answered("xai", {"error": "unknown field: incorrect API key provided"}, 400)
    assert type(error) is BadRequest


# 19 What is asked again


def test_hints_on_waiting() -> None:
    def pause(**headers: str) -> float | None:
        value = {"error": {"code": "RateLimitReached", "message": WORDS}}
        error = answered("azure", value, 429, **headers)
        return Retry().pause(error, 1, wall_clock=0, jitter=0)

    assert pause(retry_after_ms="0", retry_after="1") == 1
    assert pause(retry_after_ms="1500", retry_after="1") == 1.5
    assert pause() == Retry().first_pause


def test_a_hint_on_a_success_changes_nothing() -> None:
    fields = [(b"content-type", b"text/event-stream"), (b"retry-after", b"13")]
    response = Response(sse(SAID, STOP), 200, fields)
    assert alike(ask("huggingface"), response).succeeded().reply.text == "a"


# 20 Errors amid a stream


def test_errors_amid_a_stream() -> None:
    for name, value in (
        ("vllm", {"error": {"object": "error", "message": WORDS, "code": 500}}),
        ("vllm", {"object": "error", "message": WORDS, "code": 500, "type": "x"}),
        ("cerebras", {"error": {"message": WORDS, "type": "t"}, "status_code": 500}),
        ("openrouter", delta({"content": ""}, "error", error={"code": 502, "message": WORDS})),
    ):
        for end in ((DONE,), ()):
            outcome = streamed(name, SAID, value, *end)
            assert isinstance(outcome.error, Refused)
            assert (outcome.error.message, outcome.reply.text) == (
                f"the service refused: {WORDS}",
                "a",
            )
    fields = {"message": WORDS, "code": "tool_use_failed", "failed_generation": "x"}
    event = b"event: error\ndata: " + json.dumps({"error": fields}).encode() + b"\n\n"
    outcome = alike(ask("groq"), sse(SAID) + event)
    outcome.refused_by(BadRequest, WORDS)
    assert outcome.reply.text == "a"


# 21 The same thought under several names


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning_text": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
    ],
)
def test_a_thought_is_heard_once(said: dict[str, Any]) -> None:
    outcome = streamed("openrouter", delta({"role": "assistant", **said}), SAID, STOP, DONE)
    heard = [e for e in outcome.succeeded().events if isinstance(e, Reasoning)]
    assert heard == [Reasoning("hm")]


# 22 Gemini's signatures, and ids that are missing


def test_a_signed_call_goes_back() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    call = {**CALLED, "id": "", **signed}
    payloads = (delta({"tool_calls": [{"index": 0, **call}]}), delta({}, "tool_calls"), DONE)
    outcome = streamed("gemini-openai", *payloads).succeeded()
    reply = outcome.reply
    assert [each.id for each in reply.tool_calls] == [""]
    chat = Chat(messages=(HI,), model="m").then(reply, reply.tool_calls[0].result("7"))
    _, said, result = body("gemini-openai", messages=chat.messages)["messages"]
    assert said["tool_calls"] == [{**call, "id": "call_1_0"}]
    assert result["tool_call_id"] == "call_1_0"


# 23 On one's own machine


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_server_needs_no_key(name: str) -> None:
    assert b"authorization" not in headers_of(ask(name, key=None))
    assert headers_of(ask(name))[b"authorization"] == b"Bearer sesame"
    assert PROVIDERS[name].key_optional is (name != "jan")


def test_a_service_that_wants_a_key_is_told_so() -> None:
    refusal = Response(b'{"error": {"message": "no"}}', 401, JSON)
    for name, hint in (
        ("jan", "give key=..."),
        ("dashscope", "give key=..., or set DASHSCOPE_API_KEY or ALIBABA_API_KEY or QWEN_API_KEY"),
    ):
        outcome = alike(ask(name, key=None), refusal)
        outcome.refused_by(
            AuthenticationFailed, f"the service refused: no; no key was given: {hint}"
        )
        for by in ({"key": "k"}, {"key": None, "headers": {"authorization": "k"}}):
            said = alike(ask(name, **by), refusal).refused_by(AuthenticationFailed)
            assert "no key was given" not in str(said.error)
    proxy = alike(ask("jan", key=None), Response(b"", 407, JSON))
    assert "no key was given" not in str(proxy.error)


# 24 The environment


def test_the_high_level_takes_the_first_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(name: str) -> bytes | None:
        return headers_of(make_exchange(name, "hi", model="m")).get(b"authorization")

    monkeypatch.setenv("FIREWORKS_AI_API_KEY", "second")
    assert sent("fireworks") == b"Bearer second"
    monkeypatch.setenv("FIREWORKS_API_KEY", "first")
    assert sent("fireworks") == b"Bearer first"
    assert b"authorization" not in headers_of(ask("fireworks", key=None))  # the core reads nothing


@pytest.mark.parametrize(
    ("name", "variable", "value", "url"),
    [
        ("groq", "GROQ_BASE_URL", "http://x.test", "http://x.test/openai/v1"),
        ("azure", "AZURE_OPENAI_ENDPOINT", "https://r.test/", "https://r.test"),
        ("azure", "AZURE_OPENAI_ENDPOINT", "https://r.test", "https://r.test/openai/v1"),
        ("ollama-openai", "OLLAMA_HOST", "box", "http://box:11434/v1"),
        ("ollama-openai", "OLLAMA_HOST", "http://box:1", "http://box:1/v1"),
        ("vllm", "VLLM_BASE_URL", "http://box:1/v1", "http://box:1/v1"),
        ("databricks", "DATABRICKS_HOST", "https://d.test/", "https://d.test/serving-endpoints"),
    ],
)
def test_the_address_of_the_environment(
    name: str, variable: str, value: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert make_exchange(name, "hi", model="m").request.url == f"{url}/chat/completions"


@pytest.mark.parametrize("name", PRESETS)
def test_no_error_shows_the_key(name: str) -> None:
    secret = "sk-very-secret-key-0001"
    exchange = ask(name, key=secret)
    echo = Response(json.dumps({"error": f"the key {secret} is wrong"}).encode(), 401, JSON)
    error = alike(exchange, echo).error
    for shown in (repr(exchange), str(error), repr(error), repr(PROVIDERS[name])):
        assert secret not in shown


# 25 Against our own server half, and against streams like those of the services


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=max(2, settings().max_examples // 12))
@given(data=st.data())
def test_a_round_trip(name: str, data: st.DataObject) -> None:
    provider = PROVIDERS[name]
    provider = provider.replace(base_url=provider.base_url.format(**PARAMS), params={})
    subject = Subject(
        provider=provider,
        questions=completions(st.just({})),
        short=[Text("a"), End("terminator")],
        understands=understands_all,
    )
    chat = data.draw(subject.chats()).replace(n=None)
    answer = data.draw(answers(provider, chat))
    sent = record(provider, chat, answer)
    heard = drive(
        provider.exchange(chat),
        *(Response(each.body) for each in sent),
        cut=lambda b: data.draw(cuts(b)),
    ).succeeded()
    assert heard.events == hears_chunks(chat, answer, asks=provider.ask_usage)


@pytest.mark.parametrize("name", PRESETS)
def test_a_stream_as_services_send_it(name: str) -> None:
    """An empty delta first, comments, thoughts under any name, usage on the finish chunk, an end
    without a terminator."""
    payloads = (
        delta({"role": "assistant", "content": ""}),
        delta({"reasoning": "h", "content": None}),
        delta({"reasoning_content": "m"}),
        delta({"content": "a"}, x_new={"b": 1}),
        delta({"content": ""}, "eos", usage={**COUNTS, "cost": 0.1}),
    )
    stream = b": PROCESSING\n\n" + sse(*payloads)
    for end in (b"", b"data: [DONE]\n\n"):
        outcome = alike(ask(name), stream + end).succeeded()
        assert outcome.events == [
            *(Start("gen-1", "m"), Reasoning("h"), Reasoning("m"), Text("a", 1)),
            Usage(5, 2, 7, raw={**COUNTS, "cost": 0.1}),
            *(Finish("eos", "stop"), End("terminator" if end else "finish")),
        ]
    alike(ask(name), stream[: stream.index(b'"eos"')]).refused_by(Truncated)


def test_sources_of_a_search() -> None:
    last = delta({}, "stop", citations=["https://a.test", "https://b.test"],
                 search_results=[{"title": "A", "url": "https://a.test"}])  # fmt: skip
    outcome = streamed("perplexity", SAID, last).succeeded()
    assert [e for e in outcome.events if isinstance(e, Citation)] == [
        Citation("https://a.test", "A"),
        Citation("https://b.test"),
    ]


# 26 What is loaded

LOADED = """
import sys, tokenwire
def loaded():
    return [n for n in sys.modules if n.startswith("tokenwire.protocols.formats.")]
print(loaded())
tokenwire.PROVIDERS["groq"]
print([n for n in loaded() if n.endswith("presets")])
"""


def test_no_preset_is_loaded_before_one_is_asked_for() -> None:
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.split("\n")[:2] == [
        "[]",
        "['tokenwire.protocols.formats.openai_chat.presets']",
    ]


def test_a_preset_is_copied_with_changes() -> None:
    with serve("groq") as server:
        mine = PROVIDERS["groq"].replace(name="mine", base_url=server.url)
        assert tokenwire.ask(mine, "Hello", model="m", key="k").text

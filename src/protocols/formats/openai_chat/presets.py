"""The services that speak chat completions, as data.

Each record says only how its service differs from OpenAI's own. There are no facts about single
models here, which age in weeks, and no default model but an alias that its vendor keeps: what else
a model wants goes into `Chat.extra`. docs/providers.md is printed from these records, and lists the
base URLs of further services.
"""

from typing import Any

from ...auth import Header
from ...chat import Effort
from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]

_COMPLETION = "max_completion_tokens"
_LITELLM = "PyPI litellm 1.110.2"
_PI = "npm @earendil-works/pi-ai 1.6.0"
_AZURE = Header("api-key", never_with="authorization")
_ENTRA = Header("authorization", "Bearer ", never_with="api-key")


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""

    def service(name: str, base_url: str, *env: str, **more: Any) -> Provider:
        """A hosted one; `env`: the variables that may hold its key."""
        known: dict[str, Any] = {"any_model": True, "checked": "2026-11-29"}
        return Provider(name=name, dialect=dialect, base_url=base_url, env=env, **{**known, **more})

    def local(name: str, port: int, *env: str, path: str = "/v1", **more: Any) -> Provider:
        """One on the user's own machine."""
        known: dict[str, Any] = {
            "key_optional": True,
            "clocks": Clocks(first_event=300),  # it may load the model first
        }
        return service(name, f"http://localhost:{port}{path}", *env, **{**known, **more})

    openai = service(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        base_env=("OPENAI_BASE_URL",),
        site="https://platform.openai.com",
        working=True,
        max_tokens=_COMPLETION,  # its reasoning models refuse the other name
        effort=_efforts("none", "minimal", "low", "medium", "high", "xhigh"),
        source="https://platform.openai.com/docs/api-reference/chat, PyPI openai 3.57.0",
    )
    azure = openai.replace(
        name="azure",
        base_url="https://{resource}.openai.azure.com/openai/v1",
        params={"resource": "AZURE_RESOURCE_NAME"},
        auth=_AZURE,
        env=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        base_env=("AZURE_OPENAI_ENDPOINT",),
        site="",
        working=None,
        refuses=frozenset(("files",)),
        otel_name="azure.ai.openai",
        source="PyPI openai 3.57.0, lib/azure.py; npm @ai-sdk/azure 4.0.85",
    )
    deepseek = service(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        default_model="deepseek-flash",
        effort=_thinking("none", "low", "high", "max"),
        history="reasoning_content",
        history_required=True,  # else 400
        schema="json_object",
        developer=False,
        refuses=frozenset(("seed",)),
        doubtful=("max_tokens",),  # that it ignores the other name in silence
        source="https://api-docs.deepseek.com",
    )
    openrouter = service(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        default_model="openrouter/auto",
        ask_usage=False,  # it always comes
        effort=_reasoning("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        history="reasoning_details",
        source="https://openrouter.ai/docs, PyPI openrouter 1.3.84",
    )
    moonshot = service(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        effort={"none": _OFF, **_efforts("low", "high", "max")},
        history="reasoning_content",
        history_required=True,
        developer=False,
        refuses=frozenset(("seed", "strict", "store", "image_urls")),
        error_codes={"engine_overloaded_error": "Overloaded"},
        doubtful=("schema",),
        source="https://platform.kimi.ai/docs",
    )
    zai = service(
        "zai",
        "https://api.z.ai/api/paas/v4",
        "ZAI_API_KEY",
        base_env=("ZAI_BASE_URL",),
        effort=_thinking("none", "low", "high", "max"),
        history="reasoning_content",
        schema="json_object",
        developer=False,
        refuses=frozenset(("n", "seed", "parallel", "parallel_tool_calls")),
        error_codes={
            **dict.fromkeys(("1000", "1001", "1002", "1003", "1004"), "AuthenticationFailed"),
            **dict.fromkeys(("1113", "1302", "1303"), "RateLimited"),
            "1301": "ContentFiltered",
        },
        lasting_codes=frozenset(("1113",)),
        source="https://docs.z.ai, PyPI zai-sdk 0.2.3",
    )
    minimax = service(
        "minimax",
        "https://api.minimax.io/v1",
        "MINIMAX_API_KEY",
        max_tokens=_COMPLETION,
        fields={"reasoning_split": True},  # else thoughts stand in the text
        effort={"none": _OFF},
        history="reasoning_details",
        system="first",
        developer=False,
        error_codes={
            "1002": "RateLimited",
            "1004": "AuthenticationFailed",
            "1008": "RateLimited",
            "1026": "ContentFiltered",
            "1039": "RateLimited",
            "2013": "BadRequest",
        },
        lasting_codes=frozenset(("1008",)),
        doubtful=("max_tokens", "system", "error_codes"),
        source="https://platform.minimax.io/docs, https://developersdigest.tech",
    )
    dashscope = service(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        *("DASHSCOPE_API_KEY", "ALIBABA_API_KEY", "QWEN_API_KEY"),
        effort=_switch("enable_thinking"),
        history="reasoning_content",
        developer=False,
        refuses=frozenset(("files",)),
        source="https://www.alibabacloud.com/help/en/model-studio, npm @ai-sdk/alibaba 2.0.58",
    )
    siliconflow = service(
        "siliconflow",
        "https://api.siliconflow.com/v1",
        "SILICONFLOW_API_KEY",
        effort=_switch("enable_thinking"),
        schema="json_object",
        error_codes={"20012": "BadRequest"},
        doubtful=("schema",),
        source="https://docs.siliconflow.com, models.dev",
    )
    vertex = service(
        "vertex-openai",
        "https://{location}-aiplatform.googleapis.com/v1beta1/projects/{project}/locations/"
        "{location}/endpoints/openapi",
        params={"project": "GOOGLE_CLOUD_PROJECT", "location": "GOOGLE_CLOUD_LOCATION"},
        effort=_efforts("none", "minimal", "low", "medium", "high"),
        models_path=None,
        otel_name="gcp.vertex_ai",
        doubtful=("models_path",),
        source="https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai",
    )
    bedrock = service(
        "bedrock-openai",
        "https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
        "AWS_BEARER_TOKEN_BEDROCK",
        params={"region": "AWS_REGION"},
        effort=_efforts("low", "medium", "high"),
        otel_name="aws.bedrock",
        source="https://docs.aws.amazon.com/bedrock/latest/userguide",
    )
    found = (
        openai,
        azure,
        azure.replace(  # a token of Microsoft Entra, which is renewed: give a function as the key
            name="azure-entra", auth=_ENTRA, env=("AZURE_OPENAI_AD_TOKEN",)
        ),
        azure.replace(
            name="azure-dated",
            base_url="https://{resource}.openai.azure.com/openai",
            path="/deployments/{model}/chat/completions",
            query={"api-version": "2025-04-01-preview"},
        ),
        service(
            "groq",
            "https://api.groq.com/openai/v1",
            "GROQ_API_KEY",
            base_env=("GROQ_BASE_URL",),
            max_tokens=_COMPLETION,
            ask_usage=False,  # it comes as `x_groq.usage`
            effort=_efforts("none", "low", "medium", "high"),
            history="reasoning",
            refuses=frozenset(("logprobs", "top_logprobs", "logit_bias", "name", "n")),
            source="PyPI groq 1.7.0",
        ),
        deepseek,
        service(
            "xai",
            "https://api.x.ai/v1",
            "XAI_API_KEY",
            default_model="grok-latest",
            max_tokens=_COMPLETION,
            effort=_efforts("none", "low", "medium", "high"),
            history="reasoning_content",
            refuses=frozenset(("strict", "name")),
            otel_name="x_ai",
            source="https://docs.x.ai",
        ),
        openrouter,
        service(
            "together",
            "https://api.together.ai/v1",
            *("TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
            ask_usage=False,
            effort={"none": {"reasoning": {"enabled": False}}, **_efforts("low", "medium", "high")},
            history="reasoning",
            developer=False,
            refuses=frozenset(("store", "strict")),
            source="https://docs.together.ai, PyPI together 3.1.1",
        ),
        service(
            "fireworks",
            "https://api.fireworks.ai/inference/v1",
            *("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
            ask_usage=False,
            effort=_efforts("none", "low", "medium", "high"),
            history="reasoning_content",
            refuses=frozenset(("strict",)),
            doubtful=("ask_usage", "refuses"),
            source="PyPI fireworks-ai 1.2.30",
        ),
        service(
            "perplexity",
            "https://api.perplexity.ai",
            *("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
            models_path=None,
            ask_usage=False,  # it comes on every chunk
            effort=_efforts("minimal", "low", "medium", "high"),
            developer=False,
            refuses=frozenset(("tools", "tool_choice", "parallel", "seed")),
            source="PyPI perplexityai 0.46.1",
        ),
        service(
            "cerebras",
            "https://api.cerebras.ai/v1",
            "CEREBRAS_API_KEY",
            base_env=("CEREBRAS_BASE_URL",),
            max_tokens=_COMPLETION,
            effort=_efforts("none", "low", "medium", "high"),
            history="reasoning",
            source="PyPI cerebras-cloud-sdk 1.91.0",
        ),
        service(  # one's own NIM is at http://localhost:8000/v1, and takes no key
            "nvidia",
            "https://integrate.api.nvidia.com/v1",
            *("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
            effort={},  # by words in the prompt, or fields that differ by model
            refuses=frozenset(("strict",)),
            source=f"{_LITELLM}, models.dev",
        ),
        moonshot,
        moonshot.replace(name="moonshot-cn", base_url="https://api.moonshot.cn/v1"),
        zai,
        zai.replace(name="zai-coding", base_url="https://api.z.ai/api/coding/paas/v4"),
        zai.replace(
            name="zhipu",
            base_url="https://open.bigmodel.cn/api/paas/v4",
            env=("ZHIPU_API_KEY",),
            base_env=(),
        ),
        minimax,
        minimax.replace(
            name="minimax-cn",
            base_url="https://api.minimaxi.com/v1",
            env=("MINIMAX_CN_API_KEY", "MINIMAX_API_KEY"),
        ),
        dashscope,
        dashscope.replace(
            name="dashscope-cn", base_url="https://dashscope.aliyuncs.com/compatible-mode/v1"
        ),
        dashscope.replace(
            name="dashscope-us", base_url="https://dashscope-us.aliyuncs.com/compatible-mode/v1"
        ),
        siliconflow,
        siliconflow.replace(
            name="siliconflow-cn",
            base_url="https://api.siliconflow.cn/v1",
            env=("SILICONFLOW_CN_API_KEY", "SILICONFLOW_API_KEY"),
        ),
        service(  # a model may name the provider that runs it: `org/name:provider`
            "huggingface",
            "https://router.huggingface.co/v1",
            *("HF_TOKEN", "HUGGINGFACE_API_KEY"),
            developer=False,
            source="PyPI huggingface_hub 2.4.0",
        ),
        service(
            "cloudflare",
            "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1",
            *("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"),
            params={"account": "CLOUDFLARE_ACCOUNT_ID"},
            models_path=None,  # 405
            refuses=frozenset(("strict",)),
            error_codes={"10000": "AuthenticationFailed", "7003": "BadRequest"},
            source=_PI,
        ),
        service(  # the key is the gateway's; that of the vendor is a header `authorization`
            "cloudflare-gateway",
            "https://gateway.ai.cloudflare.com/v1/{account}/{gateway}/compat",
            "CLOUDFLARE_API_TOKEN",
            params={"account": "CLOUDFLARE_ACCOUNT_ID", "gateway": "CLOUDFLARE_GATEWAY_ID"},
            auth=Header("cf-aig-authorization", "Bearer "),
            source=f"{_PI}, models.dev",
        ),
        service(
            "databricks",
            "https://{host}/serving-endpoints",
            "DATABRICKS_TOKEN",
            params={"host": "DATABRICKS_HOST"},
            models_path=None,
            ask_usage=False,  # it comes on every chunk
            error_codes={"REQUEST_LIMIT_EXCEEDED": "RateLimited"},
            doubtful=("models_path", "error_codes"),
            source=f"recordings, {_LITELLM}",
        ),
        service(
            "snowflake",
            "https://{account}.snowflakecomputing.com/api/v2/cortex/v1",
            *("SNOWFLAKE_TOKEN", "SNOWFLAKE_CORTEX_PAT", "SNOWFLAKE_JWT"),
            params={"account": "SNOWFLAKE_ACCOUNT"},
            # For another kind of token give KEYPAIR_JWT or OAUTH.
            headers={"x-snowflake-authorization-token-type": "PROGRAMMATIC_ACCESS_TOKEN"},
            max_tokens=_COMPLETION,
            effort=_reasoning("low", "medium", "high"),
            history="reasoning_details",
            refuses=frozenset(("strict",)),
            source=f"{_LITELLM}, models.dev",
        ),
        service(
            "sambanova",
            "https://api.sambanova.ai/v1",
            "SAMBANOVA_API_KEY",
            effort=_efforts("low", "medium", "high"),
            source="PyPI sambanova 1.13.0",
        ),
        service(
            "novita",
            "https://api.novita.ai/openai",
            "NOVITA_API_KEY",
            effort=_switch("enable_thinking"),
            history="reasoning_content",
            source=f"models.dev, {_LITELLM}",
        ),
        service(
            "deepinfra",
            "https://api.deepinfra.com/v1/openai",
            "DEEPINFRA_API_KEY",
            history="reasoning_content",
            refuses=frozenset(("forced_tools",)),
            source=f"npm @ai-sdk/deepinfra 3.0.57, {_LITELLM}",
        ),
        service(
            "nebius",
            "https://api.tokenfactory.nebius.com/v1",
            "NEBIUS_API_KEY",
            history="reasoning_content",
            developer=False,
            source="PyPI pydantic-ai-slim 2.68.0, charmbracelet/catwalk 64dad50",
        ),
        service(
            "baseten",
            "https://inference.baseten.co/v1",
            "BASETEN_API_KEY",
            effort={
                "none": {"chat_template_args": {"enable_thinking": False}},
                "high": {"chat_template_args": {"enable_thinking": True}},
            },
            history="reasoning_content",
            developer=False,
            source="npm @ai-sdk/baseten 2.1.26, charmbracelet/catwalk 64dad50",
        ),
        service(
            "vercel",
            "https://ai-gateway.vercel.sh/v1",
            *("AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN", "VERCEL_AI_GATEWAY_API_KEY"),
            effort=_reasoning("none", "minimal", "low", "medium", "high", "xhigh"),
            history="reasoning_details",
            source=f"recordings, PyPI pydantic-ai-slim 2.68.0, {_PI}",
        ),
        service(
            "poe",
            "https://api.poe.com/v1",
            "POE_API_KEY",
            effort={},
            schema="",
            doubtful=("schema",),
            source="https://creator.poe.com/docs",
        ),
        service(
            "upstage",
            "https://api.upstage.ai/v1",
            "UPSTAGE_API_KEY",
            effort=_efforts("low", "medium", "high"),
            doubtful=("schema",),
            source="https://console.upstage.ai/docs, models.dev",
        ),
        service(
            "ai21",
            "https://api.ai21.com/studio/v1",
            "AI21_API_KEY",
            effort={},
            schema="json_object",
            source="PyPI ai21 4.3.0",
        ),
        service(
            "reka",
            "https://api.reka.ai/v1",
            "REKA_API_KEY",
            base_env=("REKA_API_BASE",),
            effort={},
            source="https://docs.reka.ai",
        ),
        service(
            "gemini-openai",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            *("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            effort=_efforts("none", "minimal", "low", "medium", "high"),
            otel_name="gcp.gemini",
            source="https://ai.google.dev/gemini-api/docs/openai",
        ),
        vertex,
        vertex.replace(
            name="vertex-openai-global",
            base_url="https://aiplatform.googleapis.com/v1beta1/projects/{project}/locations/"
            "global/endpoints/openapi",
            params={"project": "GOOGLE_CLOUD_PROJECT"},
        ),
        bedrock,
        bedrock.replace(  # some of its models are below `/openai/v1`
            name="bedrock-mantle",
            base_url="https://bedrock-mantle.{region}.api.aws/v1",
            source=f"{_LITELLM}, recordings",
        ),
        service(
            "cohere-openai",
            "https://api.cohere.ai/compatibility/v1",
            *("CO_API_KEY", "COHERE_API_KEY"),
            ask_usage=False,
            effort=_efforts("none", "high"),
            refuses=frozenset(
                (
                    *("n", "store", "metadata", "logit_bias", "logprobs", "top_logprobs"),
                    *("parallel", "parallel_tool_calls", "prediction", "audio", "service_tier"),
                )
            ),
            otel_name="cohere",
            doubtful=("ask_usage",),
            source="https://docs.cohere.com/docs/compatibility-api",
        ),
        local(
            "ollama-openai",
            11434,
            "OLLAMA_API_KEY",
            base_env=("OLLAMA_HOST",),
            effort=_efforts("none", "low", "medium", "high", "max"),
            refuses=frozenset(("strict",)),
            source="https://github.com/ollama/ollama, docs/api/openai-compatibility.mdx",
        ),
        local(
            "lmstudio",
            1234,
            *("LMSTUDIO_API_KEY", "LM_API_TOKEN"),
            source="https://lmstudio.ai/docs/developer/openai-compat",
        ),
        local(
            "llamacpp",
            8080,
            "LLAMA_API_KEY",
            doubtful=("env",),
            source="https://github.com/ggml-org/llama.cpp, tools/server/README.md",
        ),
        local(
            "vllm",
            8000,
            "VLLM_API_KEY",
            base_env=("VLLM_BASE_URL",),
            source="https://github.com/vllm-project/vllm, vllm/entrypoints/openai",
        ),
        local("sglang", 30000, source="https://github.com/sgl-project/sglang"),
        local(
            "tgi",
            3000,
            "HF_TOKEN",
            schema="json_object",
            source="https://github.com/huggingface/text-generation-inference db931fc",
        ),
        local("localai", 8080, "LOCALAI_API_KEY", source="https://github.com/mudler/LocalAI"),
        local(
            "koboldcpp",
            5001,
            ask_usage=False,
            doubtful=("ask_usage",),
            source="https://github.com/LostRuins/koboldcpp 2da346a, of 2024",
        ),
        local(
            "textgen",
            5000,
            "OPENEDAI_API_KEY",
            doubtful=("env",),
            source="https://github.com/oobabooga/text-generation-webui 1dcde41",
        ),
        local("jan", 1337, key_optional=False, source="https://jan.ai/docs/desktop/api-server"),
        local("docker", 12434, path="/engines/v1", source="https://github.com/docker/model-runner"),
        local(
            "litellm",
            4000,
            "LITELLM_PROXY_API_KEY",
            path="",
            base_env=("LITELLM_PROXY_API_BASE",),
            source="recordings of its proxy",
        ),
        Provider(  # chat.ylokh.xyz, which is shut down
            name="ylokh",
            dialect=dialect,
            base_url="https://chatapi.ylokh.xyz/v1",
            site="https://chat.ylokh.xyz",
            working=False,
            models=("gpt-3.5-turbo",),
            default_model="gpt-3.5-turbo",
            any_model=True,
            refuses=frozenset(("images", "files", "reasoning")),
            clocks=Clocks(total=120),
            ask_usage=False,  # its documentation does not know `stream_options`
            headers={"origin": "https://chat.ylokh.xyz", "referer": "https://chat.ylokh.xyz/"},
            fields={
                "temperature": 1,
                "presence_penalty": 0,
                "top_p": 1,
                "frequency_penalty": 0,
                "allow_fallback": True,
                "stream": True,
            },
            checked="2026-11-29",
            source="its documentation, which is offline",
        ),
    )
    return {each.name: each for each in found}


_Patches = dict[Effort, dict[str, Any]]
_OFF = {"thinking": {"type": "disabled"}}


def _efforts(*levels: Effort) -> _Patches:
    """The words of `reasoning_effort`."""
    return {level: {"reasoning_effort": level} for level in levels}


def _reasoning(*levels: Effort) -> _Patches:
    return {level: {"reasoning": {"effort": level}} for level in levels}


def _thinking(*levels: Effort) -> _Patches:
    """A switch, and how much."""
    on = {"thinking": {"type": "enabled"}}
    return {e: _OFF if e == "none" else {**on, "reasoning_effort": e} for e in levels}


def _switch(field: str) -> _Patches:
    """A switch alone: `high` turns it on."""
    return {"none": {field: False}, "high": {field: True}}

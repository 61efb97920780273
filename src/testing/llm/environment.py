"""The environment variables by which the SDKs find the test's server, and no other."""

from collections.abc import Mapping

__all__ = ["KEY", "environment", "path_of"]

KEY = "tokenwire"
"""The key that every client gets: with it nobody can spend money."""

_URLS = {
    "OPENAI_BASE_URL": "/v1",
    "OPENAI_API_BASE": "/v1",  # LlamaIndex, litellm
    "AZURE_OPENAI_ENDPOINT": "",
    "ANTHROPIC_BASE_URL": "",
    "ANTHROPIC_API_URL": "",  # LangChain
    "ANTHROPIC_API_BASE": "",  # litellm
    "GOOGLE_GEMINI_BASE_URL": "",
    "OLLAMA_HOST": "",
    "OLLAMA_API_BASE": "",  # litellm
    "OLLAMA_BASE_URL": "/v1",  # pydantic-ai
    "CO_API_URL": "",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "",
    "CEREBRAS_BASE_URL": "/v1",
    "GROQ_BASE_URL": "",  # its SDK adds the rest
    "LITELLM_PROXY_API_BASE": "/v1",
    "REKA_API_BASE": "/v1",
    "VLLM_BASE_URL": "/v1",
    "ZAI_BASE_URL": "/v1",
}

_KEYS = """
    AI21_API_KEY AI_GATEWAY_API_KEY ALIBABA_API_KEY ANTHROPIC_API_KEY ANTHROPIC_FOUNDRY_API_KEY
    AZURE_API_KEY AZURE_OPENAI_API_KEY BASETEN_API_KEY CEREBRAS_API_KEY CLOUDFLARE_API_KEY
    CLOUDFLARE_API_TOKEN COHERE_API_KEY CO_API_KEY DASHSCOPE_API_KEY DATABRICKS_TOKEN
    DEEPINFRA_API_KEY DEEPSEEK_API_KEY FIREWORKS_AI_API_KEY FIREWORKS_API_KEY GEMINI_API_KEY
    GOOGLE_API_KEY GROQ_API_KEY HF_TOKEN HUGGINGFACE_API_KEY LITELLM_PROXY_API_KEY LLAMA_API_KEY
    LMSTUDIO_API_KEY LM_API_TOKEN LOCALAI_API_KEY MINIMAX_API_KEY MINIMAX_CN_API_KEY
    MISTRAL_API_KEY MOONSHOT_API_KEY NEBIUS_API_KEY NOVITA_API_KEY NVIDIA_API_KEY
    NVIDIA_NIM_API_KEY OLLAMA_API_KEY OPENAI_API_KEY OPENEDAI_API_KEY OPENROUTER_API_KEY
    PERPLEXITYAI_API_KEY PERPLEXITY_API_KEY POE_API_KEY QWEN_API_KEY REKA_API_KEY
    SAMBANOVA_API_KEY SILICONFLOW_API_KEY SILICONFLOW_CN_API_KEY SNOWFLAKE_CORTEX_PAT
    SNOWFLAKE_JWT SNOWFLAKE_TOKEN TOGETHER_AI_API_KEY TOGETHER_API_KEY UPSTAGE_API_KEY
    VERCEL_AI_GATEWAY_API_KEY VERCEL_OIDC_TOKEN VLLM_API_KEY XAI_API_KEY ZAI_API_KEY
    ZHIPU_API_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"""

_SET = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "OPENAI_API_VERSION": "2024-10-21",
}

_UNSET = """
    ANTHROPIC_AUTH_TOKEN ANTHROPIC_FOUNDRY_BASE_URL ANTHROPIC_FOUNDRY_RESOURCE
    AWS_BEARER_TOKEN_BEDROCK AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL AWS_PROFILE AWS_SESSION_TOKEN
    AZURE_OPENAI_AD_TOKEN CLAUDE_CODE_USE_BEDROCK GOOGLE_GENAI_USE_ENTERPRISE
    GOOGLE_GENAI_USE_VERTEXAI"""
"""Variables that lead clients elsewhere, or give them a second key."""


def path_of(variable: str) -> str:
    """The path of the address that a variable gets."""
    return _URLS.get(variable, "")


_LOCAL = ("127.0.0.1", "localhost")


def environment(url: str, before: Mapping[str, str]) -> dict[str, str | None]:
    """The variables for clients of the server at `url`; None: it must not be set. `before` is the
    environment as it was: a proxy that it names is not for this machine's own addresses."""
    found: dict[str, str | None] = {name: url + path for name, path in _URLS.items()}
    found |= dict.fromkeys(_KEYS.split(), KEY)
    found |= _SET
    found |= dict.fromkeys(_UNSET.split())
    for name in ("NO_PROXY", "no_proxy"):
        told = [one for one in before.get(name, "").split(",") if one]
        found[name] = ",".join([*told, *(one for one in _LOCAL if one not in told)])
    return found

"""Mistral's chat completions: those of OpenAI, in another strict schema.

The client half adds thoughts and references as parts of the content, ids of calls with nine
characters, and the mark of an answer's beginning (`prefix`). What the server half can't say:
`Image`, `Citation` (a reference is a native form), `LogProbs`, `Unrecognized` in a whole answer or
with a place. A refusal is written as text. A tool call is written when it ends, and a usage always,
with zeros for what is not known. Sources: mistralai/platform-docs-public, openapi.yaml, and PyPI
mistralai 3.7.0.
"""

from ...auth import Bearer
from ...dialect import Endpoint, words
from ...events import Citation, LogProbs
from ...provider import Provider
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from ..openai_chat import OpenAIChat
from ..openai_chat.client import PATH
from .client import ERRORS, MistralStep
from .server import FINISH, MistralResponder

__all__ = ["PROVIDERS", "Mistral"]


class Mistral(OpenAIChat):
    """Mistral's chat completions."""

    name = "mistral"
    takes = OpenAIChat.takes - {"name", "custom", "cache"}
    says = OpenAIChat.says - {Citation, LogProbs}
    knows = words(
        "guardrails metadata min_tokens prediction prompt_cache_key prompt_mode random_seed "
        "reasoning_effort repetition_penalty response_format safe_prompt service_tier top_logprobs"
    )
    hints = words("metadata prompt_cache_key service_tier")
    finish = FINISH
    errors = ERRORS
    auth = (Bearer(),)
    endpoints = (
        Endpoint("chat", "POST", PATH),
        Endpoint("models", "GET", "/models"),
        Endpoint("model", "GET", "/models/{+model}"),
    )

    def ask(self, question: Question) -> Step:
        return MistralStep(question)

    def respond(self, service: Service) -> Responder:
        return MistralResponder(service)

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the mistralai SDK, in Python",
                *(["import os"] if "os." in key else []),
                "from mistralai.client import Mistral",
                f"client = Mistral(server_url={url.removesuffix('/v1')!r}, api_key={key})",
                f"for event in client.chat.stream(model={model!r}, "
                'messages=[{"role": "user", "content": "Hello"}]):',
                '    print(event.data.choices[0].delta.content or "", end="")',
            ]
        )


PROVIDERS = {
    "mistral": Provider(
        name="mistral",
        dialect=Mistral(),
        base_url="https://api.mistral.ai/v1",
        site="https://console.mistral.ai",
        any_model=True,
        models=("mistral-large-latest", "mistral-medium-latest", "mistral-small-latest"),
        working=True,
        env=("MISTRAL_API_KEY",),
        ask_usage=False,  # it always comes, and the field is refused
        developer=False,
        otel_name="mistral_ai",
        checked="2026-11-29",
        source="https://github.com/mistralai/platform-docs-public, openapi.yaml",
    )
}
"""The services that speak it, as data."""

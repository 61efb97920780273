"""Chat completions: OpenAI's, and those of all services that speak like it.

What the server half can't say: `Image`; `Unrecognized` with a place, and in a whole answer any; the
`source` of a citation. A thought is written as `reasoning_content`, which OpenAI itself never
sends. Ids of answers and calls are made up where the answer has none. Parts of one choice are told
apart by their kind only.
"""

from typing import ClassVar, get_args

from ...auth import Auth, Bearer, Header
from ...chat import Chat
from ...dialect import Dialect, Endpoint, words
from ...events import Event, Image, Unrecognized
from ...provider import Provider
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from .client import PATH, OpenAIStep
from .presets import presets
from .server import FINISH, OpenAIResponder
from .wire import IGNORES

__all__ = ["PROVIDERS", "OpenAIChat"]


class OpenAIChat(Dialect):
    """Chat completions."""

    name = "openai_chat"
    takes = words(
        "temperature top_p top_k max_tokens stop n seed presence_penalty frequency_penalty "
        "logprobs tools tool_choice parallel effort schema stream history empty any_start images "
        "detail files name extra cache strict custom"
    )
    efforts = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))
    says = frozenset(get_args(Event)) - {Image}
    interleaves = True
    knows = words(
        "audio function_call functions logit_bias max_completion_tokens metadata modalities "
        "prediction prompt_cache_key prompt_cache_options prompt_cache_retention "
        "reasoning_effort response_format safety_identifier service_tier store "
        "stream_options top_logprobs user verbosity web_search_options"
    )
    hints = words(
        "stream_options store metadata user safety_identifier prompt_cache_key "
        "prompt_cache_retention prompt_cache_options service_tier verbosity"
    )
    finish = FINISH
    ignores = IGNORES
    auth: ClassVar[tuple[Auth, ...]] = (Bearer(), Header("api-key"))  # the second is Azure's
    endpoints: ClassVar[tuple[Endpoint, ...]] = (
        Endpoint("chat", "POST", PATH),
        Endpoint("chat", "POST", f"/deployments/{{model}}{PATH}"),  # Azure's
        Endpoint("models", "GET", "/models"),
        Endpoint("model", "GET", "/models/{+model}"),
    )
    ping = b": ping\n\n"

    def ask(self, question: Question) -> Step:
        return OpenAIStep(question)

    def respond(self, service: Service) -> Responder:
        return OpenAIResponder(service)

    def says_to(self, chat: Chat) -> frozenset[type[Event]]:
        return self.says if chat.stream else self.says - {Unrecognized}

    def takes_of(self, provider: Provider) -> frozenset[str]:
        lacks = {"cache"} if not provider.cache_marks else set[str]()
        lacks |= {"schema"} if not provider.schema else set[str]()
        return super().takes_of(provider) - lacks

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the openai SDK, in Python",
                *(["import os"] if "os." in key else []),
                "import openai",
                f"client = openai.OpenAI(base_url={url!r}, api_key={key})",
                f"for chunk in client.chat.completions.create(model={model!r}, "
                'messages=[{"role": "user", "content": "Hello"}], stream=True):',
                "    if chunk.choices:",
                '        print(chunk.choices[0].delta.content or "", end="")',
            ]
        )


PROVIDERS = presets(OpenAIChat())

"""Anthropic Messages: Claude's, on its own platform and others, and services that speak like it.

What the server half can't say: `Image`, `LogProbs`, `Unrecognized`, custom calls, choices other
than the first; the `start` and `source` of a citation. In a stream it has written the beginning of
a block when its native form comes: of that it says the signature and the citations only, and of a
block that is over nothing. It writes one block at a time: what would interleave with a tool call
waits for its end. A thought without a signature of the service gets one that means none.
"""

from typing import ClassVar

from ...auth import Auth, Bearer, Header
from ...blocks import BLOCK_EVENTS
from ...dialect import Dialect, Endpoint, words
from ...events import Citation, End, Finish, FinishKind, Refusal, Start, Usage
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from .client import ERRORS, PATH, AnthropicStep
from .presets import presets
from .server import PING, AnthropicResponder

__all__ = ["PROVIDERS", "Anthropic"]

_FINISH: dict[str, FinishKind] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "refusal": "content_filter",
    "compaction": "stop",
    "pause_turn": "",  # the turn goes on: ask again with the answer
}


class Anthropic(Dialect):
    """Anthropic Messages."""

    name = "anthropic"
    takes = words(
        "temperature top_p top_k max_tokens stop tools tool_choice parallel effort schema "
        "stream history images files cache strict"
    )
    efforts = frozenset(("none", "low", "medium", "high", "xhigh", "max"))
    says = BLOCK_EVENTS | {Start, Citation, Refusal, Usage, Finish, End}
    knows = words(
        "cache_control compaction container context_management diagnostics fallbacks "
        "inference_geo mcp_servers metadata output_config output_format service_tier speed "
        "thinking thread thinking.display tools.eager_input_streaming tools.defer_loading"
    )
    hints = words(
        "metadata context_management thinking.display speed service_tier inference_geo "
        "diagnostics tools.eager_input_streaming tools.defer_loading"
    )
    # Every service knows this version; later ones take fewer options.
    headers = {"anthropic-version": "2023-06-01"}
    errors = ERRORS
    auth: ClassVar[tuple[Auth, ...]] = (Header("x-api-key"), Bearer())
    finish = _FINISH
    stop_sequence = "stop_sequence"
    endpoints: ClassVar[tuple[Endpoint, ...]] = (
        Endpoint("chat", "POST", PATH),
        # Without /v1, for clients that expect it in the base URL.
        Endpoint("chat", "POST", "/messages"),
        Endpoint("count", "POST", "/messages/count_tokens"),
        Endpoint("models", "GET", "/models"),
        Endpoint("model", "GET", "/models/{+model}"),
        Endpoint("health", "GET", "/api/hello"),
    )
    counts = f"{PATH}/count_tokens"
    ping = PING

    def ask(self, question: Question) -> Step:
        return AnthropicStep(question)

    def respond(self, service: Service) -> Responder:
        return AnthropicResponder(service)

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the anthropic SDK, in Python",
                *(["import os"] if "os." in key else []),
                "import anthropic",
                f"client = anthropic.Anthropic(base_url={url!r}, api_key={key})",
                f"with client.messages.stream(model={model!r}, max_tokens=1024, "
                'messages=[{"role": "user", "content": "Hello"}]) as stream:',
                "    for text in stream.text_stream:",
                '        print(text, end="")',
            ]
        )


PROVIDERS = presets(Anthropic())

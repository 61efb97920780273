"""OpenAI Responses: OpenAI's, and that of services that speak like it.

What the server half can't say: `Unrecognized`, choices other than the first, log probabilities of
anything but the text, finish reasons of other formats (their kind is told), the `quote` of a
citation. In a stream an item has begun when its native form comes: it keeps the id that it began
with. It writes one item at a time: what would interleave with a tool call waits for its end. It
keeps nothing: what refers to an earlier answer (`previous_response_id`, `conversation`,
`background`) is refused.

ChatGPT's own back end, which Codex asks, takes less: a provider with its base URL, the headers of
the login, and `fields={"store": False, "instructions": "..."}` asks it, with `stream=True` and
`developer` instead of `system`.
"""

from ...auth import Bearer, Header
from ...blocks import BLOCK_EVENTS
from ...dialect import Dialect, Endpoint, words
from ...events import Citation, End, Finish, FinishKind, Image, LogProbs, Refusal, Start, Usage
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from ...toolkit.http import Request
from .client import ERRORS, PATH, KeptStep, ResponsesStep
from .presets import presets
from .server import ResponsesResponder

__all__ = ["PROVIDERS", "OpenAIResponses"]

_FINISH: dict[str, FinishKind] = {
    "completed": "stop",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "max_messages": "",
    "steered": "",
    "failed": "error",
    "cancelled": "error",
}


class OpenAIResponses(Dialect):
    """OpenAI Responses."""

    name = "openai_responses"
    takes = words(
        "temperature top_p max_tokens logprobs tools tool_choice parallel effort schema "
        "stream history any_start images detail files strict custom"
    )
    efforts = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))
    half_calls = True
    says = BLOCK_EVENTS | {Start, Citation, Refusal, Image, LogProbs, Usage, Finish, End}
    knows = words(
        "background client_metadata context_management conversation include instructions "
        "max_tool_calls metadata moderation previous_response_id prompt prompt_cache_key "
        "prompt_cache_options prompt_cache_retention reasoning reasoning.summary "
        "reasoning.context reasoning.mode safety_identifier service_tier store stream_options "
        "text text.format text.verbosity top_logprobs truncation user"
    )
    hints = words(
        "client_metadata include metadata prompt_cache_key prompt_cache_options "
        "prompt_cache_retention reasoning.context reasoning.summary safety_identifier "
        "service_tier store stream_options text.verbosity truncation user"
    )
    errors = ERRORS
    auth = (Bearer(), Header("api-key"))  # the second is Azure's
    evidence = "terminator"
    finish = _FINISH
    endpoints = (
        Endpoint("chat", "POST", PATH),
        Endpoint("count", "POST", "/responses/input_tokens"),
        Endpoint("kept", "GET", f"{PATH}/{{id}}"),
        Endpoint("kept", "DELETE", f"{PATH}/{{id}}"),
        Endpoint("kept", "POST", f"{PATH}/{{id}}/cancel"),
        Endpoint("kept", "GET", f"{PATH}/{{id}}/input_items"),
        Endpoint("socket", "GET", PATH),
        Endpoint("models", "GET", "/models"),
        Endpoint("model", "GET", "/models/{+model}"),
    )
    ping = b": ping\n\n"

    def ask(self, question: Question) -> Step:
        return ResponsesStep(question)

    def look_up(self, question: Question, request: Request) -> Step:
        return KeptStep(question, request)

    def respond(self, service: Service) -> Responder:
        return ResponsesResponder(service)

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the openai SDK, in Python",
                *(["import os"] if "os." in key else []),
                "import openai",
                f"client = openai.OpenAI(base_url={url!r}, api_key={key})",
                f"for event in client.responses.create(model={model!r}, "
                'input="Hello", stream=True):',
                '    if event.type == "response.output_text.delta":',
                '        print(event.delta, end="")',
            ]
        )


PROVIDERS = presets(OpenAIResponses())

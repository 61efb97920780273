"""Cohere's chat, version 2.

What the server half can't say: `Image`, custom calls, choices other than the first, pieces that are
not understood. A refusal is written as text; the model, the `detail` of a finish that is no error,
and what is beside a token's log probability have no place. Citations are written at the end, as
services write them that cite accurately. Where there are tools, a thought is held back until it is
over, as it may be the plan of a call, which is written otherwise (`PLAN` bounds that).
"""

from ...blocks import BLOCK_EVENTS
from ...chat import Chat
from ...dialect import Dialect, Endpoint, words
from ...events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
    LogProbs,
    Refusal,
    Start,
    Unrecognized,
    Usage,
)
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from .client import ERRORS, PATH, CohereStep
from .presets import presets
from .server import PING, CohereResponder

__all__ = ["PROVIDERS", "Cohere"]

_FINISH: dict[str, FinishKind] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_call",
    "ERROR": "error",
    "TIMEOUT": "error",
    # Of version 1:
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "length",
    "USER_CANCEL": "error",
}


class Cohere(Dialect):
    """Cohere's chat, version 2."""

    name = "cohere"
    takes = words(
        "temperature top_p top_k max_tokens stop seed frequency_penalty presence_penalty "
        "chosen_logprobs tools tool_choice effort schema stream history empty any_start images "
        "detail strict"
    )
    efforts = frozenset(("none", "high"))
    says = BLOCK_EVENTS | {
        *(Start, Refusal, Citation, LogProbs, Usage, Finish, Unrecognized, End),
    }
    knows = words(
        "documents citation_options safety_mode priority response_format strict_tools thinking "
        "thinking.token_budget raw_prompting"
    )
    hints = words("priority")
    errors = ERRORS
    evidence = "terminator"
    finish = _FINISH
    stop_sequence = "STOP_SEQUENCE"
    endpoints = (
        Endpoint("chat", "POST", PATH),
        Endpoint("models", "GET", "/v1/models"),
        Endpoint("model", "GET", "/v1/models/{model}"),
    )
    ping = PING

    def ask(self, question: Question) -> Step:
        return CohereStep(question)

    def respond(self, service: Service) -> Responder:
        return CohereResponder(service)

    def says_to(self, chat: Chat) -> frozenset[type[Event]]:
        return self.says if chat.stream else self.says - {Unrecognized}

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the cohere SDK, in Python",
                *(["import os"] if "os." in key else []),
                "import cohere",
                f"client = cohere.ClientV2(base_url={url!r}, api_key={key})",
                f"for event in client.chat_stream(model={model!r}, "
                'messages=[{"role": "user", "content": "Hello"}]):',
                '    if event.type == "content-delta":',
                '        print(event.delta.message.content.text, end="")',
            ]
        )


PROVIDERS = presets(Cohere())

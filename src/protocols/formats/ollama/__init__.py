"""Ollama's own format: of its server on one's own machine, and of its cloud.

What the server half can't say: `Image`, `Citation`, `Native`, custom calls, calls that are not
complete, choices other than the first. A refusal is written as text; the id of the answer, the
`detail` of a finish and what log probabilities are `of` have no place. A call is written when it
ends. `/api/generate` is answered too, and asked never: it is a chat of one message.
"""

from ...blocks import BLOCK_EVENTS
from ...chat import Chat
from ...dialect import Dialect, Endpoint, words
from ...events import (
    End,
    Event,
    Finish,
    FinishKind,
    LogProbs,
    Native,
    Refusal,
    Start,
    Unrecognized,
    Usage,
)
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from .client import ERRORS, PATH, OllamaStep, WholeOllamaStep
from .presets import presets
from .server import GENERATE, OllamaResponder

__all__ = ["PROVIDERS", "Ollama"]

_FINISH: dict[str, FinishKind] = {
    "stop": "stop",
    "length": "length",
    "load": "stop",  # no text: the model was loaded, or unloaded
    "unload": "stop",
}


class Ollama(Dialect):
    """Ollama's own format."""

    name = "ollama"
    takes = words(
        "temperature top_p top_k max_tokens stop seed presence_penalty frequency_penalty logprobs "
        "tools tools_off effort schema stream history empty any_start image_bytes"
    )
    efforts = frozenset(("none", "low", "medium", "high", "max"))
    says = (BLOCK_EVENTS - {Native}) | {Start, Refusal, LogProbs, Usage, Finish, Unrecognized, End}
    whole_calls = True
    knows = words(
        "keep_alive truncate shift think format options top_logprobs options.num_ctx "
        "options.num_keep options.num_batch options.num_gpu options.main_gpu options.use_mmap "
        "options.num_thread options.draft_num_predict options.repeat_penalty "
        "options.repeat_last_n options.min_p options.typical_p suffix system template context raw"
    )
    hints = words(
        "keep_alive options.num_batch options.num_gpu options.main_gpu options.use_mmap "
        "options.num_thread options.draft_num_predict"
    )
    errors = ERRORS
    evidence = "terminator"
    finish = _FINISH
    endpoints = (
        Endpoint("chat", "POST", PATH),
        Endpoint("chat", "POST", GENERATE),
        Endpoint("models", "GET", "/api/tags"),
        Endpoint("model", "POST", "/api/show"),
        Endpoint("running", "GET", "/api/ps"),
        Endpoint("version", "GET", "/api/version"),
        Endpoint("pull", "POST", "/api/pull"),
    )

    def ask(self, question: Question) -> Step:
        step = OllamaStep if question.chat.stream else WholeOllamaStep
        return step(question)

    def respond(self, service: Service) -> Responder:
        return OllamaResponder(service)

    def says_to(self, chat: Chat) -> frozenset[type[Event]]:
        return self.says if chat.stream else self.says - {Unrecognized}

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the ollama client, in Python",
                *(["import os"] if "os." in key else []),
                "import ollama",
                f"client = ollama.Client({url!r}, headers={{'authorization': 'Bearer ' + {key}}})",
                f"for part in client.chat({model!r}, stream=True, "
                "messages=[{'role': 'user', 'content': 'Hello'}]):",
                '    print(part.message.content, end="")',
            ]
        )


PROVIDERS = presets(Ollama())

"""Gemini: generateContent and streamGenerateContent, of the Gemini API and Vertex AI.

What the server half can't say: a call that is not complete, or `custom`; the address and the prompt
of an `Image`, and one that is no `image/*` as such; the quote and the source of a `Citation`; the
bytes of a token, and log probabilities of anything but the content. A `Refusal` is text, and a call
is written when it ends. A stream without `alt=sse` has no `Unrecognized`.
"""

from ...auth import Bearer, Header, Query
from ...dialect import Dialect, Endpoint, words
from ...events import (
    Citation,
    End,
    Finish,
    FinishKind,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from .client import COUNT, ERRORS, STREAM, WHOLE, GeminiStep
from .presets import presets
from .server import GeminiResponder

__all__ = ["PROVIDERS", "Gemini"]

_FINISH: dict[str, FinishKind] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # the next request goes on, with the token that came
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "MALFORMED_RESPONSE": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "NO_IMAGE": "error",
    "IMAGE_OTHER": "error",
    "LANGUAGE": "error",
    "PUP_LIMITED_DISABLED": "error",
    "OTHER": "",
    "FINISH_REASON_UNSPECIFIED": "",
}


class Gemini(Dialect):
    """generateContent and streamGenerateContent."""

    name = "gemini"
    takes = words(
        "temperature top_p top_k max_tokens stop tools tool_choice n seed presence_penalty "
        "frequency_penalty logprobs effort schema stream history any_start system_first images "
        "files named"
    )
    efforts = frozenset(("none", "minimal", "low", "medium", "high"))
    says = frozenset(
        (
            *(Start, Text, Reasoning, Refusal, Native, ToolCallStart, ToolCallDelta, ToolCallEnd),
            *(Image, Citation, LogProbs, Usage, Finish, Unrecognized, End),
        )
    )
    whole_calls = True
    knows = words(
        "safetySettings cachedContent serviceTier store continuationToken labels "
        "modelArmorConfig toolConfig generationConfig generationConfig.responseModalities "
        "generationConfig.speechConfig generationConfig.mediaResolution "
        "generationConfig.imageConfig generationConfig.responseSchema "
        "generationConfig.responseMimeType generationConfig.thinkingConfig"
    )
    hints = words("labels serviceTier store")
    errors = ERRORS
    auth = (Header("x-goog-api-key"), Query("key"), Bearer())
    finish = _FINISH
    endpoints = (
        Endpoint("chat", "POST", f"/models/{{+model}}{STREAM}"),
        Endpoint("chat", "POST", f"/models/{{+model}}{WHOLE}"),
        Endpoint("chat", "POST", f"/tunedModels/{{model}}{STREAM}"),
        Endpoint("chat", "POST", f"/tunedModels/{{model}}{WHOLE}"),
        Endpoint("chat", "POST", f"/endpoints/{{model}}{STREAM}"),  # tuned ones of Vertex AI
        Endpoint("chat", "POST", f"/endpoints/{{model}}{WHOLE}"),
        Endpoint("count", "POST", f"/models/{{+model}}{COUNT}"),
        Endpoint("models", "GET", "/models"),
        Endpoint("model", "GET", "/models/{+model}"),
        # A method that is not here: it is missing, not forbidden.
        Endpoint("unknown", "POST", "/models/{+model}"),
    )

    def ask(self, question: Question) -> Step:
        return GeminiStep(question)

    def respond(self, service: Service) -> Responder:
        return GeminiResponder(service)

    def sdk_example(self, url: str, model: str, key: str) -> str:
        base = url.removesuffix("/v1beta")  # the SDK adds a version
        return "\n".join(
            [
                "# the google-genai SDK, in Python",
                *(["import os"] if "os." in key else []),
                "from google import genai",
                f"client = genai.Client(api_key={key}, http_options={{'base_url': {base!r}}})",
                f"for chunk in client.models.generate_content_stream(model={model!r}, "
                'contents="Hello"):',
                '    print(chunk.text, end="")',
            ]
        )


PROVIDERS = presets(Gemini())

"""All names of OpenTelemetry's conventions for generative AI that tokenwire uses, in one table:
they are still in development, and change. Sources: the repository semantic-conventions-genai, and
what OpenTelemetry's own packages of October 2026 write.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "ATTRIBUTES",
    "DETAILS",
    "ERROR_TYPES",
    "EXCEPTION",
    "METRICS",
    "Metric",
    "MetricSet",
]

MetricSet: TypeAlias = Literal["1.41", "latest"]
"""The names of the metrics: those of semantic conventions 1.41, which OpenTelemetry's own packages
write, or those of the newest documents, which no released package writes yet."""

ATTRIBUTES: Mapping[str, type | tuple[type]] = {
    "gen_ai.operation.name": str,
    "gen_ai.provider.name": str,
    "gen_ai.request.model": str,
    "server.address": str,
    "server.port": int,
    "gen_ai.request.stream": bool,
    "gen_ai.request.max_tokens": int,
    "gen_ai.request.temperature": float,
    "gen_ai.request.top_p": float,
    "gen_ai.request.top_k": int,
    "gen_ai.request.seed": int,
    "gen_ai.request.stop_sequences": (str,),
    "gen_ai.request.frequency_penalty": float,
    "gen_ai.request.presence_penalty": float,
    "gen_ai.request.choice.count": int,
    "gen_ai.request.reasoning.level": str,
    "gen_ai.request.previous_response.id": str,
    "gen_ai.output.type": str,
    "gen_ai.response.id": str,
    "gen_ai.response.model": str,
    "gen_ai.response.finish_reasons": (str,),
    "gen_ai.response.time_to_first_chunk": float,
    "gen_ai.usage.input_tokens": int,
    "gen_ai.usage.output_tokens": int,
    "gen_ai.usage.cache_read.input_tokens": int,
    "gen_ai.usage.cache_write.input_tokens": int,
    "gen_ai.usage.reasoning.output_tokens": int,
    "gen_ai.usage.text.input_tokens": int,
    "gen_ai.usage.image.input_tokens": int,
    "gen_ai.usage.audio.input_tokens": int,
    "gen_ai.usage.text.cache_read.input_tokens": int,
    "gen_ai.usage.image.cache_read.input_tokens": int,
    "gen_ai.usage.audio.cache_read.input_tokens": int,
    "gen_ai.usage.text.output_tokens": int,
    "gen_ai.usage.image.output_tokens": int,
    "gen_ai.usage.audio.output_tokens": int,
    "openai.api.type": str,
    "openai.request.service_tier": str,
    "openai.response.service_tier": str,
    "openai.response.system_fingerprint": str,
    "aws.bedrock.guardrail.id": str,
    "error.type": str,
    "http.response.status_code": int,
    # Content, which is off unless it is asked for.
    "gen_ai.system_instructions": str,
    "gen_ai.input.messages": str,
    "gen_ai.output.messages": str,
    "gen_ai.tool.definitions": str,
    # Ours: the conventions have no word for it.
    "tokenwire.outcome": str,
    "tokenwire.evidence": str,
    "tokenwire.attempts": int,
    "tokenwire.time_to_first_content": float,
    "tokenwire.error.code": str,
}
"""The attributes of spans, with their types: `(str,)` is a list of texts."""

DETAILS = "gen_ai.client.inference.operation.details"
"""The event that has the content."""

EXCEPTION = "gen_ai.client.operation.exception"
"""The event of a failure."""

ERROR_TYPES = (
    *("Truncated", "Malformed", "LimitExceeded", "UnexpectedContent"),
    *("Refused", "AuthenticationFailed", "RateLimited", "Overloaded", "BadRequest"),
    *("ContentFiltered", "Redirected", "Challenged"),
    *("TimedOut.connect", "TimedOut.first_event", "TimedOut.idle", "TimedOut.total"),
    *("ConnectFailed", "Disconnected", "TransportError", "LocalProtocolError"),
)
"""All values of `error.type`."""

_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(4**power for power in range(14))


class Metric(msgspec.Struct, frozen=True):
    """An instrument. `bounds`: of a histogram's buckets; a counter has none."""

    name: str
    unit: str
    description: str
    bounds: tuple[float, ...] = ()


def _seconds(name: str, description: str) -> Metric:
    return Metric(f"gen_ai.client.{name}", "s", description, _SECONDS)


def _tokens(name: str, description: str, bounds: tuple[float, ...] = ()) -> Metric:
    return Metric(f"gen_ai.client.{name}", "{token}", description, bounds)


_TOLD = "Time from the request to the first piece of the answer"
_GAPS = "Time between two pieces of the answer"

METRICS: Mapping[MetricSet, Mapping[str, Metric]] = {
    "1.41": {
        "duration": _seconds("operation.duration", "Time that a question took"),
        "first": _seconds("operation.time_to_first_chunk", _TOLD),
        "gap": _seconds("operation.time_per_output_chunk", _GAPS),
        "tokens": _tokens("token.usage", "Tokens of a question, by type", _TOKENS),
    },
    "latest": {
        "duration": _seconds("inference.duration", "Time that a question took"),
        "first": _seconds("inference.time_to_first_chunk", _TOLD),
        "gap": _seconds("inference.time_per_output_chunk", _GAPS),
        "input": _tokens("inference.usage.input_tokens", "Tokens asked"),
        "output": _tokens("inference.usage.output_tokens", "Tokens answered"),
        "cache_read": _tokens("inference.usage.cache_read.input_tokens", "Read from a cache"),
        "cache_write": _tokens("inference.usage.cache_write.input_tokens", "Written to a cache"),
        "reasoning": _tokens("inference.usage.reasoning.output_tokens", "Tokens of thoughts"),
        "inputs": _tokens("inference.operation.input_tokens", "Tokens of a question", _TOKENS),
        "outputs": _tokens("inference.operation.output_tokens", "Tokens of an answer", _TOKENS),
    },
}
"""The metrics of each set, by what tokenwire calls them."""

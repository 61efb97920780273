"""What a span tells of a question before there is an answer."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from ..protocols.chat import Chat
from ..protocols.events import Image, Text
from ..protocols.provider import Provider
from ..protocols.toolkit.json import is_object

__all__ = ["Attributes", "asking_attributes", "identity"]

Attributes: TypeAlias = dict[str, Any]


class _Texts:
    """Stands for the type of an attribute that is a list of texts."""


_OPTIONS: Mapping[str, tuple[type, str, tuple[str, ...]]] = {
    f"gen_ai.request.{name}": (kind, field, tuple(spellings.split()))
    for name, kind, field, spellings in (
        (
            *("max_tokens", int, "max_tokens"),
            "max_tokens max_completion_tokens max_output_tokens maxOutputTokens maxTokens "
            "num_predict",
        ),
        ("temperature", float, "temperature", "temperature"),
        ("top_p", float, "top_p", "top_p topP p"),
        ("top_k", int, "top_k", "top_k topK k"),
        ("seed", int, "seed", "seed"),
        ("stop_sequences", _Texts, "stop", "stop stop_sequences stopSequences"),
        *(
            (f"{name}_penalty", float, f"{name}_penalty", f"{name}_penalty {name}Penalty")
            for name in ("frequency", "presence")
        ),
        ("choice.count", int, "n", "n candidateCount"),
        ("reasoning.level", str, "effort", "reasoning_effort effort thinkingLevel"),
    )
}
"""The attributes `gen_ai.request.*`: the type, the field of `Chat`, and how formats spell it in
`Chat.extra`."""

_WITHIN = ("generationConfig", "options", "inferenceConfig", "reasoning", "output_config")
"""Objects in which some formats have these fields."""

_API_TYPES = {"openai_chat": "chat_completions", "openai_responses": "responses"}


def identity(provider: Provider, chat: Chat, model: str) -> Attributes:
    """What spans and metrics both say: the operation, the service, the model."""
    generates = provider.dialect.name == "gemini" or _is_picture(provider, chat, model)
    return {
        "gen_ai.operation.name": "generate_content" if generates else "chat",
        "gen_ai.provider.name": provider.otel_name or provider.name,
        "gen_ai.request.model": model,
    }


def asking_attributes(provider: Provider, chat: Chat, model: str) -> Attributes:
    """What only spans say: the options, as far as they are set."""
    found: Attributes = {"gen_ai.request.stream": True} if chat.stream else {}
    for name, (kind, field, spellings) in _OPTIONS.items():
        value = getattr(chat, field)
        if value is not None and value != () and (said := _as(kind, value)) is not None:
            found[name] = said
        if chat.extra:  # what is in it wins, as it does on the wire
            given = (_as(kind, each) for each in _given(chat.extra, spellings))
            if (said := next((each for each in given if each is not None), None)) is not None:
                found[name] = said
    if found.get("gen_ai.request.choice.count") == 1:
        del found["gen_ai.request.choice.count"]
    if _is_picture(provider, chat, model):
        found["gen_ai.output.type"] = "image"
    elif chat.schema is not None:
        found["gen_ai.output.type"] = "json"
    service = provider.otel_name or provider.name
    if service in ("openai", "azure.ai.openai") and provider.dialect.name in _API_TYPES:
        found["openai.api.type"] = _API_TYPES[provider.dialect.name]
    return found | _vendors(chat.extra) if chat.extra else found


def _is_picture(provider: Provider, chat: Chat, model: str) -> bool:
    """Whether the answer is a picture, without any text."""
    dialect = provider.dialect
    if Image not in dialect.says:
        return False
    says = dialect.says_to(chat.replace(model=model))
    return Image in says and Text not in says


def _given(extra: Mapping[str, Any], spellings: tuple[str, ...]) -> Iterator[Any]:
    for fields in (extra, *(extra.get(name) for name in _WITHIN)):
        if is_object(fields):
            yield from (fields.get(spelling) for spelling in spellings)


def _as(kind: type, value: Any) -> Any:
    """`value` as the conventions want it; None if it can't be that."""
    if kind is _Texts:
        texts: list[Any] = [value] if isinstance(value, str) else []
        texts += value if isinstance(value, list | tuple) else ()
        return texts if texts and all(isinstance(text, str) for text in texts) else None
    if isinstance(value, bool):
        return None
    if kind is float:
        return float(value) if isinstance(value, int | float) else None
    return value if isinstance(value, kind) else None


def _vendors(extra: Mapping[str, Any]) -> Attributes:
    """What single vendors have."""
    guardrail, shape = extra.get("guardrailConfig"), extra.get("response_format")
    told = {
        "gen_ai.request.previous_response.id": extra.get("previous_response_id"),
        "openai.request.service_tier": extra.get("service_tier"),
        "aws.bedrock.guardrail.id": is_object(guardrail) and guardrail.get("guardrailIdentifier"),
    }
    found = {name: value for name, value in told.items() if isinstance(value, str)}
    if is_object(shape) and str(shape.get("type")).startswith("json"):
        found["gen_ai.output.type"] = "json"
    return found

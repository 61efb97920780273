"""How many tokens a question used, by what they are: cached, thoughts, text, images, audio."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..protocols.events import Usage
from ..protocols.toolkit.json import is_list, is_object

__all__ = ["MODALITIES", "by_modality", "usage_attributes"]

MODALITIES = ("text", "image", "audio")

_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "input_tokens": ("prompt_tokens_details", "input_tokens_details"),
    "output_tokens": ("completion_tokens_details", "output_tokens_details"),
}
"""Where OpenAI's formats tell the tokens of each modality, in objects."""

_LISTS: Mapping[str, str] = {
    "input_tokens": "promptTokensDetails",
    "output_tokens": "candidatesTokensDetails",
    "cache_read.input_tokens": "cacheTokensDetails",
}
"""Where Gemini does, in lists."""

_DETAILS = frozenset((*sum(_OBJECTS.values(), ()), *_LISTS.values()))


def usage_attributes(usage: Usage) -> dict[str, int]:
    """The attributes `gen_ai.usage.*` of `usage`: only what was told."""
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read.input_tokens": usage.cache_read_input_tokens,
        "cache_write.input_tokens": usage.cache_write_input_tokens,
        "reasoning.output_tokens": usage.reasoning_output_tokens,
    }
    for kind in _LISTS if usage.raw else ():
        for modality, count in by_modality(usage, kind).items():
            counts[f"{modality}.{kind}"] = count
    return {f"gen_ai.usage.{name}": count for name, count in counts.items() if count is not None}


def by_modality(usage: Usage, kind: str) -> dict[str, int]:
    """The tokens of a `kind` (`input_tokens`, `output_tokens`, `cache_read.input_tokens`) for each
    modality of which the service tells any."""
    found: dict[str, int] = {}
    if _DETAILS.isdisjoint(usage.raw):
        return found
    for modality, count in _told(usage.raw, kind):
        if modality in MODALITIES and isinstance(count, int) and count > 0:
            found[modality] = found.get(modality, 0) + count
    return found


def _told(raw: dict[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    for name in _OBJECTS.get(kind, ()):
        details = raw.get(name)
        if is_object(details):
            for modality in MODALITIES:
                yield modality, details.get(f"{modality}_tokens")
    listed = raw.get(_LISTS[kind])
    if is_list(listed):
        for each in listed:
            if is_object(each):
                yield str(each.get("modality")).lower(), each.get("tokenCount")

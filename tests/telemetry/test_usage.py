"""Tokens by what they are."""

from typing import Any

import pytest

from tokenwire import Usage
from tokenwire.telemetry.usage import by_modality, usage_attributes


def test_only_what_was_told() -> None:
    assert usage_attributes(Usage()) == {}
    assert usage_attributes(Usage(input_tokens=0, reasoning_output_tokens=7)) == {
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 7,
    }


def test_the_parts_of_the_input() -> None:
    usage = Usage(10, 5, cache_read_input_tokens=3, cache_write_input_tokens=2)
    assert usage_attributes(usage) == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.cache_write.input_tokens": 2,
    }


OPENAI = {
    "prompt_tokens_details": {"audio_tokens": 4, "text_tokens": 0, "cached_tokens": 2},
    "completion_tokens_details": {"audio_tokens": 3, "image_tokens": None},
}
GEMINI = {
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 5},
        {"modality": "IMAGE", "tokenCount": 258},
        {"modality": "TEXT", "tokenCount": 2},
        {"modality": "VIDEO", "tokenCount": 9},
        "odd",
    ],
    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}, {"tokenCount": 1}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
}


@pytest.mark.parametrize(
    ("raw", "kind", "found"),
    [
        (OPENAI, "input_tokens", {"audio": 4}),
        (OPENAI, "output_tokens", {"audio": 3}),
        (OPENAI, "cache_read.input_tokens", {}),
        ({"input_tokens_details": {"image_tokens": 6}}, "input_tokens", {"image": 6}),
        (GEMINI, "input_tokens", {"text": 7, "image": 258}),
        (GEMINI, "output_tokens", {"audio": 8}),
        (GEMINI, "cache_read.input_tokens", {"text": 4}),
        ({"promptTokensDetails": {}, "prompt_tokens_details": []}, "input_tokens", {}),
    ],
)
def test_the_tokens_of_each_modality(raw: dict[str, Any], kind: str, found: dict[str, int]) -> None:
    usage = Usage(raw=raw)
    assert by_modality(usage, kind) == found
    said = usage_attributes(usage)
    for modality, count in found.items():
        assert said[f"gen_ai.usage.{modality}.{kind}"] == count

"""The examples in the documentation of the configuration."""

import re
from pathlib import Path

import pytest

from tokenwire.gateway.config import load

PAGE = Path(__file__).parents[2] / "docs" / "gateway-configuration.md"
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_right(number: int) -> None:
    text = EXAMPLES[number]
    environment = dict.fromkeys(re.findall(r'"env:(\w+)"', text), "from-the-environment")
    environment["REDIS_URL"] = "redis://127.0.0.1:6379/0"
    found = load(text, name=PAGE.name, environment=environment, read=lambda path: "s" * 32)
    assert found.model("azure/gpt" if number == 1 else "gpt") is found.models[-1]

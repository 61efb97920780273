"""docs/gateway-matrix.md, made of the matrix: `python -m tests.gateway.page`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenwire.gateway.matrix import ANSWERS, COLUMNS, REQUESTS, Row, Rule

__all__ = ["page"]

_TITLES = {
    "openai_chat": "chat completions",
    "openai_responses": "Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "cohere": "Cohere",
    "bedrock": "Bedrock",
    "mistral": "Mistral",
}
_MARKS: dict[Rule, str] = {"=": "yes", "-": "left out", "?": "if allowed", "x": "no"}

_HEAD = """\
# What the gateway carries from one format to another

<!-- Made by `python -m tests.gateway.page` of src/gateway/matrix.py: change that. -->

Between a format and itself everything goes through as it is. Between two formats a request is
judged by what the upstream's format can say, and an answer by what the caller's can.

- **yes**: it is carried.
- **left out**: it is left out, and counted in `tokenwire_losses_total` by the name in the first
  column.
- **if allowed**: the request is refused with a 400 that names the field, unless the model's
  `allow` has that name; then it is left out and counted, or changed as the note says.
- **no**: the request is refused with a 400 that names the field.

An option that one service does not take although its format has it is refused likewise, and left
out if allowed. `unknown` allows all fields that only the caller's format has.
"""


def page() -> str:
    """The page."""
    requests = ["## Requests, by the upstream's format", "", *_table(REQUESTS), ""]
    answers = ["## Answers, by the caller's format", "", *_table(ANSWERS), ""]
    return "\n".join([_HEAD, *requests, *answers])


def _table(rows: Mapping[str, Row]) -> Iterator[str]:
    yield f"| name | what | {' | '.join(_TITLES[column] for column in COLUMNS)} | note |"
    yield f"|{'---|' * (len(COLUMNS) + 3)}"
    for row in rows.values():
        marks = " | ".join(_MARKS[row.rules[column]] for column in COLUMNS)
        yield f"| `{row.name}` | {row.title} | {marks} | {row.note} |"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "gateway-matrix.md").write_text(page())

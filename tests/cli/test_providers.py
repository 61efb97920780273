"""`tokenwire providers`."""

from collections.abc import Generator
from contextlib import contextmanager
from unittest.mock import patch

import msgspec
import pytest

from tests.commanding import run, screen
from tokenwire import PROVIDERS, Provider
from tokenwire.cli import Exit

OWN = PROVIDERS["openai"].replace(
    name="own",
    base_url="https://{region}.example/v1",
    params={"region": "OWN_REGION"},
    env=("OWN_KEY", "OWNER_KEY"),
    base_env=("OWN_BASE_URL",),
    key_optional=True,
    effort={"low": {}, "high": {}},
    refuses=frozenset(("tools", "n")),
    checked="2026-01-02",
    source="https://own.example/docs",
    doubtful=("refuses",),
)


@contextmanager
def listing(*providers: Provider) -> Generator[None]:
    """With these instead of tokenwire's."""
    listed = {provider.name: provider for provider in providers}
    with patch("tokenwire.cli.providers.PROVIDERS", listed):
        yield


def test_in_a_pipe_it_is_lines_with_tabs() -> None:
    head, *rows = (line.split("\t") for line in run("providers").out.splitlines())
    assert head[:3] == ["provider", "dialect", "service"]
    assert [row[:2] for row in rows] == [[p.name, p.dialect.name] for p in PROVIDERS.values()]
    assert {len(row) for row in rows} == {len(head)}


def test_json() -> None:
    lines = run("providers", "--json").out.splitlines()
    rows = {row["name"]: row for row in map(msgspec.json.decode, lines)}
    assert [*rows] == [*PROVIDERS]
    assert rows["darkai"]["aliases"] == PROVIDERS["darkai"].aliases
    assert rows["darkai"]["takes_key"] is False
    assert rows["openai"]["env"] == ["OPENAI_API_KEY"]
    assert set(rows["openai"]["takes"]) == PROVIDERS["openai"].takes
    with listing(OWN):
        own = msgspec.json.decode(run("providers", "--json").out)
    assert own["efforts"] == ["low", "high"]
    assert own["params"] == {"region": "OWN_REGION"}
    assert (own["refuses"], own["doubtful"]) == (["n", "tools"], ["refuses"])


def test_words_choose_some() -> None:
    def chosen(*words: str) -> list[str]:
        return [line.split("\t")[0] for line in run("providers", *words).out.splitlines()[1:]]

    assert chosen("darkai") == ["darkai"]
    assert chosen("DEEPSEEK") == ["deepseek", "deepseek-anthropic", "deepseek-responses"]
    assert chosen("deepseek", "openai_chat") == ["deepseek"]
    assert chosen("11434") == [
        *("ollama-openai", "ollama-anthropic", "ollama", "ollama-responses"),
    ]
    (line,) = run("providers", "--json", "groq").out.splitlines()
    assert msgspec.json.decode(line)["env"] == ["GROQ_API_KEY"]
    assert "\nprovider: darkai\n" not in run("providers", "-v", "groq").out


def test_words_that_none_has() -> None:
    outcome = run("providers", "deepseak")
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err.startswith("tokenwire: no provider has 'deepseak'; did you mean deepseek")
    assert (
        run("providers", "groq", "x").err
        == "tokenwire: no provider has 'groq' and 'x'; did you mean groq?\n"
    )
    assert run("providers", "%").err == "tokenwire: no provider has '%'\n"


def test_the_formats_are_apart_in_the_table() -> None:
    outcome = run("providers", "deepseek", terminal=True, width=300)
    rows = [line for line in screen(outcome.out, 300) if line.strip()]
    assert len(rows) == 2 + 3  # the names of the columns, a line, and the rows
    blank = [line for line in screen(outcome.out, 300)[3:-1] if not line.strip()]
    assert len(blank) >= 2  # between the three formats


@pytest.mark.parametrize("width", [120, 80, 60, 20])
def test_on_a_terminal_it_fits(width: int) -> None:
    outcome = run("providers", terminal=True, width=width)
    assert outcome.code == Exit.OK
    lines = screen(outcome.out, width)
    text = "".join(line.strip() for line in lines) if width < 40 else "\n".join(lines)
    for name in PROVIDERS:
        assert name in text
    assert len(screen(outcome.out, 500)) == len(lines)  # no line was longer than the terminal


def test_verbose() -> None:
    with listing(OWN, PROVIDERS["darkai"]):
        own, darkai = run("providers", "--verbose").out.strip().split("\n\n")
    facts = dict(line.split(": ", 1) for line in own.splitlines())
    assert facts == {
        "provider": "own",
        "dialect": "openai_chat",
        "service": "up",
        "models": "any",
        "can": "history, options, reasoning, text, vision",
        "completed by": "finish",
        "base URL": "https://{region}.example/v1",
        "base URL from": "OWN_BASE_URL, OWN_REGION",
        "site": OWN.site,
        "key": "from OWN_KEY or OWNER_KEY, optional",
        "takes": ", ".join(sorted(OWN.takes)),
        "refuses": "n, tools",
        "effort": "low, high",
        "checked": "2026-01-02",
        "source": "https://own.example/docs",
        "doubtful": "refuses",
    }
    assert "tools" not in facts["takes"].split(", ")
    assert "\nkey: none\n" in darkai
    assert "\naliases: llama-3.1-70b (llama-3-70b)" in darkai
    assert "effort" not in darkai


def test_verbose_on_a_terminal() -> None:
    with listing(OWN.replace(env=(), key_optional=False)):
        lines = screen(run("providers", "-v", terminal=True).out)
    assert lines[0] == "provider: own"
    assert not any(line.startswith("key:") for line in lines)  # nothing is known of it

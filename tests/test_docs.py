"""The documents: each code block runs as it is, in its own interpreter, tests by pytest; links and
citations lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.site import ROOT, links, pages
from tokenwire.cli import commands

DOCUMENTS = [ROOT / file for file in pages()]
SLOW = re.compile(r"^Executing <.*> took .* seconds\n", re.MULTILINE)
"""How asyncio's debug mode reports a slow step, which on a busy machine any step may be."""

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BLOCKS = [
    pytest.param(match[1], id=f"{file}:{text.count(chr(10), 0, match.start()) + 1}")
    for file in pages()
    for text in [(ROOT / file).read_text(encoding="utf-8")]
    for match in BLOCK.finditer(text)
]


def test_the_documents_have_code() -> None:
    assert len(BLOCKS) >= 8


@pytest.mark.parametrize("code", BLOCKS)
def test_block(code: str, tmp_path: Path) -> None:
    command = ["-c", code]
    if re.search(r"^(?:async )?def test_", code, re.MULTILINE):
        (tmp_path / "test_it.py").write_text(code, encoding="utf-8")
        command = ["-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio", "test_it.py"]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"CI": "1"},  # by this hypothesis knows that it may be slow
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert SLOW.sub("", done.stderr) == ""


# Commands

COMMANDS = [
    pytest.param(words[words.index("tokenwire") + 1 :], id=f"{file}: {line}")
    for file in pages()
    for block in re.findall(
        r"^```bash\n(.*?)^```$", (ROOT / file).read_text(encoding="utf-8"), re.M | re.S
    )
    for line in block.replace("\\\n", "").splitlines()
    if re.search(r"(^|\| |=\S* )tokenwire ", line)
    for words in [shlex.split(line, comments=True)]
]


def test_the_documents_have_commands() -> None:
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("words", COMMANDS)
def test_command_has_these_options(words: list[str]) -> None:
    """It is parsed, not run: files, keys and services of the examples are not there."""
    command: click.Command | None = commands.tokenwire
    rest = words
    while isinstance(command, click.Group):
        _, command, rest = command.resolve_command(click.Context(command), rest)
    assert command is not None
    _, left, _ = command.make_parser(click.Context(command)).parse_args(rest)
    assert left == []


# Links and citations


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for name, anchor in links(path.read_text(encoding="utf-8")):
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name} links to {name}"
        if anchor:
            assert anchor in anchors(target), f"{path.name} links to {name}#{anchor}"


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def quirks() -> list[int]:
    """The numbers in docs/quirks.md."""
    text = (ROOT / "docs" / "quirks.md").read_text(encoding="utf-8")
    return [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]


def test_quirks_are_numbered_without_gaps() -> None:
    assert quirks() == list(range(1, len(quirks()) + 1))


def test_every_quirk_that_code_cites_is_in_the_list() -> None:
    cited = {
        int(number)
        for folder in ("src", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for phrase in re.findall(
            r"quirks?[ _](\d+(?:(?:, | and | to |_and_)\d+)*)", path.read_text(encoding="utf-8")
        )
        for number in re.findall(r"\d+", phrase)
    }
    assert len(cited) > 20
    assert cited <= set(quirks())

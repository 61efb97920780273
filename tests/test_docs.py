"""The documents: each code block runs as it is, in its own interpreter; links and citations lead
somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SLOW = re.compile(r"^Executing <.*> took .* seconds\n", re.MULTILINE)
"""How asyncio's debug mode reports a slow step, which on a busy machine any step may be."""

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BLOCKS = [
    pytest.param(
        match[1], id=f"{path.name}:{path.read_text().count(chr(10), 0, match.start()) + 1}"
    )
    for path in DOCUMENTS
    for match in BLOCK.finditer(path.read_text(encoding="utf-8"))
]


def test_the_documents_have_code() -> None:
    assert len(BLOCKS) >= 8


@pytest.mark.parametrize("code", BLOCKS)
def test_block(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"CI": "1"},  # by this hypothesis knows that it may be slow
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SLOW.sub("", done.stderr) == ""


# Links and citations

LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for name, anchor in LINK.findall(prose):
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

"""The documentation site: its navigation, its links, its reference. `make docs` builds it."""

import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
import pytest

import tokenwire
import tokenwire.gateway
import tokenwire.server
import tokenwire.telemetry
import tokenwire.testing
from tests.site import CONFIG, ROOT, links, pages, stage
from tokenwire.server import faults

NAVIGATION = tomllib.loads((ROOT / CONFIG).read_text(encoding="utf-8"))["project"]["nav"]


def entries(item: Any) -> Iterator[str]:
    """The pages in the navigation."""
    if isinstance(item, str):
        yield item
    else:
        for each in item.values() if isinstance(item, dict) else item:  # pyright: ignore
            yield from entries(each)


def test_the_navigation_has_each_page_once() -> None:
    listed = list(entries(NAVIGATION))
    missing = set(pages().values()) - set(listed)
    assert not missing, f"give them a line in the nav of {CONFIG}"
    assert sorted(listed) == sorted(pages().values())


# Links


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    stage(folder)
    return folder


def test_links_lead_from_page_to_page(staged: Path) -> None:
    for page in pages().values():
        for name, _ in links((staged / page).read_text(encoding="utf-8")):
            assert not name or ((staged / page).parent / name).is_file(), f"{page} links to {name}"


def test_links_are_those_of_the_files_with_the_places_of_the_pages(staged: Path) -> None:
    for file, page in pages().items():
        before = list(links((ROOT / file).read_text(encoding="utf-8")))
        after = list(links((staged / page).read_text(encoding="utf-8")))
        assert [anchor for _, anchor in after] == [anchor for _, anchor in before]
    front = (staged / "index.md").read_text(encoding="utf-8")
    assert "[How it knows](complete.md)" in front
    changelog = (staged / "changelog.md").read_text(encoding="utf-8")
    assert "[benchmarks/README.md](benchmarks/index.md)" in changelog
    format_page = (staged / "formats" / "ollama.md").read_text(encoding="utf-8")
    assert "(../gateway.md)" in format_page


def test_what_looks_like_a_link_in_code_is_none() -> None:
    text = "[a](b.md#c)\n```python\n[d](e.md)\n```\n[f](#g), [h](https://i.example/j)\n"
    assert list(links(text)) == [("b.md", "c"), ("", "g")]


# The reference


def referenced() -> list[str]:
    """The names that the reference describes."""
    return [
        line.removeprefix("::: ")
        for path in (ROOT / "docs" / "reference").glob("*.md")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("::: ")
    ]


def test_the_reference_has_each_public_name() -> None:
    names = referenced()
    assert len(names) == len(set(names))
    for name in names:
        found, _, attribute = name.rpartition(".")
        assert hasattr(import_module(found), attribute), name
    described = {name.rpartition(".")[2] for name in names}
    modules = (
        tokenwire,
        tokenwire.testing,
        tokenwire.gateway,
        tokenwire.server,
        tokenwire.telemetry,
        faults,
    )
    public = {name for module in modules for name in module.__all__}
    assert public - described == {"__version__"}, "give them a line in docs/reference"


SOURCE = '''
import msgspec
__all__ = ["Other", "Thing"]

class Other(msgspec.Struct, kw_only=True):
    """See `Thing`, `Thing.size`, `Other`, `Nothing` and [`Thing`](x)."""
    size: int = 3

class Thing(msgspec.Struct, frozen=True):
    """A thing."""
    name: ClassVar[str] = ""
    size: int
    color: str = "red"
    @property
    def area(self) -> int:
        """See `Other`."""

class Plain:
    """Not a struct."""
    size: int
'''


def test_structs_have_signatures_and_names_have_links(tmp_path: Path) -> None:
    (tmp_path / "things.py").write_text(SOURCE, encoding="utf-8")
    extensions = griffe.load_extensions(f"{ROOT / 'docs' / 'structs.py'}:Structs")
    package = griffe.load("things", search_paths=[tmp_path], extensions=extensions)

    def parameters(name: str) -> list[tuple[str, str, object]]:
        return [(p.name, p.kind.value, p.default) for p in package[name].parameters]

    assert parameters("Thing") == [
        ("size", "positional or keyword", None),
        ("color", "positional or keyword", "'red'"),
    ]
    assert parameters("Other") == [("size", "keyword-only", "3")]
    assert parameters("Plain") == []
    assert package["Other"].docstring.value == (
        "See [`Thing`][things.Thing], [`Thing.size`][things.Thing], `Other`, `Nothing` and "
        "[`Thing`](x)."
    )
    assert package["Thing.area"].docstring.value == "See [`Other`][things.Other]."

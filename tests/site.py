"""Builds the documentation site from the Markdown files of the repository, into build/site.

    make docs

The files are copied to build/pages first: README.md becomes the front page, the other pages keep
their names. Their links, which lead from file to file as they do on GitHub, are rewritten to lead
from page to page. Every warning of the site's generator is an error.
"""

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["CONFIG", "ROOT", "links", "pages", "stage"]

ROOT = Path(__file__).parent.parent
CONFIG = "docs/zensical.toml"

_OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "tests/README.md": "tests.md",
}
"""The pages whose files are not in docs/."""

_LINK = re.compile(r"(?<=\]\()([^)#:\s]*)(?:#([^)\s]*))?(?=\))")
_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, str]:
    """The file of each page, relative to the repository, and the address of the page."""
    inside = (path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return _OUTSIDE | {file: file.removeprefix("docs/") for file in sorted(inside)}


def links(text: str) -> Iterator[tuple[str, str]]:
    """The file and the anchor of each relative link in `text`, each of which may be empty."""
    for prose in _FENCED.split(text)[::2]:
        for link in _LINK.finditer(prose):
            yield link[1], link[2] or ""


def stage(folder: Path) -> None:
    """Copy the pages, and the files that they link to, into the empty `folder`."""
    places = pages()
    _copy("docs/site.css", folder / "site.css")
    for file, place in pages().items():
        text = (ROOT / file).read_text(encoding="utf-8")
        for name, _ in links(text):
            target = _target(file, name)
            if name and target not in places:
                places[target] = target.removeprefix("docs/")
                _copy(target, folder / places[target])
        destination = folder / place
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_text(_relinked(text, file, places), encoding="utf-8")


def _target(file: str, link: str) -> str:
    """The file that a link in `file` leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), link))


def _copy(file: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / file, destination)


def _relinked(text: str, file: str, places: dict[str, str]) -> str:
    """`text` with links that lead from page to page."""
    here = posixpath.dirname(places[file]) or "."

    def relinked(link: re.Match[str]) -> str:
        if not link[1]:
            return link[0]
        target = places[_target(file, link[1])]
        anchor = f"#{link[2]}" if link[2] else ""
        return posixpath.relpath(target, here) + anchor

    pieces = _FENCED.split(text)
    pieces[::2] = (_LINK.sub(relinked, prose) for prose in pieces[::2])
    return "".join(pieces)


def main() -> None:
    """Build the site."""
    build = ROOT / "build"
    for name in ("pages", "site"):
        shutil.rmtree(build / name, ignore_errors=True)
    stage(build / "pages")
    shutil.copyfile(ROOT / CONFIG, build / "zensical.toml")
    generator = Path(sys.executable).with_name("zensical")
    command = [str(generator), "build", "--clean", "--strict", "-f", "zensical.toml"]
    done = subprocess.run(command, cwd=build, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print("The site is in build/site: open index.html, or serve it, which the search needs:")
    print("python3 -m http.server --directory build/site")


if __name__ == "__main__":
    main()

"""What is installed: the wheel in a clean environment, and what an import loads."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tokenwire.server import serve

ROOT = Path(__file__).parent.parent

IMPORT_ALL = """
import importlib, pkgutil, sys, tokenwire
assert "site-packages" in tokenwire.__file__, tokenwire.__file__
names = [m.name for m in pkgutil.walk_packages(tokenwire.__path__, "tokenwire.")]
assert len(names) > 40, names
NEEDS_AN_EXTRA = {"tokenwire.testing", "tokenwire.server.embedded", "tokenwire.transports.trio"}
COMMAND = ("chat", "commands", "decode", "providers", "show", "terminal")
NEEDS_AN_EXTRA |= {f"tokenwire.cli.{name}" for name in COMMAND}
names.remove("tokenwire.__main__")
for name in names:
    if name not in NEEDS_AN_EXTRA:
        importlib.import_module(name)
for name in NEEDS_AN_EXTRA:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} needs no extra, or the environment is not clean")
print(len(names))
"""

ASK = """
import sys, tokenwire
reply = tokenwire.ask("ylokh", "Is the wheel whole?", base_url=sys.argv[1])
print(reply.text)
assert reply.evidence == "terminator"
"""

LOADED = """
import sys, tokenwire
heavy = {"anyio", "trio", "asyncio", "curio", "httpx", "h11", "ssl", "socket", "random", "json"}
print(sorted(heavy & set(sys.modules)))
"""


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the built wheel and what that requires, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy: setuptools works in the place of the sources, as another of the tests may, too.
    shutil.copytree(ROOT / "src", folder / "sources" / "src")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "sources")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "sources")
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "clean")
    python = folder / "clean" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def test_every_module_of_the_wheel_imports(clean_python: Path) -> None:
    assert int(run(clean_python, "-I", "-c", IMPORT_ALL)) > 30


def test_the_wheel_asks_by_the_sync_transport(clean_python: Path) -> None:
    with serve("ylokh") as server:
        assert "Is the wheel whole?" in run(clean_python, "-I", "-c", ASK, server.url)


def test_import_loads_no_extra_no_event_loop_and_no_tls() -> None:
    assert run(sys.executable, "-c", LOADED) == "[]\n"

"""What is installed: the wheel in a clean environment, and what an import loads."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tokenwire.server import serve

ROOT = Path(__file__).parent.parent

IMPORT_ALL = """
import importlib, pkgutil, sys, tokenwire
assert "site-packages" in tokenwire.__file__, tokenwire.__file__
names = [m.name for m in pkgutil.walk_packages(tokenwire.__path__, "tokenwire.")]
names.remove("tokenwire.__main__")
NEEDS_AN_EXTRA = {"tokenwire.testing", "tokenwire.server.embedded", "tokenwire.transports.trio"}
COMMAND = ("chat", "commands", "decode", "providers", "show", "terminal")
NEEDS_AN_EXTRA |= {f"tokenwire.cli.{name}" for name in COMMAND}
EXTRAS = {"anyio", "click", "hypothesis", "rich", "trio"}
for name in names:
    needs = name in NEEDS_AN_EXTRA or name.startswith("tokenwire.testing.")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert needs, name
        assert error.name.partition(".")[0] in EXTRAS, (name, error)
    else:
        assert not needs, f"{name} needs no extra, or the environment is not clean"
print(*names)
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


def packages(source: Path) -> set[str]:
    """The packages of the tree `source`, each a folder with an `__init__.py`."""
    return {module_name(source, file.parent) for file in source.rglob("__init__.py")}


def modules(source: Path) -> set[str]:
    """The modules of the tree, packages included."""
    files = (file for file in source.rglob("*.py") if file.name != "__init__.py")
    return packages(source) | {module_name(source, file.with_suffix("")) for file in files}


def module_name(source: Path, path: Path) -> str:
    return ".".join(("tokenwire", *path.relative_to(source).parts))


def not_in_the_wheel(source: Path) -> set[str]:
    """Where the tree `source` and the packages that pyproject.toml lists differ."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed: list[str] = settings["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    return packages(source) ^ set(listed)


def test_every_package_of_the_tree_is_one_of_the_wheel(tmp_path: Path) -> None:
    assert not_in_the_wheel(ROOT / "src") == set()
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source)
    (source / "protocols" / "formats" / "planted").mkdir()
    (source / "protocols" / "formats" / "planted" / "__init__.py").touch()
    (source / "cli" / "__init__.py").unlink()
    planted = {"tokenwire.protocols.formats.planted", "tokenwire.cli"}
    assert not_in_the_wheel(source) == planted


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "src").rglob("*.py")}
    assert {module_name(ROOT / "src", folder) for folder in folders} == packages(ROOT / "src")


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
    names = run(clean_python, "-I", "-c", IMPORT_ALL).split()
    assert set(names) == modules(ROOT / "src") - {"tokenwire", "tokenwire.__main__"}


def test_the_wheel_asks_by_the_sync_transport(clean_python: Path) -> None:
    with serve("ylokh") as server:
        assert "Is the wheel whole?" in run(clean_python, "-I", "-c", ASK, server.url)


def test_import_loads_no_extra_no_event_loop_and_no_tls() -> None:
    assert run(sys.executable, "-c", LOADED) == "[]\n"

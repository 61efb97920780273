"""What is installed: the wheel in a clean environment, and what an import loads."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tokenwire.server import serve

ROOT = Path(__file__).parent.parent

IMPORT_ALL = """
import importlib, sys, tokenwire
assert "site-packages" in tokenwire.__file__, tokenwire.__file__
NEEDS_AN_EXTRA = {"tokenwire.server.embedded", "tokenwire.transports.trio"}
NEEDS_AN_EXTRA |= {"tokenwire.transports.server", "tokenwire.pytest_plugin"}
NEEDS_AN_EXTRA |= {"tokenwire.replay.proxy", "tokenwire.replay.server"}
TESTING = ("cassettes", "dialect", "driving", "pieces", "strategies", "subject", "transport")
NEEDS_AN_EXTRA |= {f"tokenwire.testing.{name}" for name in TESTING}
SERVER = ("answering", "cassettes", "faults", "origin", "server")
NEEDS_AN_EXTRA |= {f"tokenwire.testing.llm.{name}" for name in SERVER}
COMMAND = (
    *("batch", "cassettes", "chat", "commands", "console", "decode", "gateway", "models"),
    *("parameters", "progress", "providers", "recording", "show", "terminal"),
)
NEEDS_AN_EXTRA |= {f"tokenwire.cli.{name}" for name in COMMAND}
EXTRAS = {"anyio", "click", "hypothesis", "opentelemetry", "pytest", "rich", "trio"}
WHOLE = ("tokenwire.gateway", "tokenwire.telemetry")
for name in sys.argv[1:]:
    needs = name in NEEDS_AN_EXTRA or name.startswith(WHOLE)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert needs, name
        assert error.name.partition(".")[0] in EXTRAS, (name, error)
    else:
        assert not needs, f"{name} needs no extra, or the environment is not clean"
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


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "src").rglob("*.py")}
    assert {module_name(ROOT / "src", folder) for folder in folders} == packages(ROOT / "src")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy, to which a format was added."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "src", folder / "sources" / "src")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "sources")
    planted = folder / "sources" / "src" / "protocols" / "formats" / "planted"
    planted.mkdir()
    (planted / "__init__.py").touch()
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "sources")
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_has_the_tree(wheel: Path) -> None:
    """A format's folder is in it without being listed anywhere."""
    tree = {f"tokenwire/{path.relative_to(ROOT / 'src')}" for path in (ROOT / "src").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith((".py", "py.typed"))}
    planted = "tokenwire/protocols/formats/planted/__init__.py"
    assert packed == {name.replace("\\", "/") for name in tree} | {planted, "tokenwire/py.typed"}


@pytest.fixture(scope="module")
def clean_python(wheel: Path) -> Path:
    """A Python with the built wheel and what that requires, and nothing else."""
    folder = wheel.parent / "clean"
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def test_every_module_of_the_wheel_imports(clean_python: Path) -> None:
    names = modules(ROOT / "src") - {"tokenwire.__main__"}  # which runs the command
    run(clean_python, "-I", "-c", IMPORT_ALL, *names)
    with pytest.raises(AssertionError, match=r"tokenwire\.cli\.planted"):
        run(clean_python, "-I", "-c", IMPORT_ALL, "tokenwire.cli.planted")


def test_the_wheel_asks_by_the_sync_transport(clean_python: Path) -> None:
    with serve("ylokh") as server:
        assert "Is the wheel whole?" in run(clean_python, "-I", "-c", ASK, server.url)


def test_import_loads_no_extra_no_event_loop_and_no_tls() -> None:
    assert run(sys.executable, "-c", LOADED) == "[]\n"

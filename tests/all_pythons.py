"""Runs the tests on every Python from 3.11 to 3.14 that this machine has: `make test-all`."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINORS = range(11, 15)


def find(minor: int) -> str | None:
    """A Python 3.`minor` that runs: on the PATH, or one of pyenv's (whose shims may not)."""
    versions = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
    for candidate in (shutil.which(f"python3.{minor}"), *map(str, reversed(versions))):
        if candidate is None:
            continue
        done = subprocess.run([candidate, "-c", ""], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    return None


def run(python: str, minor: int) -> bool:
    """Whether the tests pass on `python`, in an environment of its own."""
    environment = ROOT / ".venv" / f"python3.{minor}"
    own = environment / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", environment], check=True)
    install: list[str | Path] = [
        own,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*install, "-e", ".[dev]"], cwd=ROOT, check=True)
    return subprocess.run([own, "-m", "pytest", "-q"], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    found = {minor: python for minor in MINORS if (python := find(minor)) is not None}
    outcomes = {minor: run(python, minor) for minor, python in found.items()}
    for minor in MINORS:
        outcome = outcomes.get(minor)
        said = "not on this machine" if outcome is None else "passed" if outcome else "FAILED"
        print(f"Python 3.{minor}: {said}")
    return 0 if outcomes and all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

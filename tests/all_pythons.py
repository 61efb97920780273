"""Runs the tests on every Python from 3.11 to 3.14 that this machine has, each in an environment of
its own: `make test-all`.

    python tests/all_pythons.py [--quick] [--others]
"""

import argparse
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
        done = subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    return None


def run(python: str, minor: int, target: str) -> bool:
    """Whether the tests pass on `python`. Coverage is the matter of `make test`."""
    environment = f"VENV=.venv/python3.{minor}"
    print(f"Python 3.{minor}: make {target}", flush=True)
    make = ["make", "--no-print-directory", environment, f"PYTHON={python}", "COVERAGE=", target]
    return subprocess.run(make, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests on every Python of this machine.")
    parser.add_argument("--quick", action="store_true", help="only the quick tests")
    parser.add_argument("--others", action="store_true", help="not on the Python that runs this")
    options = parser.parse_args()
    own = sys.version_info.minor if options.others else None
    minors = [minor for minor in MINORS if minor != own]
    found = {minor: python for minor in minors if (python := find(minor)) is not None}
    target = "quick" if options.quick else "test"
    outcomes = {minor: run(python, minor, target) for minor, python in found.items()}
    for minor in minors:
        outcome = outcomes.get(minor)
        said = "not on this machine" if outcome is None else "passed" if outcome else "FAILED"
        print(f"Python 3.{minor}: {said}")
    return 0 if (outcomes or options.others) and all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

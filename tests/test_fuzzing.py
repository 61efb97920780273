"""The fuzzing targets: a short run of each, and that they find what is planted."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzzing import __main__ as fuzzing
from tests.fuzzing import targets

pytestmark = pytest.mark.skipif(
    find_spec("atheris") is None,
    reason="atheris is not installed: there is none for this Python or this system",
)

ROOT = Path(__file__).parent.parent
RUNS = 200


def fuzz(folder: Path, *arguments: str) -> tuple[int, str]:
    """The status and the words of the command, which does the same each time."""
    command = [sys.executable, "-m", "tests.fuzzing", "--seed=1", f"--folder={folder}", *arguments]
    return run(command)


def run(command: list[str]) -> tuple[int, str]:
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    environ.pop("TOKENWIRE_CORPUS", None)  # as seeds, it would take longer than a short run
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_short_run_of_each(tmp_path: Path) -> None:
    status, said = fuzz(tmp_path, f"--runs={RUNS}")
    assert status == 0, said
    row = re.compile(r"^(\S+) +([\d,]+) +[\d,]+ +(\d+) +(\d+)$", re.MULTILINE)
    rows = {match[1]: match for match in row.finditer(said)}
    assert rows.keys() == targets.TARGETS.keys(), said
    for match in rows.values():
        assert int(match[2].replace(",", "")) >= RUNS, said
        # Else tokenwire's code is not instrumented, and nothing guides the fuzzer.
        assert 20 < int(match[3]) <= int(match[4]), said


@pytest.mark.parametrize(
    ("plant", "target", "error"),
    [
        ("strict", "darkai", "UnicodeDecodeError"),
        ("trusting", "darkai", "AssertionError"),
    ],
)
def test_what_is_planted_is_found(plant: str, target: str, error: str, tmp_path: Path) -> None:
    status, said = fuzz(tmp_path, target, "--runs=20000", f"--plant={plant}")
    assert status == 1, said
    assert error in said


def test_a_finding_is_found_again(tmp_path: Path) -> None:
    _, said = fuzz(tmp_path, "lines", "--runs=20000", "--plant=piecewise")
    again = shlex.split(said.partition("Again: ")[2].partition("\n")[0])
    status, said = run([*again, "--plant=piecewise"])
    assert status != 0
    assert "AssertionError" in said
    assert run(again)[0] == 0  # it was the plant


def test_a_target_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzzing, "instrumented", lambda: targets)
    with pytest.raises(SystemExit, match="2"):
        fuzzing.main(["nothing"])
    assert "no target nothing; there are aichatonline, " in capsys.readouterr().err

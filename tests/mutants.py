"""Mutation testing of `src/protocols`: `python -m tests.mutants [module ...]`; else of all of them.

mutmut (https://mutmut.readthedocs.io) changes each function in all small ways that it knows, one at
a time, and the tests of its module have to notice. This fails if fewer than 90 % of the mutants of
a module are killed, or if one survives that `docs/mutants.md` does not list, with the reason why
nobody could tell it from the original.

mutmut leaves alone what is no function (tables, the defaults of structs, class attributes), and
functions that are decorated: properties above all.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "protocols"
BUILD = ROOT / ".mutants"
LISTED = ROOT / "docs" / "mutants.md"

ENOUGH = 0.9
KILLED = ("killed", "timeout", "segfault")
TESTED_BY = {"openai_choice": "openai"}
"""The test modules of modules that have none of their own name."""

AT_IMPORT = ("tokenwire.protocols.events.x__snake",)
"""Functions that run at the import of their module. mutmut switches a mutant on in a fork of a
process that has imported them all, which is too late for these."""

# mutmut tells modules by their paths: the package gets a folder of its real name.
PYPROJECT = """\
[tool.mutmut]
source_paths = ["tokenwire"]
only_mutate = ["{source}"]
also_copy = ["conftest.py"]
pytest_add_cli_args_test_selection = ["{tests}"]
timeout_constant = 2.0
timeout_multiplier = 5.0
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
addopts = "-p no:cacheprovider"
filterwarnings = ["error"]
"""

CONFTEST = '''\
"""Few examples, none of them shrunk: most mutants take a tenth of a second."""

import resource
from pathlib import Path

import tokenwire
from hypothesis import Phase, settings

assert Path.cwd() in Path(tokenwire.__file__).parents, tokenwire.__file__
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # for a mutant that never ends


def pytest_configure():
    few = settings(
        settings.get_profile("tokenwire"),
        max_examples=25,
        phases=(Phase.explicit, Phase.generate),
    )
    settings.register_profile("mutants", few)
    settings.load_profile("mutants")
'''


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of src/protocols.")
    parser.add_argument("modules", nargs="*", metavar="module", help="such as framing")
    parser.add_argument(
        "--again", action="store_true", help="only what was not killed, or has changed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    good = True
    for module in arguments.modules or modules():
        run(module, arguments.jobs, arguments.again)
        statuses = results(module) | killed_at_import(module)
        total.update(statuses.values())
        good &= report(module, statuses)
    print(summary("all", total))
    return not good


def modules() -> list[str]:
    """The modules of the core that have functions."""
    return sorted(
        path.stem
        for path in CORE.glob("*.py")
        if re.search(r"^ *def ", path.read_text(), re.MULTILINE)
    )


def run(module: str, jobs: int, again: bool) -> None:
    """Run the mutants of `module`. mutmut remembers in its folder what came of each of them."""
    stage = BUILD / module
    # Given a pattern, mutmut tries first whether pytest finds each test by its id: a mutant whose
    # tests are not found would count as killed.
    patterns = ["tokenwire.*"]
    if again:
        patterns = []
        forget_survivors(module)
    else:
        shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(ROOT / "src", stage / "tokenwire", dirs_exist_ok=True)
    shutil.copytree(ROOT / "tests", stage / "tests", dirs_exist_ok=True)
    pyproject = PYPROJECT.format(source=source(module), tests=tests_of(module))
    (stage / "pyproject.toml").write_text(pyproject)
    (stage / "conftest.py").write_text(CONFTEST)
    mutmut = Path(sys.executable).with_name("mutmut")
    command: list[str | Path] = [mutmut, "run", "--max-children", str(jobs), *patterns]
    with (stage / "log").open("wb") as log:
        ran = subprocess.run(command, cwd=stage, stdout=log, stderr=log, check=False)
    if ran.returncode:
        sys.exit(f"mutmut failed on {module}: see {stage / 'log'}")


def forget_survivors(module: str) -> None:
    """Have mutmut run again what was not killed, and find out anew which tests reach what. It runs
    functions that are others now by itself."""
    (BUILD / module / "mutants" / "mutmut-stats.json").unlink()
    meta = json.loads(meta_path(module).read_text())
    for name, status in results(module).items():
        if status not in KILLED:
            meta["exit_code_by_key"][name] = None
    meta_path(module).write_text(json.dumps(meta))


def results(module: str) -> dict[str, str]:
    """What came of each mutant, in mutmut's words, by its name."""
    meta = json.loads(meta_path(module).read_text())
    return {name: status_by_exit_code[code] for name, code in meta["exit_code_by_key"].items()}


def killed_at_import(module: str) -> dict[str, str]:
    """Which mutants of functions `AT_IMPORT` are killed in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", tests_of(module)]
    killed: dict[str, str] = {}
    for name in results(module):
        if name.partition("__mutmut_")[0] in AT_IMPORT:
            environment = os.environ | {"MUTANT_UNDER_TEST": name}
            folder = BUILD / module / "mutants"
            ran = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, check=False
            )
            if ran.returncode:
                killed[name] = "killed"
    return killed


def tests_of(module: str) -> str:
    return f"tests/test_{TESTED_BY.get(module, module)}.py"


def meta_path(module: str) -> Path:
    return BUILD / module / "mutants" / f"{source(module)}.meta"


def source(module: str) -> str:
    return f"tokenwire/protocols/{module}.py"


def report(module: str, statuses: dict[str, str]) -> bool:
    """Say what came of the mutants. Returns whether that is as it should be."""
    counts = Counter(statuses.values())
    print(summary(module, counts))
    survivors = [
        described(module, name) for name, status in statuses.items() if status not in KILLED
    ]
    listed = [hunk for hunk in hunks(LISTED.read_text()) if hunk.startswith(f"@@ {module}.")]
    unlisted = Counter(survivors) - Counter(listed)
    gone = Counter(listed) - Counter(survivors)
    for problem, found in (("it survives", unlisted), ("it is listed, but killed", gone)):
        for hunk in found.elements():
            print(f"\n{problem}:\n{hunk}")
    return not (unlisted or gone) and share_killed(counts) >= ENOUGH


def summary(name: str, counts: Counter[str]) -> str:
    words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"{name}: {counts.total()} mutants, {share_killed(counts):.1%} killed ({words})"


def share_killed(counts: Counter[str]) -> float:
    return sum(counts[status] for status in KILLED) / (counts.total() or 1)


def described(module: str, mutant: str) -> str:
    """The function and the lines that are others, in the form of a diff."""
    with change_cwd(BUILD / module):
        diff = get_diff_for_mutant(mutant, path=source(module))
    function = mutant.removeprefix("tokenwire.protocols.").partition("__mutmut")[0]
    function = re.sub(r"\.x(_|ǁ)", ".", function).replace("ǁ", ".")
    changed = [line for line in diff.splitlines()[2:] if line[:1] in ("-", "+")]
    return "\n".join([f"@@ {function} @@", *(f"{line[0]} {line[1:].strip()}" for line in changed)])


def hunks(text: str) -> list[str]:
    """The mutants that a Markdown document shows in this form."""
    blocks: list[str] = re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [hunk.strip() for block in blocks for hunk in re.split(r"^(?=@@)", block, flags=re.M)]


if __name__ == "__main__":
    sys.exit(main())

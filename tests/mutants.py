"""Mutation testing of `src/protocols`: `python -m tests.mutants [module ...]`; else of all of them.

mutmut (https://mutmut.readthedocs.io) changes each function in all small ways that it knows, one at
a time, and the tests of its module have to notice. This fails if fewer than 90 % of the mutants of
a module are killed, or if one survives that `docs/mutants.md` does not list, with the reason why
nobody could tell it from the original.

A module is named by its path in `src/protocols`, as in `toolkit.lines`; a package stands for all of
its modules. Survivors are listed one a line, in code blocks:

    toolkit.lines Lines.feed: _after_cr = False => _after_cr = None

that is the module, the function, and the code before and after, with no more around it than tells
the place from others in that function. Comments and white space don't count. If the same statement
occurs more than once, `#2` after the function means the second one.

mutmut leaves alone what is no function (tables, the defaults of structs, class attributes), and
functions that are decorated: properties above all. Presets are left out, too: they are data, though
functions write them, and a test that notices any other letter of them is a copy of them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from difflib import unified_diff
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import libcst
from mutmut.mutation.diff_apply import (
    read_mutant_function,
    read_mutants_module,
    read_original_function,
)
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "protocols"
BUILD = ROOT / ".mutants"
LISTED = ROOT / "docs" / "mutants.md"

ENOUGH = 0.9
KILLED = ("killed", "timeout", "segfault")
TESTED_BY = {"__init__": "server", "body": "request"}
"""Whose tests are those of a format's module that has none of its own name; else the client's."""

AT_IMPORT = (
    "tokenwire.protocols.events.x__snake",
    "tokenwire.protocols.serving.x__observed",
    "tokenwire.protocols.toolkit.json.x__but_none",
    "tokenwire.protocols.toolkit.json.xǁLenientǁ__init__",
    "tokenwire.protocols.toolkit.sse.xǁ_Formǁ__init__",
)
"""Functions that run at the import of their module, or whose results are cached. mutmut switches a
mutant on in a fork of a process that has run them all, which is too late for these."""

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
addopts = "-p no:cacheprovider -p no:tokenwire"
filterwarnings = ["error"]
asyncio_default_fixture_loop_scope = "function"
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


def pytest_collection_modifyitems(items):
    """Leave out what looks at the caller of a function: here that is mutmut."""
    items[:] = [item for item in items if "of_the_line_that_called" not in item.name]
'''


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of src/protocols.")
    parser.add_argument("modules", nargs="*", metavar="module", help="such as toolkit.lines")
    parser.add_argument(
        "--again", action="store_true", help="only what was not killed, or has changed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    listed = read_listed(LISTED.read_text())
    good = True
    for line in listed:
        if module_of(line) not in modules():
            print(f"it is listed, but there is no such module:\n{line}\n")
            good = False
    for module in chosen(arguments.modules):
        run(module, arguments.jobs, arguments.again)
        statuses = results(module) | killed_at_import(module)
        total.update(statuses.values())
        good &= report(module, statuses, listed)
    print(summary("all", total))
    return not good


def modules() -> list[str]:
    """The modules of the core that have functions, other than presets."""
    return sorted(
        ".".join(path.relative_to(CORE).with_suffix("").parts)
        for path in CORE.rglob("*.py")
        if path.stem != "presets" and re.search(r"^ *def ", path.read_text(), re.MULTILINE)
    )


def chosen(names: list[str]) -> list[str]:
    """The modules that `names` name, or that are in packages of those names; all if none."""
    if not names:
        return modules()
    found: dict[str, None] = {}
    for name in names:
        name = name.replace("/", ".")
        named = [module for module in modules() if f"{module}.".startswith(f"{name}.")]
        if not named:
            sys.exit(f"no module of src/protocols with functions: {name}")
        found.update(dict.fromkeys(named))
    return list(found)


def run(module: str, jobs: int, again: bool) -> None:
    """Run the mutants of `module`. mutmut remembers in its folder what came of each of them."""
    stage = BUILD / module
    # Given a pattern, mutmut tries first whether pytest finds each test by its id: a mutant whose
    # tests are not found would count as killed.
    patterns = ["tokenwire.*"]
    if again and meta_path(module).exists():
        patterns = []
        forget_survivors(module)
    else:
        shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(ROOT / "src", stage / "tokenwire", dirs_exist_ok=True)
    shutil.copytree(ROOT / "tests", stage / "tests", dirs_exist_ok=True)
    pyproject = PYPROJECT.format(source=source(module), tests=own_tests(module))
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
    (BUILD / module / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
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
    command = [sys.executable, "-m", "pytest", "-x", "-q", own_tests(module)]
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


def own_tests(module: str) -> str:
    *packages, name = module.split(".")
    if packages[:1] != ["formats"]:
        return str(Path("tests", "protocols", *packages, f"test_{name}.py"))
    folder = Path("tests", "formats", packages[-1])
    own = folder / f"test_{name}.py"
    return str(
        own if (ROOT / own).exists() else folder / f"test_{TESTED_BY.get(name, 'client')}.py"
    )


def meta_path(module: str) -> Path:
    return BUILD / module / "mutants" / f"{source(module)}.meta"


def source(module: str) -> str:
    return f"tokenwire/protocols/{module.replace('.', '/')}.py"


def report(module: str, statuses: dict[str, str], listed: list[str]) -> bool:
    """Say what came of the mutants. Returns whether that is as it should be."""
    counts = Counter(statuses.values())
    print(summary(module, counts))
    survivors = changes(module, [name for name in statuses if statuses[name] not in KILLED])
    unlisted, gone = differences(
        [change for change, _ in survivors], [line for line in listed if module_of(line) == module]
    )
    diffs = dict(survivors)
    for change in unlisted:
        print(f"\nit survives:\n{change}\n{diffs[change]}")
    for change in gone:
        print(f"\nit is listed, but killed:\n{change}")
    return not (unlisted or gone) and share_killed(counts) >= ENOUGH


def summary(name: str, counts: Counter[str]) -> str:
    words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"{name}: {counts.total()} mutants, {share_killed(counts):.1%} killed ({words})"


def share_killed(counts: Counter[str]) -> float:
    return sum(counts[status] for status in KILLED) / (counts.total() or 1)


def changes(module: str, names: list[str]) -> list[tuple[str, str]]:
    """What each of these mutants changes, as it is listed, and in the form of a diff."""
    found: list[tuple[str, str]] = []
    with change_cwd(BUILD / module):
        tree = read_mutants_module(source(module)) if names else libcst.Module([])
        for name in names:
            function, class_ = orig_function_and_class_names_from_key(name)
            before = libcst.Module([read_original_function(tree, name)]).code
            after = libcst.Module([read_mutant_function(tree, name)]).code
            where = f"{module} {class_}.{function}" if class_ else f"{module} {function}"
            found.append((described(where, before, after), lines_changed(before, after)))
    return found


def lines_changed(before: str, after: str) -> str:
    lines = unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if re.match(r"[-+](?![-+]{2} )", line))


# The list


def read_listed(text: str) -> list[str]:
    """The survivors that a Markdown document lists."""
    blocks: list[str] = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [folded(line) for block in blocks for line in block.splitlines() if line.strip()]
    for line in lines:
        if not _LISTED.fullmatch(line):
            sys.exit(f"this is no survivor, as tests/mutants.py prints one:\n{line}")
    return lines


_LISTED = re.compile(r"[\w.]+ [\w.]+( #\d+)?: .+ =>( .+)?")


def folded(text: str) -> str:
    return " ".join(text.split())


def module_of(line: str) -> str:
    return line.partition(" ")[0]


def differences(survivors: list[str], listed: list[str]) -> tuple[list[str], list[str]]:
    """The survivors that are not listed, and those listed that are none."""
    unlisted, gone = Counter(survivors) - Counter(listed), Counter(listed) - Counter(survivors)
    return list(unlisted.elements()), list(gone.elements())


# How a change is described


class Token(NamedTuple):
    """A token of Python; for this purpose, an f-string is one."""

    text: str
    first: bool
    """Whether a line begins with it, other than inside brackets."""

    spaced: bool
    """Whether there is white space before it."""

    @property
    def is_word(self) -> bool:
        """Whether it is a name, a number, a string or a keyword, but no operator."""
        return re.search(r"\w|[\"']", self.text) is not None

    @property
    def is_name(self) -> bool:
        """Whether it is a word that says where one is."""
        return self.is_word and self.text not in _COMMON and not self.text[0].isdigit()


_COMMON = ("in", "is", "not", "None")

_TOKEN = re.compile(
    r"""(?P<blank>(?:\s|\\\n|\#[^\n]*)+)
    | (?i:[bfru]{0,2})(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | \d[\w.]* | \w+
    | (?:\*\*|//|<<|>>|[-+*/%&|^@<>=!:])=? | .""",
    re.DOTALL | re.VERBOSE,
)


def tokens(code: str) -> list[Token]:
    """The tokens of a function, or of a part of one."""
    found: list[Token] = []
    depth = 0
    blank = "\n"
    for match in _TOKEN.finditer(code):
        if match["blank"]:
            blank = match[0]
            continue
        text = match[0]
        depth -= text in _CLOSING
        first = "\n" in blank and not depth
        after_bracket = found and found[-1].text in _OPENING
        wrapped = "\n" in blank and (after_bracket or text in _CLOSING)
        found.append(Token(folded(text), first, bool(blank) and not wrapped))
        depth += text in _OPENING
        blank = ""
    return found


_OPENING = ("(", "[", "{")
_CLOSING = (")", "]", "}")


def described(where: str, before: str, after: str) -> str:
    """How a function was changed, in a line: the tokens that are others, and the fewest around them
    that tell the place: a word before, the brackets that close, and more of the line if need be."""
    old, new = tokens(before), tokens(after)
    words, new_words = [token.text for token in old], [token.text for token in new]
    start = alike(words, new_words)
    same = alike(words[start:][::-1], new_words[start:][::-1])
    left, right = widened(old, new, start, len(old) - same)
    places = occurrences(words, left, right)
    while len(places) > 1:
        if not old[left].first:
            left -= 1
        elif not is_end(old, right):
            right += 1
        else:
            break
        places = occurrences(words, left, right)
    place = places.index(left) + 1
    number = f" #{place}" if place > 1 else ""
    changed = rendered(new[left : right + len(new) - len(old)])
    return f"{where}{number}: {rendered(old[left:right])} => {changed}".rstrip()


def alike(words: list[str], others: list[str]) -> int:
    """With how many words both begin."""
    pairs = zip(words, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def widened(old: list[Token], new: list[Token], start: int, end: int) -> tuple[int, int]:
    """`old[start:end]`, which is other in `new`, with what makes it readable."""
    left, right = start, end
    while left and (left == len(old) or not old[left].first):
        left -= 1
        balance = opened(old[left:start])
        if (old[left].is_name and balance >= 0) or (old[left].text == "{" and balance > 0):
            break
    changed = old[start:end] + new[start : end + len(new) - len(old)]
    if not any(token.is_word for token in changed):
        while not is_end(old, right):
            right += 1
            if old[right - 1].is_word and (is_end(old, right) or old[right].text != "."):
                break
    while right < len(old) and old[right].text in _CLOSING and opened(old[left:right]) > 0:
        right += 1
    return left, right


def opened(found: list[Token]) -> int:
    """How many brackets are open after these tokens; less than 0: more are closed than opened."""
    return sum((token.text in _OPENING) - (token.text in _CLOSING) for token in found)


def is_end(found: list[Token], place: int) -> bool:
    """Whether a line ends before `place`."""
    return place == len(found) or found[place].first


def occurrences(words: list[str], left: int, right: int) -> list[int]:
    """Where else there is what is there from `left` to `right`, and that place."""
    size = right - left
    part = words[left:right]
    return [at for at in range(len(words) - size + 1) if words[at : at + size] == part]


def rendered(found: list[Token]) -> str:
    return "".join(" " * token.spaced + token.text for token in found).strip()


if __name__ == "__main__":
    sys.exit(main())

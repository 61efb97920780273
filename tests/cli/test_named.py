"""A provider by its name, and one of the user's own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commanding import CLEAN, Outcome, run
from tokenwire import PROVIDERS, LocalProtocolError
from tokenwire.cli import Exit
from tokenwire.cli.named import find_provider


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_name(name: str) -> None:
    assert find_provider(name) is PROVIDERS[name]


def test_one_of_the_current_directory(mine: Path) -> None:
    nice = find_provider("mine:NICE")
    assert nice.name == "nice"
    assert find_provider("mine:NICE") is nice
    assert sys.path.count(str(mine)) == 1


def test_one_of_a_package(mine: Path) -> None:
    (mine / "package").mkdir()
    (mine / "package" / "inner.py").write_text("from mine import NICE as PROVIDER")
    assert find_provider("package.inner:PROVIDER").name == "nice"


def test_one_of_tokenwire() -> None:
    for name in PROVIDERS:
        assert find_provider(name) is PROVIDERS[name]


def test_the_example_of_the_documents(mine: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "command.md").read_text()
    (example,) = re.findall("```python\n(.*?)```", text, re.DOTALL)
    (mine / "documented.py").write_text(example)
    outcome = run("chat", "-p", "documented:LOCAL", "--embedded", "Hello")
    assert outcome == Outcome(Exit.OK, "local llama3 was asked: Hello\n", "")


BROKEN = {
    "needs.py": "import needed_and_missing",
    "syntax.py": "x = = 1",
    "fails.py": "raise ValueError('oops')",
    "exits.py": "import sys; sys.exit('use it otherwise')",
    "empty.py": "",
}
FAILURES = {
    "darkia": "there is no provider 'darkia'; did you mean darkai",
    "mine:": "'mine:': give a provider of your own as module:NAME",
    ":NICE": "':NICE': give a provider of your own as module:NAME",
    "nowhere:NICE": "there is no module nowhere, neither in this directory nor on Python's path",
    "mine.sub:NICE": "there is no module mine.sub, neither in this directory nor on Python's path",
    "no.where:NICE": "there is no module no.where, neither in this directory nor on Python's path",
    "needs:NICE": "importing needs raised ModuleNotFoundError: No module named 'needed_and_",
    "syntax:NICE": "importing syntax raised SyntaxError: invalid syntax (syntax.py, line 1)",
    "fails:NICE": "importing fails raised ValueError: oops (--traceback shows where)",
    "exits:NICE": "importing exits raised SystemExit: use it otherwise",
    "empty:NICE": "empty:NICE: empty has no NICE",
    "mine:NIECE": "mine has no NIECE (its providers: NICE, BAD_SERVER, NO_SERVER, BAD_CLIENT)",
    "mine:DIALECT": "mine:DIALECT must be a Provider, not OpenAI",
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("command", ["chat", "serve", "decode"])
def test_what_is_not_found_is_one_line(command: str, name: str, mine: Path) -> None:
    for file, text in BROKEN.items():
        (mine / file).write_text(text)
    with pytest.raises(LocalProtocolError) as caught:
        find_provider(name)
    outcome = run(command, "--provider", name)
    assert outcome == Outcome(Exit.USAGE, "", f"tokenwire: {caught.value}\n")
    assert FAILURES[name] in outcome.err


def test_where_an_import_fails_is_in_the_traceback(mine: Path) -> None:
    (mine / "fails.py").write_text("\n\nraise ValueError('oops')")
    outcome = run("chat", "-p", "fails:X", "--traceback")
    assert f'File "{mine}/fails.py", line 3, in <module>' in outcome.err


def test_the_current_directory_can_be_kept_out(mine: Path) -> None:
    """By Python's own -P, as with -m."""
    arguments = ["-m", "tokenwire", "chat", "-p", "mine:NICE", "--embedded", "Hello"]
    codes = [
        subprocess.run(
            [sys.executable, *options, *arguments],
            cwd=mine,
            env=CLEAN,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        ).returncode
        for options in ([], ["-P"])
    ]
    assert codes == [Exit.OK, Exit.USAGE]

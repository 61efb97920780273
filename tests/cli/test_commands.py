"""Arguments, help and completion."""

import subprocess
from pathlib import Path

import pytest

from tests.commanding import run
from tokenwire import PROVIDERS, __version__
from tokenwire.cli import Exit

COMMANDS = ["batch", "chat", "completion", "decode", "gateway", "providers", "serve"]


def test_alone_it_helps() -> None:
    for arguments in ([], ["-h"], ["--help"]):
        outcome = run(*arguments)
        assert outcome.code == Exit.OK
        for name in COMMANDS:
            assert f"\n  {name} " in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_helps(command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == Exit.OK
    assert outcome.out.startswith(f"Usage: tokenwire {command} [OPTIONS]")
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_help_fits_a_narrow_terminal() -> None:
    assert run("chat", "--help", width=40).code == Exit.OK


def test_version() -> None:
    assert run("--version").out == f"tokenwire {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frob"], "No such command 'frob'. (see tokenwire --help)"),
        (["chat", "--frob"], "--frob"),
        (["decode", "no/such/file"], "does not exist. (see tokenwire decode --help)"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        (["serve", "--port", "70000"], "--port"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], words: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith("tokenwire: ")
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_other_errors_of_click_are_usage_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    def fail(*_: object, **__: object) -> None:
        raise click.FileError("x", "it is gone")

    monkeypatch.setattr("tokenwire.cli.providers.run_providers", fail)
    outcome = run("providers")
    assert outcome.code == Exit.USAGE
    assert outcome.err.count("\n") == 1


def test_usage_without_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    def fail(*_: object, **__: object) -> None:
        raise click.UsageError("x")

    monkeypatch.setattr("tokenwire.cli.providers.run_providers", fail)
    assert run("providers").err == "tokenwire: x (see tokenwire providers --help)\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    outcome = run("completion", shell)
    assert outcome.code == Exit.OK
    assert "_TOKENWIRE_COMPLETE" in outcome.out


def complete(*words: str) -> list[str]:
    """What zsh would be told about the last one of `words`."""
    outcome = run(
        environment={
            "_TOKENWIRE_COMPLETE": "zsh_complete",
            "COMP_WORDS": " ".join(("tokenwire", *words)),
            "COMP_CWORD": str(len(words)),
        }
    )
    assert outcome.code == Exit.OK
    return outcome.out.splitlines()[1::3]


def test_completions() -> None:
    assert complete("ch") == ["chat"]
    assert complete("chat", "-p", "") == list(PROVIDERS)
    assert complete("chat", "-p", "darkai", "-m", "llama-3.") == ["llama-3.1-70b"]
    assert complete("chat", "-m", "gpt") == []
    assert complete("decode", "-d", "yl") == ["ylokh"]


def test_completions_for_a_provider_of_ones_own(mine: Path) -> None:
    assert complete("chat", "-p", "mine:NICE", "-m", "") == ["n-1"]
    assert complete("chat", "-p", "mine:NIECE", "-m", "") == []


def test_the_script_works_in_bash() -> None:
    script = run("completion", "bash").out
    done = subprocess.run(
        ["bash", "-n"], input=script, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

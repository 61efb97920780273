"""`tokenwire models`."""

import msgspec

from tests.commanding import Outcome, run
from tokenwire import PROVIDERS
from tokenwire.cli import Exit
from tokenwire.server import serve


def test_ids_one_on_a_line() -> None:
    outcome = run("models", "-p", "anthropic", "--embedded")
    names = PROVIDERS["anthropic"].models
    assert outcome == Outcome(Exit.OK, "".join(f"{name}\n" for name in names), "")


def test_a_service_with_a_key() -> None:
    with serve("anthropic", key="sesame") as server:
        arguments = ("models", "-p", "anthropic", "--base-url", server.url)
        outcome = run(*arguments, "--json", environment={"ANTHROPIC_API_KEY": "sesame"})
        listed = [msgspec.json.decode(line) for line in outcome.out.splitlines()]
        assert [each["id"] for each in listed] == list(PROVIDERS["anthropic"].models)
        assert run(*arguments, environment={"TOKENWIRE_KEY": "sesame"}).code == Exit.OK
        wrong = run(*arguments, environment={"TOKENWIRE_KEY": "wrong"})
    assert wrong.code != Exit.OK
    assert "the API key is missing or wrong" in wrong.err


def test_a_service_without_a_list() -> None:
    outcome = run("models", "-p", "darkai", "--embedded")
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err == "tokenwire: darkai has no list of models\n"

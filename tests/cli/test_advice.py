"""Advice in error messages."""

from pathlib import Path

import pytest

import tokenwire
from tests.commanding import run
from tokenwire import (
    PROVIDERS,
    AuthenticationFailed,
    ConnectFailed,
    LocalProtocolError,
    Redirected,
    TimedOut,
    TokenwireError,
    Truncated,
)
from tokenwire.cli import Exit
from tokenwire.cli.advice import PHRASES, in_command_words
from tokenwire.protocols.errors import Clock
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_library_says_it(phrase: str) -> None:
    """Else a message was reworded, and the command gives the library's advice again."""
    root = Path(tokenwire.__file__).parent
    sources = [path for path in root.rglob("*.py") if path.parent.name != "cli"]
    joined = "".join(path.read_text().replace('"\n', "") for path in sources)
    without_breaks = "".join(part.strip() for part in joined.replace('"', "").splitlines())
    assert phrase.replace(" ", "") in without_breaks.replace(" ", "")


CLOCKS: list[tuple[Clock, str]] = [
    ("connect", "--connect"),
    ("first_event", "--first-event"),
    ("idle", "--idle"),
    ("total", "--timeout"),
]


@pytest.mark.parametrize(("clock", "option"), CLOCKS)
def test_a_clock_has_an_option(clock: Clock, option: str) -> None:
    assert in_command_words(TimedOut("late", clock), None) == f"late; {option} sets this limit"


def with_status(status: int) -> TokenwireError:
    error = AuthenticationFailed("no")
    error.status = status
    return error


KEY = "the key is read from TOKENWIRE_KEY"
ADVICE: list[tuple[TokenwireError, str, str]] = [
    (with_status(401), "openai", f"no; {KEY} or OPENAI_API_KEY"),
    (with_status(403), "ylokh", f"no; {KEY}"),
    (with_status(407), "openai", "no; the proxy's user and password are part of --proxy"),
    (with_status(401), "darkai", "no"),
    (Redirected("moved"), "openai", "moved; if the service has moved, give its new address by "),
    (Truncated("it ended"), "openai", "it ended"),
    (
        LocalProtocolError("x needs y: give params={'y': ...}, or set X_Y"),
        "openai",
        "x needs y: set X_Y",
    ),
    (
        LocalProtocolError("x needs y: give params={'y': ...}"),
        "openai",
        "x needs y: give the address by --base-url",
    ),
]


@pytest.mark.parametrize(("error", "provider", "words"), ADVICE)
def test_advice(error: TokenwireError, provider: str, words: str) -> None:
    assert in_command_words(error, PROVIDERS[provider]).startswith(words)
    assert in_command_words(error, None)


def test_a_key_that_is_refused() -> None:
    with serve("openai", key="sesame") as server:
        outcome = run("chat", "-m", "m", "--base-url", server.url, "Hello")
    assert outcome.code == Exit.REFUSED
    assert outcome.err.endswith("; the key is read from TOKENWIRE_KEY or OPENAI_API_KEY\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chat", "-m", "m", "--base-url", "a.b", "Hello"), "the base URL 'a.b': give http://"),
        (("serve", "--public-url", "a.b"), "--public-url 'a.b': give http://"),
        (("serve", "--cors", "*"), "--cors '*': give http://"),
        (("record", "-o", "x", "--upstream", "a.b"), "--upstream 'a.b': give http://"),
    ],
)
def test_an_option_is_called_as_it_is(arguments: tuple[str, ...], words: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith(f"tokenwire: {words}")


def test_credentials_in_an_address() -> None:
    outcome = run("chat", "-m", "m", "--base-url", "http://user:hidden@a.b/", "Hello")
    assert outcome.code == Exit.USAGE
    assert "give a key in TOKENWIRE_KEY, or a --header, not in the URL" in outcome.err
    assert "hidden" not in outcome.err


def test_the_address_that_was_asked_is_named() -> None:
    with serve("openai", fault=RefuseWith(404, message="no such path")) as server:
        outcome = run("chat", "-m", "m", "--base-url", f"{server.url}?key=hidden", "Hello")
    assert outcome.code == Exit.REFUSED
    assert outcome.err == (
        "tokenwire: the service refused: no such path; "
        f"the request was POST {server.url}/chat/completions\n"
    )
    outcome = run("chat", "-m", "m", "--base-url", server.url, "Hello")
    assert outcome.code == Exit.NETWORK
    assert outcome.err.endswith(f"; the request was POST {server.url}/chat/completions\n")


def test_a_file_of_authorities_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ConnectFailed("no; give a context that trusts it with ssl_context=")
    for path, words in (("", ""), (__file__, ""), ("/none.pem", " (/none.pem is not a file)")):
        monkeypatch.setenv("SSL_CERT_FILE", path)
        said = in_command_words(error, None)
        assert said.endswith(f"with --ca-file, or in SSL_CERT_FILE{words}")


def test_who_gave_no_key_is_told_once() -> None:
    error = AuthenticationFailed("no")
    error.advice = "no key was given: give key=..., or set OPENAI_API_KEY"
    said = in_command_words(error, PROVIDERS["openai"])
    assert said == "no; the key is read from TOKENWIRE_KEY or OPENAI_API_KEY"
    assert in_command_words(error, None) == "no"

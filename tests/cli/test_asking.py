"""What the commands that ask a service have in common."""

import ssl
from math import inf
from pathlib import Path

import pytest

from tests.certificates import authority, server_context
from tests.commanding import Outcome, run
from tokenwire import PROVIDERS, Clocks, LocalProtocolError
from tokenwire.cli import Exit
from tokenwire.cli.asking import AskOptions, own_context
from tokenwire.server import serve
from tokenwire.server.faults import StallAfter

TRANSPORTS = ["sync", "asyncio", "anyio", "trio", "httpx"]


def options(**given: float) -> AskOptions:
    return AskOptions(
        provider=PROVIDERS["darkai"],
        base_url=None,
        headers=(),
        proxy=None,
        ca_file=None,
        embedded=False,
        **{"timeout": None, "connect": None, "first_event": None, "idle": None, **given},
    )


def test_clocks() -> None:
    own = PROVIDERS["darkai"].clocks
    assert options().clocks == own
    assert options(idle=3).clocks == Clocks(
        connect=own.connect, first_event=own.first_event, idle=3, total=own.total
    )
    assert options(timeout=300).clocks == Clocks(
        connect=None, first_event=None, idle=None, total=300
    )
    assert options(timeout=inf, idle=inf).clocks == Clocks(
        connect=None, first_event=None, idle=None, total=None
    )
    assert options(timeout=300, connect=1, first_event=2, idle=3).clocks == Clocks(
        connect=1, first_event=2, idle=3, total=300
    )


@pytest.mark.parametrize("option", ["--first-event", "--idle"])
def test_clocks_run_out(option: str) -> None:
    with serve("ylokh", fault=StallAfter(0 if option == "--first-event" else 300)) as server:
        arguments = ("-p", "ylokh", "--base-url", server.url, option, "0.05")
        outcome = run("chat", *arguments, "Hello")
    assert outcome.code == Exit.TIMED_OUT
    assert f"{option} sets this limit\n" in outcome.err


def test_a_clock_that_is_no_number() -> None:
    outcome = run("chat", "--embedded", "--idle", "nan", "Hello")
    assert outcome.code == Exit.USAGE
    assert "'--idle': nan is not a number (see " in outcome.err
    outcome = run("chat", "--embedded", "--idle", "5s", "Hello")
    assert "'--idle': '5s' is not a valid number. (see " in outcome.err
    assert run("serve", "--pause", "nan").code == Exit.USAGE


def test_headers() -> None:
    with serve("anthropic") as server:
        arguments = ("-p", "anthropic", "--base-url", server.url, "-H", "X-Team: a:b ")
        assert run("chat", "-m", "claude", *arguments, "--header", "x-b:", "Hi").code == Exit.OK
        assert run("models", *arguments).code == Exit.OK
    for request in server.requests:
        assert dict(request.headers)[b"x-team"] == b"a:b"
    assert dict(server.requests[0].headers)[b"x-b"] == b""


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("x-secret", "--header: give NAME:VALUE, as in -H 'x-team: blue'"),
        (": hidden", "--header: give NAME:VALUE, as in -H 'x-team: blue'"),
        ("a b: hidden", "header name 'a b': use only letters, digits and hyphens"),
        ("a: hidden\u20ac", "header a: use only Latin-1 characters"),
    ],
)
def test_headers_that_are_wrong(header: str, words: str) -> None:
    outcome = run("chat", "--embedded", "-H", header, "Hello")
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith(f"tokenwire: {words}")
    assert "hidden" not in outcome.err


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """A file with the authority of the tests."""
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


def ask(*arguments: str, **environment: str) -> Outcome:
    with serve("ylokh", ssl_context=server_context()) as server:
        place = ("-p", "ylokh", "--base-url", server.url)
        return run("chat", *place, *arguments, "Hello", environment=environment)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_authority_of_ones_own(ca: Path, transport: str) -> None:
    assert ask("-t", transport, "--ca-file", str(ca)).code == Exit.OK
    outcome = ask("-t", transport)
    assert outcome.code == Exit.NETWORK
    assert "give its authority's file with --ca-file, or in SSL_CERT_FILE" in outcome.err
    assert "ssl_context" not in outcome.err
    assert "verify=" not in outcome.err


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_variables_of_others(ca: Path, name: str) -> None:
    assert ask(**{name: str(ca)}).code == Exit.OK
    assert ask("--ca-file", str(ca), **{name: "/no/such/file"}).code == Exit.OK
    outcome = ask(**{name: "/no/such/file"})
    assert outcome.code == Exit.USAGE
    assert f"{name}: /no/such/file can't be used: No such file or directory" in outcome.err


def test_models_of_a_service_with_an_authority_of_ones_own(ca: Path) -> None:
    with serve("openai", ssl_context=server_context()) as server:
        arguments = ("models", "--base-url", server.url, "--ca-file", str(ca))
        assert run(*arguments).code == Exit.OK


def test_what_is_trusted(ca: Path, tmp_path: Path) -> None:
    only = own_context(ca, {"REQUESTS_CA_BUNDLE": "/no/such/file"})
    assert only is not None
    assert only.verify_mode == ssl.CERT_REQUIRED
    assert only.check_hostname
    (trusted,) = only.get_ca_certs()
    more = own_context(None, {"CURL_CA_BUNDLE": str(ca), "REQUESTS_CA_BUNDLE": str(tmp_path)})
    assert more is not None
    assert trusted in more.get_ca_certs()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_what_python_reads_itself_is_not_read_again(name: str) -> None:
    assert own_context(None, {}) is None
    assert own_context(None, {"CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "/x", name: "/x"}) is None


def test_a_file_without_certificates(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(LocalProtocolError, match=r"^--ca-file: .*empty.pem .*has no certificates$"):
        own_context(empty, {})


def test_embedded_trusts_nobody_in_particular() -> None:
    environment = {"REQUESTS_CA_BUNDLE": "/no/such/file"}
    assert run("chat", "--embedded", "Hello", environment=environment).code == Exit.OK
    assert run("models", "--embedded", "--base-url", "http://x").code == Exit.USAGE

"""A transport by its name."""

import sys
from importlib import import_module
from importlib.util import resolve_name
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from tests.asking import question
from tests.commanding import Outcome, run
from tokenwire import LocalProtocolError
from tokenwire.cli import Exit
from tokenwire.cli.transports import open_transport


@pytest.mark.parametrize("transport", ["sync", "asyncio", "anyio", "trio", "httpx"])
def test_each_transport_gives_the_same_answer(transport: str) -> None:
    outcome = run("chat", "-p", "aichatonline", "--embedded", "-t", transport, "Hello")
    assert outcome == Outcome(Exit.OK, "aichatonline gpt-4o-mini was asked: Hello\n", "")


@pytest.mark.parametrize("transport", ["asyncio", "anyio", "trio", "httpx"])
@pytest.mark.parametrize("what", ["tokenwire.transports.{}", "{}"])
def test_one_that_is_not_installed(transport: str, what: str) -> None:
    module = what.format(transport)

    def fake(name: str, package: str | None = None) -> ModuleType:
        if resolve_name(name, package) == module:
            raise ModuleNotFoundError(name=module)
        return import_module(name, package)

    with patch("tokenwire.cli.transports.import_module", fake):
        outcome = run("chat", "--embedded", "-t", transport, "Hello")
    assert outcome.code == Exit.USAGE
    expected = f"the transport {transport} is not installed: pip install 'tokenwire[{transport}]'"
    assert outcome.err == f"tokenwire: {expected}\n"


class Broken:
    """A client on which something comes wrapped in a group."""

    error: BaseException

    def __init__(self, **_: object) -> None:
        pass

    async def __aenter__(self) -> None:
        raise BaseExceptionGroup("a nursery's", [self.error])

    async def __aexit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_ctrl_c_is_itself_even_in_a_group(error: BaseException) -> None:
    broken: Any = ModuleType("broken")
    broken.Client = type("Client", (Broken,), {"error": error})
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else BaseExceptionGroup
    with (
        patch.dict(sys.modules, {"tokenwire.transports.trio": broken}),
        open_transport("trio", proxy=None, trust_env=False) as ask,
        pytest.raises(kind),
    ):
        ask(question(), lambda _: None)


@pytest.mark.parametrize("transport", ["sync", "asyncio", "anyio", "trio", "httpx"])
@pytest.mark.parametrize("allowed", [True, False])
def test_private_addresses_are_allowed_on_request(transport: str, allowed: bool) -> None:
    given: list[bool] = []

    class Client:
        def __init__(self, *_: object, allow_private_addresses: bool, **__: object) -> None:
            given.append(allow_private_addresses)
            raise LocalProtocolError("enough")

    words = ["--allow-private-addresses"] if allowed else []
    with patch(f"tokenwire.transports.{transport}.Client", Client):
        outcome = run("chat", "--embedded", "-t", transport, *words, "Hello")
    assert outcome.err == "tokenwire: enough\n"
    assert given == [allowed]


def test_a_proxy_that_can_be_none_is_told_at_once() -> None:
    with (
        pytest.raises(LocalProtocolError),
        open_transport("sync", proxy="socks5://127.0.0.1:1", trust_env=False),
    ):
        pass

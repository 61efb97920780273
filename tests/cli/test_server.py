"""What the commands want of a server half."""

from unittest.mock import patch

import pytest

from tests.commanding import run
from tests.subjects import EACH_FORMAT
from tokenwire import PROVIDERS, Service
from tokenwire.cli import Exit
from tokenwire.cli.server import any_chat, exchange_at_chat, takes_key


@pytest.mark.parametrize("arguments", [["chat", "--embedded", "Hello"], ["serve"]])
def test_without_the_extra_it_says_so(arguments: list[str]) -> None:
    with patch.dict("sys.modules", {"tokenwire.server.embedded": None}):
        outcome = run(*arguments)
    assert outcome.code == Exit.USAGE
    expected = "the embedded server is not installed: pip install 'tokenwire[server]'"
    assert outcome.err == f"tokenwire: {expected}\n"


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_the_request_is_one_that_the_service_takes(provider: str) -> None:
    service = Service(PROVIDERS[provider], base_url="http://localhost")
    chat = any_chat(PROVIDERS[provider])
    exchange, request = exchange_at_chat(service, chat)
    asked = service.responder().receive_request(request)
    assert asked is not None
    assert asked.messages == chat.messages
    exchange.receive_response(200, [])  # which is what comes next


def test_who_takes_a_key() -> None:
    assert takes_key(PROVIDERS["openai"])
    assert not takes_key(PROVIDERS["darkai"])

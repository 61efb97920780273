"""Cohere of us against a server of others: npm's @copilotkit/aimock."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.aimock import running_aimock
from tests.every_transport import TRANSPORTS
from tests.node import needs_node
from tokenwire import NO_RETRY, Exchange, RateLimited, Tool, Truncated, make_exchange

pytestmark = needs_node
run = TRANSPORTS["sync"]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running aimock, as the variables of the SDKs have it."""
    with running_aimock(tmp_path_factory.mktemp("aimock")) as url:
        yield url.removesuffix("/v1")


def ask(url: str, question: str, **how: Any) -> Exchange:
    return make_exchange("cohere", question, model="command-a", base_url=url, key="k", **how)


@pytest.mark.parametrize("stream", [True, False])
def test_text_and_usage(aimock: str, stream: bool) -> None:
    (outcome,) = run(ask(aimock, "hello", stream=stream))
    assert outcome.error is None
    assert outcome.reply.text == "Hello from aimock, \u00fcber several chunks."
    assert outcome.reply.finish_reason == "COMPLETE"
    assert outcome.reply.usage is not None


@pytest.mark.parametrize("stream", [True, False])
def test_tools(aimock: str, stream: bool) -> None:
    (outcome,) = run(ask(aimock, "weather", tools=(Tool("weather"),), stream=stream))
    (call,) = outcome.reply.tool_calls
    assert (call.name, call.arguments, call.complete) == ("weather", '{"city":"Rome"}', True)
    assert outcome.reply.finish_reason == "TOOL_CALL"


def test_rate_limit(aimock: str) -> None:
    (outcome,) = run(ask(aimock, "too often"), retry=NO_RETRY)
    assert isinstance(outcome.error, RateLimited)
    assert "Slow down" in str(outcome.error)


def test_disconnect(aimock: str) -> None:
    (outcome,) = run(ask(aimock, "cut"), retry=NO_RETRY)
    assert isinstance(outcome.error, Truncated), outcome.error
    assert outcome.reply.id  # its first chunks say no more
    assert "This answer is cut".startswith(outcome.reply.text)

"""Us against a server of others: npm's @copilotkit/aimock, started here when node is there."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.aimock import running_aimock
from tests.every_transport import TRANSPORTS, Run
from tests.node import needs_node
from tokenwire import (
    NO_RETRY,
    Exchange,
    Malformed,
    RateLimited,
    Tool,
    Truncated,
    make_exchange,
)

pytestmark = needs_node


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_aimock(tmp_path_factory.mktemp("aimock")) as url:
        yield url


@pytest.fixture
def run() -> Run:
    """One transport: all others are tried with chat completions."""
    return TRANSPORTS["sync"]


def ask(url: str, question: str, **how: Any) -> Exchange:
    return make_exchange("openai-responses", question, model="gpt-4o", base_url=url, key="k", **how)


@pytest.mark.parametrize("stream", [True, False])
def test_text_and_usage(run: Run, aimock: str, stream: bool) -> None:
    (outcome,) = run(ask(aimock, "hello", stream=stream))
    assert outcome.error is None
    assert outcome.reply.text == "Hello from aimock, \u00fcber several chunks."
    assert outcome.reply.finish_reason == "completed"
    assert outcome.reply.model == "gpt-4o"
    assert outcome.reply.usage is not None
    assert outcome.reply.evidence == "terminator"


@pytest.mark.parametrize("stream", [True, False])
def test_tools(run: Run, aimock: str, stream: bool) -> None:
    (outcome,) = run(ask(aimock, "weather", tools=(Tool("weather"),), stream=stream))
    (call,) = outcome.reply.tool_calls
    assert (call.name, call.arguments, call.complete) == ("weather", '{"city":"Rome"}', True)
    assert outcome.reply.finish_kind == "tool_call"


def test_rate_limit(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "too often"), retry=NO_RETRY)
    assert isinstance(outcome.error, RateLimited)
    assert "Slow down" in str(outcome.error)


def test_disconnect(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "cut"), retry=NO_RETRY)
    assert isinstance(outcome.error, Truncated), outcome.error
    assert "This answer".startswith(outcome.reply.text)


def test_malformed(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "garbage"), retry=NO_RETRY)
    assert isinstance(outcome.error, Malformed)
    assert b"malformed json" in outcome.error.data

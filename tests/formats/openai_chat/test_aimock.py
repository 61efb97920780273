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
    Retry,
    Tool,
    Truncated,
    make_exchange,
)

pytestmark = needs_node


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_aimock(tmp_path_factory.mktemp("aimock")) as url:
        yield url


@pytest.fixture(params=sorted(TRANSPORTS))
def run(request: pytest.FixtureRequest) -> Run:
    return TRANSPORTS[request.param]


def ask(url: str, question: str, **how: Any) -> Exchange:
    extra = {"stream_options": {"include_usage": True}} if how.get("stream", True) else {}
    return make_exchange(
        "openai", question, model="gpt-4o", base_url=url, key="k", extra=extra, **how
    )


@pytest.mark.parametrize("stream", [True, False])
def test_text_and_usage(run: Run, aimock: str, stream: bool) -> None:
    (outcome,) = run(ask(aimock, "hello", stream=stream))
    assert outcome.error is None
    assert outcome.reply.text == "Hello from aimock, über several chunks."
    assert outcome.reply.finish_reason == "stop"
    assert outcome.reply.model == "gpt-4o"
    assert outcome.reply.usage is not None
    assert outcome.reply.usage.output_tokens
    assert outcome.reply.evidence == "terminator"


@pytest.mark.parametrize("stream", [True, False])
def test_tools(run: Run, aimock: str, stream: bool) -> None:
    (outcome,) = run(ask(aimock, "weather", tools=(Tool("weather"),), stream=stream))
    (call,) = outcome.reply.tool_calls
    assert (call.name, call.arguments, call.complete) == ("weather", '{"city":"Rome"}', True)
    assert outcome.reply.finish_reason == "tool_calls"


def test_rate_limit(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "too often"), retry=NO_RETRY)
    assert isinstance(outcome.error, RateLimited)
    assert "Slow down" in str(outcome.error)
    assert outcome.error.retry_after == "1"
    assert outcome.error.request_id


def test_a_rate_limit_that_is_not_waited_for(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "too often"), retry=Retry(longest_wait=0.5))
    assert isinstance(outcome.error, RateLimited)


def test_disconnect(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "cut"), retry=NO_RETRY)
    assert isinstance(outcome.error, Truncated), outcome.error
    assert "This answer".startswith(outcome.reply.text)
    assert outcome.reply.text


def test_malformed(run: Run, aimock: str) -> None:
    (outcome,) = run(ask(aimock, "garbage"), retry=NO_RETRY)
    assert isinstance(outcome.error, Malformed)
    assert b"malformed json" in outcome.error.data

"""Us against a server of others: npm's @copilotkit/aimock, started here when node is there."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.every_transport import TRANSPORTS, Run
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

VERSION = "1.43.0"
HOME = Path(__file__).parents[3] / ".venv" / "aimock"
PROGRAM = HOME / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node and npm are not on this machine: aimock can't be started",
)

FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "hello"},
        "response": {"content": "Hello from aimock, über several chunks."},
    },
    {
        "match": {"userMessage": "weather"},
        "response": {"toolCalls": [{"name": "weather", "arguments": '{"city":"Rome"}'}]},
    },
    {
        "match": {"userMessage": "too often"},
        "response": {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429},
    },
    {
        "match": {"userMessage": "cut"},
        "response": {"content": "This answer is cut in the middle of it all."},
        "truncateAfterChunks": 3,
    },
    {
        "match": {"userMessage": "garbage"},
        "response": {"content": "never seen"},
        "chaos": {"malformedRate": 1.0},
    },
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a running aimock."""
    if not PROGRAM.exists():
        package = f"@copilotkit/aimock@{VERSION}"
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(HOME), package]
        subprocess.run(install, check=True, capture_output=True)
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # With latency the chunks are on the wire before the connection is destroyed.
    options = ["-p", str(port), "-f", str(fixtures), "-c", "7", "-l", "20"]
    with subprocess.Popen(
        ["node", str(PROGRAM), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "listening" in line:
                    break
            else:
                pytest.fail("aimock did not start")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


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

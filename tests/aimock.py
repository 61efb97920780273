"""npm's @copilotkit/aimock, a server of others that speaks several formats, if node is there."""

import json
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.node import npm_package

__all__ = ["running_aimock"]

VERSION = "1.43.0"

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


@contextmanager
def running_aimock(folder: Path) -> Generator[str]:
    """The base URL of a running aimock; `folder` takes its fixtures."""
    package = "@copilotkit/aimock"
    program = npm_package(package, VERSION) / "node_modules" / package / "dist" / "cli.js"
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # With latency the chunks are on the wire before the connection is destroyed.
    options = ["-p", str(port), "-f", str(fixtures), "-c", "7", "-l", "20"]
    with subprocess.Popen(
        ["node", str(program), *options],
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

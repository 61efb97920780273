"""npm's @copilotkit/aimock, a server of others that speaks several formats, if node is there."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["needs_node", "running_aimock"]

VERSION = "1.43.0"
HOME = Path(__file__).parents[1] / ".venv" / "aimock"
PROGRAM = HOME / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"

needs_node = pytest.mark.skipif(
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


@contextmanager
def running_aimock(folder: Path) -> Generator[str]:
    """The base URL of a running aimock; `folder` takes its fixtures."""
    if not PROGRAM.exists():
        package = f"@copilotkit/aimock@{VERSION}"
        # Elsewhere first, as the tests of another format may be installing it, too.
        made = HOME.with_name(f"aimock-{os.getpid()}")
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(made), package]
        subprocess.run(install, check=True, capture_output=True)
        try:
            made.rename(HOME)
        except OSError:
            shutil.rmtree(made)
    fixtures = folder / "fixtures.json"
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

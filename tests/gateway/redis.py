"""A real Redis or Valkey for a test, on a port of its own."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVERS = ("valkey-server", "redis-server")


class RedisServer:
    """A server that keeps nothing on disk. It can be killed and started again, on the same port."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        self._process = subprocess.Popen(
            [
                self._program,
                *(word for name, value in options.items() for word in (f"--{name}", value)),
            ],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Ready to accept connections" in line:
                return
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    program = next(filter(None, map(shutil.which, SERVERS)), None)
    if program is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    server = RedisServer(program, tmp_path)
    yield server
    server.kill()

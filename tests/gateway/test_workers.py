"""Several processes at one address."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.commanding import CLEAN
from tests.waiting import WAIT
from tokenwire.gateway import workers
from tokenwire.gateway.run import Listener, listen, run, welcome
from tokenwire.gateway.sources import TextSource
from tokenwire.server import Server, serve

from .running import backs, chat


class Remote:
    """A gateway that has said `welcome`."""

    def __init__(self, welcome: str) -> None:
        self.url = welcome.partition(" at ")[2].partition(" ")[0]
        self.admin = welcome.partition("for operators: ")[2].partition("/metrics")[0]

    def get(self, path: str) -> str:
        with urlopen(self.admin + path, timeout=WAIT) as response:
            return str(response.read().decode())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/status"))
        return found

    def processes(self) -> list[int]:
        return [process["pid"] for process in self.status()["processes"]]

    def ask(self, model: str) -> int:
        request = Request(
            f"{self.url}/v1/chat/completions",
            chat(model, stream=False),
            {"content-type": "application/json"},
        )
        try:
            with urlopen(request, timeout=WAIT) as response:
                assert b"Hello" in response.read()
                return int(response.status)
        except HTTPError as error:
            with error:
                return error.code


class Command(Remote):
    """`tokenwire gateway FILE` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        welcome = ""
        while "state_key" not in welcome:
            line = process.stdout.readline()
            assert line, "it ended"
            welcome += line
        super().__init__(welcome)

    def until_log(self, part: str) -> str:
        """The line of the log with `part`."""
        assert self.process.stderr is not None
        while part not in (line := self.process.stderr.readline()):
            assert line, f"it ended without {part}"
        return line


@contextmanager
def command(file: Path) -> Generator[Command]:
    with subprocess.Popen(
        [sys.executable, "-m", "tokenwire", "gateway", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=CLEAN,
    ) as process:
        try:
            yield Command(process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(WAIT)
                except subprocess.TimeoutExpired:
                    process.kill()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    with serve("openai") as server:
        yield server


def test_processes_serve_reload_come_back_and_end(upstream: Server, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    text = backs(upstream.url, workers=2, drain_delay=0)
    file.write_text(text)
    with command(file) as gateway:
        assert gateway.get("/readyz") == "ok\n"
        assert gateway.ask("openai") == 200
        gateway.until_log('"outcome":"complete"')
        counted = 'tokenwire_calls_total{front="openai_chat",model="openai",outcome="complete"} 1.0'
        assert counted in gateway.get("/metrics")
        first, second = gateway.processes()

        file.write_text(text.replace('name = "openai"', 'name = "renamed"'))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.until_log("is in use")
        gateway.until_log("is in use")  # each of the two
        assert gateway.ask("renamed") == 200
        status = gateway.status()
        assert status["workers"] == 2
        for process in status["processes"]:  # each as it is now
            assert process["models"] == ["renamed"]
            assert process["targets"]["openai/m"]["up"] is True

        os.kill(first, signal.SIGKILL)
        assert f"process {first} ended with code -9" in gateway.until_log("ended with code")
        assert gateway.ask("renamed") == 200
        while len(found := gateway.processes()) < 2 or first in found:
            sleep(0.05)
        assert second in found

        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(WAIT) == 0


def test_processes_end_with_the_one_above(upstream: Server, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(backs(upstream.url, workers=2, drain_delay=0))
    with command(file) as gateway:
        assert gateway.ask("openai") == 200
        gateway.process.kill()
        assert gateway.process.stderr is not None
        gateway.process.stderr.read()  # to its end: nobody is left who could write


def test_one_of_the_processes(upstream: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does, in this process. It ends when the one above has died."""
    monkeypatch.setattr(os, "setsid", lambda: None)
    above, alive = os.pipe()
    monkeypatch.setattr(workers, "parent_process", lambda: SimpleNamespace(sentinel=above))
    source = TextSource("test", backs(upstream.url, drain_delay=0))
    with listen(source.load()) as (public, _):

        def ask() -> None:
            request = Request(
                f"{public.url}/v1/chat/completions",
                chat("openai"),
                {"content-type": "application/json"},
            )
            with urlopen(request, timeout=WAIT) as response:
                heard.append(response.read())
            os.close(alive)

        heard: list[bytes] = []
        client = threading.Thread(target=ask)
        client.start()
        with pytest.raises(SystemExit) as ended:
            workers.work(source, public, None, watch=False)
        client.join(WAIT)
        os.close(above)
    assert ended.value.code is False
    assert b"[DONE]" in heard[0]


def test_the_process_above(upstream: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does, in this process."""
    monkeypatch.setattr(workers, "RELIEF", 0)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    told: list[str] = []
    client: list[threading.Thread] = []

    def started(text: str) -> None:
        told.append(text)
        client.append(threading.Thread(target=use))
        client[0].start()

    def use() -> None:
        gateway = Remote(told[0])
        try:
            assert gateway.get("/readyz") == "ok\n"
            assert gateway.ask("openai") == 200
            while "tokenwire_calls_total{" not in gateway.get("/metrics"):
                sleep(0.05)
            (first,) = gateway.processes()
            os.kill(first, signal.SIGKILL)
            while gateway.processes() in ([first], []):
                sleep(0.05)
            assert gateway.ask("openai") == 200
            os.kill(os.getpid(), signal.SIGHUP)
            assert gateway.ask("openai") == 200
            told.append("all is well")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    text = backs(upstream.url, drain_delay=0)
    source = TextSource("test", text)
    config = source.load()
    with listen(config) as (public, admin):
        assert admin is not None
        started(welcome(config, public.url, admin.url))
        supervisor = workers.Supervisor(source, config, public, admin, watch=False)
        assert asyncio.run(supervisor.run()) is True
    client[0].join(WAIT)
    assert told[1:] == ["all is well"]


def test_nobody_reads_the_status_without_an_address_for_it(
    upstream: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    text = backs(upstream.url, drain_delay=0)
    source = TextSource("test", text.replace('admin = "127.0.0.1:0"', 'admin = ""'))
    with listen(source.load()) as (public, admin):
        assert admin is None
        supervisor = workers.Supervisor(source, source.load(), public, None, watch=False)

        def use() -> None:
            gateway = Remote(welcome(source.load(), public.url, None))
            try:
                assert gateway.ask("openai") == 200
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        client = threading.Thread(target=use)
        client.start()
        assert asyncio.run(supervisor.run()) is True
    client.join(WAIT)


@pytest.mark.parametrize("how", ["hangs", "gone", "other"])
def test_a_process_that_does_not_answer(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> dict[str, Any]:
        with closing(Listener("127.0.0.1:0")) as admin:
            process: Any = SimpleNamespace(pid=7)
            if how != "other":
                return await workers.read_status(process, admin)

            async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.close()

            async with await asyncio.start_server(serve, sock=admin.socket):
                return await workers.read_status(process, admin)

    if how == "hangs":
        monkeypatch.setattr(workers, "PATIENCE", 0.01)
    elif how == "gone":

        async def refused(*_: object) -> None:
            raise ConnectionRefusedError

        monkeypatch.setattr(asyncio, "open_connection", refused)
    assert asyncio.run(main()) == {"pid": 7, "unknown": "it does not answer"}


def test_several_processes_are_started_by_run(
    upstream: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def started(_: object) -> bool:
        return False

    monkeypatch.setattr(workers.Supervisor, "run", started)
    source = TextSource("test", backs(upstream.url, workers=2))
    assert run(source, tell=lambda _: None) is False

"""Several processes that serve one address, and the one that starts them, restarts them, passes
signals on, and answers operators."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

import anyio
import msgspec
from prometheus_client import multiprocess

from ..protocols import VERSION
from .admin import Admin
from .config import Config
from .log import Log
from .metrics import exposition
from .run import NUMBERS, Gateway, Listener, loop_factory, serving, signals, to_stderr
from .sources import Source

__all__ = ["Supervisor", "work"]

RELIEF = 1.0
"""Seconds before a process that has ended by itself is started again."""

PATIENCE = 2.0
"""Seconds for a process to tell its status."""

_METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with which prometheus_client is told where processes share metrics."""


class Supervisor:
    """The process above the others."""

    def __init__(
        self,
        source: Source,
        config: Config,
        public: Listener,
        admin: Listener | None,
        *,
        watch: bool,
    ) -> None:
        self.draining = False
        self._source = source
        self._config = config
        self._public = public
        self._admin = admin
        self._watch = watch
        self._log = Log(to_stderr, config.log, time.time)
        self._processes: dict[int, BaseProcess] = {}
        self._admins: dict[int, Listener] = {}  # where each of them tells its own status
        self._in_order = True

    async def run(self) -> bool:
        """Run the processes until a signal ends them. Returns whether all ended in order."""
        with tempfile.TemporaryDirectory(prefix="tokenwire-") as folder:
            self._folder = os.environ[_METRICS] = folder
            admin = Admin(
                unready=lambda: "draining" if self.draining else "",
                metrics=lambda: exposition(folder),
                status=self._status,
            )
            with signals() as received:
                async with serving(admin, self._admin), anyio.create_task_group() as outer:
                    outer.start_soon(self._pass_on, received)
                    async with anyio.create_task_group() as tasks:
                        for place in range(self._config.workers):
                            tasks.start_soon(self._keep, place)
                    outer.cancel_scope.cancel()
        return self._in_order

    async def _pass_on(self, received: "asyncio.Queue[str]") -> None:
        while True:
            name = await received.get()
            if name != "SIGHUP":
                self.draining = True
                self._public.close()  # else its backlog would go on taking connections
            for process in self._processes.values():
                assert process.pid is not None  # it was started
                os.kill(process.pid, signal.Signals[name])

    async def _keep(self, place: int) -> None:
        """Have a process run until all are to end."""
        while not self.draining:
            if self._admin is not None:
                self._admins[place] = Listener("127.0.0.1:0")
            admin = self._admins.get(place)
            process = get_context("spawn").Process(
                target=work, args=(self._source, self._public, admin, self._watch), daemon=True
            )
            # What comes before it can hear is kept for it: a process inherits what is blocked.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
            process.start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._processes[place] = process
            await _ended(process)
            del self._processes[place]
            if admin is not None:
                self._admins.pop(place).close()
            multiprocess.mark_process_dead(process.pid, self._folder)  # type: ignore[no-untyped-call]  # pyright: ignore[reportUnknownMemberType]
            if self.draining:
                self._in_order = self._in_order and process.exitcode == 0
            else:
                self._log.say("error", f"process {process.pid} ended with code {process.exitcode}")
                await anyio.sleep(RELIEF)

    async def _status(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "draining": self.draining,
            "workers": self._config.workers,
            "processes": await asyncio.gather(
                *(
                    read_status(process, self._admins[place])
                    for place, process in self._processes.items()
                )
            ),
        }


async def read_status(process: BaseProcess, admin: Listener) -> dict[str, Any]:
    """What a process says of itself."""
    shown: dict[str, Any] = {"pid": process.pid}
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*admin.socket.getsockname())
            try:
                writer.write(b"GET /status HTTP/1.0\r\n\r\n")
                _, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return {**shown, **msgspec.json.decode(body, type=dict[str, Any])}
    except (OSError, ValueError):  # it is about to begin or to end, or hangs
        return {**shown, "unknown": "it does not answer"}


def work(source: Source, public: Listener, admin: Listener | None, watch: bool) -> None:
    """What each of the processes does. Its end code is 0 if it ended in order."""
    os.setsid()  # so that Ctrl-C reaches only the process above, which passes it on
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        sys.exit(not runner.run(_work(source, public, admin, watch)))


async def _work(source: Source, public: Listener, admin: Listener | None, watch: bool) -> bool:
    gateway = Gateway(source, source.load(), public, admin, watch=watch)
    parent = parent_process()
    assert parent is not None
    loop = asyncio.get_running_loop()

    def end() -> None:  # the process above has died
        loop.remove_reader(sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    sentinel = parent.sentinel
    loop.add_reader(sentinel, end)
    serving = asyncio.ensure_future(gateway.run())
    await asyncio.sleep(0)  # now it hears signals
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)
    try:
        return await serving
    finally:
        loop.remove_reader(sentinel)


async def _ended(process: BaseProcess) -> None:
    """Wait for the end of `process`."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()

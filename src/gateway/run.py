"""Runs a gateway: its listeners, its signals, how its configuration changes and how it ends.

On SIGTERM it says that it is not ready, takes new calls for `drain_delay` seconds, in which
balancers notice, closes its listener, and gives the calls in flight `drain` seconds. What is left
then gets an error inside its answer, which is broken off. Ctrl-C is the same without the delay. A
second signal ends all at once.
"""

import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from math import ceil
from types import FrameType
from typing import Any, Literal

import anyio
import anyio.to_thread
import msgspec
import uvicorn

from ..protocols import VERSION
from ..protocols.errors import LocalProtocolError, Overloaded
from .admin import Admin
from .app import App
from .checks import CHECK, check_targets
from .config import Config, ConfigError, host_and_port
from .http import HttpProtocol
from .limits import scopes_of
from .log import Log, ServerLog
from .metrics import Metrics, exposition, targets_of
from .record import Record
from .sources import Source

__all__ = ["Gateway", "Listener", "listen", "run", "welcome"]

RESTART = (
    *("listen", "admin", "workers", "store", "log", "traces"),
    *("max_calls", "queue", "queue_wait"),
)
"""What changes only with a restart."""

LOOK = 2.0
"""Seconds between two looks at the file."""

TOLD = 0.1
"""Seconds between the last error inside an answer and the end of its connection."""

LAST = 5
"""Seconds for callers to take the end of what was broken off."""

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than balancers keep theirs (60 s), so that none asks
on one that is being closed."""


class Listener:
    """A socket that takes connections at `address`, whose port may have been 0."""

    def __init__(self, address: str) -> None:
        host, port = host_and_port(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self.socket = socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            reason = error.strerror or error
            raise LocalProtocolError(f"can't listen on {address}: {reason}") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.socket.getsockname()[1]}"

    def close(self) -> None:
        self.socket.close()


@contextmanager
def listen(config: Config) -> Generator[tuple[Listener, Listener | None]]:
    """The sockets of a gateway, and of its operators. Raises LocalProtocolError."""
    with closing(Listener(config.listen)) as public:
        if not config.admin:
            yield public, None
            return
        with closing(Listener(config.admin)) as admin:
            yield public, admin


def run(source: Source, *, watch: bool = False, tell: Callable[[str], object] = print) -> bool:
    """Run a gateway until a signal ends it. `tell` gets what a person wants to know at the start.
    Returns whether it ended in order: False after a second signal. Raises LocalProtocolError if it
    can't start: the configuration (ConfigError), the address."""
    config = source.load()
    with listen(config) as (public, admin):
        tell(welcome(config, public.url, None if admin is None else admin.url))
        if config.workers > 1:
            from .workers import Supervisor

            process: Gateway | Supervisor = Supervisor(source, config, public, admin, watch=watch)
        else:
            process = Gateway(source, config, public, admin, watch=watch)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(process.run())


def to_stderr(line: str) -> None:
    """Write a line of the log. A log that nobody takes must not stop a call."""
    with suppress(OSError, ValueError):
        sys.stderr.write(line)
        sys.stderr.flush()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def welcome(config: Config, url: str, admin: str | None) -> str:
    """What a person wants to know at the start."""
    names = ", ".join(model.name for model in config.models)
    keys = ", ".join(key.name for key in config.keys)
    lines = [
        f"tokenwire gateway {VERSION} at {url} (Ctrl-C stops it)",
        f"models: {names}",
        f"keys: {keys or 'none: whoever can reach it may ask'}",
    ]
    if admin is not None:
        lines.append(f"for operators: {admin}/metrics, /livez, /readyz, /status")
    if config.workers > 1 and config.store == "memory":
        lines.append(f"{config.workers} processes, each with limits of its own: store = memory")
    if config.state_key is None:
        lines.append("no state_key: what models keep for themselves is forgotten at the end")
    return "\n".join(lines)


class Gateway:
    """One process of a gateway. Without `admin` its metrics are read by another process. `write`
    takes the lines of its log; `sleep` waits so many seconds."""

    def __init__(
        self,
        source: Source,
        config: Config,
        public: Listener,
        admin: Listener | None = None,
        *,
        watch: bool = False,
        write: Callable[[str], object] = to_stderr,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        self.app = App(
            config,
            settled=self._settled,
            store_failed=self._store_failed,
            record_failed=self._record_failed,
        )
        self._flush = _exporting() if config.traces else None
        self.draining = False
        self.log = Log(write, config.log, time.time)
        self.metrics = Metrics()
        self._source = source
        self._digest = source.digest()
        self._public = public
        self._admin = admin
        self._watch = watch
        self._sleep = sleep
        self._began = time.time()
        self._server = server_of(self.app, lifespan="on")
        self._in_order = True
        self._store_ready = True

    async def run(self) -> bool:
        """Serve until a signal comes. Returns whether all calls could end."""
        with signals() as received, server_log(self.log):
            async with serving(self._admin_app(), self._admin), anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._obey, received)
                tasks.start_soon(self._mind)
                tasks.start_soon(self._check)
                await self._server.serve([self._public.socket])
                tasks.cancel_scope.cancel()
        if self._flush is not None:
            # In a thread, as it waits for an answer.
            await anyio.to_thread.run_sync(self._flush)
        return self._in_order

    def drain(self, *, at_once: bool = False) -> None:
        """Take no more calls, after `drain_delay` or `at_once`, and end when those in flight have.
        The second time: end without them."""
        if self.draining:
            self._in_order = False
            self._tasks.start_soon(self._break_off)
        else:
            self.draining = True
            self._tasks.start_soon(self._drain, 0 if at_once else self._config.drain_delay)

    async def reload(self) -> None:
        """Work by the configuration as it is now, if it is right."""
        old = self._config
        try:
            # In a thread: the environment's servers are asked for their models.
            config = await anyio.to_thread.run_sync(self._source.load)
            digest = self._source.digest()
        except ConfigError as error:
            self.metrics.reload_failed()
            self.log.say("error", f"the old configuration stays: {error}")
            return
        fixed = {name: getattr(old, name) for name in RESTART}
        changed = [name for name in RESTART if getattr(config, name) != fixed[name]]
        if changed:
            self.log.say("warning", f"needs a restart to change: {', '.join(changed)}")
        self.app.adopt(msgspec.structs.replace(config, **fixed))
        self._digest = digest
        self.log.say("info", f"configuration {digest} is in use")

    def look(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.look(
            self._config,
            self.app.shared.planner,
            self.app.in_flight,
            self.app.queued,
            anyio.current_time(),
        )

    @property
    def _config(self) -> Config:
        return self.app.shared.config

    def _store_failed(self, error: Exception) -> None:
        self.metrics.store_failed()
        self.log.failed("the store", str(error) or type(error).__name__)

    def _record_failed(self, error: Exception) -> None:
        self.log.failed("a recording", str(error))

    def _settled(self, record: Record) -> None:
        record.outcome = record.outcome or "failed"  # a bug, whose traceback the server logs
        self.metrics.settled(record)
        self.log.settled(record)

    async def _obey(self, received: "asyncio.Queue[str]") -> None:
        while True:
            match await received.get():
                case "SIGHUP":
                    await self.reload()
                case name:
                    self.drain(at_once=name == "SIGINT")

    async def _mind(self) -> None:
        stamp = self._source.stamp()
        while True:
            self._store_ready = await self.app.is_ready()
            await self._sleep(LOOK)
            self.look()
            look_at_connections(self._server, anyio.current_time())
            found = self._source.stamp()
            if self._watch and found not in (stamp, None):
                stamp = found
                await self.reload()

    async def _check(self) -> None:
        while True:
            shared = self.app.shared
            await check_targets(shared.config, shared.client, shared.planner)
            await self._sleep(CHECK)

    async def _drain(self, delay: float) -> None:
        await self._sleep(delay)
        self._server.config.timeout_graceful_shutdown = ceil(self._config.drain + LAST)
        self._server.should_exit = True
        await self._sleep(self._config.drain)
        self.app.stop_calls()

    async def _break_off(self) -> None:
        self.app.stop_calls()
        await self._sleep(TOLD)
        self._server.should_exit = True
        for connection in tuple(self._server.server_state.connections):
            connection.transport.abort()

    def _admin_app(self) -> Admin:
        return Admin(
            unready=self._unready,
            metrics=self._exposition,
            status=self._status,
        )

    def _unready(self) -> str:
        if self.draining:
            return "draining"
        return "" if self._store_ready else "the store is away"

    def _exposition(self) -> bytes:
        self.look()
        return exposition(self.metrics)

    async def _status(self) -> dict[str, Any]:
        now, planner = anyio.current_time(), self.app.shared.planner
        targets = {target.name: planner.of(target) for target in targets_of(self._config)}
        return {
            "version": VERSION,
            "config": self._digest,
            "seconds": round(time.time() - self._began),
            "draining": self.draining,
            "calls": self.app.in_flight,
            "models": [model.name for model in self._config.models],
            "keys": [key.name for key in self._config.keys],
            "targets": {
                name: {
                    "up": health.is_up(now),
                    "cooling": round(health.cooling(now), 1),
                    "calls": health.in_flight,
                }
                for name, health in targets.items()
            },
            "limits": await self._left(),
        }

    async def _left(self) -> dict[str, Any]:
        """What is left of all limits."""
        try:
            found = await self.app.shared.limiter.left(scopes_of(self._config))
        except Overloaded as error:
            return {"unknown": error.message}
        shown: dict[str, Any] = msgspec.to_builtins(found)
        return shown


def _exporting() -> Callable[[], None]:
    from .trace import exporting  # most gateways need none of it

    return exporting()


class _Server(uvicorn.Server):
    """Uvicorn's, without its handlers of signals: they would close the listener at once."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def server_of(app: Any, *, lifespan: Literal["on", "off"]) -> uvicorn.Server:
    """A server for `app`."""
    return _Server(
        uvicorn.Config(
            app,
            http=HttpProtocol,
            interface="asgi3",
            lifespan=lifespan,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST,
        )
    )


def look_at_connections(server: uvicorn.Server, now: float) -> None:
    """Break off those whose callers do not take the end."""
    for connection in tuple(server.server_state.connections):
        assert isinstance(connection, HttpProtocol)
        connection.look(now)


@asynccontextmanager
async def serving(app: Admin, listener: Listener | None) -> AsyncGenerator[None]:
    """Serve `app` until the block ends, if there is a `listener`."""
    if listener is None:
        yield
        return
    server = server_of(app, lifespan="off")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener.socket])
        try:
            yield
        finally:
            server.should_exit = True


NUMBERS = tuple(each for each in signal.Signals if each.name in ("SIGTERM", "SIGINT", "SIGHUP"))
"""The signals that tell a gateway something. Windows has no SIGHUP."""


@contextmanager
def signals() -> Generator["asyncio.Queue[str]"]:
    """The names of the signals that come. Only the main thread of a process can receive any."""
    received: asyncio.Queue[str] = asyncio.Queue()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    loop = asyncio.get_running_loop()

    def handle(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(received.put_nowait, signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in NUMBERS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def server_log(log: Log) -> Generator[None]:
    """Have `log` say what the server has to say."""
    logger, handler = logging.getLogger("uvicorn.error"), ServerLog(log)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate

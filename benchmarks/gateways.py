"""The gateways, how each is started and asked, and the process that measures one of them.

    python -m benchmarks.gateways NAME --ports '{"openai-paced": 8080, ...}' [--seconds 4]

Started is a fresh server of the contestant, in front of origins (`benchmarks.origin`) at those
ports, each named after its format and what it does. The text of a streamed and of a whole answer is
checked in each lane first. The figures are printed as one line of JSON. CPU time and memory are
those of all processes and threads of the server:

- `ready_s`: from the start of its process until it answers an HTTP request
- `rest_mib`: its resident memory then
- `answers_s`: whole short answers in a second of CPU time, to callers that ask on and on
- `LANE_us`: CPU microseconds per event of streams that are all under way
- `LANE_kept`: how many of the events that were due came in that time: 1 is all
- `LANE_first_ms`: beside those streams, from a question to the first text, median of single ones
- `idle_kib`: growth of the resident memory per stream, with streams that have begun and are silent

What a gateway can't do is NaN.
"""

import argparse
import json
import math
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from .callers import Asking, Caller, Callers, text_of
from .origin import lift_file_limit
from .streams import DOCUMENTS, STREAMS, plain

__all__ = ["GATEWAYS", "INTERVAL", "LANES", "SHORT", "STREAMS_AT_ONCE", "Lane"]

ROOT = Path(__file__).parent.parent
BENCH = ROOT / ".peers" / "bench" / "bin"
LITELLM = ROOT / ".peers" / "litellm" / "bin"
MODULES = ROOT / "benchmarks" / "node_modules"

STREAMS_AT_ONCE = 100
INTERVAL = 200_000
"""Microseconds between the events of a paced stream: 500 events a second in all, with which every
contestant can keep up."""

SHORT = 20
"""Words of a short answer."""

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


class Lane(NamedTuple):
    """The formats of the caller, and of the origin."""

    front: str
    back: str


LANES = {
    "relay": Lane("openai", "openai"),
    "chat": Lane("openai", "anthropic"),
    "messages": Lane("anthropic", "openai"),
}


class Started(NamedTuple):
    """A command that serves at a port, and what it needs in its environment."""

    command: list[str]
    environment: Mapping[str, str] = {}


class Gateway(NamedTuple):
    """`start` is given the port to serve at, the ports of the origins by name, and a directory for
    its files. `asking` says how a caller with a format asks for an origin. `needs` must exist.
    `idle` streams can be open at once."""

    start: Callable[[int, Mapping[str, int], Path], Started] | None
    asking: Callable[[Asking, str, Mapping[str, int]], Asking]
    lanes: tuple[str, ...]
    needs: Path | None = None
    idle: int = 1000


def by_path(asking: Asking, origin: str, ports: Mapping[str, int]) -> Asking:
    return asking._replace(path=f"/{origin}{asking.path}")


def by_model(asking: Asking, origin: str, ports: Mapping[str, int]) -> Asking:
    return asking._replace(model=origin)


def directly(asking: Asking, origin: str, ports: Mapping[str, int]) -> Asking:
    return asking._replace(port=ports[origin])


def start_nginx(port: int, ports: Mapping[str, int], directory: Path) -> Started:
    upstreams = "".join(
        f"upstream {name} {{ server 127.0.0.1:{to}; keepalive 1100; }}\n"
        for name, to in ports.items()
    )
    places = "".join(f"location /{name}/ {{ proxy_pass http://{name}/; }}\n" for name in ports)
    file = directory / "nginx.conf"
    file.write_text(
        f"""daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/log;
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
            scgi_temp_path {directory}/s;
            keepalive_requests 1000000; proxy_buffering off; proxy_http_version 1.1;
            proxy_set_header Connection "";
            {upstreams}
            server {{ listen 127.0.0.1:{port} backlog=4096; {places} }}
        }}"""
    )
    return Started([shutil.which("nginx") or NGINX, "-c", str(file), "-e", f"{directory}/log"])


def start_bare(port: int, ports: Mapping[str, int], directory: Path, app: str = "app") -> Started:
    command = [str(BENCH / "python"), "-m", "uvicorn", f"benchmarks.relay:{app}"]
    command += ["--port", str(port), "--no-access-log", "--log-level", "error"]
    command += ["--http", "httptools", "--loop", "uvloop", "--interface", "asgi3"]
    return Started([*command, "--lifespan", "off"], {"TARGETS": json.dumps(ports)})


def start_ours(port: int, ports: Mapping[str, int], directory: Path) -> Started:
    file = directory / "gateway.toml"
    lines = [f'listen = "127.0.0.1:{port}"', 'admin = "127.0.0.1:0"']
    for name, to in ports.items():
        back = name.partition("-")[0]
        dialect = {"openai": "openai_chat"}.get(back, back)
        version = "/v1" if back == "openai" else ""
        lines += [f"[providers.{name}]", f'dialect = "{dialect}"', 'key = "env:KEY"']
        lines.append(f'base_url = "http://127.0.0.1:{to}{version}"')
        most = ", max_tokens = 1000" if back == "anthropic" else ""
        lines += ["[[models]]", f'name = "{name}"']
        lines.append(f'targets = [{{ provider = "{name}", model = "m"{most} }}]')
    file.write_text("\n".join(lines))
    return Started([str(BENCH / "tokenwire"), "gateway", str(file)], {"KEY": "k"})


def start_litellm(port: int, ports: Mapping[str, int], directory: Path) -> Started:
    file = directory / "litellm.yaml"
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"{name.partition('-')[0]}/m",
                "api_base": f"http://127.0.0.1:{to}{'/v1' if name[0] == 'o' else ''}",
                "api_key": "k",
            },
        }
        for name, to in ports.items()
    ]
    # By default it would ask OpenAI's other API for Anthropic's messages.
    settings = {"use_chat_completions_url_for_anthropic_messages": True}
    file.write_text(json.dumps({"model_list": models, "litellm_settings": settings}))  # YAML, too
    command = [str(LITELLM / "litellm"), "--config", str(file), "--host", "127.0.0.1"]
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # it checks no key
    }
    return Started([*command, "--port", str(port), "--telemetry", "False"], environment)


PORTKEY = MODULES / "@portkey-ai" / "gateway" / "build" / "start-server.js"
ROUTER = MODULES / "@musistudio" / "claude-code-router" / "dist" / "cli.js"
NGINX = "/usr/sbin/nginx"


def start_portkey(port: int, ports: Mapping[str, int], directory: Path) -> Started:
    return Started(["node", str(PORTKEY), f"--port={port}", "--headless"])


def ask_portkey(asking: Asking, origin: str, ports: Mapping[str, int]) -> Asking:
    back = origin.partition("-")[0]
    host = f"http://127.0.0.1:{ports[origin]}/v1"
    return asking._replace(
        headers=(("x-portkey-provider", back), ("x-portkey-custom-host", host)),
    )


def start_router(port: int, ports: Mapping[str, int], directory: Path) -> Started:
    home = directory / ".claude-code-router"
    home.mkdir()
    providers = [
        {
            "name": name,
            "api_base_url": f"http://127.0.0.1:{to}/v1/chat/completions",
            "api_key": "k",
            "models": ["m"],
        }
        for name, to in ports.items()
        if name.startswith("openai")
    ]
    router = {"default": "openai-short,m"}
    said = {"PORT": port, "HOST": "127.0.0.1", "LOG": False, "Providers": providers}
    (home / "config.json").write_text(json.dumps({**said, "Router": router}))
    return Started(["node", str(ROUTER), "start"], {"HOME": str(directory)})


def ask_router(asking: Asking, origin: str, ports: Mapping[str, int]) -> Asking:
    return asking._replace(model=f"{origin},m")


GATEWAYS = {
    "no gateway": Gateway(None, directly, ("relay",)),
    "nginx": Gateway(start_nginx, by_path, ("relay",), Path(shutil.which("nginx") or NGINX)),
    "bare ASGI relay": Gateway(start_bare, by_path, ("relay",), BENCH / "uvicorn"),
    "bare ASGI relay, pushed": Gateway(
        partial(start_bare, app="pushed"), by_path, ("relay",), BENCH / "uvicorn"
    ),
    "tokenwire": Gateway(start_ours, by_model, tuple(LANES), BENCH / "tokenwire"),
    "litellm": Gateway(start_litellm, by_model, tuple(LANES), LITELLM / "litellm", idle=400),
    "Portkey": Gateway(start_portkey, ask_portkey, ("relay", "chat"), PORTKEY),
    "claude-code-router": Gateway(start_router, ask_router, ("messages",), ROUTER),
}


class Server:
    """A server's processes, as Linux tells of them."""

    def __init__(self, process: int) -> None:
        self._process = process

    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        return sum(
            int((task / "schedstat").read_text().split()[0]) / 1e9
            for process in self._all()
            for task in Path(f"/proc/{process}/task").iterdir()
        )

    def memory(self) -> int:
        """Bytes that are resident."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(
            int(Path(f"/proc/{process}/statm").read_text().split()[1]) * page
            for process in self._all()
        )

    def _all(self) -> list[int]:
        found = [self._process]
        for process in found:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found


@contextmanager
def serving(
    gateway: Gateway, port: int, ports: Mapping[str, int]
) -> Generator[tuple[Server, float]]:
    """The server of a contestant, once it answers, and how many seconds that took."""
    assert gateway.start is not None
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        started = gateway.start(port, ports, directory)
        with (directory / "output").open("wb+") as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                started.command,
                cwd=ROOT,
                env={**os.environ, **started.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                while not answers(port):
                    if process.poll() is not None or time.perf_counter() > began + 120:
                        output.seek(0)
                        raise SystemExit(output.read().decode(errors="replace"))
                    time.sleep(0.002)
                yield Server(process.pid), time.perf_counter() - began
            finally:
                process.kill()
                process.wait()


def answers(port: int) -> bool:
    """Whether somebody speaks HTTP at `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return sock.recv(5) == b"HTTP/"
    except OSError:
        return False


def has_begun(caller: Caller) -> bool:
    return caller.first_at > 0


class Measuring:
    """Measures one gateway."""

    def __init__(self, gateway: Gateway, port: int, ports: Mapping[str, int]) -> None:
        self._gateway = gateway
        self._port = port
        self._ports = ports

    def asking(self, lane: Lane, what: str, **fields: Any) -> Asking:
        asking = Asking(lane.front, self._port, PATHS[lane.front], "m", **fields)
        return self._gateway.asking(asking, f"{lane.back}-{what}", self._ports)

    def check(self, lane: Lane) -> None:
        """Ask a few times, which warms it up."""
        for _ in range(5):
            text = text_of(self.asking(lane, "short"))
            if text != plain(STREAMS[lane.back](SHORT)).text:
                raise SystemExit(f"another text came out: {text!r}")
            text = text_of(self.asking(lane, "whole", stream=False))
            if text != plain(DOCUMENTS[lane.back](SHORT)).text:
                raise SystemExit(f"another text came out: {text!r}")

    def answers(self, lane: Lane, server: Server, seconds: float) -> float:
        """Whole answers in a second of CPU time."""
        asking = self.asking(lane, "whole", stream=False)
        with Callers() as callers:
            asked = [callers.come(asking) for _ in range(8)]
            callers.run(seconds / 4)
            before, cpu = sum(caller.answers for caller in asked), server.cpu()
            callers.run(seconds)
            cpu = server.cpu() - cpu
            return (sum(caller.answers for caller in asked) - before) / cpu

    def paced(self, lane: Lane, server: Server | None, seconds: float) -> dict[str, float]:
        """CPU time per event, which part of the events came, and the time to a first text."""
        with Callers() as callers:
            asking = self.asking(lane, "paced")
            streams = [callers.come(asking) for _ in range(STREAMS_AT_ONCE)]
            callers.wait(lambda: all(stream.first_at for stream in streams))
            events, cpu = callers.events, server.cpu() if server else 0
            callers.run(seconds)
            callers.wait(lambda: callers.events > events)
            cpu = server.cpu() - cpu if server else math.nan
            events = callers.events - events
            times: list[float] = []
            for _ in range(int(15 * seconds)):
                caller = callers.come(self.asking(lane, "short"))
                callers.wait(partial(has_begun, caller))
                times.append(caller.first_at - caller.asked_at)
                callers.leave(caller)
                callers.run(0.02)
        due = seconds * STREAMS_AT_ONCE * 1e6 / INTERVAL
        return {"us": cpu / events * 1e6, "kept": events / due, "first_ms": median(times) * 1e3}

    def idle(self, lane: Lane, server: Server) -> float:
        """KiB of memory per stream."""
        asking = self.asking(lane, "idle")
        with Callers() as callers:
            before = server.memory()
            streams = [callers.come(asking) for _ in range(self._gateway.idle)]
            callers.wait(lambda: all(stream.first_at for stream in streams))
            callers.run(0.5)
            return (server.memory() - before) / self._gateway.idle / 1024


def measured(gateway: Gateway, ports: Mapping[str, int], seconds: float) -> dict[str, float]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    figures: dict[str, float] = {}
    figures |= dict.fromkeys(("ready_s", "rest_mib", "answers_s", "idle_kib"), math.nan)
    for name in LANES:
        figures |= {f"{name}_{what}": math.nan for what in ("us", "kept", "first_ms")}
    measuring = Measuring(gateway, port, ports)
    lanes = {name: LANES[name] for name in gateway.lanes}
    if gateway.start is None:
        figures["relay_first_ms"] = measuring.paced(lanes["relay"], None, seconds)["first_ms"]
        return figures
    with serving(gateway, port, ports) as (server, ready):
        figures |= {"ready_s": ready, "rest_mib": server.memory() / 1024**2}
        for lane in lanes.values():
            measuring.check(lane)
        first = next(iter(lanes.values()))
        figures["answers_s"] = measuring.answers(first, server, seconds / 2)
        for name, lane in lanes.items():
            paced = measuring.paced(lane, server, seconds)
            figures |= {f"{name}_{what}": figure for what, figure in paced.items()}
        figures["idle_kib"] = measuring.idle(first, server)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=GATEWAYS)
    parser.add_argument("--ports", type=json.loads, required=True)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    lift_file_limit()
    print(json.dumps(measured(GATEWAYS[arguments.name], arguments.ports, arguments.seconds)))


if __name__ == "__main__":
    main()

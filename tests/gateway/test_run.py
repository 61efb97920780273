"""How a gateway runs, drains, reloads and ends, on real sockets."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.transports.client.test_async_client import peer, says
from tests.transports.test_sync import CHUNK, HEAD
from tests.waiting import WAIT
from tokenwire.gateway.call import Call
from tokenwire.gateway.checks import CHECK
from tokenwire.gateway.config import Config, ConfigError
from tokenwire.gateway.run import Listener, listen, loop_factory, run, to_stderr, welcome
from tokenwire.gateway.sources import TextSource
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.server import serve

from .driving import config_of
from .running import Gate, Running, backs, chat, is_whole, request_of, running

Test = Callable[[], Coroutine[Any, Any, None]]


def tell(number: int) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), number)


async def accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def until_closed(running: Running) -> None:
    async with asyncio.timeout(WAIT):
        while await accepts(running.url):
            await asyncio.sleep(0.01)


def test_serves_and_tells_operators() -> None:
    async def main() -> None:
        async with serve("openai") as upstream, running(backs(upstream.url)) as gateway:
            assert is_whole(await gateway.ask("openai"))
            await gateway.until(lambda: len(gateway.lines) == 1)
            assert await gateway.get("/livez") == (200, "ok\n")
            assert await gateway.get("/readyz") == (200, "ok\n")
            status, metrics = await gateway.get("/metrics")
            assert status == 200
            assert (
                'tokenwire_calls_total{front="openai_chat",model="openai",outcome="complete"} 1.0'
                in metrics
            )
            assert 'tokenwire_target_up{target="openai/m"} 1.0' in metrics
            status, state = await gateway.get("/status")
            assert '"openai/m"' in state
            (line,) = gateway.log
            assert line["outcome"] == "complete"
        assert await gateway.result is True

    asyncio.run(main())


def test_without_its_store_it_is_not_ready() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]  # nobody listens there afterwards
        text = backs(
            "http://127.0.0.1:1", store=f"redis://127.0.0.1:{port}/0", on_store_failure="refuse"
        )
        async with running(text) as gateway:
            await gateway.until(lambda: bool(gateway.lines))
            assert gateway.log[0]["message"].startswith("the store: ")
            assert await gateway.get("/readyz") == (503, "the store is away\n")
            assert "tokenwire_store_failures_total 1.0" in (await gateway.get("/metrics"))[1]

    asyncio.run(main())


def test_sigterm_in_a_stream_lets_it_end() -> None:
    async def main() -> None:
        gate = Gate()
        async with (
            serve("openai", gate.answer) as upstream,
            running(backs(upstream.url, drain_delay=11, drain=22)) as gateway,
        ):
            asked = asyncio.ensure_future(gateway.ask("openai"))
            await gate.waiting.wait()
            tell(signal.SIGTERM)
            await gateway.clock.asleep[11].wait()
            assert await gateway.get("/readyz") == (503, "draining\n")
            # Balancers have not noticed yet: a new call is served.
            status = (await gateway.ask("unknown")).split()[1]
            assert status == b"404"
            gateway.clock.up[11].set()
            await until_closed(gateway)
            assert not asked.done()
            gate.open.set()
            response = await asked
            assert b"last" in response
            assert is_whole(response)
            assert await gateway.result is True
            assert gateway.log[-1]["outcome"] == "complete"

    asyncio.run(main())


@pytest.mark.parametrize("stream", [True, False])
def test_what_takes_too_long_is_broken_off(stream: bool) -> None:
    async def main() -> None:
        gate = Gate()
        async with (
            serve("openai", gate.answer) as upstream,
            running(backs(upstream.url, drain_delay=11, drain=22)) as gateway,
        ):
            asked = asyncio.ensure_future(gateway.ask("openai", stream=stream))
            await gate.waiting.wait()
            gateway.clock.up[0].set()
            tell(signal.SIGINT)  # at once: without the delay
            await gateway.clock.asleep[22].wait()
            gateway.clock.up[22].set()
            response = await asked
            assert b"shutting_down" in response
            if stream:
                assert b"first" in response
                assert b'finish_reason":"' not in response
                assert not is_whole(response)
            else:
                assert response.split()[1] == b"503"
            assert await gateway.result is True
            assert gateway.log[-1]["outcome"] == "drained"
            assert not any("traceback" in line for line in gateway.log)

    asyncio.run(main())


def test_a_second_signal_ends_at_once() -> None:
    async def main() -> None:
        gate = Gate()
        async with (
            serve("openai", gate.answer) as upstream,
            running(backs(upstream.url, drain_delay=11, drain=22)) as gateway,
        ):
            asked = asyncio.ensure_future(gateway.ask("openai"))
            await gate.waiting.wait()
            tell(signal.SIGTERM)
            await gateway.clock.asleep[11].wait()
            tell(signal.SIGTERM)
            await gateway.clock.asleep[0.1].wait()
            gateway.clock.up[0.1].set()
            response = await asked
            assert b"shutting_down" in response
            assert not is_whole(response)
            assert await gateway.result is False

    asyncio.run(main())


def test_a_reload_disturbs_no_call(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"

    async def main() -> None:
        gate = Gate()
        async with serve("openai", gate.answer) as upstream, serve("openai") as other:
            file.write_text(backs(upstream.url))
            async with running(file) as gateway:
                asked = asyncio.ensure_future(gateway.ask("openai"))
                await gate.waiting.wait()
                new = backs(other.url, workers=2)
                file.write_text(new.replace('name = "openai"', 'name = "renamed"'))
                tell(signal.SIGHUP)
                await gateway.until(lambda: len(gateway.lines) == 2)
                assert is_whole(await gateway.ask("renamed"))
                assert (await gateway.ask("openai")).split()[1] == b"404"
                gate.open.set()
                assert is_whole(await asked)
            assert gateway.log[0]["message"] == "needs a restart to change: workers"
            assert "is in use" in gateway.log[1]["message"]
            assert [line["outcome"] for line in gateway.log[2:]] == [
                "complete",
                "bad_request",
                "complete",
            ]

    asyncio.run(main())


def test_a_wrong_file_keeps_the_old_configuration(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"

    async def main() -> None:
        async with serve("openai") as upstream:
            file.write_text(backs(upstream.url))
            async with running(file, watch=True) as gateway:
                await gateway.clock.asleep[2].wait()
                file.write_text("models = 1")
                gateway.clock.up[2].set()
                await gateway.until(lambda: len(gateway.lines) == 1)
                assert "the old configuration stays" in gateway.log[0]["message"]
                assert gateway.log[0]["level"] == "error"
                assert is_whole(await gateway.ask("openai"))
                _, metrics = await gateway.get("/metrics")
                assert "tokenwire_config_reload_failures_total 1.0" in metrics
                file.unlink()  # as editors do before they write
                gateway.clock.asleep[2].clear()
                gateway.clock.up[2].set()
                await gateway.clock.asleep[2].wait()
                await gateway.until(lambda: len(gateway.lines) == 2)
                file.write_text(backs(upstream.url))
                gateway.clock.up[2].set()
                await gateway.until(lambda: len(gateway.lines) == 3)
                assert "is in use" in gateway.log[2]["message"]

    asyncio.run(main())


def test_a_bug_is_logged_with_its_traceback() -> None:
    async def main() -> None:
        async with running(backs("http://127.0.0.1:1/v1")) as gateway:

            def fail(*_: object) -> None:
                raise ZeroDivisionError

            gateway.gateway.app.shared.planner.order = fail  # type: ignore[method-assign,assignment]
            assert (await gateway.ask("openai")).split()[1] == b"500"
            await gateway.until(lambda: len(gateway.lines) == 2)
            outcomes = {line.get("outcome") for line in gateway.log}
            assert "failed" in outcomes
            assert any("ZeroDivisionError" in line.get("traceback", "") for line in gateway.log)

    asyncio.run(main())


def test_without_a_listener_for_operators() -> None:
    async def main() -> None:
        text = backs("http://127.0.0.1:1/v1").replace('admin = "127.0.0.1:0"', 'admin = ""')
        async with running(text) as gateway:
            assert gateway.admin == ""
            assert (await gateway.ask("unknown")).split()[1] == b"404"

    asyncio.run(main())


def test_in_a_thread_there_are_no_signals() -> None:
    async def main() -> None:
        async with running(backs("http://127.0.0.1:1/v1")) as gateway:
            assert (await gateway.ask("unknown")).split()[1] == b"404"

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert signal.getsignal(signal.SIGTERM) is before


def test_run_serves_until_a_signal() -> None:
    told: list[str] = []

    def started(text: str) -> None:
        told.append(text)
        threading.Thread(target=end).start()

    def end() -> None:
        admin = told[0].partition("for operators: ")[2].partition("/metrics")[0]
        with urlopen(f"{admin}/readyz", timeout=WAIT) as response:
            told.append(response.read().decode())
        tell(signal.SIGINT)

    assert run(TextSource("test", backs("http://127.0.0.1:1/v1")), tell=started) is True
    assert told[1] == "ok\n"


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = backs("http://127.0.0.1:1/v1").replace(
            'admin = "127.0.0.1:0"', f'admin = "{address}"'
        )
        with pytest.raises(LocalProtocolError, match=f"can't listen on {address}: Address already"):
            run(TextSource("test", text), tell=lambda _: None)


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(LocalProtocolError, match=r"can't listen on nowhere\.invalid:1: \w+"):
        Listener("nowhere.invalid:1")


def test_ipv6() -> None:
    try:
        listener = Listener("[::1]:0")
    except LocalProtocolError:
        pytest.skip("this machine has no IPv6")
    assert listener.url.startswith("http://[::1]:")
    listener.close()


def test_a_wrong_configuration_is_an_error() -> None:
    with pytest.raises(ConfigError, match="models"):
        run(TextSource("test", ""), tell=lambda _: None)


def configuration(**options: object) -> Config:
    return config_of(backs("http://127.0.0.1:1/v1", **options))


def test_the_welcome_names_models_keys_and_what_an_operator_may_miss() -> None:
    shown = welcome(configuration(), "http://127.0.0.1:4000", None)
    assert "at http://127.0.0.1:4000" in shown
    assert "models: openai" in shown
    assert "keys: none" in shown
    assert "no state_key" in shown
    assert "operators" not in shown
    assert "processes" not in shown
    text = backs("http://127.0.0.1:1/v1", workers=3, state_key="env:K")
    text += f'\n[[keys]]\nname = "ci"\nsha256 = "{"0" * 64}"'
    config = TextSource(
        "test", text.replace('"env:K"', f'"{"k" * 40}"\ninsecure_literal_keys = true')
    )
    shown = welcome(config.load(), "http://127.0.0.1:4000", "http://127.0.0.1:9464")
    assert "keys: ci" in shown
    assert "3 processes, each with limits of its own" in shown
    assert "http://127.0.0.1:9464/metrics" in shown
    assert "no state_key" not in shown
    assert "k" * 40 not in shown


def test_listeners_are_closed() -> None:
    with listen(configuration()) as (public, admin):
        assert admin is not None
    assert public.socket.fileno() == admin.socket.fileno() == -1


def test_uvloop_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvloop

    assert loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


def test_a_log_that_nobody_takes_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as closed:
        pass
    monkeypatch.setattr(sys, "stderr", closed)
    to_stderr("line\n")


def test_a_line_is_written_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr("line\n")
    assert capsys.readouterr().err == "line\n"


def test_a_call_that_is_stopped_before_it_asks() -> None:
    """As when the gateway ends while it waits for something else."""

    class Stopped(set[Call]):
        def add(self, element: Call) -> None:
            super().add(element)
            element.stop()

    async def main() -> None:
        async with serve("openai") as upstream, running(backs(upstream.url)) as gateway:
            gateway.gateway.app._calls = Stopped()  # pyright: ignore[reportPrivateUsage]
            response = await gateway.ask("openai")
            assert response.split()[1] == b"503"
            assert b"shutting_down" in response
            assert not upstream.requests

    asyncio.run(main())


def test_a_caller_that_leaves_takes_the_upstream_along() -> None:
    """On sockets: in the middle of an answer, and of a silence before it."""

    async def main() -> None:
        async with running(backs(url)) as gateway:
            host, port = gateway.url.removeprefix("http://").split(":")
            for count in (1, 2):
                reader, writer = await asyncio.open_connection(host, int(port))
                request = request_of(gateway.url, "POST", "/v1/chat/completions", chat("openai"))
                writer.write(request)
                if count == 1:
                    assert b"200 OK" in await reader.readline()
                else:
                    await asyncio.to_thread(said.wait, WAIT)
                writer.close()
                assert await asyncio.to_thread(closed[count - 1].wait, WAIT)
                await gateway.until(lambda: len(gateway.lines) == count)  # noqa: B023
            assert [line["outcome"] for line in gateway.log] == ["caller_gone"] * 2
            assert "tokenwire_calls_in_flight 0.0" in (await gateway.get("/metrics"))[1]

    said = threading.Event()
    closed = [threading.Event(), threading.Event()]

    def amid(stream: socket.socket) -> None:
        says(HEAD + CHUNK)(stream)
        closed[0].set()

    def before(stream: socket.socket) -> None:
        says(said.set)(stream)
        closed[1].set()

    with peer(amid, before) as url:
        asyncio.run(main())


def test_what_is_left_of_limits() -> None:
    async def main() -> None:
        limits = "limits = { rpm = 5, calls = 2 }\nbudget = { money = 2, per = 'day' }\n"
        async with serve("openai") as upstream:
            text = backs(upstream.url) + "\nprice = { input = 0, output = 0 }\n" + limits
            async with running(text) as gateway:
                assert is_whole(await gateway.ask("openai"))
                status, state = await gateway.get("/status")
                assert status == 200
                assert json.loads(state)["limits"] == {
                    "model/openai": {
                        "calls": {"limit": 2.0, "left": 2.0},
                        "rpm": {"limit": 5.0, "left": 4.0},
                        "budget": {"limit": 2.0, "left": 2.0},
                    }
                }

    asyncio.run(main())


def test_what_is_left_is_unknown_without_the_store() -> None:
    async def main() -> None:
        text = backs("http://127.0.0.1:1", store="redis://127.0.0.1:1/0", on_store_failure="refuse")
        async with running(text) as gateway:
            _, state = await gateway.get("/status")
            assert "can't count" in json.loads(state)["limits"]["unknown"]

    asyncio.run(main())


def test_targets_are_checked() -> None:
    async def main() -> None:
        async with serve("openai") as upstream:
            text = backs(upstream.url)
            checked = text.replace("max_tokens = 100", 'max_tokens = 100, check = "/health"')
            async with running(checked) as gateway:
                health = gateway.gateway.app.shared.planner.health
                await gateway.clock.asleep[CHECK].wait()
                assert [request.target for request in upstream.requests] == ["/health"]
                (target,) = health.values()
                for _ in range(3):
                    target.failed(0.0)
                gateway.clock.asleep[CHECK].clear()
                gateway.clock.up[CHECK].set()
                await gateway.clock.asleep[CHECK].wait()
                assert len(upstream.requests) == 2

    asyncio.run(main())

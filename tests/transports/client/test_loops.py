"""Which event loop runs, and what is said where none does."""

import subprocess
import sys
import textwrap
import threading

import anyio
import pytest

from tests.every_transport import LOOPS
from tokenwire import LocalProtocolError, ask_async, stream_async
from tokenwire.transports.client.loops import Soon, clock, running_library, soon


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_the_library_that_runs(name: str) -> None:
    async def main() -> str:
        return running_library()

    run, _ = LOOPS[name]
    assert run(main) == ("trio" if "trio" in name else "asyncio")


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_soon_is_called_in_the_loop(name: str) -> None:
    async def main() -> None:
        done, call = anyio.Event(), soon()
        thread = threading.Thread(target=call, args=[done.set])
        thread.start()
        with anyio.fail_after(10):
            await done.wait()
        thread.join()
        over.append(call)

    over: list[Soon] = []
    run, _ = LOOPS[name]
    run(main)
    with pytest.raises(RuntimeError):
        over[0](print)


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_the_clock_of_the_loop(name: str) -> None:
    async def main() -> None:
        assert clock()() <= anyio.current_time() <= clock()()

    run, _ = LOOPS[name]
    run(main)


def test_outside_of_any_loop() -> None:
    with pytest.raises(LocalProtocolError, match="no event loop is running"):
        running_library()
    with pytest.raises(LocalProtocolError, match=r"use ask\(\) and stream\(\)"):
        stream_async("ylokh", "Hello")
    coroutine = ask_async("ylokh", "Hello")
    with pytest.raises(LocalProtocolError, match="no event loop is running"):
        coroutine.send(None)


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_no_library_is_loaded_to_ask_it(library: str) -> None:
    code = f"""
        import sys
        from tokenwire.transports.client.loops import Soon, running_library, soon
        sys.modules.pop("{library}", None)
        try:
            running_library()
        except Exception as error:
            print(type(error).__name__, "{library}" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == ["LocalProtocolError", "False"]


def test_without_any_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("asyncio", "trio"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(LocalProtocolError, match="no event loop"):
        running_library()

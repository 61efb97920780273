"""What a caller sends, and how it leaves."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import pytest

from tokenwire.gateway import inbox as module
from tokenwire.gateway.inbox import CallerGone, Inbox
from tokenwire.protocols.errors import BadRequest, Overloaded

GONE = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def inbox(*messages: dict[str, Any], limit: int = 10, length: str | None = None) -> Inbox:
    """One that gets these messages, and then nothing more."""
    left = [*messages]

    async def receive() -> MutableMapping[str, Any]:
        if not left:
            await anyio.sleep_forever()
        return left.pop(0)

    return Inbox(receive, limit, length)


def run(main: Callable[[], Awaitable[None]]) -> None:
    anyio.run(main)


def test_a_body_in_pieces() -> None:
    async def main() -> None:
        found = inbox(
            piece(b"ab", more=True), {"type": "http.request", "more_body": True}, piece(b"c")
        )
        assert await found.body() == b"abc"
        assert await found.body() == b"abc"
        found.check()

    run(main)


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_one_that_is_too_large(cut: int) -> None:
    async def main() -> None:
        pieces = [piece(b"x" * cut, more=True) for _ in range(11 // cut + 1)]
        found = inbox(*pieces)
        for _ in range(2):
            with pytest.raises(BadRequest, match="too large") as refused:
                await found.body()
            assert refused.value.status == 413
        with pytest.raises(BadRequest):
            found.check()
        await found.until_gone()

    run(main)


@pytest.mark.parametrize("length", ["11", "9" * 5000])
def test_one_that_says_so_is_not_waited_for(length: str) -> None:
    async def main() -> None:
        found = inbox(length=length)
        with pytest.raises(BadRequest, match="too large") as refused:
            await found.body()
        assert refused.value.status == 413

    run(main)


def test_one_that_is_as_large_as_it_may_be() -> None:
    async def main() -> None:
        for length in (None, "10", "odd"):
            assert await inbox(piece(b"x" * 10), length=length).body() == b"x" * 10

    run(main)


def test_one_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 0.01)

    async def main() -> None:
        found = inbox(piece(b"a", more=True))
        for _ in range(2):
            with pytest.raises(Overloaded, match="did not arrive") as refused:
                await found.body()
            assert refused.value.status == 408

    run(main)


def test_a_caller_that_leaves_amid_it() -> None:
    async def main() -> None:
        found = inbox(piece(b"a", more=True), GONE)
        with pytest.raises(CallerGone):
            await found.body()
        with pytest.raises(CallerGone):
            found.check()
        await found.until_gone()
        assert found.gone

    run(main)


def test_a_caller_that_leaves_after_it() -> None:
    async def main() -> None:
        found = inbox(piece(b"a"), piece(b""), GONE)
        await found.until_gone()
        assert found.gone

    run(main)


def test_reading_may_be_cancelled() -> None:
    async def main() -> None:
        found = inbox(piece(b"a", more=True), piece(b"b"))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0):
            await found.until_gone()
        assert await found.body() == b"ab"

    run(main)

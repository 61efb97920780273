"""Services in memory: what each answers is a script, and no socket is opened."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from tokenwire import Event, Exchange, TokenwireError
from tokenwire.gateway.app import App
from tokenwire.protocols.toolkit.http import Request
from tokenwire.transports.client.answer import Reading
from tokenwire.transports.client.clients import AsyncClient

__all__ = ["Said", "Services", "in_memory"]

End: TypeAlias = Literal["eof", "closed", "reset", "silence"]


class Said(NamedTuple):
    """A response: `end` is how its body ends, by its framing, by the connection, by a reset, or not
    at all, so that a clock runs out. `error`: instead of a response."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/event-stream"),)
    end: End = "eof"
    cut: int = 1 << 30
    error: TokenwireError | None = None


Play: TypeAlias = Callable[[Request], Said]


class _Driver:
    """As much of a driver as a reading needs."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def conceal(self, error: TokenwireError) -> None:
        pass


class _Reading(Reading):
    def __init__(self, exchange: Exchange, play: Play) -> None:
        super().__init__()
        self._driver = _Driver(exchange)
        self._play = play
        self._said: Said | None = None
        self._place = 0
        self._begun = False

    def driver(self) -> Any:
        return self._driver if self._begun else None

    async def fill(self) -> list[Event]:
        exchange, self._begun = self._driver.exchange, True
        while True:
            if self._said is None:
                if self.keeps_raw and exchange.unstarted:
                    exchange.keep_raw()
                request = exchange.next_request()
                if request is None:
                    return []
                said = self._said = self._play(request)
                self._place = 0
                if said.error is not None:
                    raise said.error
                exchange.receive_response(said.status, said.headers)
            if events := self._heard(exchange, self._said):
                return events

    def _heard(self, exchange: Exchange, said: Said) -> list[Event]:
        """What the next piece says, or the end of the body."""
        if not exchange.wants_data:
            self._said = None
            if exchange.answered:
                exchange.receive_data(said.body[self._place :])
            return []
        if self._place < len(said.body):
            piece = said.body[self._place : self._place + said.cut]
            self._place += len(piece)
            return exchange.receive_data(piece)
        self._said = None
        match said.end:
            case "eof":
                return exchange.receive_eof(framed=True)
            case "closed":
                return exchange.receive_eof(framed=False)
            case "reset":
                return exchange.receive_disconnect()
            case _:
                return exchange.receive_timeout("idle")

    def stop(self) -> None:
        pass

    async def leave(self, *, at_once: bool) -> None:
        pass

    def abort(self) -> None:
        pass


class Services(AsyncClient):
    """A client whose questions are answered by `play`. `asked` are the requests."""

    def __init__(self, play: Play) -> None:
        super().__init__()
        self.asked: list[Request] = []
        self._play = play

    def _reading(self, exchange: Exchange) -> Reading:
        return _Reading(exchange, self._answer)

    def _answer(self, request: Request) -> Said:
        self.asked.append(request)
        return self._play(request)


def in_memory(app: App, play: Play) -> Services:
    """Have `app` ask these services."""
    app.shared.client.close()
    services = app.shared.client = Services(play)
    return services

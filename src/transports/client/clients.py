"""What every client offers, however it moves the bytes: to blocking code, and to async code."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from ...protocols.errors import LocalProtocolError
from ...protocols.exchange import Exchange
from ...protocols.reply import Reply
from .answer import Answer, AsyncAnswer, Reading

if TYPE_CHECKING:
    from ...protocols.observer import Observing

__all__ = ["AnyClient", "AsyncClient", "BlockingClient"]


class AnyClient(ABC):
    """Asks questions, until it is closed."""

    def __init__(self, observers: "Sequence[Observing]" = ()) -> None:
        self._closed = False
        self._observers = observers

    @property
    def closed(self) -> bool:
        """Whether no more answers can be opened."""
        return self._closed

    def close(self) -> None:
        """Open no more answers. Those that are open continue."""
        self._closed = True

    @abstractmethod
    def _reading(self, exchange: Exchange) -> Reading:
        """How the answer to `exchange` is read."""

    def _begin(self, exchange: Exchange) -> Reading:
        if self.closed:
            raise LocalProtocolError("the client is closed: open the answer inside its with block")
        if not exchange.unstarted:
            raise LocalProtocolError("the exchange was used already: open exchange.fresh()")
        if self._observers:
            from ...protocols.observer import observe

            observe(exchange, self._observers)
        return self._reading(exchange)


class BlockingClient(AnyClient):
    """A client for blocking code. Use it in a `with` statement, or close it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, exchange: Exchange) -> Answer:
        """The answer to `exchange`; use it in a `with` statement. Nothing is sent until it is read.
        Raises LocalProtocolError if the client is closed, or the exchange was used before."""
        return Answer(self._begin(exchange))

    def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. An error that it raises has, as `answer`, what was
        received before."""
        with self.open(exchange) as answer:
            return answer.read()


class AsyncClient(AnyClient):
    """A client for async code. Use it in an `async with` statement, or close it.

    It hands out no async generator, and no task, nursery or cancel scope outlives a call (except
    the system task in which the trio transport watches its deadlines, which ends with the last
    connection). A reader that is cancelled in any `await` leaves the answer as it was: it can be
    read on, or closed.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def open(self, exchange: Exchange) -> AsyncAnswer:
        """The answer to `exchange`; use it in an `async with` statement. Nothing is sent until it
        is read. Raises LocalProtocolError if the client is closed, or the exchange was used
        before."""
        return AsyncAnswer(self._begin(exchange))

    async def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. An error that it raises has, as `answer`, what was
        received before."""
        async with self.open(exchange) as answer:
            return await answer.read()

"""The client that all async transports share, over the network that each I/O library supplies.

No async generator is handed out, and no task, nursery or cancel scope outlives a call, but for
the one system task by which the trio network watches its clocks; it ends with the last connection.
A reader that is cancelled in any `await` leaves the answer as it was: it can be read on, or closed.
"""

from typing import Self

from ...protocols.exchange import Exchange
from ...protocols.reply import Reply
from .answer import AsyncAnswer
from .native import NativeClient

__all__ = ["AsyncAnswer", "AsyncClient"]


class AsyncClient(NativeClient):
    """Asks in one event loop. Each async transport has a `Client` derived from this.

    See `ClientSettings` for the arguments; with `single_use` the client is for one answer, and
    closed with it.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def open(self, exchange: Exchange) -> AsyncAnswer:
        """The answer to `exchange`, to be used in an `async with` statement. Nothing is sent before
        it is read. Raises LocalProtocolError if the client is closed, or the exchange was used."""
        return AsyncAnswer(self._reading(exchange))

    async def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. What is raised has in `answer` what had come."""
        async with self.open(exchange) as answer:
            return await answer.read()

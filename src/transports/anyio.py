"""The `anyio` transport, for code written for anyio: it runs on asyncio and on trio.

It moves bytes with the streams of the library that is running, which cost less than anyio's. The
cancel scopes of anyio cancel it on both.

    async with Client() as client:
        async with client.open(exchange) as answer:
            async for event in answer:
                ...
"""

from .client.answer import AsyncAnswer
from .client.clients import AsyncClient
from .client.loops import running_library
from .client.native import NativeClient
from .client.network import Network

__all__ = ["Answer", "Client"]

Answer = AsyncAnswer


class Client(NativeClient, AsyncClient):
    """Asks by the async library that is running. See `NativeClient` for the arguments."""

    @classmethod
    def network(cls) -> Network:
        if running_library() == "trio":
            from .trio import Network as TrioNetwork

            return TrioNetwork()
        from .asyncio import Network as AsyncioNetwork

        return AsyncioNetwork()

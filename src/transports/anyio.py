"""The `anyio` transport, for code written against anyio: on asyncio or trio, whichever runs.

The bytes go by the running library's own stream, which takes less than anyio's; anyio's scopes
cancel it on either.

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
    """Asks by the library that runs. See `NativeClient` for the arguments."""

    @classmethod
    def network(cls) -> Network:
        if running_library() == "trio":
            from .trio import Network as TrioNetwork

            return TrioNetwork()
        from .asyncio import Network as AsyncioNetwork

        return AsyncioNetwork()

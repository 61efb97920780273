"""Opens a transport by its name, to ask one question after another."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from ..protocols.errors import LocalProtocolError
from ..protocols.events import Event
from ..protocols.exchange import Exchange

if TYPE_CHECKING:
    import ssl

__all__ = ["Ask", "open_transport"]

Ask: TypeAlias = Callable[[Exchange, Callable[[Event], None]], None]
"""Asks, and passes each event to a function."""


@contextmanager
def open_transport(
    name: str,
    *,
    proxy: str | None = None,
    trust_env: bool = False,
    ssl_context: "ssl.SSLContext | None" = None,
    allow_private_addresses: bool = False,
) -> Generator[Ask]:
    """The transport `name`; the options are those of a native client. Raises LocalProtocolError if
    it is not installed."""
    options: dict[str, Any] = {"proxy": proxy, "trust_env": trust_env}
    allowed = {"allow_private_addresses": allow_private_addresses}
    client_type = _load(f"..transports.{name}", name).Client
    if name in ("sync", "httpx"):
        with ExitStack() as stack:
            if name == "sync":
                client = client_type(ssl_context=ssl_context, **options, **allowed)
            else:
                from ..transports.client.tls import default_context

                context = ssl_context or default_context()  # the same as on other transports
                http = _load("httpx", name).Client(verify=context, **options)
                client = client_type(stack.enter_context(http), **allowed)
            stack.enter_context(client)
            yield lambda exchange, show: _ask(client, exchange, show)
        return
    options |= {"ssl_context": ssl_context, **allowed}
    run = _load(name, name).run

    async def ask(exchange: Exchange, show: Callable[[Event], None]) -> None:
        # Each question has its own client, because it has its own event loop.
        async with client_type(**options) as client, client.open(exchange) as answer:
            async for event in answer:
                show(event)

    def ask_in_loop(exchange: Exchange, show: Callable[[Event], None]) -> None:
        try:
            if name == "asyncio":
                run(ask(exchange, show))
            else:
                run(ask, exchange, show)
        except BaseExceptionGroup as group:  # trio's nurseries wrap even KeyboardInterrupt
            if group.subgroup(KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise

    yield ask_in_loop


def _ask(client: Any, exchange: Exchange, show: Callable[[Event], None]) -> None:
    with client.open(exchange) as answer:
        for event in answer:
            show(event)


def _load(module: str, transport: str) -> Any:
    try:
        return import_module(module, __package__)
    except ModuleNotFoundError:
        raise LocalProtocolError(
            f"the transport {transport} is not installed: pip install 'tokenwire[{transport}]'"
        ) from None

"""Asks targets from time to time whether they are up, if the configuration names a path for that:
one that is put aside need not wait for its time to be over, and one that is down for a call."""

import time

import anyio

from ..protocols.clocks import Clocks
from ..protocols.errors import RemoteProtocolError, TokenwireError
from ..transports.client.clients import AsyncClient
from .config import Config, Target
from .metrics import targets_of
from .plan import Planner

__all__ = ["CHECK", "check_targets", "is_up"]

CHECK = 3.0
"""Seconds between two checks."""

_PATIENCE = Clocks(connect=2, first_event=2, idle=2, total=3)


async def check_targets(config: Config, client: AsyncClient, planner: Planner) -> None:
    """Check all targets that have a path for it, and tell `planner`."""

    async def check(target: Target) -> None:
        up = await is_up(target, client)
        planner.checked(target, up, anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for target in {target.name: target for target in targets_of(config)}.values():
            if target.check:
                tasks.start_soon(check, target)


async def is_up(target: Target, client: AsyncClient) -> bool:
    """Whether a GET of the target's `check`, at the host of its service, has a status of success,
    whatever the body is."""
    # The list of models is what is asked so: that the answer is none does not matter.
    provider = target.provider.replace(models_path=target.check)
    try:
        origin = provider.models_exchange([], params=target.params).request.origin
        base_url = f"{origin.scheme}://{origin.authority}"
        exchange = provider.models_exchange(
            [], key=target.key, base_url=base_url, clocks=_PATIENCE, now=time.time
        )
        await client.read(exchange)
    except TokenwireError as error:
        status = error.status if isinstance(error, RemoteProtocolError) else None
        return status is not None and 200 <= status < 300
    return True

"""Asking targets whether they are up."""

import anyio
import pytest

from tests.transports.client.test_async_client import peer, says
from tokenwire import NO_RETRY
from tokenwire.gateway.checks import check_targets, is_up
from tokenwire.gateway.plan import Planner
from tokenwire.server import serve
from tokenwire.transports.anyio import Client

from .driving import config_of, for_backs


def checked(url: str, path: str = "/health") -> str:
    text = for_backs(openai=url)
    return text.replace("max_tokens = 100", f'max_tokens = 100, check = "{path}"')


@pytest.mark.parametrize(
    ("status", "body", "up"),
    [
        (b"200 OK", b"", True),
        (b"200 OK", b"fine", True),
        (b"204 No Content", b"", True),
        (b"200 OK", b'{"data":[]}', True),
        (b"404 Not Found", b"", False),
        (b"503 Busy", b"", False),
        (b"302 Found", b"", False),
    ],
)
def test_a_status_of_success_is_enough(status: bytes, body: bytes, up: bool) -> None:
    async def main() -> None:
        (model,) = config_of(checked(url)).models
        async with Client(retry=NO_RETRY) as client:
            assert await is_up(model.targets[0], client) is up

    with peer(
        says(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
    ) as url:
        anyio.run(main)


@pytest.mark.parametrize("path", ["", "/health"])
def test_all_that_have_a_path_are_asked(path: str) -> None:
    async def main() -> None:
        planner = Planner(lambda: 0.5)
        other = checked("http://127.0.0.1:1/v1").replace("openai", "other")
        other = other.replace('"other_chat"', '"openai_chat"')
        config = config_of(checked(f"{server.url}/v1", path) + "\n" + other)
        async with Client(retry=NO_RETRY) as client:
            for _ in range(3):
                await check_targets(config, client, planner)
        up = {name: health.is_up(anyio.current_time()) for name, health in planner.health.items()}
        assert up == ({"openai/m": True, "other/m": False} if path else {"other/m": False})
        assert [request.target for request in server.requests] == [path] * (3 if path else 0)

    with serve("openai") as server:
        anyio.run(main)

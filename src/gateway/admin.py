"""What operators ask: metrics, probes, state. It changes nothing, and is not for callers."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from .delivery import Send

__all__ = ["Admin"]

_TEXT = b"text/plain; charset=utf-8"
_PROMETHEUS = b"text/plain; version=1.0.0; charset=utf-8"


class Admin:
    """An ASGI application. `unready` says why no new calls should come, or is empty; `metrics` is
    in the format of Prometheus; `status` is shown as JSON."""

    def __init__(
        self,
        *,
        unready: Callable[[], str],
        metrics: Callable[[], bytes],
        status: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._unready = unready
        self._metrics = metrics
        self._status = status

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Send,
    ) -> None:
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"nothing can be changed here\n"
        match path:
            case "/metrics":
                return 200, _PROMETHEUS, self._metrics()
            case "/livez":
                return 200, _TEXT, b"ok\n"
            case "/readyz":
                reason = self._unready()
                return (503 if reason else 200), _TEXT, f"{reason or 'ok'}\n".encode()
            case "/status":
                shown = msgspec.json.format(msgspec.json.encode(await self._status()))
                return 200, b"application/json", shown + b"\n"
            case _:
                return 404, _TEXT, b"/metrics, /livez, /readyz, /status\n"

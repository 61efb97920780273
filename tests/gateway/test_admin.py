"""What operators ask."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from tokenwire.gateway.admin import Admin


def ask(path: str, method: str = "GET", unready: str = "") -> tuple[int, bytes, bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing of a request is read")

    async def status() -> dict[str, list[int]]:
        return {"a": [1]}

    app = Admin(unready=lambda: unready, metrics=lambda: b"m 1\n", status=status)
    asyncio.run(app({"type": "http", "method": method, "path": path}, receive, send))
    head, body = sent
    headers = dict(head["headers"])
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert headers[b"cache-control"] == b"no-store"
    return head["status"], headers[b"content-type"], body["body"]


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/metrics", b"text/plain; version=1.0.0; charset=utf-8", b"m 1\n"),
        ("/livez", b"text/plain; charset=utf-8", b"ok\n"),
        ("/readyz", b"text/plain; charset=utf-8", b"ok\n"),
        ("/status", b"application/json", b'{\n  "a": [\n    1\n  ]\n}\n'),
    ],
)
def test_answers(path: str, kind: bytes, body: bytes) -> None:
    assert ask(path) == (200, kind, body)
    assert ask(path, "HEAD")[0] == 200


def test_not_ready() -> None:
    assert ask("/readyz", unready="draining")[::2] == (503, b"draining\n")
    assert ask("/livez", unready="draining")[0] == 200


def test_nothing_else() -> None:
    assert ask("/v1/models")[0] == 404
    assert ask("/status", "POST")[0] == 405

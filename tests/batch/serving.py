"""A server whose faults are chosen by what is asked, and how often it was."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from tokenwire import Request
from tokenwire.server import serve
from tokenwire.server.embedded import Server
from tokenwire.server.faults import Faults
from tokenwire.server.scripts import Plan, plan

__all__ = ["Asked", "rows", "serving", "text_of"]


class Asked:
    """What a server was asked: how often each question, and the server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.times: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def total(self) -> int:
        return self.times.total()


@contextmanager
def serving(
    choose: Callable[[str, int], Faults] = lambda text, time: None, **options: Any
) -> Generator[Asked]:
    """An embedded server, in a thread. `choose` is given a question's text, and how often it was
    asked, and says what goes wrong."""
    server = serve("openai", **options)
    asked = Asked(server)

    def plan_next(request: Request) -> Plan:
        text = text_of(request)
        asked.times[text] += 1
        return plan(choose(text, asked.times[text]))

    server.plan_next = plan_next  # type: ignore[method-assign]
    with server:
        yield asked


def text_of(request: Request) -> str:
    """The text of the question in a request."""
    text: str = msgspec.json.decode(request.body)["messages"][-1]["content"]
    return text


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    """So many rows, each with a question of its own."""
    return [{"custom_id": f"q{n}", "prompt": f"question {n}"} for n in range(first, first + count)]

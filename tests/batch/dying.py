"""Workers that die: the key of each request is the id of the process that asks, and the server
kills it."""

import os
import signal
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from tests.batch.serving import Asked, text_of
from tokenwire import Chat, Request
from tokenwire.server import serve

__all__ = ["KILLER", "deadly", "own_process"]

KILLER = "kill whoever asks this"


def own_process() -> str:
    """A key: the id of the process that asks."""
    return f"process-{os.getpid()}"


@contextmanager
def deadly(*kill_at: int) -> Generator[Asked]:
    """A server that kills whoever asks its questions number `kill_at`, or the question `KILLER`."""
    numbers: Counter[str] = Counter()

    def answer(chat: Chat, request: Request) -> str:
        text = text_of(request)
        asked.times[text] += 1
        numbers["all"] += 1
        if numbers["all"] in kill_at or text == KILLER:
            key = dict(request.headers)[b"authorization"].decode()
            os.kill(int(key.rpartition("-")[2]), signal.SIGKILL)
        return f"re: {text}"

    with serve("openai", answer) as server:
        asked = Asked(server)
        yield asked

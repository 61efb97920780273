"""The answers that a test has queued, and which of them is for a request."""

from collections.abc import Callable, Iterator
from threading import Lock

from ...protocols.chat import Chat
from .answers import Played, Scripted

__all__ = ["Queue"]


class Queue:
    """Answers in the order in which they were queued. May be used by several threads at once."""

    def __init__(self) -> None:
        self.all: list[Scripted] = []
        self._lock = Lock()

    def add(self, scripted: Scripted) -> None:
        """Queue one more."""
        with self._lock:
            self.all.append(scripted)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self.all = []

    def cassette(self) -> Scripted | None:
        """The cassette that answers, if the next answer is one."""
        with self._lock:
            first = next((one for one in self.all if _open(one)), None)
        return first if first is not None and isinstance(first.content, Played) else None

    def take(self, chat_for: Callable[[str | None], Chat | None]) -> Scripted | None:
        """The first answer for a request, if there is one. `chat_for` returns what the request asks
        a provider (None: the one that its path tells); None: it does not ask that one."""
        with self._lock:
            return self._first(_open, chat_for) or self._first(_lasting, chat_for)

    def _first(
        self,
        may: Callable[[Scripted], bool],
        chat_for: Callable[[str | None], Chat | None],
    ) -> Scripted | None:
        for scripted in self.all:
            if not may(scripted):
                continue
            chat = chat_for(scripted.wanted.provider)
            if chat is not None and scripted.wanted.fits(chat):
                scripted.asked += 1
                if scripted.left is not None:
                    scripted.left = max(0, scripted.left - 1)
                return scripted
        return None

    def waiting(self) -> Iterator[Scripted]:
        """Those that nobody has asked for."""
        return (one for one in self.all if one.left)


def _open(scripted: Scripted) -> bool:
    return scripted.left is None or scripted.left > 0


def _lasting(scripted: Scripted) -> bool:
    return scripted.lasting

"""What the server was asked, and the results."""

from threading import Event
from typing import TYPE_CHECKING, Any

import msgspec

from ...protocols.chat import Chat
from ...protocols.toolkit.http import Request
from ...protocols.toolkit.redaction import redact
from .answers import last_text
from .environment import KEY

if TYPE_CHECKING:
    from ...replay.tape import Tape
    from .answers import Scripted

__all__ = ["Received"]

_MOMENT = 0.5
"""Seconds."""


class Received:
    """A request, and how far its answer got.

    `provider` is the name of the service whose format it is in, `chat` what it asks (None: it asks
    no model, or could not be read). `at` counts seconds since the test began. `answer` is what was
    queued for it, if anything was; `connection` the number of the connection, from 1; `outcome`
    its result: `sent`, `client left after 512 bytes`, `ended after 77 bytes`, `refused with
    429`, ...
    """

    def __init__(self, request: Request, *, number: int, at: float, connection: int) -> None:
        self.request = request
        self.number = number
        self.at = at
        self.connection = connection
        self.provider = ""
        self.chat: Chat | None = None
        self.answer: Scripted | None = None
        self.other = False
        """Whether it asks no model: for the list of models, say."""
        self.status: int | None = None
        self.sent = 0
        """Bytes of the body that were sent."""
        self.so_far = "not answered yet"
        """The outcome as it is known now."""
        self.done_at: float | None = None
        """When the response was over, or the server had nothing more to send."""
        self.last_write_at = at
        """When the last bytes of the response began to go out: no client can have them before."""
        self.whole = False
        """Whether everything was sent, and only the end of the body was not."""
        self.problems: list[str] = []
        """What the test has to know: an error in an answer function, a place that is not there."""
        self.waited: float | None = None
        """For how many seconds the client waited for more, where there was no more."""

        self.tape: Tape | None = None
        """What went over the wire, if that is kept."""
        self._over = Event()

    @property
    def settled(self) -> bool:
        """Whether the response is over."""
        return self._over.is_set()

    def settle(self, outcome: str) -> None:
        """The response is over."""
        self.so_far = outcome
        self._over.set()

    @property
    def outcome(self) -> str:
        """What came of it. The server may need a moment more than the client."""
        if self.done_at is None:
            self._over.wait(_MOMENT)
        return self.so_far

    @property
    def method(self) -> str:
        """GET, POST, ..."""
        return self.request.method

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.request.target.partition("?")[0]

    @property
    def headers(self) -> dict[str, str]:
        """The headers, by their names in lower case."""
        pairs = self.request.headers
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}

    @property
    def json(self) -> Any:
        """The body as a JSON value; None if it is none."""
        try:
            return msgspec.json.decode(self.request.body)
        except msgspec.DecodeError:
            return None

    @property
    def text(self) -> str:
        """The text of the user's last message."""
        return "" if self.chat is None else last_text(self.chat)

    @property
    def retry_after(self) -> str | None:
        """What the server said of when to ask again."""
        content = None if self.answer is None else self.answer.content
        return getattr(content, "retry_after", None)

    def secrets(self) -> list[str]:
        """Texts that must never be shown."""
        return [secret for secret in self.request.secrets() if secret != KEY]

    def __repr__(self) -> str:
        text = self.text
        asked = f" {text if len(text) < 60 else text[:60] + '...'!r}" if self.chat else ""
        whose = f"{self.provider} " if self.provider else ""
        line = f"<request {self.number}: {whose}{self.method} {self.path}{asked}, {self.so_far}>"
        return redact(line, self.secrets())

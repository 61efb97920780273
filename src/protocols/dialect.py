"""What a wire format declares of itself: `Dialect` is the base of all formats.

Most of it is data, so that whatever wants to know what a format can do asks the format: the refusal
of options, the strategies for tests, the answers of `echo`, the command, the embedded server.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from .auth import Auth, Bearer
from .events import End, Event, Evidence, FinishKind, Text

if TYPE_CHECKING:
    from .chat import Chat
    from .provider import Provider
    from .question import Question
    from .service import Responder, Service
    from .step import Step

__all__ = ["Dialect", "Endpoint", "words"]


def words(text: str) -> frozenset[str]:
    """The words of `text`: how a format lists names."""
    return frozenset(text.split())


class Endpoint(msgspec.Struct, frozen=True):
    """What one kind of request is recognized by.

    `path` is what the path of its address ends in; a part in braces (`{id}`) stands for anything
    without a slash. `does` says what the request is for: `chat`, `models`, `model`, `count`,
    `health`, or another word of the format's.
    """

    does: str
    method: str
    path: str

    def match(self, target: str) -> dict[str, str] | None:
        """What stands for the parts in braces in the path `target`; None: it is another one."""
        wanted, given = self.path.split("/")[1:], target.split("/")
        if len(given) < len(wanted) + 1:  # all begins with a slash
            return None
        found: dict[str, str] = {}
        for want, have in zip(wanted, given[-len(wanted) :], strict=True):
            before, brace, rest = want.partition("{")
            if not brace:
                if want != have:
                    return None
                continue
            name, _, after = rest.partition("}")
            if not (have.startswith(before) and have.endswith(after)):
                return None
            value = have[len(before) : len(have) - len(after)]
            if not value:
                return None
            found[name] = value
        return found


class Dialect:
    """One wire format, both directions. Derive from this; the docstring of the derived class says
    what the format can say, and what it loses."""

    name: ClassVar[str]
    """The name of the format, which is that of its folder."""

    takes: ClassVar[frozenset[str]] = frozenset()
    """What of a chat it can say: names of options of `Chat`, and of what stands in messages and
    tools. All else is refused before anything is sent. The words beside the names of options:

    `stream`: answers that are not streamed, too; `history`: several messages, each with its role;
    `images`, `files`: such parts in messages of the user; `name`, `extra`: of a message; `cache`:
    cache marks; `strict`: of a tool; `custom`: tool calls of free text.
    """
    efforts: ClassVar[frozenset[str]] = frozenset()
    """The words of `Chat.effort` that it takes."""
    says: ClassVar[frozenset[type[Event]]] = frozenset((Text, End))
    """The kinds of events that its server half can write."""
    line_ends: ClassVar[bool] = True
    """Whether its text keeps line ends."""
    interleaves: ClassVar[bool] = False
    """Whether pieces of several parts may alternate: on the wire each says which part it is of, or
    has a kind of its own."""
    knows: ClassVar[frozenset[str]] = frozenset()
    """Further fields of its requests that are known, for `Chat.extra`."""
    hints: ClassVar[frozenset[str]] = frozenset()
    """Those of its fields that steer cost, speed or display only, and may be left out."""
    auth: ClassVar[tuple[Auth, ...]] = (Bearer(),)
    """Where a key may stand: the client uses the first, the server half takes any. Empty: the
    service knows no keys."""
    evidence: ClassVar[Evidence] = "finish"
    """The least evidence that an answer is complete, unless the provider requires another."""
    finish: ClassVar[Mapping[str, FinishKind]] = {}
    """Its finish reasons, and what they mean."""
    ignores: ClassVar[frozenset[str]] = frozenset()
    """Keys of its answers that are no content."""
    endpoints: ClassVar[tuple[Endpoint, ...]]
    """The requests that its server half answers, the chat first."""
    ping: ClassVar[bytes] = b""
    """A keep-alive in mid-answer, if the format has one."""

    def ask(self, question: "Question") -> "Step":
        """The client's first step. Raises LocalProtocolError for what can't be asked."""
        raise NotImplementedError

    def respond(self, service: "Service") -> "Responder":
        """The server's side of one request."""
        raise NotImplementedError

    def endpoints_of(self, provider: "Provider") -> tuple[Endpoint, ...]:
        """`endpoints`, with the chat where `provider` has it."""
        if not provider.path:
            return self.endpoints
        chat, *others = self.endpoints
        return (msgspec.structs.replace(chat, path=provider.path), *others)

    def takes_of(self, provider: "Provider") -> frozenset[str]:
        """`takes`, as far as `provider` takes it."""
        return self.takes - provider.refuses

    def says_to(self, chat: "Chat") -> frozenset[type[Event]]:
        """`says`, as far as it can be said in answer to `chat`."""
        return self.says

    def reason(self, kind: FinishKind) -> str:
        """The first of its finish reasons that means `kind`; `kind` itself if none does."""
        return next((word for word, means in self.finish.items() if means == kind), kind)

    def new_state(self) -> Any:
        """What a service keeps between requests, if the format needs anything."""
        return None

    def sdk_example(self, url: str, model: str, key: str) -> str:
        """Lines of Python that ask by the vendor's own SDK; empty if there is none. `url` is the
        base URL, `key` an expression."""
        return ""

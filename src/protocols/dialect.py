"""What a wire format declares about itself: `Dialect` is the base of all formats.

Most of it is data. All code that depends on what a format can do asks the format: the refusal of
options, the strategies for tests, the answers of `echo`, the command, the embedded server.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import msgspec

from .auth import Auth, Bearer
from .events import End, Event, Evidence, FinishKind, Text
from .toolkit.refusals import STANDARD, ErrorTable

if TYPE_CHECKING:
    from .chat import Chat
    from .provider import Provider
    from .question import Question
    from .service import Responder, Service
    from .step import Step
    from .toolkit.http import Request

__all__ = ["Dialect", "Endpoint", "words"]


_NARROWER = {"image_urls": ("images", "image_bytes"), "forced_tools": ("tool_choice", "tools_off")}
"""What a provider may refuse of a word of `takes`, and what is left of that word."""


def words(text: str) -> frozenset[str]:
    """The words of `text`, as a set: a short way to list names."""
    return frozenset(text.split())


class Endpoint(msgspec.Struct, frozen=True):
    """One kind of request, and how it is recognized.

    `path` is the end of the URL's path, or `/`, the root. A placeholder in braces (`{id}`) matches
    any text without a slash; one with a plus, in the last segment (`{+model}`), takes slashes, too,
    as clients leave those of a model's name as they are. `does` is the purpose of the request:
    `chat`, `models`, `model`, `count`, `kept` (what the service has kept, whose placeholder is
    `{id}`), or another word that the format chooses.
    """

    does: str
    method: str
    path: str

    def match(self, target: str) -> dict[str, str] | None:
        """The values of the placeholders, percent-decoded, if the path `target` matches; else
        None. A slash at the end makes no difference."""
        wanted, given = self.path.rstrip("/").split("/")[1:], target.rstrip("/").split("/")
        start = len(given) - len(wanted)
        if start < 1 or (start > 1 and not wanted):  # the first item is empty, or of another path
            return None
        if wanted and "{+" in wanted[-1]:
            *fixed, _ = wanted
            starts = [n for n in range(1, start + 1) if given[n : n + len(fixed)] == fixed]
            if not starts:
                return None
            start = starts[-1]
            rest = start + len(fixed)
            given[rest:] = ["/".join(given[rest:])]
        found: dict[str, str] = {}
        for want, have in zip(wanted, given[start:], strict=True):
            before, brace, label = want.partition("{")
            if not brace:
                if want != have:
                    return None
                continue
            name, _, after = label.removeprefix("+").partition("}")
            if "%" in have and not have.endswith(after):
                have = unquote(have)  # some write the colon before a method as %3A
            if not (have.startswith(before) and have.endswith(after)):
                return None
            value = have[len(before) : len(have) - len(after)]
            if not value:
                return None
            found[name] = unquote(value)
        return found


class Dialect:
    """One wire format, in both directions. The docstring of a subclass says what the format can
    express and what it loses."""

    name: ClassVar[str]
    """The name of the format, which is that of its folder."""

    takes: ClassVar[frozenset[str]] = frozenset()
    """What it can express of a chat: the names of options of `Chat`, and the words below.
    Anything else is refused before anything is sent.

    `stream`: answers that are not streamed, too; `history`: several messages, each with its role;
    with it `empty`: messages without content, not only results of tools; `any_start`: chats that do
    not begin with the user, after the system; `system_first`: the system's messages precede all
    others, of which there is at least one; `images`, `files`: such parts in messages of the user,
    `image_bytes`: pictures, but not by their addresses; `detail`: of a picture, other than `auto`;
    `tools_off`: of `tool_choice` only `auto` and `none`; `tools_kept`: `tool_choice` is not `none`
    in a chat with calls or their results; `chosen_logprobs`: of `logprobs` only 0; `name`, `extra`:
    of a message; `named`: results of tools need the name of the function, unless its call precedes
    them; `cache`: cache marks; `strict`: of a tool; `custom`: tool calls with free text.
    """
    efforts: ClassVar[frozenset[str]] = frozenset()
    """The words of `Chat.effort` that it takes."""
    says: ClassVar[frozenset[type[Event]]] = frozenset((Text, End))
    """The types of events that its server half can write."""
    line_ends: ClassVar[bool] = True
    """Whether its text keeps line ends."""
    whole_calls: ClassVar[bool] = False
    """Whether its server half writes only whole calls: the arguments are one JSON object, and what
    has none has `{}`. It can't say the end of another."""
    half_calls: ClassVar[bool] = False
    """Whether its server half has a word for a call that is not complete, whatever its arguments.
    Without, a client must be able to tell by them, or by the finish reason."""
    interleaves: ClassVar[bool] = False
    """Whether pieces of several parts may alternate: on the wire each says which part it is of, or
    has a kind of its own."""
    knows: ClassVar[frozenset[str]] = frozenset()
    """Other fields that its requests may have, given in `Chat.extra`; `a.b` is the field `b` of the
    object `a`, or of each of several."""
    hints: ClassVar[frozenset[str]] = frozenset()
    """Fields of its requests that affect only cost, speed or display: a gateway may drop them."""
    headers: ClassVar[Mapping[str, str]] = {}
    """Headers of each of its requests; those of the provider and the caller win."""
    errors: ClassVar[ErrorTable] = STANDARD
    """What the error responses of its services mean."""
    auth: ClassVar[tuple[Auth, ...]] = (Bearer(),)
    """Where a key may be. The client uses the first place; the server half accepts all. Empty: the
    service takes no key."""
    evidence: ClassVar[Evidence] = "finish"
    """The required evidence that an answer is complete, unless the provider names another."""
    finish: ClassVar[Mapping[str, FinishKind]] = {}
    """Its finish reasons, and what they mean."""
    stop_sequence: ClassVar[str] = ""
    """The finish reason of an answer that a stop sequence ended, if it is a word of its own."""
    ignores: ClassVar[frozenset[str]] = frozenset()
    """Keys of its answers that hold no content."""
    endpoints: ClassVar[tuple[Endpoint, ...]] = ()
    """The requests that its server half answers. The chat comes first."""
    counts: ClassVar[str] = ""
    """The path of the endpoint that counts the tokens of a request; empty if services have none."""
    binary: ClassVar[bool] = False
    """Whether its streams are no text, so that a terminal can't show them."""
    ping: ClassVar[bytes] = b""
    """The bytes of a keep-alive inside an answer, if the format has one."""

    def ask(self, question: "Question") -> "Step":
        """The client's first step. Raises LocalProtocolError for a question that it can't send."""
        raise NotImplementedError

    def look_up(self, question: "Question", request: "Request") -> "Step":
        """The client's step that sends `request`, to an endpoint that `does` `kept`, and takes what
        is there in whatever state it is. Only for formats that have such endpoints."""
        raise NotImplementedError

    def respond(self, service: "Service") -> "Responder":
        """The server's side of one request."""
        raise NotImplementedError

    def endpoints_of(self, provider: "Provider") -> tuple[Endpoint, ...]:
        """`endpoints`, with the provider's own paths of the chat if it has some."""
        own = [path for path in (provider.path, provider.whole_path) if path]
        if not (own and self.endpoints):
            return self.endpoints
        chat, *others = self.endpoints
        return (*(msgspec.structs.replace(chat, path=path) for path in own), *others)

    def takes_of(self, provider: "Provider") -> frozenset[str]:
        """`takes` without what `provider` refuses."""
        takes = self.takes - provider.refuses
        for word, (wide, narrow) in _NARROWER.items():
            if word in provider.refuses and wide in takes:
                takes = takes - {wide} | {narrow}
        return takes

    def says_to(self, chat: "Chat") -> frozenset[type[Event]]:
        """`says`, without the types that an answer to `chat` can't have."""
        return self.says

    def reason(self, kind: FinishKind) -> str:
        """Its first finish reason of this kind, or `kind` itself if it has none."""
        return next((word for word, means in self.finish.items() if means == kind), kind)

    def end(self) -> End:
        """The `End` of a complete answer. A format without an end mark has only the end of the body
        as evidence."""
        return End("terminator" if self.evidence == "finish" else self.evidence)

    def new_state(self) -> Any:
        """A new object for what a service keeps between requests (`Service.state`)."""
        return None

    def sdk_example(self, url: str, model: str, key: str) -> str:
        """Python code that asks with the vendor's own SDK; empty if there is none. `url` is the
        base URL, `key` an expression."""
        return ""

"""A provider: one service as data."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from .auth import Auth, AwsKey, KeySource, NoKey, key_text
from .chat import Chat, Effort, FilePart, ImagePart, Message, Opaque, Part, TextPart, Tool, ToolCall
from .clocks import Clocks
from .dialect import Dialect
from .errors import LocalProtocolError, did_you_mean
from .events import Evidence, FinishKind, Image, Reasoning, Text
from .exchange import Exchange
from .limits import Limits
from .question import Question, RandomSource
from .toolkit.http import check_plain

if TYPE_CHECKING:
    from .models import Model
    from .observer import Observer, Observing
    from .step import Step

__all__ = ["Provider"]

installed: "list[Callable[[], Observer | None]]" = []
"""What makes observers for each question of the program: see `observer.install`."""

_LIMITS = Limits()
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NO_WORD = re.compile(r"[/?#\\@%\s\x00-\x1f\x7f]")
"""What would make more of an address than the value of a placeholder."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One service as data: its format, its address, and how it differs from others.

    `replace` makes a copy with changes.
    """

    name: str
    dialect: Dialect
    base_url: str
    """How the URLs of its requests begin; another one may be given with a chat. A placeholder in
    braces (`{resource}`) is filled in from `params`."""
    params: dict[str, str] = {}
    """The placeholders of `base_url`, each with an environment variable that may hold its value.
    Data only: the core never reads the environment."""
    path: str = ""
    """The path of the chat below the base URL, if it is not the format's. It may contain
    `{model}`."""
    whole_path: str = ""
    """The same for an answer that is not streamed, if that has a path of its own."""
    query: dict[str, str] = {}
    """Fields that are added to the query of each request."""
    site: str = ""

    models: tuple[str, ...] = ()
    default_model: str = ""
    aliases: dict[str, str] = {}
    any_model: bool = False
    """Whether it also takes models that are not listed."""
    models_path: str | None = "/models"
    """Where its models are listed; None: nowhere."""
    working: bool | None = None
    """Whether the public service was up when this was written."""

    auth: Auth | None = None
    """How the key is sent, if not as the format says."""
    key_optional: bool = False
    """Whether it also answers without a key, like a server on one's own machine."""
    env: tuple[str, ...] = ()
    """Environment variables that may hold the key, in order. Data only: the high level and the
    command read them."""
    base_env: tuple[str, ...] = ()
    """The same for the base URL."""

    owes: Evidence | None = None
    """The required evidence that an answer is complete, if it is not the format's."""
    clocks: Clocks = Clocks()
    headers: dict[str, str] = {}
    fields: dict[str, Any] = {}
    """Fields of each request body. Those of a chat win; objects are merged."""
    omits: frozenset[str] = frozenset()
    """Fields of the format's request body that it does not take, as its path or its headers say the
    same, or it refuses them; `a.b` is the field `b` of the objects in `a`, where the format says
    so."""
    refuses: frozenset[str] = frozenset()
    """Words of `Dialect.takes` that the format takes and this service does not, and fields of
    `Chat.extra` that it is known to refuse. Two of them narrow a word: of `image_urls` remains
    `image_bytes`, of `forced_tools` remains `tools_off`."""
    finishes: dict[str, FinishKind] = {}
    """Its own finish reasons, in addition to those of the format."""
    error_codes: dict[str, str] = {}
    """Its own error codes or types, and the name of the error class of each."""
    lasting_codes: frozenset[str] = frozenset()
    """Its own error codes after which trying again can't help: a used-up balance."""
    otel_name: str = ""
    """`gen_ai.provider.name` of the OpenTelemetry conventions; empty: its `name`."""
    checked: str = ""
    """When this was last compared with `source`: an ISO date."""
    source: str = ""
    doubtful: tuple[str, ...] = ()
    """Names of the fields here that only one secondary source vouches for, or none."""

    # How the many services with chat completions differ.
    max_tokens: str = "max_tokens"
    """The field that `Chat.max_tokens` is written to."""
    ask_usage: bool = True
    """Whether a stream is asked to report its usage (`stream_options`): most services do so only if
    they are asked, and a few refuse that field."""
    effort: dict[Effort, dict[str, Any]] | None = None
    """What each word of `Chat.effort` adds to the body. None: as the format says."""
    history: Literal["reasoning_content", "reasoning", "reasoning_details", ""] = ""
    """The field of an assistant's message that takes its thoughts; empty: none does."""
    history_required: bool = False
    """Whether that field is required in turns with tool calls."""
    schema: Literal["json_schema", "json_object", ""] = "json_schema"
    """How `Chat.schema` is written; empty: it is refused."""
    system: Literal["any", "first"] = "any"
    """`first`: system messages are merged into one at the start."""
    developer: bool = True
    """Whether it knows the role `developer`; if not, that is written as `system`."""
    text_only: frozenset[str] = frozenset()
    """Roles whose content must be one string."""
    cache_marks: bool = False
    """Whether its messages may have `cache_control`."""

    def __repr__(self) -> str:
        # Shortened: headers, fields and base URL of a user's own provider may contain a key.
        return f"<Provider {self.name}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has all of it
        return [("name", self.name)]

    def replace(self, **changes: Any) -> "Provider":
        """A copy with `changes`."""
        return msgspec.structs.replace(self, **changes)

    @property
    def required_evidence(self) -> Evidence:
        """The required evidence that an answer is complete."""
        return self.owes or self.dialect.evidence

    @property
    def takes(self) -> frozenset[str]:
        """What it takes of a chat: see `Dialect.takes`."""
        return self.dialect.takes_of(self)

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do, as a set of: text, images (makes them), vision (sees them), tools,
        history, options, reasoning."""
        takes, says = self.takes, self.dialect.says
        found = {
            "text": Text in says,
            "images": Image in says,
            "vision": not takes.isdisjoint(("images", "image_bytes")),
            "tools": "tools" in takes,
            "history": "history" in takes,
            "options": "temperature" in takes,
            "reasoning": Reasoning in says and "reasoning" not in self.refuses,
        }
        return frozenset(word for word, can in found.items() if can)

    @property
    def key_place(self) -> Auth | None:
        """How a key is sent with a request; None: the service takes no key."""
        auth = self.auth or next(iter(self.dialect.auth), None)
        return None if isinstance(auth, NoKey) else auth

    def model(self, name: str) -> str:
        """The service's own name of the model `name` (empty: the default one).

        If there is none, raises LocalProtocolError with the known models and the closest ones.
        """
        name = check_plain(self.aliases.get(name, name) or self.default_model, "model")
        if name in self.models or (self.any_model and name):
            return name
        if not name:
            raise LocalProtocolError(f"{self.name} has no default model: give one with model=")
        known = [*self.models, *self.aliases]
        if len(name) > 100:  # servers receive any name, and comparing takes long
            name = f"{name[:100]}..."
        meant = did_you_mean(name, known)
        raise LocalProtocolError(
            f"{self.name} has no model {name!r}{meant} (known: {', '.join(known)})"
        )

    def exchange(
        self,
        chat: Chat,
        *,
        key: KeySource | None = None,
        base_url: str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        clocks: Clocks | None = None,
        random: RandomSource | None = None,
        now: Callable[[], float] | None = None,
        observers: "Sequence[Observing]" = (),
        body: bytes | None = None,
    ) -> Exchange:
        """The exchange that asks this provider `chat`.

        `key`: text, an `AwsKey`, or a function that returns one, called for each request. `headers`
        are added to each request, except to a server-chosen address. `random` is needed by services
        that want random strings (aichatonline): `random.SystemRandom()`. `now` returns seconds
        since 1970, for requests that are signed: `time.time`. `observers` are told what happens:
        `Observer`s, or functions that make one.
        `body` is sent in place of the chat, as a relay does: of `chat` then only `model` and
        `stream` matter.

        Raises LocalProtocolError for a chat that this provider can't take.
        """
        if not isinstance(chat, Chat):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise LocalProtocolError("give a Chat: as_chat(...) makes one of text or messages")
        observing = (*observers, *installed)
        try:
            self.check(chat)
            question = msgspec.structs.replace(
                self._question(chat, key, base_url, params, headers),
                model=self.model(chat.model),
                limits=limits or _LIMITS,
                random=random,
                now=now,
                body=body,
            )
            exchange = Exchange(
                question.ask,
                sign=question.sign,
                owes=self.required_evidence,
                clocks=clocks or self.clocks,
                limits=question.limits,
                keyless=self._keyless(key, headers),
            )
        except LocalProtocolError as error:
            if observing:
                from .observer import refuse

                refuse(observing, self, chat, key, error)
            raise
        exchange.question = question
        if observing:
            _observe()(exchange, observing)
        return exchange

    def document_exchange(
        self,
        path: str,
        body: bytes,
        *,
        key: KeySource | None = None,
        base_url: str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        clocks: Clocks | None = None,
        now: Callable[[], float] | None = None,
    ) -> Exchange:
        """The exchange that sends `body`, which is JSON, to the endpoint at `path`, beside the
        chat, and takes one JSON document as its answer. Tell it to `keep_raw`: once it has
        succeeded, `take_raw` returns that."""
        from .document import DocumentStep  # only gateways ask so

        question = self._beside(key, base_url, params, headers, now)
        return self._document(question, lambda: DocumentStep(question, path, body), clocks)

    def kept_exchange(
        self,
        method: str,
        path: str,
        *,
        stream: bool = False,
        key: KeySource | None = None,
        base_url: str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        clocks: Clocks | None = None,
        now: Callable[[], float] | None = None,
    ) -> Exchange:
        """The exchange that asks for something that the service has kept, at `path`, which may have
        a query: as a stream, or as one JSON document. Tell it to `keep_raw`."""
        question = self._beside(key, base_url, params, headers, now)
        accept = "text/event-stream" if stream else "application/json"
        request = question.get(path, {"accept": accept}, method)
        return self._document(question, lambda: self.dialect.look_up(question, request), clocks)

    def models_exchange(
        self,
        found: "list[Model]",
        *,
        key: KeySource | None = None,
        base_url: str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        clocks: Clocks | None = None,
        now: Callable[[], float] | None = None,
    ) -> Exchange:
        """The exchange that asks for the service's models. Once it has succeeded, `found` has them.

        Raises LocalProtocolError for a provider without such a list.
        """
        from .models import ModelsStep  # few programs ask for it

        question = self._beside(key, base_url, params, headers, now)
        return self._document(question, lambda: ModelsStep(question, found), clocks)

    def _beside(
        self,
        key: KeySource | None,
        base_url: str | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        now: Callable[[], float] | None,
    ) -> Question:
        """What is asked beside the chat."""
        question = self._question(Chat(messages=()), key, base_url, params, headers)
        return msgspec.structs.replace(question, now=now)

    def _document(
        self, question: Question, first: "Callable[[], Step]", clocks: Clocks | None
    ) -> Exchange:
        """An exchange whose answers are JSON documents."""
        return Exchange(
            first,
            sign=question.sign,
            owes="terminator",
            clocks=clocks or self.clocks,
            limits=_LIMITS,
            keyless=self._keyless(question.key, question.headers),
        )

    def _keyless(self, key: KeySource | None, headers: Mapping[str, str] | None) -> str:
        """What to tell a caller whom the service refuses for want of a key."""
        if key or headers or self.key_place is None:  # one may be in the headers
            return ""
        variables = f", or set {' or '.join(self.env)}" if self.env else ""
        return f"no key was given: give key=...{variables}"

    def _question(
        self,
        chat: Chat,
        key: KeySource | None,
        base_url: str | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> Question:
        if key is not None:
            if self.key_place is None:
                raise self._refuse("key")
            key = key_text(key) if isinstance(key, str) else key
            if isinstance(key, AwsKey) and key.region:
                params = {"region": key.region, **(params or {})}
        return Question(
            provider=self,
            chat=chat,
            model="",
            limits=_LIMITS,
            key=key,
            base_url=self._base_url(params or {}) if base_url is None else base_url.strip(),
            headers=dict(headers or {}),
        )

    def check(self, chat: Chat) -> None:
        """Raises LocalProtocolError, which says what, if this can't take something in `chat`."""
        takes = self.takes
        if not chat.messages:
            raise LocalProtocolError("no message: a chat needs at least one")
        for option in chat.options():
            if option == "tool_choice" and "tools_off" in takes:
                if chat.tool_choice not in ("auto", "none"):
                    raise self._refuse("tool_choice, other than auto and none")
            elif option == "logprobs" and "chosen_logprobs" in takes:
                if chat.logprobs:
                    raise self._refuse("logprobs, other than 0")
            elif option not in takes and not (option == "n" and chat.n == 1):
                raise self._refuse(option)
        for name in chat.extra:
            if name in self.refuses:
                raise self._refuse(name)
        if not chat.stream and "stream" not in takes:
            raise self._refuse("stream=False")
        if chat.effort is not None:
            efforts = self.dialect.efforts if self.effort is None else self.effort
            if chat.effort not in efforts:
                known = ", ".join(e for e in get_args(Effort) if e in efforts) or "none of them"
                raise LocalProtocolError(f"{self.name}: effort is {known}, not {chat.effort}")
        for tool in chat.tools:
            if isinstance(tool, Tool):
                self._check_cache(tool, takes)
                if tool.strict is not None and "strict" not in takes:
                    raise self._refuse("a tool's strict")
        for message in chat.messages:
            self._check_message(message, takes)
        if "system_first" in takes:
            self._check_order(chat)
        if "tools_kept" in takes and chat.tool_choice == "none" and _has_calls(chat):
            raise self._refuse("tool_choice none once tools were called")
        if "history" in takes and "any_start" not in takes:
            roles = (message.role for message in chat.messages)
            first = next((role for role in roles if role not in ("system", "developer")), None)
            if first not in ("user", "tool"):
                raise LocalProtocolError(
                    f"{self.name}: after the system's messages one of the user must come first"
                )

    def _check_order(self, chat: Chat) -> None:
        systems = [message.role in ("system", "developer") for message in chat.messages]
        if all(systems):
            raise LocalProtocolError(f"{self.name} needs a message that is not the system's")
        if any(systems[systems.index(False) :]):
            raise LocalProtocolError(f"{self.name}: put the system's messages before all others")

    def _check_message(self, message: Message, takes: frozenset[str]) -> None:
        if message.name and message.role != "tool" and "name" not in takes:
            raise self._refuse("a message's name")
        if message.extra and "extra" not in takes:
            raise self._refuse(f"{', '.join(message.extra)} of a message")
        if message.role == "tool" and "tools" not in takes:
            raise self._refuse("tools")
        if message.role != "tool" and (message.tool_call_id or message.failed):
            field = "tool_call_id" if message.tool_call_id else "failed"
            raise self._refuse(f"{field} of a message of the {message.role}")
        says = any(not isinstance(part, TextPart) or part.text for part in message.parts)
        if not says and message.role != "tool" and "history" in takes and "empty" not in takes:
            raise self._refuse(f"an empty message (of the {message.role})")
        if isinstance(message.content, str):
            return
        for part in message.content:
            if part.native is None or part.native.dialect != self.dialect.name:
                self._check_part(part, takes)

    def _check_part(self, part: Part, takes: frozenset[str]) -> None:
        match part:
            case ImagePart() if takes.isdisjoint(("images", "image_bytes")):
                raise self._refuse("images")
            case ImagePart() if "images" not in takes and part.url[:5].lower() != "data:":
                raise LocalProtocolError(f"{self.name} takes a picture by its bytes only")
            case ImagePart() if part.detail not in ("", "auto") and "detail" not in takes:
                raise self._refuse("a picture's detail")
            case FilePart() if "files" not in takes:
                raise self._refuse("files")
            case ToolCall() if "tools" not in takes:
                raise self._refuse("tools")
            case ToolCall(custom=True) if "custom" not in takes:
                raise self._refuse("custom tool calls")
            case _:
                if not isinstance(part, Opaque):
                    self._check_cache(part, takes)

    def _check_cache(self, marked: Part | Tool, takes: frozenset[str]) -> None:
        if getattr(marked, "cache", "") and "cache" not in takes:
            raise self._refuse("cache marks")

    def _refuse(self, what: str) -> LocalProtocolError:
        return LocalProtocolError(f"{self.name} can't take {what}: leave it out of the chat")

    def _base_url(self, params: Mapping[str, str]) -> str:
        def fill(match: "re.Match[str]") -> str:
            name = match[1]
            if not params.get(name):
                variable = self.params.get(name)
                where = f", or set {variable}" if variable else ""
                raise LocalProtocolError(
                    f"{self.name} needs {name}: give params={{{name!r}: ...}}{where}"
                )
            if _NO_WORD.search(params[name]):
                raise LocalProtocolError(f"{name} is one word, not {params[name]!r}")
            return params[name]

        return _PLACEHOLDER.sub(fill, self.base_url)


@cache
def _observe() -> "Callable[[Exchange, Iterable[Observing]], None]":
    from .observer import observe  # most programs observe nothing

    return observe


def _has_calls(chat: Chat) -> bool:
    """Whether there are calls of tools, or their results."""
    return any(message.role == "tool" or message.tool_calls for message in chat.messages)

"""The classes and calls of the documents that founded the project, for scripts that use them.

    from tokenwire.compat import DarkAI

    DarkAI.base_url = "http://127.0.0.1:8000"  # of your own service: theirs is shut down
    async for chunk in DarkAI.create_async_generator(model="gpt-4o", messages=[...]):
        print(chunk, end="")

They run on asyncio and on trio. A failure is raised as one of tokenwire's errors. This differs from
the documented client on purpose, which returned the text of an error as if it were the model's.
"""

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import msgspec

from .highlevel import make_exchange
from .protocols.chat import Message
from .protocols.clocks import Clocks
from .protocols.dialect import Dialect
from .protocols.errors import LocalProtocolError, TokenwireError
from .protocols.events import Event, Image, Text
from .protocols.provider import Provider
from .protocols.question import Question
from .protocols.registry import PROVIDERS
from .protocols.reply import Reply
from .protocols.step import Step
from .protocols.toolkit.http import get_header
from .transports.anyio import Client  # for whichever loop is running; it works without anyio
from .transports.client.answer import AsyncAnswer

__all__ = ["AiChatOnline", "AiChats", "Chunks", "DarkAI", "ImageResponse", "Messages", "Ylokh"]

Messages: TypeAlias = Sequence[Mapping[str, Any] | Message]
"""`[{"role": "user", "content": "..."}, ...]`"""

_Chunk = TypeVar("_Chunk")


@dataclass(frozen=True)
class ImageResponse:
    """A picture as a chunk of an answer. `images`: its `data:` URL; `alt`: the prompt.

    `str()` of it is Markdown.
    """

    images: list[str]
    alt: str

    def __str__(self) -> str:
        alt = re.sub(r"([\\\[\]])", r"\\\1", " ".join(self.alt.split()))
        return "\n".join(f"![{alt}]({image})" for image in self.images)


class Chunks(AsyncIterator[_Chunk]):
    """The answer as it arrives, in chunks: `async for chunk in chunks`.

    Nothing is sent until the first chunk is requested. An error, a cancellation and `aclose()`
    close the connection at once; so does leaving the loop, if it had the only reference
    (`contextlib.aclosing` does not depend on that). Awaiting it returns the same object. With
    `stream=False` that waits for the whole answer, whose text is then its `str()`; otherwise it
    changes nothing.

    `reply` is everything received so far, with usage, finish reason and evidence.
    """

    def __init__(
        self,
        answer: AsyncAnswer,
        chunk_of: Callable[[Event], _Chunk | None],
        *,
        whole: bool = False,
    ) -> None:
        self.reply = Reply()
        self._answer = answer
        self._chunk_of = chunk_of
        self._whole = whole
        self._ready: deque[_Chunk] = deque()
        self._closed = False

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._begin().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Chunk:
        return self._ready.popleft() if self._ready else await self._next()

    def __str__(self) -> str:
        return self.reply.text

    def __del__(self) -> None:
        if not self._closed:
            # Not aclose(): the garbage collector may run in any thread.
            with suppress(RuntimeError):  # the event loop is closed
                self._answer.abort()

    async def aclose(self) -> None:
        """Stop, and close the connection at once."""
        self._closed = True
        await self._answer.aclose()

    async def _begin(self) -> Self:
        if self._whole:
            with suppress(StopAsyncIteration):
                while True:
                    self._ready.append(await self._next())
        return self

    async def _next(self) -> _Chunk:
        try:
            while True:
                event = await anext(self._answer)
                self.reply.add(event)
                if (chunk := self._chunk_of(event)) is not None:
                    return chunk
        except BaseException as error:
            if isinstance(error, TokenwireError):
                self._answer.hand_out(error, self.reply)
            await self.aclose()
            raise


def _text(event: Event) -> str | None:
    """The documents have only one choice."""
    return event.text if isinstance(event, Text) and event.index == 0 else None


def _text_or_image(event: Event) -> str | ImageResponse | None:
    return (
        ImageResponse([event.data_url], event.prompt) if isinstance(event, Image) else _text(event)
    )


_OPTIONS = ("temperature", "top_p", "max_tokens", "stop", "n", "seed", "stream")


class _Documented:
    """What the four have in common: each is made from a `provider`. Their attributes are read
    for each question."""

    base_url: ClassVar[str | None] = None
    """The address of the service, instead of the documented one."""
    url: ClassVar[str]
    api_endpoint: ClassVar[str]
    """The address for chats: a URL, or a path below `url`. Changing it moves the whole service."""
    working: ClassVar[bool] = False
    default_model: ClassVar[str]
    models: ClassVar[list[str]]
    model_aliases: ClassVar[dict[str, str]]

    _provider: ClassVar[Provider]
    _path: ClassVar[str]
    _chat_fields: ClassVar[tuple[str, ...]] = (*_OPTIONS, "tools", "tool_choice")
    """The other arguments that are passed as fields of a `Chat`, so that one that the service can't
    take is an error. All others go into the request as they are."""

    def __init_subclass__(cls, provider: Provider | None = None) -> None:
        if provider is not None:  # None: a subclass of the user's own
            cls._provider = provider
            cls.default_model = provider.default_model
            cls.models = list(provider.models)
            cls.model_aliases = dict(provider.aliases)

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """The service's own name for a model or an alias; empty or None: the default model.

        Raises LocalProtocolError for an unknown model.
        """
        return cls._preset().model(model or "")

    @classmethod
    async def create_async(
        cls,
        model: str | None = None,
        messages: Messages = (),
        proxy: str | None = None,
        **kwargs: Any,
    ) -> str:
        """The whole text or, if the answer has a picture, that as a `data:` URL.

        Raises TokenwireError, whose `answer` is what arrived before the error.
        """
        async with cls._open(model, messages, proxy, kwargs) as answer:
            reply = await answer.read()
        return reply.images[0].data_url if reply.images else reply.text

    @classmethod
    def _open(
        cls, model: str | None, messages: Messages, proxy: str | None, options: dict[str, Any]
    ) -> AsyncAnswer:
        provider = cls._preset()
        timeout, headers = options.pop("timeout", None), options.pop("headers", None)
        if timeout is not None:  # the only limit: no other may end the answer earlier
            clocks = Clocks(first_event=None, idle=None, total=timeout)
            provider = msgspec.structs.replace(provider, clocks=clocks)
        chosen = {name: options.pop(name) for name in cls._chat_fields if name in options}
        exchange = make_exchange(
            provider, messages, headers=headers, model=model or "", extra=options, **chosen
        )
        return Client(proxy=proxy, single_use=True).open(exchange)

    @classmethod
    def _preset(cls) -> Provider:
        return msgspec.structs.replace(
            cls._provider,
            base_url=cls.base_url or cls._base_of_endpoint(),
            default_model=cls.default_model,
            models=tuple(cls.models),
            aliases=dict(cls.model_aliases),
        )

    @classmethod
    def _base_of_endpoint(cls) -> str:
        endpoint = cls.api_endpoint
        if "://" not in endpoint:
            endpoint = cls.url.rstrip("/") + endpoint
        if not endpoint.endswith(cls._path):
            raise LocalProtocolError(
                f"{cls.__name__}.api_endpoint {endpoint!r} does not end in {cls._path}: "
                f"set {cls.__name__}.base_url"
            )
        return endpoint.removesuffix(cls._path)


class _OfText(_Documented):
    """A service whose answers are text, and always streamed."""

    @classmethod
    def create_async_generator(
        cls,
        model: str | None = None,
        messages: Messages = (),
        proxy: str | None = None,
        **kwargs: Any,
    ) -> Chunks[str]:
        """The text as it arrives. `kwargs` go into the request, except `timeout` (seconds for the
        whole answer) and `headers`.

        Raises LocalProtocolError if this can't be asked; iterating raises TokenwireError.
        """
        return Chunks(cls._open(model, messages, proxy, kwargs), _text)


class DarkAI(_OfText, provider=PROVIDERS["darkai"]):
    """darkai.foundation."""

    url = "https://darkai.foundation/chat"
    api_endpoint = "https://darkai.foundation/chat"
    supports_stream: ClassVar[bool] = True

    _path = "/chat"


class Ylokh(_Documented, provider=PROVIDERS["ylokh"]):
    """chat.ylokh.xyz."""

    url = "https://chat.ylokh.xyz"
    api_endpoint = "https://chatapi.ylokh.xyz/v1/chat/completions"
    supports_message_history: ClassVar[bool] = True
    supports_gpt_35_turbo: ClassVar[bool] = True

    _path = "/chat/completions"
    _chat_fields = _OPTIONS  # tools go into the request as they are, in the service's own form

    @classmethod
    def create_async_generator(
        cls,
        model: str | None = None,
        messages: Messages = (),
        stream: bool = True,
        proxy: str | None = None,
        timeout: float | None = 120,
        **kwargs: Any,
    ) -> Chunks[str]:
        """The text as it arrives, or as a whole with `stream=False`. `timeout` is in seconds, for
        the whole answer. `kwargs` go into the request, except `headers`.

        Raises LocalProtocolError if this can't be asked; iterating raises TokenwireError.
        """
        options = {**kwargs, "stream": stream, "timeout": timeout}
        return Chunks(cls._open(model, messages, proxy, options), _text, whole=not stream)


class AiChats(_Documented, provider=PROVIDERS["aichats"]):
    """ai-chats.org. The model `dalle` makes pictures."""

    url = "https://ai-chats.org"
    api_endpoint = "https://ai-chats.org/chat/send2/"
    supports_message_history: ClassVar[bool] = True

    _path = "/chat/send2/"

    @classmethod
    def create_async_generator(
        cls,
        model: str | None = None,
        messages: Messages = (),
        proxy: str | None = None,
        **kwargs: Any,
    ) -> Chunks[str | ImageResponse]:
        """The text as it arrives, or the picture. `kwargs` go into the request, except `timeout`
        (seconds for the whole answer) and `headers`. Session cookies are not sent unless `headers`
        has them.

        Raises LocalProtocolError if this can't be asked; iterating raises TokenwireError.
        """
        return Chunks(cls._open(model, messages, proxy, kwargs), _text_or_image)


class AiChatOnline(_OfText, provider=PROVIDERS["aichatonline"]):
    """aichatonline.org. `url` is the address of its API."""

    site_url: ClassVar[str] = "https://aichatonline.org"
    url = "https://aichatonlineorg.erweima.ai"
    api_endpoint = "/aichatonline/api/chat/gpt"
    supports_gpt_35_turbo: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = False

    _path = "/aichatonline/api/chat/gpt"

    @classmethod
    async def grab_token(cls, session: object = None, proxy: str | None = None) -> str:
        """A unique id from the service; each chat fetches its own. `session` is not used.

        Raises TokenwireError.
        """
        provider = msgspec.structs.replace(cls._preset(), dialect=_UniqueId(cls._provider.dialect))
        exchange = make_exchange(provider, "")  # never asked: it would follow the unique id
        async with Client(proxy=proxy, single_use=True).open(exchange) as answer:
            return (await answer.read()).text


class _UniqueId(Dialect):
    """The first request of `dialect` alone: its answer's text is the unique id."""

    evidence = "body_end"

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def ask(self, question: Question) -> Step:
        return _UniqueIdStep(self._dialect.ask(question))


class _UniqueIdStep(Step):
    framing = "document"

    def __init__(self, first: Step) -> None:
        self._first = first
        self.request = first.request

    def document(self, body: bytes, events: list[Event]) -> None:
        following = self._first.document(body, events)
        assert following is not None
        events.append(Text(get_header(following.request.headers, b"uniqueid") or ""))

"""One provider of each format of the matrix: of the registry, or, for a format that has no folder
yet, one that only declares what that will take."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from tokenwire.gateway.matrix import COLUMNS
from tokenwire.gateway.translate import Translated, translated
from tokenwire.protocols.blocks import BLOCK_EVENTS
from tokenwire.protocols.chat import Chat
from tokenwire.protocols.dialect import Dialect, words
from tokenwire.protocols.events import (
    Citation,
    End,
    Finish,
    FinishKind,
    LogProbs,
    Refusal,
    Start,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS

__all__ = ["FORMATS", "WRITTEN", "Target", "ask", "dialect"]

_TOOLS = "tools tool_choice effort schema stream history"


class _Cohere(Dialect):
    name = "cohere"
    says = BLOCK_EVENTS | {Start, Refusal, Citation, LogProbs, Usage, Finish, Unrecognized, End}
    takes = words(
        "temperature top_p top_k max_tokens stop seed frequency_penalty presence_penalty "
        f"chosen_logprobs {_TOOLS} empty any_start images detail strict"
    )
    efforts = frozenset(("none", "high"))
    finish: ClassVar[Mapping[str, FinishKind]] = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop"}


class _Bedrock(Dialect):
    name = "bedrock"
    takes = words(
        f"temperature top_p top_k max_tokens stop {_TOOLS} tools_kept any_start system_first "
        "image_bytes files cache strict"
    )
    efforts = frozenset(("low", "medium", "high", "xhigh", "max"))


class _Mistral(Dialect):
    name = "mistral"
    takes = words(
        "temperature top_p top_k max_tokens stop n seed presence_penalty frequency_penalty "
        f"logprobs parallel {_TOOLS} empty any_start images detail files extra strict"
    )
    efforts = frozenset(("none", "high"))


class _Stub(Provider, frozen=True, kw_only=True):
    def check(self, chat: Chat) -> None:
        chosen = "chosen_logprobs" in self.takes and chat.logprobs == 0
        super().check(chat.replace(logprobs=None) if chosen else chat)


_STUBS = {dialect.name: dialect for dialect in (_Cohere(), _Bedrock(), _Mistral())}


def _provider(format: str) -> Provider:
    for provider in PROVIDERS.values():
        if provider.dialect.name == format:
            return provider.replace(any_model=True, fields={}, params={})
    return _Stub(name=format, dialect=_STUBS[format], base_url="http://x.test", any_model=True)


FORMATS = {format: _provider(format) for format in COLUMNS}
"""By the name of the format."""

WRITTEN = [
    name for name, each in FORMATS.items() if type(each.dialect) not in map(type, _STUBS.values())
]
"""Those that have a folder."""


class Target(NamedTuple):
    """What a configuration has of a target."""

    provider: Provider
    max_tokens: int | None = 1000


def dialect(format: str) -> Dialect:
    """The format of this name."""
    return FORMATS[format].dialect


def ask(chat: Chat, front: str, back: str, *allow: str, **changes: Any) -> Translated:
    """`chat`, as a caller of `front` asks it, for a target of the format `back`; `changes` of its
    provider."""
    target = Target(FORMATS[back].replace(**changes))
    return translated(chat, dialect(front), target, frozenset(allow))

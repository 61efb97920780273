"""The h11 of LLM streams: a sans-IO core for every chat provider's wire format, both directions.

    import tokenwire

    reply = tokenwire.ask("openai", "Why is the sky blue?", model="gpt-4o-mini", key=...)
    print(reply.text)

`ask` and `stream` are for a script; `PROVIDERS[...].exchange(chat)` is the core, without any I/O;
`tokenwire.transports` has the transports. Importing this imports no event loop and no TLS.
"""

from typing import TYPE_CHECKING, Any

from .highlevel import (
    ask,
    ask_async,
    make_exchange,
    models,
    models_async,
    stream,
    stream_async,
)
from .protocols import VERSION
from .protocols.chat import (
    Chat,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from .protocols.clocks import Clocks
from .protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    TransportError,
    Truncated,
    UnexpectedContent,
)
from .protocols.events import (
    Citation,
    End,
    Event,
    Evidence,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from .protocols.limits import Limits
from .protocols.registry import PROVIDERS
from .protocols.retry import NO_RETRY, Retry

if TYPE_CHECKING:
    from .protocols.auth import AwsKey, Bearer, Header, NoKey, Query, SigV4
    from .protocols.dialect import Dialect, Endpoint
    from .protocols.exchange import Exchange
    from .protocols.models import Model
    from .protocols.observer import Observer, Outcome
    from .protocols.provider import Provider
    from .protocols.reply import Choice, CollectedToolCall, Reply
    from .protocols.service import Responder, Service, pair
    from .protocols.serving import ServiceObserver
    from .protocols.step import EventStep, FrameStep, LineStep, Step
    from .protocols.toolkit.http import Headers, Request

__version__ = VERSION

_ON_DEMAND = {
    "auth": "AwsKey Bearer Header NoKey Query SigV4",
    "dialect": "Dialect Endpoint",
    "exchange": "Exchange",
    "models": "Model",
    "observer": "Observer Outcome",
    "provider": "Provider",
    "reply": "Choice CollectedToolCall Reply",
    "service": "Responder Service pair",
    "serving": "ServiceObserver",
    "step": "EventStep FrameStep LineStep Step",
    "toolkit.http": "Headers Request",
}
"""The machine, by modules: what a program that only imports this, or waits for its first question,
has no need of yet."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _ON_DEMAND.items():
        if name in names.split():
            return getattr(import_module(f".protocols.{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NO_RETRY",
    "PROVIDERS",
    "AuthenticationFailed",
    "AwsKey",
    "BadRequest",
    "Bearer",
    "Challenged",
    "Chat",
    "Choice",
    "Citation",
    "Clocks",
    "CollectedToolCall",
    "ConnectFailed",
    "ContentFiltered",
    "Dialect",
    "Disconnected",
    "End",
    "Endpoint",
    "Event",
    "EventStep",
    "Evidence",
    "Exchange",
    "FilePart",
    "Finish",
    "FrameStep",
    "Header",
    "Headers",
    "Image",
    "ImagePart",
    "LimitExceeded",
    "Limits",
    "LineStep",
    "LocalProtocolError",
    "LogProbs",
    "Malformed",
    "Message",
    "Model",
    "Native",
    "NoKey",
    "Observer",
    "Opaque",
    "Outcome",
    "Overloaded",
    "Part",
    "Provider",
    "Query",
    "RateLimited",
    "Reasoning",
    "ReasoningPart",
    "Redirected",
    "Refusal",
    "RefusalPart",
    "Refused",
    "RemoteProtocolError",
    "Reply",
    "Request",
    "Responder",
    "Retry",
    "Service",
    "ServiceObserver",
    "SigV4",
    "Start",
    "Step",
    "Text",
    "TextPart",
    "TimedOut",
    "TokenLogProb",
    "TokenwireError",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "TransportError",
    "Truncated",
    "UnexpectedContent",
    "Unrecognized",
    "Usage",
    "__version__",
    "as_chat",
    "ask",
    "ask_async",
    "make_exchange",
    "models",
    "models_async",
    "pair",
    "stream",
    "stream_async",
]

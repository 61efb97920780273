"""The h11 of LLM streams: a sans-IO core for every chat provider's wire format, both directions.

    import tokenwire

    reply = tokenwire.ask("openai", "Why is the sky blue?", model="gpt-4o-mini", key=...)
    print(reply.text)

`ask` and `stream` are for a script; `PROVIDERS[...].exchange(chat)` is the core, without any I/O;
`tokenwire.transports` has the transports. Importing this imports no event loop and no TLS.
"""

from .highlevel import ask, ask_async, make_exchange, stream, stream_async
from .protocols.chat import Chat, ImagePart, Message, TextPart, Tool, ToolCall, as_chat
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
from .protocols.exchange import Exchange
from .protocols.limits import Limits
from .protocols.provider import VERSION, Provider
from .protocols.registry import PROVIDERS
from .protocols.reply import Reply
from .protocols.retry import NO_RETRY, Retry
from .protocols.service import Responder, Service, pair
from .protocols.toolkit.http import Headers, Request

__version__ = VERSION

__all__ = [
    "NO_RETRY",
    "PROVIDERS",
    "AuthenticationFailed",
    "BadRequest",
    "Challenged",
    "Chat",
    "Citation",
    "Clocks",
    "ConnectFailed",
    "ContentFiltered",
    "Disconnected",
    "End",
    "Event",
    "Evidence",
    "Exchange",
    "Finish",
    "Headers",
    "Image",
    "ImagePart",
    "LimitExceeded",
    "Limits",
    "LocalProtocolError",
    "LogProbs",
    "Malformed",
    "Message",
    "Overloaded",
    "Provider",
    "RateLimited",
    "Reasoning",
    "Redirected",
    "Refusal",
    "Refused",
    "RemoteProtocolError",
    "Reply",
    "Request",
    "Responder",
    "Retry",
    "Service",
    "Start",
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
    "pair",
    "stream",
    "stream_async",
]

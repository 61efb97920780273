"""Which conversation a request belongs to, so that one target can answer all of it: its caches of
the prompt stay warm."""

from hashlib import blake2b
from typing import Any

from ..protocols.chat import Chat
from ..protocols.toolkit.http import Headers, get_header
from ..protocols.toolkit.json import is_object

__all__ = ["session_of"]


def session_of(chat: Chat, headers: Headers, header: str) -> str:
    """What identifies the conversation: the header `header`, what the caller says in the body, or
    how it begins."""
    named = get_header(headers, header.lower().encode()) if header else None
    metadata = chat.extra.get("metadata")
    said: Any = (
        named
        or chat.extra.get("prompt_cache_key")
        or (is_object(metadata) and metadata.get("user_id"))
        or chat.extra.get("user")
    )
    return said if isinstance(said, str) else _beginning(chat)


def _beginning(chat: Chat) -> str:
    system = [m.text for m in chat.messages if m.role in ("system", "developer")]
    first = next((m.text for m in chat.messages if m.role == "user"), "")
    return blake2b("\0".join((*system, first)).encode("utf-8", "surrogatepass")).hexdigest()

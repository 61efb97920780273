"""What identifies a conversation."""

from tokenwire import Chat, Message, as_chat
from tokenwire.gateway.session import session_of

CHAT = Chat(messages=(Message("system", "Be brief."), Message("user", "Hello")))


def test_what_the_caller_says() -> None:
    chat = CHAT.replace(extra={"user": "u", "metadata": {"user_id": "m"}, "prompt_cache_key": "k"})
    assert session_of(chat, [(b"x-session", b"s")], "X-Session") == "s"
    assert session_of(chat, [], "x-session") == "k"
    assert session_of(CHAT.replace(extra={"metadata": {"user_id": "m"}}), [], "") == "m"
    assert session_of(CHAT.replace(extra={"user": "u", "metadata": 1}), [], "") == "u"


def test_how_it_begins() -> None:
    later = CHAT.then("Hi", "How are you?")
    assert session_of(CHAT, [], "") == session_of(later, [], "")
    assert session_of(CHAT, [], "") != session_of(as_chat("Hello"), [], "")
    assert session_of(CHAT.replace(extra={"user": 7}), [], "") == session_of(CHAT, [], "")
    lone = Chat(messages=(Message("user", "\ud800"),))
    assert session_of(lone, [], "") != session_of(CHAT, [], "")

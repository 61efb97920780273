"""What the services that take one prompt understand of a chat."""

from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.provider import Provider

__all__ = ["understands_prompt"]


def understands_prompt(provider: Provider, chat: Chat) -> Chat:
    """One prompt: a line `Role: content` of each message that says something."""
    prompt = chat.messages[0].text
    if len(chat.messages) > 1:
        said = [(m.role, m.text) for m in chat.messages if m.text.strip()]
        prompt = "".join(f"{role.title()}: {text}\n" for role, text in said) + "Assistant:"
    return as_chat(prompt, model=provider.model(chat.model))

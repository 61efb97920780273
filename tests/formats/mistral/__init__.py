import json
from typing import Any

from tokenwire import PROVIDERS, Chat
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Request


def understood(value: dict[str, Any]) -> Chat:
    """What the server half makes of a request body."""
    content = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **value})
    url = "https://api.mistral.ai/v1/chat/completions"
    request = Request("POST", url, [(b"content-type", b"application/json")], content.encode())
    chat = Service(PROVIDERS["mistral"]).responder().receive_request(request)
    assert chat is not None
    return chat

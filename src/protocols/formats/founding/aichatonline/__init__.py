"""AiChatOnline (aichatonline.org): a token first, then JSON lines.

    GET  /api/v1/user/getUniqueId?canvas=-<random>   ->  {"data": "<token>"}
    POST /aichatonline/api/chat/gpt                  ->  {"data": {"message": "..."}} a line

The random strings defeat caches, and come from `random=`. The service is shut down. What is lost:
history and roles, and every event but `Text` and `Unrecognized`.
"""

from ....dialect import Dialect, Endpoint
from ....events import End, Text, Unrecognized
from ....provider import Provider
from ....question import Question
from ....service import Responder, Service
from ....step import Step
from .client import CHAT_PATH, UNIQUE_ID_PATH, TokenStep
from .server import AiChatOnlineResponder

__all__ = ["PROVIDERS", "AiChatOnline"]


class AiChatOnline(Dialect):
    """One prompt, and text."""

    name = "aichatonline"
    says = frozenset((Text, Unrecognized, End))
    auth = ()
    evidence = "body_end"
    endpoints = (
        Endpoint("chat", "POST", CHAT_PATH),
        Endpoint("token", "GET", UNIQUE_ID_PATH),
    )

    def ask(self, question: Question) -> Step:
        return TokenStep(question)

    def respond(self, service: Service) -> Responder:
        return AiChatOnlineResponder(service)

    def new_state(self) -> dict[str, None]:
        """The tokens that were issued last."""
        return {}


PROVIDERS = {
    "aichatonline": Provider(
        name="aichatonline",
        dialect=AiChatOnline(),
        base_url="https://aichatonlineorg.erweima.ai",
        site="https://aichatonline.org",
        working=False,
        models_path=None,
        models=("gpt-4o-mini",),
        default_model="gpt-4o-mini",
        headers={
            "accept-language": "de,en-US;q=0.7,en;q=0.3",
            "referer": "https://aichatonlineorg.erweima.ai/chatgpt/chat/",
            "origin": "https://aichatonlineorg.erweima.ai",
            "alt-used": "aichatonline.org",
        },
    )
}

"""AiChats (ai-chats.org): raw text in `data: ` lines; a picture in two requests.

The text of all lines is joined with nothing between them, and white space at both ends of the whole
is no part of it. A picture comes as one JSON object with its address, which is then fetched. The
service is shut down. What is lost: history and roles, every event but `Text` and one `Image`, white
space at the ends of the text, and line ends, which become nothing.
"""

from ....chat import Chat
from ....dialect import Dialect, Endpoint
from ....events import End, Event, Image, Text
from ....provider import Provider
from ....question import Question
from ....service import Responder, Service
from ....step import Step
from .client import ChatStep, PictureStep
from .server import AiChatsResponder

__all__ = ["PROVIDERS", "AiChats"]


class AiChats(Dialect):
    """One prompt, and text by the model gpt-4, a picture by dalle."""

    name = "aichats"
    says = frozenset((Text, Image, End))
    line_ends = False
    auth = ()
    evidence = "body_end"
    endpoints = (
        Endpoint("chat", "POST", "/chat/send2/"),
        Endpoint("picture", "GET", "/pictures/{number}"),
    )

    def ask(self, question: Question) -> Step:
        return PictureStep(question) if question.model == "dalle" else ChatStep(question)

    def respond(self, service: Service) -> Responder:
        return AiChatsResponder(service)

    def says_to(self, chat: Chat) -> frozenset[type[Event]]:
        return self.says - {Text if chat.model == "dalle" else Image}

    def new_state(self) -> dict[str, tuple[str, bytes]]:
        """The last pictures by their numbers: media type and bytes."""
        return {}


PROVIDERS = {
    "aichats": Provider(
        name="aichats",
        dialect=AiChats(),
        base_url="https://ai-chats.org",
        site="https://ai-chats.org",
        working=False,
        models_path=None,
        models=("gpt-4", "dalle"),
        default_model="gpt-4",
        headers={
            "accept": "application/json, text/event-stream",
            "accept-language": "en-US,en;q=0.9",
            "cache-control": "no-cache",
            "origin": "https://ai-chats.org",
            "pragma": "no-cache",
        },
    )
}

"""DarkAI (darkai.foundation): lines of `data: {json}`, ended by `stream-end`.

    data: {"event": "text-chunk", "data": {"text": "..."}}
    data: {"event": "stream-end"}

One JSON object a line, whether blank lines stand between them or not. The service is shut down.
What is lost: history and roles (a prompt is one string), and every event but `Text` and
`Unrecognized`.
"""

from ....clocks import Clocks
from ....dialect import Dialect, Endpoint
from ....events import End, Text, Unrecognized
from ....provider import Provider
from ....question import Question
from ....service import Responder, Service
from ....step import Step
from .client import DarkAIStep
from .server import DarkAIResponder

__all__ = ["PROVIDERS", "DarkAI"]


class DarkAI(Dialect):
    """One prompt, and text."""

    name = "darkai"
    says = frozenset((Text, Unrecognized, End))
    auth = ()
    evidence = "terminator"
    endpoints = (Endpoint("chat", "POST", "/chat"),)

    def ask(self, question: Question) -> Step:
        return DarkAIStep(question)

    def respond(self, service: Service) -> Responder:
        return DarkAIResponder(service)


PROVIDERS = {
    "darkai": Provider(
        name="darkai",
        dialect=DarkAI(),
        base_url="https://darkai.foundation",
        site="https://darkai.foundation/chat",
        working=False,
        models_path=None,
        models=("llama-3-70b", "gpt-4o", "gpt-3.5-turbo"),
        default_model="llama-3-70b",
        aliases={"llama-3.1-70b": "llama-3-70b"},
        clocks=Clocks(total=600),
    )
}

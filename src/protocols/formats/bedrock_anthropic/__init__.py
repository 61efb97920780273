"""Anthropic Messages in an envelope of Amazon Bedrock: InvokeModel and its twin with a stream.

It is the format `anthropic`, whose names, native forms and finish reasons it has, with other paths
and frames for server-sent events. A picture can't be given by its address. `anthropic_beta` is a
field of the body.
"""

from ...auth import SigV4
from ...aws import ERRORS
from ...dialect import Endpoint, words
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from ..anthropic import Anthropic
from .client import InvokeStep
from .presets import STREAM, WHOLE, presets
from .server import InvokeResponder

__all__ = ["PROVIDERS", "BedrockAnthropic"]


class BedrockAnthropic(Anthropic):
    """Anthropic Messages by InvokeModel."""

    takes = (Anthropic.takes - {"images"}) | {"image_bytes"}
    knows = Anthropic.knows | words(
        "anthropic_version anthropic_beta amazon-bedrock-guardrailConfig"
    )
    headers = {}
    errors = ERRORS
    auth = (SigV4("bedrock"),)
    binary = True
    endpoints = (Endpoint("chat", "POST", STREAM), Endpoint("chat", "POST", WHOLE))
    ping = b""

    def ask(self, question: Question) -> Step:
        return InvokeStep(question)

    def respond(self, service: Service) -> Responder:
        return InvokeResponder(service)

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# the anthropic SDK, in Python; the key is ID:SECRET",
                *(["import os"] if "os." in key else []),
                "import anthropic",
                f"id, _, secret = {key}.partition(':')",
                f"client = anthropic.AnthropicBedrock(base_url={url!r}, aws_region='us-east-1', "
                "aws_access_key=id, aws_secret_key=secret or id)",
                f"with client.messages.stream(model={model!r}, max_tokens=1024, "
                'messages=[{"role": "user", "content": "Hello"}]) as stream:',
                "    for text in stream.text_stream:",
                '        print(text, end="")',
            ]
        )


PROVIDERS = presets(BedrockAnthropic())

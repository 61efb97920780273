"""Converse of Amazon Bedrock: one form of chat for the models of many vendors.

A request can't have a picture by its address. It has no `tool_choice="none"` once tools were
called: then the service wants to know the tools. Ids of calls that it does not take are replaced by
a hash, and the name of a document loses what is not a letter, digit, bracket or hyphen.

What the server half can't say: `Image`, `LogProbs`, `Unrecognized`, custom calls, choices other
than the first; the `detail` of a finish, and the `start` and `end` of a citation. The id of an
answer is that of its request, in the headers. A refusal is written as text. It writes one block at
a time: what would interleave with a tool call waits for its end, and so does a text that begins
with a source.
"""

from ...auth import SigV4
from ...aws import ERRORS
from ...blocks import BLOCK_EVENTS
from ...dialect import Dialect, Endpoint, words
from ...events import Citation, End, Finish, FinishKind, Refusal, Start, Usage
from ...question import Question
from ...service import Responder, Service
from ...step import Step
from .client import STREAM, WHOLE, ConverseStep
from .presets import presets
from .server import ConverseResponder

__all__ = ["PROVIDERS", "Bedrock"]

_FINISH: dict[str, FinishKind] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_call",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}


class Bedrock(Dialect):
    """Converse of Amazon Bedrock."""

    name = "bedrock"
    takes = words(
        "temperature top_p top_k max_tokens stop tools tool_choice tools_kept effort schema stream "
        "history any_start system_first image_bytes files cache strict"
    )
    efforts = frozenset(("low", "medium", "high", "xhigh", "max"))
    says = BLOCK_EVENTS | {Start, Citation, Refusal, Usage, Finish, End}
    knows = words(
        "additionalModelRequestFields additionalModelResponseFieldPaths guardrailConfig "
        "inferenceConfig outputConfig performanceConfig projectIdentifier promptVariables "
        "requestMetadata serviceTier toolConfig"
    )
    hints = words("performanceConfig requestMetadata serviceTier")
    errors = ERRORS
    auth = (SigV4("bedrock"),)
    binary = True
    finish = _FINISH
    stop_sequence = "stop_sequence"
    endpoints = (Endpoint("chat", "POST", STREAM), Endpoint("chat", "POST", WHOLE))

    def ask(self, question: Question) -> Step:
        return ConverseStep(question)

    def respond(self, service: Service) -> Responder:
        return ConverseResponder(service)

    def sdk_example(self, url: str, model: str, key: str) -> str:
        return "\n".join(
            [
                "# boto3; the key is ID:SECRET",
                *(["import os"] if "os." in key else []),
                "import boto3",
                f"id, _, secret = {key}.partition(':')",
                f"client = boto3.client('bedrock-runtime', 'us-east-1', endpoint_url={url!r}, "
                "aws_access_key_id=id, aws_secret_access_key=secret or id)",
                f"answer = client.converse_stream(modelId={model!r}, "
                "messages=[{'role': 'user', 'content': [{'text': 'Hello'}]}])",
                "for event in answer['stream']:",
                "    print(event.get('contentBlockDelta', {}).get('delta', {}).get('text', ''), "
                "end='')",
            ]
        )


PROVIDERS = presets(Bedrock())

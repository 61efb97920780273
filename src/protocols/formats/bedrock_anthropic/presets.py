"""Claude at Amazon Bedrock by InvokeModel, as data."""

from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["STREAM", "WHOLE", "presets"]

STREAM, WHOLE = "/model/{model}/invoke-with-response-stream", "/model/{model}/invoke"
"""Where chats are asked, streamed or not."""


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""
    bedrock = Provider(
        name="bedrock-anthropic",
        dialect=dialect,
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        params={"region": "AWS_REGION"},
        path=STREAM,
        whole_path=WHOLE,
        site="https://aws.amazon.com/bedrock",
        any_model=True,
        models_path=None,  # another service has the list
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        fields={"max_tokens": 32_000, "anthropic_version": "bedrock-2023-05-31"},
        headers={"accept": "application/json"},
        omits=frozenset(("model", "stream")),
        clocks=Clocks(first_event=300, idle=600),  # while a model thinks, nothing comes
        otel_name="aws.bedrock",
        checked="2026-11-30",
        source="botocore 1.44.8, data/bedrock-runtime; PyPI anthropic 2.14.0, lib/bedrock",
    )
    return {bedrock.name: bedrock}

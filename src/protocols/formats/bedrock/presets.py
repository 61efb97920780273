"""Amazon Bedrock, as data."""

from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""
    bedrock = Provider(
        name="bedrock",
        dialect=dialect,
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        params={"region": "AWS_REGION"},
        site="https://aws.amazon.com/bedrock",
        any_model=True,
        models_path=None,  # another service has the list
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        # It sends no keep-alives, so a model that thinks is silent.
        clocks=Clocks(first_event=300, idle=300),
        otel_name="aws.bedrock",
        checked="2026-11-30",
        source="botocore 1.44.8, data/bedrock-runtime",
    )
    return {bedrock.name: bedrock}

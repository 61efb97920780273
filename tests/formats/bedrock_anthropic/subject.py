"""Anthropic Messages by Bedrock's InvokeModel, for all tests of formats: streamed and whole. What
is said, heard and understood is as in the format itself."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from tests.formats.anthropic import subject as anthropic
from tests.formats.openai_chat.subject import proven_by_brace
from tokenwire import PROVIDERS
from tokenwire.protocols.aws import event_frame
from tokenwire.testing import Subject

__all__ = ["BEDROCK", "SUBJECTS", "chunks"]

BEDROCK = PROVIDERS["bedrock-anthropic"].replace(
    base_url="https://bedrock-runtime.us-east-1.amazonaws.com"
)


def chunks(*events: str) -> bytes:
    """Events, each in base64 in a frame."""
    payloads = (f'{{"bytes":"{b64encode(e.encode()).decode()}","p":"ab"}}' for e in events)
    return b"".join(event_frame("chunk", payload.encode()) for payload in payloads)


SEEDS = (
    chunks(
        '{"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":1}}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}',
        '{"type":"ping"}',
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}',
        '{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}',
    ),
    chunks('{"completion":"","stop_reason":"stop_sequence"}', "Sorry"),
    event_frame("chunk", b'{"type":"message_stop"}') + event_frame("trace", b"{}"),
    b'{"message":"no"}',
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "provider": BEDROCK,
        "short": anthropic.SHORT,
        "understands": anthropic.understands,
        "signed": anthropic.SIGNED,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": anthropic.EXAMPLES,
        "words": (*anthropic.WORDS, b'"anthropic_version":"bedrock-2023-05-31"', b'{"bytes":"'),
    }
    yield (
        "bedrock-anthropic",
        Subject(**known, hears=anthropic.hears_stream, asked={"stream": True, "model": "m"}),
    )
    yield (
        "bedrock-anthropic-whole",
        Subject(
            **known,
            hears=anthropic.hears_whole,
            asked={"stream": False, "model": "m"},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())

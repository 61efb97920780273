"""Plain loops over an answer's bytes, one for each dialect, as one would write them by hand.

`FLOOR` splits, and decodes the one field that is needed with msgspec: the least that Python can do.
Gemini tells the usage so far in every chunk, so there that is decoded, too.
`BY_HAND` splits, and decodes everything with `json.loads`. Neither checks anything: given an error,
a comment, a missing field or a truncated stream, they return nonsense.
"""

import json
from collections.abc import Callable, Iterable
from struct import unpack_from
from typing import Any
from zlib import crc32

import msgspec

__all__ = ["BY_HAND", "FLOOR", "Decode"]

Decode = Callable[[Iterable[bytes]], str]
"""From the pieces of a body to the text of the answer."""


class Delta(msgspec.Struct):
    content: str


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


class Said(msgspec.Struct):
    text: str = ""


class DarkEvent(msgspec.Struct):
    event: str
    data: Said


class Inner(msgspec.Struct):
    message: str


class Line(msgspec.Struct):
    data: Inner


class AnthropicDelta(msgspec.Struct):
    text: str = ""


class AnthropicEvent(msgspec.Struct):
    type: str
    delta: AnthropicDelta | None = None


class GeminiPart(msgspec.Struct):
    text: str


class GeminiContent(msgspec.Struct):
    parts: list[GeminiPart]


class GeminiCandidate(msgspec.Struct):
    content: GeminiContent


class GeminiResponse(msgspec.Struct):
    candidates: list[GeminiCandidate]
    usageMetadata: dict[str, Any] = {}


class OllamaMessage(msgspec.Struct):
    content: str = ""


class OllamaLine(msgspec.Struct):
    message: OllamaMessage
    done: bool = False


decode_ollama = msgspec.json.Decoder(OllamaLine).decode


class CohereContent(msgspec.Struct):
    text: str = ""


class CohereMessage(msgspec.Struct):
    content: CohereContent | list[Any]


class CohereDelta(msgspec.Struct):
    message: CohereMessage | None = None


class CohereEvent(msgspec.Struct):
    type: str
    delta: CohereDelta | None = None


decode_cohere = msgspec.json.Decoder(CohereEvent).decode


class ConverseDelta(msgspec.Struct, frozen=True):
    text: str = ""


NO_DELTA = ConverseDelta()


class ConverseEvent(msgspec.Struct):
    delta: ConverseDelta = NO_DELTA
    usage: dict[str, Any] | None = None


class ResponsesEvent(msgspec.Struct):
    type: str
    delta: str = ""


decode_converse = msgspec.json.Decoder(ConverseEvent).decode
decode_responses = msgspec.json.Decoder(ResponsesEvent).decode
decode_anthropic = msgspec.json.Decoder(AnthropicEvent).decode
decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_dark = msgspec.json.Decoder(DarkEvent).decode
decode_gemini = msgspec.json.Decoder(GeminiResponse).decode
decode_line = msgspec.json.Decoder(Line).decode


def floor_openai(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            data = event[6:]
            if data == b"[DONE]":
                return "".join(parts)
            parts.append(decode_chunk(data).choices[0].delta.content)
    return "".join(parts)


def floor_anthropic(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = decode_anthropic(event[event.index(b"data: ") + 6 :])
            if said.delta is not None:
                parts.append(said.delta.text)
            elif said.type == "message_stop":
                return "".join(parts)
    return "".join(parts)


def floor_gemini(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\r\n\r\n")
        for event in events:
            parts.append(decode_gemini(event[6:]).candidates[0].content.parts[0].text)
    return "".join(parts)


def floor_ollama(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            said = decode_ollama(line)
            parts.append(said.message.content)
            if said.done:
                return "".join(parts)
    return "".join(parts)


def floor_cohere(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = decode_cohere(event[event.index(b"data: ") + 6 :])
            if said.delta is not None and said.delta.message is not None:
                content = said.delta.message.content
                if isinstance(content, CohereContent):
                    parts.append(content.text)
            elif said.type == "message-end":
                return "".join(parts)
    return "".join(parts)


def floor_bedrock(pieces: Iterable[bytes]) -> str:
    """The checksum of a frame is a part of it."""
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        data = rest + piece if rest else piece
        start, size = 0, len(data)
        while size - start >= 12:
            total, headers = unpack_from(">II", data, start)
            end = start + total
            if end > size:
                break
            frame = data[start:end]
            if crc32(memoryview(frame)[:-4]) != int.from_bytes(frame[-4:], "big"):
                raise ValueError("checksum")
            said = decode_converse(frame[12 + headers : -4])
            if said.delta.text:
                parts.append(said.delta.text)
            elif said.usage is not None:
                return "".join(parts)
            start = end
        rest = data[start:]
    return "".join(parts)


def floor_responses(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = decode_responses(event[event.index(b"data: ") + 6 :])
            if said.delta:
                parts.append(said.delta)
            elif said.type == "response.completed":
                return "".join(parts)
    return "".join(parts)


def floor_darkai(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = decode_dark(event[6:])
            if said.event == "stream-end":
                return "".join(parts)
            parts.append(said.data.text)
    return "".join(parts)


def floor_aichats(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            parts.append(line[6:].decode())
    return "".join(parts)


def floor_aichatonline(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            parts.append(decode_line(line).data.message)
    return "".join(parts)


def hand_openai(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                return "".join(parts)
            parts.append(json.loads(data)["choices"][0]["delta"]["content"])
    return "".join(parts)


def hand_anthropic(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = json.loads(event.partition(b"data: ")[2])
            if said["type"] == "content_block_delta":
                parts.append(said["delta"].get("text", ""))
            elif said["type"] == "message_stop":
                return "".join(parts)
    return "".join(parts)


def hand_gemini(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\r\n\r\n")
        for event in events:
            said = json.loads(event.removeprefix(b"data: "))
            parts.append(said["candidates"][0]["content"]["parts"][0]["text"])
    return "".join(parts)


def hand_ollama(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            said = json.loads(line)
            parts.append(said["message"]["content"])
            if said["done"]:
                return "".join(parts)
    return "".join(parts)


def hand_cohere(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = json.loads(event.partition(b"data: ")[2])
            if said["type"] == "content-delta":
                parts.append(said["delta"]["message"]["content"].get("text", ""))
            elif said["type"] == "message-end":
                return "".join(parts)
    return "".join(parts)


def hand_bedrock(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= 12 and len(rest) >= (total := int.from_bytes(rest[:4], "big")):
            headers = int.from_bytes(rest[4:8], "big")
            said = json.loads(rest[12 + headers : total - 4])
            rest = rest[total:]
            parts.append(said.get("delta", {}).get("text", ""))
            if "usage" in said:
                return "".join(parts)
    return "".join(parts)


def hand_responses(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = json.loads(event.partition(b"data: ")[2])
            if said["type"] == "response.output_text.delta":
                parts.append(said["delta"])
            elif said["type"] == "response.completed":
                return "".join(parts)
    return "".join(parts)


def hand_darkai(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            said = json.loads(event.removeprefix(b"data: "))
            if said["event"] == "stream-end":
                return "".join(parts)
            parts.append(said["data"]["text"])
    return "".join(parts)


def hand_aichats(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                parts.append(line.removeprefix(b"data: ").decode())
    return "".join(parts)


def hand_aichatonline(pieces: Iterable[bytes]) -> str:
    parts: list[str] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            parts.append(json.loads(line)["data"]["message"])
    return "".join(parts)


FLOOR: dict[str, Decode] = {
    "openai": floor_openai,
    "mistral": floor_openai,
    "anthropic": floor_anthropic,
    "openai-responses": floor_responses,
    "gemini": floor_gemini,
    "ollama": floor_ollama,
    "cohere": floor_cohere,
    "bedrock": floor_bedrock,
    "darkai": floor_darkai,
    "aichats": floor_aichats,
    "aichatonline": floor_aichatonline,
}
BY_HAND: dict[str, Decode] = {
    "openai": hand_openai,
    "mistral": hand_openai,
    "anthropic": hand_anthropic,
    "openai-responses": hand_responses,
    "gemini": hand_gemini,
    "ollama": hand_ollama,
    "cohere": hand_cohere,
    "bedrock": hand_bedrock,
    "darkai": hand_darkai,
    "aichats": hand_aichats,
    "aichatonline": hand_aichatonline,
}

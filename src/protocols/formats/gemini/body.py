"""The body of a request for an answer as a chat: what the server half understands.

Keys may be in camel or in snake case, as protobuf reads both. What `Chat` can't say is kept:
further fields, of a content too, in `extra`, further keys of a part in its native form, parts and
tools of other kinds as `Opaque`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from ...chat import (
    Chat,
    Effort,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCall,
)
from ...dialect import words
from ...errors import BadRequest, Malformed
from ...events import Native
from ...reading import tokens_in
from ...refusing import refuse
from ...service import Sealer
from ...toolkit.json import decode_json, is_list, is_object
from .candidate import DIALECT, native_of

__all__ = ["chat_of", "count_of", "decode_request", "sealed"]


class _Call(msgspec.Struct):
    args: msgspec.Raw = msgspec.Raw(b"{}")


class _CallPart(msgspec.Struct):
    functionCall: _Call | None = None  # noqa: N815  the wire's own name
    function_call: _Call | None = None


class _Content(msgspec.Struct):
    role: str | None = None
    parts: msgspec.Raw = msgspec.Raw(b"[]")


decode_request = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()
_contents = msgspec.json.Decoder(list[_Content])
_contents_fields = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_content = msgspec.json.Decoder(_Content)
_parts = msgspec.json.Decoder(list[msgspec.Raw] | None)
_call_part = msgspec.json.Decoder(_CallPart)

_TOP = words(
    "contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent "
    "serviceTier continuationToken modelArmorConfig generateContentRequest"
)
_PART = words(
    "inlineData fileData functionCall functionResponse thoughtSignature executableCode "
    "codeExecutionResult videoMetadata mediaResolution partMetadata toolCall toolResponse"
)
_MEDIA = words("mimeType fileUri displayName")
_TOOL = words(
    "functionDeclarations googleSearch googleSearchRetrieval urlContext codeExecution googleMaps "
    "fileSearch computerUse enterpriseWebSearch"
)
_FUNCTION = words("parametersJsonSchema responseJsonSchema")
_CHOICE = words("functionCallingConfig allowedFunctionNames retrievalConfig")
_THINKING = words("includeThoughts thinkingBudget thinkingLevel")
_CONFIG = words(
    "topP topK maxOutputTokens stopSequences candidateCount presencePenalty frequencyPenalty "
    "responseLogprobs responseMimeType responseSchema responseJsonSchema thinkingConfig "
    "responseModalities speechConfig mediaResolution imageConfig audioTimestamp"
)
_DUMMY = "skip_thought_signature_validator"
"""The signature of a call that another model made."""
_EFFORTS: dict[Any, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
}
_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_JSON = "application/json"
_DEEPEST = 64
_MOST = 8
"""Candidates that a real service makes."""
_TYPES = words("OBJECT ARRAY STRING NUMBER INTEGER BOOLEAN NULL")


def chat_of(body: bytes, model: str, sealer: Sealer | None, *, stream: bool) -> Chat:
    """The chat of a request body. Raises Refused (400) for what a real service refuses."""
    try:
        fields = _camel(decode_json(decode_request, body), _TOP)
        messages = [*_system(fields.pop("systemInstruction", None))]
        contents = _listed(bytes(fields.pop("contents", b"[]")))
        read, further = decode_json(_contents, contents), decode_json(_contents_fields, contents)
        for content, keys in zip(read, further, strict=True):
            messages += _messages(content, _further_keys(keys), sealer)
        extra: dict[str, Any] = {key: decode_json(_any, bytes(raw)) for key, raw in fields.items()}
    except Malformed as error:
        raise _refuse(f"Invalid JSON payload received: {error.message}") from None
    if not any(message.role != "system" for message in messages):
        raise _refuse("* GenerateContentRequest.contents: contents is not specified")
    options = _options(extra)
    tools = list(_tools(extra.pop("tools", None)))
    choice = _choice(extra)
    return Chat(
        messages=tuple(messages),
        model=model,
        tools=tuple(tools),
        tool_choice=choice,
        stream=stream,
        extra={key: value for key, value in extra.items() if value is not None},
        **options,
    )


def count_of(body: bytes) -> int:
    """About how many tokens a request has: a quarter of its characters. Raises Refused (400)."""
    try:
        fields = _camel(decode_json(decode_request, body), _TOP)
        inner = bytes(fields.get("generateContentRequest", b"{}"))
        request = _camel(decode_json(decode_request, inner), _TOP) or fields
        return tokens_in(
            [
                decode_json(_any, bytes(request[key]))
                for key in ("contents", "systemInstruction", "tools")
                if key in request
            ]
        )
    except Malformed as error:
        raise _refuse(f"Invalid JSON payload received: {error.message}") from None


def sealed(text: str) -> str:
    """A sealed text as a signature, which is base64."""
    return b64encode(text.encode()).decode()


def _refuse(message: str) -> Exception:
    return refuse(BadRequest, 400, message)


def _listed(raw: bytes) -> bytes:
    """A list: an object stands for one of which it is the only item (quirk 92)."""
    return b"[%b]" % raw if raw[:1] == b"{" else raw


def _parts_of(content: _Content) -> list[bytes]:
    return list(map(bytes, decode_json(_parts, _listed(bytes(content.parts))) or ()))


# Messages


def _system(raw: msgspec.Raw | None) -> Iterator[Message]:
    if raw is None:
        return
    data = bytes(raw)
    if data[:1] == b'"':
        data = b'{"parts":[{"text":%b}]}' % data
    parts = [_part(part, None) for part in _parts_of(decode_json(_content, data))]
    if parts:
        extra = _further_keys(decode_json(decode_request, data))
        yield Message("system", _simply(parts), extra=extra)


def _further_keys(fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    """The keys of a content that are not understood."""
    further = ((key, raw) for key, raw in fields.items() if key not in ("role", "parts"))
    return {k: value for k, raw in further if (value := decode_json(_any, bytes(raw))) is not None}


def _messages(content: _Content, extra: dict[str, Any], sealer: Sealer | None) -> Iterator[Message]:
    """The messages of a content, the first one with its further keys (`extra`): each result of a
    tool is one of its own."""
    role = content.role or "user"
    if role not in ("user", "model", "function"):
        raise _refuse("Please use a valid role: user, model.")
    parts: list[Part] = []
    for raw in _parts_of(content):
        found = _result(raw)
        if found is None:
            parts.append(_part(raw, sealer))
            continue
        if parts:
            yield Message("user", _simply(parts), extra=extra)
            parts, extra = [], {}
        yield found.replace(extra=extra)
        extra = {}
    if parts:
        yield Message("assistant" if role == "model" else "user", _simply(parts), extra=extra)


def _fields(raw: bytes) -> dict[str, Any]:
    """A part."""
    value = decode_json(_any, raw)
    if not is_object(value):
        raise _refuse("a part is an object")
    return _camel(value, _PART)


def _result(raw: bytes) -> Message | None:
    """The tool message that a part is."""
    fields = _fields(raw)
    said = fields.get("functionResponse")
    if not is_object(said):
        return None
    id, name, response = said.get("id"), said.get("name"), said.get("response")
    if not isinstance(name, str) or not name:
        raise _refuse("function_response.name: Name cannot be empty.")
    parts: list[Part] = []
    failed = False
    match response:
        case {"output": str(text), **others} if not others:
            plain = True
        case {"error": str(text), **others} if not others:
            plain = failed = True
        case _:
            plain, text = False, msgspec.json.encode(response).decode()
    native = None
    media = said.get("parts")
    further = len(fields) > 1 or said.keys() - {"id", "name", "response", "parts"}
    if not plain or further:
        native = Native(DIALECT, msgspec.json.encode(fields))
        parts.append(TextPart(text, native=native))
    elif text or not media:
        parts.append(TextPart(text))
    if is_list(media) and native is None:
        parts += [_part(msgspec.json.encode(each), None) for each in media]
    return Message(
        "tool",
        _simply(parts),
        tool_call_id=id if isinstance(id, str) else "",
        name=name,
        failed=failed,
    )


def _part(raw: bytes, sealer: Sealer | None) -> Part:
    """What a part says; signed ones have their native form."""
    fields = _fields(raw)
    signature = fields.pop("thoughtSignature", None)
    thought = fields.pop("thought", None) is True
    native = None
    if isinstance(signature, str) and signature:
        native = _unsealed(signature, sealer)
        if native is None:
            native = _native(raw, fields, thought, _standard(signature))
    match fields:
        case {"text": str(text), **others} if thought:
            return ReasoningPart(text, native or _further(raw, others))
        case {"text": str(text), **others}:
            native = native or _further(raw, others)
            return Opaque(native) if native is not None and not text else TextPart(text, "", native)
        case {"functionCall": {"name": str(name), **call}, **others}:
            id = call.get("id")
            further = {key: each for key, each in call.items() if key not in ("id", "args")}
            native = native or _further(raw, others or further)
            return ToolCall(id if isinstance(id, str) else "", name, _args(raw), native=native)
        case {"inlineData": blob, **others} | {"fileData": blob, **others} if is_object(blob):
            media = _camel(blob, _MEDIA)
            more = media.keys() - {"mimeType", "data", "fileUri", "displayName"}
            # A picture has no name, so only its native form can keep one.
            picture = str(media.get("mimeType")).startswith("image/")
            named = picture and "displayName" in media
            part = _media(media, native or _further(raw, others or named or more))
            if part is not None:
                return part
        case _:
            pass
    return Opaque(native or native_of(raw, 0, 0))


def _media(media: dict[str, Any], native: Native | None) -> Part | None:
    match media:
        case {"mimeType": str(kind), "data": str(data)}:
            url = f"data:{kind};base64,{_standard(data)}"
        case {"fileUri": str(url)}:
            told = media.get("mimeType")
            kind = told if isinstance(told, str) else ""
        case _:
            return None
    if kind.startswith("image/"):
        return ImagePart(url, native=native)
    name = media.get("displayName")
    return FilePart(url, kind, name if isinstance(name, str) else "", native=native)


def _args(raw: bytes) -> str:
    """The arguments of a call, as they came."""
    said = decode_json(_call_part, raw)
    call = said.functionCall or said.function_call or _Call()
    text = bytes(call.args).decode(errors="replace")
    return "{}" if text == "null" else text


def _native(raw: bytes, fields: dict[str, Any], thought: bool, signature: str) -> Native:
    """The native form of a signed part: as it came, but for the alphabet of the signature, and the
    case of keys."""
    form = {**fields, **({"thought": True} if thought else {})}
    form["thoughtSignature"] = signature
    call = fields.get("functionCall")
    if is_object(call) and "args" in call:
        form["functionCall"] = {**call, "args": msgspec.Raw(_args(raw).encode())}
    return Native(DIALECT, msgspec.json.encode(form))


def _further(raw: bytes, others: object) -> Native | None:
    """The native form of a part that has further keys."""
    return native_of(raw, 0, 0) if others else None


def _unsealed(signature: str, sealer: Sealer | None) -> Native | None:
    """Another format's native form, if that is what a signature holds."""
    if sealer is None:
        return None
    try:
        text = b64decode(_standard(signature), validate=True).decode()
    except ValueError:
        return None
    found = sealer.unseal(text)
    return None if found is None else Native(found.dialect, found.raw)


def _standard(data: str) -> str:
    """Base64 in the standard alphabet: some SDKs write the other one."""
    return data if data == _DUMMY else data.replace("-", "+").replace("_", "/")


def _simply(parts: list[Part]) -> str | tuple[Part, ...]:
    """`parts`; one that is a plain text as that text."""
    if len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0].native is None:
        return parts[0].text
    return tuple(parts)


# Options


def _options(extra: dict[str, Any]) -> dict[str, Any]:
    """The options of `generationConfig`; what they can't say stays in `extra`."""
    config = extra.pop("generationConfig", None)
    if config is None:
        return {}
    if not is_object(config):
        raise _refuse("generationConfig is an object")
    config = _camel(config, _CONFIG)
    found: dict[str, Any] = {}
    for name, option, kind in _NUMBERS:
        value = config.pop(name, None)
        if value is not None:
            found[option] = _number(name, value, kind)
    if not 1 <= found.get("n", 1) <= _MOST:
        raise _refuse(f"candidateCount must be from 1 to {_MOST}")
    stops: Any = config.pop("stopSequences", None) or []
    if not is_list(stops) or not all(isinstance(stop, str) for stop in stops):
        raise _refuse("stopSequences is a list of strings")
    found["stop"] = tuple(stops)
    if config.pop("responseLogprobs", None) is True:
        found["logprobs"] = _number("logprobs", config.pop("logprobs", None) or 0, int)
    if str(config.get("responseMimeType")).lower() == _JSON:
        del config["responseMimeType"]
        schema = config.pop("responseJsonSchema", None)
        if schema is None:
            schema = config.pop("responseSchema", None)
        schema = _lowered(schema)
        found["schema"] = schema if is_object(schema) else {}
    thinking = config.pop("thinkingConfig", None)
    if is_object(thinking):
        thinking = _camel(thinking, _THINKING)
        effort = _effort(thinking)
        if effort is not None:
            found["effort"] = effort
        if thinking:
            config["thinkingConfig"] = thinking
    if config:
        extra["generationConfig"] = config
    return found


_NUMBERS: tuple[tuple[str, str, type[int] | type[float]], ...] = (
    ("temperature", "temperature", float),
    ("topP", "top_p", float),
    ("topK", "top_k", int),
    ("maxOutputTokens", "max_tokens", int),
    ("candidateCount", "n", int),
    ("seed", "seed", int),
    ("presencePenalty", "presence_penalty", float),
    ("frequencyPenalty", "frequency_penalty", float),
)


def _number(name: str, value: Any, kind: type[int] | type[float]) -> Any:
    """A number; one that is whole may be written as `3.0`, and in a string, as protobuf does."""
    try:
        number = msgspec.convert(value, kind | float, strict=False)
    except msgspec.ValidationError:
        number = None
    if isinstance(number, float) and kind is int:
        number = int(number) if number.is_integer() else None
    if number is None:
        raise _refuse(f"Invalid value at 'generation_config.{name}'")
    return number


def _effort(thinking: dict[str, Any]) -> Effort | None:
    """The effort, which is taken out of what asks for it."""
    level = thinking.get("thinkingLevel")
    if isinstance(level, str):
        word = level.upper().removeprefix("THINKING_LEVEL_")
        if word == "UNSPECIFIED":
            del thinking["thinkingLevel"]
        elif word in _EFFORTS:
            del thinking["thinkingLevel"]
            return _EFFORTS[word]
    if thinking.get("thinkingBudget") == 0 and "thinkingLevel" not in thinking:
        del thinking["thinkingBudget"]
        return "none"
    return None


def _lowered(schema: Any, depth: int = 0) -> Any:
    """A schema in the words of OpenAPI, which writes types in upper case, as JSON Schema. Gemini
    CLI has them in the field for the latter, too."""
    if depth > _DEEPEST:
        return schema
    if is_list(schema):
        return [_lowered(each, depth + 1) for each in schema]
    if not is_object(schema):
        return schema
    lowered = {key: _lowered(value, depth + 1) for key, value in schema.items()}
    if isinstance(kind := lowered.get("type"), str) and kind in _TYPES:
        lowered["type"] = kind.lower()
    return lowered


def _tools(entries: Any) -> Iterator[Tool | Opaque]:
    entries = [entries] if is_object(entries) else entries
    if entries is not None and not is_list(entries):
        raise _refuse("tools is a list")
    for entry in entries or ():
        if not is_object(entry):
            raise _refuse("tools: a tool is an object")
        fields = _camel(entry, _TOOL)
        declared = fields.pop("functionDeclarations", None)
        declared = [declared] if is_object(declared) else declared
        for function in declared if is_list(declared) else ():
            yield _function(function)
        if fields or not is_list(declared):
            yield Opaque(Native(DIALECT, msgspec.json.encode(fields)))


def _function(function: Any) -> Tool:
    said = _camel(function, _FUNCTION) if is_object(function) else {}
    match said:
        case {"name": str(name), **others}:
            described, schema = others.pop("description", None), others.pop("parameters", None)
            parameters = others.pop("parametersJsonSchema", None)
            parameters = _lowered(schema if parameters is None else parameters)
            return Tool(
                name,
                described if isinstance(described, str) else "",
                parameters if is_object(parameters) else {},
                native=Native(DIALECT, msgspec.json.encode(said)) if others else None,
            )
        case _:
            raise _refuse("tools: a function has a name")


def _choice(extra: dict[str, Any]) -> str | None:
    """The tool choice; what it can't say stays in `extra`."""
    config = extra.get("toolConfig")
    config = _camel(config, _CHOICE) if is_object(config) else {}
    calling = config.get("functionCallingConfig")
    said = _camel(calling, _CHOICE) if is_object(calling) else {}
    names: Any = said.get("allowedFunctionNames") or []
    mode = str(said.get("mode") or "").upper()
    if said.keys() - {"mode", "allowedFunctionNames"} or mode not in _MODES:
        return None
    if not names:
        choice = _MODES[mode]
    elif mode == "ANY" and is_list(names) and len(names) == 1 and isinstance(names[0], str):
        choice = names[0]
        if choice in _MODES.values():
            return None  # `Chat` can't name such a function
    else:
        return None
    del config["functionCallingConfig"]
    extra["toolConfig"] = config or None
    return choice


_UNDER = re.compile(r"_([a-z])")


def _camel(fields: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """`fields` without nulls, and with the keys that are `known` in camel case."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if value is None or (isinstance(value, msgspec.Raw) and bytes(value) == b"null"):
            continue
        name = _UNDER.sub(lambda match: match[1].upper(), key) if "_" in key else key
        found[name if name in known else key] = value
    return found

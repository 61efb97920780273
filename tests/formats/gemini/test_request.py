"""Gemini: the request for an answer, both ways: what is asked, and what is understood of it."""

import json
from base64 import b64encode
from typing import Any

import pytest

from tokenwire.protocols.chat import (
    Chat,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import BadRequest, LocalProtocolError
from tokenwire.protocols.events import Native
from tokenwire.protocols.formats.gemini.body import count_of, sealed
from tokenwire.protocols.formats.gemini.request import model_path
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Request

GEMINI = PROVIDERS["gemini"]


def body_of(chat: Chat) -> Any:
    request = GEMINI.exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)


def asked(*messages: Message, **options: Any) -> Any:
    options = {"model": "m", **options}
    return body_of(as_chat(messages or "hi", **options))


def contents(*messages: Message) -> list[Any]:
    """The contents, each as its role and its parts."""
    return [(each["role"], each["parts"]) for each in asked(*messages)["contents"]]


def refused(*messages: Message, **options: Any) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        asked(*messages, **options)
    return str(caught.value)


def user(*content: Any) -> Message:
    return Message("user", content[0] if isinstance(content[0], str) else content)


def model(*content: Any) -> Message:
    return Message("assistant", content[0] if isinstance(content[0], str) else content)


def tool(id: str, said: Any = "ok", **more: Any) -> Message:
    return Message("tool", said, tool_call_id=id, **more)


def form(value: Any, dialect: str = "gemini") -> Native:
    return Native(dialect, json.dumps(value).encode())


def answer(name: str, said: str = "ok", id: str = "", key: str = "output", **more: Any) -> Any:
    known = {"id": id} if id else {}
    return {"functionResponse": {**known, "name": name, "response": {key: said}, **more}}


# Messages


def test_roles() -> None:
    body = asked(
        Message("system", "be brief"),
        Message("developer", (TextPart("be"), TextPart("kind"))),
        user("a"),
        user("b"),
        model("c"),
        user("d"),
    )
    said = [{"text": "be brief"}, {"text": "be"}, {"text": "kind"}]
    assert body["systemInstruction"] == {"parts": said}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": [{"text": "d"}]},
    ]


def test_gemma_takes_no_instruction_of_the_system() -> None:
    system = Message("system", "be brief")
    said = {"role": "user", "parts": [{"text": "be brief"}, {"text": "a"}]}
    assert asked(system, user("a"), model="gemma-3-27b-it") == {"contents": [said]}
    found = asked(system, model("a"), model="models/gemma-3-27b-it")["contents"]
    assert found[0] == {"role": "user", "parts": [{"text": "be brief"}]}
    assert [each["role"] for each in found] == ["user", "model"]


HELLO = user("a")
SYSTEM: tuple[Role, ...] = ("system", "developer")
UNSAID = "nothing of the assistant message can be said here: leave it out"
UNKNOWN = "a result of an unknown call ('c'): give the name of its function"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([Message("system", "a")], "gemini needs a message that is not the system's"),
        ([HELLO, Message("system", "b")], "gemini: put the system's messages before all others"),
        ([HELLO, tool("c")], UNKNOWN),
        ([HELLO, tool("x" * 99)], f"a result of an unknown call ('{'x' * 80}')"),
        ([Message("user", "a", name="b")], "gemini can't take a message's name"),
        ([HELLO, model(ToolCall("c", "f", "[1]"))], "the call 'f' (c) has arguments that are not"),
        ([HELLO, model(ReasoningPart("b"))], UNSAID),
        *(
            ([Message(role, (part,)), HELLO], f"{type(part).__name__} has no place in {role}")
            for part in (ImagePart("https://a.test/1.png"), FilePart("https://a.test/1.pdf"))
            for role in SYSTEM
        ),
        ([HELLO, tool("c", (RefusalPart("a"),), name="f")], "RefusalPart has no place in tool"),
        ([user(RefusalPart("a"))], "RefusalPart has no place in user messages"),
        ([user(ReasoningPart("a"))], "ReasoningPart has no place in user messages"),
        ([user(ToolCall("c", "f", ""))], "ToolCall has no place in user messages"),
        ([user(TextPart("a", cache="5m"))], "gemini can't take cache marks"),
        (
            [HELLO, model(ToolCall("c", "f", "a", custom=True))],
            "gemini can't take custom tool calls",
        ),
        ([user(Opaque(form([1])))], "a native form of gemini is a part: an object"),
        ([HELLO, tool("c", (Opaque(form([1])),), name="f")], "a native form of gemini is a part"),
        (
            [user(Opaque(form({"type": "x"}, "anthropic")))],
            "a part of the user message is in the words of anthropic",
        ),
    ],
)
def test_what_is_refused(messages: list[Message], words: str) -> None:
    assert refused(*messages).startswith(words)


def test_options_that_are_refused() -> None:
    assert "parallel" in refused(parallel=False)
    assert "strict" in refused(tools=[Tool("f", strict=True)])
    assert "effort is none, minimal, low, medium, high" in refused(effort="max")


@pytest.mark.parametrize("name", ["../x", "a?b", "a&b", "a#b", "a%2Fb", "a b"])
def test_a_model_that_leaves_its_place(name: str) -> None:
    assert refused(model=name) == f"a model of the name {name!r} is no part of a path"
    with pytest.raises(LocalProtocolError) as caught:
        model_path("?" * 999)
    assert str(caught.value) == f"a model of the name '{'?' * 100}' is no part of a path"


def test_parts_of_the_user() -> None:
    data = b64encode(b"\x89").decode()
    parts: list[Part] = [
        TextPart("a"),
        TextPart(""),
        ImagePart.of_bytes(b"\x89", "image/png"),
        ImagePart("data:image/gif,abc"),
        ImagePart("https://a.test/1.webp?x=1"),
        ImagePart("https://a.test/1"),
        ImagePart("https://a.te[t/1.png#x"),
        FilePart.of_bytes(b"\x89", "application/pdf", "a.pdf"),
        FilePart("gs://bucket/a.mp4", "video/webm", "a film"),
        Opaque(form({"videoMetadata": {}, "fileData": {"fileUri": "https://youtu.be/x"}})),
    ]
    assert contents(user(*parts)) == [
        (
            "user",
            [
                {"text": "a"},
                {"inlineData": {"mimeType": "image/png", "data": data}},
                {"inlineData": {"mimeType": "image/gif", "data": "YWJj"}},
                {"fileData": {"mimeType": "image/webp", "fileUri": "https://a.test/1.webp?x=1"}},
                {"fileData": {"fileUri": "https://a.test/1"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://a.te[t/1.png#x"}},
                {
                    "inlineData": {
                        "mimeType": "application/pdf",
                        "data": data,
                        "displayName": "a.pdf",
                    }
                },
                {
                    "fileData": {
                        "mimeType": "video/webm",
                        "fileUri": "gs://bucket/a.mp4",
                        "displayName": "a film",
                    }
                },
                {"videoMetadata": {}, "fileData": {"fileUri": "https://youtu.be/x"}},
            ],
        )
    ]


def test_the_detail_of_a_picture() -> None:
    """`auto` asks for nothing."""
    url = "https://a.test/1.png"
    assert contents(user(ImagePart(url, "auto"))) == contents(user(ImagePart(url)))
    assert "can't take a picture's detail" in refused(user(ImagePart(url, "low")))


def test_parts_of_the_assistant() -> None:
    signed = {"text": "b", "thoughtSignature": "c2ln"}
    parts: list[Part] = [
        ReasoningPart("unsigned"),
        TextPart("a"),
        TextPart("b", native=form(signed)),
        RefusalPart("no"),
        ImagePart.of_bytes(b"\x89", "image/png"),
        TextPart("c", native=form({"type": "text"}, "anthropic")),
        Opaque(form({"type": "redacted_thinking"}, "anthropic")),
        ToolCall("c-1", "f", ' {"a": 1.10} '),
    ]
    [_, (role, written)] = contents(user("hi"), model(*parts))
    assert role == "model"
    assert written == [
        {"text": "a"},
        signed,
        {"text": "no"},
        {"inlineData": {"mimeType": "image/png", "data": "iQ=="}},
        {"text": "c"},
        {"functionCall": {"id": "c-1", "name": "f", "args": {"a": 1.1}}},
    ]


# Calls and results


def test_two_calls_and_their_results() -> None:
    """Results are alone in their content, in the order of the calls."""
    calls = ToolCall("a", "f", "{}"), ToolCall("b", "g", "")
    body = asked(
        Message("system", "be brief"),
        user("hi"),
        model(*calls),
        tool("b", "2"),
        tool("a", "1"),
        user("And?"),
    )
    assert list(body) == ["contents", "systemInstruction"]
    assert [each["role"] for each in body["contents"]] == ["user", "model", "user", "user"]
    assert body["contents"][2]["parts"] == [answer("f", "1", "a"), answer("g", "2", "b")]
    again = contents(*(user("hi"), model(*calls), tool("b"), tool("a")) * 2)
    assert again[2] == again[5] == ("user", [answer("f", id="a"), answer("g", id="b")])
    twice = contents(user("hi"), model(*calls), tool("a", "1"), tool("a", "2"))
    assert twice[2][1] == [answer("f", "1", "a"), answer("f", "2", "a")]


def test_ids_are_those_of_the_call() -> None:
    """Of its native form, if it has one: without an id there, the result has none either."""
    bare: Any = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "cw=="}
    own: Any = {"functionCall": {"name": "g", "args": {}, "id": "wire"}}
    calls = ToolCall("a", "f", "{}", native=form(bare)), ToolCall("b", "g", "{}", native=form(own))
    found = contents(user("hi"), model(*calls), tool("a"), tool("b"))
    assert found[2] == ("user", [answer("f"), answer("g", id="wire")])
    odd = ToolCall("c", "h", "{}", native=form({"functionCall": 1}))
    assert contents(user("hi"), model(odd), tool("c"))[2][1] == [answer("h")]
    number = ToolCall("c", "h", "{}", native=form({"functionCall": {"name": "h", "id": 5}}))
    assert contents(user("hi"), model(number), tool("c"))[2][1] == [answer("h")]
    plain = ToolCall("", "h", "{}")
    assert contents(user("hi"), model(plain))[1][1] == [{"functionCall": {"name": "h", "args": {}}}]


def test_results_without_ids_answer_the_calls_in_order() -> None:
    calls = ToolCall("", "f", "{}"), ToolCall("", "g", "{}"), ToolCall("", "f", "{}")
    results = tool("", "1"), tool("", "3", name="f"), tool("", "2")
    found = contents(user("hi"), model(*calls), *results)
    assert found[2][1] == [answer("f", "1"), answer("g", "2"), answer("f", "3")]


def test_a_result_of_an_unknown_call_has_the_name_that_is_given() -> None:
    found = contents(user("hi"), tool("x", name="f"), tool("", name="g"))
    assert found[1][1] == [answer("f", id="x"), answer("g")]


def test_what_a_result_says() -> None:
    call = ToolCall("a", "f", "{}")
    picture = ImagePart.of_bytes(b"\x89", "image/png")

    def said(content: Any, **more: Any) -> Any:
        return contents(user("hi"), model(call), tool("a", content, **more))[2][1][0]

    blob = {"inlineData": {"mimeType": "image/png", "data": "iQ=="}}
    assert said("no", failed=True) == answer("f", "no", "a", "error")
    assert said((TextPart("a"), TextPart("b"))) == answer("f", "ab", "a")
    assert said((TextPart("a"), picture)) == answer("f", "a", "a", parts=[blob])
    own = {"functionResponse": {"name": "f", "response": {"result": 1}}}
    assert said((TextPart("1", native=form(own)),)) == own
    assert said((Opaque(form({"new": 1})),)) == answer("f", "", "a", parts=[{"new": 1}])


# Options


def test_options() -> None:
    body = asked(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        max_tokens=100,
        stop=("END",),
        n=2,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=3,
        schema={"type": "object"},
        effort="high",
    )
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
        "thinkingConfig": {"thinkingLevel": "HIGH"},
    }
    assert "model" not in body
    assert "stream" not in body
    any_json = asked(schema={}, effort="none")["generationConfig"]
    nothing = {"thinkingBudget": 0}
    assert any_json == {"responseMimeType": "application/json", "thinkingConfig": nothing}


def test_further_fields_are_merged() -> None:
    extra = {"generationConfig": {"topK": 3}, "cachedContent": "cachedContents/x"}
    body = asked(temperature=0.5, extra=extra)
    assert body["generationConfig"] == {"temperature": 0.5, "topK": 3}
    assert body["cachedContent"] == "cachedContents/x"


def test_tools() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    search = Opaque(form({"googleSearch": {}}))
    own = {"name": "h", "behavior": "NON_BLOCKING"}
    tools: list[Any] = [search, Tool("f", "does f", schema), {"urlContext": {}}, Tool("g")]
    body = asked(tools=[*tools, Tool("h", native=form(own))], tool_choice="g")
    declared: Any = [{"name": "f", "description": "does f", "parametersJsonSchema": schema}]
    declared += [{"name": "g"}, own]
    entries: Any = [{"googleSearch": {}}, {"functionDeclarations": declared}, {"urlContext": {}}]
    assert body["tools"] == entries
    choice = {"mode": "ANY", "allowedFunctionNames": ["g"]}
    assert body["toolConfig"] == {"functionCallingConfig": choice}


@pytest.mark.parametrize(
    ("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")]
)
def test_tool_choices(choice: str, mode: str) -> None:
    body = asked(tools=[Tool("f")], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


# What is understood


class Sealer:
    """Packs a native form with its dialect."""

    def seal(self, native: Native) -> str:
        return f"{native.dialect}~{native.raw.decode()}"

    def unseal(self, text: str) -> Native | None:
        dialect, tilde, raw = text.partition("~")
        return Native(dialect, raw.encode()) if tilde else None


def understood(
    body: Any, path: str = ":streamGenerateContent?alt=sse", unseals: bool = True
) -> Chat:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    responder = Service(GEMINI, sealer=Sealer() if unseals else None).responder()
    headers = [(b"content-type", b"application/json")]
    request = Request("POST", f"https://x/v1beta/models/m{path}", headers, data)
    chat = responder.receive_request(request)
    assert chat is not None
    return chat


def heard(**fields: Any) -> Chat:
    return understood({"contents": [{"parts": [{"text": "hi"}]}], **fields})


def messages(*parts: Any, role: str | None = "model") -> tuple[Message, ...]:
    said = {"parts": list(parts), **({"role": role} if role else {})}
    return understood({"contents": [said]}).messages


def parts_of(*parts: Any) -> list[Part]:
    [message] = messages(*parts)
    return list(message.parts)


def test_a_chat_in_both_spellings() -> None:
    """As the SDK for Python and others mix them: keys in snake case, nulls, whole numbers as
    floats."""
    body = {
        "contents": [
            {"parts": [{"text": "a"}], "role": "user"},
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": {"x_y": 1.50}}}]},
            {
                "role": "function",
                "parts": [{"function_response": {"name": "f", "response": {"output": "1"}}}],
            },
            {"parts": [{"inline_data": {"mime_type": "image/png", "data": "-_8="}}, {"text": "b"}]},
        ],
        "system_instruction": {"parts": [{"text": "be"}, {"text": "brief"}]},
        "generation_config": {
            "temperature": 1,
            "top_k": 3.0,
            "max_output_tokens": "100",
            "response_mime_type": "application/json",
            "thinking_config": {"include_thoughts": True, "thinking_level": "low"},
            "seed": None,
            "speech_config": {"a": 1},
        },
        "tools": [
            {"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}
        ],
        "tool_config": {
            "function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}
        },
        "safetySettings": None,
        "serviceTier": "flex",
        "x_own": {"a_b": 1},
    }
    assert understood(body) == Chat(
        messages=(
            Message("system", (TextPart("be"), TextPart("brief"))),
            Message("user", "a"),
            Message("assistant", (ToolCall("", "f", '{"x_y": 1.5}'),)),
            Message("tool", "1", name="f"),
            Message("user", (ImagePart("data:image/png;base64,+/8="), TextPart("b"))),
        ),
        model="m",
        tools=(Tool("f", "", {"type": "object"}),),
        tool_choice="f",
        temperature=1.0,
        top_k=3,
        max_tokens=100,
        schema={},
        effort="low",
        extra={
            "serviceTier": "flex",
            "x_own": {"a_b": 1},
            "generationConfig": {
                "thinkingConfig": {"includeThoughts": True},
                "speechConfig": {"a": 1},
            },
        },
    )


def test_streamed_or_whole() -> None:
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    assert understood(body).stream
    assert understood(body, ":streamGenerateContent").stream
    assert not understood(body, ":generateContent").stream


def test_what_is_understood_of_the_system() -> None:
    assert heard(systemInstruction="be brief").messages[0] == Message("system", "be brief")
    for nothing in ({"role": "system"}, None):
        assert heard(systemInstruction=nothing).messages == (Message("user", "hi"),)


def test_arguments_are_understood_byte_for_byte() -> None:
    args = '{"a": 1.10, "b":12345678901234567890}'
    for key in ("functionCall", "function_call"):
        for signed in (b"", b',"thoughtSignature":"cw=="'):
            part = b'{"%b":{"name":"f","args":%b}%b}' % (key.encode(), args.encode(), signed)
            body = b'{"contents":[{"role":"model","parts":[%b]}]}' % part
            [call] = understood(body).messages[0].tool_calls
            assert call.arguments == args
            assert call.native is None or args.encode() in call.native.raw
            again = GEMINI.exchange(as_chat("a", model="m").then(Message("assistant", (call,))))
            request = again.next_request()
            assert request is not None
            assert b'"args":' in request.body
    half = b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":%b}}]}]}'
    [call] = understood(half % b'{"a":"\xe2\x82"}').messages[0].tool_calls
    assert call.arguments == '{"a":"\ufffd"}'
    assert parts_of({"functionCall": {"name": "f"}}) == [ToolCall("", "f", "{}")]
    bare = {"functionCall": {"name": "f", "args": None, "id": "c"}}
    assert parts_of(bare) == [ToolCall("c", "f", "{}")]


def test_signed_parts() -> None:
    """A signature counts as bytes: in the standard alphabet, whatever it came in."""
    text = {"text": "a", "thoughtSignature": "-_-_AA=="}
    call: Any = {"functionCall": {"name": "f", "args": {}, "id": "c"}, "thought_signature": "cw=="}
    thought = {"text": "so", "thought": True, "thoughtSignature": "cw=="}
    empty = {"text": "", "thoughtSignature": "cw=="}
    found = parts_of(text, call, thought, empty)
    kinds = [TextPart, ToolCall, ReasoningPart, Opaque]
    assert [type(part) for part in found] == kinds
    said = [json.loads(part.native.raw) for part in found if part.native is not None]
    assert said == [
        {"text": "a", "thoughtSignature": "+/+/AA=="},
        {"functionCall": {"name": "f", "args": {}, "id": "c"}, "thoughtSignature": "cw=="},
        thought,
        empty,
    ]


@pytest.mark.parametrize(
    "signature",
    [
        "skip_thought_signature_validator",
        b64encode(b"skip_thought_signature_validator").decode(),
        "not base64!",
        b64encode(b"\xff").decode(),
        sealed("anthropic~{}") + "!",
    ],
)
def test_odd_signatures(signature: str) -> None:
    part = {"functionCall": {"name": "f"}, "thoughtSignature": signature}
    [call] = parts_of(part)
    assert call.native is not None
    assert json.loads(call.native.raw) == part


def test_signatures_of_other_formats() -> None:
    """The sealer opens what it sealed; without one it is our own."""
    raw = b'{"type":"thinking","thinking":"so","signature":"EqQF"}'
    signature = sealed(f"anthropic~{raw.decode()}")
    assert signature == b64encode(b"anthropic~" + raw).decode()
    thought = {"text": "so", "thought": True, "thoughtSignature": signature}
    alone = {"text": "", "thoughtSignature": signature.replace("+", "-").replace("/", "_")}
    native = Native("anthropic", raw)
    assert parts_of(thought, alone) == [ReasoningPart("so", native), Opaque(native)]
    body = {"contents": [{"role": "model", "parts": [thought]}]}
    [part] = understood(body, unseals=False).messages[0].parts
    assert part.native is not None
    assert part.native.dialect == "gemini"


def test_thoughts_and_odd_parts() -> None:
    assert parts_of({"text": "so", "thought": True}) == [ReasoningPart("so")]
    odd: Any = (
        {"executableCode": {"code": "1"}},
        {"new": 1},
        {"text": 5},
        {"functionCall": {"args": {}}},
        {"inlineData": {"mimeType": "image/png"}},
        {"fileData": 5},
    )
    for part in odd:
        assert parts_of(part) == [Opaque(form(part))]
    further: Any = (
        ({"text": "a", "new": 1}, TextPart),
        ({"text": "so", "thought": True, "new": 1}, ReasoningPart),
        ({"functionCall": {"name": "f", "new": 1}}, ToolCall),
        ({"functionCall": {"name": "f"}, "new": 1}, ToolCall),
        ({"fileData": {"fileUri": "u"}, "new": 1}, FilePart),
    )
    for part, kind in further:
        [found] = parts_of(part)
        assert isinstance(found, kind)
        assert found.native == form(part)
    for more in ({"thoughtSignature": 5}, {"thoughtSignature": None}, {"inlineData": None}):
        assert parts_of({"text": "a", **more}) == [TextPart("a")]


@pytest.mark.parametrize(
    "part", [{"executableCode": {"code": "\u20ac"}}, {"text": "\u20ac", "new": 1}]
)
def test_half_a_character_in_a_part(part: Any) -> None:
    """It does not keep the part from going on."""
    body: Any = {"contents": [{"role": "model", "parts": [part]}]}
    raw = json.dumps(body, ensure_ascii=False).encode().replace(b"\xe2\x82\xac", b"\xe2")
    expected = json.loads(json.dumps(part).replace("\\u20ac", "\\ufffd"))
    assert contents(user("hi"), *understood(raw).messages)[1] == ("model", [expected])


def test_media() -> None:
    pdf = {"inlineData": {"mimeType": "application/pdf", "data": "iQ==", "displayName": "a.pdf"}}
    video = {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a/b"}}
    web = {"file_data": {"file_uri": "https://a.test/1.png", "mime_type": "image/png"}}
    bare = {"fileData": {"fileUri": "https://youtu.be/x"}}
    [message] = messages(pdf, video, web, bare, role="user")
    assert message.parts == (
        FilePart("data:application/pdf;base64,iQ==", "application/pdf", "a.pdf"),
        FilePart("gs://a/b", "video/mp4"),
        ImagePart("https://a.test/1.png"),
        FilePart("https://youtu.be/x"),
    )


def test_a_file_that_is_signed() -> None:
    file = {"fileData": {"mimeType": "video/mp4", "fileUri": "u"}, "thoughtSignature": "cw=="}
    [part] = parts_of(file)
    assert isinstance(part, FilePart)
    assert part.native is not None
    assert json.loads(part.native.raw) == file


def test_a_picture_with_a_name() -> None:
    """It goes back with it."""
    named = {"fileData": {"fileUri": "u", "mimeType": "image/png", "displayName": "a.png"}}
    [message] = messages(named, role="user")
    assert message.parts == (ImagePart("u", native=form(named)),)


def test_results_of_tools() -> None:
    def result(response: Any, **more: Any) -> Any:
        return {"functionResponse": {"name": "f", "response": response, **more}}

    blob = {"inlineData": {"mimeType": "image/png", "data": "iQ=="}}
    picture = ImagePart("data:image/png;base64,iQ==")
    found = messages(
        {"text": "before"},
        result({"output": "a"}, id="c"),
        result({"error": "b"}),
        result({"output": ""}, parts=[blob]),
        result({"output": "c"}, parts=[blob]),
        {"text": "after"},
        role="user",
    )
    assert found == (
        Message("user", "before"),
        Message("tool", "a", tool_call_id="c", name="f"),
        Message("tool", "b", name="f", failed=True),
        Message("tool", (picture,), name="f"),
        Message("tool", (TextPart("c"), picture), name="f"),
        Message("user", "after"),
    )
    assert messages(result({"output": ""})) == (Message("tool", "", name="f"),)


def test_results_in_other_words_go_back_as_they_came() -> None:
    for response in ({"result": 1}, {"output": "a", "more": 1}, {"output": 1}, None):
        said = {"name": "f", "response": response}
        if response is None:
            del said["response"]
        [message] = messages({"functionResponse": said}, role="user")
        assert message.text == json.dumps(response, separators=(",", ":"))
        [part] = message.parts
        assert part.native is not None
        body = asked(user("hi"), message)
        assert body["contents"][1]["parts"] == [{"functionResponse": said}]
    odd = {"name": "f", "id": 5, "response": {"output": "a"}}
    assert messages({"functionResponse": odd}) == (Message("tool", "a", name="f"),)


@pytest.mark.parametrize("name", [{}, {"name": ""}, {"name": 5}])
def test_a_result_needs_its_name(name: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        messages({"functionResponse": {**name, "id": "c", "response": {"output": "a"}}})
    assert caught.value.message == "function_response.name: Name cannot be empty."


@pytest.mark.parametrize(
    ("config", "options", "extra"),
    [
        ({"responseLogprobs": True, "logprobs": 3}, {"logprobs": 3}, None),
        ({"responseLogprobs": True}, {"logprobs": 0}, None),
        ({"responseLogprobs": False, "logprobs": 3}, {}, {"logprobs": 3}),
        ({"stopSequences": ["a"]}, {"stop": ("a",)}, None),
        ({"responseMimeType": "text/x.enum"}, {}, {"responseMimeType": "text/x.enum"}),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {"effort": "none"}, None),
        (
            {"thinkingConfig": {"thinkingBudget": -1}},
            {},
            {"thinkingConfig": {"thinkingBudget": -1}},
        ),
        ({"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}}, {}, None),
        (
            {"thinkingConfig": {"thinkingLevel": "NEW", "thinkingBudget": 0}},
            {},
            {"thinkingConfig": {"thinkingLevel": "NEW", "thinkingBudget": 0}},
        ),
        ({"thinkingConfig": {"thinkingLevel": 3}}, {}, {"thinkingConfig": {"thinkingLevel": 3}}),
        ({"thinkingConfig": 3}, {}, None),
        ({"temperature": "0.5"}, {"temperature": 0.5}, None),
    ],
)
def test_understood_options(config: Any, options: Any, extra: Any) -> None:
    chat = heard(generationConfig=config)
    further = {} if extra is None else {"generationConfig": extra}
    assert chat == as_chat("hi", model="m", extra=further, **options)


def test_whole_numbers() -> None:
    """Services want no `3.0` for one."""
    config = {"responseLogprobs": True, "logprobs": 3.0, "topK": 3.0, "seed": "3"}
    chat = heard(generationConfig=config)
    assert [repr(value) for value in (chat.logprobs, chat.top_k, chat.seed)] == ["3", "3", "3"]


def test_schemas() -> None:
    def schema(**config: Any) -> Any:
        config = {"responseMimeType": "application/JSON", **config}
        return heard(generationConfig=config).schema

    assert schema(responseJsonSchema={"type": "object"}) == {"type": "object"}
    words = {
        "type": "OBJECT",
        "properties": {"type": {"type": "STRING", "nullable": True}},
        "anyOf": [{"type": "ARRAY"}, 1],
    }
    assert schema(responseSchema=words) == {
        "type": "object",
        "properties": {"type": {"type": "string", "nullable": True}},
        "anyOf": [{"type": "array"}, 1],
    }
    assert schema(responseJsonSchema={"type": "OBJECT"}) == {"type": "object"}
    assert schema(responseJsonSchema={"type": "Odd"}) == {"type": "Odd"}
    assert schema(responseJsonSchema=1) == {}
    # What is nested deeper than 64 times is left as it is.
    for depth, word in ((64, "object"), (66, "OBJECT")):
        in_objects: Any = {"type": "OBJECT"}
        in_lists: Any = {"type": "OBJECT"}
        for _ in range(depth):
            in_objects = {"items": in_objects}
        for _ in range(depth // 2):
            in_lists = {"anyOf": [in_lists]}
        for deep in (in_objects, in_lists):
            assert f'"{word}"' in json.dumps(schema(responseSchema=deep))


def test_understood_tools() -> None:
    openapi = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    plain = {"type": "object", "properties": {"a": {"type": "string"}}}
    entries: Any = [
        {"functionDeclarations": [{"name": "f", "description": "d", "parameters": openapi}]},
        {"googleSearch": {}, "function_declarations": [{"name": "g", "description": 1}]},
        {"codeExecution": {}},
        {"functionDeclarations": 5},
    ]
    assert heard(tools=entries).tools == (
        Tool("f", "d", plain),
        Tool("g"),
        Opaque(Native("gemini", b'{"googleSearch":{}}')),
        Opaque(Native("gemini", b'{"codeExecution":{}}')),
        Opaque(Native("gemini", b"{}")),
    )
    own = {"name": "f", "behavior": "BLOCKING"}
    [tool] = heard(tools=[{"functionDeclarations": [own]}]).tools
    assert tool.native is not None
    assert (tool.native.dialect, json.loads(tool.native.raw)) == ("gemini", own)


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, "f"),
    ],
)
def test_understood_tool_choices(config: Any, choice: str) -> None:
    chat = heard(toolConfig={"functionCallingConfig": config})
    assert (chat.tool_choice, chat.extra) == (choice, {})
    chat = heard(toolConfig={"functionCallingConfig": config, "retrievalConfig": {}})
    assert (chat.tool_choice, chat.extra) == (choice, {"toolConfig": {"retrievalConfig": {}}})


@pytest.mark.parametrize(
    "config",
    [
        {"mode": "VALIDATED"},
        {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
        {"mode": "ANY", "allowedFunctionNames": ["auto"]},
        {"mode": "AUTO", "allowedFunctionNames": ["f"]},
        {"mode": "AUTO", "streamFunctionCallArguments": True},
        {},
        5,
    ],
)
def test_tool_choices_of_its_own_are_kept(config: Any) -> None:
    chat = heard(toolConfig={"functionCallingConfig": config})
    assert chat.tool_choice is None
    assert chat.extra == {"toolConfig": {"functionCallingConfig": config}}


REFUSED: list[tuple[Any, str]] = [
    ({}, "* GenerateContentRequest.contents: contents is not specified"),
    ({"contents": None}, "* GenerateContentRequest.contents: contents is not specified"),
    ({"systemInstruction": "a"}, "* GenerateContentRequest.contents: contents is not specified"),
    ({"contents": [{"role": "assistant", "parts": []}]}, "Please use a valid role: user, model."),
    ({"contents": "a"}, "Invalid JSON payload received: "),
    ({"contents": [{"parts": "a"}]}, "Invalid JSON payload received: "),
    ({"contents": [{"parts": [5]}]}, "a part is an object"),
    ({"generationConfig": 5}, "generationConfig is an object"),
    ({"generationConfig": {"topK": 3.5}}, "Invalid value at 'generation_config.topK'"),
    ({"generationConfig": {"seed": {}}}, "Invalid value at 'generation_config.seed'"),
    (
        {"generationConfig": {"responseLogprobs": True, "logprobs": {"a": 1}}},
        "Invalid value at 'generation_config.logprobs'",
    ),
    ({"generationConfig": {"stopSequences": "a"}}, "stopSequences is a list of strings"),
    ({"generationConfig": {"stopSequences": [1]}}, "stopSequences is a list of strings"),
    # Each would take memory.
    ({"generationConfig": {"candidateCount": 1_000_000_000}}, "candidateCount must be from 1 to 8"),
    ({"generationConfig": {"candidateCount": -1}}, "candidateCount must be from 1 to 8"),
    ({"generationConfig": {"candidateCount": 9}}, "candidateCount must be from 1 to 8"),
    (b'{"contents":5}', "Invalid JSON payload received"),
    ({"tools": "a"}, "tools is a list"),
    ({"tools": [5]}, "tools: a tool is an object"),
    ({"tools": [{"functionDeclarations": [5]}]}, "tools: a function has a name"),
    ({"tools": [{"functionDeclarations": [{}]}]}, "tools: a function has a name"),
    (b"[1]", "the request body"),
    (b"{", "the request body"),
]


def test_objects_where_lists_are_due() -> None:
    """As the first examples of the API had them (quirk 92)."""
    function = {"name": "f", "parameters": {"type": "OBJECT"}}
    lists: Any = {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"text": "a"}]}],
        "tools": [{"functionDeclarations": [function]}],
    }
    objects: Any = {
        "system_instruction": {"parts": {"text": "s"}},
        "contents": {"parts": {"text": "a"}},
        "tools": {"function_declarations": function},
    }
    assert understood(objects) == understood(lists)
    assert understood({**lists, "contents": [{"parts": None}, *lists["contents"]]}) == (
        understood(lists)
    )


@pytest.mark.parametrize(("body", "said"), REFUSED)
def test_requests_that_a_service_refuses(body: Any, said: str) -> None:
    if "specified" not in said and not isinstance(body, bytes):
        body = {"contents": [{"parts": [{"text": "hi"}]}], **body}
    with pytest.raises(BadRequest) as caught:
        understood(body)
    assert caught.value.message.startswith(said)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("g-1", "/models/g-1"),
        ("models/g-1@2", "/models/g-1@2"),
        ("tunedModels/a:b", "/tunedModels/a%3Ab"),
        ("tunedModels/a/b", "/tunedModels/a%2Fb"),
        ("tunedmodels/a", "/models/tunedmodels%2Fa"),
    ],
)
def test_the_path_of_a_model(name: str, path: str) -> None:
    assert model_path(name) == path


def test_as_many_candidates_as_are_allowed() -> None:
    assert heard(generationConfig={"candidateCount": 8}).n == 8


def test_about_how_many_tokens_there_are() -> None:
    """A quarter of the characters of all texts, by either spelling of the fields."""
    assert count_of(b"{}") == 1
    said = [{"parts": [{"text": "x" * 20}]}]
    fields = {"contents": said, "system_instruction": {"parts": "y" * 12}, "tools": ["z" * 8]}
    for body in (fields | {"labels": "w" * 100}, {"generate_content_request": fields}):
        assert count_of(json.dumps(body).encode()) == 10
    with pytest.raises(BadRequest, match=r"^Invalid JSON payload received: not JSON"):
        count_of(b"{]")


def test_further_keys_of_contents_and_media() -> None:
    result = {"functionResponse": {"name": "f", "response": {"output": "1"}}, "new": 2}
    blob = {"inlineData": {"mimeType": "image/png", "data": "YQ==", "new": 3}}
    said = {"role": "user", "parts": [blob, result, {"text": "go on"}], "odd": 4, "none": None}
    chat = understood(
        {"systemInstruction": {"parts": [{"text": "s"}], "odd": 5}, "contents": [said]}
    )
    system, picture, answer, more = chat.messages
    assert (system.extra, picture.extra, answer.extra, more.extra) == (
        {"odd": 5},
        {"odd": 4},
        {},
        {},
    )
    alone = {"role": "model", "parts": [{"text": "a"}], "odd": 6}
    assert understood({"contents": [said, alone]}).messages[-1].extra == {"odd": 6}
    for message, value in ((picture, blob), (answer, result)):
        native = message.parts[0].native
        assert native is not None
        assert json.loads(native.raw) == value

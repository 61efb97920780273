"""Converse: a chat as a request, and a request as a chat."""

import json
from base64 import b64decode
from typing import Any

import msgspec
import pytest

from tests.formats.bedrock.subject import BEDROCK, MODEL
from tokenwire import PROVIDERS, Chat, Message, Service, as_chat
from tokenwire.protocols.chat import (
    FilePart,
    ImagePart,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from tokenwire.protocols.errors import BadRequest, LocalProtocolError
from tokenwire.protocols.events import Native
from tokenwire.protocols.toolkit.http import Request, get_header

ARN = "arn:aws:bedrock:us-east-1:1:inference-profile/us.x"
ANY = PROVIDERS["bedrock"].replace(base_url=BEDROCK.base_url)


def request_of(*messages: Message | str, model: str = MODEL, **options: Any) -> Request:
    said = [m if isinstance(m, Message) else Message("user", m) for m in messages]
    request = ANY.exchange(as_chat(said or "hi", model=model, **options)).next_request()
    assert request is not None
    return request


def body_of(*messages: Message | str, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request_of(*messages, **options).body)
    return body


def turns_of(*messages: Message | str, **options: Any) -> list[Any]:
    turns: list[Any] = body_of(*messages, **options)["messages"]
    return turns


def understood(body: Any, model: str = MODEL, path: str = "converse-stream") -> Chat:
    """What the server half makes of a body."""
    url = f"{BEDROCK.base_url}/model/{model.replace(':', '%3A').replace('/', '%2F')}/{path}"
    headers = [(b"content-type", b"application/json")]
    request = Request("POST", url, headers, json.dumps(body).encode())
    chat = Service(ANY).responder().receive_request(request)
    assert chat is not None
    return chat


def native(**form: Any) -> Native:
    return Native("bedrock", msgspec.json.encode(form))


def again(*messages: Message | str, **options: Any) -> Chat:
    """What the server half makes of the request."""
    request = request_of(*messages, **options)
    chat = Service(ANY).responder().receive_request(request)
    assert chat is not None
    return chat


# The address


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("anthropic.claude-v1:0", "/model/anthropic.claude-v1%3A0/converse"),
        (ARN, "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse"),
        ("a@b~c é", "/model/a%40b~c%20%C3%A9/converse"),
    ],
)
def test_the_model_is_one_segment_of_the_path(model: str, target: str) -> None:
    assert request_of(model=model).target == f"{target}-stream"
    assert request_of(model=model, stream=False).target == target
    assert again(model=model).model == model
    assert again(model=model).stream
    assert not again(model=model, stream=False).stream


def test_the_smallest_request() -> None:
    request = request_of()
    assert json.loads(request.body) == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    assert get_header(request.headers, b"content-type") == "application/json"
    assert get_header(request.headers, b"accept") is None
    assert again() == as_chat("hi", model=MODEL)


# Messages


def test_system_messages() -> None:
    messages = (Message("system", "a"), Message("developer", "b"), Message("user", "c"))
    body = body_of(*messages)
    assert body["system"] == [{"text": "a"}, {"text": "b"}]
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert again(*messages).messages == (
        Message("system", "a"),
        Message("system", "b"),
        messages[2],
    )
    with pytest.raises(LocalProtocolError, match="put the system's messages before all others"):
        request_of("a", Message("system", "b"))


def test_neighbours_of_one_side_are_one_message() -> None:
    call = ToolCall("t1", "f", '{"a": 1}')
    assert turns_of(
        "a",
        "b",
        Message("assistant", "c"),
        Message("assistant", (TextPart(""), call, ToolCall("t2", "g", ""))),
        call.result("r"),
        Message("tool", "", tool_call_id="t2", failed=True),
        "d",
    ) == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"text": "c"},
                {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "r"}]}},
                {"toolResult": {"toolUseId": "t2", "content": [], "status": "error"}},
                {"text": "d"},
            ],
        },
    ]


def test_it_may_begin_with_the_assistant() -> None:
    assert turns_of(Message("assistant", "a"), "b")[0]["role"] == "assistant"


@pytest.mark.parametrize(
    ("id", "written"),
    [("a-_.:9", "a-_.:9"), ("x" * 64, "x" * 64), ("x" * 65, None), ("a b", None), ("", "call_1_0")],
)
def test_ids_of_calls(id: str, written: str | None) -> None:
    call = ToolCall(id, "f", "{}")
    turns = turns_of("a", Message("assistant", (call,)), call.result("r"))
    ids = [
        turns[1]["content"][0]["toolUse"]["toolUseId"],
        turns[2]["content"][0]["toolResult"]["toolUseId"],
    ]
    assert ids[0] == ids[1]
    assert ids[0].startswith("tw_") if written is None else ids[0] == written


def test_ids_of_several_calls() -> None:
    calls = tuple(ToolCall(id, "f", "{}") for id in ("t", "u", "v"))
    blocks = turns_of("a", Message("assistant", calls))[1]["content"]
    assert [block["toolUse"]["toolUseId"] for block in blocks] == ["t", "u", "v"]


@pytest.mark.parametrize("arguments", ["[1]", "{", "1", "x"])
def test_arguments_that_are_no_object(arguments: str) -> None:
    with pytest.raises(LocalProtocolError, match="arguments that are not one JSON object"):
        request_of("a", Message("assistant", (ToolCall("t", "f", arguments),)))


def test_thoughts() -> None:
    signed = native(reasoningContent={"reasoningText": {"text": "so", "signature": "s"}})
    hidden = native(reasoningContent={"redactedContent": "YQ=="})
    other = Native("anthropic", b'{"type":"thinking"}')
    content: tuple[Part, ...] = (
        *(ReasoningPart("so", signed), Opaque(hidden), ReasoningPart("x", other), Opaque(other)),
        *(ReasoningPart("plain"), RefusalPart("no"), TextPart("a")),
    )
    chat = again("q", Message("assistant", content))
    assert turns_of("q", Message("assistant", content))[1]["content"] == [
        json.loads(signed.raw),
        json.loads(hidden.raw),
        *({"text": "no"}, {"text": "a"}),
    ]
    assert chat.messages[1].parts == (*content[:2], TextPart("no"), TextPart("a"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message("assistant", (ReasoningPart("x"),)), "nothing of the assistant message can be"),
        (Message("user", (ReasoningPart("x"),)), "ReasoningPart has no place in user messages"),
        (Message("user", (RefusalPart("x"),)), "RefusalPart has no place in user messages"),
        (Message("user", (ToolCall("t", "f", ""),)), "ToolCall has no place in user messages"),
        (
            Message("user", (ImagePart("https://a.test/b.png"),)),
            "bedrock takes a picture by its bytes only",
        ),
        (
            Message("user", (ImagePart.of_bytes(b"x", "image/bmp"),)),
            "a picture of type 'image/bmp': the types are image/png, image/jpeg",
        ),
        (
            Message("user", (FilePart.of_bytes(b"x", "application/zip"),)),
            "a file of type 'application/zip': no model reads that",
        ),
        (
            Message("user", (FilePart("https://a.test/b.pdf", "application/pdf"),)),
            "a file is given by its bytes or an s3:// address",
        ),
        (
            Message("user", (FilePart.of_bytes(b"x", "video/mp4", "v"),)),
            "video has no name here: leave 'v' out",
        ),
        (
            Message("user", (ImagePart.of_bytes(b"x", "image/" + "x" * 100),)),
            f"a picture of type 'image/{'x' * 74}': the types are",
        ),
        (
            Message("user", (FilePart.of_bytes(b"x", "a/" + "x" * 100),)),
            f"a file of type 'a/{'x' * 78}': no model",
        ),
        (
            Message("user", (FilePart.of_bytes(b"x", "video/mp4", "x" * 100),)),
            f"video has no name here: leave '{'x' * 80}' out",
        ),
        (
            Message("tool", (ToolCall("t", "f", ""),), tool_call_id="t"),
            "ToolCall has no place in tool messages",
        ),
        (Message("user", "a", name="n"), "bedrock can't take a message's name"),
        (Message("user", ""), "bedrock can't take an empty message"),
    ],
)
def test_what_has_no_place(message: Message, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        request_of("a", message)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_only_text_in_system_messages(role: Any) -> None:
    for part in (ImagePart.of_bytes(b"x", "image/png"), FilePart.of_bytes(b"x", "text/csv")):
        with pytest.raises(LocalProtocolError, match=f"has no place in {role} messages"):
            request_of(Message(role, (part,)), "a")


# Files


@pytest.mark.parametrize("format", ["png", "jpeg", "gif", "webp"])
def test_pictures(format: str) -> None:
    part = ImagePart.of_bytes(b"abc", f"image/{format}")
    (turn,) = turns_of(Message("user", (part,)))
    assert turn["content"] == [{"image": {"format": format, "source": {"bytes": "YWJj"}}}]
    assert again(Message("user", (part,))).messages == (Message("user", (part,)),)


WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("media_type", "kind", "format"),
    [
        ("application/pdf", "document", "pdf"),
        ("text/csv", "document", "csv"),
        ("application/msword", "document", "doc"),
        (WORD, "document", "docx"),
        ("application/vnd.ms-excel", "document", "xls"),
        (SHEET, "document", "xlsx"),
        ("text/html", "document", "html"),
        ("text/plain", "document", "txt"),
        ("text/markdown", "document", "md"),
        ("video/mp4", "video", "mp4"),
        ("video/x-matroska", "video", "mkv"),
        ("video/quicktime", "video", "mov"),
        ("video/webm", "video", "webm"),
        ("video/x-flv", "video", "flv"),
        ("video/mpeg", "video", "mpeg"),
        ("video/x-ms-wmv", "video", "wmv"),
        ("video/3gpp", "video", "three_gp"),
        ("audio/mpeg", "audio", "mp3"),
        ("audio/wav", "audio", "wav"),
        ("audio/flac", "audio", "flac"),
        ("audio/ogg", "audio", "ogg"),
        ("audio/opus", "audio", "opus"),
        ("audio/aac", "audio", "aac"),
        ("audio/mp4", "audio", "mp4"),
        ("audio/webm", "audio", "webm"),
        ("audio/x-matroska", "audio", "mka"),
        ("image/png", "image", "png"),
    ],
)
def test_files(media_type: str, kind: str, format: str) -> None:
    for url, source in (
        ("data:;base64,YWJj", {"bytes": "YWJj"}),
        ("s3://a/b", {"s3Location": {"uri": "s3://a/b"}}),
    ):
        part = FilePart(url, media_type)
        name = {"name": "document"} if kind == "document" else {}
        (turn,) = turns_of(Message("user", (part,)))
        assert turn["content"] == [{kind: {"format": format, "source": source, **name}}]
        (found,) = again(Message("user", (part,))).messages[0].parts
        if kind == "image":
            continue
        assert isinstance(found, FilePart)
        assert (found.media_type, found.name) == (media_type, name.get("name", ""))
        assert found.url == url.replace("data:", f"data:{media_type}")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.pdf", "a-pdf"),
        ("a  (1) [b]-c", "a-(1)-[b]-c"),
        ("é", "-"),
        ("", "document"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_of_documents(name: str, written: str) -> None:
    part = FilePart.of_bytes(b"x", "text/plain", name)
    (turn,) = turns_of(Message("user", (part,)))
    assert turn["content"][0]["document"]["name"] == written


def test_pictures_and_files_in_results() -> None:
    parts = (ImagePart.of_bytes(b"a", "image/png"), FilePart.of_bytes(b"b", "text/plain", "n"))
    message = Message("tool", parts, tool_call_id="t")
    assert again("a", message).messages[1] == message


# Cache marks


def test_cache_marks() -> None:
    text, hour = TextPart("a", cache="5m"), TextPart("b", cache="1h")
    five, long = (
        {"cachePoint": {"type": "default"}},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    )
    call = ToolCall("t", "f", "{}", cache="5m")
    cited = FilePart(
        *("data:text/plain;base64,eA==", "text/plain", "n", "5m"),
        native(
            document={"format": "txt", "name": "n", "source": {"bytes": "eA=="}, "context": "c"}
        ),
    )
    messages = (
        *(Message("system", (text,)), Message("user", (hour, cited))),
        *(Message("assistant", (call,)), Message("tool", (TextPart("r"), text), tool_call_id="t")),
    )
    tools = (Tool("f", cache="5m"), Tool("g"))
    body = body_of(*messages, tools=tools)
    assert body["system"] == [{"text": "a"}, five]
    user, assistant, result = body["messages"]
    assert user["content"][:2] == [{"text": "b"}, long]
    assert user["content"][3] == five
    assert assistant["content"][1] == five
    assert result["content"] == [
        {"toolResult": {"toolUseId": "t", "content": [{"text": "r"}, {"text": "a"}]}},
        five,
    ]
    assert [next(iter(tool)) for tool in body["toolConfig"]["tools"]] == [
        *("toolSpec", "cachePoint", "toolSpec")
    ]
    chat = again(*messages, tools=tools)
    assert chat.messages == messages
    assert [getattr(tool, "cache", None) for tool in chat.tools] == ["5m", ""]


def test_marks_that_mark_nothing_known() -> None:
    point: Any = {"cachePoint": {"type": "default"}}
    new: Any = {"cachePoint": {"type": "new"}}
    guard: Any = json.loads('{"guardContent": {}}')
    for marks in (
        [point],
        [guard, point],
        [{"text": "a"}, new],
        [{"text": "a"}, point, point],
    ):
        chat = understood({"messages": [{"role": "user", "content": marks}]})
        assert isinstance(chat.messages[0].parts[-1], Opaque)
        body = json.loads(request_of(*chat.messages).body)
        assert body["messages"][0]["content"] == marks
    result: Any = {"toolResult": {"toolUseId": "t", "content": [guard]}}
    chat = understood({"messages": [{"role": "user", "content": [result, point]}]})
    assert chat.messages[0].parts == (Opaque(native(guardContent={})), TextPart("", "5m"))
    empty: Any = {"toolResult": {"toolUseId": "t", "content": []}}
    chat = understood({"messages": [{"role": "user", "content": [empty, point, new]}]})
    assert chat.messages[0].parts == (TextPart("", "5m"),)
    assert chat.messages[1].parts == (Opaque(native(**new)),)


def test_results_among_other_blocks() -> None:
    result: Any = {"toolResult": {"toolUseId": "t", "content": []}}
    failed: Any = {"toolResult": {"toolUseId": "u", "status": "error"}}
    text = {"text": "a"}
    content = [text, result, text, {"text": "b"}, failed, text]
    assert understood({"messages": [{"role": "user", "content": content}]}).messages == (
        Message("user", "a"),
        Message("tool", "", tool_call_id="t"),
        Message("user", (TextPart("a"), TextPart("b"))),
        Message("tool", "", tool_call_id="u", failed=True),
        Message("user", "a"),
    )


def test_marks_among_tools() -> None:
    spec = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
    point, system = {"cachePoint": {"type": "default", "ttl": "5m"}}, {"systemTool": {"name": "n"}}
    chat = understood(
        {
            "messages": [{"role": "user", "content": [{"text": "a"}]}],
            "toolConfig": {"tools": [point, spec, spec, point, system, spec]},
        }
    )
    plain = Tool("f", parameters={"type": "object"})
    assert chat.tools == (
        Opaque(native(**point)),
        *(plain, msgspec.structs.replace(plain, cache="5m"), Opaque(native(**system)), plain),
    )


# Tools and options

TOOL = Tool("f", "does", {"type": "object"}, strict=True)


def test_tools() -> None:
    own = {"systemTool": {"name": "nova_grounding"}}
    config = body_of(tools=[TOOL, Tool("g"), own])["toolConfig"]
    assert config == {
        "tools": [
            {
                "toolSpec": {
                    "name": "f",
                    "description": "does",
                    "inputSchema": {"json": {"type": "object"}},
                    "strict": True,
                }
            },
            {
                "toolSpec": {
                    "name": "g",
                    "inputSchema": {"json": {"type": "object", "properties": {}}},
                }
            },
            own,
        ]
    }
    assert again(tools=[TOOL, own]).tools == (TOOL, Opaque(native(**own)))
    whole: dict[str, Any] = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}, "new": 1}}
    tool = Tool("f", "", {}, native=native(**whole))
    assert body_of(tools=[tool, TOOL])["toolConfig"]["tools"] == [whole, config["tools"][0]]


def test_tools_with_more_or_with_odd_fields() -> None:
    spec: dict[str, Any] = {"name": "f", "inputSchema": {"json": {}}}
    tools = [
        {"toolSpec": {**spec, "new": 1}},
        {"toolSpec": {**spec, "description": 1, "strict": "yes"}},
    ]
    chat = understood({"messages": HI, "toolConfig": {"tools": tools}})
    assert chat.tools == (Tool("f", "", {}, native=native(**tools[0])), Tool("f", "", {}))


@pytest.mark.parametrize("name", ["auto", "none", "required"])
def test_a_choice_of_a_tool_that_is_named_like_a_mode(name: str) -> None:
    config = {"toolChoice": {"tool": {"name": name}}}
    chat = understood({"messages": HI, "toolConfig": config})
    assert (chat.tool_choice, chat.extra) == (None, {"toolConfig": config})


@pytest.mark.parametrize(
    ("choice", "written"),
    [("auto", {"auto": {}}), ("required", {"any": {}}), ("f", {"tool": {"name": "f"}})],
)
def test_the_tool_choice(choice: str, written: Any) -> None:
    assert body_of(tools=[TOOL], tool_choice=choice)["toolConfig"]["toolChoice"] == written
    assert again(tools=[TOOL], tool_choice=choice).tool_choice == choice


def test_no_tool() -> None:
    assert "toolConfig" not in body_of(tools=[TOOL], tool_choice="none")
    assert "toolConfig" not in body_of(tool_choice="auto")
    call = ToolCall("t", "f", "{}")
    for message in (Message("assistant", (call,)), call.result("r")):
        with pytest.raises(LocalProtocolError) as caught:
            request_of("a", message, tools=[TOOL], tool_choice="none")
        assert "bedrock can't take tool_choice none once tools were called" in str(caught.value)
    assert turns_of("a", call.result("r"), tools=[TOOL])


def test_options() -> None:
    options: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.25,
        "max_tokens": 7,
        "stop": ("x", "y"),
        "effort": "high",
        "schema": {"type": "object"},
    }
    body = body_of(**options)
    assert body["inferenceConfig"] == {
        "temperature": 0.5,
        "topP": 0.25,
        "maxTokens": 7,
        "stopSequences": ["x", "y"],
    }
    schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"].pop("schema")
    assert json.loads(schema) == {"type": "object"}
    assert body["outputConfig"] == {
        "effort": "high",
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "answer"}}},
    }
    assert again(**options) == as_chat("hi", model=MODEL, **options)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("anthropic.claude-x", {"top_k": 5}),
        ("eu.anthropic.claude-x", {"top_k": 5}),
        ("us.amazon.nova-x", {"inferenceConfig": {"topK": 5}}),
        ("meta.llama", {"top_k": 5}),
        ("meta.llama.amazon", {"top_k": 5}),
        (ARN, {"top_k": 5}),
    ],
)
def test_top_k_has_its_place_by_the_vendor(model: str, fields: Any) -> None:
    assert body_of(model=model, top_k=5)["additionalModelRequestFields"] == fields
    assert again(model=model, top_k=5) == as_chat("hi", model=model, top_k=5)
    more = {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}}
    body = body_of(model=model, top_k=5, extra=more)
    assert body["additionalModelRequestFields"] == {**fields, "thinking": {"type": "adaptive"}}
    assert again(model=model, top_k=5, extra=more).extra == more


def test_top_k_in_further_fields() -> None:
    fields: dict[str, Any] = {"additionalModelRequestFields": {"top_k": 5}}
    chat = again(model="amazon.nova-x", extra=fields)
    assert (chat.top_k, chat.extra) == (None, fields)
    for odd in ({"top_k": "5"}, {"top_k": True}, {"x": 1}):
        fields = {"additionalModelRequestFields": odd}
        assert again(extra=fields).extra == fields
    fields = {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5, "x": 1}}}
    chat = again(model="amazon.nova-x", extra=fields)
    assert chat.top_k == 5
    assert chat.extra == {"additionalModelRequestFields": {"inferenceConfig": {"x": 1}}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, "bedrock can't take seed"),
        ({"n": 2}, "bedrock can't take n"),
        ({"parallel": False}, "bedrock can't take parallel"),
        ({"logprobs": 0}, "bedrock can't take logprobs"),
        ({"presence_penalty": 1.0}, "bedrock can't take presence_penalty"),
        ({"effort": "none"}, "bedrock: effort is low, medium, high, xhigh, max, not none"),
        ({"schema": {}}, "bedrock can't be asked for any JSON: give a schema"),
    ],
)
def test_options_that_it_does_not_have(options: Any, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        request_of(**options)
    assert words in str(caught.value)


def test_further_fields() -> None:
    extra = {
        "guardrailConfig": {"guardrailIdentifier": "g"},
        "inferenceConfig": {"new": 1},
        "outputConfig": {"effort": "new", "new": 1},
        "toolConfig": {"new": 1, "toolChoice": {"new": 1}},
        "x": None,
    }
    chat = again(max_tokens=3, tools=[TOOL], extra=extra)
    assert (chat.extra, chat.max_tokens, chat.tools) == (extra, 3, (TOOL,))


def test_an_effort_that_is_no_string_stays() -> None:
    output = {"effort": ["high"]}
    chat = understood({"messages": HI, "outputConfig": output})
    assert (chat.effort, chat.extra) == (None, {"outputConfig": output})


# What only the server half receives


def test_a_request_as_boto3_sends_it() -> None:
    chat = understood(
        {
            "messages": [
                {"role": "user", "content": [{"text": "a"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": [1]}}},
                        {"toolUse": {"toolUseId": "u", "name": "g", "type": "server_tool_use"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"toolResult": {"toolUseId": "t", "content": [{"json": {"b": 1}}]}},
                        {"guardContent": {"text": {"text": "x"}}},
                    ],
                },
            ],
        },
        path="converse",
    )
    server = native(toolUse={"toolUseId": "u", "name": "g", "type": "server_tool_use"})
    assert chat.messages == (
        Message("user", "a"),
        Message(
            "assistant", (ToolCall("t", "f", '{"a":[1]}'), ToolCall("u", "g", "{}", native=server))
        ),
        Message("tool", '{"b":1}', tool_call_id="t"),
        Message("user", (Opaque(native(guardContent={"text": {"text": "x"}})),)),
    )
    assert not chat.stream


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"reasoningContent": {"reasoningText": {"text": "so"}}},
            ReasoningPart("so"),
        ),
        (
            {"reasoningContent": {"reasoningText": {"text": "so", "signature": ""}}},
            ReasoningPart("so"),
        ),
        (
            {"reasoningContent": {"reasoningText": {"text": "so", "new": 1}}},
            ReasoningPart(
                "so", native(reasoningContent={"reasoningText": {"text": "so", "new": 1}})
            ),
        ),
        ({"reasoningContent": {"new": 1}}, Opaque(native(reasoningContent={"new": 1}))),
        (
            {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}]}},
            TextPart(
                "ab", native=native(citationsContent={"content": [{"text": "a"}, {"text": "b"}]})
            ),
        ),
        ({"citationsContent": 1}, TextPart("", native=native(citationsContent=1))),
        ({"image": {"format": "new"}}, Opaque(native(image={"format": "new"}))),
        ({"image": 1}, Opaque(native(image=1))),
        (
            {"image": {"format": "new", "source": {"bytes": "eA=="}}},
            Opaque(native(image={"format": "new", "source": {"bytes": "eA=="}})),
        ),
        (
            {"image": {"format": "png", "source": {"bytes": "eA==", "new": 1}}},
            Opaque(native(image={"format": "png", "source": {"bytes": "eA==", "new": 1}})),
        ),
        (
            {"document": {"format": "new", "source": {"s3Location": {"uri": "s3://a"}}}},
            FilePart("s3://a"),
        ),
        (
            {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a"}}}},
            Opaque(native(image={"format": "png", "source": {"s3Location": {"uri": "s3://a"}}})),
        ),
        (
            {"document": {"format": "txt", "name": "n", "source": {"text": "x"}}},
            Opaque(native(document={"format": "txt", "name": "n", "source": {"text": "x"}})),
        ),
        ({"toolUse": 1}, Opaque(native(toolUse=1))),
        ({"text": 1}, Opaque(native(text=1))),
        ({"new": {}, "text": None}, Opaque(native(new={}))),
    ],
)
def test_blocks(block: Any, part: Part) -> None:
    messages = [{"role": "assistant", "content": [{"text": "a"}, block]}]
    assert understood({"messages": messages}).messages[0].parts[1] == part


def test_nothing_of_a_request_is_lost() -> None:
    image = {"image": {"format": "png", "source": {"bytes": "YQ=="}, "new": 1}}
    schema = {"name": "n", "description": "d", "schema": '{"type":"object"}'}
    text_format = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    body: Any = {
        "messages": [{"role": "user", "content": [image]}],
        "toolConfig": {"toolChoice": {"any": {}, "auto": {}}},
        "outputConfig": {"textFormat": text_format},
    }
    chat = understood(body)
    assert chat.messages[0].parts == (
        ImagePart("data:image/png;base64,YQ==", native=native(**image)),
    )
    assert (chat.tool_choice, chat.schema) == (None, {"type": "object"})
    assert chat.extra == {
        "toolConfig": {"toolChoice": {"any": {}, "auto": {}}},
        "outputConfig": {"textFormat": {"structure": {"jsonSchema": {"description": "d"}}}},
    }


@pytest.mark.parametrize("choice", ["required", "f"])
def test_a_call_that_is_demanded_without_tools(choice: str) -> None:
    words = "^tool_choice demands a call, and there are no tools$"
    with pytest.raises(LocalProtocolError, match=words):
        body_of(tool_choice=choice)


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_no_call_is_demanded(choice: str | None) -> None:
    assert "toolConfig" not in body_of(tool_choice=choice)


OBJECT = '{"type":"object"}'


def test_a_schema_that_is_not_understood_stays() -> None:
    for text_format in (
        {"type": "json_schema", "structure": {"jsonSchema": {"schema": "no JSON"}}},
        {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}},
        {"type": "json_schema", "structure": {"jsonSchema": {"schema": "1"}}},
        {"type": "new"},
        {"type": "json_schema", "structure": {"jsonSchema": {"schema": OBJECT}, "new": 1}},
        {"type": "json_schema", "structure": {"jsonSchema": {"schema": OBJECT}}, "new": 1},
    ):
        chat = again(extra={"outputConfig": {"textFormat": text_format}})
        assert (chat.schema, chat.extra) == (None, {"outputConfig": {"textFormat": text_format}})


NOTHING: dict[str, Any] = {}
HI: list[Any] = [{"role": "user", "content": [{"text": "a"}]}]


REFUSED: list[tuple[Any, str]] = [
    (NOTHING, "messages: give at least one"),
    ({"messages": NOTHING}, "the request is not as it should be: Expected `array`"),
    ({"messages": [{"role": "user"}]}, "messages.0.content: give a list of blocks"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0.content: give a list"),
    ({"messages": [{"role": "user", "content": "a"}]}, "messages.0.content: give a list"),
    ({"messages": [{"role": "user", "content": ["a"]}]}, "messages.0.content: give a list"),
    ({"messages": [*HI, {"role": "tool"}]}, "messages.1.role: 'tool' is not user or assistant"),
    (
        {"messages": [{"role": "user", "content": [{"text": "a", "image": NOTHING}]}]},
        "messages.0.content: a block has exactly one member",
    ),
    (
        {"messages": [{"role": "user", "content": [NOTHING]}]},
        "messages.0.content: a block has exactly one member",
    ),
    (
        {"messages": [{"role": "user", "content": [{"toolResult": {"content": []}}]}]},
        "messages.0.content.toolResult: a result has a toolUseId",
    ),
    (
        {"messages": [{"role": "user", "content": [{"toolResult": 1}]}]},
        "messages.0.content.toolResult: a result has a toolUseId",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": 1}}]}
            ]
        },
        "messages.0.content.toolResult.content: give a list",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "t", "content": [NOTHING]}}],
                }
            ]
        },
        "messages.0.content.toolResult.content: a block has exactly one member",
    ),
    (
        {"messages": [{"role": "user", "content": [NOTHING, {"toolResult": {"toolUseId": "t"}}]}]},
        "messages.0.content: a block has exactly one member",
    ),
    ({"messages": HI, "system": [NOTHING]}, "system.content: a block has exactly one member"),
    (
        {"messages": HI, "inferenceConfig": {"maxTokens": "x"}},
        "the request is not as it should be: Expected `int",
    ),
    (
        {"messages": HI, "toolConfig": {"tools": [{"toolSpec": {"name": "f"}}]}},
        "toolConfig.tools: a tool has a name and an inputSchema",
    ),
    ({"messages": HI, "toolConfig": {"tools": "x"}}, "toolConfig.tools: give a list of tools"),
    ({"messages": HI, "toolConfig": {"tools": [1]}}, "toolConfig.tools: give a list of tools"),
    *(
        (
            {"messages": [{"role": "assistant", "content": [{"toolUse": call}]}]},
            "messages.content.toolUse: a call has a toolUseId and a name",
        )
        for call in ({"toolUseId": 5, "name": "f"}, {"toolUseId": "t", "name": None})
    ),
    (
        {
            "messages": HI,
            "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": 1}}}]},
        },
        "toolConfig.tools: a tool has a name and an inputSchema",
    ),
    (
        {
            "messages": HI,
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}, "new": 1}]
            },
        },
        "toolConfig.tools: a tool has a name and an inputSchema (toolSpec, new)",
    ),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_requests_that_are_refused(body: Any, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        understood(body)
    assert caught.value.message.startswith(words)
    assert (caught.value.status, caught.value.code) == (400, "ValidationException")


def test_a_refusal_does_not_repeat_all_that_is_wrong() -> None:
    with pytest.raises(BadRequest) as caught:
        understood({"messages": [{"role": "x" * 1000}]})
    assert len(caught.value.message) == 500


def test_a_model_that_is_not_known() -> None:
    service = Service(BEDROCK)
    with pytest.raises(BadRequest) as caught:
        service.responder().receive_request(request_of(model="x"))
    assert caught.value.status == 404


class Sealer:
    """Packs native forms as their JSON."""

    def seal(self, native: Native) -> str:
        return f"sealed {native.dialect} {native.raw.decode()}"

    def unseal(self, text: str) -> Native | None:
        word, _, rest = text.partition(" ")
        dialect, _, raw = rest.partition(" ")
        return Native(dialect, raw.encode()) if word == "sealed" else None


def test_sealed_forms_are_opened() -> None:
    foreign = Native("openai_responses", b'{"id":"rs_1"}')
    content: list[dict[str, Any]] = [
        {
            "reasoningContent": {
                "reasoningText": {"text": "so", "signature": Sealer().seal(foreign)},
            }
        },
        {"reasoningContent": {"redactedContent": "c2VhbGVkIG9wZW5haV9yZXNwb25zZXMge30="}},
        {"reasoningContent": {"redactedContent": "c2VhbA=="}},
        {"reasoningContent": {"redactedContent": "?"}},
        {"reasoningContent": {"redactedContent": "c2VhbGVkIG9wZW5haV9yZXNwb25zZXMge30=?"}},
    ]
    assert b64decode("c2VhbGVkIG9wZW5haV9yZXNwb25zZXMge30=") == b"sealed openai_responses {}"
    body = {"messages": [{"role": "assistant", "content": content}]}
    request = request_of()
    request = msgspec.structs.replace(request, body=json.dumps(body).encode())
    chat = Service(ANY, sealer=Sealer()).responder().receive_request(request)
    assert chat is not None
    assert chat.messages[0].parts == (
        ReasoningPart("so", foreign),
        Opaque(Native("openai_responses", b"{}")),
        *(Opaque(native(**block)) for block in content[2:]),
    )


def test_further_keys_of_a_message_and_of_a_result() -> None:
    result = {"toolUseId": "t", "content": [{"text": "1"}], "new": [2], "none": None}
    said = [{"text": "so"}, {"toolResult": result}, {"text": "go on"}]
    before, answer, more = understood(
        {"messages": [{"role": "user", "content": said, "odd": 3}]}
    ).messages
    assert before == Message("user", "so", extra={"odd": 3})
    kept = Opaque(Native("bedrock", b'{"toolResult":{"new":[2]}}'))
    assert answer == Message("tool", (TextPart("1"), kept), "t")
    assert more == Message("user", "go on")
    alone = {"role": "assistant", "content": said[:1], "odd": 3}
    first, *_ = understood({"messages": [alone]}).messages
    assert first == Message("assistant", "so", extra={"odd": 3})
    call = Message("assistant", (ToolCall("t", "f", "{}"),))
    written = turns_of("hi", call, answer)[-1]["content"][0]["toolResult"]
    assert written == {"toolUseId": "t", "content": [{"text": "1"}], "new": [2]}


@pytest.mark.parametrize(
    "block", [{"toolResult": {"toolUseId": "t"}, "new": 1}, {"text": "a", "new": 1}]
)
def test_a_union_of_two_members_is_refused_by_name(block: dict[str, Any]) -> None:
    said = f"messages.0.content: a block has exactly one member, not {next(iter(block))}, new"
    with pytest.raises(BadRequest, match=said):
        understood({"messages": [{"role": "user", "content": [block]}]})


def test_a_block_without_a_member_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"messages.0.content: a block has exactly one member$"):
        understood({"messages": [{"role": "user", "content": [{"text": None}]}]})

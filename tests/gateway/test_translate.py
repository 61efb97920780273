"""Requests between two formats: tools, and chats of all kinds."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.agents import REQUESTS
from tests.gateway.formats import FORMATS, WRITTEN, ask
from tokenwire.gateway.matrix import COLUMNS
from tokenwire.gateway.matrix import REQUESTS as ROWS
from tokenwire.gateway.sealing import StateSealer
from tokenwire.protocols.chat import Chat, Message, Opaque, Tool
from tokenwire.protocols.errors import BadRequest, LocalProtocolError, RemoteProtocolError
from tokenwire.protocols.events import Native
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Request
from tokenwire.protocols.toolkit.json import is_list, is_object
from tokenwire.testing import chats
from tokenwire.testing.recording import responder_to


def tools(*given: Tool | Opaque, front: str, back: str, allow: tuple[str, ...] = ()) -> Any:
    chat = Chat(messages=(Message("user", "hi"),), tools=given)
    return ask(chat, front, back, *allow).chat.tools


def own(front: str, **fields: Any) -> Opaque:
    return Opaque(Native(front, json.dumps(fields).encode()))


# Tools


@pytest.mark.parametrize(
    ("name", "backs"),
    [
        ("read", COLUMNS),
        ("_a1", COLUMNS),
        ("a-b", [back for back in COLUMNS if back != "cohere"]),
        ("1a", [back for back in COLUMNS if back not in ("cohere", "gemini")]),
        ("a.b:c", ["gemini", "ollama"]),
        ("a" * 65, ["anthropic", "gemini", "ollama", "cohere"]),
        ("\u00e9 b\n", ["ollama"]),
        ("", ["ollama"]),
    ],
)
def test_a_name_is_never_changed(name: str, backs: list[str]) -> None:
    for back in COLUMNS:
        front = "openai_chat" if back != "openai_chat" else "anthropic"
        if back in backs:
            assert tools(Tool(name), front=front, back=back) == (Tool(name),)
        else:
            with pytest.raises(BadRequest, match="tools: the name "):
                tools(Tool(name), front=front, back=back, allow=tuple(ROWS))


def test_strict_tools() -> None:
    strict, lax, plain = (Tool("a", strict=s) for s in (True, False, None))
    for back in ("openai_responses", "anthropic", "mistral", "bedrock"):
        assert tools(strict, lax, front="openai_chat", back=back) == (strict, lax)
    for back in ("gemini", "ollama"):
        assert tools(lax, front="openai_chat", back=back) == (plain,)
        with pytest.raises(BadRequest, match="tools: strict of 'a'"):
            tools(strict, front="openai_chat", back=back)
        assert tools(strict, front="openai_chat", back=back, allow=("strict",)) == (plain,)
    assert tools(strict, strict, front="openai_chat", back="mistral") == (strict, strict)


def test_all_tools_or_none_are_strict() -> None:
    strict, lax, plain = (Tool("a", strict=s) for s in (True, False, None))
    assert tools(strict, strict, front="openai_chat", back="cohere") == (strict, strict)
    assert tools(lax, plain, front="openai_chat", back="cohere") == (lax, plain)
    with pytest.raises(BadRequest, match="tools: strict of 'a'"):
        tools(strict, plain, front="openai_chat", back="cohere")
    with pytest.raises(BadRequest, match="tools: strict of 'a'"):
        tools(strict, lax, front="openai_chat", back="cohere")
    found = tools(strict, lax, front="openai_chat", back="cohere", allow=("strict",))
    assert found == (plain, plain)


def test_hints_of_tools_are_left_out() -> None:
    form: dict[str, Any] = {
        "name": "a",
        "input_schema": {"type": "object"},
        "eager_input_streaming": True,
    }
    tool = Tool("a", "", {"type": "object"}, native=Native("anthropic", json.dumps(form).encode()))
    chat = Chat(messages=(Message("user", "hi"),), tools=(tool,))
    found = ask(chat, "anthropic", "gemini")
    assert found.chat.tools == (Tool("a", "", {"type": "object"}),)
    assert found.losses == ("hints",)
    form["input_examples"] = [{"a": 1}]
    more = Tool("a", "", {"type": "object"}, native=Native("anthropic", json.dumps(form).encode()))
    with pytest.raises(BadRequest, match=r"tools: an unknown field \(input_examples\.a\)"):
        ask(chat.replace(tools=(more,)), "anthropic", "gemini")


def test_tools_of_a_format_are_named_by_their_type() -> None:
    given = own("openai_responses", type="web_search", filters={}), Tool("a")
    for back in COLUMNS:
        if back != "openai_responses":
            with pytest.raises(BadRequest, match="tools: a tool of the type 'web_search'"):
                tools(*given, front="openai_responses", back=back)
            found = tools(*given, front="openai_responses", back=back, allow=("own_tools",))
            assert found == (Tool("a"),)


GRAMMAR = {"syntax": "lark", "definition": "start: /a/"}


@pytest.mark.parametrize(
    ("chat", "responses"),
    [
        ({"name": "a"}, {"name": "a"}),
        (
            {"name": "a", "description": "b", "format": {"type": "text"}},
            {"name": "a", "description": "b", "format": {"type": "text"}},
        ),
        (
            {"name": "a", "format": {"type": "grammar", "grammar": GRAMMAR}},
            {"name": "a", "format": {"type": "grammar", **GRAMMAR}},
        ),
    ],
)
def test_tools_called_with_free_text(chat: Any, responses: Any) -> None:
    ours = own("openai_chat", type="custom", custom=chat)
    theirs = own("openai_responses", type="custom", **responses)
    pairs = [("openai_chat", ours, "openai_responses", theirs)]
    pairs.append(("openai_responses", theirs, "openai_chat", ours))
    for front, given_tool, back, wanted in pairs:
        (found,) = tools(given_tool, front=front, back=back)
        assert found.native.dialect == back
        assert json.loads(found.native.raw) == json.loads(wanted.native.raw)
        with pytest.raises(BadRequest, match="tools: a tool of the type 'custom'"):
            tools(given_tool, front=front, back="anthropic")


def test_a_custom_tool_without_form() -> None:
    broken = own("openai_chat", type="custom", custom="a")
    (found,) = tools(broken, front="openai_chat", back="openai_responses")
    assert json.loads(found.native.raw) == {"type": "custom"}
    strange = Opaque(Native("openai_chat", b"[]"))
    with pytest.raises(BadRequest, match="tools: a tool of the type ''"):
        tools(strange, front="openai_chat", back="openai_responses")


# What agents send


def chat_of(format: str, path: str, body: dict[str, Any]) -> Chat | None:
    provider = FORMATS[format].replace(models=(), any_model=True)
    service = Service(provider, sealer=StateSealer(b"k"))
    headers = [(b"content-type", b"application/json")]
    request = Request("POST", f"http://x.test{path}", headers, json.dumps(body).encode())
    return service.responder().receive_request(request)


@pytest.mark.parametrize("name", REQUESTS)
def test_what_an_agent_sends_can_be_asked_of_all(name: str) -> None:
    """Or it is refused by the name of what can't be said, and is taken if that is allowed."""
    agent = REQUESTS[name]
    chat = chat_of(agent.format, agent.path, agent.body)
    assert chat is not None
    chat = chat.replace(model="m")
    for back in COLUMNS:
        if back == agent.format:
            continue
        if field := agent.refused.get(back):
            with pytest.raises(BadRequest, match=f"^{re.escape(field)}: ") as caught:
                ask(chat, agent.format, back)
            assert 'allow = ["' in str(caught.value)
        found = ask(chat, agent.format, back, *agent.allow)
        assert found.chat.extra.keys() <= chat.extra.keys()
        if back in WRITTEN:
            exchange = FORMATS[back].exchange(found.chat, base_url="http://x.test")
            assert exchange.next_request() is not None


# Any chat

_ALLOWED = st.sets(
    st.sampled_from([name for name, row in ROWS.items() if "?" in row.rules.values()])
)


@pytest.mark.parametrize("front", WRITTEN)
@settings(max_examples=settings().max_examples // 4)
@given(back=st.sampled_from(WRITTEN), data=st.data())
def test_any_chat_is_translated_or_refused(front: str, back: str, data: st.DataObject) -> None:
    """Every chat that a caller can ask is one that the service's encoder takes, or it is refused
    with what can't be said."""
    asked = data.draw(chats(FORMATS[front].replace(base_url="http://x.test")))
    try:
        chat = responder_to(FORMATS[front].replace(base_url="http://x.test"), asked).chat
    except (LocalProtocolError, RemoteProtocolError):
        return
    allow = data.draw(_ALLOWED)
    try:
        found = ask(chat.replace(model="gemini-3-pro"), front, back, *allow)
    except BadRequest as refused:
        error = refused
    else:
        exchange = FORMATS[back].exchange(found.chat, base_url="http://x.test")
        assert exchange.next_request() is not None
        assert set(found.losses) <= ROWS.keys()
        return
    assert error.status == 400
    assert str(error).partition(": ")[2]


_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("null", "true", "false", "0", "1", "-1", "2.5", "[]", "{}", "[{}]"),
        *('""', '"a"', '"auto"', '"user"', '"text"', '"image"', '"data:,a"', '"https://x.test"'),
        *('{"type": "text", "text": "a"}', '{"type": "new", "a": 1}'),
    ]
).map(json.loads)
_KEYS = st.sampled_from(
    ["x_new", "type", "role", "name", "text", "content", "cache_control", "source", "strict", "id"]
)


def _places(value: Any) -> list[Any]:
    """All objects and lists in a JSON value."""
    if not (is_object(value) or is_list(value)):
        return []
    inner = value.values() if is_object(value) else value
    return [value, *(place for each in inner for place in _places(each))]


def _changed(data: st.DataObject, body: dict[str, Any]) -> dict[str, Any]:
    """A body with something else somewhere."""
    changed: dict[str, Any] = json.loads(json.dumps(body))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(_places(changed)))
        if is_object(place):
            place[data.draw(_KEYS | st.sampled_from(sorted(place) or ["a"]))] = data.draw(_VALUES)
        else:
            place.insert(data.draw(st.integers(0, len(place))), data.draw(_VALUES))
    return changed


@pytest.mark.parametrize("name", REQUESTS)
@settings(max_examples=settings().max_examples // 4)
@given(back=st.sampled_from(WRITTEN), data=st.data())
def test_any_request_is_translated_or_refused(name: str, back: str, data: st.DataObject) -> None:
    """So is every request that is not as agents send it."""
    agent = REQUESTS[name]
    try:
        chat = chat_of(agent.format, agent.path, _changed(data, agent.body))
    except RemoteProtocolError:
        return
    if chat is None:  # Ollama's request to load a model
        return
    allow = data.draw(_ALLOWED)
    try:
        found = ask(chat.replace(model="m"), agent.format, back, *agent.allow, *allow)
    except BadRequest as refused:
        assert str(refused).partition(": ")[2]  # noqa: PT017
        return
    exchange = FORMATS[back].exchange(found.chat, base_url="http://x.test")
    assert exchange.next_request() is not None

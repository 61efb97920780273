"""What formats share when they write a request."""

import re
from typing import Any

import pytest

from tokenwire.protocols.chat import (
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from tokenwire.protocols.encoding import (
    accepted_id,
    add_piece,
    call_ids,
    input_audio,
    merge,
    one_prompt,
    parts_to_write,
    raw_arguments,
    result_text,
    tools_to_write,
    value_of,
)
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.events import Native

MINE, ANY, FOREIGN = (Native(of, b'{"a": 1}') for of in ("mine", "", "other"))

# Parts with their native forms


def written(message: Message) -> list[tuple[Part, Any]]:
    return list(parts_to_write(message, "mine"))


@pytest.mark.parametrize("role", ["assistant", "user", "system", "developer", "tool"])
def test_parts_with_their_native_forms(role: Any) -> None:
    parts: tuple[Part, ...] = (
        TextPart("a"),
        TextPart("b", native=MINE),
        Opaque(MINE),
        ImagePart("https://x.test/a.png", native=ANY),
    )
    values = [None, {"a": 1}, {"a": 1}, {"a": 1}]
    assert written(Message(role, parts)) == list(zip(parts, values, strict=True))
    assert written(Message(role, "a")) == [(TextPart("a"), None)]
    assert written(Message(role, "")) == []


def test_foreign_forms_of_an_assistant() -> None:
    """The general meaning is written; what has none is left out."""
    thought, text = ReasoningPart("hm", FOREIGN), TextPart("a", native=FOREIGN)
    message = Message("assistant", (thought, Opaque(FOREIGN), text))
    assert written(message) == [(thought, None), (text, None)]


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool"])
@pytest.mark.parametrize("part", [TextPart("a", native=FOREIGN), Opaque(FOREIGN)])
def test_foreign_forms_elsewhere_are_refused(role: Any, part: Part) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        written(Message(role, (part,)))
    assert str(caught.value) == (
        f"a part of the {role} message is in the words of other, which mine can't say (a): "
        "leave it out, or use plain()"
    )


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b'{"type": "x", "cache": 1}', "type, cache"),
        (b'{"content": [{"type": "x", "new": 1}]}', "type, new"),
        (b'[{"a": {"b": {"c": 1, "d": 2}}}]', "c, d"),
        (b'{"tool_plan": "x"}', "tool_plan"),
        (b"[]", "its value"),
        (b'["x"]', "its value"),
        (b"{}", ""),
        (b"5", "its value"),
        (b'{"' + b"x" * 300 + b'": 1}', "x" * 200),
    ],
)
def test_the_keys_of_a_foreign_form_are_named(raw: bytes, named: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        written(Message("user", (Opaque(Native("other", raw)),)))
    assert f"can't say ({named}): " in str(caught.value)


def test_tools_with_their_native_forms() -> None:
    tools = (Tool("f"), Tool("g", native=MINE), Opaque(ANY), Opaque(MINE))
    values = [None, {"a": 1}, {"a": 1}, {"a": 1}]
    assert list(tools_to_write(tools, "mine")) == list(zip(tools, values, strict=True))
    for tool in (Tool("f", native=FOREIGN), Opaque(FOREIGN)):
        with pytest.raises(LocalProtocolError, match=r"^a tool is in the words of other, which mi"):
            list(tools_to_write((tool,), "mine"))


@pytest.mark.parametrize("raw", [b"", b"{", b"a", b"[" * 9999, b'"\xff"'])
def test_a_native_form_that_is_not_json(raw: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=r"^a native form that is not JSON$"):
        value_of(Native("mine", raw))


# Ids of calls


def calling(*calls: tuple[str, str]) -> Message:
    return Message("assistant", tuple(ToolCall(id, name, "{}") for id, name in calls))


def test_ids_as_they_are() -> None:
    ids = call_ids(
        (Message("user", "hi"), calling(("a", "f"), ("b", "g")), Message("tool", "7", "b"))
    )
    assert ids == {(1, 0): "a", (1, 1): "b", (2, -1): "b"}


def test_ids_that_are_made_up() -> None:
    """By the places of message and call, the same in call and result."""
    results = (Message("tool", "1"), Message("tool", "2"), Message("tool", "3"))
    ids = call_ids((Message("user", "hi"), calling(("", "f"), ("b", "g"), ("", "h")), *results))
    assert ids == {
        (1, 0): "call_1_0",
        (1, 1): "b",
        (1, 2): "call_1_2",
        (2, -1): "call_1_0",
        (3, -1): "b",
        (4, -1): "call_1_2",
    }


def test_results_bound_by_name() -> None:
    results = (Message("tool", "1", name="g"), Message("tool", "2", name="f"))
    ids = call_ids((calling(("", "f"), ("", "g")), *results))
    assert (ids[1, -1], ids[2, -1]) == ("call_0_1", "call_0_0")


def test_a_result_of_no_call() -> None:
    assert call_ids((Message("tool", "1"),)) == {(0, -1): "call_0_0"}
    ids = call_ids((calling(("a", "f")), Message("tool", "1", "a"), Message("tool", "2")))
    assert ids[2, -1] == "call_2_0"


def test_calls_that_share_an_id() -> None:
    results = (Message("tool", "1"), Message("tool", "2"))
    ids = call_ids((calling(("a", "f"), ("a", "f")), *results))
    assert (ids[1, -1], ids[2, -1]) == ("a", "a")


LETTERS = re.compile("[a-z]+")


@pytest.mark.parametrize(
    ("id", "accepted"),
    [
        ("abc", "abc"),
        ("a-1", "tw_f6h6motceqzb3zoqujgp"),
        ("abc\ud800", "tw_zeeotxabeeqde5b266jj"),
    ],
)
def test_an_id_that_a_format_accepts(id: str, accepted: str) -> None:
    assert accepted_id(id, LETTERS) == accepted


def test_ids_that_are_not_accepted_are_replaced_in_call_and_result() -> None:
    messages = (calling(("a-1", "f"), ("b", "g")), Message("tool", "1", "a-1"))
    hashed = accepted_id("a-1", LETTERS)
    assert call_ids(messages, LETTERS) == {(0, 0): hashed, (0, 1): "b", (1, -1): hashed}


@pytest.mark.parametrize(
    ("failed", "text", "written"),
    [
        (False, "7", "7"),
        (True, "no such file", "Error: no such file"),
        (True, "Error: no such file", "Error: no such file"),
        (True, "", "Error: "),
    ],
)
def test_result_text(failed: bool, text: str, written: str) -> None:
    assert result_text(Message("tool", text, failed=failed), text) == written


# Objects


def test_merge() -> None:
    below = {"a": 1, "b": {"c": {"d": 1}, "e": [1]}, "f": {}}
    above = {"a": {"x": 1}, "b": {"c": {"g": 2}, "e": [2]}, "f": 1, "h": 1}
    merged = {"a": {"x": 1}, "b": {"c": {"d": 1, "g": 2}, "e": [2]}, "f": 1, "h": 1}
    assert merge(below, above) == merged
    assert below == {"a": 1, "b": {"c": {"d": 1}, "e": [1]}, "f": {}}


def test_add_piece() -> None:
    message: dict[str, Any] = {"role": "assistant", "details": [1], "text": "a", "n": 1}
    details = message["details"]
    add_piece(message, {"details": [2], "text": "b", "n": 2, "new": None})
    assert message["details"] == [1, 2]
    add_piece(message, {"details": "x"})
    assert message == {"role": "assistant", "details": "x", "text": "ab", "n": 2, "new": None}
    assert details == [1]


# One prompt


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ((Message("user", "hi"),), "hi"),
        ((Message("user", (TextPart("a"), TextPart("b"))),), "ab"),
        ((Message("user", ""),), ""),
        (
            (Message("system", "be brief"), Message("user", "hi")),
            "System: be brief\nUser: hi\nAssistant:",
        ),
        (
            (Message("user", "hi"), Message("assistant", " \n"), Message("user", "you?")),
            "User: hi\nUser: you?\nAssistant:",
        ),
        (  # a refusal is text; a thought has no place
            (
                Message("user", "hi"),
                Message("assistant", (ReasoningPart("hm"), RefusalPart("no"), TextPart("."))),
            ),
            "User: hi\nAssistant: no.\nAssistant:",
        ),
        (
            (Message("assistant", (Opaque(FOREIGN), TextPart("a", native=FOREIGN))),),
            "a",
        ),
    ],
)
def test_one_prompt(messages: tuple[Message, ...], prompt: str) -> None:
    assert one_prompt(messages, "mine") == prompt


@pytest.mark.parametrize(
    "part",
    [
        ImagePart("https://x.test/a.png"),
        ToolCall("c", "f", "{}"),
        TextPart("a", native=ANY),
        TextPart("a", native=MINE),
    ],
)
def test_what_no_prompt_can_hold(part: Part) -> None:
    message = Message("assistant", (part,))
    for messages in ((message,), (Message("user", "hi"), message)):
        with pytest.raises(LocalProtocolError, match=r"^mine takes only text: leave all else out$"):
            one_prompt(messages, "mine")


def test_no_message() -> None:
    with pytest.raises(LocalProtocolError, match=r"^no message: a chat needs at least one$"):
        one_prompt((), "mine")


# Arguments


def test_arguments_go_out_as_they_are() -> None:
    said = '{"a": 1.10, "b":12345678901234567890}'
    assert bytes(raw_arguments(ToolCall("c", "f", f" {said}\n"))) == said.encode()
    assert bytes(raw_arguments(ToolCall("c", "f", ""))) == b"{}"
    for odd in ("[1]", "{", "1", "[" * 100_000):
        with pytest.raises(LocalProtocolError, match=r"'f' \(c\) has arguments that are not one"):
            raw_arguments(ToolCall("c", "f", odd))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (FilePart("data:audio/wav;base64,QQ=="), {"data": "QQ==", "format": "wav"}),
        (FilePart("data:;base64,QQ==", "audio/mpeg"), {"data": "QQ==", "format": "mp3"}),
        (FilePart("data:audio/wav,A"), {"data": "QQ==", "format": "wav"}),
    ],
)
def test_audio(file: FilePart, said: dict[str, str]) -> None:
    assert input_audio(file) == {"type": "input_audio", "input_audio": said}


@pytest.mark.parametrize(
    "file",
    [FilePart("data:application/pdf;base64,QQ=="), FilePart("https://x.test/a", "", "a.pdf")],
)
def test_a_document_is_no_audio(file: FilePart) -> None:
    assert input_audio(file) is None


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (FilePart("data:audio/flac;base64,QQ=="), "a file of type 'audio/flac' has no place here"),
        (FilePart("data:video/mp4;base64,QQ=="), "a file of type 'video/mp4' has no place here"),
        (FilePart("https://x.test/a", "audio/wav"), "a file of type 'audio/wav' has no place here"),
        (FilePart("data:audio/wav;base64,QQ==", "", "a.wav"), "audio has no name here: leave 'a.w"),
        (
            FilePart("gs://a", "audio/" + "x" * 80),
            f"a file of type 'audio/{'x' * 74}' has no place",
        ),
        (FilePart("data:audio/wav,A", "", "a" * 90), f"has no name here: leave '{'a' * 80}' out"),
    ],
)
def test_audio_that_has_no_place(file: FilePart, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        input_audio(file)
    assert words in str(caught.value)

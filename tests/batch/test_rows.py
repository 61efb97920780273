"""Rows: what becomes of each form of a line, and what is wrong with one."""

from typing import Any

import msgspec
import pytest

from tokenwire import PROVIDERS, Chat, LocalProtocolError, Message, TextPart, as_chat
from tokenwire.batch.digests import Asking, asked_text, id_digest
from tokenwire.batch.rows import Question, Reader, Row, line_id, shard_of

OPENAI = PROVIDERS["openai"]
HELLO = [{"role": "user", "content": "Hello"}]


def read(row: Any, **options: Any) -> tuple[Question, Chat]:
    """The question in a row, and its chat."""
    reader = Reader(options.pop("provider", OPENAI), **options)
    question = reader.line(7, msgspec.json.encode(row))
    return question, reader.chat(question)


def problem(row: Any, **options: Any) -> str:
    """Why a row can't be asked."""
    reader = Reader(OPENAI, **options)
    question = reader.line(7, row if isinstance(row, bytes) else msgspec.json.encode(row))
    with pytest.raises(LocalProtocolError) as raised:
        reader.chat(question)
    assert question.problem in ("", str(raised.value))
    return str(raised.value)


def test_openai_s_own_example_is_read() -> None:
    """As platform.openai.com/docs/guides/batch has it."""
    question, chat = read(
        {
            "custom_id": "request-1",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "gpt-3.5-turbo-0125",
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant."},
                    {"role": "user", "content": "Hello world!"},
                ],
                "max_tokens": 1000,
            },
        }
    )
    assert (question.custom_id, question.named) == ("request-1", True)
    assert chat == Chat(
        messages=(
            Message("system", "You are a helpful assistant."),
            Message("user", "Hello world!"),
        ),
        model="gpt-3.5-turbo-0125",
        max_tokens=1000,
    )


def test_anthropic_s_own_example_is_read() -> None:
    """As docs.anthropic.com/en/docs/build-with-claude/batch-processing has it."""
    question, chat = read(
        {
            "custom_id": "my-first-request",
            "params": {
                "model": "claude-opus-4-1",
                "max_tokens": 1024,
                "messages": [{"role": "user", "content": "Hello, world"}],
            },
        },
        provider=PROVIDERS["anthropic"],
    )
    assert question.form == "anthropic"
    assert chat.max_tokens == 1024
    assert chat.messages[-1].text == "Hello, world"
    assert chat.stream


@pytest.mark.parametrize(
    "row",
    [
        {"messages": HELLO, "temperature": 0.5},
        {"prompt": "Hello", "temperature": 0.5},
        {"body": {"messages": HELLO, "temperature": 0.5}},
    ],
)
def test_shorter_forms(row: dict[str, Any]) -> None:
    question, chat = read(row, model="m")
    assert chat == as_chat("Hello", model="m", temperature=0.5)
    assert (question.custom_id, question.named) == ("line-000007", False)


def test_a_row_is_streamed_unless_it_says_otherwise() -> None:
    assert read({"body": {"messages": HELLO}}, model="m")[1].stream
    assert not read({"body": {"messages": HELLO, "stream": False}}, model="m")[1].stream


def test_the_model_of_the_run_replaces_those_of_the_rows() -> None:
    row = {"body": {"messages": HELLO, "model": "theirs"}}
    assert read(row)[1].model == "theirs"
    assert read(row, model="ours")[1].model == "ours"
    assert Reader(PROVIDERS["ylokh"]).value(1, row).asked


def test_options_of_the_run_are_laid_over_each_row() -> None:
    row = {"prompt": "Hello", "temperature": 0.5, "metadata": {"a": "b"}}
    options = {"temperature": 0.0, "extra": {"metadata": {"c": "d"}}}
    question, chat = read(row, model="m", options=options)
    assert (chat.temperature, chat.extra) == (0.0, {"metadata": {"a": "b", "c": "d"}})
    assert read(row, model="m", options={"top_p": 0.1})[1].top_p == 0.1
    assert question.asked != read(row, model="m")[0].asked


def test_a_column_or_a_template_of_any_object() -> None:
    row = {"custom_id": 5, "title": "Rome", "year": 1960, "note": None}
    question, chat = read(row, model="m", field="title")
    assert (question.custom_id, chat.messages[0].text) == ("5", "Rome")
    assert read(row, model="m", template="{title}, {year}?")[1].messages[0].text == "Rome, 1960?"
    assert problem(row, model="m", field="note") == "row 7: it has no note"
    assert problem(row, model="m", template="{other}") == "row 7: it has no other"


def test_rows_of_a_program() -> None:
    reader = Reader(OPENAI, model="m")
    chat = as_chat([Message("user", (TextPart("Hello"),))], model="theirs")
    question = reader.value(3, Row("a", chat))
    assert reader.chat(question) == chat.replace(model="m")
    assert question.size == 5
    same = Reader(OPENAI).value(9, Row("b", chat.replace(model="m")))
    assert (same.asked, same.key) == (question.asked, id_digest("b"))
    assert Reader(OPENAI).chat(same).model == "m"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"{", "line 7 is not JSON"),
        (b"[1]", "row 7 is not an object"),
        ({"custom_id": "a"}, "it has no body, params, messages or prompt"),
        ({"custom_id": ["a"], "prompt": "x"}, "its custom_id is text"),
        ({"custom_id": "", "prompt": "x"}, "its custom_id is text"),
        ({"custom_id": True, "prompt": "x"}, "its custom_id is text"),
        ({"body": 5}, "its body is an object"),
        ({"method": "GET", "body": {}}, "the method is POST, not 'GET'"),
        ({"url": "/v1/embeddings", "body": {}}, "only chats can be asked"),
        ({"url": 5, "body": {}}, "only chats can be asked"),
        ({"prompt": 5}, "give messages, or prompt"),
        ({"prompt": "x", "messages": HELLO}, "give messages, or prompt"),
        ({"prompt": "x", "label": "y"}, "label: no option of a chat"),
        ({"messages": []}, "messages: a list with at least one"),
        ({"body": {"messages": HELLO, "temperature": "hot"}}, "temperature"),
        ({"body": {"messages": [{"role": "nobody"}]}}, "role"),
    ],
)
def test_what_is_wrong_with_a_row(row: Any, words: str) -> None:
    assert words in problem(row, model="m")


def test_an_invalid_row_keeps_its_id_if_it_has_one() -> None:
    reader = Reader(OPENAI, model="m")
    assert reader.value(1, {"custom_id": "a"}).custom_id == "a"
    assert reader.value(1, {"custom_id": []}).custom_id == "line-000001"
    assert reader.value(1, 5).problem == "row 1 is not an object"
    odd = reader.value(1, {"custom_id": "a", "prompt": "x", "stop": {1j}})
    assert "not JSON" in odd.problem
    assert reader.value(2, 5j).asked != reader.value(2, 6j).asked


def test_a_repeated_id_is_invalid_by_the_number_of_its_row() -> None:
    reader = Reader(OPENAI, model="m")
    again = reader.repeated(reader.value(4, {"custom_id": "a", "prompt": "x"}))
    assert again.custom_id == line_id(4)
    assert again.problem == "row 4: the custom_id 'a' was there before"


def test_the_form_can_be_given() -> None:
    assert read({"body": 1, "prompt": "x"}, model="m", form="messages", field="prompt")[1]
    assert "its params is an object" in problem({"prompt": "x"}, form="anthropic")
    with pytest.raises(LocalProtocolError, match="the format 'odd': give openai, anthropic"):
        Reader(OPENAI, form="odd")


def test_asked_is_of_what_is_asked_whatever_the_order_of_its_keys() -> None:
    one = read({"body": {"model": "m", "messages": HELLO}})[0].asked
    assert read({"body": {"messages": HELLO, "model": "m"}})[0].asked == one
    assert read({"body": {"messages": HELLO}}, model="m")[0].asked == one
    assert read({"body": {"messages": HELLO}}, model="n")[0].asked != one
    assert Asking("anthropic", {}).digest("openai", b"") != Asking("openai", {}).digest(
        "openai", b""
    )
    assert asked_text(255) == "b2:00000000000000ff"


def test_shards_have_each_row_once() -> None:
    shards = [shard_of(id_digest(f"q{number}"), 4) for number in range(400)]
    assert set(shards) == {1, 2, 3, 4}
    assert min(shards.count(number) for number in set(shards)) > 60

"""-O, --tool and --schema."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commanding import Outcome, run
from tokenwire import LocalProtocolError, Native, Opaque, Tool
from tokenwire.cli import Exit
from tokenwire.cli.options import OPTIONS, chat_options, read_file, read_schema, read_tools
from tokenwire.server import serve


def ask(*arguments: str, provider: str = "openai") -> tuple[Outcome, dict[str, Any]]:
    """What came of a question with `arguments`, and the body of its request."""
    with serve(provider) as server:
        place = ("-p", provider, "-m", "any", "--base-url", server.url)
        outcome = run("chat", *place, *arguments, "Hello")
    return outcome, json.loads(server.requests[0].body) if server.requests else {}


def test_options_of_a_chat_are_sent() -> None:
    given = ["temperature=0.2", "max_tokens=100", "stop=END", "seed=7", "effort=low", "user=ada"]
    outcome, body = ask(*(word for pair in given for word in ("-O", pair)))
    assert outcome.code == Exit.OK
    expected = {"temperature": 0.2, "stop": ["END"], "seed": 7, "user": "ada"}
    assert expected.items() <= body.items()
    assert body["reasoning_effort"] == "low"
    assert 100 in (body.get("max_tokens"), body.get("max_completion_tokens"))


def test_an_answer_that_is_not_streamed() -> None:
    outcome, body = ask("--option", "stream=false")
    assert outcome == Outcome(Exit.OK, "openai any was asked: Hello\n", "")
    assert not body.get("stream")


GIVEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a number": ("temperature=1", {"temperature": 1.0}),
    "blanks before it": (" top_k=5", {"top_k": 5}),
    "a whole number": ("top_k=5", {"top_k": 5}),
    "a truth": ("parallel=false", {"parallel": False}),
    "null": ("seed=null", {"seed": None}),
    "text": ("tool_choice=auto", {"tool_choice": "auto"}),
    "text as JSON": ('tool_choice="auto"', {"tool_choice": "auto"}),
    "text that is JSON by accident": ("tool_choice=5", {"tool_choice": "5"}),
    "one of several": ("stop==", {"stop": ("=",)}),
    "several": ('stop=["a", "b"]', {"stop": ("a", "b")}),
    "one that is JSON by accident": ("stop=5", {"stop": ("5",)}),
    "another field": ('a={"b": [1]}', {"extra": {"a": {"b": [1]}}}),
    "another field of text": ("service_tier=flex", {"extra": {"service_tier": "flex"}}),
    "another field without text": ("a=", {"extra": {"a": ""}}),
}


@pytest.mark.parametrize("name", GIVEN)
def test_values(name: str) -> None:
    pair, options = GIVEN[name]
    assert chat_options([pair]) == options


def test_the_last_one_counts() -> None:
    assert chat_options(["seed=1", "a=1", "seed=2", "a=2"]) == {"seed": 2, "extra": {"a": 2}}


WRONG = {
    "temperature": "-O temperature: give NAME=VALUE, as in -O temperature=0.2",
    "=1": "-O =1: give NAME=VALUE, as in -O temperature=0.2",
    "temperature=hot": "-O temperature=hot: give a number",
    "temperature=true": "-O temperature=true: give a number",
    "max_tokens=1.5": "-O max_tokens=1.5: give a whole number",
    "parallel=1": "-O parallel=1: give true or false",
    "stream=no": "-O stream=no: give true or false",
    "effort=much": "-O effort=much: give none, minimal, low, medium, high, xhigh, max",
    "temprature=1": "-O temprature: did you mean temperature?",
    "max-tokens=1": "-O max-tokens: did you mean max_tokens?",
    "model=m": "-O model: use --model",
    "messages=[]": "-O messages: give the question, and --system",
    "tools=[]": "-O tools: use --tool",
    "schema={}": "-O schema: use --schema",
    "extra={}": "-O extra: give each of its fields with an -O of its own",
}


@pytest.mark.parametrize("pair", WRONG)
def test_what_is_wrong_is_one_line(pair: str) -> None:
    outcome, body = ask("-O", pair)
    assert outcome == Outcome(Exit.USAGE, "", f"tokenwire: {WRONG[pair]}\n")
    assert not body


def test_an_option_that_the_service_cannot_take() -> None:
    outcome = run("chat", "-p", "darkai", "--embedded", "-O", "temperature=1", "Hello")
    assert outcome.code == Exit.USAGE
    assert outcome.err == "tokenwire: darkai can't take temperature: leave it out of the chat\n"


def test_options_are_completed() -> None:
    outcome = run(
        environment={
            "_TOKENWIRE_COMPLETE": "zsh_complete",
            "COMP_WORDS": "tokenwire chat -O te",
            "COMP_CWORD": "3",
        }
    )
    assert outcome.out.splitlines()[1::3] == ["temperature="]
    assert {"stream", "stop"} <= {*OPTIONS}


PLAIN = {"name": "time", "description": "The time.", "parameters": {"type": "object"}}
TOOL = Tool("time", "The time.", {"type": "object"})


def written(folder: Path, content: Any, name: str = "file.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_tools_in_files(tmp_path: Path) -> None:
    search = {"type": "web_search"}
    first = written(tmp_path, [PLAIN, {"type": "function", "function": PLAIN}], "a.json")
    second = written(tmp_path, search, "b.json")
    native = Opaque(Native("", b'{"type":"web_search"}'))
    assert read_tools([first, second]) == [TOOL, TOOL, native]


def test_a_tool_in_the_form_of_the_service_is_sent_as_it_is(tmp_path: Path) -> None:
    own = {"name": "time", "input_schema": {"type": "object"}}
    path = written(tmp_path, own)
    outcome, body = ask("--tool", str(path), provider="anthropic")
    assert outcome.code == Exit.OK
    assert body["tools"] == [own]


def test_a_tool_is_sent_and_its_call_is_shown(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(PLAIN).encode())
    outcome, body = ask("--tool", str(path), "-O", "tool_choice=required")
    assert outcome.code == Exit.OK
    assert body["tools"] == [{"type": "function", "function": PLAIN}]
    assert "[tool call] time(" in outcome.out


def test_a_conversation_takes_no_tools(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    outcome = run("chat", "--embedded", "--tool", str(path), typed=b"Hello\n")
    assert outcome.code == Exit.USAGE
    assert "--tool: give a question" in outcome.err


def test_a_schema(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    path = written(tmp_path, schema)
    assert read_schema(path) == schema
    outcome, body = ask("--schema", str(path))
    assert outcome.code == Exit.OK
    assert body["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("option", "content", "words"),
    [
        ("--tool", b"{", "file.json is not JSON: "),
        ("--tool", b"[" * 100_000, "file.json is nested too deeply"),
        ("--tool", b"", "file.json is not JSON: "),
        ("--tool", b"\xff", "file.json is not JSON: "),
        ("--tool", [PLAIN, 1], "file.json: a tool is a JSON object"),
        ("--tool", {**PLAIN, "parameters": 1}, "file.json: a tool's parameters are an object"),
        ("--schema", [], "file.json: a schema is a JSON object"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, option: str, content: Any, words: str) -> None:
    outcome, body = ask(option, str(written(tmp_path, content)))
    assert outcome.code == Exit.USAGE
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert not body


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match=r"none can't be read: .*No such file"):
        read_file(tmp_path / "none")

"""`tokenwire chat`, against the embedded server."""

import base64
import json
import locale
import re
from pathlib import Path
from typing import Any
from unittest.mock import call, patch

import msgspec
import pytest

from tests.commanding import Outcome, Stream, run
from tests.subjects import EACH_FORMAT
from tokenwire import PROVIDERS, Chat, End, Event, Finish, Native, Provider, Text
from tokenwire.cli import Exit
from tokenwire.protocols.echo import picture
from tokenwire.server.embedded import Server, serve
from tokenwire.server.faults import (
    CloseAfter,
    HtmlPage,
    RefuseWith,
    StallAfter,
)


def ask(server: Server, *arguments: str, provider: str = "ylokh", **how: object) -> Outcome:
    place = ("-p", provider, "--base-url", server.url)
    return run("chat", *place, *arguments, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_each_provider_embedded(provider: str) -> None:
    outcome = run("chat", "-p", provider, "--embedded", "Is", "it", "you?")
    model = PROVIDERS[provider].default_model or "echo"
    assert outcome == Outcome(Exit.OK, f"{provider} {model} was asked: Is it you?\n", "")


def test_a_question_through_a_pipe() -> None:
    outcome = run("chat", "--embedded", stdin=b"What\nis this?\n\n")
    assert outcome.out == "openai echo was asked: What\nis this?\n"


def test_a_word_stands_for_the_pipe() -> None:
    outcome = run("chat", "--embedded", "Explain", "-", "please", stdin=b"this \xff\n")
    assert outcome.out == "openai echo was asked: Explain this \ufffd please\n"


@pytest.mark.parametrize("stdin", [b"", b" \n", None])
def test_no_question(stdin: bytes | None) -> None:
    outcome = run("chat", "--embedded", stdin=stdin)
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith("tokenwire: there is no question, ")


def test_the_pipe_is_not_read_if_nobody_wants_it() -> None:
    with patch.object(Stream, "read", side_effect=AssertionError):
        assert run("chat", "--embedded", "Hello").code == Exit.OK


def test_json() -> None:
    outcome = run("chat", "--embedded", "--json", "Hello")
    events = [msgspec.json.decode(line, type=Event) for line in outcome.out.splitlines()]
    assert "".join(event.text for event in events if isinstance(event, Text)).endswith("Hello")
    assert events[-1] == End("terminator")


def test_the_options_of_a_chat_are_sent() -> None:
    with serve("ylokh") as server:
        assert ask(server, "-m", "m-2", "-s", "Be brief.", "Hello").code == Exit.OK
    body = server.requests[0].body
    assert b'"model":"m-2"' in body
    assert b'[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}]' in body


KEYS: dict[str, tuple[str, dict[str, str], str | None]] = {
    "none": ("openai", {}, None),
    "tokenwire's": ("openai", {"TOKENWIRE_KEY": "k-1", "OPENAI_API_KEY": "k-2"}, "k-1"),
    "openai's": ("openai", {"TOKENWIRE_KEY": "", "OPENAI_API_KEY": "k-2"}, "k-2"),
    "openai's, as the other is blank": (
        "openai",
        {"TOKENWIRE_KEY": "\n", "OPENAI_API_KEY": "k-2\n"},
        "k-2",
    ),
    "tokenwire's, with a line end": ("openai", {"TOKENWIRE_KEY": "k-1\r\n"}, "k-1"),
    "openai's is for openai": ("ylokh", {"OPENAI_API_KEY": "k-2"}, None),
    "tokenwire's is for all": ("ylokh", {"TOKENWIRE_KEY": "k-1"}, "k-1"),
    "but those that take none": ("darkai", {"TOKENWIRE_KEY": "k-1"}, None),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_come_from_the_environment(name: str) -> None:
    provider, environment, key = KEYS[name]
    with serve(provider) as server:
        model = PROVIDERS[provider].default_model or "m"
        outcome = ask(server, "-m", model, "Hello", provider=provider, environment=environment)
    assert outcome.code == Exit.OK
    given = dict(server.requests[0].headers).get(b"authorization")
    assert given == (None if key is None else b"Bearer " + key.encode())


def test_a_key_for_a_provider_of_ones_own(mine: Path) -> None:
    with serve("openai") as server:
        environment = {"NICE_KEY": "k-1", "OPENAI_API_KEY": "k-2"}
        arguments = ("-m", "n-1", "Hello")
        outcome = ask(server, *arguments, provider="mine:NICE", environment=environment)
    assert outcome.code == Exit.OK
    assert dict(server.requests[0].headers)[b"authorization"] == b"Bearer k-1"


def test_the_address_comes_from_the_environment() -> None:
    with serve("openai") as server:
        environment = {"OPENAI_BASE_URL": server.url}
        outcome = run("chat", "-m", "m", "Hello", environment=environment)
        given = ask(server, "-m", "m", "Hi", provider="openai", environment=UNREACHABLE)
    assert (outcome.out, given.out) == ("openai m was asked: Hello\n", "openai m was asked: Hi\n")


UNREACHABLE = {"OPENAI_BASE_URL": "http://127.0.0.1:1"}


def test_embedded_is_at_its_own_address() -> None:
    assert run("chat", "--embedded", "Hello", environment=UNREACHABLE).code == Exit.OK


def test_embedded_sends_no_key() -> None:
    def keeping(*arguments: Any, **options: Any) -> Server:
        servers.append(serve(*arguments, **options))
        return servers[-1]

    servers: list[Server] = []
    environment = {"TOKENWIRE_KEY": "k-1", "OPENAI_API_KEY": "k-2"}
    with patch("tokenwire.server.embedded.serve", keeping):
        assert run("chat", "--embedded", "Hello", environment=environment).code == Exit.OK
    (server,) = servers
    assert b"authorization" not in dict(server.requests[0].headers)


def test_what_the_embedded_server_raises_is_shown_with_where(mine: Path) -> None:
    outcome = run("chat", "-p", "mine:BAD_SERVER", "--embedded", "Please", "Fail")
    assert outcome.code == Exit.BUG
    assert outcome.out == "bad-server echo was asked: Please \n"
    first, *rest = outcome.err.splitlines()
    assert first == "tokenwire: the embedded server of bad-server raised KeyError('no such event')"
    assert re.fullmatch(rf'  File "{mine}/mine.py", line \d+, in send', rest[-2])
    assert rest[-1] == '    raise KeyError("no such event")'
    assert len(rest) <= 6
    assert "refused" not in outcome.err


def test_what_the_embedded_server_raises_before_the_answer(mine: Path) -> None:
    outcome = run("chat", "-p", "mine:NO_SERVER", "--embedded", "--traceback", "Hello")
    assert outcome.code == Exit.BUG
    assert outcome.out == ""
    assert "raised TypeError('a client half only')\n" in outcome.err
    assert "\nTypeError: a client half only\n\nThe above exception was the" in outcome.err
    assert "refused" not in outcome.err


def test_a_conversation_goes_on_after_the_embedded_server_failed(mine: Path) -> None:
    outcome = run("chat", "-p", "mine:BAD_SERVER", "--embedded", typed=b"Fail\nHello\n")
    assert outcome.code == Exit.OK
    assert outcome.out.endswith("bad-server echo was asked: Hello\n")
    assert outcome.err.count("raised KeyError") == 1


def test_what_the_embedded_server_raises_beside_an_answer_is_shown_at_the_end() -> None:
    def failed(provider: Provider) -> Server:
        server = serve(provider)
        server.errors.append(KeyError("x"))
        return server

    with patch("tokenwire.cli.chat.embedded_server", lambda: failed):
        outcome = run("chat", "--embedded", "Hello")
    assert outcome == Outcome(
        Exit.OK,
        "openai echo was asked: Hello\n",
        "tokenwire: the embedded server of openai raised KeyError('x')\n",
    )


def test_a_client_half_of_ones_own_that_raises(mine: Path) -> None:
    outcome = run("chat", "-p", "mine:BAD_CLIENT", "--embedded", "Hello")
    assert outcome.code == Exit.BUG
    first, *rest = outcome.err.splitlines()
    bug = "a bug in mine:BAD_CLIENT or in tokenwire: IndexError('out of range')"
    assert first == f"tokenwire: {bug}"
    assert re.fullmatch(rf'  File "{mine}/mine.py", line \d+, in ask', rest[-2])
    assert rest[-1] == '    raise IndexError("out of range")'


def test_a_picture_goes_along(tmp_path: Path) -> None:
    path = tmp_path / "house.png"
    path.write_bytes(picture("house"))
    with serve("openai") as server:
        pictures = ("-i", str(path), "-i", str(path))
        outcome = ask(server, "-m", "m", *pictures, "Whose?", provider="openai")
    assert outcome.code == Exit.OK
    body = server.requests[0].body
    assert body.count(b"data:image/png;base64," + base64.b64encode(picture("house"))) == 2
    assert b'{"type":"text","text":"Whose?"}' in body


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.touch()
    outcome = run("chat", "--embedded", "-i", str(path), "Hello")
    assert outcome.code == Exit.USAGE
    assert "notes.txt is not named like a picture" in outcome.err
    outcome = run("chat", "--embedded", "-i", str(tmp_path / "none.png"), "Hello")
    assert outcome.code == Exit.USAGE
    assert "does not exist" in outcome.err


def test_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "house.png"
    path.touch()
    with patch.object(Path, "read_bytes", side_effect=OSError("it is gone")):
        outcome = run("chat", "--embedded", "-i", str(path), "Hello")
    assert outcome.code == Exit.USAGE
    assert "house.png can't be read: it is gone" in outcome.err


def test_pictures_in_the_answer_are_saved(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for number in (1, 2):
        outcome = run(
            "chat", "-p", "aichats", "-m", "dalle", "--embedded", "-o", str(folder), "A house"
        )
        path = folder / f"tokenwire-{number}.png"
        assert outcome == Outcome(Exit.OK, f"{path}\n", "")
        assert path.read_bytes() == picture("A house")


def test_a_picture_that_cannot_be_saved(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "folder")
    outcome = run("chat", "-p", "aichats", "-m", "dalle", "--embedded", "-o", folder, "A house")
    assert outcome.code == Exit.USAGE
    assert outcome.err.startswith("tokenwire: the picture can't be saved: ")


def test_what_had_come_before_a_fault_stays() -> None:
    with serve("darkai", fault=CloseAfter(200)) as server:
        outcome = ask(server, "Hello", provider="darkai")
    assert outcome.code == Exit.TRUNCATED
    assert outcome.out.startswith("darkai ")
    assert outcome.out.endswith("\n")
    assert outcome.err == 'tokenwire: the stream ended before the event "stream-end"\n'


def test_refused() -> None:
    refusal = RefuseWith(400, message="no\n\x1b[31mway")
    with serve("ylokh", fault=refusal) as server:
        outcome = ask(server, "Hello")
    assert outcome.code == Exit.REFUSED
    assert outcome.err.startswith("tokenwire: ")
    assert "no ␛[31mway" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_page() -> None:
    with serve("ylokh", fault=HtmlPage()) as server:
        assert ask(server, "Hello").code == Exit.BROKEN


def test_timed_out() -> None:
    with serve("ylokh", fault=StallAfter(0)) as server:
        outcome = ask(server, "--timeout", "0.05", "Hello")
    assert outcome.code == Exit.TIMED_OUT
    assert "the answer was not complete after 0.05 s" in outcome.err


def test_no_server_there() -> None:
    with serve("ylokh") as server:
        pass
    outcome = ask(server, "--timeout", "0.2", "Hello")
    assert outcome.code in (Exit.NETWORK, Exit.TIMED_OUT)
    assert outcome.out == ""


def test_through_a_proxy_that_is_not_there() -> None:
    with serve("ylokh") as server:
        outcome = ask(server, "--proxy", "socks4://127.0.0.1:1", "Hello")
    assert outcome.code == Exit.USAGE
    assert server.requests == []


MISUSE: dict[str, tuple[list[str], str]] = {
    "an unknown provider": (["-p", "darkia", "Hi"], "no provider 'darkia'; did you mean darkai"),
    "an unknown model": (["-p", "darkai", "-m", "gpt-4", "Hi"], "did you mean gpt-4o"),
    "no model": (["Hi"], "openai has no default model: give one with --model"),
    "no time": (["--timeout", "0", "Hi"], "--timeout"),
    "an address": (["-m", "m", "--base-url", "ftp://x", "Hi"], "give http:// or https://"),
    "embedded, elsewhere": (["--embedded", "--base-url", "http://x", "Hi"], "leave out --base-url"),
    "embedded, by proxy": (["--embedded", "--proxy", "http://x:1", "Hi"], "leave out --base-url"),
    "what it can't take": (
        ["-p", "darkai", "--embedded", "-i", __file__, "Hi"],
        "not named like a",
    ),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_one_line(name: str) -> None:
    arguments, words = MISUSE[name]
    outcome = run("chat", *arguments)
    assert outcome.code == Exit.USAGE
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_embedded_goes_through_no_proxy() -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1"}
    assert run("chat", "--embedded", "Hello", environment=proxy).code == Exit.OK


def test_a_conversation() -> None:
    with serve("ylokh", faults=[None, RefuseWith(400), None]) as server:
        outcome = ask(server, typed=b" My name is Ada. \nWho?\nWhat is it?\n\nnever sent\n")
    assert outcome.code == Exit.OK
    assert outcome.out == (
        "ylokh gpt-3.5-turbo was asked: My name is Ada.\n"
        "ylokh gpt-3.5-turbo was asked: What is it?\n"
    )
    assert outcome.err.count("> ") == 4  # the prompt must not go where the answers go
    assert "requested by the test" in outcome.err
    bodies = [request.body for request in server.requests]
    assert len(bodies) == 3
    assert b"Who?" not in bodies[2]  # it was not answered
    assert b'was asked: My name is Ada."},{"role":"user","content":"What is it?"}' in bodies[2]


def test_a_conversation_keeps_what_the_service_wants_to_see_again() -> None:
    def answer(_: Chat) -> list[Event]:
        signed = Native("openai_chat", b'{"reasoning_opaque":"signature"}')
        return [signed, Text("Hello Ada.", 1), Finish("stop", "stop"), End("terminator")]

    with serve("openai", answer) as server:
        outcome = ask(server, "-m", "m", provider="openai", typed=b"I am Ada.\nWho am I?\n")
    assert outcome.code == Exit.OK
    said = json.loads(server.requests[1].body)["messages"][1]
    assert said["content"] == "Hello Ada."
    assert said["reasoning_opaque"] == "signature"


def test_a_conversation_ends_with_its_input() -> None:
    outcome = run("chat", "--embedded", typed=b"Hello\n")
    assert outcome == Outcome(Exit.OK, "openai echo was asked: Hello\n", "> > \n")


def test_a_conversation_on_a_terminal() -> None:
    outcome = run("chat", "--embedded", typed=b"Hello\n", terminal=True)
    assert outcome.code == Exit.OK
    assert outcome.out.startswith("> ")
    assert outcome.err == "\n"


def test_ctrl_c_stops_an_answer_and_not_the_conversation() -> None:
    times = 0

    def answer(_: Chat) -> list[Event]:
        return [Text("yes"), Finish("stop", "stop"), End("terminator")]

    def interrupted(self: object, event: Event) -> None:
        nonlocal times
        if isinstance(event, Text):
            times += 1
            raise KeyboardInterrupt

    with (
        serve("ylokh", answer) as server,
        patch("tokenwire.cli.show.TextLines.event", interrupted),
    ):
        outcome = ask(server, typed=b"One\nTwo\n")
    assert times == 2
    assert outcome.code == Exit.OK
    assert outcome.err == "> tokenwire: stopped\n> tokenwire: stopped\n> \n"
    assert b'"role":"assistant","content":"yes"' in server.requests[1].body


def test_ctrl_c_at_the_prompt_ends_its_line() -> None:
    with patch("builtins.input", side_effect=KeyboardInterrupt):
        outcome = run("chat", "--embedded", typed=b"")
    assert outcome == Outcome(Exit.INTERRUPTED, "", "> \n")


def test_without_readline() -> None:
    with patch.dict("sys.modules", {"readline": None}):
        assert run("chat", "--embedded", typed=b"Hello\n").code == Exit.OK


@pytest.mark.parametrize(("codeset", "editable"), [("UTF-8", True), ("ISO-8859-1", False)])
def test_readline_is_for_utf8(codeset: str, editable: bool) -> None:
    with (
        patch("locale.nl_langinfo", return_value=codeset),
        patch("tokenwire.cli.chat.import_module", return_value=locale) as imported,
    ):
        assert run("chat", "--embedded", typed=b"Hello\n").code == Exit.OK
    assert (call("readline") in imported.call_args_list) is editable

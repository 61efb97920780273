"""`tokenwire serve`."""

import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from unittest.mock import patch
from urllib.parse import quote, unquote

import pytest

import tokenwire
from tests.commanding import CLEAN, INTERRUPTIBLE, Stream, run
from tests.subjects import EACH_FORMAT
from tokenwire import PROVIDERS, Header, LocalProtocolError, Query, Refused
from tokenwire.cli import Exit
from tokenwire.cli.serve import cutting_of, examples, fault_of
from tokenwire.cli.server import key_of, takes_key
from tokenwire.protocols.auth import Auth, SigV4
from tokenwire.server import serve
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Fault,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)

FAULTS: dict[str, Fault] = {
    "close:300": CloseAfter(300),
    "close:head": CloseAfter(0, head=False),
    "reset:0": ResetAfter(0),
    "end:5": EndAfter(5),
    "stall:5": StallAfter(5),
    "keepalives": KeepAlives(),
    "keepalives:7": KeepAlives(7),
    "keepalives:7,0.5": KeepAlives(7, 0.5),
    "linger": Linger(),
    "close-idle": CloseIdle(),
    "refuse:429": RefuseWith(429),
    "refuse:503,2": RefuseWith(503, retry_after="2"),
    "html": HtmlPage(),
    "html:502": HtmlPage(502),
    "error": ErrorObject(),
    "error:too: bad": ErrorObject("too: bad"),
    "break": BreakEvent(),
    "break:3": BreakEvent(3),
    "drop-terminator": DropTerminator(),
    "gzip": Gzip(),
    "unframed": Unframed(),
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults(text: str) -> None:
    assert fault_of(text) == FAULTS[text]


def test_every_fault_can_be_told_and_is_in_the_help() -> None:
    assert {type(fault) for fault in FAULTS.values()} == set(Fault.__args__)
    shown = run("serve", "--help", width=80).out
    for text in FAULTS:
        assert re.search(rf"^ +{text.partition(':')[0]}\b", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frob", "the faults are close, reset, "),
        ("close", "it needs a value, as in close:300"),
        ("close:x", "the value is not valid"),
        ("refuse:99", "the value is not valid"),
        ("refuse:1000", "the value is not valid"),
        ("gzip:9", "the value is not valid"),
        *(
            (text, "the value is not valid")
            for text in ("close:-1", "stall:-1", "end:-1", "break:-1", "html:99", "html:600")
        ),
        *(
            (f"keepalives:{text}", "the value is not valid")
            for text in ("-1", "1,-1", "1,nan", "1,x")
        ),
    ],
)
def test_what_is_no_fault(text: str, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        fault_of(text)


def test_cuttings() -> None:
    assert cutting_of("whole", 0.5) == Cutting("whole", pause=0.5)
    assert cutting_of("event", 0) == Cutting.per_event()
    assert cutting_of("1", 0) == Cutting.byte_by_byte()
    assert cutting_of("3,7", 0.1) == Cutting.of_sizes(3, 7, pause=0.1)
    for how in ("halves", "0", "-1", "3,", ""):
        with pytest.raises(LocalProtocolError, match=r"^--cut .*: give whole, event, or sizes in"):
            cutting_of(how, 0)


@contextmanager
def serving(*arguments: str, **environment: str) -> Generator[tuple[str, "subprocess.Popen[str]"]]:
    """`tokenwire serve` in a process of its own: its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**CLEAN, **environment},
    ) as process:
        assert process.stdout is not None
        found = re.search(r"https?://\S+", process.stdout.readline())
        assert found
        try:
            yield found[0], process
        finally:
            process.kill()


def test_it_serves_until_ctrl_c() -> None:
    with serving("-p", "darkai", "--cut", "1", "-f", "close:200", "--times", "1") as (url, process):
        with pytest.raises(tokenwire.Truncated):
            tokenwire.ask("darkai", "Hello", base_url=url)
        assert tokenwire.ask("darkai", "Hello", base_url=url).text.endswith("Hello")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == Exit.OK
        assert process.stderr is not None
        assert process.stderr.read() == ""


ANSWERS = """
from tokenwire import End, Text

NUMBER = 7


def answer(chat):
    yield Text("It is mine.")
    yield End("terminator")
"""


def test_answers_of_ones_own(mine: Path) -> None:
    (mine / "answers.py").write_text(ANSWERS)
    said: list[str] = []

    async def ask() -> None:
        url = cast(Stream, sys.stdout).bytes.getvalue().decode().split()[2]
        said.append((await tokenwire.ask_async("darkai", "Hello", base_url=url)).text)
        raise KeyboardInterrupt

    with patch("anyio.sleep_forever", ask):
        assert run("serve", "-p", "darkai", "--answer", "answers:answer").code == Exit.OK
    assert said == ["It is mine."]
    wrong = {
        "answers:answers": "answers:answers: answers has no answers (its functions: answer)",
        "answers:NUMBER": "answers:NUMBER must be a function, not int",
        "answers": "'answers': give an answer function of your own as module:NAME",
    }
    for name, words in wrong.items():
        outcome = run("serve", "--answer", name)
        assert (outcome.code, outcome.err) == (Exit.USAGE, f"tokenwire: {words}\n")


ASYNC = """
async def answer(chat, request):
    yield "It is "
    yield request.method
"""


def test_answers_of_ones_own_may_be_async_text(mine: Path) -> None:
    (mine / "later.py").write_text(ASYNC)
    said: list[str] = []

    async def ask() -> None:
        url = cast(Stream, sys.stdout).bytes.getvalue().decode().split()[2]
        said.append((await tokenwire.ask_async("darkai", "Hello", base_url=url)).text)
        raise KeyboardInterrupt

    with patch("anyio.sleep_forever", ask):
        assert run("serve", "-p", "darkai", "--answer", "later:answer").code == Exit.OK
    assert said == ["It is POST"]


def test_a_public_url_and_an_origin_of_web_pages() -> None:
    with serving("--public-url", "https://llm.example", "--cors", "https://app.example") as (_, it):
        assert it.stdout is not None
        shown = it.stdout.readline() + it.stdout.readline() + it.stdout.readline()
        assert "https://llm.example/v1/chat/completions" in shown
    for option, value in (("--public-url", "llm.example"), ("--cors", "*")):
        outcome = run("serve", option, value)
        assert outcome.code == Exit.USAGE
        assert value in outcome.err


def test_what_its_code_raises_is_shown_with_where(mine: Path) -> None:
    async def fail() -> None:
        shown = cast(Stream, sys.stdout).bytes.getvalue().decode()
        url = shown.split()[2]
        with pytest.raises(Refused, match="the embedded server raised KeyError"):
            await tokenwire.ask_async("openai", "Fail", model="n-1", base_url=url)
        raise KeyboardInterrupt

    with patch("anyio.sleep_forever", fail):
        outcome = run("serve", "-p", "mine:BAD_SERVER", "--cut", "whole")
    assert outcome.code == Exit.OK
    first, *rest = outcome.err.splitlines()
    assert first == "tokenwire: the embedded server of bad-server raised KeyError('no such event')"
    assert re.fullmatch(rf'  File "{mine}/mine.py", line \d+, in send', rest[-2])
    assert rest[-1] == '    raise KeyError("no such event")'


def test_a_server_half_that_takes_no_request(mine: Path) -> None:
    outcome = run("serve", "-p", "mine:NO_SERVER")
    assert (outcome.code, outcome.out) == (Exit.BUG, "")
    assert "a bug in mine:NO_SERVER or in tokenwire: TypeError" in outcome.err


def test_the_command_to_ask_a_provider_of_ones_own(mine: Path) -> None:
    with patch("anyio.sleep_forever", _stop):
        outcome = run("serve", "-p", "mine:NICE")
    assert "\ntokenwire chat -p mine:NICE -m any --base-url http" in outcome.out


async def _stop() -> None:
    raise KeyboardInterrupt


def test_in_this_process_with_a_key() -> None:
    with patch("anyio.sleep_forever", _stop):
        outcome = run("serve", "--require-key", environment={"TOKENWIRE_KEY": "sesame"})
        assert outcome.code == Exit.OK
        assert "$TOKENWIRE_KEY" in outcome.out
        assert "sesame" not in outcome.out
        assert run("serve", "-f", "gzip").code == Exit.OK


def test_a_key_that_is_not_there() -> None:
    outcome = run("serve", "--require-key")
    assert outcome.code == Exit.USAGE
    assert "set TOKENWIRE_KEY to the key" in outcome.err


def test_a_port_that_is_taken() -> None:
    with serve("ylokh") as server:
        port = server.origin.rpartition(":")[2]
        outcome = run("serve", "--port", port)
    assert outcome.code == Exit.USAGE
    assert "can't listen on 127.0.0.1" in outcome.err


def test_a_dialect_without_keys() -> None:
    outcome = run("serve", "-p", "darkai", "--require-key", environment={"TOKENWIRE_KEY": "sesame"})
    assert outcome.code == Exit.USAGE
    assert "darkai does not use keys" in outcome.err


@pytest.mark.crosswise
@pytest.mark.parametrize(
    ("provider", "key"),
    [
        *((name, None) for name in EACH_FORMAT),
        *((name, "sesame") for name in EACH_FORMAT if takes_key(PROVIDERS[name])),
        ("azure-dated", "sesame"),
    ],
)
def test_the_examples_work_as_they_are_pasted(provider: str, key: str | None) -> None:
    if key and isinstance(PROVIDERS[provider].key_place, SigV4):
        key = f"AKIDEXAMPLE:{key}"
    required = key and key_of(PROVIDERS[provider], key)
    with serve(provider, key=required) as server:
        text = examples(server.service, required)
        _, curl, *sdk, command = re.split(r"^# .*\n", text, flags=re.MULTILINE)
        environment = {**CLEAN, "TOKENWIRE_KEY": key or ""}
        asked = [["bash", "-c", curl], [sys.executable, "-c", "\n".join(sdk)]]
        outputs = [
            subprocess.run(
                line, capture_output=True, text=True, env=environment, timeout=30, check=True
            ).stdout
            for line in asked
            if line[-1].strip()
        ]
        variable, _, arguments = command.partition("tokenwire ")
        settings = {"TOKENWIRE_KEY": key or "", "AWS_REGION": variable.partition("=")[2].strip()}
        outputs.append(run(*arguments.split(), environment=settings).out)
    assert all("Hello" in output for output in outputs)
    assert len(outputs) == (3 if PROVIDERS[provider].dialect.sdk_example("", "", "") else 2)


def test_there_is_no_example_for_an_sdk_that_signs_if_the_key_is_not_to_sign() -> None:
    with serve("bedrock", key="sesame") as server:
        assert "boto3" not in examples(server.service, "sesame")


PLACES: dict[str, Auth] = {
    "a header": Header("x-api-key"),
    "a header with signs": Header("x-api-key", '`\\"$TOKENWIRE_KEY '),
    "the query": Query("key"),
}


@pytest.mark.parametrize("key", ["sesame", "$(echo x) y'\"z"])
@pytest.mark.parametrize("place", PLACES)
def test_curl_puts_the_key_where_the_provider_has_it(place: str, key: str) -> None:
    if place == "the query":
        key = quote(key)  # as somebody has to who pastes it there
    provider = PROVIDERS["openai"].replace(auth=PLACES[place])
    with serve(provider, key=unquote(key)) as server:
        _, curl, *_ = re.split(r"^# .*\n", examples(server.service, key), flags=re.MULTILINE)
        assert re.search(r'"[^"\n]+\$TOKENWIRE_KEY"', curl)
        assert "authorization" not in curl
        for environment, word in (({"TOKENWIRE_KEY": key}, "Hello"), ({}, "invalid_api_key")):
            asked = subprocess.run(
                ["bash", "-c", curl],
                capture_output=True,
                text=True,
                env={**CLEAN, **environment},
                timeout=30,
                check=True,
            )
            assert word in asked.stdout

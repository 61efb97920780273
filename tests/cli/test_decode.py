"""`tokenwire decode`."""

from io import BufferedReader, BytesIO
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from tests.asking import chunk, question
from tests.commanding import Outcome, run
from tests.subjects import EACH_FORMAT
from tokenwire import End, Event, Image, LimitExceeded, Limits, Text, as_chat
from tokenwire.cli import Exit
from tokenwire.cli.decode import DecodeOptions, Recording, event_line
from tokenwire.cli.server import exchange_at_chat
from tokenwire.protocols.echo import echo
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service

DARKAI = (
    b'data: {"event": "text-chunk", "data": {"text": "Hi"}}\n\n'
    b'data: {"event": "text-chunk", "data": {"text": " you"}}\n\n'
    b'data: {"event": "stream-end"}\n\n'
)


def test_events_a_line() -> None:
    outcome = run("decode", "-d", "darkai", stdin=DARKAI)
    assert outcome == Outcome(
        Exit.OK,
        'text            text="Hi"\ntext            text=" you"\n'
        'end             evidence="terminator"\n',
        "",
    )


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.write_bytes(DARKAI)
    outcome = run("decode", "-d", "darkai", "--json", str(path))
    events = [msgspec.json.decode(line, type=Event) for line in outcome.out.splitlines()]
    assert events == [Text("Hi"), Text(" you"), End("terminator")]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.touch()
    with patch("builtins.open", side_effect=OSError("it is gone")):
        outcome = run("decode", str(path))
    assert outcome.code == Exit.USAGE
    assert "answer can't be read: it is gone" in outcome.err


def test_neither_file_nor_pipe() -> None:
    outcome = run("decode", stdin=None)
    assert outcome.code == Exit.USAGE
    assert "give a file" in outcome.err


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 7, 64 * 1024])
@pytest.mark.parametrize("json", [True, False])
def test_offsets_are_the_smallest_beginnings(end: bytes, size: int, json: bool) -> None:
    body = DARKAI.replace(b"\n", end)
    with patch("tokenwire.cli.decode.READ_SIZE", size):
        options = ["--json"] if json else []
        outcome = run("decode", "-d", "darkai", "--offsets", *options, stdin=body)
    lines = outcome.out.splitlines()
    if json:
        offsets = [msgspec.json.decode(line)["offset"] for line in lines]
    else:
        offsets = [int(line.split()[0]) for line in lines]
    expected: list[int] = []
    exchange = question("darkai")
    exchange.next_request()
    exchange.receive_response(200, [])
    for at in range(len(body)):
        expected += [at + 1] * len(exchange.receive_data(body[at : at + 1]))
    assert offsets == expected


def test_of_many_bytes_in_linear_time() -> None:
    body = b"data: " + chunk("x" * 2_000_000) + b"\n\ndata: [DONE]\n\n"
    assert run("decode", stdin=body).code == Exit.OK


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_each_dialect(provider: str) -> None:
    service = Service(PROVIDERS[provider], base_url="http://localhost")
    chat = as_chat("Hello", model=PROVIDERS[provider].default_model or "any")
    _, request = exchange_at_chat(service, chat)
    responder = service.responder()
    asked = responder.receive_request(request)
    assert asked is not None
    body = b"".join(map(responder.send, echo(PROVIDERS[provider])(asked))) + responder.end()
    outcome = run("decode", "-d", provider, "--json", stdin=body)
    assert outcome.code == Exit.OK
    events = [msgspec.json.decode(line, type=Event) for line in outcome.out.splitlines()]
    text = "".join(event.text for event in events if isinstance(event, Text))
    assert text.endswith("was asked: Hello")


def test_a_provider_of_ones_own(mine: Path) -> None:
    body = b"data: " + chunk("Hi") + b"\n\ndata: [DONE]\n\n"
    assert run("decode", "-d", "mine:NICE", stdin=body) == run("decode", stdin=body)


def test_a_fault_is_shown_with_the_bytes_around_it() -> None:
    broken = b'data: {"event": \n\n'
    first = DARKAI.index(b"\n\n") + 2
    outcome = run("decode", "-d", "darkai", stdin=DARKAI[:first] + broken + DARKAI[first:])
    assert outcome.code == Exit.BROKEN
    assert outcome.out == 'text            text="Hi"\n'
    error, before, fault, after = outcome.err.splitlines()
    assert error == "tokenwire: not JSON"
    assert before == f"  before, bytes 0 to {first + 5}: {DARKAI[:first] + b'data:'!r}"
    assert fault == f"   fault, bytes {first + 5} to {first + 16}: {broken[5:16]!r}"
    assert after.startswith(f"   after, bytes {first + 16} to {first + 76}: b'\\n\\ndata: ")


def test_a_long_fault_is_shown_in_part() -> None:
    body = b"data: {" + b"x" * 2000 + b"\n\nrest"
    outcome = run("decode", stdin=body)
    assert outcome.code == Exit.BROKEN
    assert "fault, bytes 6 to 66: " in outcome.err


def test_a_cut_is_shown_at_the_end() -> None:
    first = DARKAI.index(b"\n\n") + 2
    outcome = run("decode", "-d", "darkai", stdin=DARKAI[:first])
    assert outcome.code == Exit.TRUNCATED
    assert outcome.err.splitlines()[1] == f"  before, bytes 0 to {first}: {DARKAI[:first]!r}"
    assert outcome.err.count("\n") == 2


def test_nothing_at_all() -> None:
    outcome = run("decode")
    assert outcome == Outcome(Exit.BROKEN, "", "tokenwire: the body is empty\n")


def test_a_fault_that_quotes_nothing_is_in_what_was_fed_last() -> None:
    exchange = question("darkai", limits=Limits(event=20))
    exchange.next_request()
    exchange.receive_response(200, [])
    recording = Recording(exchange)
    source = BufferedReader(BytesIO(b": comment\ndata: " + b"x" * 40 + b"\n"))
    assert list(recording.decode(source, disconnected=False)) == []
    with pytest.raises(LimitExceeded) as caught:
        recording.conclude()
    assert caught.value.__notes__[1].startswith(" fault, bytes 10 to 57: ")


def test_a_recorded_refusal() -> None:
    body = b'{"error": {"message": "slow down"}}'
    outcome = run("decode", "--status", "429", stdin=body)
    assert outcome.code == Exit.REFUSED
    assert "slow down" in outcome.err


def test_the_end_may_be_a_disconnect() -> None:
    assert run("decode", "-d", "aichats", stdin=b"data: Hi\n").code == Exit.OK
    outcome = run("decode", "-d", "aichats", "--cut-as", "disconnect", stdin=b"data: Hi\n")
    assert outcome.code == Exit.TRUNCATED
    assert outcome.out == 'text            text="Hi"\n'


def test_an_answer_that_goes_on_elsewhere() -> None:
    body = b'{"data": [{"url": "http://pictures.example/1"}]}'
    outcome = run("decode", "-d", "aichats", "-m", "dalle", stdin=body)
    assert outcome.code == Exit.TRUNCATED
    assert "the response to GET http://pictures.example/1" in outcome.err


def test_what_stands_behind_the_end_is_told() -> None:
    outcome = run("decode", "-d", "darkai", stdin=DARKAI + b": cost 1\n")
    assert outcome.code == Exit.OK
    assert "not decoded, because it is after the end: b': cost 1'" in outcome.err


def test_bytes_and_control_characters_are_shown_harmless() -> None:
    outcome = run("decode", "-d", "darkai", stdin=b'x\xff\x1b: y\ndata: {"event":"stream-end"}\n')
    assert outcome.out.splitlines()[0] == r"unrecognized    raw=b'x\xff\x1b: y'"
    options = DecodeOptions(
        file="-",
        provider=PROVIDERS["aichats"],
        model="",
        status=200,
        offsets=False,
        as_json=False,
        cut_as="eof",
    )
    line = event_line(Image(b"12", "image/png", "http://x/\x9b"), 0, options)
    assert line == 'image           data=<2 bytes> media_type="image/png" url="http://x/\ufffd"'


def test_a_provider_whose_address_has_parts(mine: Path) -> None:
    with (mine / "mine.py").open("a") as file:
        file.write('REGIONAL = NICE.replace(base_url="https://{region}.example")\n')
    stdin = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    outcome = run("decode", "-d", "mine:REGIONAL", stdin=stdin)
    assert outcome.code == Exit.OK
    assert 'text="Hi"' in outcome.out

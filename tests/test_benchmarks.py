"""The benchmarks' fixtures and helpers: what is measured is what it seems. Nothing is timed."""

import importlib.util
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from math import isnan, nan
from pathlib import Path
from random import Random

import h11
import pytest

from benchmarks import __main__ as everything
from benchmarks import batch, callers, decode, gateway, gateways, growth, signing, start
from benchmarks.decoders import (
    DECODERS,
    EVENTSOURCE,
    EVERY_DIALECT,
    NODE,
    OWN_DIALECT,
    PARSER,
    measure_node,
    pieces_of,
    stream_of,
)
from benchmarks.origin import document
from benchmarks.rounds import Contestant, Figure, Table, play
from benchmarks.streams import (
    BEGINNINGS,
    DOCUMENTS,
    FORMS,
    STREAMS,
    Stream,
    chunked,
    cut,
    sized,
    words,
)
from tests.cutting import every_way
from tests.driving import JSON, Response, drive
from tokenwire import PROVIDERS, as_chat

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="what is measured there is Linux's")
TOKEN = Response(b'{"code": 200, "data": "token-123"}', 200, JSON)


def said(dialect: str, pieces: list[bytes]) -> str:
    """The text that tokenwire hears; the answer is a success."""
    provider = PROVIDERS[dialect]
    chat = as_chat("q", model=provider.default_model or "m")
    exchange = provider.exchange(chat, random=Random(1), base_url="http://localhost")
    answer = Response(b"".join(pieces), headers=[(b"content-type", b"")])
    responses = [TOKEN, answer] if dialect == "aichatonline" else [answer]
    outcome = drive(
        exchange, *responses, cut=lambda body: pieces if body == answer.body else [body]
    )
    return outcome.succeeded().reply.text


# Streams


@pytest.mark.parametrize("dialect", STREAMS)
@pytest.mark.parametrize("count", [1, 40])
def test_a_stream_says_its_text_in_any_cut(dialect: str, count: int) -> None:
    stream = STREAMS[dialect](count)
    assert stream.body == b"".join(stream.events)
    assert len(stream.text) > count
    assert said(dialect, stream.events) == stream.text
    for pieces in every_way(stream.body):
        assert said(dialect, pieces) == stream.text


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_stream_has_as_many_events_as_asked_for_and_its_terminator(dialect: str) -> None:
    others = len(STREAMS[dialect](0).events)
    known = {"openai": 1, "darkai": 1, "anthropic": 5, "openai-responses": 8}
    known |= {"gemini": 1, "ollama": 1, "mistral": 1, "cohere": 5, "bedrock": 4}
    assert others == known.get(dialect, 0)
    assert len(STREAMS[dialect](40).events) == 40 + others


def test_events_have_the_sizes_that_are_told_of_them() -> None:
    sizes = [len(event) for event in STREAMS["openai"](1000).events[:-1]]
    assert (min(sizes), max(sizes)) == (227, 333)
    sizes = [len(event) for event in STREAMS["darkai"](1000).events[:-1]]
    assert 55 <= sum(sizes) / len(sizes) <= 65
    texts = STREAMS["anthropic"](1000).events[2:-3]
    sizes = [len(event) for event in texts if b"ping" not in event]
    assert (min(sizes), max(sizes)) == (116, 130)
    sizes = [len(event) for event in STREAMS["openai-responses"](1000).events[4:-4]]
    assert (min(sizes), max(sizes)) == (257, 264)
    sizes = [len(event) for event in STREAMS["gemini"](1000).events[:-1]]
    assert (min(sizes), max(sizes)) == (322, 332)
    sizes = [len(event) for event in STREAMS["ollama"](1000).events[:-1]]
    assert (min(sizes), max(sizes)) == (122, 128)
    sizes = [len(event) for event in STREAMS["mistral"](1000).events[:-1]]
    assert (min(sizes), max(sizes)) == (210, 229)
    sizes = [len(event) for event in STREAMS["cohere"](1000).events[2:-3]]
    assert (min(sizes), max(sizes)) == (108, 114)
    sizes = [len(event) for event in STREAMS["bedrock"](1000).events[1:-3]]
    assert (min(sizes), max(sizes)) == (154, 221)


def test_the_texts_have_what_naive_splitting_breaks_at() -> None:
    text = "".join(words(20))
    assert "\u2028" in text
    assert not text.isascii()


@pytest.mark.parametrize("dialect", FORMS)
@pytest.mark.parametrize("size", [200, 3000])
def test_a_sized_stream_has_events_of_that_size(dialect: str, size: int) -> None:
    stream = sized(dialect, size, 5)
    first = BEGINNINGS.get(dialect, 0)
    assert [len(event) for event in stream.events[first : first + 5]] == [size] * 5
    for pieces in every_way(stream.body, seeds=1):
        assert said(dialect, pieces) == stream.text


def test_a_cut_has_pieces_of_one_size_and_a_rest() -> None:
    assert cut(b"abcdefg", 3) == [b"abc", b"def", b"g"]
    assert cut(b"", 3) == []


@pytest.mark.parametrize("dialect", STREAMS)
def test_h11_reads_the_body_from_a_chunked_response(dialect: str) -> None:
    stream = STREAMS[dialect](20)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    client.send(h11.EndOfMessage())
    for part in chunked(stream):
        client.receive_data(part)
    events = [client.next_event() for _ in range(len(stream.events) + 2)]
    head, *chunks, end = events
    assert isinstance(head, h11.Response)
    assert dict(head.headers)[b"content-type"] == stream.content_type.encode()
    assert [bytes(part.data) for part in chunks if isinstance(part, h11.Data)] == stream.events
    assert isinstance(end, h11.EndOfMessage)


@pytest.mark.parametrize("dialect", DOCUMENTS)
def test_a_document_says_its_text(dialect: str) -> None:
    document = DOCUMENTS[dialect](20)
    chat = as_chat("q", model="m", stream=False, max_tokens=9)
    exchange = PROVIDERS[dialect].exchange(chat, base_url="http://localhost")
    outcome = drive(exchange, Response(document.body, headers=JSON))
    assert outcome.succeeded().reply.text == document.text
    assert len(document.events) == 2


# Rounds


def test_a_figure_is_the_median_and_half_the_quartile_distance() -> None:
    assert Figure.of([5.0]) == (5.0, 0.0)
    assert Figure.of([4.0, 1.0, 2.0, 3.0, 100.0]) == (3.0, 1.0)
    assert Figure(2.0, 0.5).scaled(10) == (20.0, 5.0)
    assert str(Figure(1234.5, 0.123)) == "1,234 ±0.12"
    assert str(Figure.of([1.0, nan])) == "-"


def test_a_table_is_markdown() -> None:
    table = Table("Costs", ("µs", "ratio"), {"one": [Figure(1.234, 0.1), 2.0], "two": ["", 1]}, "!")
    assert str(table).splitlines() == [
        "### Costs",
        "",
        "| | µs | ratio |",
        "|---|---|---|",
        "| one | 1.23 ±0.10 | 2 |",
        "| two |  | 1 |",
        "",
        "!",
    ]


def printing(line: str) -> list[str]:
    return [sys.executable, "-c", f"print('noise'); print({line!r})"]


def test_play_takes_the_last_line_of_each_contestant() -> None:
    played = play(
        [
            Contestant("one", printing('{"cpu_us": 1.5, "of": "words"}')),
            Contestant("two", printing('{"cpu_us": 3}')),
        ],
        rounds=3,
    )
    assert played == {"one": {"cpu_us": (1.5, 0)}, "two": {"cpu_us": (3, 0)}}


def test_play_ends_with_a_contestant_that_fails() -> None:
    with pytest.raises(SystemExit, match=r"(?s)two failed:.*ZeroDivisionError"):
        play([Contestant("two", [sys.executable, "-c", "1 / 0"])], rounds=1)


# Decoders

NEEDS = {
    "httpx-sse": "httpx_sse",
    "httpx2": "httpx2",
    "sseclient-py": "sseclient",
    "openai": "openai",
    "openai 2": None,  # another version than the one that is here
    "langchain-openai": "langchain_openai",
    "litellm": "litellm",
    "anthropic": "anthropic",
    "anthropic stream()": "anthropic",
    "openai responses": "openai",
    "openai responses.stream()": "openai",
    "google-genai": "google.genai",
    "mistralai": "mistralai",
    "ollama": "ollama",
    "cohere": "cohere",
    "botocore": "botocore",
}
HERE = [
    name
    for name in DECODERS
    if (need := NEEDS.get(name, "json")) is not None and importlib.util.find_spec(need) is not None
]


def test_the_plain_ones_and_those_of_the_dev_extra_are_here() -> None:
    assert {*EVERY_DIALECT, *OWN_DIALECT, "httpx-sse", "httpx2", "openai"} <= set(HERE)


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("how", decode.CUTS)
def test_every_decoder_comes_to_the_text(name: str, how: str) -> None:
    for dialect in (dialect for dialect in STREAMS if decode.decodes(name, dialect)):
        stream = stream_of(dialect, 20)
        run = DECODERS[name](dialect)
        assert run(pieces_of(stream, how)) == stream.text
        assert run(pieces_of(stream, how)) == stream.text  # once more, as in a second pass


@pytest.mark.skipif(NODE is None or not PARSER.exists(), reason="npm ci --prefix benchmarks")
@pytest.mark.parametrize("how", decode.CUTS)
def test_eventsource_parser_comes_to_the_text(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.decoders.SECONDS", 0)
    stream = stream_of("openai", 20)
    assert len(measure_node(pieces_of(stream, how), stream.text)) == 3


def test_pieces_are_events_or_of_a_size() -> None:
    stream = Stream("text/plain", [b"abc", b"de"], "")
    assert pieces_of(stream, "event") == [b"abc", b"de"]
    assert pieces_of(stream, "4") == [b"abcd", b"e"]


@pytest.mark.parametrize("size", [[], ["100"]])
def test_a_process_measures_a_contestant(size: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks.decoders", "tokenwire", "darkai", "event", "20"]
    done = subprocess.run([*command, *size], capture_output=True, text=True, cwd=ROOT, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["pass_us"] == pytest.approx(figures["cpu_us"] * 20)


def test_a_process_fails_at_another_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECODERS, "by hand", lambda dialect: lambda pieces: "wrong")
    monkeypatch.setattr(sys, "argv", ["decoders", "by hand", "openai", "event", "3"])
    with pytest.raises(SystemExit, match="another text came out: 'wrong'"):
        importlib.import_module("benchmarks.decoders").main()


# Tables


def test_a_contestant_is_compared_with_the_floor_and_with_tokenwire() -> None:
    measured = {"floor": Figure(1, 0), "tokenwire": Figure(2, 0), "x": Figure(6, 1)}
    assert decode.compare(measured)["x"] == [(6, 1), 6.0, 3.0]
    assert decode.compare({"x": Figure(6, 1)})["x"] == [(6, 1), "", ""]


def test_goals_are_judged_by_what_was_measured() -> None:
    measured = {
        "floor": Figure(1, 0),
        "tokenwire": Figure(1.5, 0),
        "openai": Figure(150, 0),
        "httpx-sse": Figure(6, 0),
    }
    claude = {"tokenwire": Figure(1, 0), "anthropic stream()": Figure(30, 0)}
    figures = {"openai": {"65536": measured}, "anthropic": {"event": claude}}
    table = decode.goals(figures, {"tokenwire": [5, 9]})
    assert table is not None
    assert dict(table.rows) == {
        "openai: tokenwire / floor, pieces of 64 KiB": ["at most 1.4", 1.5, "missed"],
        "openai: openai / tokenwire, pieces of 64 KiB": ["at least 80", 100.0, "met"],
        "openai: httpx-sse / tokenwire, pieces of 64 KiB": ["at least 5", 4.0, "missed"],
        "anthropic: anthropic stream() / tokenwire, one event per piece": [
            "at least 20",
            30.0,
            "met",
        ],
        "tokenwire, one event of 2 MiB, ms per MiB": ["at most 8", 9, "missed"],
    }
    assert decode.goals({"openai": {}, "anthropic": {}}, {}) is None


def test_who_is_not_installed_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PEERS", tmp_path)
    monkeypatch.setattr(decode, "NODE", None)
    names, note = decode.lineup()
    assert names == list(EVERY_DIALECT)
    assert note.startswith("Not installed here, and left out: httpx-sse, ")
    assert EVENTSOURCE in note
    assert decode.lineup(["floor"]) == (["floor"], "")
    assert decode.contestant("floor", "openai", 1).command[0] == sys.executable


def test_a_plot_of_the_same_figures_is_the_same_file(tmp_path: Path) -> None:
    panels = [
        growth.Panel(kind, [1, 10], ["one", "ten"], {"line": {1: 1.0, 10: 9.5}}, "ms", kind)
        for kind in ("flat", "linear")
    ]
    growth.plot(panels, tmp_path / "a.svg")
    growth.plot(panels, tmp_path / "b.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert "ten</text>" in drawn
    assert "<dc:date>" not in drawn


def test_sizes_are_told_in_words() -> None:
    assert [growth.words(size) for size in (100, 1024, 8 << 20)] == ["100 B", "1 KiB", "8 MiB"]


@LINUX
def test_tokenwire_starts_in_an_environment_of_its_own_and_compiled() -> None:
    with start.own_environment() as python:
        command = [python, "-c", "import tokenwire as t; print(t.__file__, t.__cached__)"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        for file in done.stdout.split():
            assert Path(file).is_relative_to(Path(python).parents[1])
            assert Path(file).exists()


@LINUX
def test_an_import_measures_itself() -> None:
    command = [sys.executable, "-c", start.IMPORT, "tokenwire"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout).keys() == {"wall_ms", "cpu_ms", "mib"}


@LINUX
def test_a_first_answer_is_timed_to_its_end() -> None:
    with start.origin() as url:
        command = [sys.executable, "-c", start.ASK_TOKENWIRE + start.NOW, url]
        done = subprocess.run(
            [sys.executable, "-c", start.SPAWN, *command],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
    assert json.loads(done.stdout)["wall_ms"] > 0


# Gateways


@LINUX
def test_gateways_are_measured_in_each_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "BENCH", Path(sys.executable).parent)
    monkeypatch.setattr(gateways, "STREAMS_AT_ONCE", 4)
    direct = gateways.GATEWAYS["no gateway"]
    with gateway.origins(0.2) as ports:
        known = gateways.measured(direct, ports, 0.2)
        assert {name for name in known if not isnan(known[name])} == {"relay_first_ms"}
        for name in ("bare ASGI relay", "bare ASGI relay, pushed"):
            figures = gateways.measured(gateways.GATEWAYS[name]._replace(idle=4), ports, 0.2)
            assert figures.keys() == known.keys()
            unknown = {key for key in figures if isnan(figures[key])}
            assert {key.partition("_")[0] for key in unknown} == {"chat", "messages"}
        figures = gateways.measured(gateways.GATEWAYS["tokenwire"]._replace(idle=4), ports, 0.2)
        assert all(figure > 0 for name, figure in figures.items() if name != "idle_kib")


def test_callers_say_what_a_gateway_answered_instead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            for _ in range(3):
                sock, _ = listener.accept()
                with sock:
                    sock.recv(65536)
                    sock.sendall(b"HTTP/1.1 500 No\r\n\r\n" + b'{"content":"x"}')

        server = threading.Thread(target=refuse)
        server.start()
        asking = callers.Asking("openai", listener.getsockname()[1], "/", "m")
        with pytest.raises(SystemExit, match="500 No"):
            callers.text_of(asking)
        for stream in (True, False):
            with callers.Callers() as several:
                several.come(asking._replace(stream=stream))
                with pytest.raises(SystemExit, match=r"500 No|closed the connection"):
                    several.run(60)
        server.join()


def test_a_gateways_figures_are_judged() -> None:
    def figures(**known: float) -> dict[str, Figure]:
        whats = ("us", "kept", "first_ms")
        lanes = [f"{lane}_{what}" for lane in gateways.LANES for what in whats]
        names = [*lanes, "answers_s", "rest_mib", "idle_kib", "ready_s"]
        return {name: Figure(known.get(name, nan), 0) for name in names}

    results = {
        "no gateway": figures(relay_first_ms=1),
        "bare ASGI relay": figures(relay_us=50),
        "tokenwire": figures(
            relay_us=55, chat_us=90, messages_us=75, relay_first_ms=1.5, answers_s=900, rest_mib=46
        ),
        "litellm": figures(relay_us=550, relay_kept=0.8, relay_first_ms=3, answers_s=90),
    }
    assert dict(gateway.goals(results).rows) == {
        "relay: ours / bare ASGI relay, CPU per event": ["at most 1.15", 1.1, "met"],
        "chat in front of Anthropic: ours / bare ASGI relay": ["at most 1.6", 1.8, "missed"],
        "Anthropic in front of chat: ours / bare ASGI relay": ["at most 1.6", 1.5, "met"],
        "relay: litellm / ours, CPU per event": ["at least 9", 10, "met"],
        "short answers per CPU second: ours / litellm": ["at least 8", 10, "met"],
        "first text, ms added": ["at most 1", 0.5, "met"],
        "first text, time added: litellm / ours": ["at least 5", 4, "missed"],
        "MiB at rest": ["at most 45", 46, "missed"],
    }
    assert not gateway.goals({"nginx": figures()}).rows
    assert gateway.events_table(results).rows["litellm"][:3] == [Figure(550, 0), 11, 2]
    assert "litellm, relay (80% of the events" in gateway.events_table(results).note
    assert "Not installed here: nginx." in gateway.process_table(results, ["nginx"]).note


def test_a_gateway_that_does_not_start_says_why() -> None:
    def start(port: int, ports: Mapping[str, int], directory: Path) -> gateways.Started:
        return gateways.Started([sys.executable, "-c", "1 / 0"])

    broken = gateways.GATEWAYS["tokenwire"]._replace(start=start)
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        gateways.measured(broken, {}, 1)


# Everything

PAGE = """# Page
<!-- decode goals -->
old
<!-- end of decode goals -->
between
<!-- start -->
old start
<!-- end of start -->
<!-- decode -->
old decode
<!-- end of decode -->
behind
"""


def test_results_replace_what_stands_between_the_markers_of_their_place() -> None:
    page = everything.replaced(PAGE, "decode", "new\n")
    assert page == PAGE.replace("old decode\n", "\nnew\n\n")
    assert everything.replaced(page, "decode", "old decode") == PAGE.replace(
        "old decode\n", "\nold decode\n"
    )


@pytest.mark.parametrize("page", ["", "<!-- start -->\n", "<!-- end of start -->\n"])
def test_a_page_without_both_markers_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="no markers for start"):
        everything.replaced(page, "start", "")


def test_the_page_has_a_place_for_each_part_and_its_goals() -> None:
    page = everything.README.read_text(encoding="utf-8")
    parts = ("start", "decode", "sockets", "gateway")
    for place in (*everything.PARTS, *(f"{part} goals" for part in parts)):
        assert everything.replaced(page, place, "new") != page


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PAGE, in which `main` is to write."""
    (tmp_path / "ready").touch()
    (tmp_path / "README.md").write_text(PAGE)
    monkeypatch.setattr(everything, "PEERS", tmp_path)
    monkeypatch.setattr(everything, "README", tmp_path / "README.md")
    monkeypatch.setattr(everything, "circumstances", lambda: "by hand\n")
    return tmp_path / "README.md"


def run_start(rounds: int, *, quick: bool) -> Iterator[Table]:
    """In the place of a part: one that fails."""
    yield Table("Import", ("ms",), {"x": [rounds]})
    raise SystemExit("x failed")


def run_decode(rounds: int, *, quick: bool) -> list[Table]:
    """In the place of a part."""
    goals = Table("Goals of decoding", ("goal",), {"y": ["met"]})
    return [Table("Decoding", ("µs",), {"y": [rounds]}), goals]


def test_a_part_that_fails_keeps_the_others(
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(start, "run", run_start)
    monkeypatch.setattr(decode, "run", run_decode)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "decode", "start"])
    with pytest.raises(SystemExit, match="failed: start"):
        everything.main()
    text = page.read_text()
    assert "old start" in text
    assert "old decode" not in text
    _, decoding = text.split("<!-- decode -->")
    assert decoding.startswith("\n\nby hand\n\n### Decoding\n\n| | µs |\n|---|---|\n| y | 7 |\n")
    assert text.index("| y | met |") < text.index("<!-- end of decode goals -->")
    assert "x failed" in caplog.text
    assert capsys.readouterr().out.count("### Import") == 1  # what there was is told, once


def test_a_quick_run_is_only_printed(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decode, "run", run_decode)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--only", "decode"])
    everything.main()
    assert page.read_text() == PAGE
    assert "| y | 2 |" in capsys.readouterr().out


def test_nothing_runs_without_the_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everything, "PEERS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(SystemExit, match=r"make \.peers/ready"):
        everything.main()


def test_the_circumstances_are_told() -> None:
    told = everything.circumstances()
    assert f"CPython {sys.version.split()[0]}" in told or sys.implementation.name != "cpython"
    assert "cores" in told


def test_signing_is_measured() -> None:
    table = signing.run(passes=1, requests=2)
    assert list(table.rows) == ["tokenwire", "botocore"]


# Batches


def test_the_document_of_the_origin_says_its_text() -> None:
    head, _, body = document("Hi, ü").partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    exchange = PROVIDERS["openai"].exchange(as_chat("q", model="m"), base_url="http://localhost")
    assert drive(exchange, Response(body, 200, JSON)).succeeded().reply.text == "Hi, ü"


def test_the_goals_of_batches_are_judged() -> None:
    figures = {
        "tokenwire batch": {"cpu_us": Figure(100, 1), "rows_s": Figure(1000, 1)},
        "openai async": {"cpu_us": Figure(499, 1)},
    }
    rows = batch.goals({64: figures, 512: {}}, {}).rows
    assert list(rows.values()) == [
        ["at least 5", 4.99, "missed"],
        ["at least 1,000", 1000, "met"],
    ]
    paced = {
        "tokenwire batch": {"rows_s": Figure(50, 1), "cores": Figure(1, 0)},
        "tokenwire clients": {"rows_s": Figure(100, 1)},
    }
    assert list(batch.goals({}, paced).rows.values()) == [
        ["under 1", 1, "missed"],
        ["at least 0.9", 0.5, "missed"],
    ]

"""The soak itself, with few streams: that it runs, and that it sees what is wrong."""

import asyncio
import os
import resource
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("it looks into /proc", allow_module_level=True)

from tests import soak
from tests.soak import EARLY, FAULTY, KINDS, LOOPS, Address, Figures, Setting, Stream
from tokenwire import Chat, Disconnected, End, Event, Service, Text, Truncated, pair
from tokenwire.protocols.echo import echo
from tokenwire.server import serve
from tokenwire.transports import asyncio as asyncio_transport

SETTING = Setting("asyncio", tls=False, streams=20, seconds=0, rounds=1)


@pytest.mark.parametrize(("loop", "layer"), [("anyio on asyncio", "plain"), ("trio", "tls")])
def test_a_small_soak(loop: str, layer: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two hundred streams twenty have faults, so that each kind is among them."""
    arguments = ["--streams", "200", "--seconds", "0", "--rounds", "1"]
    code = soak.main([*arguments, "--loops", loop, "--layers", layer])
    said = capsys.readouterr().out
    assert code == 0, said
    counts = said.partition("streams by kind: ")[2].strip().split(", ")
    numbers = {name: int(number) for name, _, number in (c.rpartition(" ") for c in counts)}
    assert list(numbers) == list(KINDS)
    assert sum(numbers.values()) == 200
    assert all(numbers.values())


def answered(stream: Stream) -> Stream:
    """`stream`, with the events of its whole answer."""
    provider = stream.kind.provider
    exchange = stream.exchange("http://127.0.0.1")
    stream.events += pair(exchange, Service(provider), echo(provider))
    return stream


def test_what_is_right_is_no_problem() -> None:
    assert answered(Stream(3, KINDS["openai"])).problem() is None
    assert answered(Stream(3, KINDS["large"])).problem() is None
    early = answered(Stream(3, KINDS["left early"]))
    del early.events[EARLY:]
    assert early.problem() is None
    assert Stream(3, KINDS["reset"], error=Truncated("")).problem() is None
    whole = answered(Stream(3, KINDS["closed"])).events
    for count in range(len(whole)):
        cut = Stream(3, KINDS["closed"], whole[:count], Truncated(""))
        if cut.problem() is None:
            break
    else:
        pytest.fail("there is no beginning that is right")


def test_what_is_wrong_is_a_problem() -> None:
    lost = answered(Stream(3, KINDS["darkai"]))
    del lost.events[7]
    assert "darkai 3: " in (lost.problem() or "")
    strange = Stream(3, KINDS["aichats"], answered(Stream(4, KINDS["aichats"])).events)
    assert "aichats 3: " in (strange.problem() or "")
    failed = Stream(3, KINDS["darkai"], error=Truncated("the stream ended"))
    assert "it came to Truncated" in (failed.problem() or "")
    other = Stream(3, KINDS["closed"], error=Disconnected("gone"))
    assert "it came to Disconnected" in (other.problem() or "")
    spared = answered(Stream(3, KINDS["closed"]))
    assert "it came to None" in (spared.problem() or "")
    mixed = Stream(3, KINDS["reset"], [Text("another")], Truncated(""))
    assert "no beginning" in (mixed.problem() or "")
    early = answered(Stream(3, KINDS["left early"]))
    assert f"{len(early.events)} events" in (early.problem() or "")
    short = Stream(3, KINDS["closed"], [], Truncated(""))
    assert "not all that came" in (short.problem() or "")


def test_each_kind_of_fault_comes_round() -> None:
    kinds = [soak.kind_of(number) for number in range(1000)]
    assert {kind.name for kind in kinds} == set(KINDS)
    assert sum(kind in FAULTY for kind in kinds) == 100


def test_a_server_that_mixes_up_its_answers_is_seen() -> None:
    def answer(chat: Chat) -> list[Event]:
        return [Text("stale"), End("terminator")]

    with serve("ylokh", answer) as server:
        address = Address(dict.fromkeys(KINDS, server.url), None, 1)
        figures = asyncio.run(soak.soak(SETTING, address, asyncio_transport.Client))
    assert figures.finished == 20
    assert len(figures.problems) == 20, figures.problems


def test_what_is_left_open_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def leaking(main: soak.Main) -> Figures:
        opened.append(os.open(os.devnull, os.O_RDONLY))
        return Figures(SETTING, rss=[1], objects=[1])

    monkeypatch.setitem(LOOPS, "asyncio", (leaking, asyncio_transport.Client))
    figures = soak.run(SETTING, Address({}, None, 1))
    for file in opened:
        os.close(file)
    (problem,) = figures.problems
    assert "files are open" in problem


def test_memory_that_grows_is_seen() -> None:
    flat = Figures(SETTING, rss=[100, 104, 103, 150], objects=[50_000, 50_100, 50_050, 99_000])
    flat.check()
    assert flat.problems == []
    growing = Figures(SETTING, rss=[100, 120, 140], objects=[50_000, 53_000, 56_000])
    growing.check()
    assert [problem.split(" grew")[0] for problem in growing.problems] == [
        "memory in MiB",
        "objects",
    ]


def test_a_limit_of_descriptors_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def getrlimit(_: int) -> tuple[int, int]:
        return 10, 20

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    with pytest.raises(
        SystemExit, match="30 file descriptors are needed, and the system allows 20"
    ):
        soak.allow_descriptors(30)

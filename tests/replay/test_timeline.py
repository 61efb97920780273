"""The page: what it shows, and that nothing in it runs."""

import re
from html.parser import HTMLParser

import msgspec
import pytest

from tests.replay.taping import cassette, recording
from tokenwire import Clocks, LocalProtocolError, Truncated
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.replay import charts as charting
from tokenwire.replay.cassette import Cassette, Head, Noted, Piece, Recording, Sent
from tokenwire.replay.charts import Chart, charts
from tokenwire.replay.show import lines_of
from tokenwire.replay.timeline import shown, timeline

HOSTILE = '</svg><script>alert(1)</script><img src="http://evil.example/x">'


def sse(*texts: str, **fields: str) -> bytes:
    chunk = {
        "id": "a",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "".join(texts), **fields}}],
    }
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def of_pieces(*pieces: Piece, **changes: object) -> Cassette:
    one = msgspec.structs.replace(recording(), pieces=pieces, **changes)
    return cassette(one)


class Parsed(HTMLParser):
    """The tags of a page, each with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, name: str, kind: str) -> list[dict[str, str | None]]:
        return [a for tag, a in self.tags if tag == name and kind in (a.get("class") or "").split()]


def only(found: Cassette) -> Chart:
    (chart,) = charts(found)
    return chart


def test_nothing_in_it_runs_or_loads() -> None:
    pieces = (Piece(1, sse(HOSTILE)), Piece(2, HOSTILE.encode()))
    hostile = Sent("POST", f"http://a/{HOSTILE}", {}, {"messages": [], "model": HOSTILE})
    found = Cassette(
        (
            *of_pieces(*pieces).recordings,
            Recording(hostile, Head(200), pieces, outcome=Noted(HOSTILE, HOSTILE)),
        ),
        title=HOSTILE,
        by=HOSTILE,
        recorded=HOSTILE,
    )
    page = timeline(found)
    parsed = Parsed(page)
    names = {tag for tag, _ in parsed.tags}
    assert names.isdisjoint(("script", "img", "link", "iframe", "object", "a", "use", "image"))
    assert not any(
        key.startswith("on") or key in ("src", "href") for _, a in parsed.tags for key in a
    )
    assert HOSTILE in parsed.text
    assert "default-src 'none'" in page
    assert "url(" not in page


def test_where_it_broke_off() -> None:
    """The red line is at the last piece, and the bytes that were under way are marked."""
    half = b'data: {"id": "a", '
    found = of_pieces(Piece(10, sse("It ")), Piece(300, sse("is")), Piece(20, half))
    chart = only(found)
    assert chart.fault is not None
    assert chart.fault.reason.startswith("the stream ended before data: [DONE]")
    assert (chart.fault.at, chart.fault.offset) == (chart.rows[-1].at, chart.size)
    assert chart.fault.partial == len(half)
    assert chart.fault.excerpt.endswith(half)
    assert chart.fault.start == max(0, chart.size - 256)
    assert (chart.first_event, chart.first_text) == (15.0, 15.0)
    assert chart.longest_gap == 300
    page = timeline(found)
    parsed = Parsed(page)
    assert len(parsed.of("path", "fault")) == 2  # one on each axis
    assert "M976.0 " in str(parsed.of("path", "fault")[0]["d"])
    assert re.search(r"<mark>data: \{&quot;id&quot;: &quot;a&quot;, </mark>", page)
    assert page.count("<mark>") > 1  # as text, and in hex
    assert '<span class="word bad">truncated</span>' in page


def test_a_fault_before_the_end() -> None:
    pieces = (Piece(1, sse("a")), Piece(1, b"data: {\n\n"), Piece(1, sse("b")))
    chart = only(of_pieces(*pieces))
    assert chart.fault is not None
    assert (chart.fault.at, chart.fault.offset) == (chart.rows[1].at, chart.rows[2].offset)
    assert chart.fault.excerpt[-chart.fault.partial :] == b"data: {\n\n"
    assert [len(row.events) for row in chart.rows] == [2, 0, 0]


def test_a_fault_of_the_last_attempt() -> None:
    broken = msgspec.structs.replace(recording(), pieces=(Piece(1, b"data: {\n\n"),))
    chart = only(
        cassette(
            broken, msgspec.structs.replace(recording(upto=300), outcome=Noted("truncated", ""))
        )
    )
    assert chart.fault is not None
    assert (chart.fault.offset, chart.size) == (309, 309)
    assert chart.fault.reason.startswith("the stream ended before data: [DONE]")


def test_an_error_that_is_known() -> None:
    """Of a format that only the program knows, the recording does not tell it."""
    pieces = (Piece(1, b"Blue"), Piece(2, b"?"))
    own = Cassette((Recording(Sent("POST", "http://a/own"), Head(200), pieces, end="eof"),))
    assert only(own).fault is None
    page = timeline(own, Truncated("it never said stop"))
    assert len(Parsed(page).of("path", "fault")) == 2
    assert '<p class="reason">it never said stop</p>' in page


def test_a_success() -> None:
    page = timeline(cassette(recording((61, 190, 7), gap=15)))
    parsed = Parsed(page)
    assert '<span class="word good">complete</span> \u00b7 shown by: terminator' in page
    assert parsed.of("path", "fault") == []
    assert len(parsed.of("rect", "bar")) == 8
    assert len(parsed.of("rect", "text")) == 4  # a word came by the piece before the last
    assert len(parsed.of("path", "head")) == 2
    assert "Why?" in parsed.text
    assert "<mark>" not in page


def test_pieces_of_one_read_keep_alives_and_kinds_of_events() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    pieces = (
        Piece(1, sse("a")),
        Piece(0, sse("b", reasoning_content="why")),
        Piece(0, sse(tool_calls=[call])),  # type: ignore[arg-type]
        Piece(5, b": ping\n\n"),
        Piece(5, b'data: {"odd": 1}\n\n'),
        Piece(5, b"data: [DONE]\n\n"),
    )
    found = msgspec.structs.replace(of_pieces(*pieces), provider="deepseek")
    chart = only(found)
    assert [row.joined for row in chart.rows] == [False, True, True, False, False, False]
    assert [row.idle for row in chart.rows] == [False, False, False, True, False, False]
    parsed = Parsed(timeline(found))
    assert len(parsed.of("path", "cut")) == 2
    assert len(parsed.of("rect", "idle")) == 2
    for lane in ("frame", "thought", "text", "tool", "other"):
        assert parsed.of("rect", lane), lane
    assert len(parsed.of("path", "step")) == 4


def test_a_clock_that_would_have_run_out() -> None:
    late = of_pieces(
        Piece(130_000, sse("a")), Piece(70_000, sse("b")), Piece(1, b"data: [DONE]\n\n")
    )
    chart = only(late)
    assert chart.clocks == (("first_event", 120_000), ("idle", 190_005.0))
    parsed = Parsed(timeline(late))
    assert len(parsed.of("path", "clock")) == 2
    assert "200 s" in parsed.text


def test_a_provider_without_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = PROVIDERS["openai"].replace(clocks=Clocks(first_event=None, idle=None))

    def provider_of(*_: object) -> Provider:
        return patient

    monkeypatch.setattr(charting, "provider_of", provider_of)
    assert only(of_pieces(Piece(500_000, sse("a")))).clocks == ()


def test_what_nobody_can_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LocalProtocolError("nobody can be asked this")

    monkeypatch.setattr(charting, "decoded", fail)
    chart = only(cassette())
    assert (chart.noted.outcome, chart.fault, chart.events) == ("not decoded", None, [])


def test_no_answer_no_format_no_request() -> None:
    nothing = Recording(Sent("POST", "http://a/v1/chat/completions"), end="unreached")
    page = timeline(Cassette((nothing,)))
    assert "no connection could be made" in page
    assert "head after" not in page
    strange = Recording(
        Sent("GET", "http://a/things"), Head(200), (Piece(0, b"\xff\x00"),), end="eof"
    )
    chart = only(Cassette((strange,)))
    assert (chart.title, chart.provider, chart.noted.outcome) == (
        "http://a/things",
        "",
        "not decoded",
    )
    assert "\\xff\u2400" in timeline(Cassette((strange,)))
    assert "The cassette has no request" in timeline(Cassette())


def test_a_retry_is_one_question() -> None:
    refused = Recording(
        recording().request, Head(429, after=3), (Piece(1, b'{"error": {}}'),), end="eof"
    )
    done = msgspec.structs.replace(recording(), outcome=Noted("complete", "terminator"))
    found = cassette(refused, done)
    chart = only(found)
    assert [head.status for head in chart.heads] == [429, 200]
    assert chart.rows[0].number == 1
    assert chart.heads[1].offset == 13
    assert "429, 200" in timeline(found)


def test_controls_are_visible() -> None:
    assert shown("a\r\nb\x1b\u202e\x85") == "a\u21b5b\u241b\ufffd\ufffd"


def many(count: int) -> Cassette:
    return of_pieces(*(Piece(1 + n % 5, sse(f"word{n} ")) for n in range(count)))


def test_ten_thousand_pieces() -> None:
    page = timeline(many(10_000))
    assert len(page) < 2 * 1024 * 1024
    assert page.count('<rect class="bar') < 2 * 2000
    assert "8,000 pieces are left out here" in page
    assert "<details><summary>10,000 pieces" in page


@pytest.mark.parametrize("count", [1, 3, 30])
def test_few_pieces(count: int) -> None:
    page = timeline(many(count))
    assert len(page) < 30 * 1024
    assert len(Parsed(page).of("rect", "bar")) == 2 * count


def test_as_text() -> None:
    found = cassette(recording((61, 190), gap=15), recording((1,), upto=700))
    lines = list(lines_of(found))
    assert lines[0].startswith("1. POST http")
    assert lines[0].endswith("/chat/completions  m  'Why?'")
    assert lines[2].endswith("-- status 200")
    assert lines[3].split()[:4] == ["0", "20.0", "15.0", "61"]
    assert lines[3].endswith("\u23d0")
    assert any("=> start, text" in line for line in lines)
    ends = [line for line in lines if "-- eof; " in line]
    assert ends[0].endswith("-- eof; complete (terminator)")
    assert "-- eof; truncated: the stream ended" in ends[1]
    same = of_pieces(Piece(1, sse("a")), Piece(0, sse("b")))
    assert any(" same read " in line for line in lines_of(same))
    bare = Recording(Sent("GET", "http://a/things"), Head(204), end="eof")
    assert [line.strip() for line in lines_of(Cassette((bare,)))][2:] == [
        "0.0                  -- status 204",
        "0        0.0                  -- eof; not decoded",
    ]

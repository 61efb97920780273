"""A page that shows a recording on one axis: bytes with their cuts, events, text, and the fault.

It is one file of HTML, without scripts and without addresses of anything; what a service said is
only ever text in it. Light and dark, and on paper.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from ..protocols.errors import TokenwireError
from ..protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from .cassette import Cassette
from .charts import Chart, Fault, Row, charts
from .decoding import kind_of

__all__ = ["shown", "timeline"]

WIDTH, LEFT, RIGHT = 1000, 76, 24  # of the drawing, and where its axis begins and ends
BYTES, EVENTS, TEXT = 34, 164, 262  # where the lanes begin
TALL, ROW, STEP, BOTTOM = 110, 14, 70, 352
MOST = 2000
"""Bars and marks of a lane; more of them are joined by their pixels."""
ROWS, OPEN = 1000, 200
"""Rows of the table at its beginning and at its end; up to how many it is unfolded."""
PIECE = 160
"""Characters of a piece that are shown."""

_DOT, _CUT = " \u00b7 ", "\u23d0"

_LANES: dict[str, tuple[type[Event], ...]] = {
    "frame": (Start, Finish, End, Usage),
    "thought": (Reasoning,),
    "text": (Text, Refusal, Image, Citation, LogProbs),
    "tool": (ToolCallStart, ToolCallDelta, ToolCallEnd),
    "other": (Unrecognized, Native),
}
_NAMES = {
    "frame": "start, end",
    "thought": "reasoning",
    "text": "text",
    "tool": "tool calls",
    "other": "other",
}
_LANE_OF = {kind: lane for lane, kinds in _LANES.items() for kind in kinds}

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1c2430;--soft:#647084;--line:#d9dee7;--card:#f5f7fa;
--bar:#5b7fbf;--frame:#2f8f5b;--thought:#8a63c4;--text:#2567c9;--tool:#b8660c;--other:#8b8f98;
--bad:#c8202f;--badbg:#fdecee;--good:#1d7a46;--goodbg:#e6f5ec;--mark:#ffd9dc}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--ink:#e4e8ee;--soft:#97a2b3;--line:#2c3440;
--card:#1a2029;--bar:#6f93d6;--frame:#4fb780;--thought:#ad8ae0;--text:#74a9f7;--tool:#e39a4a;
--other:#8b93a1;--bad:#ff6b77;--badbg:#3a171c;--good:#58c78b;--goodbg:#15301f;--mark:#6b2129}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 60px}
section+section{border-top:1px solid var(--line);margin-top:40px;padding-top:8px}
h1{font-size:22px;line-height:1.3;margin:12px 0 2px;overflow-wrap:anywhere}
.about{color:var(--soft);margin:0 0 14px;overflow-wrap:anywhere}
.word{display:inline-block;padding:1px 10px;border-radius:99px;font-weight:600;font-size:14px;
color:var(--soft);background:var(--card);border:1px solid currentColor}
.good{color:var(--good);background:var(--goodbg)}.bad{color:var(--bad);background:var(--badbg)}
.reason{color:var(--bad);margin:8px 0 0;font-weight:600;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(94px,1fr));gap:8px;margin:16px 0}
dl div{background:var(--card);border-radius:8px;padding:7px 10px}
dt{color:var(--soft);font-size:12px}dd{margin:0;font-weight:600;font-size:14px;white-space:nowrap;
font-variant-numeric:tabular-nums}
.axes{margin:18px 0 4px;font-size:13px;color:var(--soft)}
.axes label{padding:3px 12px;border:1px solid var(--line);cursor:pointer}
.axes label:first-of-type{border-radius:7px 0 0 7px}
.axes label:last-of-type{border-radius:0 7px 7px 0;border-left:0}
.pick{position:absolute;opacity:0}
.pick:focus-visible~.axes label{outline:2px solid var(--text)}
.by-bytes{display:none}
.pick-bytes:checked~.by-bytes{display:block}.pick-bytes:checked~.by-time{display:none}
.pick-time:checked~.axes .to-time,.pick-bytes:checked~.axes .to-bytes{background:var(--card);
color:var(--ink);font-weight:600}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.grid{stroke:var(--line);stroke-width:1}.head{stroke:var(--soft);stroke-dasharray:2 3}
.clock{stroke:var(--soft);stroke-dasharray:5 4;opacity:.7}
.bar{fill:var(--bar)}.idle{fill:none;stroke:var(--bar);stroke-width:1}.cut{stroke:var(--bg)}
.frame{fill:var(--frame)}.thought{fill:var(--thought)}.text{fill:var(--text)}
.tool{fill:var(--tool)}.other{fill:var(--other)}
.step{fill:none;stroke-width:1.8}.step.text{stroke:var(--text);fill:none}
.step.thought{stroke:var(--thought);fill:none}
.fault{stroke:var(--bad);stroke-width:2}svg text.why{fill:var(--bad);font-weight:600}
h2{font-size:15px;margin:22px 0 6px}
pre,td.said{font:12px/1.5 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}
pre{background:var(--card);border-radius:8px;padding:10px 12px;margin:0}
mark{background:var(--mark);color:inherit;border-radius:2px}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:500;text-align:left;font-size:12px}
td,th{padding:3px 10px 3px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}td.said{width:60%}
td.said b{color:var(--bad);font-weight:400}
summary{cursor:pointer;color:var(--soft)}
@media print{.axes{display:none}main{max-width:none;padding:0}}
"""


def timeline(cassette: Cassette, error: TokenwireError | None = None) -> str:
    """The page of a cassette: a section for each question. `error`: how they failed, if that is
    known; else it is what the decoder makes of the recording."""
    found = charts(cassette, error)
    sections = "\n".join(_section(chart, cassette, place) for place, chart in enumerate(found))
    title = cassette.title or (found[0].title if found else "an empty cassette")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title, 120)}</title><style>{_STYLE}</style></head>
<body><main>
{sections or "<p>The cassette has no request."}
</main></body></html>
"""


def shown(text: str) -> str:
    """`text` with its control characters, and those of the direction of writing, made visible."""
    return text.replace("\r\n", "\u21b5").translate(_VISIBLE)


_HIDDEN = "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode's controls of the direction of writing, and its ends of lines."""
_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x0A: "\u21b5",
    0x7F: "\u2421",
    **dict.fromkeys((*range(0x80, 0xA0), 0xFFFE, 0xFFFF), "\ufffd"),
    **dict.fromkeys(map(ord, _HIDDEN), "\ufffd"),
}


def _text(text: str, most: int = 400) -> str:
    """A text of the page: whatever it says, it is only shown."""
    return escape(shown(text if len(text) <= most else f"{text[:most]}\u2026"))


def _bytes(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _section(chart: Chart, cassette: Cassette, place: int) -> str:
    about = [chart.provider, chart.model, chart.address, cassette.recorded, cassette.by]
    noted = chart.noted
    kind = "good" if noted.outcome == "complete" else "bad" if chart.fault else ""
    evidence = f"{_DOT}shown by: {_text(noted.evidence)}" if noted.evidence else ""
    reason = f'<p class="reason">{_text(chart.fault.reason)}</p>' if chart.fault else ""
    picks = "".join(
        f'<input class="pick pick-{axis}" type="radio" name="axis{place}" id="{axis}{place}"'
        f"{' checked' if axis == 'time' else ''}>"
        for axis in ("time", "bytes")
    )
    return f"""<section>
<h1>{_text(chart.title, 160)}</h1>
<p class="about">{_text(_DOT.join(filter(None, about)))}</p>
<span class="word {kind}">{_text(noted.outcome.replace("_", " "))}</span>{evidence}{reason}
<dl>{"".join(_fact(*fact) for fact in _facts(chart))}</dl>
{picks}<div class="axes"><label class="to-time" for="time{place}">over time</label><label
class="to-bytes" for="bytes{place}">over bytes</label></div>
<div class="by-time">{_drawing(chart, by_time=True)}</div>
<div class="by-bytes">{_drawing(chart, by_time=False)}</div>
{"" if chart.fault is None else _excerpt(chart.fault)}
{_table(chart)}
</section>"""


def _facts(chart: Chart) -> Iterator[tuple[str, str]]:
    if chart.heads:
        status = ", ".join(str(head.status) for head in chart.heads)
        yield "status", status
        yield "head after", _time(chart.heads[0].at)
    if chart.first_event is not None:
        yield "first event", _time(chart.first_event)
    if chart.first_text is not None:
        yield "first text", _time(chart.first_text)
    yield "ended after", _time(chart.total)
    yield "longest gap", _time(chart.longest_gap)
    yield "bytes", f"{chart.size:,}"
    yield "pieces", f"{len(chart.rows):,}"
    yield "events", f"{len(chart.events):,}"
    yield "end", chart.end


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>"


def _time(millis: float) -> str:
    return f"{millis:,.1f} ms" if millis < 10_000 else f"{millis / 1000:,.2f} s"


# The drawing


def _drawing(chart: Chart, *, by_time: bool) -> str:
    total = (chart.total if by_time else chart.size) or 1
    span = WIDTH - LEFT - RIGHT

    def x(at: float) -> float:
        return round(LEFT + span * min(at / total, 1), 1)

    parts = [
        *_axis(total, x, by_time),
        *_bars(chart.rows, x, by_time),
        *_marks(chart, x, by_time),
        *_steps(chart, x, by_time),
        *(
            _line("head", x(h.at if by_time else h.offset), f"head, {h.status}")
            for h in chart.heads
        ),
    ]
    if by_time:
        parts += (_line("clock", x(at), f"the clock {name}") for name, at in chart.clocks)
    if chart.fault is not None:
        parts.append(_fault_line(chart.fault, x(chart.fault.at if by_time else chart.fault.offset)))
    what = "time" if by_time else "bytes"
    return (
        f'<svg viewBox="0 0 {WIDTH} {BOTTOM + 28}" role="img" '
        f'aria-label="bytes, events and text over {what}">{"".join(parts)}</svg>'
    )


def _axis(total: float, x: Callable[[float], float], by_time: bool) -> Iterator[str]:
    for name, top in (("bytes", BYTES), ("events", EVENTS), ("characters", TEXT)):
        yield f'<text x="0" y="{top - 2}">{name}</text>'
    for lane, name in enumerate(_NAMES.values()):
        y = EVENTS + 8 + lane * ROW
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{name}</text>'
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
    for bottom in (BYTES + TALL, TEXT + STEP):
        yield f'<path class="grid" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>'
    step = _nice(total / 8)
    place = 0
    while (at := place * step) <= total:
        label = _tick(at, total) if by_time else f"{at:,.0f} B"
        yield f'<path class="grid" d="M{x(at)} {BOTTOM - 8}v5"/>'
        yield f'<text x="{x(at)}" y="{BOTTOM + 11}" text-anchor="middle">{label}</text>'
        place += 1


def _nice(step: float) -> float:
    """A round number, about `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step)


def _tick(millis: float, total: float) -> str:
    return f"{millis:g} ms" if total < 10_000 else f"{millis / 1000:g} s"


def _bars(rows: Sequence[Row], x: Callable[[float], float], by_time: bool) -> Iterator[str]:
    reads = _reads(rows) if by_time else [[row] for row in rows]
    joined = len(reads) > MOST
    if joined:
        reads = _by_pixel(reads, lambda read: x(read[0].at if by_time else read[0].offset))
    most = max((sum(len(row.data) for row in read) for read in reads), default=1)
    for read in reads:
        size = sum(len(row.data) for row in read)
        tall = round(max(4, TALL * math.log(size + 1) / math.log(most + 1)), 1)
        y = round(BYTES + TALL - tall, 1)
        idle = " idle" if all(row.idle for row in read) else ""
        if by_time:
            left, wide = x(read[0].at) - 1.5, 3.0
        else:
            left = x(read[0].offset)
            wide = max(x(read[-1].offset + len(read[-1].data)) - left - 0.4, 0.4)
        said = f"<title>{_told(read, size)}</title>" if by_time else ""
        yield (
            f'<rect class="bar{idle}" x="{round(left, 1)}" y="{y}" width="{round(wide, 1)}" '
            f'height="{tall}">{said}</rect>'
        )
        if by_time and 1 < len(read) <= 20 and not joined:  # the cuts between its pieces
            done = 0
            for row in read[:-1]:
                done += len(row.data)
                cut = round(BYTES + TALL - tall * done / size, 1)
                yield f'<path class="cut" d="M{round(left, 1)} {cut}h{wide}"/>'


def _told(read: Sequence[Row], size: int) -> str:
    first, last = read[0], read[-1]
    which = f"piece {first.number}" if first is last else f"pieces {first.number} to {last.number}"
    return f"{which}: {size:,} bytes from {first.offset:,}, at {_time(first.at)}"


def _reads(rows: Iterable[Row]) -> list[list[Row]]:
    """The pieces of each read."""
    reads: list[list[Row]] = []
    for row in rows:
        if row.joined:
            reads[-1].append(row)
        else:
            reads.append([row])
    return reads


def _by_pixel(reads: list[list[Row]], x: Callable[[list[Row]], float]) -> list[list[Row]]:
    """Reads that are drawn at the same place, as one."""
    joined: dict[int, list[Row]] = {}
    for read in reads:
        joined.setdefault(round(x(read)), []).extend(read)
    return list(joined.values())


def _marks(chart: Chart, x: Callable[[float], float], by_time: bool) -> Iterator[str]:
    places: dict[tuple[float, str], list[str]] = {}
    for at, event in _placed(chart, by_time):
        lane = _LANE_OF[type(event)]
        places.setdefault((x(at), lane), []).append(kind_of(event))
    if len(places) > MOST:
        fewer: dict[tuple[float, str], list[str]] = {}
        for (at, lane), kinds in places.items():
            fewer.setdefault((float(round(at)), lane), []).extend(kinds)
        places = fewer
    lanes = list(_NAMES)
    for (at, lane), kinds in places.items():
        y = EVENTS + 3 + lanes.index(lane) * ROW
        said = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        title = "" if said == f"1 {lane}" else f"<title>{_text(said)}</title>"
        place = f'x="{round(at - 1.5, 1)}" y="{y}"'
        yield f'<rect class="{lane}" {place} width="3" height="10">{title}</rect>'


def _placed(chart: Chart, by_time: bool) -> Iterator[tuple[float, Event]]:
    """Each event, with the place of the piece that completed it."""
    for row in chart.rows:
        for event in row.events:
            yield (row.at if by_time else row.offset + len(row.data)), event
    for event in chart.last:
        yield (chart.total if by_time else chart.size), event


def _steps(chart: Chart, x: Callable[[float], float], by_time: bool) -> Iterator[str]:
    counts = {"text": 0, "thought": 0}
    points: dict[str, list[tuple[float, int]]] = {"text": [], "thought": []}
    for at, event in _placed(chart, by_time):
        if isinstance(event, Text | Reasoning):
            lane = _LANE_OF[type(event)]
            counts[lane] += len(event.text)
            if points[lane] and points[lane][-1][0] == x(at):
                points[lane].pop()
            points[lane].append((x(at), counts[lane]))
    most = max(counts.values())
    for lane, places in points.items():
        if not places:
            continue
        path = f"M{LEFT} {TEXT + STEP}"
        for at, count in places:
            path += f"H{at}V{round(TEXT + STEP - STEP * count / max(most, 1), 1)}"
        end = x(chart.total if by_time else chart.size)
        yield f'<path class="step {lane}" d="{path}H{end}"/>'
    yield f'<text x="{LEFT - 8}" y="{TEXT + 13}" text-anchor="end">{most:,}</text>'


def _line(kind: str, x: float, said: str) -> str:
    return f'<path class="{kind}" d="M{x} {BYTES}V{BOTTOM - 8}"><title>{said}</title></path>'


def _fault_line(fault: Fault, x: float) -> str:
    right = x > WIDTH / 2
    anchor, beside = ("end", x - 6) if right else ("start", x + 6)
    reason = fault.reason if len(fault.reason) <= 110 else f"{fault.reason[:110]}\u2026"
    return (
        f'<path class="fault" d="M{x} {BYTES - 24}V{BOTTOM - 8}"/>'
        f'<text class="why" x="{beside}" y="{BYTES - 16}" text-anchor="{anchor}">'
        f"{_text(reason)}</text>"
    )


# Below it


def _excerpt(fault: Fault) -> str:
    border = len(fault.excerpt) - fault.partial
    before, unit = fault.excerpt[:border], fault.excerpt[border:]
    marked = f"<mark>{_text(_bytes(unit))}</mark>" if unit else ""
    lines = [
        f"{fault.start + at:>8}  {_hex(fault.excerpt[at : at + 16], at, border)}"
        for at in range(0, len(fault.excerpt), 16)
    ]
    what = f"; marked: the unit under way, {fault.partial} bytes of it" if unit else ""
    return f"""<h2>The last bytes before byte {fault.offset:,}, where it broke{what}</h2>
<pre>{_text(_bytes(before))}{marked}<b class="reason">{_CUT}</b></pre>
<details><summary>in hex</summary><pre>{chr(10).join(lines)}</pre></details>"""


def _hex(data: bytes, at: int, border: int) -> str:
    marked = max(0, min(len(data), border - at))
    plain, unit = data[:marked].hex(" "), data[marked:].hex(" ")
    return " ".join(filter(None, (plain, f"<mark>{unit}</mark>" if unit else "")))


def _table(chart: Chart) -> str:
    rows = chart.rows
    left_out = max(0, len(rows) - 2 * ROWS)
    lines = [*map(_row, rows[:ROWS] if left_out else rows)]
    if left_out:
        lines.append(f'<tr><td colspan="6">{left_out:,} pieces are left out here</td></tr>')
        lines += map(_row, rows[-ROWS:])
    table = (
        '<table><thead><tr><th class="n">at</th><th class="n">gap</th><th class="n">offset</th>'
        '<th class="n">size</th><th>bytes, a cut after each row</th><th>events</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
    opened = " open" if len(rows) <= OPEN else ""
    return (
        f"<h2>Pieces</h2><details{opened}><summary>{len(rows):,} pieces</summary>{table}</details>"
    )


def _row(row: Row) -> str:
    kinds = [kind_of(event) for event in row.events]
    events = ", ".join(
        f"{kinds.count(kind)} {kind}" if kinds.count(kind) > 1 else kind
        for kind in dict.fromkeys(kinds)
    )
    gap = "same read" if row.joined else f"{row.gap:,.1f}"
    return (
        f'<tr><td class="n">{row.at:,.1f}</td><td class="n">{gap}</td>'
        f'<td class="n">{row.offset}</td><td class="n">{len(row.data)}</td>'
        f'<td class="said">{_text(_bytes(row.data), PIECE)}<b>{_CUT}</b></td>'
        f"<td>{_text(events)}</td></tr>"
    )

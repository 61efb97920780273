"""A cassette as text: what each piece was, when it came, and what it completed."""

from collections.abc import Iterator

from .cassette import Cassette
from .charts import Chart, Row, charts
from .decoding import kind_of

__all__ = ["lines_of"]

WIDE = 72
"""Characters of a piece that are shown."""


def lines_of(cassette: Cassette) -> Iterator[str]:
    """The lines that show `cassette`. They may have control characters of a service."""
    for number, chart in enumerate(charts(cassette), 1):
        yield f"{number}. {chart.address}  {chart.model}  {chart.title!r}"
        heads = {head.offset: head for head in chart.heads}
        yield f"{'offset':>8} {'ms':>10} {'gap':>8} {'size':>6}  bytes"
        for row in chart.rows:
            if row.offset in heads:
                head = heads.pop(row.offset)
                yield f"{'':>8} {head.at:>10.1f} {'':>8} {'':>6}  -- status {head.status}"
            yield _line(row)
        for head in heads.values():
            yield f"{'':>8} {head.at:>10.1f} {'':>8} {'':>6}  -- status {head.status}"
        yield f"{chart.size:>8} {chart.total:>10.1f} {'':>8} {'':>6}  -- {_end(chart)}"


def _line(row: Row) -> str:
    text = repr(row.data.decode("utf-8", "backslashreplace"))[1:-1]
    text = text if len(text) <= WIDE else f"{text[: WIDE - 1]}\u2026"
    events = ", ".join(kind_of(event) for event in row.events)
    gap = "same read" if row.joined else f"{row.gap:.1f}"
    said = f"  => {events}" if events else ""
    return f"{row.offset:>8} {row.at:>10.1f} {gap:>8} {len(row.data):>6}  {text}\u23d0{said}"


def _end(chart: Chart) -> str:
    noted = chart.noted
    evidence = f" ({noted.evidence})" if noted.evidence else ""
    reason = f": {chart.fault.reason}" if chart.fault is not None else ""
    return f"{chart.end}; {noted.outcome}{evidence}{reason}"

"""Makes docs/outcomes.md: what comes of each case on each transport, by running it.

make outcomes
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from tests.every_transport import TRANSPORTS
from tests.matrix import (
    CASES,
    CUTS,
    UNTESTED,
    But,
    Case,
    Cut,
    cut_everywhere,
    describe,
    observe,
)

PAGE = Path(__file__).parent.parent / "docs" / "outcomes.md"

HEAD = """# What comes of what

Each line is one thing that a server, a proxy or the network does, and what comes of it on each
transport, over real sockets and with short clocks. `make outcomes` makes this page by running
them all; `tests/matrix.py` has the table, and the tests run it too.

`✓`: the outcome is this one, what had come before was delivered first, and neither a socket nor a
task nor a thread is left behind. A number: see below the tables.
"""

CUT_HEAD = """
## Cut at every byte

A short answer is cut after every number of bytes, none and all of them included: those of its body,
or of the whole response with its head and the sizes of its chunks. Ended early: the body ends after
so many bytes as if that were all. `✓`: before the evidence of completion it never is a success, and
each event that is whole is delivered.
"""

Found = tuple[str, str]
"""Outcome and text."""


def page(
    outcome_of: Callable[[Case, str], Found], outcomes_of: Callable[[Cut, str], list[Found]]
) -> str:
    """The page, if that is what comes of a case, and of a cut at each offset, on a transport."""
    notes: list[But] = []
    lines = [HEAD]
    for group in dict.fromkeys(case.group for case in CASES):
        lines += [f"\n## {group}\n", _row("the server", "outcome", "came before", *TRANSPORTS)]
        lines += [_row(*["---"] * (3 + len(TRANSPORTS)))]
        for case in CASES:
            if case.group == group:
                cells = [_cell(case, name, outcome_of(case, name), notes) for name in TRANSPORTS]
                text = f"`{case.text.strip()}`" if case.text else ""
                lines += [_row(case.name, case.outcome, text, *cells)]
    lines += [CUT_HEAD, _row("the server", "requests", *TRANSPORTS)]
    lines += [_row(*["---"] * (2 + len(TRANSPORTS)))]
    for cut in CUTS:
        cells = [_cut_cell(cut, outcomes_of(cut, name)) for name in TRANSPORTS]
        lines += [_row(cut.name, str(len(cut.counts)), *cells)]
    lines += ["\n## Why not the same\n"]
    lines += [f"{number}. {_note(but)}" for number, but in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _cell(case: Case, transport: str, found: Found, notes: list[But]) -> str:
    if found != case.expected(transport):
        return f"WRONG: {found[0]}"
    but = case.but(transport)
    if but is None:
        return "✓"
    if but not in notes:
        notes.append(but)
    return f"{notes.index(but) + 1}"


def _cut_cell(cut: Cut, found: list[Found]) -> str:
    as_expected = [
        is_so == should_be for is_so, should_be in zip(found, cut.expected(), strict=True)
    ]
    return "✓" if all(as_expected) else f"WRONG at {as_expected.index(False)}"


def _note(but: But) -> str:
    return but.reason if but.outcome == UNTESTED else f"{but.outcome}. {but.reason}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def run(case: Case, transport: str) -> Found:
    """What comes of `case`, but for what can't be tested."""
    if case.expected(transport)[0] == UNTESTED:
        return case.expected(transport)
    outcome = observe(case, transport)
    return describe(outcome), outcome.reply.text


def main() -> None:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # its debug mode tells of each slow step
    made = page(run, cut_everywhere)
    PAGE.write_text(made, encoding="utf-8")
    if "WRONG" in made:
        sys.exit(f"{PAGE} has cells that are WRONG")


if __name__ == "__main__":
    main()

"""Generates docs/outcomes.md by running each case on each transport.

make outcomes
"""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.every_transport import TRANSPORTS
from tests.matrix import (
    CASES,
    CUTS,
    FORMAT_CASES,
    FORMAT_TRANSPORTS,
    UNTESTED,
    But,
    Case,
    Cut,
    FormatCase,
    cut_everywhere,
    describe,
    observe,
)

PAGE = Path(__file__).parent.parent / "docs" / "outcomes.md"

HEAD = """# Outcomes

Each row is one thing that a server, a proxy or the network does, and the outcome on each transport,
over real sockets and with short clocks. `make outcomes` generates this page by running every row;
`tests/matrix.py` contains the cases, and `make test` runs them, too.

- `✓` means: the outcome is the one in the second column, the text received before it was delivered
  first, and no socket, task or thread is left over.
- A number refers to the [exceptions](#exceptions) at the end.
"""

FORMAT_HEAD = """
## Every format

The answer of each format, whole and with what can happen to any of them. `✓` means: the outcome is
the same as without a network, and so is the text before it.
"""

CUT_HEAD = """
## Truncated at every byte

A short answer is truncated after each byte, from none to all of them: the bytes of its body, or
those of the whole response, including its head and chunk sizes. In the rows "ended early" the body
ends after that many bytes as if it were complete. `✓` means: without the evidence of completion, no
truncated answer is a success, and every complete event is delivered.
"""

Found = tuple[str, str]
"""An outcome, and the text before it."""


def page(
    outcome_of: Callable[[Case, str], Found], outcomes_of: Callable[[Cut, str], list[Found]]
) -> str:
    """The page, from the outcome of a case on a transport, and those of a cut at each offset."""
    notes: list[But] = []
    lines = [HEAD]
    for group in dict.fromkeys(case.group for case in CASES):
        lines += [f"\n## {group}\n", _row("the server", "outcome", "text before it", *TRANSPORTS)]
        lines += [_row(*["---"] * (3 + len(TRANSPORTS)))]
        for case in CASES:
            if case.group == group:
                cells = [_cell(case, name, outcome_of(case, name), notes) for name in TRANSPORTS]
                text = f"`{case.text.strip()}`" if case.text else ""
                lines += [_row(case.name, case.outcome, text, *cells)]
    lines += [FORMAT_HEAD, _row("the server", "outcome", "formats", *FORMAT_TRANSPORTS)]
    lines += [_row(*["---"] * (3 + len(FORMAT_TRANSPORTS)))]
    lines += _format_rows(outcome_of)
    lines += [CUT_HEAD, _row("the server", "requests", *TRANSPORTS)]
    lines += [_row(*["---"] * (2 + len(TRANSPORTS)))]
    for cut in CUTS:
        cells = [_cut_cell(cut, outcomes_of(cut, name)) for name in TRANSPORTS]
        lines += [_row(cut.name, str(len(cut.counts)), *cells)]
    lines += ["\n## Exceptions\n"]
    lines += [f"{number}. {_note(but)}" for number, but in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _format_rows(outcome_of: Callable[[Case, str], Found]) -> Iterator[str]:
    """A row for all formats that agree about a case; where some don't, those are named first."""
    rows: dict[str, dict[str, list[FormatCase]]] = {}
    for case in FORMAT_CASES:
        rows.setdefault(case.name, {}).setdefault(case.kind, []).append(case)
    for name, kinds in rows.items():
        *others, most = sorted(kinds.items(), key=lambda kind: len(kind[1]))
        for kind, cases in (*others, most):
            who = ", ".join(case.subject for case in cases)
            if kind == most[0]:
                who = "all others" if others else "all"
            cells = (_format_cell(cases, name, outcome_of) for name in FORMAT_TRANSPORTS)
            yield _row(name, kind, who, *cells)


def _format_cell(
    cases: list[FormatCase], transport: str, outcome_of: Callable[[Case, str], Found]
) -> str:
    wrong = [c.subject for c in cases if outcome_of(c, transport) != c.expected(transport)]
    return f"WRONG: {', '.join(wrong)}" if wrong else "✓"


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
    """The outcome of `case`, unless it can't be tested."""
    if case.expected(transport)[0] == UNTESTED:
        return case.expected(transport)
    outcome = observe(case, transport)
    return describe(outcome), outcome.reply.text


def main() -> None:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # its debug mode reports each slow step
    made = page(run, cut_everywhere)
    PAGE.write_text(made, encoding="utf-8")
    if "WRONG" in made:
        sys.exit(f"{PAGE} has cells that are WRONG")
    print(
        f"{len(CASES)} cases and {len(CUTS)} answers truncated at every byte, "
        f"on {len(TRANSPORTS)} transports, and {len(FORMAT_CASES)} cases of formats, "
        f"on {len(FORMAT_TRANSPORTS)}: each as expected"
    )


if __name__ == "__main__":
    main()

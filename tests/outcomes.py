"""Makes docs/outcomes.md: what comes of each case on each transport, by running it.

make outcomes
"""

from pathlib import Path

from tests.test_transports import FAULTS, HARMLESS, ask, clocks_for
from tests.transports import TRANSPORTS
from tokenwire import NO_RETRY
from tokenwire.transports.faults import Fault
from tokenwire.transports.server import serve

PAGE = Path(__file__).parent.parent / "docs" / "outcomes.md"

HEAD = """# What comes of what

Each case is one answer of the embedded server, asked for by each transport, with short clocks.
`make outcomes` makes this page by running them; a row that is the same for all says so once.
In every one of these cases what had come before was delivered first.

| the server | outcome |
|---|---|
"""


def outcome(transport: str, name: str, fault: Fault | tuple[Fault, ...] | None) -> str:
    with serve("ylokh", fault=fault) as server:
        (came,) = TRANSPORTS[transport](ask(server), clocks=clocks_for(name), retry=NO_RETRY)
    if came.error is None:
        return f"complete, by `{came.reply.evidence}`"
    return f"`{type(came.error).__name__}`"


def row(name: str, fault: Fault | tuple[Fault, ...] | None) -> str:
    by_outcome: dict[str, list[str]] = {}
    for transport in TRANSPORTS:
        by_outcome.setdefault(outcome(transport, name, fault), []).append(transport)
    if len(by_outcome) == 1:
        said = f"{next(iter(by_outcome))} on all {len(TRANSPORTS)}"
    else:
        said = "; ".join(f"{what} on {', '.join(those)}" for what, those in by_outcome.items())
    return f"| {name} | {said} |\n"


def main() -> None:
    cases: dict[str, Fault | tuple[Fault, ...] | None] = {"no fault": None}
    cases |= HARMLESS | {name: fault for name, (fault, _) in FAULTS.items()}
    rows = "".join(row(name, fault) for name, fault in cases.items())
    transports = ", ".join(TRANSPORTS)
    PAGE.write_text(f"{HEAD}{rows}\nTransports: {transports}.\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The benchmarks of telemetry: what they print is so."""

import re
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import instrumentations, observing
from benchmarks.instrumentations import KEEP, ROWS, Told, told_by
from tokenwire.telemetry import ERROR_TYPES

PAGE = Path(__file__).parents[2] / "docs" / "observing.md"


def test_the_page_has_all_errors() -> None:
    """As the conventions want it."""
    page = PAGE.read_text("utf-8")
    assert all(f"`{kind}`" in page for kind in ERROR_TYPES)
    said = set(re.findall(r"`([A-Z][a-z]\w+(?:\.\w+)?)`", page.partition("### How")[2]))
    others = {"Observer", "Counter", "Client", "Telemetry"}
    assert {word for word in said if word not in others} <= set(ERROR_TYPES)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ours_tells_each_row_as_it_is() -> None:
    """One span in each row; the complete one unset, with evidence, broken ones with the right type;
    and no finish reason that the service did not send but `error`."""
    with ExitStack() as stack:
        servers = {row: instrumentations.server(fault) for row, (_, fault) in ROWS.items()}
        urls = {row: stack.enter_context(server) for row, server in servers.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of readers that close nothing
            told = told_by("tokenwire", urls)
    errors = {
        "the body ended early": "Truncated",
        "the connection was closed": "Truncated",
        "the connection was reset": "Truncated",
        "broken JSON": "Malformed",
        "an HTML page, 200": "UnexpectedContent",
        "an error object, 200": "Refused",
        "429": "RateLimited",
    }
    assert set(errors.values()) <= set(ERROR_TYPES)
    page = PAGE.read_text("utf-8")
    for line in instrumentations.table({"tokenwire": told}):
        assert f"{line}\n" in page
    for row, (how, _) in ROWS.items():
        spans = told[row]
        if how == KEEP:
            assert spans == []  # until it is dropped, nobody can know
            continue
        assert spans is not None
        (span,) = spans
        if row == "whole":
            assert span == Told("chat m", "unset, complete by terminator", "", ("stop",))
        elif row in errors:
            assert span.status.startswith("ERROR")
            assert (span.error, span.reasons) == (errors[row], ("error",))
        else:
            assert span == Told("chat m", "unset, left", "", ("error",))


def test_what_is_not_installed_is_left_out() -> None:
    assert instrumentations.work("logfire", "no_such_module.at_all") == 3


def test_the_cost_of_observing_is_measured() -> None:
    table = observing.run(rounds=3, questions=2, pieces=5)
    assert list(table.rows) == ["a bare exchange", *observing.GOALS]
    assert "300 questions: 300 spans" in observing.leave_open(300)

"""Every case of the matrix on every transport: the right outcome, and nothing left behind."""

import sys
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import pytest

from tests.every_transport import PUSHING, TRANSPORTS, Run
from tests.matrix import (
    A_DATE,
    CASES,
    CUTS,
    FORMAT_CASES,
    FORMAT_TRANSPORTS,
    PATIENT,
    UNTESTED,
    Case,
    Cut,
    FormatCase,
    cut_everywhere,
    describe,
    observe,
)
from tests.outcomes import PAGE, page
from tokenwire import NO_RETRY, Refused, Retry, make_exchange
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith, ResetAfter

transports = pytest.mark.parametrize("transport", TRANSPORTS)


def skip_what_the_system_loses(resets: bool) -> None:
    if resets and sys.platform != "linux":
        pytest.skip("with a reset, other systems drop what came before it and was not read yet")


def check(case: Case, transport: str, runs: Mapping[str, Run]) -> None:
    but = case.but(transport)
    if but is not None and but.outcome == UNTESTED:
        pytest.skip(but.reason)
    skip_what_the_system_loses("reset" in case.name)
    outcome = observe(case, transport, runs)
    assert (describe(outcome), outcome.reply.text) == case.expected(transport), outcome.error


cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@transports
@pytest.mark.timeout(60)  # far more than any clock here: only a hang takes so long
@cases
def test_case(case: Case, transport: str) -> None:
    check(case, transport, TRANSPORTS)


@pytest.mark.parametrize("transport", PUSHING)
@pytest.mark.timeout(60)
@cases
def test_case_by_push(case: Case, transport: str) -> None:
    """The same guarantees as by iteration."""
    check(case, transport, PUSHING)


@pytest.mark.parametrize("transport", FORMAT_TRANSPORTS)
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "case", FORMAT_CASES, ids=[f"{case.subject}-{case.name}" for case in FORMAT_CASES]
)
def test_each_format(case: FormatCase, transport: str) -> None:
    skip_what_the_system_loses("reset" in case.name)
    outcome = observe(case, transport)
    assert (describe(outcome), outcome.reply.text) == (case.outcome, case.text), outcome.error


def test_no_format_takes_half_an_answer_for_a_whole_one() -> None:
    for case in FORMAT_CASES:
        assert case.kind == "complete" or case.name not in ("an ordinary answer", "gzip")
        assert case.kind != "complete" or "before the evidence" not in case.name


@transports
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.name)
def test_cut_everywhere(cut: Cut, transport: str) -> None:
    skip_what_the_system_loses(cut.fault is ResetAfter)
    found, expected = cut_everywhere(cut, transport), cut.expected()
    wrong = {count: found[count] for count in cut.counts if found[count] != expected[count]}
    assert not wrong


@transports
def test_retry_after_is_seen_and_honoured(transport: str) -> None:
    pauses = {401: None, 429: 7.0, 500: 7.0, 501: None, 503: 7.0, 529: 7.0}
    asked = [(status, after) for status in pauses for after in ("7", A_DATE)]
    wall_clock = parsedate_to_datetime(A_DATE).timestamp() - 7
    with serve("darkai", faults=[RefuseWith(*each) for each in asked]) as server:
        exchanges = [make_exchange("darkai", "Hello", base_url=server.url) for _ in asked]
        outcomes = TRANSPORTS[transport](*exchanges, clocks=PATIENT, retry=NO_RETRY)
    for (status, after), outcome in zip(asked, outcomes, strict=True):
        assert isinstance(outcome.error, Refused)
        assert (outcome.error.status, outcome.error.retry_after) == (status, after)
        pause = Retry().pause(outcome.error, 1, wall_clock=wall_clock, jitter=0.5)
        assert pause == pauses[status]


def test_the_cases_have_names_of_their_own() -> None:
    assert len({(case.group, case.name) for case in CASES}) == len(CASES)


def test_every_cut_meets_all_that_can_come_of_it() -> None:
    for cut in CUTS:
        outcomes = [outcome for outcome, _ in cut.expected()]
        assert {"`Truncated`", "complete, by `terminator`"} <= set(outcomes)
        assert outcomes == sorted(outcomes, key=outcomes.index), "a success is not taken back"


def test_the_page_says_what_the_cases_expect() -> None:
    made = page(Case.expected, lambda cut, _: cut.expected())
    assert PAGE.read_text(encoding="utf-8") == made, "run make outcomes"

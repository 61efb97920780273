"""The past: what a journal says is to be done with each row."""

import pytest

from tests.batch.making import line, question
from tokenwire import LocalProtocolError, Usage
from tokenwire.batch.costs import Price
from tokenwire.batch.lines import began_line
from tokenwire.batch.past import Past, Verdict

ROW = question(1, "q1")
CHANGED = question(1, "q1", "Another prompt")


def past(*lines: bytes, reask: tuple[str, ...] = ()) -> Past:
    found = Past(reask)
    assert all(map(found.add, lines))
    return found


@pytest.mark.parametrize(
    ("kind", "reask", "same", "changed"),
    [
        ("complete", (), Verdict.DONE, Verdict.CHANGED),
        ("truncated", (), Verdict.AGAIN, Verdict.CHANGED),
        ("rate_limited", (), Verdict.AGAIN, Verdict.CHANGED),
        ("bad_request", (), Verdict.KEPT, Verdict.CHANGED),
        ("invalid", (), Verdict.KEPT, Verdict.CHANGED),
        ("abandoned", (), Verdict.KEPT, Verdict.CHANGED),
        ("complete", ("failed",), Verdict.DONE, Verdict.DONE),
        ("truncated", ("failed",), Verdict.AGAIN, Verdict.KEPT),
        ("rate_limited", ("failed",), Verdict.AGAIN, Verdict.KEPT),
        ("bad_request", ("failed",), Verdict.AGAIN, Verdict.KEPT),
        ("invalid", ("failed",), Verdict.KEPT, Verdict.KEPT),
        ("abandoned", ("failed",), Verdict.AGAIN, Verdict.KEPT),
        ("truncated", ("changed",), Verdict.KEPT, Verdict.CHANGED),
        ("rate_limited", ("truncated", "changed"), Verdict.KEPT, Verdict.CHANGED),
    ],
)
def test_what_is_asked_again(
    kind: str, reask: tuple[str, ...], same: Verdict, changed: Verdict
) -> None:
    assert past(line(ROW, kind), reask=reask).verdict(ROW) is same
    assert past(line(ROW, kind), reask=reask).verdict(CHANGED) is changed


def test_a_row_that_is_not_there_is_new_and_then_repeated() -> None:
    found = past()
    assert found.verdict(ROW) is Verdict.NEW
    assert found.verdict(ROW) is Verdict.REPEATED
    found.forget(ROW)
    assert found.verdict(ROW) is Verdict.NEW
    found.start_over()
    assert found.verdict(ROW) is Verdict.NEW


def test_a_complete_answer_is_not_lost_to_a_later_line_of_the_same_question() -> None:
    assert past(line(ROW), line(ROW, "truncated")).verdict(ROW) is Verdict.DONE
    assert past(line(ROW, "truncated"), line(ROW)).verdict(ROW) is Verdict.DONE
    # But to one of another question it is: the first is what the row asked before.
    assert past(line(CHANGED), line(ROW, "truncated")).verdict(ROW) is Verdict.AGAIN


def test_a_line_that_does_not_say_what_was_asked_is_of_the_row_as_it_is() -> None:
    plain = b'{"custom_id":"q1","response":{"status_code":200},"error":null}'
    assert past(plain).verdict(CHANGED) is Verdict.DONE


def test_a_row_on_which_two_workers_died() -> None:
    begun = [began_line(["q1"], part) for part in ("a", "a", "b")]
    assert past(*begun[:2]).verdict(ROW) is Verdict.NEW
    assert past(*begun).verdict(ROW) is Verdict.ABANDONED
    assert past(*begun, line(ROW)).verdict(ROW) is Verdict.DONE
    assert not past(line(ROW), begun[0]).suspects


def test_what_earlier_runs_have_cost() -> None:
    found = Past(price=Price(1_000_000, 2_000_000))
    found.add(line(ROW, cost=0.5, tokens=7))
    found.add(line(ROW, "truncated", cost=0.25, tokens=3))
    usage = Usage(input_tokens=3, output_tokens=2)
    found.add(line(question(2, "q2"), usage=usage, tokens=5))  # of a run without a price
    assert (found.cost, found.tokens, found.lines, len(found)) == (7.75, 15, 3, 2)
    unpriced = past(line(ROW, usage=usage))
    assert unpriced.cost == 0


def test_broken_lines_are_told_and_blank_ones_are_not() -> None:
    found = Past()
    assert not found.add(b"{")
    assert found.add(b"  ")
    assert found.lines == 0


def test_rows_without_ids_must_keep_their_places() -> None:
    first, moved = question(1), question(1, prompt="Another prompt")
    found = past(line(first))
    found.check_order(first)
    found.check_order(question(2))
    with pytest.raises(LocalProtocolError, match="row 1 asks something else than in the journal"):
        found.check_order(moved)
    past(line(first), reask=("changed",)).check_order(moved)
    past(line(ROW)).check_order(CHANGED)


def test_words_of_reask() -> None:
    with pytest.raises(LocalProtocolError, match="reask odd: give truncated, changed"):
        Past(("odd", "failed"))

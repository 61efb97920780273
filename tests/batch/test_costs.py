"""Prices, budgets, and the most failures."""

import pytest

from tokenwire import LocalProtocolError, Usage
from tokenwire.batch.costs import Bounds, Price, most_failures_of, price_of


def test_prices() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, cache_read_input_tokens=400)
    assert price_of("1/2").of(usage) == pytest.approx((1000 * 1 + 100 * 2) / 1e6)
    assert price_of("1/2/0.5").of(usage) == pytest.approx((600 + 400 * 0.5 + 200) / 1e6)
    assert Price(1, 2).of(Usage()) == 0


@pytest.mark.parametrize("text", ["1", "1/2/3/4", "a/b", "-1/2", "inf/1", "nan/1", ""])
def test_what_is_no_price(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="give IN/OUT"):
        price_of(text)


def test_most_failures() -> None:
    assert most_failures_of("1%") == 0.01
    assert most_failures_of("20") == 20
    for text in ("0", "x", "100%", "-1%", "%"):
        with pytest.raises(LocalProtocolError, match="give a number of rows"):
            most_failures_of(text)


def test_what_is_told_counts_and_what_is_not_is_estimated() -> None:
    bounds = Bounds(price=Price(1_000_000, 1_000_000))
    assert bounds.spend(Usage(input_tokens=3, output_tokens=2), 100, 100) == (5, 5.0)
    assert bounds.spend(None, 5, 9) == (5, 5.0)
    assert bounds.spend(Usage(), 4, 0) == (1, 1.0)
    assert (bounds.tokens, bounds.cost) == (11, 11.0)
    assert Bounds().spend(Usage(input_tokens=0), 4, 0) == (0, None)


def test_budgets() -> None:
    assert Bounds(cost=5).exceeded() == ""
    assert "budget of 5 dollars" in Bounds(budget=5, price=Price(1, 1), cost=5).exceeded()
    assert Bounds(budget=5, price=Price(1, 1), cost=4.9).exceeded() == ""
    assert "1,000 tokens is spent" in Bounds(budget_tokens=1000, tokens=1001).exceeded()
    assert Bounds(budget_tokens=1000, tokens=999).exceeded() == ""


def test_failures() -> None:
    few, share = Bounds(max_failures=2), Bounds(max_failures=0.01, total=3000)
    for bounds in (few, share):
        bounds.finish(failed=False)
        bounds.finish(failed=True)
        assert bounds.exceeded() == ""
    few.finish(failed=True)
    assert few.exceeded() == "2 rows failed"
    for _ in range(28):
        share.finish(failed=True)
    assert share.exceeded() == ""
    share.finish(failed=True)
    assert share.exceeded() == "30 rows failed"
    unknown = Bounds(max_failures=0.5)
    for _ in range(20):
        unknown.finish(failed=True)
    assert unknown.exceeded() == "20 rows failed"

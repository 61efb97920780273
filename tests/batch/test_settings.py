"""The settings of a run."""

from typing import Any

import pytest

from tests.batch.making import question
from tokenwire import LocalProtocolError
from tokenwire.batch.costs import Price
from tokenwire.batch.intake import Shard
from tokenwire.batch.past import Past
from tokenwire.batch.settings import Settings, concurrency_of


@pytest.mark.parametrize(
    ("given", "expected"),
    [("auto", (1, 256)), ("5", (5, 5)), ("2-8", (2, 8)), (7, (7, 7)), ((1, 3), (1, 3))],
)
def test_concurrency(given: object, expected: tuple[int, int]) -> None:
    assert concurrency_of(given) == expected


@pytest.mark.parametrize("given", ["many", "0", "8-2", "-3", 0, (2, 1), None, 1.5, (1, 2, 3)])
def test_what_is_no_concurrency(given: object) -> None:
    with pytest.raises(LocalProtocolError, match="give auto, a number, or the least and the most"):
        concurrency_of(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": 0}, "at least once"),
        ({"truncated_attempts": 0}, "at least once"),
        ({"budget": 5}, "needs the price"),
        ({"rpm": 0}, "rpm 0: give a number above 0"),
        ({"tpm": -1.0}, "tpm -1.0"),
        ({"price": "x"}, "give IN/OUT"),
        ({"shard": "9"}, "give K/N"),
        ({"max_failures": "x"}, "give a number of rows"),
    ],
)
def test_what_can_t_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        Settings(provider="openai", **options)


def test_texts_become_what_they_say() -> None:
    settings = Settings(provider="openai", price="1/2", shard="1/3", max_failures="2%")
    assert (settings.price, settings.shard, settings.max_failures) == (
        Price(1, 2),
        Shard(1, 3),
        0.02,
    )
    assert settings.open_journal() is None
    rows = [question(number, f"q{number}") for number in range(20)]
    taken = [row for row in rows if settings.intake(Past()).take(1, row)]
    assert 0 < len(taken) < 20


def test_nothing_shows_a_key() -> None:
    asked = Settings(provider="openai", key="secret", headers={"x": "secret"}).asked()
    assert repr(asked) == "<Asked openai>"

"""Sources of an answer: which are reported."""

import pytest

from tokenwire.protocols.errors import LimitExceeded
from tokenwire.protocols.events import Citation, Event
from tokenwire.protocols.limits import Parts
from tokenwire.protocols.toolkit.citations import Citations


def cited(*citations: Citation, limit: int = 10) -> list[Event]:
    events: list[Event] = []
    citations_ = Citations(Parts(limit))
    for citation in citations:
        citations_.cite(citation, events)
    return events


def test_a_source_is_reported_once() -> None:
    url, document = Citation("https://a.test"), Citation(source="doc-1")
    other = Citation("https://a.test", "again")
    assert cited(url, document, other, document, Citation("https://b.test")) == [
        *(url, document, Citation("https://b.test")),
    ]


def test_a_source_with_nothing_but_a_title_is_told_by_that() -> None:
    placed, other = Citation(title="a", start=0, end=3), Citation(title="b")
    assert cited(placed, Citation(title="a"), other, other) == [placed, other]


def test_each_place_that_it_supports_is_reported() -> None:
    places = Citation("https://a.test", start=0, end=3), Citation("https://a.test", start=3, end=9)
    assert cited(*places, Citation("https://a.test")) == list(places)


def test_sources_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        cited(*(Citation(f"https://{n}.test") for n in range(3)), limit=2)

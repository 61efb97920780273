"""Sources are reported once, unless they say what they support."""

import pytest

from tokenwire.protocols.errors import LimitExceeded
from tokenwire.protocols.events import Citation, Event
from tokenwire.protocols.limits import Parts
from tokenwire.protocols.toolkit.citations import Citations


def cited(*citations: Citation) -> list[Event]:
    events: list[Event] = []
    seen = Citations(Parts(100))
    for citation in citations:
        seen.cite(citation, events)
    return events


def test_an_address_or_a_document_is_cited_once() -> None:
    url, other = Citation("u", "t"), Citation("v")
    file, another = Citation(title="a", source="f"), Citation(title="a", source="g")
    assert cited(url, other, url, Citation("u", "another title"), other) == [url, other]
    assert cited(file, another, file) == [file, another]


def test_one_that_says_what_it_supports_is_always_told() -> None:
    here, there = Citation("u", start=0, end=1), Citation("u", start=2, end=3)
    assert cited(here, there, here, Citation("u")) == [here, there, here]


def test_there_may_not_be_too_many() -> None:
    events: list[Event] = []
    seen = Citations(Parts(2))
    seen.cite(Citation("a"), events)
    seen.cite(Citation("b"), events)
    with pytest.raises(LimitExceeded):
        seen.cite(Citation("c"), events)
    assert len(events) == 2

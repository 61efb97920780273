"""The table of what is carried."""

from pathlib import Path
from typing import get_args

import pytest

from tests.gateway.formats import FORMATS, WRITTEN
from tests.gateway.page import page
from tokenwire.gateway.matrix import (
    ANSWERS,
    BUDGETS,
    COLUMNS,
    EVENTS,
    FIELDS,
    HINTS,
    PAIRS,
    REQUESTS,
    Row,
    rule_of,
)
from tokenwire.protocols.chat import Chat, Message, Part, Tool
from tokenwire.protocols.events import Event
from tokenwire.protocols.registry import PROVIDERS

PAGE = Path(__file__).parents[2] / "docs" / "gateway-matrix.md"


def covered(rows: dict[str, Row]) -> set[str]:
    return {name for row in rows.values() for name in row.covers}


def test_each_field_of_a_chat_has_a_row() -> None:
    structs = [Chat, Message, Tool, *get_args(Part)]
    fields = {f"{each.__name__}.{name}" for each in structs for name in each.__struct_fields__}
    kinds = {each.__name__ for each in (Tool, *get_args(Part))}
    assert covered(REQUESTS) == fields | kinds


def test_each_event_has_a_row() -> None:
    assert covered(ANSWERS) == {event.__name__ for event in get_args(Event)}
    assert set(EVENTS) == set(get_args(Event))
    for event, name in EVENTS.items():
        assert event.__name__ in ANSWERS[name].covers


def test_names_are_unambiguous() -> None:
    assert not REQUESTS.keys() & ANSWERS.keys()
    for name, row in (REQUESTS | ANSWERS).items():
        assert row.name == name
        assert list(row.rules) == list(COLUMNS)


def test_each_option_is_spelt() -> None:
    options = set(Chat.__struct_fields__) - {"model", "stream", "extra"}
    assert set(FIELDS) == options
    assert all(FIELDS[name] for name in FIELDS)


@pytest.mark.parametrize("format", [name for name in WRITTEN if name != "mistral"])  # as a front
def test_each_event_that_a_caller_can_be_told_is_said(format: str) -> None:
    """A column promises no event that the format's server half can't write."""
    says = FORMATS[format].dialect.says
    for event, name in EVENTS.items():
        if rule_of(name, format) == "=":
            assert event in says, event


@pytest.mark.parametrize("format", WRITTEN)
def test_each_option_that_a_service_is_asked_is_taken(format: str) -> None:
    takes = FORMATS[format].dialect.takes
    for option in set(Chat.__struct_fields__) & REQUESTS.keys() - {"model", "stream", "messages"}:
        if rule_of(option, format) == "=":
            assert takes & {option, f"chosen_{option}"}, option
    if "cache" in takes:
        assert rule_of("cache", format) == "="


@pytest.mark.parametrize("format", WRITTEN)
def test_further_fields_are_known_to_their_formats(format: str) -> None:
    """What is said of fields here is of fields that a format has."""
    knows = FORMATS[format].dialect.knows
    paths = [path for pair in PAIRS for path in PAIRS[pair] if pair[0] == format]
    paths += [*HINTS.get(format, ()), *([BUDGETS[format]] if format in BUDGETS else [])]
    for path in paths:
        first = path.partition(".")[0]
        assert first == "messages" or any(word.split(".")[0] == first for word in knows), path


def test_a_format_without_a_column_says_itself_what_it_takes() -> None:
    assert rule_of("image", "darkai") == "="


def test_each_format_of_a_vendor_has_a_column() -> None:
    ours = ("darkai", "aichats", "aichatonline")
    formats = {provider.dialect.name for provider in PROVIDERS.values()}
    assert formats - set(ours) <= set(COLUMNS)


def test_the_page_is_made_of_it() -> None:
    """python -m tests.gateway.page writes it."""
    assert PAGE.read_text() == page()

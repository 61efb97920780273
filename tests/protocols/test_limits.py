"""The limits: values, each big enough for what was seen."""

import msgspec
import pytest

from tokenwire.protocols.errors import LimitExceeded
from tokenwire.protocols.limits import Limits, Parts

MIB = 1024 * 1024


def test_the_defaults() -> None:
    limits = Limits()
    assert limits.event >= 8 * MIB  # the largest event in recordings
    assert limits.response >= 128_000 * 330  # a long stream of small chunks
    assert limits.event < limits.document < limits.response
    assert limits.picture >= limits.event
    assert limits.error_body < limits.event


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_each_can_be_set_but_not_changed(name: str) -> None:
    limits = msgspec.structs.replace(Limits(), **{name: 7})
    assert getattr(limits, name) == 7
    with pytest.raises(AttributeError):
        setattr(limits, name, 8)


def test_parts_are_counted() -> None:
    parts = Parts(2)
    parts.add()
    parts.add()
    with pytest.raises(LimitExceeded, match=r"^an answer of more than 2 choices, tool calls, s"):
        parts.add()


def test_they_are_named_when_given() -> None:
    with pytest.raises(TypeError):
        Limits(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

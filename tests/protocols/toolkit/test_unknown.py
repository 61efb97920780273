"""Stray lines: errors that services write where no field of SSE stands."""

import pytest

from tokenwire.protocols.errors import RateLimited, Refused
from tokenwire.protocols.events import Event, Unrecognized
from tokenwire.protocols.toolkit.json import is_list
from tokenwire.protocols.toolkit.refusals import ErrorTable
from tokenwire.protocols.toolkit.unknown import UnknownLines


def take(*lines: bytes, limit: int = 1000) -> tuple[list[Event], Refused | None]:
    """The events of `lines`, and the error that they tell of."""
    strays, events = UnknownLines(limit), list[Event]()
    try:
        for line in lines:
            strays.take(line, events)
    except Refused as error:
        strays.release(events)
        return events, error
    strays.release(events)
    return events, None


PRETTY = b"""{
  "error": {
    "message": "slow down",
    "type": "rate_limit_error"
  }
}"""


@pytest.mark.parametrize(
    "lines",
    [
        [b'error: {"message": "slow down", "type": "rate_limit_error"}'],
        [b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'],
        [b' {"error": {"message": "slow down", "type": "rate_limit_error"}} '],
        PRETTY.splitlines(),
        [*PRETTY.splitlines()[:-1], b"} "],
        [b"before", *PRETTY.splitlines()],
    ],
)
def test_errors(lines: list[bytes]) -> None:
    events, error = take(*lines)
    assert isinstance(error, RateLimited)
    assert "slow down" in str(error)
    assert b"".join(lines).endswith(error.data.removesuffix(b"\n").replace(b"\n", b""))
    assert b"slow down" in error.data
    assert events == [Unrecognized(b"before")][: lines[0] == b"before"]


def test_an_error_in_plain_words() -> None:
    for line in (b"error: out of order", b"error:out of order"):
        _, error = take(line)
        assert str(error) == "the service refused: out of order"


@pytest.mark.parametrize("field", [b"", b"error: "])
def test_an_error_means_what_the_service_means(field: bytes) -> None:
    unknown = UnknownLines(1000, ErrorTable(codes={"full": RateLimited}))
    with pytest.raises(RateLimited, match="no bed"):
        unknown.take(field + b'{"error": {"code": "full", "message": "no bed"}}', [])


def test_an_error_in_a_list() -> None:
    """As Gemini wraps it: over several lines, or in one."""
    listed = [b"[{", b' "error": {', b'  "message": "no"', b" }", b"}", b"]"]
    errors = ErrorTable(read=lambda value: (None, None, "no") if is_list(value) else None)
    for lines in (listed, [b'[{"error": {"message": "no"}}]']):
        unknown, events = UnknownLines(1000, errors), list[Event]()
        *before, last = lines
        for line in before:
            unknown.take(line, events)
        with pytest.raises(Refused, match="no"):
            unknown.take(last, events)
        assert events == []


@pytest.mark.parametrize(
    ("lines", "raws"),
    [
        ([b"hello"], [b"hello"]),
        ([b"[1]", b"x"], [b"[1]\n", b"x"]),
        ([b"[", b"1"], [b"[\n1\n"]),
        ([b"}"], [b"}"]),
        ([b'{"a": 1}'], [b'{"a": 1}\n']),
        ([b"{", b' "a": 1', b"}", b"x"], [b'{\n "a": 1\n}\n', b"x"]),
        ([b"{", b' "a": ', b"}", b"x"], [b'{\n "a": \n}\n', b"x"]),  # no JSON after all
        ([b"{", b' "a": 1'], [b'{\n "a": 1\n']),  # never whole
        ([b"{not json}"], [b"{not json}\n"]),
    ],
)
def test_what_is_no_error_is_handed_on_as_it_came(lines: list[bytes], raws: list[bytes]) -> None:
    assert take(*lines) == ([Unrecognized(raw) for raw in raws], None)


def test_an_object_may_be_as_long_as_the_limit() -> None:
    lines = PRETTY.splitlines()[:-1]  # the brace behind them ends it
    limit = sum(len(line) + 1 for line in lines)
    assert isinstance(take(*lines, b"}", limit=limit)[1], RateLimited)
    assert take(*lines, b"}", limit=limit - 1)[1] is None


def test_an_object_is_kept_up_to_the_limit() -> None:
    events, _ = take(b"{", b" " * 60, b" " * 60, b"}", limit=100)
    assert events == [Unrecognized(b"{\n" + (b" " * 60 + b"\n") * 2), Unrecognized(b"}")]

"""The table of names."""

from collections.abc import Iterator
from typing import get_args

from tokenwire.protocols.errors import Clock, RemoteProtocolError, TimedOut, TokenwireError
from tokenwire.telemetry.names import ATTRIBUTES, ERROR_TYPES, METRICS


def kinds(kind: type[TokenwireError]) -> Iterator[type[TokenwireError]]:
    for each in kind.__subclasses__():
        if each.__module__ == TokenwireError.__module__:
            yield each
            yield from kinds(each)


def test_the_list_of_error_types_is_closed() -> None:
    names = {each.__name__ for each in kinds(TokenwireError)}
    names -= {RemoteProtocolError.__name__, TimedOut.__name__}
    assert set(ERROR_TYPES) == names | {f"TimedOut.{clock}" for clock in get_args(Clock)}
    assert len(ERROR_TYPES) == len(set(ERROR_TYPES))


def test_no_attribute_is_an_old_one() -> None:
    assert "gen_ai.system" not in ATTRIBUTES
    assert not [name for name in ATTRIBUTES if "cache_creation" in name]


def test_the_metrics_of_both_sets() -> None:
    for names, count in (("1.41", 4), ("latest", 10)):
        found = METRICS[names]  # type: ignore[index]
        assert len(found) == count
        assert all(metric.name.startswith("gen_ai.client.") for metric in found.values())
        assert {metric.unit for metric in found.values()} == {"s", "{token}"}
    assert METRICS["1.41"]["duration"].bounds == (
        *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96),
        81.92,
    )
    assert METRICS["1.41"]["tokens"].bounds == (
        *(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216),
        67108864,
    )

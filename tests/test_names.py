"""The names of the package `tokenwire`, some of which are loaded on demand."""

import subprocess
import sys

import pytest

import tokenwire

LOADED = """
import sys, tokenwire
core = {f"tokenwire.protocols.{name}" for name in ("exchange", "provider", "service", "step")}
print(sorted(core & set(sys.modules)))
for name in tokenwire.__all__:
    assert getattr(tokenwire, name) is not None, name
print(sorted(core - set(sys.modules)))
"""


def test_every_name_is_there() -> None:
    for name in tokenwire.__all__:
        assert getattr(tokenwire, name) is not None
    assert sorted(set(tokenwire.__all__)) == sorted(tokenwire.__all__)


def test_the_machine_is_loaded_on_demand() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n[]\n"


def test_no_other_name_is() -> None:
    assert not hasattr(tokenwire, "Nothing")
    with pytest.raises(AttributeError, match="module 'tokenwire' has no attribute 'Nothing'"):
        _ = tokenwire.Nothing  # pyright: ignore

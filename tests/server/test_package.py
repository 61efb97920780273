"""The package: what it loads, and when."""

import subprocess
import sys

import pytest

import tokenwire.server
from tokenwire.server import embedded

WITHOUT_ANYIO = """
import sys
sys.modules["anyio"] = None
import tokenwire.server.faults, tokenwire.cli.serve
try:
    from tokenwire.server import serve
except ModuleNotFoundError as error:
    print(error.name)
"""


def test_it_has_the_names_of_the_embedded_server() -> None:
    assert [getattr(tokenwire.server, name) for name in tokenwire.server.__all__] == [
        embedded.Server,
        embedded.serve,
    ]
    with pytest.raises(
        AttributeError, match=r"module 'tokenwire\.server' has no attribute 'swerve'"
    ):
        getattr(tokenwire.server, "swerve")  # noqa: B009  type checkers know that there is none


def test_programs_may_know_it_by_its_first_name() -> None:
    from tokenwire.server import faults
    from tokenwire.transports import faults as first_faults
    from tokenwire.transports import server as first_server

    assert first_server.serve is embedded.serve
    assert first_server.Server is embedded.Server
    assert first_faults.__all__ is faults.__all__
    assert first_faults.CloseAfter is faults.CloseAfter


def test_its_faults_need_no_anyio() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ANYIO], capture_output=True, text=True, check=True
    )
    assert done.stdout == "anyio\n"

"""Telemetry for the whole program."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.driving import drive
from tests.telemetry.recording import Recorder
from tests.telemetry.test_watch import WHOLE, asked
from tokenwire import Exchange
from tokenwire.protocols.provider import installed
from tokenwire.telemetry import Instrumentor, Telemetry, install


def test_install_and_its_end() -> None:
    recorder = Recorder()
    end = install(recorder.telemetry)
    try:
        drive(asked(), WHOLE)
    finally:
        end()
    drive(asked(), WHOLE)
    assert len(recorder.spans) == 1


def test_the_default_settings() -> None:
    end = install()
    try:
        (telemetry,) = installed
        assert isinstance(telemetry, Telemetry)
        assert type(asked()) is Exchange  # as there is no SDK
    finally:
        end()
    assert installed == []


def test_the_instrumentor_installs_once() -> None:
    recorder, other = Recorder(), Recorder()
    try:
        Instrumentor().instrument(tracer_provider=recorder.tracing, skip_dep_check=True)
        Instrumentor().instrument(tracer_provider=other.tracing)
        drive(asked(), WHOLE)
    finally:
        Instrumentor().uninstrument()
        Instrumentor().uninstrument()
    assert len(recorder.spans) == 1
    assert other.spans == ()
    assert installed == []


def test_the_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="tokenwire")
    assert found.load() is Instrumentor


PROGRAM = """
import tokenwire
from tokenwire.server import serve

with serve("darkai") as server:
    tokenwire.ask("darkai", "Hello", base_url=server.url)
"""


def test_opentelemetry_instrument_finds_it() -> None:
    command = Path(sys.executable).parent / "opentelemetry-instrument"
    settings = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "",
    }
    done = subprocess.run(
        [command, sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=os.environ | settings,
        timeout=60,
        check=True,
    )
    span = json.loads(done.stdout)
    assert span["name"] == "chat llama-3-70b"
    assert span["attributes"]["tokenwire.outcome"] == "complete"

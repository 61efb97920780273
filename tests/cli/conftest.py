"""A module of the user's own, for `--provider module:NAME`."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

MINE = '''
"""Providers of the user's own, most of them with a bug."""

import msgspec

from tokenwire import PROVIDERS
from tokenwire.protocols.formats.openai_chat import OpenAIChat


class BadServer(OpenAIChat):
    def respond(self, service):
        responder = super().respond(service)
        encode = responder.send

        def send(event):
            if getattr(event, "text", "") == "Fail":
                raise KeyError("no such event")
            return encode(event)

        responder.send = send
        return responder


class NoServer(OpenAIChat):
    def respond(self, service):
        raise TypeError("a client half only")


class BadClient(OpenAIChat):
    def ask(self, question):
        raise IndexError("out of range")


NICE = msgspec.structs.replace(
    PROVIDERS["openai"], name="nice", models=("n-1",), env=("NICE_KEY",)
)
BAD_SERVER = msgspec.structs.replace(NICE, name="bad-server", dialect=BadServer())
NO_SERVER = msgspec.structs.replace(NICE, name="no-server", dialect=NoServer())
BAD_CLIENT = msgspec.structs.replace(NICE, name="bad-client", dialect=BadClient())
DIALECT = OpenAIChat()
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The current directory, in which there is the module `mine`."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if str(tmp_path) in repr(sys.modules[name]):
            del sys.modules[name]

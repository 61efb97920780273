"""`tokenwire gateway`."""

import os
import signal
import socket
import sys
import threading
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema
import msgspec
import pytest

from tests.commanding import run
from tests.gateway.test_file import WRONG
from tests.waiting import WAIT
from tokenwire.cli import Exit
from tokenwire.cli import gateway as command
from tokenwire.gateway import run as running
from tokenwire.gateway import sources

RIGHT = """
[providers.openai]
key = "env:OUR_KEY"
[providers.local]
dialect = "openai_chat"
base_url = "http://10.0.0.7:8000/v1"
key = "file:secrets/local"
[[models]]
name = "fast"
targets = [{ provider = "openai", model = "gpt" }, { provider = "local" }]
[[models]]
name = "*"
targets = [{ provider = "local", model = "qwen3" }]
[[keys]]
name = "laptop\\u001b[31m"
sha256 = "%s"
""" % ("00" * 32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "local").write_text("sk-from-file")
    path = tmp_path / "gateway.toml"
    path.write_text(RIGHT)
    return path


# --check


def test_a_right_file(file: Path) -> None:
    outcome = run("gateway", "--check", str(file), environment={"OUR_KEY": "sk-12345678"})
    assert (outcome.code, outcome.err) == (Exit.OK, "")
    assert outcome.out.splitlines() == [
        f"{file} is right",
        "listen: 127.0.0.1:4000",
        "admin: 127.0.0.1:9464",
        "model: fast (openai/gpt, local/*)",
        "model: * (local/qwen3)",
        "key: laptop\u241b[31m",
    ]


def test_no_admin_listener(file: Path) -> None:
    file.write_text('admin = ""\n' + RIGHT)
    outcome = run("gateway", "--check", str(file), environment={"OUR_KEY": "sk-12345678"})
    assert "admin: none\n" in outcome.out


def test_a_missing_secret(file: Path) -> None:
    outcome = run("gateway", "--check", str(file))
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err == (
        f"tokenwire: {file}: providers.openai.key: the environment variable OUR_KEY is not set\n"
    )
    (file.parent / "secrets" / "local").unlink()
    outcome = run("gateway", "--check", str(file), environment={"OUR_KEY": "sk-12345678"})
    assert outcome.err == (
        f"tokenwire: {file}: providers.local.key: the file secrets/local can't be read: "
        "No such file or directory\n"
    )


@pytest.mark.parametrize("case", WRONG)
def test_a_checked_file_that_is_wrong(file: Path, case: str) -> None:
    text, message = WRONG[case]
    file.write_text(text)
    outcome = run("gateway", "--check", str(file))
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err.startswith(f"tokenwire: {file}: {message}")
    assert outcome.err.count("\n") == 1
    assert "12345678" not in outcome.err


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    outcome = run("gateway", "--check", str(path))
    assert outcome.code == Exit.USAGE
    assert outcome.err == f"tokenwire: {path} can't be read: No such file or directory\n"
    path.write_bytes(b"\xff\xfe")
    assert run("gateway", "--check", str(path)).err == (
        f"tokenwire: {path} can't be read: it is not UTF-8\n"
    )


# --schema, key


def test_the_schema() -> None:
    outcome = run("gateway", "--schema")
    schema = msgspec.json.decode(outcome.out)
    jsonschema.validate(tomllib.loads(RIGHT), schema)
    assert outcome.out.startswith("{\n  ")


def test_a_new_key(file: Path) -> None:
    outcome = run("gateway", "key", "phone")
    assert outcome.code == Exit.OK
    key, _, lines = outcome.out.partition("\n")
    (entry,) = tomllib.loads(lines)["keys"]
    assert entry == {"name": "phone", "sha256": sha256(key.encode()).hexdigest()}
    assert key.startswith("tw-")
    assert len(key) == 46
    assert run("gateway", "key", "phone").out != outcome.out
    file.write_text(RIGHT + lines)
    checked = run("gateway", "--check", str(file), environment={"OUR_KEY": "sk-12345678"})
    assert checked.out.endswith("key: phone\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--check"],
        ["--watch"],
        ["a.toml", "b.toml"],
        ["--embedded", "gateway.toml"],
        ["--embedded", "--watch"],
        ["--allow", "seed", "gateway.toml"],
        ["--check", "--schema"],
        ["--check", "--schema", "gateway.toml"],
        ["--check", "a.toml", "b.toml"],
        ["--schema", "gateway.toml"],
        ["--check", "key", "phone"],
        ["key"],
        ["key", "a", "b"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    outcome = run("gateway", *arguments)
    assert (outcome.code, outcome.out) == (Exit.USAGE, "")
    assert outcome.err == (
        "tokenwire: gateway: give [--watch] FILE, --check FILE, --schema, key NAME, or no FILE and "
        "[--embedded] [--allow LOSS]\n"
    )


def test_a_key_without_a_name() -> None:
    outcome = run("gateway", "key", "")
    assert (outcome.code, outcome.err) == (Exit.USAGE, "tokenwire: a key needs a name\n")


# Running it


def nothing(*_: object, **__: object) -> bool:
    return False


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing is run; what was to be run is kept."""
    kept: list[Any] = []

    def instead(source: sources.Source, *, watch: bool, tell: Any) -> bool:
        models = source.load().models
        kept.extend((source, watch, [model.name for model in models]))
        kept.append({model.allow for model in models})
        tell("welcome")
        return True

    monkeypatch.setattr(command, "run", instead)
    return kept


def test_a_file(asked: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[providers.ollama]\n[[models]]\nname = "m"\ntargets = [{ provider = "ollama" }]\n'
    )
    for arguments in (["gateway", str(file), "--watch"], ["gateway", "--watch", str(file)]):
        outcome = run(*arguments)
        assert (outcome.code, outcome.out, outcome.err) == (0, "welcome\n", "")
        assert asked[1:] == [True, ["m"], {frozenset()}]
        asked.clear()


def test_without_a_file_the_environment_counts(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "answers", nothing)
    assert run("gateway", environment={"ANTHROPIC_API_KEY": "k"}).code == 0
    assert asked[1:] == [False, ["anthropic/*"], {frozenset()}]
    outcome = run("gateway")
    assert outcome.code == 2
    assert "there is nothing to ask" in outcome.err


def test_embedded(asked: list[Any]) -> None:
    assert run("gateway", "--embedded").code == 0
    assert "openai/echo" in asked[2]


def test_without_a_file_losses_are_allowed_here(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "answers", nothing)
    allow = ("--allow", "seed", "--allow", "top_k")
    for arguments in (("--embedded", *allow), allow):
        assert run("gateway", *arguments, environment={"ANTHROPIC_API_KEY": "k"}).code == 0
        assert asked.pop() == {frozenset(("seed", "top_k"))}


def test_a_wrong_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("modles = 1")
    outcome = run("gateway", str(file))
    assert outcome.code == 2
    assert "unknown key `modles`; did you mean models?" in outcome.err


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = tmp_path / "gateway.toml"
        port = taken.getsockname()[1]
        file.write_text(
            f'listen = "127.0.0.1:{port}"\n[providers.ollama]\n'
            '[[models]]\nname = "m"\ntargets = [{ provider = "ollama" }]\n'
        )
        outcome = run("gateway", str(file))
    assert outcome.code == 2
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in outcome.err


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenwire.cli.gateway", None)
    outcome = run("gateway", "--embedded")
    assert outcome.code == 2
    assert "pip install 'tokenwire[gateway]'" in outcome.err


def test_calls_that_were_broken_off_are_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", nothing)
    assert run("gateway", "--embedded").code == 130


def test_ctrl_c_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole: it listens, answers, and ends."""
    file = tmp_path / "gateway.toml"
    file.write_text(
        'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n[providers.ollama]\n'
        '[[models]]\nname = "m"\ntargets = [{ provider = "ollama" }]\n'
    )
    heard: list[str] = []
    welcome = running.welcome

    def told(config: Any, url: str, admin: str | None) -> str:
        threading.Thread(target=use, args=(admin,)).start()
        return welcome(config, url, admin)

    def use(admin: str) -> None:
        with urlopen(f"{admin}/readyz", timeout=WAIT) as response:
            heard.append(response.read().decode())
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(running, "welcome", told)
    outcome = run("gateway", str(file))
    assert outcome.code == 0
    assert "models: m" in outcome.out
    assert heard == ["ok\n"]

"""Where a configuration comes from."""

import asyncio
from pathlib import Path

import pytest

from tokenwire import Provider
from tokenwire.gateway import sources
from tokenwire.gateway.app import App
from tokenwire.gateway.config import ConfigError
from tokenwire.gateway.fronts import FORMATS
from tokenwire.gateway.sources import EnvironmentSource, FileSource, TextSource, embedded_source
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith

from .driving import FRONTS, ask, exchange_of, for_backs

TEXT = for_backs(openai="http://127.0.0.1:1/v1")


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    source = FileSource(file)
    assert source.stamp() is None
    with pytest.raises(ConfigError, match=r"gateway\.toml can't be read: No such file"):
        source.load()
    file.write_text(TEXT)
    assert source.load().models[0].name == "openai"
    stamp, digest = source.stamp(), source.digest()
    assert stamp is not None
    assert source.stamp() == stamp
    file.write_text(TEXT + "\n")
    assert source.stamp() != stamp
    assert source.digest() != digest
    file.write_text("\ufeff" + TEXT, "utf-8")
    assert source.load().models[0].name == "openai"
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        source.load()


def test_a_file_may_refer_to_others(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("\ufeffsecret\n", "utf-8")
    text = TEXT.replace("[[models]]", f'key = "file:{key}"\n[[models]]', 1)
    assert TextSource("test", text).load().models[0].targets[0].key == "secret"


def test_a_text_does_not_change() -> None:
    source = TextSource("test", TEXT)
    assert source.stamp() is None
    assert source.digest() == TextSource("other", TEXT).digest() != TextSource("", "").digest()


def nothing(_: Provider) -> bool:
    return False


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "answers", nothing)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    source = EnvironmentSource()
    assert [model.name for model in source.load().models] == ["anthropic/*"]
    assert source.stamp() is None
    assert source.digest() == "environment"


def test_a_server_answers_if_it_lists_its_models() -> None:
    provider: Provider = PROVIDERS["ollama"]
    with serve(provider, faults=[None, RefuseWith(503)]) as server:
        assert sources.answers(provider.replace(base_url=server.url))
        assert not sources.answers(provider.replace(base_url=server.url))
        assert len(server.requests) == 2  # it is not asked again: there are many to ask
    assert not sources.answers(provider.replace(base_url=server.url))


@pytest.mark.parametrize("front", FRONTS)
def test_embedded_servers_answer_in_each_format(front: str) -> None:
    async def main() -> None:
        with embedded_source() as source:
            app = App(source.load())
            try:
                for model in (*(name for name in FORMATS if name in PROVIDERS), None):
                    name = f"{model}/echo" if model else "any-name"
                    outcome, heard = await ask(app, exchange_of(front, name, max_tokens=100))
                    assert outcome.reply is not None, (model, heard)
                    assert "Hi there" in outcome.reply.text
            finally:
                app.shared.client.close()

    asyncio.run(main())

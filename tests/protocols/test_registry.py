"""All providers, by name."""

from importlib import import_module

import pytest

from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.registry import DIALECTS, PROVIDERS, dialect_named, provider_named
from tokenwire.protocols.toolkit.http import check_url


def test_a_provider_is_found_by_its_name() -> None:
    for name, provider in PROVIDERS.items():
        assert provider.name == name
        assert provider_named(name) is provider
        assert provider_named(provider) is provider


@pytest.mark.parametrize("name", ["", "OpenAI", "nobody"])
def test_an_unknown_name_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(
        LocalProtocolError,
        match=f"^there is no provider '{name}'(; .*)? .known: openai, .*, darkai, .*.$",
    ):
        provider_named(name)
    assert name not in PROVIDERS
    with pytest.raises(KeyError, match=f"^'{name}'$"):
        PROVIDERS[name]
    assert len(PROVIDERS) == len(list(PROVIDERS))


def test_a_format_is_found_by_its_name() -> None:
    assert {provider.dialect.name for provider in PROVIDERS.values()} <= {*DIALECTS}
    for name in DIALECTS:
        # A framing of Anthropic's payload is a folder, and no format of its own.
        assert dialect_named(name).name == name.replace("bedrock_anthropic", "anthropic")


def test_an_unknown_format_is_told_the_known_ones() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        dialect_named("openai")
    assert str(caught.value) == f"there is no dialect 'openai' (known: {', '.join(DIALECTS)})"


@pytest.mark.parametrize(
    ("name", "closest"), [("OpenAI", None), ("grok", "groq"), ("deep-seek", "deepseek")]
)
def test_an_unknown_name_is_told_the_closest_ones(name: str, closest: str | None) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        provider_named(name)
    assert (f"; did you mean {closest}" in str(caught.value)) is (closest is not None)


def test_each_format_has_the_names_that_the_registry_says() -> None:
    formats = {type(provider.dialect).__module__ for provider in PROVIDERS.values()}
    names = [name for module in formats for name in import_module(module).PROVIDERS]
    assert sorted(names) == sorted(PROVIDERS)


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_said_of_a_provider_holds(name: str) -> None:
    provider = PROVIDERS[name]
    filled = provider.base_url.format(**provider.params)
    assert check_url(filled.replace("_", "-")) == filled.replace("_", "-")
    assert not provider.site or check_url(provider.site) == provider.site
    known = {"text", "images", "vision", "tools", "history", "options", "reasoning"}
    assert set() < provider.capabilities <= known
    assert not provider.default_model or provider.model("") == provider.default_model
    for alias in provider.aliases:
        assert provider.model(alias) in provider.models

"""Providers of the core, as a configuration describes them."""

from typing import Any

import pytest

from tokenwire.gateway.file import AwsEntry, ConfigError, ProviderEntry
from tokenwire.gateway.references import References
from tokenwire.gateway.upstreams import Upstream
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.registry import PROVIDERS

ENVIRONMENT = {"KEY": "sk-12345678", "URL": "http://10.0.0.1", "REGION": "eu"}


def upstream(name: str, **entry: Any) -> Upstream:
    references = References("gateway.toml", ENVIRONMENT, str, literals=False)
    return Upstream(name, ProviderEntry(**entry), references)


def test_a_preset() -> None:
    found = upstream("openai", key="env:KEY")
    assert found.provider == PROVIDERS["openai"]
    assert (found.key, found.params) == ("sk-12345678", {})


def test_a_preset_by_another_name_with_changes() -> None:
    found = upstream(
        "ours",
        preset="anthropic",
        key="env:KEY",
        base_url="env:URL",
        headers={"x-team": "blue"},
        query={"region": "env:REGION"},
        fields={"max_tokens": 5},
        refuses=frozenset(("effort",)),
    )
    assert found.provider == PROVIDERS["anthropic"].replace(
        name="ours",
        otel_name="anthropic",
        base_url="http://10.0.0.1",
        headers={"x-team": "blue"},
        query={"region": "eu"},
        fields={"max_tokens": 5},
        refuses=frozenset(("effort",)),
    )


def test_headers_and_the_query_of_a_preset_stay() -> None:
    found = upstream("ylokh", key="env:KEY", headers={"x-team": "blue"})
    assert found.provider.headers == {**PROVIDERS["ylokh"].headers, "x-team": "blue"}
    found = upstream(
        "azure-dated-responses", key="env:KEY", query={"a": "b"}, base_url="http://10.0.0.1"
    )
    assert found.params == {}  # this address has none
    assert found.provider.query == {"api-version": "2025-04-01-preview", "a": "b"}


def test_a_service_of_ones_own() -> None:
    found = upstream(
        "local", dialect="openai_chat", base_url="http://10.0.0.7:8000/v1", ask_usage=False
    )
    provider = found.provider
    assert (provider.name, provider.dialect.name) == ("local", "openai_chat")
    assert (provider.base_url, provider.ask_usage) == ("http://10.0.0.7:8000/v1", False)
    assert provider.any_model
    assert found.key is None


def test_credentials_of_aws() -> None:
    key = AwsEntry(id="env:KEY", secret="env:KEY", region="eu")
    found = upstream("x", dialect="openai_chat", base_url="http://a", key=key)
    assert found.key == AwsKey("sk-12345678", "sk-12345678", "", "eu")
    assert found.params == {"region": "eu"}
    key = AwsEntry(id="env:KEY", secret="sk-12345678")
    with pytest.raises(ConfigError, match=r"^gateway.toml: providers.x.key.secret: a secret must"):
        upstream("x", dialect="openai_chat", base_url="http://a", key=key)


def test_parameters_of_the_address() -> None:
    found = upstream("azure-responses", key="env:KEY", params={"resource": "env:REGION"})
    assert found.params == {"resource": "eu"}
    assert "{resource}" in found.provider.base_url


def test_a_key_in_a_header_is_one() -> None:
    found = upstream("openai", headers={"authorization": "env:KEY"})
    assert (found.key, found.provider.headers) == (None, {"authorization": "sk-12345678"})


def test_a_service_that_takes_no_key_needs_none() -> None:
    assert upstream("darkai").key is None
    assert upstream("ollama").key is None


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no preset": (
        "opnai",
        {},
        "providers.opnai: there is no preset `opnai`; did you mean openai?; "
        "of others give `dialect` and `base_url`",
    ),
    "another preset": ("a", {"preset": "opnai"}, "providers.a: there is no preset `opnai`; did"),
    "both": (
        "a",
        {"preset": "openai", "dialect": "openai_chat"},
        "providers.a: give `dialect` or `preset`, not both",
    ),
    "no dialect": (
        "a",
        {"dialect": "openai", "base_url": "http://a"},
        "providers.a.dialect: unknown dialect `openai`; did you mean openai_",
    ),
    "no address": (
        "a",
        {"dialect": "openai_chat"},
        "providers.a: missing key `base_url`, the address of the service",
    ),
    "no key": (
        "openai",
        {},
        'providers.openai: missing key `key`, as `key = "env:OPENAI_API_KEY"`',
    ),
    "no key, nor a variable of one": ("ylokh", {}, "providers.ylokh: missing key `key`"),
    "a key in the file": (
        "openai",
        {"key": "sk-12345678"},
        "providers.openai.key: a secret must not be in this file",
    ),
    "a key in a header": (
        "openai",
        {"headers": {"x-api-key": "sk-12345678"}},
        "providers.openai.headers.x-api-key: a secret must not be in this file",
    ),
    "no parameter of the address": (
        "azure-responses",
        {"key": "env:KEY"},
        "providers.azure-responses: missing key `params`, as "
        '`params.resource = "env:AZURE_RESOURCE_NAME"`',
    ),
    "no address in the environment": (
        "ollama",
        {"base_url": "env:OTHER"},
        "providers.ollama.base_url: the environment variable OTHER is not set",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table(case: str) -> None:
    name, entry, message = WRONG[case]
    with pytest.raises(ConfigError) as raised:
        upstream(name, **entry)
    assert str(raised.value).startswith(f"gateway.toml: {message}")
    assert "12345678" not in str(raised.value)

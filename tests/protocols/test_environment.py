"""What environment variables say about a provider."""

import pytest

from tokenwire.protocols.environment import base_url_of, first_set, key_of, params_of
from tokenwire.protocols.registry import PROVIDERS

SERVICE = PROVIDERS["openai"].replace(
    base_url="https://api.example:8443/v1",
    env=("A_KEY", "B_KEY"),
    base_env=("A_URL", "B_URL"),
    params={"region": "REGION", "account": "ACCOUNT"},
)


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({}, None),
        ({"A_KEY": " "}, None),
        ({"A_KEY": " one\n"}, "one"),
        ({"A_KEY": "", "B_KEY": "two"}, "two"),
        ({"A_KEY": "one", "B_KEY": "two"}, "one"),
    ],
)
def test_the_key(environment: dict[str, str], key: str | None) -> None:
    assert key_of(SERVICE, environment) == key


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"B_URL": "http://other/v2"}, "http://other/v2"),
        ({"A_URL": "10.0.0.1"}, "https://10.0.0.1:8443/v1"),
        ({"A_URL": "10.0.0.1:99"}, "https://10.0.0.1:99/v1"),
        ({"A_URL": "[::1]:99"}, "https://[::1]:99/v1"),
        ({"A_URL": "99"}, "https://99:8443/v1"),
        ({"A_URL": "http://other"}, "http://other/v1"),
        ({"A_URL": "http://["}, "http://["),
    ],
)
def test_the_address(environment: dict[str, str], url: str | None) -> None:
    assert base_url_of(SERVICE, environment) == url


def test_a_host_without_a_port_where_the_provider_has_none() -> None:
    service = SERVICE.replace(base_url="https://api.example/v1")
    assert base_url_of(service, {"A_URL": "10.0.0.1"}) == "https://10.0.0.1/v1"


def test_a_path_with_parts_is_not_added() -> None:
    service = SERVICE.replace(base_url="https://api.example/{region}/v1")
    assert base_url_of(service, {"A_URL": "http://other"}) == "http://other"


def test_parts_of_the_address() -> None:
    assert params_of(SERVICE, {"REGION": " eu ", "ACCOUNT": " "}) == {"region": "eu"}
    assert params_of(SERVICE, {"REGION": "https://a.euX/"}) == {"region": "a.euX"}


def test_the_first_variable_that_is_set() -> None:
    assert first_set(("A", "B", "C"), {"A": " ", "B": "b", "C": "c"}) == "B"
    assert first_set((), {"A": "a"}) is None

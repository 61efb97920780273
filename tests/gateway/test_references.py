"""Secrets that a configuration refers to."""

import pytest

from tokenwire.gateway.file import ConfigError
from tokenwire.gateway.references import References

FILES = {"/run/key": "sk-from-file\n", "/run/empty": " \n"}


def read(path: str) -> str:
    if path == "/run/binary":
        raise UnicodeDecodeError("utf-8", b"\xff-secret", 0, 1, "invalid start byte")
    if path == "/run/strange":
        raise OSError("strange")
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def references(*, literals: bool = False) -> References:
    environment = {"KEY": " sk-from-env ", "EMPTY": " "}
    return References("gateway.toml", environment, read, literals=literals)


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [("env:KEY", "sk-from-env"), ("file:/run/key", "sk-from-file"), ("", "")],
)
def test_what_it_refers_to(text: str, found: str, secret: bool) -> None:
    assert references().text(text, "key", secret=secret) == found


@pytest.mark.parametrize("text", ["blue", "http://127.0.0.1", "ENV:KEY"])
def test_a_text_that_is_no_reference(text: str) -> None:
    assert references().text(text, "region") == text
    assert references(literals=True).text(text, "key", secret=True) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("env:OTHER", "the environment variable OTHER is not set"),
        ("env:EMPTY", "the environment variable EMPTY is not set"),
        ("file:/run/empty", "the file /run/empty is empty"),
        ("file:/run/none", "the file /run/none can't be read: No such file or directory"),
        ("file:/run/binary", "the file /run/binary can't be read: it is not UTF-8"),
        ("file:/run/strange", "the file /run/strange can't be read: unknown reason"),
    ],
)
def test_a_reference_to_nothing(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        references().text(text, "providers.openai.key")
    assert str(raised.value) == f"gateway.toml: providers.openai.key: {problem}"


def test_a_secret_in_the_file_is_refused_and_not_shown() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^gateway.toml: key: a secret must not be in this file: "
        r'write "env:NAME" or "file:PATH", or set insecure_literal_keys = true$',
    ) as raised:
        references().text("sk-12345678", "key", secret=True)
    assert "12345678" not in str(raised.value)


def test_several_texts_and_secret_names() -> None:
    texts = {"x-team": "blue", "X-Api-Key": "env:KEY"}
    assert references().texts(texts, "headers") == {"x-team": "blue", "X-Api-Key": "sk-from-env"}
    with pytest.raises(ConfigError, match=r"^gateway.toml: headers.Authorization: a secret must"):
        references().texts({"Authorization": "Bearer 12345678"}, "headers")

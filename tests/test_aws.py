"""The credentials of AWS on this machine."""

from pathlib import Path

import pytest

from tokenwire import PROVIDERS, LocalProtocolError, make_exchange
from tokenwire.aws import aws_key, aws_region
from tokenwire.highlevel import key_from_environment
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.toolkit.http import get_header

VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"),
    *("AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    "AWS_BEARER_TOKEN_BEDROCK",
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home, without variables."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def write(home: Path, name: str, text: str) -> None:
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / name).write_text(text)


def test_nothing() -> None:
    assert (aws_key(), aws_region()) == (None, "")
    assert key_from_environment(PROVIDERS["bedrock"]) is None


def test_the_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    write(home, "credentials", "[default]\naws_access_key_id=other\naws_secret_access_key=x\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", " AKID ")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert aws_key() == AwsKey("AKID", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert aws_key() == AwsKey("AKID", "secret", "token", "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert aws_key() == AwsKey("AKID", "secret", "token", "eu-west-2")
    assert key_from_environment(PROVIDERS["bedrock"]) == aws_key()
    assert key_from_environment(PROVIDERS["openai"]) is None
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer")
    assert key_from_environment(PROVIDERS["bedrock"]) == "bearer"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
    ],
)
def test_half_a_key(monkeypatch: pytest.MonkeyPatch, given: str, missing: str) -> None:
    monkeypatch.setenv(given, "secret")
    with pytest.raises(LocalProtocolError) as caught:
        aws_key()
    assert str(caught.value) == f"{given} is set, and {missing} is not"


CREDENTIALS = """
[default]
aws_access_key_id = AKID
aws_secret_access_key = se%cr=et/+
[other]
aws_access_key_id = AKID2
aws_secret_access_key = secret2
aws_session_token = token2
"""
CONFIG = """
[default]
region = eu-west-1
s3 =
  max_concurrent_requests = 20
[profile other]
region = us-gov-west-1
[profile three]
aws_access_key_id = AKID3
aws_secret_access_key = secret3
"""


def test_the_files(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    write(home, "credentials", CREDENTIALS)
    assert aws_key() == AwsKey("AKID", "se%cr=et/+")
    write(home, "config", CONFIG)
    assert aws_key() == AwsKey("AKID", "se%cr=et/+", region="eu-west-1")
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert aws_key() == AwsKey("AKID2", "secret2", "token2", "us-gov-west-1")
    monkeypatch.setenv("AWS_PROFILE", "three")
    assert aws_key() == AwsKey("AKID3", "secret3")
    monkeypatch.setenv("AWS_REGION", "x")
    assert aws_key() == AwsKey("AKID3", "secret3", region="x")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / ".aws" / "credentials"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/config")
    monkeypatch.setenv("AWS_PROFILE", "profile other")
    assert aws_key() is None


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    write(home, "credentials", CREDENTIALS)
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(LocalProtocolError) as caught:
        aws_key()
    assert str(caught.value) == "there is no AWS profile 'none' in ~/.aws (AWS_PROFILE)"


@pytest.mark.parametrize(
    "how",
    [
        *("sso_session = x", "sso_start_url = x", "role_arn = x", "credential_process = x"),
        *("web_identity_token_file = x", "login_session = x"),
    ],
)
def test_a_profile_that_gets_its_key_elsewhere(home: Path, how: str) -> None:
    write(home, "config", f"[default]\nregion = eu-west-1\n{how}\n")
    with pytest.raises(LocalProtocolError) as caught:
        aws_key()
    word = how.partition(" ")[0]
    assert f"the AWS profile 'default' gets its key by {word}, which" in str(caught.value)
    assert "give key= a function that returns an AwsKey, or run eval" in str(caught.value)
    assert aws_region() == "eu-west-1"


@pytest.mark.parametrize("text", ["secret\n", "[default]\nsecret\n", "[default\nsecret=1\n"])
def test_a_file_that_is_none(home: Path, text: str) -> None:
    write(home, "credentials", text)
    with pytest.raises(LocalProtocolError, match="it is not in AWS's form") as caught:
        aws_key()
    assert "secret" not in f"{caught.value!r} {caught.value.__context__!r}".replace("secret=", "")


def test_a_file_that_is_no_text(home: Path) -> None:
    write(home, "config", "")
    (home / ".aws" / "config").write_bytes(b"[\xff]\n")
    with pytest.raises(LocalProtocolError, match="it is not in AWS's form"):
        aws_region()


def test_a_file_that_can_not_be_read(home: Path) -> None:
    (home / ".aws" / "config").mkdir(parents=True)
    with pytest.raises(LocalProtocolError, match="config can't be read: "):
        aws_region()
    (home / ".aws" / "config").rmdir()
    (home / ".aws").rmdir()
    (home / ".aws").write_text("a file")  # where a folder would be
    assert aws_region() == ""


# What a request is made of


def test_a_request_of_the_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    write(home, "credentials", CREDENTIALS)
    with pytest.raises(LocalProtocolError, match=r"bedrock needs region: .* or set AWS_REGION"):
        make_exchange("bedrock", "hi", model="m")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    request = make_exchange("bedrock", "hi", model="m").next_request()
    assert request is not None
    assert request.origin.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    said = get_header(request.headers, b"authorization")
    assert said is not None
    assert said.startswith("AWS4-HMAC-SHA256 Credential=AKID/2")
    assert "/eu-west-1/bedrock/aws4_request" in said


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    key = AwsKey("AKID", "secret", region="us-west-2")
    exchange = make_exchange("bedrock", "hi", model="m", key=key)
    assert exchange.request.origin.host == "bedrock-runtime.us-west-2.amazonaws.com"
    exchange = make_exchange("bedrock", "hi", model="m", key=key, params={"region": "ap-east-1"})
    assert exchange.request.origin.host == "bedrock-runtime.ap-east-1.amazonaws.com"
    for other in (AwsKey("AKID", "secret"), "bearer", lambda: key, ""):
        exchange = make_exchange("bedrock", "hi", model="m", key=other)
        assert exchange.request.origin.host == "bedrock-runtime.eu-west-1.amazonaws.com"

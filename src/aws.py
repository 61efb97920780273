"""The credentials of AWS that this machine has: in the environment, or in a profile's files.

Only access keys are read, as `aws configure` writes them. What a program has to be asked for (a
role, single sign-on, the metadata of a machine) is the business of AWS's own SDKs: `key=` takes a
function that returns an `AwsKey`.
"""

import os
from collections.abc import Mapping
from configparser import Error, RawConfigParser
from pathlib import Path

from .protocols.auth import AwsKey
from .protocols.errors import LocalProtocolError

__all__ = ["aws_key", "aws_region"]

_ELSEWHERE = (
    *("credential_process", "login_session", "role_arn", "sso_session", "sso_start_url"),
    "web_identity_token_file",
)
"""What a profile may have instead of an access key."""


def aws_key() -> AwsKey | None:
    """The access key in the environment, or else that of the profile. None: there is none.

    Raises LocalProtocolError if that is not complete, or the profile gets its key in another way.
    """
    id, secret = _set("AWS_ACCESS_KEY_ID"), _set("AWS_SECRET_ACCESS_KEY")
    if id and secret:
        return AwsKey(id, secret, _set("AWS_SESSION_TOKEN"), aws_region())
    if id or secret:
        given, missing = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
        if secret:
            given, missing = missing, given
        raise LocalProtocolError(f"{given} is set, and {missing} is not")
    profile, name = _profile(), _profile_name()
    id, secret = profile.get("aws_access_key_id", ""), profile.get("aws_secret_access_key", "")
    if id and secret:
        return AwsKey(id, secret, profile.get("aws_session_token", ""), aws_region())
    if how := next((key for key in _ELSEWHERE if key in profile), ""):
        raise LocalProtocolError(
            f"the AWS profile {name!r} gets its key by {how}, which needs AWS's own tools: give "
            'key= a function that returns an AwsKey, or run eval "$(aws configure '
            'export-credentials --format env)" before'
        )
    return None


def aws_region() -> str:
    """The region in the environment, or else that of the profile; empty if there is none."""
    return _set("AWS_REGION") or _set("AWS_DEFAULT_REGION") or _profile().get("region", "")


def _set(variable: str) -> str:
    return os.environ.get(variable, "").strip()


def _profile_name() -> str:
    return _set("AWS_PROFILE") or "default"


def _profile() -> Mapping[str, str]:
    """The profile, of both files. Raises LocalProtocolError if it is named and not there."""
    name = _profile_name()
    section = name if name == "default" else f"profile {name}"
    places = (
        ("AWS_CONFIG_FILE", "config", section),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    )
    found: dict[str, str] = {}
    known = False
    for variable, file, section in places:
        path = Path(_set(variable) or f"~/.aws/{file}").expanduser()
        parser = _read(path)
        if parser.has_section(section):
            known = True
            found.update(parser.items(section))  # the credentials file goes before the other
    if not known and _set("AWS_PROFILE"):
        raise LocalProtocolError(f"there is no AWS profile {name!r} in ~/.aws (AWS_PROFILE)")
    return found


def _read(path: Path) -> RawConfigParser:
    """The sections of a file; none if it is not there. Raises LocalProtocolError, which shows
    nothing of it."""
    parser = RawConfigParser(default_section="", strict=False)  # `default` is like the others
    try:
        parser.read_string(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return parser
    except OSError as error:
        problem = str(error.strerror)
    except (Error, UnicodeDecodeError):
        problem = "it is not in AWS's form"
    else:
        return parser
    # Outside of `except`: the error below must not refer to one that has a line of the file.
    raise LocalProtocolError(f"{path} can't be read: {problem}")

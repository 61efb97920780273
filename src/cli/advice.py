"""What to do about an error, for users of the command: the library's advice is for Python code."""

import os
import re

from ..protocols.auth import SigV4
from ..protocols.errors import AuthenticationFailed, Clock, Redirected, TimedOut, TokenwireError
from ..protocols.provider import Provider

__all__ = ["PHRASES", "in_command_words"]

_TRUST = "give its authority's file with --ca-file, or in SSL_CERT_FILE"
PHRASES = {
    "give a context that trusts it with ssl_context=": _TRUST,
    "; give a context that presents one with ssl_context=": ", and the command can't present one",
    "give one with model=": "give one with --model",
    "give the HTTP client a context that trusts it with verify=": _TRUST,
    "give allow_private_addresses=True": "use --allow-private-addresses",
    "give credentials by key= or headers=": "give a key in TOKENWIRE_KEY, or a --header",
    "give it with the chat": "give it with -O",
    "give a schema": "give one with --schema",
    "give AwsKey(..., region=...)": "set AWS_REGION",
    "(skip broken)": "(--skip-broken)",
    "repeat=True answers it": "--repeat answers it",
    "allow_secrets=...": "--allow-secret",
}
"""What the library's messages say, and what the command says instead."""

_NAMES = {
    "base_url": "the base URL",
    "public_url": "--public-url",
    "cors": "--cors",
    "upstream": "--upstream",
}
"""What an argument that a message begins with is to a user of the command."""
_NAME = re.compile(rf"\A(?:{'|'.join(_NAMES)})\b")
_KEYLESS = re.compile(r"; no key was given: .*")
_PARAMS = re.compile(r"give params=\{.*?\}(, or set)?")
_OPTIONS: dict[Clock, str] = {
    "connect": "--connect",
    "first_event": "--first-event",
    "idle": "--idle",
    "total": "--timeout",
}


def in_command_words(error: TokenwireError, provider: Provider | None) -> str:
    """The message of `error`, with the options and variables of the command. `provider` is the one
    that was asked."""
    text = _NAME.sub(lambda found: _NAMES[found[0]], str(error))
    for phrase, ours in PHRASES.items():
        text = text.replace(phrase, ours)
    text = text.replace(_TRUST, _TRUST + _missing_file())
    text = _PARAMS.sub(lambda found: "set" if found[1] else "give the address by --base-url", text)
    text = _KEYLESS.sub("", text)  # the advice has it
    advice = _advice(error, provider)
    return f"{text}; {advice}" if advice else text


def _missing_file() -> str:
    """What is wrong with SSL_CERT_FILE, if it names nothing: OpenSSL then trusts nobody, and does
    not say so."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return f" ({path} is not a file)" if path and not os.path.isfile(path) else ""


def _advice(error: TokenwireError, provider: Provider | None) -> str:
    match error:
        case TimedOut():
            return f"{_OPTIONS[error.clock]} sets this limit"
        case Redirected():
            return "if the service has moved, give its new address by --base-url"
        case AuthenticationFailed(status=407):
            return "the proxy's user and password are part of --proxy"
        case AuthenticationFailed() if provider is not None and provider.key_place is not None:
            aws = ["AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or the profile"]
            own = aws if isinstance(provider.key_place, SigV4) else []
            variables = ["TOKENWIRE_KEY", *provider.env, *own]
            return f"the key is read from {' or '.join(variables)}"
        case _:
            return ""

"""What services of Amazon Web Services have in common: their errors, and answers of frames.

Sources: botocore's model of `bedrock-runtime`, the page on errors of Bedrock's user guide
(docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html), and for the
frames https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

from typing import Any

import msgspec

from .errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
)
from .reading import Asked, decode_asking, read_json
from .service import Responder, Service
from .toolkit.frames import encode_frame
from .toolkit.http import Headers, Request
from .toolkit.json import text_of
from .toolkit.refusals import ErrorTable

__all__ = ["ERRORS", "REQUEST_ID", "AwsResponder", "event_frame"]

REQUEST_ID = b"x-amzn-requestid"
_ERROR_TYPE = b"x-amzn-errortype"

_NAMES: dict[str, type[Refused]] = {
    "AccessDeniedException": AuthenticationFailed,
    "UnrecognizedClientException": AuthenticationFailed,
    "InvalidSignatureException": AuthenticationFailed,
    "ExpiredTokenException": AuthenticationFailed,
    "IncompleteSignature": AuthenticationFailed,
    "MissingAuthenticationToken": AuthenticationFailed,
    "ValidationException": BadRequest,
    "ConflictException": BadRequest,
    "ResourceNotFoundException": BadRequest,
    "FTUFormNotFilled": BadRequest,
    "ServiceQuotaExceededException": RateLimited,
    "ThrottlingException": RateLimited,
    "ModelTimeoutException": Overloaded,
    "ModelNotReadyException": Overloaded,
    "ServiceUnavailableException": Overloaded,
    "ModelErrorException": Refused,
    "ModelStreamErrorException": Refused,
    "InternalServerException": Refused,
    "InternalFailure": Refused,
}
"""The names of errors. In a stream they begin with a small letter."""

_SPELLED = {name.lower(): name for name in _NAMES}


def _read(value: Any) -> tuple[str | None, str | None, str] | None:
    """The name and the message of an error. Gateways write `Message`, some services `__type`, and
    an error of the model's has its words as well."""
    message = text_of(value, "message") or text_of(value, "Message")
    name = text_of(value, "__type").rpartition("#")[2]
    original = text_of(value, "originalMessage")
    if not (message or name or original):
        return None
    return name or None, None, ": ".join(filter(None, (message, original)))


ERRORS = ErrorTable(
    words={name.lower(): kind for name, kind in _NAMES.items()},
    request_ids=(REQUEST_ID,),
    code_header=_ERROR_TYPE,
    read=_read,
)


def event_frame(type: str, payload: bytes) -> bytes:
    """The frame of an event whose payload is JSON."""
    return _frame({":event-type": type}, "event", payload)


def _frame(first: dict[str, str], kind: str, payload: bytes) -> bytes:
    headers = {**first, ":content-type": "application/json", ":message-type": kind}
    return encode_frame(headers, payload)


class AwsResponder(Responder):
    """Answers one request with frames, or a JSON document, and errors as AWS does."""

    content_type = b"application/vnd.amazon.eventstream"

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.number = service.number()
        self.request_id = f"00000000-0000-4000-8000-{self.number:012}"

    def asked(self, request: Request, found: dict[str, str]) -> Asked:
        read_json(request, decode_asking, labelled=False)
        return Asked(found["model"], self.is_streamed(request))

    @staticmethod
    def is_streamed(request: Request) -> bool:
        """Whether the answer is to be a stream: the path says so."""
        return request.target.partition("?")[0].rstrip("/").endswith("-stream")

    def head(self) -> tuple[int, Headers]:
        return self.status, [*self.headers, (REQUEST_ID, self.request_id.encode())]

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        body = super().fail(error)
        if self.status == 401:  # which AWS does not know
            self.status = 403
            self.headers = [pair for pair in self.headers if pair[0] != b"www-authenticate"]
        self.headers.append((_ERROR_TYPE, _name_of(error, self.status).encode()))
        return body

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        name = _name_of(error, None)
        name = name[0].lower() + name[1:]
        return _frame({":exception-type": name}, "exception", self.write_error(error))

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return msgspec.json.encode({"message": error.message, **error.details})


_CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (AuthenticationFailed, "UnrecognizedClientException"),
    (RateLimited, "ThrottlingException"),
    (Overloaded, "ServiceUnavailableException"),
    (BadRequest, "ValidationException"),
    (ContentFiltered, "ValidationException"),
    (Malformed, "ValidationException"),
    (LocalProtocolError, "ValidationException"),
)


def _name_of(error: RemoteProtocolError | LocalProtocolError, status: int | None) -> str:
    """The name of an error: its own, if AWS knows it, or that of its class."""
    code = error.code if isinstance(error, Refused) else None
    if code and (name := _SPELLED.get(code.lower())):
        return name
    if status == 404:
        return "ResourceNotFoundException"
    found = (name for kind, name in _CLASSES if isinstance(error, kind))
    return next(found, "InternalServerException")

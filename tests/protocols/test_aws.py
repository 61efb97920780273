"""What services of AWS have in common: errors, and answers of frames."""

from typing import Any

import msgspec
import pytest

from tests.formats.bedrock.subject import BEDROCK, MODEL
from tokenwire import Service, as_chat
from tokenwire.protocols.aws import ERRORS, AwsResponder, event_frame
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
)
from tokenwire.protocols.refusing import refuse
from tokenwire.protocols.toolkit.frames import Frame, Frames
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.protocols.toolkit.refusals import is_refusal, refusal_of_object, refusal_of_response
from tokenwire.testing.recording import responder_to

JSON = (b"content-type", b"application/json")


def refused(status: int, name: str, body: bytes) -> Refused:
    headers: Headers = [JSON, (b"x-amzn-errortype", name.encode()), (b"x-amzn-requestid", b"r-1")]
    return refusal_of_response(status, headers if name else headers[::2], body, ERRORS)


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("AccessDeniedException", 403, AuthenticationFailed),
        ("UnrecognizedClientException", 403, AuthenticationFailed),
        ("InvalidSignatureException", 403, AuthenticationFailed),
        ("ExpiredTokenException", 403, AuthenticationFailed),
        ("IncompleteSignature", 400, AuthenticationFailed),
        ("MissingAuthenticationToken", 403, AuthenticationFailed),
        ("", 403, AuthenticationFailed),
        ("ValidationException", 400, BadRequest),
        ("ConflictException", 400, BadRequest),
        ("ServiceQuotaExceededException", 400, RateLimited),
        ("ResourceNotFoundException", 404, BadRequest),
        ("FTUFormNotFilled", 404, BadRequest),
        ("ModelTimeoutException", 408, Overloaded),
        ("ModelErrorException", 424, Refused),
        ("ThrottlingException", 429, RateLimited),
        ("ModelNotReadyException", 429, Overloaded),
        ("InternalServerException", 500, Refused),
        ("InternalFailure", 500, Refused),
        ("ServiceUnavailableException", 503, Overloaded),
        ("", 500, Refused),
    ],
)
def test_an_error_by_its_name(name: str, status: int, kind: type[Refused]) -> None:
    for suffix in ("", ":http://internal.amazon.com/coral/x/"):
        error = refused(status, name and name + suffix, b'{"message":"no"}')
        assert type(error) is kind
        assert (error.message, error.code) == ("the service refused: no", name or None)
        assert (error.request_id, error.lasting) == ("r-1", False)
    # The name may be in the body instead, or of a stream: then there is no status.
    if name:
        value = {"__type": f"com.amazon.coral#{name}", "Message": "no"}
        error = refused(status, "", msgspec.json.encode(value))
        assert (type(error), error.code) == (kind, name)
        camel = name[0].lower() + name[1:]
        for spelled in (camel, name):
            error = refusal_of_object({"message": "no"}, ERRORS, code=spelled)
            assert (type(error), error.code) == (kind, spelled)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Message": "no"}, "no"),
        ({"message": "no", "originalMessage": "why"}, "no: why"),
        ({"originalMessage": "why", "__type": "x"}, "why"),
        ({"originalMessage": "too long"}, "too long"),
        ({"__type": "a#B"}, "no reason given (status 400)"),
        ({"__type": "B"}, "no reason given (status 400)"),
        ({"detail": "no"}, "no"),  # a gateway's own form
    ],
)
def test_the_words_of_an_error(body: Any, message: str) -> None:
    error = refused(400, "", msgspec.json.encode(body))
    assert error.message == f"the service refused: {message}"


def test_a_page_with_a_name() -> None:
    error = refused(503, "ThrottlingException", b"<html>slow</html>")
    assert (type(error), error.code) == (RateLimited, "ThrottlingException")
    assert error.message == "the service answered with status 503: an HTML page"


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ({"message": "no"}, True),
        ({"Message": "no"}, True),
        ({"__type": "a#B"}, True),
        ({"__type": "B"}, True),
        ({"output": {"message": {}}}, False),
        ({"message": {}}, False),
        ([], False),
    ],
)
def test_what_is_an_error(value: Any, is_one: bool) -> None:
    assert is_refusal(value, ERRORS) is is_one


# What is written


def frame_of(data: bytes) -> Frame:
    frames: list[Frame] = []
    Frames(1 << 20).feed(data, frames)
    (frame,) = frames
    return frame


def test_the_frame_of_an_event() -> None:
    data = event_frame("messageStart", b'{"role":"assistant"}')
    assert data.hex() == (
        "000000760000005296d5fade0b3a6576656e742d7479706507000c6d65737361676553746172740d3a63"
        "6f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d7479"
        "70650700056576656e747b22726f6c65223a22617373697374616e74227d6fa8c599"
    )


RESPONDER_ERRORS: list[tuple[RemoteProtocolError | LocalProtocolError, int, str, str]] = [
    (AuthenticationFailed("no"), 403, "UnrecognizedClientException", "unrecognizedClientException"),
    (
        refuse(AuthenticationFailed, 403, "no", "AccessDeniedException"),
        *(403, "AccessDeniedException", "accessDeniedException"),
    ),
    (RateLimited("no"), 429, "ThrottlingException", "throttlingException"),
    (
        refuse(RateLimited, 400, "no", "serviceQuotaExceededException"),
        *(400, "ServiceQuotaExceededException", "serviceQuotaExceededException"),
    ),
    (refuse(RateLimited, 429, "no", "slow"), 429, "ThrottlingException", "throttlingException"),
    (Overloaded("no"), 503, "ServiceUnavailableException", "serviceUnavailableException"),
    (BadRequest("no"), 400, "ValidationException", "validationException"),
    (refuse(BadRequest, 404, "no"), 404, "ResourceNotFoundException", "validationException"),
    (ContentFiltered("no"), 400, "ValidationException", "validationException"),
    (Malformed("no"), 400, "ValidationException", "validationException"),
    (LocalProtocolError("no"), 400, "ValidationException", "validationException"),
    (Truncated("no"), 502, "InternalServerException", "internalServerException"),
    (Refused("no"), 500, "InternalServerException", "internalServerException"),
]


@pytest.mark.parametrize(("error", "status", "name", "camel"), RESPONDER_ERRORS)
def test_an_error_is_written(
    error: RemoteProtocolError | LocalProtocolError, status: int, name: str, camel: str
) -> None:
    responder = Service(BEDROCK).responder()
    assert responder.fail(error) == b'{"message":"no"}'
    assert responder.head() == (
        status,
        [
            JSON,
            (b"x-amzn-errortype", name.encode()),
            (b"x-amzn-requestid", b"00000000-0000-4000-8000-000000000001"),
        ],
    )
    frame = frame_of(responder.fail_midway(error))
    assert frame.headers == {
        ":exception-type": camel,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    assert frame.payload == b'{"message":"no"}'


def test_each_request_has_an_id_of_its_own() -> None:
    service = Service(BEDROCK)
    ids = [responder.head()[1][-1][1] for responder in (service.responder(), service.responder())]
    assert ids == [b"00000000-0000-4000-8000-%012d" % n for n in (1, 2)]


def test_the_head_of_a_stream() -> None:
    responder = responder_to(BEDROCK, as_chat("hi", model=MODEL))
    assert isinstance(responder, AwsResponder)
    status, headers = responder.head()
    assert status == 200
    assert headers[0] == (b"content-type", b"application/vnd.amazon.eventstream")


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        ("/model/m/converse", "m", False),
        ("/model/m/converse-stream", "m", True),
        ("/model/a%3Ab%2Fc/converse-stream/?x=1", "a:b/c", True),
    ],
)
def test_what_is_asked_for_is_in_the_path(path: str, model: str, stream: bool) -> None:
    """Some SDKs do not label the body."""
    request = Request("POST", f"http://x.test{path}", [], b'{"messages":[]}')
    service = Service(BEDROCK.replace(any_model=True))
    _, found = service.route(request)
    asked = service.responder().asked(request, found)
    assert (asked.model, asked.stream, asked.alike, asked.goes_on) == (model, stream, True, False)
    broken = Request("POST", f"http://x.test{path}", [], b"{")
    with pytest.raises(BadRequest):
        service.responder().asked(broken, found)

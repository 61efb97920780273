"""Errors: whose fault, in which words, and never with a key in them."""

import copy
import pickle
from typing import Any

import pytest

from tests.asking import HTML, chunk, question
from tests.cutting import bytewise, whole
from tests.driving import JSON, SSE, Response, drive
from tokenwire.protocols import errors as module
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    TransportError,
    Truncated,
    UnexpectedContent,
    brief,
    closest_or_all,
    did_you_mean,
)
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.question import Question
from tokenwire.protocols.registry import provider_named
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.http import Headers

KEY = "sk-proj-0123456789abcdefghijklmnop"
REFUSALS: list[type[Refused]] = [
    *(Refused, AuthenticationFailed, RateLimited, Overloaded, BadRequest),
    *(ContentFiltered, Redirected, Challenged),
]
REMOTE: list[type[RemoteProtocolError]] = [
    *(RemoteProtocolError, Malformed, Truncated, LimitExceeded, UnexpectedContent),
    *REFUSALS,
]


def everything(error: TokenwireError) -> TokenwireError:
    """`error` with all its attributes set."""
    error.answer = Reply()
    error.asked = "POST https://a.b/c"
    if isinstance(error, RemoteProtocolError):
        error.status = 429
        error.headers = [(b"retry-after", b"3")]
    if isinstance(error, Refused):
        error.retry_after, error.request_id = "3", "r-1"
    if isinstance(error, Redirected):
        error.location = "https://else.where/"
    return error


ERRORS: list[TokenwireError] = [
    everything(error)
    for error in (
        TokenwireError("t"),
        LocalProtocolError("l"),
        *(kind("r", data=b"bytes") for kind in REMOTE),
        Refused("r", code="c", type="t"),
        *(kind("n") for kind in (TransportError, ConnectFailed, Disconnected)),
        TimedOut("late", "idle"),
    )
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_can_be_pickled_and_copied(error: TokenwireError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert (str(again), again.args) == (str(error), error.args)
        assert vars(again).keys() == vars(error).keys()
        assert {k: v for k, v in vars(again).items() if k != "answer"} == {
            k: v for k, v in vars(error).items() if k != "answer"
        }


def test_every_error_is_tested_and_exported() -> None:
    classes = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert {type(error).__name__ for error in ERRORS} == classes
    assert classes | {"Clock", "brief", "closest_or_all", "did_you_mean"} == set(module.__all__)


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (TokenwireError, [LocalProtocolError, RemoteProtocolError, TransportError]),
        (RemoteProtocolError, [Malformed, Truncated, LimitExceeded, UnexpectedContent, Refused]),
        (Refused, REFUSALS[1:]),
        (TransportError, [ConnectFailed, Disconnected, TimedOut]),
    ],
)
def test_whose_fault(parent: type[Exception], children: list[type[Exception]]) -> None:
    found = [kind for kind in parent.__subclasses__() if kind.__module__ == parent.__module__]
    assert found == children  # the gateway has some of its own


def test_what_they_say() -> None:
    assert str(Malformed("not JSON")) == "not JSON"
    assert str(Malformed("not JSON", data=b"{")) == "not JSON: b'{'"
    assert str(Refused("no", data=b"{}")) == "no"
    refused = Refused("no")
    assert (refused.data, refused.headers) == (b"", [])
    for unknown in ("status", "code", "type", "retry_after", "request_id", "should_retry"):
        assert getattr(refused, unknown) is None
    assert refused.lasting is False
    refused = Refused("no", data=b"{}", code="c", type="t")
    assert (refused.data, refused.code, refused.type) == (b"{}", "c", "t")
    timeout = TimedOut("too late", "first_event")
    assert (str(timeout), timeout.clock) == ("too late", "first_event")
    assert Redirected("moved").location == ""
    assert (TokenwireError().answer, TokenwireError().message) == (None, "")
    for error, words in (
        (ConnectFailed("no"), "no; the request was GET http://a"),
        (Malformed("not JSON", data=b"{"), "not JSON; the request was GET http://a: b'{'"),
        (Refused("no", data=b"{}"), "no; the request was GET http://a"),
    ):
        assert error.asked == ""
        error.asked = "GET http://a"
        assert (str(error), error.message) == (words, words.partition(";")[0])


# Secrets


def shown(thing: object) -> str:
    """All that could get into a log: repr, str, and every attribute, in both encodings."""
    parts = [repr(thing), str(thing)]
    if isinstance(thing, BaseException):
        parts += [repr(thing.args), repr(vars(thing)), repr(pickle.dumps(thing))]
        for value in vars(thing).values():
            parts += [str(value), value.decode(errors="replace") if type(value) is bytes else ""]
        parts += [] if thing.__cause__ is None else [shown(thing.__cause__)]
        parts += [] if thing.__context__ is None else [shown(thing.__context__)]
    return "\n".join(parts)


def test_a_word_is_told_if_it_is_brief() -> None:
    assert brief("x" * 80) == "x" * 80
    assert brief("x" * 81) == "(too long to show)"


ECHOES: dict[str, tuple[int, Headers, str]] = {
    "a message": (401, JSON, '{"error": {"message": "not KEY", "code": "KEY", "type": "KEY"}}'),
    "a long message": (401, JSON, '{"error": "' + "x" * 1980 + 'KEY"}'),
    "a long text": (500, SSE, "x" * 360 + " KEY"),
    "a body cut by its limit": (400, JSON, '{"error": "' + "x" * 4060 + "KEY" + "x" * 999),
    "a page": (503, HTML, "<html>KEY</html>"),
    "a page for humans": (403, HTML, "<title>Just a moment</title>KEY"),
    "a page in place of an answer": (200, HTML, "<p>KEY</p>"),
    "headers": (429, [(name, b"KEY") for name in (b"retry-after", b"x-request-id", b"server")], ""),
    "a redirect": (302, [(b"location", b"/?key=KEY")], ""),
    "no JSON": (200, SSE, "data: KEY\n\n"),
    "JSON of another shape": (200, SSE, 'data: {"choices": "KEY"}\n\n'),
    "another shape, repaired": (200, SSE, 'data: \ufeff{"choices": "KEY"}\n\n'),
    "an error in the stream": (200, SSE, 'data: {"error": "KEY"}\n\n'),
    "an error as a field": (200, SSE, "error: KEY\n\n"),
    "a document that is no answer": (200, JSON, '{"KEY": "KEY"}'),
    "a document that was cut": (200, JSON, '{"choices": [{"KEY'),
    "an unknown coding": (200, [*SSE, (b"content-encoding", b"KEY")], ""),
    "a wrong type": (200, [(b"content-type", b"image/KEY")], "KEY"),
}  # fmt: skip


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("key", [KEY, "a plain key with spaces", "na\u00efve-secret"])
def test_a_key_that_the_server_sends_back_is_never_shown(echo: str, cut: Any, key: str) -> None:
    status, headers, body = ECHOES[echo]
    headers = [(name, value.replace(b"KEY", key.encode("latin-1"))) for name, value in headers]
    exchange = question(key=key, limits=Limits(error_body=4096))
    response = Response(body.replace("KEY", key).encode(), status, headers)
    error = drive(exchange, response, cut=cut).error
    assert isinstance(error, RemoteProtocolError)
    for secret in (key, key[:10], repr(key.encode())[2:-1], repr(key.encode("latin-1"))[2:-1]):
        assert secret not in shown(error)
        assert secret not in shown(exchange)


def test_a_key_is_never_shown_before_anything_is_sent() -> None:
    exchange = question(key=KEY)
    request = exchange.next_request()
    assert request is not None
    assert (b"authorization", f"Bearer {KEY}".encode()) in request.headers
    asked = Question(
        provider=provider_named("openai"),
        chat=as_chat("hi"),
        model="m",
        base_url="https://x",
        limits=Limits(),
        key=KEY,
        headers={"x-api-key": KEY},
    )
    for thing in (exchange, exchange.fresh(), request, asked, asked.post("/", {})):
        assert KEY not in shown(thing)


@pytest.mark.parametrize("key", ["x\n" + KEY, KEY + "\x7f", KEY + "\u20ac", KEY + "\ud800"])
def test_a_key_that_cannot_be_sent_is_not_shown(key: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        question(key=key)
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("name", ["authorization", "Cookie", "x-api-key", "X-Goog-Api-Key"])
def test_credentials_in_headers_are_not_shown(name: str) -> None:
    exchange = provider_named("openai").exchange(
        as_chat("hi", model="m"), headers={name: f"session={KEY}"}
    )
    assert KEY not in repr(exchange)
    assert KEY not in repr(exchange.next_request())
    exchange.receive_response(400, JSON)
    exchange.receive_data(b'{"error": "' + KEY.encode() + b'"}')
    exchange.receive_eof(framed=True)
    with pytest.raises(BadRequest) as caught:
        exchange.next_request()
    assert KEY not in shown(caught.value)


def test_a_good_answer_is_not_redacted() -> None:
    outcome = drive(question(key=KEY), b"data: " + chunk(KEY) + b"\n\ndata: [DONE]\n\n")
    assert outcome.succeeded().reply.text == KEY


def test_the_closest_names() -> None:
    assert did_you_mean("grok", ["groq", "openai"]) == "; did you mean groq?"
    assert did_you_mean("abce", ["abcd", "abcf", "x"]) == "; did you mean abcf or abcd?"
    assert did_you_mean("zzz", ["groq"]) == ""
    assert did_you_mean("a" * 1000, ["a" * 43]) == f"; did you mean {'a' * 43}?"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clock", "; did you mean clocks?"),
        ("x", " (known: clocks, ping)"),
        ("clocks" * 1_000_000, " (known: clocks, ping)"),
    ],
)
def test_the_closest_names_or_all(name: str, words: str) -> None:
    assert closest_or_all(name, ["ping", "clocks"]) == words


def test_no_name_is_close_if_there_is_none() -> None:
    assert closest_or_all("x", []) == " (known: none)"

"""What is to be done for a request, as a list of actions: every fault, every failure."""

import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tokenwire.protocols.answering import AnswerFunction, RequestAnswerFunction
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import Malformed, RateLimited, Refused, Truncated
from tokenwire.protocols.events import End, Event, Text
from tokenwire.protocols.refusing import refuse
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service
from tokenwire.protocols.toolkit.http import Request
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Faults,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)
from tokenwire.server.scripts import Action, Answer, Ending, Pause, Plan, Wait, Write, plan

DARKAI = PROVIDERS["darkai"]
AB = [
    b'data: {"event":"text-chunk","data":{"text":"a"}}\n\n',
    b'data: {"event":"text-chunk","data":{"text":"b"}}\n\n',
    b'data: {"event":"stream-end","data":{}}\n\n',
]


def ab(chat: Chat) -> Iterable[Event]:
    """An answer of two pieces."""
    return (Text("a"), Text("b"), End("terminator"))


def request_of(provider: str = "darkai", **options: object) -> Request:
    chat = as_chat("hi", **options)
    request = PROVIDERS[provider].exchange(chat, base_url="http://localhost").next_request()
    assert request is not None
    return request


class Reports:
    """Takes errors as the server does."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __call__(self, error: Exception) -> Refused:
        if isinstance(error, Refused):
            return error
        self.errors.append(error)
        return refuse(Refused, 500, "it failed")


def answer_to(
    request: Request,
    faults: Faults = None,
    *,
    provider: str = "darkai",
    answer: AnswerFunction | RequestAnswerFunction = ab,
    cutting: Cutting | None = None,
    report: Reports | None = None,
    responder: Responder | None = None,
) -> Answer:
    return Answer(
        request,
        plan(faults),
        responder=responder or Service(PROVIDERS[provider]).responder(),
        answer=answer,
        cutting=cutting or Cutting.per_event(),
        report=report or Reports(),
    )


def writes(faults: Faults = None, cutting: Cutting | None = None) -> list[bytes]:
    """What is written of the answer `ab`."""
    return [
        a.data
        for a in answer_to(request_of(), faults, cutting=cutting).actions()
        if isinstance(a, Write)
    ]


def run(answer: Answer) -> Iterator[Action]:
    """The actions, done as the server does them: the first write brings the head."""
    for action in answer.actions():
        answer.began = True
        yield action


def test_no_fault_is_the_plain_plan() -> None:
    assert plan(None) == plan(()) == plan((None,)) == Plan()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "ending", "head"),
    [
        (CloseAfter(0), Ending.CLOSE, True),
        (ResetAfter(0), Ending.RESET, True),
        (StallAfter(0), Ending.WAIT, True),
        (CloseAfter(0, head=False), Ending.CLOSE, False),
        (ResetAfter(0, head=False), Ending.RESET, False),
        (StallAfter(0, head=False), Ending.WAIT, False),
        (Linger(), Ending.WAIT, True),
        (CloseIdle(), Ending.CLOSE_IDLE, True),
        (Unframed(), Ending.KEEP, True),
        (EndAfter(0), Ending.KEEP, True),
    ],
)
def test_how_it_ends(fault: Faults, ending: Ending, head: bool) -> None:
    assert plan(fault).ending is ending
    assert plan(fault).head is head
    assert plan(fault).framed is (fault != Unframed())


def test_faults_add_up() -> None:
    both = plan((Gzip(), Unframed(), Linger(), CloseAfter(7)))
    assert both == Plan(gzip=True, framed=False, stop_after=7, ending=Ending.CLOSE)


def test_an_answer_is_written_event_by_event() -> None:
    answer = answer_to(request_of())
    assert list(run(answer)) == [Write(data) for data in AB]
    assert answer.status == 200
    assert answer.headers[0] == (b"content-type", b"text/event-stream; charset=utf-8")
    assert answer.length is None
    assert not answer.failed
    assert not answer.bodiless


def test_pauses_come_between_writes() -> None:
    answer = answer_to(request_of(), cutting=Cutting.per_event(pause=2))
    a, b, end = map(Write, AB)
    assert list(run(answer)) == [a, Pause(2), b, Pause(2), end]


@pytest.mark.parametrize("fault", [CloseAfter, ResetAfter, StallAfter, EndAfter])
@pytest.mark.parametrize("count", [0, 1, len(AB[0]), len(AB[0]) + 1, 10_000])
def test_no_more_than_the_count_is_written(
    fault: type[CloseAfter | ResetAfter | StallAfter | EndAfter], count: int
) -> None:
    written = writes(fault(count))
    assert b"".join(written) == b"".join(AB)[:count]
    assert all(written)


A = len(AB[0])


@pytest.mark.parametrize(
    ("count", "events"), [(0, 0), (1, 1), (A - 1, 1), (A, 1), (A + 1, 2), (10_000, 3)]
)
@pytest.mark.parametrize("cutting", [Cutting.whole(), Cutting.per_event(), Cutting.of_sizes(7)])
def test_keep_alives_fall_between_events(count: int, events: int, cutting: Cutting) -> None:
    answer = answer_to(request_of(), KeepAlives(count, interval=3), cutting=cutting)
    actions = run(answer)
    written = b""
    while written != b"".join(AB[:events]):
        action = next(actions)
        assert isinstance(action, Write)
        written += action.data
    for _ in range(5):
        assert next(actions) == Write(b": keepalive\n\n")
        assert next(actions) == Pause(3)
    assert answer.length is None


def test_keep_alives_are_what_a_reader_of_the_format_ignores() -> None:
    fault = KeepAlives(1, interval=3)

    def text(chat: Chat) -> list[Event]:
        return [Text("a"), End("terminator")]

    for provider in ("ollama", "gemini"):
        request = request_of(provider, model="m")
        if provider == "gemini":  # one array, instead of server-sent events
            url = request.url.partition("?")[0]
            request = Request("POST", url, request.headers, request.body)
        actions = run(answer_to(request, fault, provider=provider, answer=text))
        assert [next(actions) for _ in range(3)][1:] == [Write(b"\n"), Pause(3)]
    answer = answer_to(request_of("bedrock", model="m"), fault, provider="bedrock", answer=text)
    assert len(list(run(answer))) == 1  # frames know none: silence
    assert answer.plan.ending is Ending.WAIT


def test_the_terminator_is_dropped() -> None:
    assert writes(DropTerminator()) == AB[:2]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 9])
def test_a_broken_event_comes(after: int) -> None:
    expected = AB.copy()
    expected.insert(after, b"oops")
    assert writes(BreakEvent(after, b"oops")) == expected


def test_gzip_is_flushed_after_each_event() -> None:
    unpack = zlib.decompressobj(wbits=31)
    unpacked = [unpack.decompress(data) for data in writes(Gzip())]
    assert unpacked == [*AB, b""]
    assert unpack.eof


def test_gzip_is_cut_behind() -> None:
    written = writes((Gzip(), CloseAfter(10)), Cutting.byte_by_byte())
    assert b"".join(written) == b"".join(writes(Gzip()))[:10]
    assert len(written) == 10


@pytest.mark.parametrize(
    ("fault", "status", "kind", "part"),
    [
        (RefuseWith(429), 429, b"application/json", b'"message":"requested by the test"'),
        (RefuseWith(503, message="busy"), 503, b"application/json", b'"message":"busy"'),
        (RefuseWith(301, message="gone"), 301, b"application/json", b'"message":"gone"'),
        (ErrorObject(), 200, b"application/json", b'{"error":{"message":"requested'),
        (HtmlPage(), 200, b"text/html; charset=utf-8", b"<!doctype html>"),
        (HtmlPage(502, "<p>bad"), 502, b"text/html; charset=utf-8", b"<p>bad"),
    ],
)
def test_another_response_comes_instead(
    fault: Faults, status: int, kind: bytes, part: bytes
) -> None:
    answer = answer_to(request_of(), fault)
    (action,) = run(answer)
    assert isinstance(action, Write)
    assert part in action.data
    assert answer.status == status
    assert answer.headers[0] == (b"content-type", kind)
    assert answer.length == len(action.data)


def test_a_refusal_has_its_headers() -> None:
    fault = RefuseWith(302, retry_after="1", headers=(("Location", "/elsewhere"),))
    answer = answer_to(request_of(), fault)
    assert len(list(run(answer))) == 1
    assert answer.headers[1:] == [(b"location", b"/elsewhere"), (b"retry-after", b"1")]


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("openai", b'"type":"rate_limit_error"'),
        ("anthropic", b'"type":"rate_limit_error"'),
        ("gemini", b'"status":"RESOURCE_EXHAUSTED"'),
        ("mistral", b'"raw_status_code":429'),
        ("cohere", b'{"id":"trace_1","message":"slow"}'),
        ("ollama", b'{"error":"slow"}'),
        ("bedrock", b'{"message":"slow"}'),
    ],
)
def test_a_refusal_is_in_the_words_of_the_format(provider: str, said: bytes) -> None:
    fault = RefuseWith(429, retry_after="1", message="slow", headers=(("X-Request-Id", "7"),))
    request = request_of(provider, model="m")
    answer = answer_to(request, fault, provider=provider)
    (action,) = run(answer)
    assert isinstance(action, Write)
    assert said in action.data
    assert answer.status == 429
    assert answer.headers[-2:] == [(b"x-request-id", b"7"), (b"retry-after", b"1")]
    assert len(dict(answer.headers)) == len(answer.headers)
    if provider == "bedrock":  # AWS's SDKs read the kind of an error from there
        assert (b"x-amzn-errortype", b"ThrottlingException") in answer.headers


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    answer = answer_to(request_of(), RefuseWith(status))
    assert not answer.bodiless
    assert len(list(run(answer))) == 1
    assert answer.bodiless


def test_a_head_request_has_no_body() -> None:
    answer = answer_to(Request("HEAD", "http://localhost/chat", []))
    assert len(list(run(answer))) == 1
    assert answer.status == 405
    assert answer.bodiless


@pytest.mark.parametrize("fault", [None, Gzip()])
def test_a_whole_answer_has_a_length(fault: Faults) -> None:
    request = request_of("openai", model="m", stream=False)
    answer = answer_to(request, fault, provider="openai", cutting=Cutting.byte_by_byte())
    assert len(list(run(answer))) == answer.length


@pytest.mark.parametrize("count", [0, 7, 10_000])
def test_a_whole_answer_that_ends_early_has_the_length_that_it_has(count: int) -> None:
    request = request_of("openai", model="m", stream=False)
    whole = b"".join(
        a.data for a in run(answer_to(request, provider="openai")) if isinstance(a, Write)
    )
    answer = answer_to(request, EndAfter(count), provider="openai")
    assert list(run(answer)) == [Write(whole[:count])] * bool(count)
    assert answer.length == len(whole[:count])


def test_what_ends_early_asks_for_no_more() -> None:
    def answer(chat: Chat) -> Iterator[Event]:
        yield Text("a")
        yield Text("b")
        pytest.fail("asked for more than was needed")

    ended = answer_to(request_of(), EndAfter(len(AB[0] + AB[1])), answer=answer)
    assert list(run(ended)) == [Write(AB[0]), Write(AB[1])]


def test_a_whole_answer_outside_http_framing_has_none() -> None:
    request = request_of("openai", model="m", stream=False)
    answer = answer_to(request, Unframed(), provider="openai")
    assert len(list(run(answer))) == 1
    assert answer.length is None


def test_a_request_that_is_refused() -> None:
    reports = Reports()
    answer = answer_to(Request("POST", "http://localhost/nowhere", []), report=reports)
    (action,) = run(answer)
    assert isinstance(action, Write)
    assert b"there is nothing at /nowhere" in action.data
    assert (answer.status, answer.length) == (404, len(action.data))
    assert reports.errors == []


def test_a_request_that_is_malformed() -> None:
    class Strict(Responder):
        def receive_request(self, request: Request) -> Chat:
            raise Malformed("not what it should be")

    reports = Reports()
    answer = answer_to(request_of(), report=reports, responder=Strict(Service(DARKAI)))
    (action,) = run(answer)
    assert isinstance(action, Write)
    assert b"not what it should be" in action.data
    assert answer.status == 400
    assert reports.errors == []


def raising(error: Exception, *events: Event) -> Callable[[Chat], Iterator[Event]]:
    """An answer function that says `events`, then raises."""

    def answer(chat: Chat) -> Iterator[Event]:
        yield from events
        raise error

    return answer


@pytest.mark.parametrize("events", [(), (Text("a"), Text("b"))])
@pytest.mark.parametrize("error", [ValueError("oops"), Malformed("upstream"), Truncated("cut")])
def test_an_answer_that_fails_before_the_head_is_sent(
    events: tuple[Event, ...], error: Exception
) -> None:
    reports = Reports()
    answer = answer_to(
        request_of(), answer=raising(error, *events), cutting=Cutting.whole(), report=reports
    )
    (action,) = run(answer)
    assert isinstance(action, Write)
    assert b"it failed" in action.data
    assert (answer.status, answer.length, answer.failed) == (500, len(action.data), False)
    assert reports.errors == [error]


def test_an_answer_that_refuses() -> None:
    reports = Reports()
    answer = answer_to(request_of(), answer=raising(RateLimited("slow down")), report=reports)
    (action,) = run(answer)
    assert isinstance(action, Write)
    assert b"slow down" in action.data
    assert answer.status == 429
    assert reports.errors == []


def test_an_answer_that_fails_midway() -> None:
    reports, error = Reports(), ValueError("oops")
    answer = answer_to(request_of(), answer=raising(error, Text("a")), report=reports)
    written = list(run(answer))
    assert written[0] == Write(AB[0])
    assert written[1:] == [Write(b'event: error\ndata: {"data":{"detail":"it failed"}}\n\n')]
    assert answer.failed
    assert answer.status == 200
    assert reports.errors == [error]


def test_an_end_that_fails_midway() -> None:
    class Failing(Responder):
        def receive_request(self, request: Request) -> Chat:
            return as_chat("hi")

        def send(self, event: Event) -> bytes:
            return b"said"

        def end(self) -> bytes:
            raise ValueError("oops")

    reports = Reports()
    answer = answer_to(request_of(), report=reports, responder=Failing(Service(DARKAI)))
    assert list(run(answer)) == [Write(b"said")] * 3
    assert answer.failed
    assert len(reports.errors) == 1


# Async answer functions


async def later(value: object) -> None:
    """Waits as long as a driver lets it."""
    await Suspended(value)


class Suspended:
    """Suspends a coroutine once: `value` says what for."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __await__(self) -> Generator[object, None, None]:
        yield self._value


class Driver:
    """Carries out a script without an event loop. `log` is what happened."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def run(self, answer: Answer) -> list[bytes]:
        written: list[bytes] = []
        for action in answer.actions():
            if isinstance(action, Wait):
                self.wait(action.run())
            elif isinstance(action, Write):
                answer.began = True
                written.append(action.data)
                self.log.append("write")
        self.wait(answer.aclose())
        return written

    def wait(self, coroutine: Coroutine[object, None, None]) -> None:
        with suppress(StopIteration):
            while True:
                self.log.append(coroutine.send(None))


async def ab_later(chat: Chat) -> AsyncIterator[Event | str]:
    yield Text("a")
    await later("b")
    yield Text("b")
    await later("end")
    yield End("terminator")


async def ab_at_last(chat: Chat) -> list[Event]:
    await later("all")
    return [Text("a"), Text("b"), End("terminator")]


async def ab_after_all(chat: Chat) -> AsyncIterator[Event | str]:
    await later("first")
    return ab_later(chat)


ASYNC: dict[str, tuple[AnswerFunction, list[object]]] = {
    "yields": (ab_later, ["write", "b", "write", "end", "write"]),
    "returns a list": (ab_at_last, ["all", "write", "write", "write"]),
    "returns what yields": (ab_after_all, ["first", "write", "b", "write", "end", "write"]),
}


@pytest.mark.parametrize("case", ASYNC)
def test_an_async_answer_is_awaited_as_it_is_written(case: str) -> None:
    function, log = ASYNC[case]
    driver = Driver()
    answer = answer_to(request_of(), answer=function)
    assert driver.run(answer) == AB
    assert driver.log == log
    assert not answer.failed


@pytest.mark.parametrize("cutting", [Cutting.whole(), Cutting.of_sizes(7)])
@pytest.mark.parametrize(
    "faults",
    [None, Gzip(), BreakEvent(1), EndAfter(60), CloseAfter(60), KeepAlives(60), DropTerminator()],
)
def test_faults_are_those_of_any_answer(faults: Faults, cutting: Cutting) -> None:
    def first(answer: Answer) -> list[bytes]:
        written: list[bytes] = []
        for action in answer.actions():
            if isinstance(action, Wait):
                Driver().wait(action.run())
            elif isinstance(action, Pause):
                break  # the keep-alives, which have no end
            else:
                written.append(action.data)
        return written

    slow = answer_to(request_of(), faults, answer=ab_later, cutting=cutting)
    at_once = answer_to(request_of(), faults, answer=ab, cutting=cutting)
    assert first(slow) == first(at_once)


async def raises_at_once(chat: Chat) -> list[Event]:
    raise RateLimited("slow down")


async def raises_first(chat: Chat) -> AsyncIterator[Event | str]:
    raise RateLimited("slow down")
    yield "never"


@pytest.mark.parametrize("function", [raises_at_once, raises_first])
def test_an_async_answer_that_refuses(function: AnswerFunction) -> None:
    answer = answer_to(request_of(), answer=function)
    (body,) = Driver().run(answer)
    assert b"slow down" in body
    assert answer.status == 429


def test_an_async_answer_that_fails_midway() -> None:
    error = ValueError("oops")

    async def fails(chat: Chat) -> AsyncIterator[Event | str]:
        yield Text("a")
        raise error

    reports = Reports()
    answer = answer_to(request_of(), answer=fails, report=reports)
    assert Driver().run(answer) == [
        AB[0],
        b'event: error\ndata: {"data":{"detail":"it failed"}}\n\n',
    ]
    assert answer.failed
    assert reports.errors == [error]


def test_an_async_answer_that_is_left_cleans_up() -> None:
    done: list[str] = []

    async def answer(chat: Chat) -> AsyncIterator[Event | str]:
        try:
            while True:
                yield Text("a")
        finally:
            done.append("cleaned up")

    left = answer_to(request_of(), answer=answer)
    actions = left.actions()
    for action in actions:
        if not isinstance(action, Wait):
            break
        Driver().wait(action.run())
    actions.close()
    assert done == []
    Driver().wait(left.aclose())
    assert done == ["cleaned up"]


@pytest.mark.parametrize("said", [None, 7])
def test_what_is_no_answer(said: Any) -> None:
    reports = Reports()
    answer = answer_to(request_of(), answer=lambda chat: said, report=reports)
    Driver().run(answer)
    assert answer.status == 500
    (error,) = reports.errors
    assert "give text, or events" in str(error)


def give(said: list[Event | str], chat: Chat) -> list[Event | str]:
    return said


def test_texts_are_a_whole_answer() -> None:
    answers: list[list[Event | str]] = [["a", "b"], [Text("a"), "b", End("terminator")]]
    for said in answers:
        answer = answer_to(request_of(), answer=partial(give, said))
        assert Driver().run(answer) == AB
        assert not answer.failed


def test_the_end_of_a_text_is_a_terminator_to_drop() -> None:
    answer = answer_to(request_of(), DropTerminator(), answer=lambda chat: iter("ab"))
    assert Driver().run(answer) == AB[:2]


def test_half_an_answer_is_half_an_answer() -> None:
    answer = answer_to(request_of(), answer=lambda chat: [Text("a"), "b"])
    assert Driver().run(answer) == AB[:2]
    assert answer.failed


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("said", [[], [Text("a")]])
def test_half_an_answer_has_no_length(streamed: bool, said: list[Event | str]) -> None:
    """Some clients look at nothing but the end of the body, and take less JSON for an answer."""
    request = request_of("openai", model="m", stream=streamed)
    answer = answer_to(request, provider="openai", answer=partial(give, said))
    Driver().run(answer)
    assert answer.length is None
    assert answer.failed


def test_an_answer_function_may_see_the_request() -> None:
    seen: list[Request] = []

    def answer(chat: Chat, request: Request) -> str:
        seen.append(request)
        return "a"

    request = request_of()
    assert Driver().run(answer_to(request, answer=answer)) == [AB[0], AB[2]]
    assert seen == [request]

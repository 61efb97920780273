"""What holds for each provider, whatever is asked, answered, cut short or broken on the way.

A provider is one row or two of `SUBJECTS`; a new one adds its own, and every property is tried on
it. `hears` and `understands` say what comes back otherwise than it went in, which is what the
docstring of the dialect says; `proven` is worked out from the bytes that the server half wrote for
each event, and knows nothing of the decoder.

`pytest --hypothesis-profile=search tests/test_properties.py` looks much longer, and elsewhere each
time.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cutting import at, bytewise, random_cut
from tests.driving import Ending, Outcome, Response, drive, finish
from tokenwire.protocols.chat import Chat, Message, TextPart, Tool, as_chat
from tokenwire.protocols.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Service, pair
from tokenwire.testing import Recorded, answers, chats, cuts, mutations, record

ENDINGS: tuple[Ending, ...] = get_args(Ending)
seeds = st.integers(0, 2**32)


@dataclass(frozen=True, repr=False)
class Subject:
    """A provider, and one way of asking it."""

    provider: Provider
    questions: st.SearchStrategy[Chat]
    """Small chats, one for each way in which the answer differs."""
    short: list[Event]
    """An answer to `as_chat("hi", **asked)` that is short enough to try every place of it."""
    hears: Callable[[Chat, list[Event]], list[Event]]
    """The events that the client half makes of an answer to a chat."""
    understands: Callable[[Chat], Chat]
    """The chat that the server half makes of the request."""
    proven: Callable[["Sent", int, Ending], bool]
    """Whether the first so many bytes of the last body, ended like this, hold the evidence owed."""
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    """What each chat of it must have."""
    unrecognized: st.SearchStrategy[bytes] | None = None
    """Lines or events that its format leaves to others."""

    def exchange(self, chat: Chat, limits: Limits | None = None) -> Exchange:
        return self.provider.exchange(chat, limits=limits, random=Random(0))

    def send(self, chat: Chat, answer: list[Event]) -> "Sent":
        return Sent(chat, answer, record(self.provider, chat, answer))


@dataclass(frozen=True)
class Sent:
    """An answer to a chat, and what is sent of it."""

    chat: Chat
    answer: list[Event]
    recorded: list[Recorded]

    @property
    def body(self) -> bytes:
        return self.recorded[-1].body

    def responses(self, body: bytes | None = None, ending: Ending = "eof") -> list[Response]:
        """The responses, the last one with another `body`."""
        *before, last = self.recorded
        body = last.body if body is None else body
        return [
            *(Response(each.body, each.status, each.headers) for each in before),
            Response(body, last.status, last.headers, ending),
        ]

    def ends(self) -> list[int]:
        """Where each piece of the last body ends."""
        return list(accumulate(map(len, self.recorded[-1].pieces)))

    def end_of(self, event: Event) -> int:
        """Where the bytes of an event of the answer end."""
        return self.ends()[next(n for n, e in enumerate(self.answer) if e is event)]


# What is heard


def hears_the_same(chat: Chat, answer: list[Event]) -> list[Event]:
    return answer


def hears_lines_without_ends(chat: Chat, answer: list[Event]) -> list[Event]:
    """A `Text` of each line that was said, without the white space at both ends of the whole."""
    texts = [event.text for event in answer if isinstance(event, Text)]
    lines = [line for text in texts for line in re.split("\r\n|\r|\n", text)]
    whole = "".join(lines)
    start, end = len(whole) - len(whole.lstrip()), len(whole.rstrip())
    heard: list[Event] = []
    kept = ""  # white space goes with the text behind it
    place = 0
    for line in lines:
        kept += whole[max(place, start) : min(place + len(line), end)]
        place += len(line)
        if text := kept.rstrip():
            heard.append(Text(text))
            kept = kept[len(text) :]
    return [*heard, End("body_end")]


def hears_a_picture(chat: Chat, answer: list[Event]) -> list[Event]:
    """The picture, with the address that the service gave it and the prompt that was sent."""
    (image,) = (event for event in answer if isinstance(event, Image))
    url = "https://ai-chats.org/pictures/1"
    prompt = text_of(chat.messages[-1])
    return [Image(image.data, image.media_type, url, prompt), End("body_end")]


def hears_chunks(chat: Chat, answer: list[Event]) -> list[Event]:
    """All of it, but the ends of the choices at the end, in their order; always a `Start`; usage
    with the next finish reason, unless it was asked for in chunks of its own."""
    start = Start("chatcmpl-1", chat.model)
    heard: list[Event] = []
    began = False
    held: list[Event] = []
    ends: dict[int, list[Event]] = {}

    def chunk(*events: Event) -> None:
        nonlocal began
        heard.extend(events if began else (start, *events))
        began = True

    def release() -> None:
        if held:
            chunk(held.pop())

    for event in answer:
        match event:
            case Start():
                start = event
                chunk()
            case Unrecognized():
                heard.append(event)
            case ToolCallEnd():
                ends.setdefault(event.index, []).append(event)
            case Finish():
                ends.setdefault(event.index, []).append(event)
                chunk(*held)
                held.clear()
            case Usage():
                release()
                held.append(hears_usage(event))
                if chat.extra == USAGE:
                    release()
            case End():
                release()
            case _:
                chunk(event)
    return [*heard, *(e for _, choice in sorted(ends.items()) for e in choice), End("terminator")]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """One event of each kind a choice, in the order in which the decoder looks; a reason for each
    choice."""
    said = Reply.of(answer)
    heard: list[Event] = [Start(said.id or "chatcmpl-1", said.model or chat.model)]
    ends: list[Event] = []
    for index in range(chat.n or 1):
        events = [e for e in answer if getattr(e, "index", None) == index]
        for kind in (Reasoning, Text, Refusal):
            if text := "".join(e.text for e in events if isinstance(e, kind)):
                heard.append(kind(text, index))
        calls = [e for e in events if isinstance(e, ToolCallEnd)]
        for call in calls:
            heard.append(ToolCallStart(call.call, call.id, call.name, index=index))
            if call.complete or call.arguments != "{}":
                heard.append(ToolCallDelta(call.call, call.arguments, index))
        heard += said.citations if index == 0 else []
        logprobs: dict[Any, list[TokenLogProb]] = {}
        for event in events:
            if isinstance(event, LogProbs):
                logprobs.setdefault(event.of, []).extend(event.tokens)
        heard += [LogProbs(tokens, of, index) for of, tokens in logprobs.items()]
        reasons = [e for e in events if isinstance(e, Finish)]
        ends += [*calls, *(reasons or [Finish("stop", "stop", index=index)])]
    usage = [] if said.usage is None else [hears_usage(said.usage)]
    return [*heard, *usage, *ends, End("terminator")]


def hears_usage(usage: Usage) -> Usage:
    """Counts that were not known are 0 at the other end, and the total is their sum."""
    if usage.raw:
        return usage
    prompt, answer = usage.input_tokens or 0, usage.output_tokens or 0
    total = usage.total_tokens or prompt + answer
    cached, thought = usage.cache_read_input_tokens or 0, usage.reasoning_output_tokens or 0
    raw = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    return Usage(prompt, answer, total, cached, thought, raw)


# What is understood


def text_of(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content if isinstance(part, TextPart))


def understands_prompt(provider: Provider, chat: Chat) -> Chat:
    """One prompt: a line `Role: content` of each message that says something."""
    prompt = text_of(chat.messages[0])
    if len(chat.messages) > 1:
        said = [(m.role, text_of(m)) for m in chat.messages if text_of(m).strip()]
        prompt = "".join(f"{role.title()}: {text}\n" for role, text in said) + "Assistant:"
    return as_chat(prompt, model=provider.model(chat.model))


def understands_picture(chat: Chat) -> Chat:
    return as_chat(text_of(chat.messages[-1]), model="dalle")


def understands_all(provider: Provider, chat: Chat) -> Chat:
    """All of it, over the fields that the provider always sends."""
    known = {name: value for name, value in provider.fields.items() if name in NAMES}
    others = {name: value for name, value in provider.fields.items() if name not in NAMES}
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    return chat.replace(
        model=provider.model(chat.model),
        tools=tuple(Tool(t.name, t.description, t.parameters or nothing) for t in chat.tools),
        temperature=known.get("temperature") if chat.temperature is None else chat.temperature,
        top_p=known.get("top_p") if chat.top_p is None else chat.top_p,
        extra=others | chat.extra,
    )


NAMES = Chat.__struct_fields__


# What is proven


def proven_by_last_line(sent: Sent, size: int, ending: Ending) -> bool:
    """The line of `End` is there; its end too, if nothing says that it is complete."""
    end = sent.end_of(sent.answer[-1]) - 2
    return size >= (end if ending in ("eof", "close") else end + 1)


def proven_by_reasons(sent: Sent, size: int, ending: Ending) -> bool:
    """`[DONE]` is there, or the reason of every choice; the blank line too, as above."""
    reasons = [sent.end_of(event) for event in sent.answer if isinstance(event, Finish)]
    end = max(reasons) if len(reasons) == (sent.chat.n or 1) else len(sent.body)
    return size >= (end - 2 if ending in ("eof", "close") else end)


def proven_by_brace(sent: Sent, size: int, ending: Ending) -> bool:
    return size == len(sent.body)


def proven_by_http(sent: Sent, size: int, ending: Ending) -> bool:
    """Nothing but HTTP says where it ends."""
    return ending == "eof" and size > 0


def proven_by_http_at_a_character(sent: Sent, size: int, ending: Ending) -> bool:
    """Likewise, but half a character shows that HTTP is wrong."""
    whole = sent.body[:size].decode(errors="ignore").encode() == sent.body[:size]
    return whole and proven_by_http(sent, size, ending)


def proven_by_http_after_a_line(sent: Sent, size: int, ending: Ending) -> bool:
    return ending == "eof" and size > 0 and bool({size, size + 1} & set(sent.ends()))


def subjects() -> Iterator[tuple[str, Subject]]:
    hi: list[Event] = [Text("h\u20ac"), Text("i")]
    once = st.just(as_chat("hi"))

    provider = PROVIDERS["darkai"]
    yield (
        "darkai",
        Subject(
            provider,
            once,
            [*hi, End("terminator")],
            hears_the_same,
            partial(understands_prompt, provider),
            proven_by_last_line,
            unrecognized=st.sampled_from([b'data: {"event":"final-response","data":1}', b"id: 7"])
            | words.map(lambda word: b"~" + word),
        ),
    )

    provider = PROVIDERS["aichats"]
    yield (
        "aichats",
        Subject(
            provider,
            once,
            [*hi, Text(" \u20ac\n"), Text("!"), End("body_end")],
            hears_lines_without_ends,
            partial(understands_prompt, provider),
            proven_by_http_at_a_character,
            {"model": "gpt-4"},
        ),
    )
    yield (
        "a picture of aichats",
        Subject(
            provider,
            st.just(as_chat("hi", model="dalle")),
            [Image(b"PNG", "image/png"), End("body_end")],
            hears_a_picture,
            understands_picture,
            proven_by_http,
            {"model": "dalle"},
        ),
    )

    provider = PROVIDERS["aichatonline"]
    yield (
        "aichatonline",
        Subject(
            provider,
            once,
            [*hi, End("body_end")],
            hears_the_same,
            partial(understands_prompt, provider),
            proven_by_http_after_a_line,
            unrecognized=st.sampled_from([b'{"data":{"other":1}}', b"[1]", b'"x"', b"null"]),
        ),
    )

    two: list[Event] = [
        *(Start("7", "m"), Text("h\u20ac"), ToolCallStart(0, "c", "f"), Text("i", index=1)),
        *(ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0, "c", "f", '{"a":1}', True)),
        *(
            Finish("tool_calls", "tool_call"),
            Usage(1, 2),
            Finish("stop", "stop", index=1),
            End("finish"),
        ),
    ]
    for name in ("openai", "ylokh"):
        provider = PROVIDERS[name]
        yield (
            name,
            Subject(
                provider,
                completions(st.sampled_from([{}, USAGE])),
                two,
                hears_chunks,
                partial(understands_all, provider),
                proven_by_reasons,
                {"stream": True, "model": "m", "n": 2},
                unrecognized=st.sampled_from([b'{"note":1}', b"{}", b"[]", b"", b"{\n}", b'"x"'])
                | words.map(lambda word: b"~" + word),
            ),
        )
        yield (
            f"{name}, whole",
            Subject(
                provider,
                completions(st.just({}), stream=False),
                two,
                hears_whole,
                partial(understands_all, provider),
                proven_by_brace,
                {"stream": False, "model": "m", "n": 2},
            ),
        )


@st.composite
def completions(
    draw: st.DrawFn, /, extras: st.SearchStrategy[dict[str, Any]], **fields: Any
) -> Chat:
    n = draw(st.none() | st.integers(1, 3))
    return as_chat("hi", model="m", n=n, extra=draw(extras), **fields)


USAGE = {"stream_options": {"include_usage": True}}
"""Asks for usage in chunks of its own, so that it keeps its place among the events."""

words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(str.encode)
SUBJECTS = dict(subjects())
each_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


def some(share: float) -> settings:
    """A share of the usual number of examples, as each of these costs more than usual."""
    return settings(max_examples=max(1, int(settings().max_examples * share)))


@st.composite
def sendings(draw: st.DrawFn, subject: Subject) -> Sent:
    """A question, its answer, and what is sent."""
    chat = draw(subject.questions)
    answer = answers(subject.provider, chat, unrecognized=subject.unrecognized)
    return subject.send(chat, draw(answer))


def short(subject: Subject) -> Sent:
    return subject.send(as_chat("hi", **subject.asked), subject.short)


# Round trip


@each_subject
@some(0.4)
@given(data=st.data())
def test_what_is_said_is_heard(subject: Subject, data: st.DataObject) -> None:
    chat = data.draw(subject.questions)
    answer = data.draw(answers(subject.provider, chat, unrecognized=subject.unrecognized))
    cut = partial(random_cut, seed=data.draw(seeds))

    def heard(says: list[Event]) -> list[Event]:
        service = Service(subject.provider)
        return list(pair(subject.exchange(chat), service, lambda chat: says, cut=cut))

    events = heard(answer)
    assert events == subject.hears(chat, answer)
    if events == [End("body_end")]:
        return  # white space alone, at aichats: as a body of nothing at all it is no answer
    # And as a gateway passes it on.
    assert heard(events) == subject.hears(chat, events)
    if chat.extra == USAGE or not any(isinstance(event, Usage) for event in answer):
        assert heard(events) == events


@each_subject
@some(0.25)
@given(data=st.data())
def test_what_is_asked_is_understood(subject: Subject, data: st.DataObject) -> None:
    fixed = {name: value for name, value in subject.asked.items() if name != "n"}
    if subject.provider.any_model:
        del fixed["model"]
    chat = data.draw(chats(subject.provider, **fixed))
    answer = data.draw(answers(subject.provider, chat))
    *_, asked = (r.chat for r in record(subject.provider, chat, answer) if r.chat is not None)
    assert asked == subject.understands(chat)


@pytest.mark.parametrize("name", ["openai", "openai, whole"])
@some(0.15)
@given(data=st.data())
def test_a_reason_may_come_early(name: str, data: st.DataObject) -> None:
    """Services send a finish reason with content behind it: it is heard at the end all the same."""
    subject = SUBJECTS[name]
    sent = data.draw(sendings(subject))
    moved = list(sent.answer)
    for event in sent.answer:
        if isinstance(event, Finish):
            moved.remove(event)
            moved.insert(data.draw(st.integers(1, len(moved) - 1)), event)
    usual, early = (
        drive(subject.exchange(sent.chat), *each.responses()).succeeded().events
        for each in (sent, subject.send(sent.chat, moved))
    )
    # Start comes with the first chunk, and usage goes along with a reason, wherever they are.
    assert [e for e in early if not isinstance(e, Start | Usage)] == [
        e for e in usual if not isinstance(e, Start | Usage)
    ]


def test_a_second_picture_cannot_be_said() -> None:
    """The client looks at the first address only: the other picture would be lost in silence."""
    subject = SUBJECTS["a picture of aichats"]
    with pytest.raises(LocalProtocolError, match="can't say Image"):
        subject.send(as_chat("hi", model="dalle"), [*subject.short[:1] * 2, End("body_end")])


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_what_is_cut_is_not_executable_in_a_whole_answer_either(reason: str) -> None:
    """As a gateway passes on a call whose arguments were cut before their first character."""
    complete = reason == "tool_calls"
    end = ToolCallEnd(0, "c", "f", "{}", complete)
    said: list[Event] = [ToolCallStart(0, "c", "f"), end, Finish(reason), End("finish")]
    subject = SUBJECTS["openai, whole"]
    sent = subject.send(as_chat("hi", model="m", stream=False), said)
    outcome = drive(subject.exchange(sent.chat), *sent.responses()).succeeded()
    assert end in outcome.events


# Cutting


def drive_in_vain(exchange: Exchange, responses: list[Response]) -> Outcome:
    """As `drive`, by one who reads on behind the end of an answer."""
    events: list[Event] = []
    try:
        for response in responses:
            exchange.next_request()
            exchange.receive_response(response.status, response.headers)
            for piece in bytewise(response.body):
                events += exchange.receive_data(piece)
            events += finish(exchange, response.ending)
        assert exchange.next_request() is None
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)


def encoded(response: Response, coding: str) -> Response:
    """With its body compressed."""
    if coding != "identity":
        compress = zlib.compress if coding == "deflate" else partial(gzip.compress, mtime=0)
        response.body = compress(response.body)
        response.headers = [*response.headers, (b"content-encoding", coding.encode())]
    return response


codings = st.sampled_from(["identity", "identity", "gzip", "deflate"])
all_limits = st.sampled_from(
    [
        Limits(),
        Limits(event=60, response=900, document=400, picture=20, error_body=30),
        Limits(event=300, response=400, document=200, picture=60, error_body=60),
    ]
)
endings = st.sampled_from(ENDINGS)


@st.composite
def broken(draw: st.DrawFn, subject: Subject) -> tuple[Exchange, list[Response]]:
    """A question, and its responses, one of which may be mutated, cut short, or compressed."""
    sent = draw(sendings(subject))
    responses = sent.responses(ending=draw(endings))
    response = draw(st.sampled_from(responses))
    if draw(st.booleans()):
        response.body = draw(mutations(response.body))
    encoded(response, draw(codings))
    if draw(st.booleans()):
        response.body = draw(mutations(response.body, 1))
    return subject.exchange(sent.chat, draw(all_limits)), responses


@each_subject
@some(0.35)
@given(data=st.data())
def test_cutting_never_matters(subject: Subject, data: st.DataObject) -> None:
    exchange, responses = data.draw(broken(subject))
    expected = drive(exchange.fresh(), *responses).what
    assert drive(exchange.fresh(), *responses, cut=bytewise).what == expected
    assert drive_in_vain(exchange.fresh(), responses).what == expected
    for _ in range(2):
        cut = {r.body: data.draw(cuts(r.body)) for r in responses}
        assert drive(exchange.fresh(), *responses, cut=cut.__getitem__).what == expected


def variants(body: bytes) -> Iterator[bytes]:
    """A body as others write it, and with faults that every format has."""
    yield body
    yield body.replace(b"\n", b"\r\n")
    yield body.replace(b"\n", b"\r")
    yield b"\xef\xbb\xbf" + body
    yield body.replace("\u20ac".encode(), b"\xe2\x82")


@each_subject
def test_cut_in_two_at_every_place(subject: Subject) -> None:
    sent = short(subject)
    for body in variants(sent.body):
        for ending in ("eof", "disconnect") if body == sent.body else ("eof",):
            responses = sent.responses(body, ending)
            exchange = subject.exchange(sent.chat)
            expected = drive(exchange.fresh(), *responses).what
            for place in range(len(body) + 1):
                cut = partial(at, places=[min(place, 1), place, place])  # an empty piece, too
                outcome = drive(exchange.fresh(), *responses, cut=cut)
                assert outcome.what == expected, (place, body)


# Truncation


def check_truncated(subject: Subject, sent: Sent, size: int, ending: Ending, full: Outcome) -> None:
    responses = sent.responses(sent.body[:size], ending)
    outcome = drive(subject.exchange(sent.chat), *responses)
    shown = (size, sent.body[:size][-100:], ending, outcome)
    assert (outcome.error is None) is subject.proven(sent, size, ending), shown
    if outcome.error is None:
        outcome.succeeded()
    else:
        assert isinstance(outcome.error, RemoteProtocolError | TimedOut), shown
        assert End not in map(type, outcome.events), shown
    for index in range(sent.chat.n or 1):
        for kind in (Text, Reasoning, Refusal):
            said, partly = (
                "".join(e.text for e in o.events if isinstance(e, kind) and e.index == index)
                for o in (full, outcome)
            )
            assert said.startswith(partly), shown
    for event in outcome.events:
        if isinstance(event, ToolCallEnd):
            assert event in full.events, shown


@each_subject
@some(0.25)
@given(data=st.data())
def test_no_prefix_is_a_success_without_its_evidence(subject: Subject, data: st.DataObject) -> None:
    sent = data.draw(sendings(subject))
    full = drive(subject.exchange(sent.chat), *sent.responses()).succeeded()
    ending = data.draw(endings)
    sizes = {end - less for end in sent.ends() for less in (3, 2, 1, 0)}
    sizes |= set(data.draw(st.lists(st.integers(0, len(sent.body)), max_size=10)))
    for size in sizes:
        check_truncated(subject, sent, max(size, 0), ending, full)


@each_subject
@pytest.mark.parametrize("ending", ENDINGS)
def test_cut_short_at_every_place(subject: Subject, ending: Ending) -> None:
    sent = short(subject)
    full = drive(subject.exchange(sent.chat), *sent.responses()).succeeded()
    for size in range(len(sent.body) + 1):
        check_truncated(subject, sent, size, ending, full)


@each_subject
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_response_on_the_way_cut_short_at_every_place(subject: Subject, ending: Ending) -> None:
    sent = short(subject)
    for number, recorded in enumerate(sent.recorded[:-1]):
        before = sent.responses()[:number]
        for size in range(len(recorded.body)):
            cut = Response(recorded.body[:size], recorded.status, recorded.headers, ending)
            outcome = drive(subject.exchange(sent.chat), *before, cut)
            assert isinstance(outcome.error, RemoteProtocolError | TimedOut)
            assert not outcome.events
            assert json.loads(recorded.body)


# Mutation


@each_subject
@some(0.4)
@given(data=st.data())
def test_broken_bytes_are_events_or_an_error_of_the_peer(
    subject: Subject, data: st.DataObject
) -> None:
    exchange, responses = data.draw(broken(subject))
    cut = partial(random_cut, seed=data.draw(seeds))
    outcome = drive(exchange, *responses, cut=cut)
    assert all(isinstance(event, get_args(Event)) for event in outcome.events)
    if outcome.error is None:
        outcome.succeeded()
    else:
        late = responses[-1].ending == "timeout" and isinstance(outcome.error, TimedOut)
        assert isinstance(outcome.error, RemoteProtocolError) or late
        assert End not in map(type, outcome.events)
        with pytest.raises(type(outcome.error)) as again:
            exchange.next_request()
        assert again.value is outcome.error
    assert not exchange.wants_data
    for more in (exchange.receive_data(b"more"), exchange.receive_eof()):
        assert not more

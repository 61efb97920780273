"""What a service says, its client hears: each provider's two halves, joined, and cut anywhere.

What comes back otherwise than it went in is a rule of the dialect, said in its module: `openai`
holds a `Finish` and the ends of tool calls back to the end of the answer; `aichats` makes a `Text`
of each line, without the white space at both ends of the whole.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import random_cut
from tests.driving import JSON, SSE, Ending, Response, drive
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.events import (
    Citation,
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
from tokenwire.protocols.providers import PROVIDERS
from tokenwire.protocols.reply import Choice, Reply
from tokenwire.protocols.service import Service, pair

texts = st.text(min_size=1, max_size=6)
seeds = st.integers(0, 2**32)


def ask(name: str, **options: Any) -> Exchange:
    model = options.pop("model", PROVIDERS[name].default_model or "m")
    return PROVIDERS[name].exchange(as_chat("hi", model=model, **options), random=Random(1))


def heard(exchange: Exchange, name: str, says: Iterable[Event], seed: int) -> list[Event]:
    """What comes of `exchange` with the service `name`, which says this."""
    cut = partial(random_cut, seed=seed)
    return list(pair(exchange, Service(PROVIDERS[name]), lambda chat: says, cut=cut))


# One string a line: darkai and aichatonline

DARK_LINES = [b'data: {"event":"final-response","data":1}', b"id: 7", b"hello"]
ONLINE_LINES = [b'{"data":{"other":1}}', b"[1]", b'"x"']


@given(st.lists(texts.map(Text) | st.sampled_from(DARK_LINES).map(Unrecognized)), seeds)
def test_darkai(says: list[Event], seed: int) -> None:
    says = [*says, End("terminator")]
    assert heard(ask("darkai"), "darkai", says, seed) == says


@given(
    st.lists(texts.map(Text) | st.sampled_from(ONLINE_LINES).map(Unrecognized), min_size=1), seeds
)
def test_aichatonline(says: list[Event], seed: int) -> None:
    says = [*says, End("body_end")]
    assert heard(ask("aichatonline"), "aichatonline", says, seed) == says


# Raw text: aichats


def lines_without_ends(said: list[str]) -> list[Event]:
    """A `Text` of each line of `said`, without the white space at both ends of the whole."""
    lines = [line for text in said for line in re.split("\r\n|\r|\n", text)]
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
    return heard


white = st.text(st.sampled_from(" \t\r\n\u2028\u0085ab\u20ac"), min_size=1, max_size=6)


@given(st.lists(texts | white), seeds)
def test_aichats(said: list[str], seed: int) -> None:
    said = [*said, "."]  # a body of nothing at all is no answer
    events = heard(ask("aichats"), "aichats", map(Text, said), seed)
    assert events == [*lines_without_ends(said), End("body_end")]


@given(st.binary(min_size=1), st.sampled_from(["image/png", "application/octet-stream"]), seeds)
def test_aichats_picture(data: bytes, media_type: str, seed: int) -> None:
    image = Image(data, media_type, "https://ai-chats.org/pictures/1", "hi")
    events = heard(ask("aichats", model="dalle"), "aichats", [image], seed)
    assert events == [image, End("body_end")]


# Chat completions: openai and ylokh

ARGUMENTS = ["{}", '{"a":', "1}", "null", "x", '{"b": "\u20ac"}']
SAYING: dict[str, type[Text | Reasoning | Refusal]] = {
    "Text": Text,
    "Reasoning": Reasoning,
    "Refusal": Refusal,
}
OF: list[Literal["content", "refusal", "reasoning"]] = ["content", "refusal", "reasoning"]
tokens = st.builds(
    TokenLogProb,
    token=texts,
    logprob=st.floats(-9, 0),
    bytes=st.none() | st.lists(st.integers(0, 255), max_size=3),
    top_logprobs=st.none()
    | st.lists(st.builds(TokenLogProb, token=texts, logprob=st.floats(-9, 0)), max_size=2),
)
counts = st.integers(0, 99)
usages: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"prompt_tokens": counts},
    optional={
        "completion_tokens": counts,
        "total_tokens": counts,
        "prompt_tokens_details": st.fixed_dictionaries({"cached_tokens": counts}),
        "completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": counts}),
        "cost": st.just(0.5),
    },
)


def usage(raw: dict[str, Any]) -> Usage:
    return Usage(
        raw["prompt_tokens"],
        raw.get("completion_tokens"),
        raw.get("total_tokens"),
        raw.get("prompt_tokens_details", {}).get("cached_tokens"),
        raw.get("completion_tokens_details", {}).get("reasoning_tokens"),
        raw,
    )


USAGE = {"stream_options": {"include_usage": True}}
"""Asks for usage in chunks of its own, so that it keeps its place among the events."""


class Script(NamedTuple):
    """A legal answer in `n` choices."""

    n: int
    events: list[Event]

    def calls(self, index: int) -> list[ToolCallStart]:
        return [e for e in self.events if isinstance(e, ToolCallStart) and e.index == index]

    def arguments(self, call: ToolCallStart) -> str:
        return "".join(
            e.arguments
            for e in self.events
            if isinstance(e, ToolCallDelta) and (e.index, e.call) == (call.index, call.call)
        )

    def reason(self, index: int) -> str | None:
        reasons = (e.reason for e in self.events if isinstance(e, Finish) and e.index == index)
        return next(reasons, None)

    def ends(self, index: int) -> list[Event]:
        """The ends of the tool calls of a choice, and its `Finish` if it has one."""
        events: list[Event] = []
        reason = self.reason(index)
        for call in self.calls(index):
            arguments = self.arguments(call)
            complete = arguments in ('{"a":1}', "{}", '{"b": "\u20ac"}')
            if arguments in ("", "null"):
                arguments, complete = "{}", reason != "length"
            end = ToolCallEnd(call.call, call.id, call.name, arguments, complete, index)
            events.append(end)
        return events + ([] if reason is None else [Finish(reason, index)])

    def heard(self) -> list[Event]:
        """What comes back: the ends of the choices at the end, in their order."""
        said = [e for e in self.events if not isinstance(e, Finish | End)]
        ends = [end for index in range(self.n) for end in self.ends(index)]
        return [*said, *ends, End("terminator")]


@st.composite
def scripts(draw: st.DrawFn, *, whole: bool = False) -> Script:
    n = draw(st.integers(1, 3))
    events: list[Event] = [Start(draw(texts), draw(texts))]
    calls: list[ToolCallStart] = []
    unfinished = list(range(n))
    kinds = "Text Reasoning Refusal call call arguments arguments Citation LogProbs Usage Finish"
    more = [] if whole else ["Unrecognized"]
    for kind in draw(st.lists(st.sampled_from([*kinds.split(), *more]))):
        index = draw(st.integers(0, n - 1))
        match kind:
            case "Text" | "Reasoning" | "Refusal":
                events.append(SAYING[kind](draw(texts), index))
            case "call":
                number = sum(call.index == index for call in calls)
                name, id = draw(texts), draw(st.sampled_from(["", "c1", "c2"]))
                calls.append(ToolCallStart(number, id, name, index))
                events.append(calls[-1])
            case "arguments" if calls:
                call = draw(st.sampled_from(calls))
                arguments = draw(st.sampled_from(ARGUMENTS))
                events.append(ToolCallDelta(call.call, arguments, call.index))
            case "Citation":
                events.append(Citation(f"https://x.test/{len(events)}", draw(texts)))
            case "LogProbs":
                of = draw(st.sampled_from(OF))
                events.append(LogProbs(draw(st.lists(tokens, max_size=2)), of, index))
            case "Usage":
                events.append(usage(draw(usages)))
            case "Finish" if index in unfinished:
                unfinished.remove(index)
                reason = draw(st.sampled_from(["stop", "length", "tool_calls"]))
                events.append(Finish(reason, index))
            case "Unrecognized":
                events.append(Unrecognized(b'{"note":%d}' % len(events)))
            case _:
                pass
    if whole or len(unfinished) == n:  # a whole answer has a reason for each choice
        events += [Finish("stop", index) for index in unfinished]
    return Script(n, [*events, End("terminator")])


@pytest.mark.parametrize("name", ["openai", "ylokh"])
@given(script=scripts(), seed=seeds)
def test_openai(name: str, script: Script, seed: int) -> None:
    assert heard(ask(name, n=script.n, extra=USAGE), name, script.events, seed) == script.heard()


@given(scripts(), seeds)
def test_what_was_heard_is_heard_again(script: Script, seed: int) -> None:
    """As a gateway passes it on: then nothing changes any more."""
    events = script.heard()
    assert heard(ask("openai", n=script.n, extra=USAGE), "openai", events, seed) == events


def summary(choice: Choice) -> object:
    logprobs: dict[str, list[TokenLogProb]] = {}
    for part in choice.logprobs:
        logprobs.setdefault(part.of, []).extend(part.tokens)
    calls = [(c.id, c.name, c.arguments, c.complete) for c in choice.tool_calls]
    said = (choice.text, choice.reasoning, choice.refusal)
    return said, calls, choice.finish_reason, logprobs


@given(scripts(whole=True), seeds)
def test_openai_whole(script: Script, seed: int) -> None:
    said = Reply.of(script.heard())
    came = Reply.of(heard(ask("openai", n=script.n, stream=False), "openai", script.events, seed))
    assert (came.id, came.model, came.evidence) == (said.id, said.model, said.evidence)
    assert came.choices.keys() == set(range(script.n))
    assert [summary(came.choices[i]) for i in range(script.n)] == [
        summary(said.choices[i]) for i in range(script.n)
    ]
    assert (came.usage, came.citations) == (said.usage, said.citations)


# Every body, cut at every place


class Answer(NamedTuple):
    """A small answer, and how much of its body must have come for a success."""

    ask: Callable[[], Exchange]
    before: list[Response]
    body: bytes
    eof: set[int]
    close: set[int]
    disconnect: set[int]


def from_(*places: int, to: int) -> set[int]:
    return {size for place in places for size in range(place, to + 1)}


def answers() -> dict[str, Answer]:
    def said(name: str, events: list[Event], chat: Chat | None = None) -> bytes:
        responder = Service(PROVIDERS[name]).responder()
        if chat is not None:
            request = PROVIDERS[name].exchange(chat).next_request()
            assert request is not None
            responder.receive_request(request)
        return b"".join(map(responder.send, events)) + responder.end()

    hi: list[Event] = [Text("h\u20ac"), Text("i")]
    answers: dict[str, Answer] = {}

    body = said("darkai", [*hi, End("terminator")])
    size = len(body)
    mark = from_(size - 2, to=size)
    answers["darkai"] = Answer(lambda: ask("darkai"), [], body, mark, mark, mark - {size - 2})

    finish = said("openai", [*hi, Finish("stop")])
    body = finish + said("openai", [Usage(1, 2)]) + said("openai", [End("terminator")])
    place, size = len(finish), len(body)
    mark = from_(place - 2, to=size)
    for name in ("openai", "ylokh"):
        answers[name] = Answer(partial(ask, name), [], body, mark, mark, from_(place, to=size))

    two = said("openai", [Text("a", 0), Finish("stop", 0), Text("b", 1), Finish("stop", 1)])
    mark = from_(len(two) - 2, to=len(two))
    answers["openai, two choices"] = Answer(
        lambda: ask("openai", n=2), [], two, mark, mark, {len(two)}
    )
    call: list[Event] = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}"), End("terminator")]
    body = said("openai", call)
    mark = from_(len(body) - 2, to=len(body))
    answers["openai without a finish"] = Answer(
        lambda: ask("openai"), [], body, mark, mark, {len(body)}
    )
    body = said("openai", [*hi, *call], as_chat("hi", model="m", stream=False))
    mark = {len(body)}
    answers["openai, whole"] = Answer(
        lambda: ask("openai", stream=False), [], body, mark, mark, mark
    )

    body = said("aichats", hi)
    # Any part is complete if HTTP says so, but for a body of nothing or of white space.
    answers["aichats"] = Answer(
        lambda: ask("aichats"), [], body, from_(1, to=len(body)), set(), set()
    )
    body = b'{"data": [{"url": "https://img.test/1.png"}]}'
    found = Response(body, 200, JSON)
    answers["a picture of aichats"] = Answer(
        lambda: ask("aichats", model="dalle"), [found], b"PNG", {1, 2, 3}, set(), set()
    )

    first, body = said("aichatonline", hi[:1]), said("aichatonline", hi)
    lines = {len(first) - 1, len(first), len(body) - 1, len(body)}
    token = Response(b'{"data": "token-1"}', 200, JSON)
    answers["aichatonline"] = Answer(
        lambda: ask("aichatonline"), [token], body, lines, set(), set()
    )
    return answers


ANSWERS = answers()


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("ending", ["eof", "close", "disconnect"])
def test_cut_at_every_place(name: str, ending: Ending) -> None:
    answer = ANSWERS[name]
    allowed: set[int] = getattr(answer, ending)
    whole = drive(answer.ask(), *answer.before, answer.body)
    for size in range(len(answer.body) + 1):
        headers = JSON if answer.body[:1] == b"{" else SSE
        response = Response(answer.body[:size], 200, headers, ending)
        if "picture" in name:
            response.headers = [(b"content-type", b"image/png")]
        outcome = drive(answer.ask(), *answer.before, response)
        assert (outcome.error is None) is (size in allowed), (size, answer.body[:size], outcome)
        if outcome.error is None:
            outcome.succeeded()
        elif "picture" not in name:
            said = [e for e in outcome.events if not isinstance(e, Unrecognized)]
            assert all(e in whole.events or isinstance(e, Text) for e in said)


@pytest.mark.parametrize(
    ("name", "model", "first"),
    [
        ("aichatonline", "", b'{"data": "token-1"}'),
        ("aichats", "dalle", b'{"data": [{"url": "https://img.test/1.png"}]}'),
    ],
)
@pytest.mark.parametrize("ending", ["eof", "close", "disconnect"])
def test_first_of_two_responses_cut_at_every_place(
    name: str, model: str, first: bytes, ending: Ending
) -> None:
    assert json.loads(first)
    model = model or PROVIDERS[name].default_model
    for size in range(len(first)):
        exchange = ask(name, model=model)
        outcome = drive(exchange, Response(first[:size], 200, JSON, ending))
        assert outcome.error is not None
        assert not outcome.events
        with pytest.raises(type(outcome.error)):
            exchange.next_request()

"""Recorded answers of Gemini."""

import json
import re
from typing import Any

import pytest

from tests.corpus import corpus, ends_inside_an_event, sizes_to_try, without_nothing
from tests.driving import Response, alike, drive
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    BadRequest,
    ContentFiltered,
    Malformed,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import Citation, End, Native, Text, Usage
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply

EVENTS, ARRAYS = corpus("gemini-sse"), corpus("gemini-json-array")
ROWS, STREAMS, WHOLES = EVENTS.rows, EVENTS.streams, EVENTS.wholes
GEMINI = PROVIDERS["gemini"]


def named(*words: str) -> str:
    """The one recording whose name has all these words."""
    [found] = [file for file in ROWS if all(word in file for word in words)]
    return found


INVALID = named("streaming-failure-invalid-json")
BLOCKED = named("streaming-failure-prompt-blocked-safety")
FAIL: dict[str, type[RemoteProtocolError]] = {INVALID: Truncated, BLOCKED: ContentFiltered}
"""The streams that are no success: one that holds no answer, and a prompt that was blocked."""
FINE = [file for file in STREAMS if file not in FAIL]

ROUNDS = named("streaming_multiple_code_execution_rounds")
"""It says STOP after a piece of code, and goes on: cut right there, nothing shows that more was to
come. Anywhere else before its end it is no success."""

NO_ANSWERS: dict[str, type[RemoteProtocolError]] = {
    named("schema-json-schema"): UnexpectedContent,  # a schema of a mock
    named("generate-images-base64"): UnexpectedContent,  # Imagen's, another format
    named("no-billable-characters"): UnexpectedContent,  # a count of tokens
}

ERRORS: dict[str, type[RemoteProtocolError] | str] = {
    named("nonexistent_model_error"): BadRequest,
    named("only-prompt-feedback"): Truncated,  # without a reason it is no block, nor an answer
    named("with-message-no-content"): "OTHER",
    named("failure-empty-content"): Truncated,
    named("unary-failure-finish-reason-safety"): "SAFETY",
    named("generate-images-all-filtered"): UnexpectedContent,
    named("unary-failure-invalid-response"): UnexpectedContent,
    named("prompt-blocked-safety-with-message"): ContentFiltered,
    named("unsupported-user-location"): BadRequest,
    named("unary-failure-citations"): "RECITATION",
    named("cassette__13"): BadRequest,
    named("cassette__17"): BadRequest,
    named("test_generate_-2560be"): BadRequest,
    named("test_generate___0"): BadRequest,
    named("server-aimock"): RateLimited,
}
"""What others took for a failure: the class of the error, or the reason of a complete answer."""


def ask() -> Exchange:
    return GEMINI.exchange(as_chat("hi", model="m"))


def payloads(body: bytes) -> list[tuple[int, Any]]:
    """The JSON of each `data:` line, and the place where the line ends."""
    lines = re.finditer(rb"(?m)^data:([^\r\n]*)", body)
    return [(match.end(), json.loads(match[1])) for match in lines]


def parts_of(values: list[Any]) -> list[Any]:
    """The parts of the first candidate."""
    found: list[Any] = []
    for value in values:
        for candidate in value.get("candidates") or ():
            content: Any = candidate.get("content") or {}
            found += content.get("parts") or ()
    return found


def said_of(parts: list[Any], thought: bool) -> str:
    return "".join(p.get("text", "") for p in parts if bool(p.get("thought")) == thought)


def as_sent(parts: list[Any]) -> list[Any]:
    """The parts that go back, by a naive reading: not thoughts without a signature, nor empty
    texts; neighbours of unsigned text are one; calls in pieces are joined."""
    sent: list[Any] = []
    for part in parts:
        before: Any = sent[-1] if sent else {}
        call = part.get("functionCall")
        if call is not None and "name" not in call:
            joined = before["functionCall"]
            joined.pop("willContinue", None)
            for piece in call.get("partialArgs") or ():
                key = piece["jsonPath"].removeprefix("$.")
                args = joined.setdefault("args", {})
                args[key] = args.get(key, "") + piece["stringValue"]
            continue
        if not part.get("thoughtSignature"):
            if part.get("thought") or part.get("text") == "":
                continue
            if "text" in part and before.keys() == {"text"}:
                before["text"] += part["text"]
                continue
        if call is not None and "args" not in call and "willContinue" not in call:
            plain = "thoughtSignature" not in part
            call |= {"args": {}} if plain else {}
        sent.append(part)
    return sent


def asked_again(reply: Reply) -> Any:
    """The parts of the answer in the next request."""
    chat = as_chat("hi", model="m").then(reply, "And then?")
    request = GEMINI.exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)["contents"][1]["parts"]


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    response = EVENTS.response(file)
    outcome = alike(ask(), response)
    assert type(outcome.error) is FAIL.get(file, type(None))
    values = [value for _, value in payloads(response.body)]
    if file in FAIL:
        assert bool(outcome.reply.unrecognized) == (file == INVALID)
        return
    reply = outcome.succeeded().reply
    assert reply.evidence == "finish"
    parts = parts_of(values)
    assert reply.text == said_of(parts, False)
    assert reply.reasoning == said_of(parts, True)
    signed = [p for p in parts if p.get("thoughtSignature")]
    natives = [json.loads(native.raw) for native in reply.choices[0].natives]
    assert [n for n in natives if "thoughtSignature" in n] == signed
    if sent := as_sent(parts):
        assert without_nothing(asked_again(reply)) == without_nothing(sent)
    for unknown in reply.unrecognized:
        assert unknown.place == "candidates[0].groundingMetadata"


@pytest.mark.parametrize("file", FINE)
def test_stream_beside_the_sdk(file: str) -> None:
    reply = drive(ask(), EVENTS.response(file)).succeeded().reply
    said = ROWS[file]["oracle"]
    assert (reply.text, reply.reasoning) == (said["text"], said["thought"])
    assert f"FinishReason.{reply.finish_reason}" == said["finish_reason"]
    named = [call for call in said["function_calls"] if call.get("name")]
    assert [call.name for call in reply.tool_calls] == [call["name"] for call in named]
    assert [call.id for call in reply.tool_calls] == [call.get("id") or "" for call in named]
    for call, told in zip(reply.tool_calls, named, strict=True):
        if "args" in told:
            assert json.loads(call.arguments) == told["args"]
    used: Any = said["usage"] or {}
    usage = reply.usage or Usage()
    thoughts = used.get("thoughts_token_count")
    assert usage.reasoning_output_tokens == thoughts
    assert usage.total_tokens == used.get("total_token_count")
    asked = used.get("prompt_token_count")
    if asked is not None:
        assert usage.input_tokens == asked + (used.get("tool_use_prompt_token_count") or 0)
        answered = used.get("candidates_token_count")
        if answered is not None:
            assert usage.output_tokens == answered + (thoughts or 0)
            assert (usage.input_tokens or 0) + (usage.output_tokens or 0) == usage.total_tokens


@pytest.mark.parametrize("file", FINE)
def test_stream_cut_anywhere(file: str) -> None:
    """Before the evidence it is never a success; after it always, but for the beginning of another
    event."""
    whole = EVENTS.response(file)
    proofs: list[tuple[int, bool]] = []  # from where on it is shown to be complete, or not
    for place, value in payloads(whole.body):
        candidates = value.get("candidates") or ()
        if any(candidate.get("finishReason") for candidate in candidates):
            proofs.append((place, True))
        elif any(part != {"text": ""} for part in parts_of([value])):
            proofs.append((place, False))
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(), cut)
            # A line needs its end and a blank line after it, if nothing says that it is whole.
            late = 0 if ending == "eof" else 4
            before = [proven for place, proven in proofs if place <= size]
            well_before = [proven for place, proven in proofs if place + late <= size]
            if outcome.error is None:
                outcome.succeeded()
                assert True in (before[-1:] + well_before[-1:]), whole.body[:size][-80:]
            else:
                assert type(outcome.error) is not Malformed
                proven = before[-1:] == well_before[-1:] == [True]
                assert ends_inside_an_event(cut.body) or not proven, cut.body[-80:]
                assert not any(isinstance(event, End) for event in outcome.events)


@pytest.mark.parametrize("file", ARRAYS.streams)
def test_array(file: str) -> None:
    """It says what its elements would in a stream of events, and its beginning too."""
    response = ARRAYS.response(file)
    outcome = alike(ask(), response).succeeded()
    assert outcome.reply.evidence == "terminator"
    values = json.loads(response.body)
    events = b"".join(b"data: " + json.dumps(v).encode() + b"\n\n" for v in values)
    *same, _ = drive(ask(), events).succeeded().events
    *found, _ = outcome.events
    assert shown(found) == shown(same)
    if sent := as_sent(parts_of(values)):
        assert asked_again(outcome.reply) == sent
    for size in sizes_to_try(response.body):
        for ending in ("eof", "disconnect"):
            cut = Response(response.body[:size], 200, response.headers, ending)
            partly = drive(ask(), cut)
            over = response.body.rindex(b"]")
            assert (partly.error is None) == (size > over) or b"finishReason" in cut.body
            assert shown(partly.events)[: len(same)] == shown(same)[: len(partly.events)] or (
                partly.error is None
            )


def shown(events: list[Any]) -> list[Any]:
    """`events`, of native forms the JSON value."""
    return [(json.loads(e.raw), e.part) if isinstance(e, Native) else e for e in events]


@pytest.mark.parametrize("file", WHOLES)
def test_whole_answer(file: str) -> None:
    response = EVENTS.response(file)
    outcome = alike(ask(), response)
    assert type(outcome.error) is NO_ANSWERS.get(file, type(None))
    if file in NO_ANSWERS:
        return
    reply = outcome.succeeded().reply
    document = json.loads(response.body)
    assert reply.evidence == "terminator"
    assert reply.finish_reason == document["candidates"][0]["finishReason"]
    parts = parts_of([document])
    assert (reply.text, reply.reasoning) == (said_of(parts, False), said_of(parts, True))
    if sent := as_sent(parts):
        assert asked_again(reply) == sent
    assert (reply.usage.raw if reply.usage else {}) == document.get("usageMetadata", {})


@pytest.mark.parametrize("file", EVENTS.refusals)
def test_error(file: str) -> None:
    response = EVENTS.response(file)
    outcome = alike(ask(), response)
    expected = ERRORS[file]
    if isinstance(expected, str):
        assert outcome.succeeded().reply.finish_reason == expected
        return
    assert type(outcome.error) is expected
    error = json.loads(response.body).get("error")
    if error and isinstance(outcome.error, Refused):
        assert error["message"] in outcome.error.message
        assert outcome.error.type == error["status"]


# What the page of the format says of some of them


def reply_of(*words: str) -> Reply:
    return drive(ask(), EVENTS.response(named(*words))).succeeded().reply


def counts(reply: Reply) -> tuple[int | None, ...]:
    assert reply.usage is not None
    return reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens


def test_a_long_reply() -> None:
    reply = reply_of("googleai-streaming-success-basic-reply-long")
    assert len(reply.text) == 8845
    assert counts(reply) == (10, 1996, 2006)


def test_thoughts_and_a_signature_alone() -> None:
    reply = reply_of("streaming-streaming_smoke")
    assert (len(reply.reasoning), len(reply.text)) == (356, 400)
    [native] = reply.choices[0].natives
    assert json.loads(native.raw).get("text") == ""
    assert counts(reply) == (26, 378, 404)


def test_rounds_of_code() -> None:
    outcome = drive(ask(), EVENTS.response(ROUNDS)).succeeded()
    assert len(outcome.reply.choices[0].natives) == 4
    assert counts(outcome.reply) == (319, 107, 426)
    assert outcome.reply.finish_reason == "STOP"
    body = EVENTS.response(ROUNDS).body
    ninth = payloads(body)[8][0]
    assert isinstance(drive(ask(), body[: ninth + 4]).error, Truncated)


def test_reasons() -> None:
    reply = reply_of("unknown-finish-enum")
    assert (len(reply.text), reply.finish_reason, reply.finish_kind) == (3285, "FAKE_ENUM", "")
    reply = reply_of("recitation-no-content")
    assert (len(reply.text), reply.finish_kind) == (47, "content_filter")
    assert reply_of("streaming_truncated_turn").finish_kind == "length"


def test_calls() -> None:
    reply = reply_of("test_tools_parallel")
    assert [call.id for call in reply.tool_calls] == ["0b3pdf3o", "brynwdxm"]
    assert [native.part for native in reply.choices[0].natives] == [0]
    assert reply.finish_kind == "tool_call"
    reply = reply_of("no-args-tool-call")
    arguments = [call.arguments for call in reply.tool_calls]
    assert arguments == ["{}", '{"id":"A"}', '{"id":"B"}', '{"id":"C"}']
    assert all(call.complete for call in reply.tool_calls)
    assert len(reply.choices[0].natives) == 1


def test_a_page_that_was_read_is_cited_once() -> None:
    reply = reply_of("test_google_web_fetch")
    url = "https://rvest.tidyverse.org/articles/starwars.html"
    title = "Star Wars films (static HTML) \u2022 rvest"
    assert reply.citations == [Citation(url, title, start=0, end=63)]
    assert counts(reply)[0] == 1487


def test_a_cached_prompt_and_vertex() -> None:
    usage = reply_of("cached_content", "use_streaming").usage
    assert usage is not None
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (1087, 1081)
    vertex = drive(ask(), EVENTS.response(named("vertex", "simple_streaming")))
    [only] = [event for event in vertex.events if isinstance(event, Usage)]
    assert (only.input_tokens, only.output_tokens, only.total_tokens) == (9, 45, 54)


def test_a_blocked_prompt_that_is_cut() -> None:
    body = EVENTS.response(BLOCKED).body
    outcome = drive(ask(), Response(body, 200, [], "disconnect"))
    assert isinstance(outcome.error, ContentFiltered)


@pytest.mark.parametrize("number", [0, 1])
def test_the_next_request_as_it_was_recorded(number: int) -> None:
    """An answer, by `Reply.message()` and a tool message, gives the recorded next request: but
    chatlas says `result` where we say `output`."""
    files = [named("mixed_tools_end_to_end", f"__{place}.sse") for place in (number, number + 1)]
    reply = drive(ask(), EVENTS.response(files[0])).succeeded().reply
    recorded = ROWS[files[1]]["request_body"]
    *_, model, result = recorded["contents"][: 2 * number + 3]
    answered = result["parts"][0]["functionResponse"]
    said = str(answered["response"]["result"])
    chat = as_chat("hi", model="m").then(reply, reply.tool_calls[0].result(said))
    request = GEMINI.exchange(chat).next_request()
    assert request is not None
    *_, ours, ours_result = json.loads(request.body)["contents"]
    assert normal(ours["parts"]) == normal(model["parts"])
    answer = ours_result["parts"][0]["functionResponse"]
    assert (answer["name"], answer.get("id")) == (answered["name"], answered.get("id"))
    assert answer["response"] == {"output": said}


def normal(value: Any) -> Any:
    """`value` with the signatures in the standard alphabet of base64, which the SDK changes."""

    def standard(match: "re.Match[str]") -> str:
        return match[1] + match[2].replace("-", "+").replace("_", "/")

    text = json.dumps(value)
    return json.loads(re.sub(r'("thoughtSignature": ")([^"]*)', standard, text))


def test_no_text_is_lost_by_cutting() -> None:
    """The text of a stream that is cut is the beginning of the text."""
    file = named("googleai-streaming-success-basic-reply-long")
    body = EVENTS.response(file).body
    whole = drive(ask(), body).reply.text
    for size in sizes_to_try(body)[::20]:
        events = drive(ask(), Response(body[:size], 200, [], "disconnect")).events
        assert whole.startswith("".join(e.text for e in events if isinstance(e, Text)))

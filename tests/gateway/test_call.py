"""What one call says and counts, beside the answer itself."""

import json
import threading
import time
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from tests.transports.client.test_async_client import peer, says, until_closed
from tests.transports.test_sync import CHUNK, EVENT, HEAD
from tokenwire import AwsKey, Event, LocalProtocolError, Refused, as_chat
from tokenwire.gateway.record import Record
from tokenwire.protocols.formats.openai_chat.server import OpenAIResponder
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder
from tokenwire.protocols.toolkit.http import Request
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, RefuseWith

from .driving import FRONTS, Caller, Heard, ask, exchange_of, for_backs, gateway
from .test_app import DONE, LANES, LAST, SECRET, limited, one_target

ANSWER = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b"


def answer(body: bytes, status: int = 200, headers: bytes = b"") -> bytes:
    return ANSWER % (status, headers, len(body), body)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def post(path: str, body: bytes, *headers: tuple[bytes, bytes]) -> Request:
    label = (b"content-type", b"application/json")
    return Request("POST", f"http://gateway{path}", [label, *headers], body)


# Errors

INSIDE = ("openai", "openai-responses", "anthropic", "gemini")
"""Formats whose errors are an object in an object."""


@pytest.mark.parametrize("front", [*INSIDE, "cohere", "bedrock"])
def test_an_error_says_what_it_is_in_every_format(front: str) -> None:
    """In one vocabulary, before the answer and inside it."""

    async def main() -> None:
        async with gateway("expose = true\n" + for_backs(openai=server.url)) as (app, _):
            outcome, heard = await ask(app, exchange_of(front, "openai"))
            assert isinstance(outcome.error, Refused)
            said = json.loads(heard.body)
            assert (said["error"] if front in INSIDE else said)["tokenwire"] == {
                "kind": "overloaded",
                "attempts": 1,
                "text_so_far": 0,
                "target": "openai/m",
            }
            outcome, heard = await ask(app, exchange_of(front, "openai"))
            assert outcome.error is not None
            told = b'"tokenwire":{"kind":"truncated","attempts":1,"text_so_far":%d,'
            text = sum(map(len, outcome.reply.text))
            assert heard.body.count(told % text) == 1
            assert 0 < text < len("openai m was asked: Hi there")

    with serve("openai", faults=[RefuseWith(503), CloseAfter(700)]) as server:
        anyio.run(main)


@LANES
def test_the_shortest_wait_is_told_with_its_fraction(lane: str) -> None:
    refusal = answer(b'{"error":{"message":"slow"}}', 429, b"retry-after-ms: 1500\r\n")

    async def main() -> None:
        async with gateway(one_target(url, lane=lane)) as (app, _):
            _, heard = await ask(app, exchange_of("openai", "m"))
        assert (heard.status, heard.header("retry-after")) == (429, "2")
        assert heard.header("retry-after-ms") == "1500"
        assert [name for name, _ in heard.headers].count(b"retry-after") == 1

    with peer(says(refusal)) as url:
        anyio.run(main)


def test_a_wait_until_a_date() -> None:
    told = b"retry-after: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
    refusal = answer(b'{"error":{"message":"slow"}}', 429, told)

    async def main() -> None:
        async with gateway(one_target(url)) as (app, _):
            _, heard = await ask(app, exchange_of("openai", "m"))
        assert (heard.status, heard.header("retry-after")) == (429, "0")

    with peer(says(refusal)) as url:
        anyio.run(main)


def test_what_an_upstream_says_with_an_error_is_passed_on() -> None:
    """In the caller's form, and nothing else."""
    headers = (
        b"x-ratelimit-remaining-tokens: 0\r\nx-request-id: up-1\r\nset-cookie: s\r\n"
        b"x-should-retry: true\r\nretry-after: 7\r\n"
    )
    refusal = answer(b'{"error":{"message":"slow"}}', 429, headers)

    async def main() -> None:
        async with gateway(one_target(url)) as (app, _):
            _, heard = await ask(app, exchange_of("anthropic", "m", max_tokens=9))
        assert heard.header("anthropic-ratelimit-tokens-remaining") == "0"
        assert heard.header("x-upstream-request-id") == "up-1"
        assert heard.header("x-should-retry") == "true"
        assert heard.header("retry-after") == "7"
        assert heard.header("set-cookie") is None

    with peer(says(refusal)) as url:
        anyio.run(main)


def test_the_gateways_own_limits_are_told_in_the_callers_form() -> None:
    async def main() -> None:
        async with gateway(limited(one_target(server.url), "{ rpm = 1 }")) as (app, _):
            first, *others = [
                (await ask(app, exchange_of(front, "m", key=SECRET, max_tokens=9)))[1]
                for front in ("openai", "openai", "anthropic")
            ]
            assert first.status == 200
            headers = ("x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit")
            for heard, header in zip(others, headers, strict=True):
                assert (heard.status, heard.header(header)) == (429, "1")

    with serve("openai") as server:
        anyio.run(main)


def test_what_the_callers_format_can_not_say_is_an_error_inside_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway leaves out what it knows that a format can't say; this is all else."""

    def write(self: Responder, event: Event) -> bytes:
        raise LocalProtocolError("openai_chat can't say this")

    monkeypatch.setattr(OpenAIResponder, "write", write)

    async def main() -> None:
        text = for_backs(ollama=server.url) + "\ncommit_after = 0\n"
        async with gateway(text) as (app, records):
            outcome, heard = await ask(app, exchange_of("openai", "ollama"))
        assert isinstance(outcome.error, Refused)
        assert b"can't say this" in heard.body
        assert not heard.whole
        assert records[0].outcome == "local_protocol_error"

    with serve("ollama") as server:
        anyio.run(main)


# Counts of tokens


def count_request(model: str = "m") -> Request:
    body = b'{"messages":[{"role":"user","content":"?"}], "model" : "%b","x":1e5}' % model.encode()
    return post(
        "/v1/messages/count_tokens",
        body,
        (b"anthropic-version", b"2023-06-01"),
        (b"anthropic-beta", b"b"),
        (b"x-api-key", b"caller's"),
    )


def test_a_service_of_the_callers_format_counts_itself() -> None:
    async def main() -> tuple[Heard, Record]:
        text = one_target(url).replace("openai_chat", "anthropic").replace("m = 9", "")
        text = text.replace('model = "m",', 'model = "claude", max_tokens = 9,')
        async with gateway(text) as (app, records):
            return await Caller(app, count_request()).run(), records[0]

    heard_upstream: list[bytes] = []

    def upstream(stream: Any) -> None:
        data = b""
        while b"1e5}" not in data:
            data += stream.recv(65536)
        heard_upstream.append(data)
        stream.sendall(answer(b'{"input_tokens" : 12}', headers=b"request-id: req_1\r\n"))
        until_closed(stream)

    with peer(upstream) as url:
        heard, record = anyio.run(main)
    assert heard.body == b'{"input_tokens" : 12}'
    assert heard.header("x-tokenwire-estimate") is None
    assert heard.header("x-upstream-request-id") == "req_1"
    head, _, body = heard_upstream[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/messages/count_tokens HTTP/1.1\r\n")
    assert b"anthropic-beta: b" in head
    assert b"caller's" not in head
    assert body == (b'{"messages":[{"role":"user","content":"?"}], "model" : "claude","x":1e5}')
    assert (record.outcome, record.target, record.back) == ("complete", "a/claude", "anthropic")


@pytest.mark.parametrize(
    ("status", "told", "estimated"), [(404, 200, True), (405, 200, True), (400, 400, False)]
)
def test_one_that_does_not_count(status: int, told: int, estimated: bool) -> None:
    async def main() -> None:
        async with gateway(for_backs(anthropic=url)) as (app, _):
            heard = await Caller(app, count_request("anthropic")).run()
        assert heard.status == told
        assert (heard.header("x-tokenwire-estimate") == "1") is estimated

    refusal = answer(b'{"type":"error","error":{"type":"x","message":"no"}}', status)
    with peer(says(refusal)) as url:
        anyio.run(main)


def test_one_that_fails_to_count() -> None:
    async def main() -> None:
        async with gateway(for_backs(anthropic="http://127.0.0.1:1")) as (app, records):
            heard = await Caller(app, count_request("anthropic")).run()
            assert heard.status == 502
            assert b"can't be reached" in heard.body
            assert b"127.0.0.1" not in heard.body
            unknown = await Caller(app, count_request("other")).run()
            assert unknown.status == 404
        assert [record.outcome for record in records] == ["upstream_error", "bad_request"]

    anyio.run(main)


@pytest.mark.parametrize("change", ['path = "/own"', 'whole_path = "/own"', "translate"])
def test_services_elsewhere_are_not_asked_to_count(change: str) -> None:
    async def main() -> None:
        text = for_backs(anthropic="http://127.0.0.1:1")
        if change == "translate":
            text = text.replace("max_tokens = 100", 'max_tokens = 100, lane = "translate"')
        else:
            text = text.replace("[[models]]", f"{change}\n[[models]]")
        async with gateway(text) as (app, _):
            heard = await Caller(app, count_request("anthropic")).run()
        assert heard.header("x-tokenwire-estimate") == "1"

    anyio.run(main)


# Usage

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":7}}\n\n'


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("limits", ["{ tpm = 1000 }", "{ rpm = 1000 }"])
def test_usage_is_asked_for_if_it_has_to_be_known(limits: str, asks: bool) -> None:
    """And withheld from a caller that has not asked."""
    sent: list[bytes] = []

    async def main() -> tuple[Heard, Record]:
        async with gateway(limited(one_target(url), limits)) as (app, records):
            options = b',"stream_options":{"include_usage":true}' if asks else b""
            body = (
                b'{"model":"m","stream":true,"messages":[{"role":"user","content":"?"}]%b}'
                % options
            )
            request = post("/v1/chat/completions", body, (b"x-api-key", SECRET.encode()))
            return await Caller(app, request).run(), records[0]

    def upstream(stream: Any) -> None:
        sent.append(stream.recv(65536))
        stream.sendall(HEAD + CHUNK + chunked(USAGE + LAST) + b"0\r\n\r\n")
        until_closed(stream)

    with peer(upstream) as url:
        heard, record = anyio.run(main)
    metered = "tpm" in limits
    assert (b"include_usage" in sent[0]) is (asks or metered)
    withheld = metered and not asks
    assert heard.body == EVENT + (LAST if withheld else USAGE + LAST)
    assert record.usage is not None
    assert (record.usage.output_tokens, record.estimated) == (7, False)


def test_a_service_without_stream_options_is_not_asked() -> None:
    async def main() -> None:
        text = limited(one_target(server.url), "{ tpm = 1000 }")
        text = text.replace("[[models]]", "ask_usage = false\n[[models]]", 1)
        async with gateway(text) as (app, _):
            outcome, _ = await ask(app, exchange_of("openai", "m", key=SECRET))
        outcome.succeeded()
        assert b"include_usage" in server.requests[0].body  # our own client half asks

    with serve("openai") as server:
        anyio.run(main)


def test_what_is_told_at_the_beginning_is_not_what_a_cut_answer_used() -> None:
    """Anthropic's first event counts the output tokens so far: one."""
    start = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","role":'
        b'"assistant","content":[],"usage":{"input_tokens":30,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}}\n\n' % (b"x" * 400)
    )

    async def main() -> Record:
        async with gateway(for_backs(anthropic=url)) as (app, records):
            await ask(app, exchange_of("anthropic", "anthropic", max_tokens=9))
        return records[0]

    def cut(stream: Any) -> None:
        stream.recv(65536)
        stream.sendall(HEAD + chunked(start))

    with peer(cut) as url:
        record = anyio.run(main)
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (30, 100)
    assert record.estimated
    assert record.outcome == "truncated"


# The model in the path


@pytest.mark.parametrize("front", FRONTS)
def test_the_model_may_be_in_the_path(front: str) -> None:
    """Whatever the client calls it."""

    async def main() -> None:
        async with gateway(for_backs(openai=server.url)) as (app, records):
            exchange = exchange_of(front, "claude-x")
            request = exchange.next_request()
            assert request is not None
            url = request.url.replace("http://gateway/", "http://gateway/t/openai/")
            heard = await Caller(app, msgspec.structs.replace(request, url=url)).run()
            assert heard.whole
            assert (records[0].model, records[0].target) == ("openai", "openai/m")
            url = url.replace("/t/openai/", "/t/none/")
            heard = await Caller(app, msgspec.structs.replace(request, url=url)).run()
            assert heard.status == 404

    with serve("openai") as server:
        anyio.run(main)
        assert server.requests[0].body.count(b'"model":"m"') == 1


# Callers that sign


def test_a_caller_that_signs_its_requests() -> None:
    async def main() -> None:
        keys = '[[keys]]\nname = "aws"\naws = { id = "tw-1", secret = "very secret" }\n'
        text = f"insecure_literal_keys = true\n{for_backs(openai=server.url)}\n{keys}"
        async with gateway(text) as (app, records):
            for secret, prefix in (("very secret", ""), ("very secret", "/t/openai"), ("x", "")):
                exchange = PROVIDERS["bedrock"].exchange(
                    as_chat("Hi there", model="openai"),
                    base_url=f"http://localhost:4000{prefix}",
                    key=AwsKey("tw-1", secret, region="us-east-1"),
                    now=time.time,
                )
                _, heard = await ask(app, exchange)
                assert heard.status == (403 if secret == "x" else 200)
        assert [record.key for record in records] == ["aws", "aws", ""]

    with serve("openai") as server:
        anyio.run(main)


# Time


FAILS = {
    "a status": answer(b'{"error":{"message":"slow down"}}', 429),
    "an object": answer(b'{"error":{"message":"slow down"}}'),
    "in the stream": HEAD + chunked(b'data: {"error":{"message":"slow down"}}\n\n'),
    "a page": answer(b"<html>"),
    "nothing": answer(b""),
}


@LANES
@pytest.mark.parametrize("failure", FAILS)
def test_nothing_is_held_back_if_the_operator_says_so(lane: str, failure: str) -> None:
    """The head is sent at once, and what fails then is told inside."""

    async def main() -> None:
        async with gateway(one_target(url, "commit_after = 0", lane)) as (app, records):
            request = exchange_of("openai", "m").next_request()
            assert request is not None
            caller = Caller(app, request)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller.run)
                await anyio.to_thread.run_sync(asked.wait, 20)
                assert caller.heard.status == 200
                go.set()
            heard = caller.heard
        assert heard.header("content-type") == "text/event-stream; charset=utf-8"
        assert heard.header("cache-control") == "no-cache"
        assert heard.body.startswith(b'data: {"error":{')
        assert not heard.whole
        assert records[0].outcome not in ("", "complete")

    asked, go = threading.Event(), threading.Event()

    def refuses(stream: Any) -> None:
        stream.recv(65536)
        asked.set()
        assert go.wait(20)
        stream.sendall(FAILS[failure])
        until_closed(stream)

    with peer(refuses) as url:
        anyio.run(main)


def test_a_request_that_only_the_upstream_understands_begins_early_too() -> None:
    async def main() -> None:
        async with gateway(one_target(url, "commit_after = 0")) as (app, _):
            body = b'{"model":"m","stream":true,"messages":[{"role":"?"}]}'
            heard = await Caller(app, post("/v1/chat/completions", body)).run()
        assert heard.whole
        assert heard.body == EVENT + LAST
        assert heard.header("content-type") == "text/event-stream; charset=utf-8"

    with peer(says(HEAD + CHUNK + DONE)) as url:
        anyio.run(main)


def test_how_many_events_are_held_back() -> None:
    async def main() -> Record:
        async with gateway(one_target(server.url)) as (app, records):
            outcome, _ = await ask(app, exchange_of("openai", "m"))
            outcome.succeeded()
        return records[0]

    with serve("openai") as server:
        assert anyio.run(main).held > 0

"""Responses that a service has kept: who may look them up, where, and that a cut one looks it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import anyio
import openai
import pytest

from tests.gateway.driving import Caller, Heard, for_backs, gateway
from tests.gateway.memory import Said, in_memory
from tests.gateway.running import ANYWHERE, running
from tests.waiting import WAIT
from tokenwire.gateway.record import Record
from tokenwire.protocols.toolkit.http import Headers, Request, get_header

ID = "resp_68ab"
JSON = (("content-type", "application/json"), ("set-cookie", "a=b"), ("x-request-id", "up"))
KEPT: dict[str, Any] = {
    "id": ID,
    "object": "response",
    "status": "completed",
    "error": None,
    "model": "m",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "plum", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
}
WHOLE = json.dumps(KEPT).encode()
RIGHT = Said(WHOLE, headers=JSON)
ONE = for_backs(openai_responses="http://r.test/v1")


def event(type: str, number: int, **fields: Any) -> bytes:
    data = json.dumps({"type": type, "sequence_number": number, **fields})
    return f"event: {type}\ndata: {data}\n\n".encode()


DELTA = event(
    "response.output_text.delta",
    8,
    item_id="msg_1",
    output_index=0,
    content_index=0,
    delta="um",
    logprobs=[],
)
COMPLETED = event("response.completed", 9, response=KEPT)


def key(name: str, more: str = "") -> str:
    return f'[[keys]]\nname = "{name}"\nsha256 = "{sha256(name.encode()).hexdigest()}"\n{more}\n'


def model(name: str, *targets: str, more: str = "") -> str:
    listed = ", ".join(f'{{ provider = "{each}", max_tokens = 9 }}' for each in targets)
    return f'[[models]]\nname = "{name}"\ntargets = [{listed}]\n{more}\n'


def provider(name: str, dialect: str = "openai_responses", more: str = "") -> str:
    url = f"http://{name}.test/v1"
    return f'[providers.{name}]\ndialect = "{dialect}"\nbase_url = "{url}"\n{more}\n'


def look_up(
    path: str = f"/v1/responses/{ID}",
    method: str = "GET",
    text: str = ONE,
    said: Said = RIGHT,
    headers: Headers | None = None,
) -> tuple[Heard, list[Request], Record]:
    """What a caller gets, what services were asked, and what is recorded."""

    async def main() -> tuple[Heard, list[Request], Record]:
        async with gateway(text) as (app, records):
            services = in_memory(app, lambda request: said)
            request = Request(method, f"http://gateway{path}", headers or [])
            heard = await Caller(app, request).run()
            return heard, services.asked, records[0]

    return anyio.run(main)


def message_of(heard: Heard) -> str:
    message: str = json.loads(heard.body)["error"]["message"]
    return message


# What is asked, and what comes back


@pytest.mark.parametrize(
    ("method", "path", "to"),
    [
        ("GET", "", ""),
        ("HEAD", "", ""),
        ("DELETE", "", ""),
        ("POST", "/cancel", "/cancel"),
        ("GET", "/input_items?limit=2&order=asc", "/input_items?limit=2&order=asc"),
        ("GET", "?include[]=a.b&include[]=c", "?include%5B%5D=a.b&include%5B%5D=c"),
        ("GET", "?key=secret&api-version=1&stream=false", "?stream=false"),
    ],
)
def test_the_bytes_of_the_service(method: str, path: str, to: str) -> None:
    headers = [
        (b"authorization", b"Bearer mine"),
        (b"openai-beta", b"x"),
        (b"x-forwarded-for", b"1"),
    ]
    heard, (request,), record = look_up(f"/v1/responses/{ID}{path}", method, headers=headers)
    assert request.method == ("GET" if method == "HEAD" else method)
    assert request.url == f"http://r.test/v1/responses/{ID}{to}"
    assert request.body == b""
    assert get_header(request.headers, b"openai-beta") == "x"
    assert get_header(request.headers, b"accept") == "application/json"
    assert {b"authorization", b"x-forwarded-for"}.isdisjoint(dict(request.headers))
    assert (heard.status, heard.body, heard.whole) == (200, WHOLE, True)
    assert heard.header("content-type") == "application/json"
    assert heard.header("x-upstream-request-id") == "up"
    assert heard.header("x-tokenwire-attempts") == "1"
    assert heard.header("set-cookie") is None
    assert (record.outcome, record.target, record.lane) == (
        "complete",
        "openai-responses/m",
        "relay",
    )
    assert (record.model, record.usage, record.estimated) == ("", None, False)


@pytest.mark.parametrize("status", ["queued", "in_progress", "failed", "cancelled", "incomplete"])
def test_a_response_in_any_state(status: str) -> None:
    """That it has failed is no failure of the service now: nobody can put a target aside so."""
    kept = {**KEPT, "status": status, "error": {"code": "server_error", "message": "no"}}
    body = json.dumps(kept).encode()
    heard, _, record = look_up(said=Said(body, headers=JSON))
    assert (heard.status, heard.body, record.outcome) == (200, body, "complete")
    ended = DELTA + event(f"response.{status}", 9, response=kept)
    if status not in ("queued", "in_progress"):
        heard, _, record = look_up(f"/v1/responses/{ID}?stream=true", said=Said(ended))
        assert (heard.status, heard.body, heard.whole) == (200, ended, True)
        assert record.outcome == "complete"


def test_what_the_service_refuses() -> None:
    said = Said(b'{"error":{"message":"no such response","code":"x"}}', 404, JSON)
    heard, _, record = look_up(said=said)
    assert (heard.status, record.outcome) == (404, "bad_request")
    assert message_of(heard) == "the service refused: no such response"
    heard, _, record = look_up(said=said._replace(status=200))
    assert (heard.status, record.outcome) == (500, "upstream_error")
    heard, _, record = look_up(said=said._replace(status=401))
    assert (heard.status, record.outcome) == (502, "upstream_error")


@pytest.mark.parametrize("body", [b"", WHOLE[:-1], b"<html>", b"plum"])
@pytest.mark.parametrize("end", ["eof", "closed", "reset", "silence"])
def test_half_a_document_is_none(body: bytes, end: Any) -> None:
    heard, asked, record = look_up(said=Said(body, headers=JSON, end=end))
    assert heard.status in (502, 504)
    assert record.outcome == "upstream_error"
    assert len(asked) == 1


# Streams


def test_a_stream_goes_on_where_it_was_left() -> None:
    body = DELTA + COMPLETED
    path = f"/v1/responses/{ID}?stream=true&starting_after=7"
    heard, (request,), record = look_up(path, said=Said(body, cut=9))
    assert request.url == f"http://r.test{path}"
    assert get_header(request.headers, b"accept") == "text/event-stream"
    assert (heard.status, heard.body, heard.whole) == (200, body, True)
    assert heard.writes > 2
    assert heard.header("cache-control") == "no-cache"
    assert (record.outcome, record.stream, record.usage) == ("complete", True, None)


@pytest.mark.parametrize("end", ["eof", "closed", "reset", "silence"])
def test_a_cut_never_looks_complete(end: Any) -> None:
    body = DELTA + COMPLETED
    path = f"/v1/responses/{ID}?stream=true"
    first = len(DELTA)
    for size in (0, 9, first - 2, first, first + 9, first + 26, first + 99, len(body) - 3):
        heard, _, record = look_up(path, said=Said(body[:size], end=end))
        assert record.outcome != "complete"
        if heard.status == 200:
            assert not heard.whole
            assert heard.body.startswith(DELTA) == (size >= first)
            assert b"event: error\n" in heard.body
            error = heard.body.removeprefix(DELTA)
            assert error.startswith(b"event: response.created\n")
            assert b"response.completed" not in error
        else:
            assert heard.status in (502, 504)


def test_a_stream_that_is_slow_to_begin() -> None:
    """The head is that of a stream, before the service has said anything."""
    text = f"[defaults]\ncommit_after = 0\n{ONE}"
    refused = Said(b'{"error":{"message":"no"}}', 404, JSON)
    heard, _, record = look_up(f"/v1/responses/{ID}?stream=true", text=text, said=refused)
    assert heard.status == 200
    assert (heard.header("content-type") or "").startswith("text/event-stream")
    assert heard.header("x-accel-buffering") == "no"
    assert b"event: error\n" in heard.body
    assert not heard.whole
    assert record.outcome == "bad_request"


# Where


CHAT = provider("c", "openai_chat")
R, S = provider("r"), provider("s")


@pytest.mark.parametrize(
    ("text", "path", "host"),
    [
        (R + model("a", "r") + model("b", "r"), "", "r"),
        (R + CHAT + model("a", "c", "r") + model("b", "c"), "", "r"),
        (R + S + model("a", "r") + model("b*", "s"), "/t/bee", "s"),
        (R + S + model("a", "r", more='strategy = "sticky"'), "", "r"),
        (R + S + model("a", "r") + model("b-*", "s") + key("k", 'models = ["b-1"]'), "", "s"),
        (R + S + model("a", "r") + model("b", "s") + key("k", 'models = ["a*"]'), "", "r"),
    ],
)
def test_the_only_service_that_may_have_it(text: str, path: str, host: str) -> None:
    headers = [(b"authorization", b"Bearer k")]
    heard, (request,), record = look_up(f"{path}/v1/responses/{ID}", text=text, headers=headers)
    assert heard.status == 200
    assert request.url == f"http://{host}.test/v1/responses/{ID}"
    assert record.model == ("b*" if path else "")


@pytest.mark.parametrize(
    ("text", "path", "status", "words"),
    [
        (R + S + model("a", "r") + model("b", "s"), "", 400, "put the model into the path (/t/"),
        (R + S + model("a", "r", "s"), "/t/a", 400, "more than one service may have it"),
        (CHAT + model("a", "c"), "", 400, "no model that can be asked for here has a service that"),
        (provider("r", more='path = "/own"') + model("a", "r"), "", 400, "a service that keeps"),
        (R + model("a", "r") + key("k", 'models = ["a"]'), "/t/b", 404, "there is no model 'b'"),
        (R + CHAT + model("a", "r") + model("b", "c") + key("k", 'models = ["b"]'), "", 400, "no"),
        (R + model("a", "r") + key("other"), "", 401, "the API key is missing or wrong"),
    ],
)
def test_where_none_is_meant(text: str, path: str, status: int, words: str) -> None:
    headers = [(b"authorization", b"Bearer k")]
    heard, asked, record = look_up(f"{path}/v1/responses/{ID}", text=text, headers=headers)
    assert (heard.status, asked) == (status, [])
    assert words in message_of(heard)
    assert record.outcome == ("unauthorized" if status == 401 else "bad_request")


@pytest.mark.parametrize(
    "id", ["..", "%2E%2E", "..%2Ffiles", "a%2Fb", "a%3Fb", "-a", "%00", "a" * 600]
)
def test_an_id_leads_nowhere_else(id: str) -> None:
    heard, asked, _ = look_up(f"/v1/responses/{id}", "DELETE")
    assert (heard.status, asked) == (404, [])
    assert "there is no response" in message_of(heard)


def test_an_unknown_parameter() -> None:
    heard, asked, _ = look_up(f"/v1/responses/{ID}?limits=2")
    assert (heard.status, asked) == (400, [])
    assert "unknown parameter 'limits' (known: after, before, include, " in message_of(heard)


# Limits


def test_it_counts_as_a_request_without_tokens() -> None:
    limits = "limits = { rpm = 2, tpm = 1 }"
    text = ONE.replace("targets", f"{limits}\ntargets") + "\n" + key("k", limits)

    async def main() -> None:
        async with gateway(text) as (app, records):
            in_memory(app, lambda request: Said(WHOLE, headers=JSON))
            headers = [(b"authorization", b"Bearer k")]
            request = Request("GET", f"http://gateway/v1/responses/{ID}", headers)
            statuses = [(await Caller(app, request).run()).status for _ in range(3)]
            assert statuses == [200, 200, 429]
            assert records[2].limit == "key.rpm"

    anyio.run(main)


def test_what_goes_on_in_the_background_is_not_free() -> None:
    """It is told that it has begun, and what it will use is not known: what is expected is."""
    queued = json.dumps({**KEPT, "status": "queued", "output": [], "usage": None}).encode()
    text = ONE.replace("targets", "limits = { tpm = 700 }\ntargets")

    async def main() -> None:
        async with gateway(text) as (app, records):
            in_memory(app, lambda request: Said(queued, headers=JSON))
            body = b'{"model":"openai-responses","input":"Hi","background":true}'
            headers = [(b"content-type", b"application/json")]
            request = Request("POST", "http://gateway/v1/responses", headers, body)
            heard = await Caller(app, request).run()
            assert (heard.status, heard.body) == (200, queued)
            assert (await Caller(app, request).run()).status == 429
            assert [record.outcome for record in records] == ["complete", "limited"]

    anyio.run(main)


# Real sockets, and the vendor's SDK


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Keeper:
    """A small service that has kept one response. `left`: the asker of a stream has gone."""

    def __init__(self, *, cut: bool = False, stays: bool = False) -> None:
        self.asked: list[str] = []
        self.left = asyncio.Event()
        self._cut, self._stays = cut, stays

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode().partition(" HTTP/")[0])
        if "stream=true" in self.asked[-1]:
            writer.write(HEAD % b"text/event-stream" + chunk(DELTA))
            if self._stays:
                await reader.read()
                self.left.set()
            elif not self._cut:
                writer.write(chunk(COMPLETED) + chunk(b""))
        else:
            writer.write(HEAD % b"application/json" + chunk(WHOLE) + chunk(b""))
        writer.close()


@asynccontextmanager
async def kept_by(keeper: Keeper) -> AsyncGenerator[tuple[openai.AsyncOpenAI, list[str]]]:
    """The SDK before a gateway before `keeper`; and the lines of the gateway's log."""
    server = await asyncio.start_server(keeper, "127.0.0.1", 0)
    url = "http://127.0.0.1:{1}/v1".format(*server.sockets[0].getsockname())
    async with server, running(ANYWHERE + for_backs(openai_responses=url)) as gateway:
        base = f"{gateway.url}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="k", max_retries=0) as client:
            yield client, gateway.lines


def test_the_sdk() -> None:
    async def main() -> None:
        async with kept_by(keeper := Keeper()) as (client, lines):
            responses = client.responses
            assert (await responses.retrieve(ID)).output_text == "plum"
            assert (await responses.retrieve(ID, include=["a"])).id == ID  # type: ignore[list-item]  # pyright: ignore
            stream = await responses.retrieve(ID, stream=True, starting_after=7)
            assert [each.type async for each in stream][-1] == "response.completed"
            assert (await responses.cancel(ID)).id == ID
            await responses.input_items.list(ID, limit=2)
            await responses.delete(ID)
        path = f"/v1/responses/{ID}"
        assert keeper.asked == [
            f"GET {path}",
            f"GET {path}?include%5B%5D=a",
            f"GET {path}?starting_after=7&stream=true",
            f"POST {path}/cancel",
            f"GET {path}/input_items?limit=2",
            f"DELETE {path}",
        ]
        assert [json.loads(line)["outcome"] for line in lines] == ["complete"] * 6

    asyncio.run(main())


def test_the_sdk_knows_of_a_cut() -> None:
    async def main() -> None:
        async with kept_by(Keeper(cut=True)) as (client, _):
            stream = await client.responses.retrieve(ID, stream=True)
            types: list[str] = []
            with pytest.raises(openai.APIError, match="broke off"):
                types.extend([each.type async for each in stream])

    asyncio.run(main())


def test_the_service_is_left_with_the_caller() -> None:
    async def main() -> None:
        async with kept_by(keeper := Keeper(stays=True)) as (client, lines):
            stream = await client.responses.retrieve(ID, stream=True)
            await anext(aiter(stream))
            await stream.close()
            async with asyncio.timeout(WAIT):
                await keeper.left.wait()
        assert json.loads(lines[0])["outcome"] == "caller_gone"

    asyncio.run(main())

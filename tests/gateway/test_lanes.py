"""What goes through a relay, and what a translation makes of calls and thoughts, in memory."""

import json
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.driving import Outcome, Response, drive
from tokenwire import Chat, Exchange, Message, Tool, ToolCall, as_chat
from tokenwire.gateway.app import App
from tokenwire.gateway.record import Record
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.testing.recording import responder_to
from tokenwire.testing.strategies import answers

from .driving import BASE, FRONTS, Heard, ask, config_of, exchange_of, for_backs, gateway
from .memory import Said, in_memory

URLS = {name.replace("-", "_"): f"http://{name}.test" for name in FRONTS}


# A relay


@pytest.mark.parametrize("name", FRONTS)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_a_relay_passes_every_byte(name: str, data: st.DataObject) -> None:
    """Of any legal answer, however it arrives."""
    chat = Chat(messages=(Message("user", "Hi"),), model="m", max_tokens=9)
    provider = PROVIDERS[name].replace(any_model=True, base_url=f"http://{name}.test")
    responder = responder_to(provider, chat)
    raw = b"".join(map(responder.send, data.draw(answers(provider, chat)))) + responder.end()
    status, headers = responder.head()
    pairs = tuple((key.decode(), value.decode()) for key, value in headers)
    said = Said(raw, status, pairs, cut=data.draw(st.integers(1, len(raw))))
    direct = provider.exchange(chat)
    if drive(direct, Response(raw, status, headers)).error is not None:
        return  # a finish reason that is an error
    outcome, heard = anyio.run(asked, App(config_of(for_backs(**URLS))), name, said)
    assert heard.body == raw
    assert heard.whole
    assert outcome.error is None


async def asked(app: App, name: str, said: Said) -> tuple[Outcome, Heard]:
    in_memory(app, lambda request: said)
    return await ask(app, exchange_of(name, name, max_tokens=9))


def test_callers_name_no_address() -> None:
    """Such fields are unknown ones: they get to a service of the same format, and nowhere else."""

    async def main() -> list[str]:
        async with gateway(for_backs(openai="http://here.test", ollama="http://here.test")) as (
            app,
            _,
        ):
            services = in_memory(app, lambda request: Said(status=500))
            for model in ("openai", "ollama"):
                for field in ("api_base", "base_url", "api_key", "custom_llm_provider"):
                    exchange = exchange_of("openai", model, extra={field: "http://evil.test"})
                    _, heard = await ask(app, exchange)
                    assert heard.status == (500 if model == "openai" else 400)
            return [request.origin.host for request in services.asked]

    assert anyio.run(main) == ["here.test"] * 4


# Calls whose pieces alternate


def delta(fields: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "x", "choices": [choice]}).encode()


def piece(call: int, arguments: str, name: str = "") -> bytes:
    function: dict[str, str] = {"arguments": arguments}
    more = {"id": f"call_{call}", "type": "function"} if name else {}
    if name:
        function["name"] = name
    return delta({"tool_calls": [{"index": call, **more, "function": function}]})


@pytest.mark.parametrize("front", [name for name in FRONTS if name != "openai"])
def test_calls_whose_pieces_alternate_stay_two(front: str) -> None:
    """Formats with one open block get one after the other."""
    body = b"".join(
        [
            piece(0, "", "read"),
            piece(1, "", "list"),
            piece(0, '{"path"'),
            piece(1, '{"folder"'),
            piece(0, ': "a"}'),
            piece(1, ': "b"}'),
            delta({}, "tool_calls"),
            b"data: [DONE]\n\n",
        ]
    )

    async def main() -> Outcome:
        async with gateway(for_backs(openai="http://x.test")) as (app, _):
            in_memory(app, lambda request: Said(body, cut=50))
            tools = (Tool("read"), Tool("list"))
            outcome, _ = await ask(app, exchange_of(front, "openai", tools=tools, max_tokens=9))
            return outcome

    reply = anyio.run(main).succeeded().reply
    calls = [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]
    assert calls == [("read", {"path": "a"}), ("list", {"folder": "b"})]


@pytest.mark.parametrize("front", ["anthropic", "openai-responses", "bedrock"])
def test_the_first_of_them_is_told_as_it_comes(front: str) -> None:
    async def main() -> Heard:
        async with gateway(for_backs(openai="http://x.test")) as (app, _):
            body = piece(0, "", "read") + piece(1, "", "list") + piece(0, '{"pa')
            in_memory(app, lambda request: Said(body, end="reset"))
            tools = (Tool("read"), Tool("list"))
            exchange = exchange_of(front, "openai", tools=tools, max_tokens=9)
            _, heard = await ask(app, exchange)
            return heard

    heard = anyio.run(main)
    assert b'{\\"pa' in heard.body
    assert b"list" not in heard.body  # it waits until the first is whole
    assert not heard.whole


# Loops with a tool, and thoughts that come back

TOOLS = (Tool("read", "Reads a file", {"type": "object", "properties": {}}),)
THOUGHTS = {
    "gemini": (
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hm","thought":true},'
        b'{"functionCall":{"name":"read","args":{}},"thoughtSignature":"U0lH"}]},'
        b'"finishReason":"STOP"}]}\n\n',
        b'"thoughtSignature":"U0lH"',
    ),
    "anthropic": (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","role":'
        b'"assistant","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"thinking","thinking":"","signature":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"thinking_delta","thinking":"Hm"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"signature_delta","signature":"U0lH"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":1,'
        b'"content_block":{"type":"tool_use","id":"toolu_1","name":"read","input":{}}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use"},'
        b'"usage":{"output_tokens":9}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'"signature":"U0lH"',
    ),
    "openai-responses": (
        b'data: {"type":"response.created","response":{"id":"resp_1","output":[]}}\n\n'
        b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning",'
        b'"id":"rs_1","summary":[{"type":"summary_text","text":"Hm"}],'
        b'"encrypted_content":"U0lH"}}\n\n'
        b'data: {"type":"response.output_item.done","output_index":1,"item":{"type":'
        b'"function_call","id":"fc_1","call_id":"call_1","name":"read","arguments":"{}"}}\n\n'
        b'data: {"type":"response.completed","response":{"id":"resp_1","status":"completed",'
        b'"output":[]}}\n\n',
        b'"encrypted_content":"U0lH"',
    ),
}
HALF = {
    "openai": b'data: {"choices":[{"index":0,"delta":{"content":"plum"}}]}\n\ndata: {"cho',
    "anthropic": THOUGHTS["anthropic"][0].partition(b'"id":"toolu_1"')[0],
    "openai-responses": THOUGHTS["openai-responses"][0].partition(b'"id":"fc_1"')[0],
    "ollama": b'{"message":{"role":"assistant","content":"plum"},"done":false}\n{"mess',
}


@pytest.mark.parametrize("end", ["eof", "closed", "reset", "silence"])
@pytest.mark.parametrize("front", HALF)
def test_no_half_event_is_before_an_error(front: str, end: Any) -> None:
    """It would be read as the beginning of the error."""

    async def main() -> Heard:
        async with gateway(for_backs(**{front.replace("-", "_"): "http://x.test"})) as (app, _):
            in_memory(app, lambda request: Said(HALF[front], end=end))
            return (await ask(app, exchange_of(front, front, max_tokens=9)))[1]

    heard = anyio.run(main)
    whole = HALF[front][: HALF[front].rindex(b"\n") + 1]
    whole = whole if front == "ollama" else whole[: whole.rindex(b"\n\n") + 2]
    assert heard.body.startswith(whole)
    rest = heard.body.removeprefix(whole)
    assert rest.startswith(
        (b'data: {"error', b"event: error", b"event: response.created", b'{"error')
    )
    assert not heard.whole


LOOPS = [
    (front, back)
    for front in ("anthropic", "openai-responses", "openai", "bedrock", "gemini")
    for back in THOUGHTS
    if front != back
]


def asking(front: str, model: str, chat: Chat | str) -> Exchange:
    """A client that sends back all that it got."""
    provider = PROVIDERS[front]
    if front == "openai":
        provider = provider.replace(history="reasoning_details")
    return provider.exchange(
        as_chat(chat, model=model, tools=TOOLS, max_tokens=99),
        base_url=BASE.get(front, "http://gateway/v1"),
        key="k",
    )


def second_request(
    front: str, back: str, other: str = "", key: str = "k" * 32
) -> tuple[bytes, Record]:
    """What a service is asked once its call was answered: it, or the `other` one, by a gateway
    whose key of state is `key`."""

    async def main() -> tuple[bytes, Record]:
        async with gateway(keyed("k" * 32)) as (app, _):
            in_memory(app, lambda request: Said(THOUGHTS[back][0], cut=100))
            outcome, _ = await ask(app, asking(front, back, "Hi there"))
        message = outcome.succeeded().reply.message()
        (call,) = [part for part in message.parts if isinstance(part, ToolCall)]
        result = Message("tool", "plum", tool_call_id=call.id)
        chat = Chat(messages=(Message("user", "Hi there"), message, result))
        async with gateway(keyed(key)) as (app, records):
            services = in_memory(app, lambda request: Said(status=500))
            await ask(app, asking(front, other or back, chat))
            return services.asked[0].body, records[0]

    def keyed(key: str) -> str:
        return f'insecure_literal_keys = true\nstate_key = "{key}"\n{for_backs(**URLS)}'

    return anyio.run(main)


@pytest.mark.parametrize(("front", "back"), LOOPS)
def test_a_thought_comes_back_as_it_was(front: str, back: str) -> None:
    body, record = second_request(front, back)
    assert record.attempts == 1
    assert THOUGHTS[back][1] in body
    assert b"tw1." not in body
    assert b"plum" in body


@pytest.mark.parametrize(("front", "back"), LOOPS)
def test_a_session_that_has_moved_goes_on_without_it(front: str, back: str) -> None:
    other = "gemini" if back == "anthropic" else "anthropic"
    body, record = second_request(front, back, "ollama" if other == front else other)
    assert record.attempts == 1
    assert b"U0lH" not in body
    assert b"tw1." not in body
    assert b"plum" in body


@pytest.mark.parametrize(("front", "back"), LOOPS)
def test_a_thought_that_was_forged_is_dropped(front: str, back: str) -> None:
    body, record = second_request(front, back, key="j" * 32)
    assert record.attempts == 1
    assert b"U0lH" not in body
    assert b"tw1." not in body

"""What a test learns of the requests, and what the server thinks of them."""

import pytest

import tokenwire
from tests.testing.llm.plain import ask
from tests.testing.llm.test_answers import by
from tokenwire import PROVIDERS
from tokenwire.server.scripts import Plan
from tokenwire.testing import LlmServer, Received
from tokenwire.testing.llm.answering import RawAnswer
from tokenwire.testing.llm.answers import Asked, Raw, Refusal, Scripted
from tokenwire.testing.llm.environment import KEY, environment, path_of
from tokenwire.testing.llm.findings import findings
from tokenwire.testing.llm.mounting import Mounts

lenient = pytest.mark.llm_server(strict=False)


def test_what_was_asked(llm_server: LlmServer) -> None:
    llm_server.say("It is blue.").times(2)
    assert repr(llm_server) == f"<llm_server at {llm_server.url}, 0 requests>"
    by("openai")
    chat = tokenwire.as_chat("Why?", model="m").then("Because.", "Who?")
    with tokenwire.transports.sync.Client() as client:
        tokenwire.ask("anthropic", chat, client=client, key="sk-ant-mine")
        tokenwire.models("openai", client=client)
    first, second = llm_server.requests
    assert (first.number, first.provider, first.method, first.path) == (
        *(1, "openai", "POST"),
        "/v1/chat/completions",
    )
    assert first.json["model"] == "m"
    assert first.headers["content-type"] == "application/json"
    assert first.outcome == "sent"
    assert first.status == 200
    assert second.chat is not None
    assert [message.role for message in second.chat.messages] == ["user", "assistant", "user"]
    assert (second.text, llm_server.texts, llm_server.last) == ("Who?", ["Why?", "Who?"], second)
    assert second.connection > first.connection
    assert 0 <= first.at < second.at
    (other,) = llm_server.other_requests
    assert other.outcome == "sent"
    assert (other.path, other.json, other.text, other.retry_after) == ("/v1/models", None, "", None)
    assert repr(other) == "<request 3: openai GET /v1/models, sent>"
    assert "sk-ant" not in repr(second)
    assert "sk-ant" in second.headers["x-api-key"]
    llm_server.clear()
    assert llm_server.requests == llm_server.other_requests == []
    assert llm_server.section() == "no request came"
    with pytest.raises(tokenwire.LocalProtocolError, match="--tokenwire-timeline"):
        llm_server.timeline()


def test_a_section_tells_of_calls(llm_server: LlmServer) -> None:
    llm_server.say("done").times(2)
    chat = tokenwire.as_chat("Look!", model="m")
    call = tokenwire.ToolCall("c", "look", '{"a":1}')
    tokenwire.ask("openai", chat.then(tokenwire.Message("assistant", (call,)), call.result("7")))
    assert llm_server.section().splitlines()[-3:] == [
        "    user: Look!",
        '    assistant: look({"a":1})',
        "    tool: 7",
    ]
    by("openai", "x" * 100)
    assert f"'{'x' * 60}...', sent> by say('done')" in llm_server.section()


def test_a_section_has_no_part_of_a_key(llm_server: LlmServer) -> None:
    """Wherever it is cut: the texts have lengths of their own."""
    key = "qzjxkvwp-fmgbhycu-ltdnrsoaei"
    llm_server.say("done")
    texts = [key * (1 + number % 3) + "." * number for number in range(40)]
    messages = tuple(tokenwire.Message("user", text) for text in texts)
    tokenwire.ask("openai", tokenwire.Chat(messages=messages, model="m"), key=key)
    section = llm_server.section()
    assert section.startswith("...\n    user: ")
    assert len(section) <= 2048
    assert not [at for at in range(len(key) - 7) if key[at : at + 8] in section]


def test_findings(llm_server: LlmServer) -> None:
    """Of a client that asks again at once, of one that waits, and of one that asks in vain."""
    llm_server.refuse(429, retry_after=30).times(2)
    for _ in range(2):
        ask(llm_server)
    (early,) = llm_server.findings()
    assert early.startswith("request 2 repeats request 1 after 0.")
    assert early.endswith(" s, and was told to wait 30 s")
    llm_server.clear()
    llm_server.refuse(429, retry_after="1ms").times(1)
    llm_server.say("fine")
    ask(llm_server)
    assert llm_server.settle(5) == []
    llm_server.requests[0].last_write_at -= 1  # as if it was long ago
    ask(llm_server)
    assert llm_server.findings() == []
    llm_server.clear()
    llm_server.refuse(400).times(2)
    for _ in range(2):
        ask(llm_server)
    numbers = [each.number for each in llm_server.requests]
    assert llm_server.findings() == [
        f"request {numbers[1]} repeats request {numbers[0]}, which can't succeed: 400"
    ]


def received(number: int, *, at: float, done: float | None, status: int = 200) -> Received:
    one = Received(
        tokenwire.Request("POST", "http://localhost/x", []), number=number, at=at, connection=1
    )
    one.done_at = done
    one.last_write_at = at if done is None else done
    one.status = status
    return one


def test_findings_of_pauses() -> None:
    first, second = received(1, at=0, done=1, status=500), received(2, at=1, done=None)
    assert findings([first, second]) == ["request 2 repeats request 1 without any pause"]
    third = received(3, at=9, done=None)
    assert findings([second, third]) == []  # the answer is not over
    many = [received(number, at=number, done=number + 0.5, status=500) for number in range(11)]
    assert findings(many) == ["request 0 was asked 11 times"]
    whole = [received(1, at=0, done=1), received(2, at=1, done=2)]
    whole[0].settle("sent")
    assert findings(whole) == []
    first.waited, second.waited = 60, 5
    second.whole = True
    assert findings([first]) == ["request 1: left a stalled stream only after 60 s"]
    assert findings([second]) == ["request 2: kept reading for 5 s after the end mark"]


class SlowToNotice:
    """A server that learns late that its bytes have gone out."""

    stopping = False
    now = 0.0

    def seconds(self) -> float:
        return self.now

    def settled(self) -> None:
        """Nobody waits."""


def test_a_pause_is_counted_from_when_the_client_can_know() -> None:
    """The client had the refusal at second 1, waited for a second as it was told, and asked again
    before the server knew that its write was done."""
    keeper = SlowToNotice()
    first = received(1, at=0, done=None, status=429)
    first.answer = scripted = Scripted("refuse", Refusal(429, "slow", "1"), Asked())
    answer = RawAnswer(first.request, Plan(), Raw(429, [], (b"slow",)), scripted)
    answer.track(first, keeper)
    keeper.now = 1.0
    for _ in answer.actions():
        keeper.now += 5
    again = received(2, at=2, done=None)
    assert (first.last_write_at, first.done_at, first.outcome) == (1, 6, "refused with 429")
    assert findings([first, again]) == []
    again.at = 1.5
    assert findings([first, again]) == [
        "request 2 repeats request 1 after 0.5 s, and was told to wait 1 s"
    ]


@lenient
def test_requests_that_are_for_nobody(llm_server: LlmServer) -> None:
    assert ask(llm_server, path="/v1/nothing").status == 404
    assert ask(llm_server, path="/v1/chat/completions", method="GET").status == 405
    assert ask(llm_server, path="/v1/messages", body={"model": 1}).status == 400
    assert ask(llm_server, path="/", method="GET").status == 200  # whether it is up
    assert len(llm_server.complaints()) == 3


def route(method: str, path: str, **headers: str) -> str:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    request = tokenwire.Request(method, f"http://localhost{path}", pairs)
    return Mounts().route(request).provider.name


def test_which_service_a_request_is_for() -> None:
    assert route("POST", "/v1/chat/completions") == "openai"
    assert route("POST", "/openai/deployments/d/chat/completions?api-version=1") == "openai"
    assert route("POST", "/v1/responses") == "openai-responses"
    assert route("POST", "/v1beta/models/m:streamGenerateContent?alt=sse") == "gemini"
    assert route("POST", "/v1/models/m:generateContent") == "gemini"
    assert route("POST", "/api/chat") == "ollama"
    assert route("POST", "/v2/chat") == "cohere"
    assert route("POST", "/model/a.b/converse-stream") == "bedrock"
    assert route("POST", "/model/a.b/invoke") == "bedrock-anthropic"
    assert route("GET", "/v1/models") == "openai"
    assert route("GET", "/v1/models", anthropic_version="2023-06-01") == "anthropic"
    assert route("GET", "/v1/models", x_goog_api_key="k") == "gemini"
    assert route("POST", "/chat/send2/") == "aichats"


def test_the_environment_has_the_keys_of_all_services() -> None:
    found = environment("http://localhost:1", {"no_proxy": "a,127.0.0.1"})
    for provider in PROVIDERS.values():
        for name in provider.env:
            assert found[name] in (KEY, None), name
        for name in provider.base_env:
            address = found[name]
            assert address is None or address.startswith("http://localhost:1"), name
    assert found["no_proxy"] == "a,127.0.0.1,localhost"
    assert path_of("OPENAI_BASE_URL") == "/v1"
    assert path_of("OTHER") == ""

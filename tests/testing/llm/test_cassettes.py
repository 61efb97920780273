"""Cassettes among the answers of a test, and what is sent when they are recorded."""

from pathlib import Path

import pytest

import tokenwire
from tests.testing.llm.plain import ask
from tests.testing.llm.test_answers import by
from tokenwire import PROVIDERS
from tokenwire.protocols.auth import AwsKey
from tokenwire.server import serve
from tokenwire.testing import LlmServer
from tokenwire.testing.cassettes import BadCassette, Cassette, record, save
from tokenwire.testing.llm.cassettes import Recorder
from tokenwire.transports.sync import Client

lenient = pytest.mark.llm_server(strict=False)


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    path = tmp_path / "one.jsonl"
    with serve("openai") as upstream, record(path) as recorder:
        tokenwire.ask("openai", "Why?", model="m", base_url=upstream.url, observers=(recorder(),))
    return path


def test_after_the_answers_before_it(llm_server: LlmServer, cassette: Path) -> None:
    llm_server.say("first")
    played = llm_server.cassette(cassette, repeat=True)
    assert by("openai", "something else").text == "first"
    for _ in range(2):
        assert "was asked: Why?" in by("openai").text
    assert played.asked == 2
    assert llm_server.last.answer is played
    assert llm_server.last.outcome == "sent"


@lenient
def test_what_goes_wrong_in_addition(llm_server: LlmServer, cassette: Path) -> None:
    llm_server.cassette(cassette).ends(after="asked:")
    with pytest.raises(tokenwire.Truncated) as caught:
        by("openai")
    assert caught.value.answer is not None
    assert caught.value.answer.text.endswith("asked: ")  # the recorded event is whole
    llm_server.clear()
    llm_server.cassette(cassette).cut(7).breaks(0, b"data: {\n\n")
    with pytest.raises(tokenwire.Malformed):
        by("openai")
    assert llm_server.complaints() == []
    llm_server.clear()
    llm_server.cassette(cassette).resets(after="nothing").breaks(after="x")
    assert "was asked: Why?" in by("openai").text
    first, second = llm_server.complaints()
    assert first.endswith("its answer has no place after='nothing'")
    assert second.endswith("a recording breaks after events(...) only")


@lenient
def test_what_is_not_in_it(llm_server: LlmServer, cassette: Path) -> None:
    llm_server.cassette(cassette)
    assert ask(llm_server, method="GET", path="/v1/models").status == 500
    (problem, unused) = llm_server.complaints()
    assert "GET /v1/models was not recorded" in problem
    assert "nobody asked for POST http://127.0.0.1" in unused


def test_that_is_none(llm_server: LlmServer, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("no\n")
    with pytest.raises(BadCassette):
        llm_server.cassette(tmp_path / "x.jsonl")


@lenient
def test_that_is_too_old(llm_server: LlmServer, tmp_path: Path) -> None:
    save(Cassette(recorded="1999-12-31"), tmp_path / "x.jsonl")
    llm_server.cassette(tmp_path / "x.jsonl")
    with pytest.warns(UserWarning, match="x.jsonl was recorded on 1999-12-31, more than 8w ago"):
        llm_server.cassette(tmp_path / "x.jsonl", max_age="8w")
    with pytest.raises(BadCassette, match="record it anew"):
        llm_server.cassette(tmp_path / "x.jsonl", max_age="8w", stale="fail")


def test_recording_asks_with_the_real_key_at_the_real_address(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with serve("openai", key="sk-the-real-one") as upstream, serve("gemini", key="real") as google:
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-the-real-one")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", google.origin)
        monkeypatch.setenv("GEMINI_API_KEY", "real")
        server: LlmServer = request.getfixturevalue("llm_server")
        recorder = server.record()
        with Client() as client:
            assert "Why?" in tokenwire.ask("openai", "Why?", model="m", client=client).text
            assert "Why?" in tokenwire.ask("gemini", "Why?", model="m", client=client).text
        assert server.settle(5) == []
        assert upstream.requests[0].target == "/v1/chat/completions"
    assert len(recorder.recordings) == 2
    assert server.texts == ["Why?", "Why?"]
    recorder.save(tmp_path / "made" / "it.jsonl")
    assert "real" not in (tmp_path / "made" / "it.jsonl").read_text().replace("realtime", "")


@lenient
def test_recording_without_a_key(llm_server: LlmServer) -> None:
    llm_server.record(AwsKey("AKIDEXAMPLE", "secret"))
    with pytest.raises(tokenwire.Refused, match="to record openai, set OPENAI_API_KEY"):
        by("openai")
    with pytest.raises(tokenwire.Refused, match="it is not known whose"):
        tokenwire.ask("bedrock", "Why?", model="m", base_url=llm_server.url)


def test_where_a_request_is_recorded(llm_server: LlmServer) -> None:
    def asked(name: str, path: str, aws: AwsKey | None = None, **environment: str) -> str:
        recorder = Recorder(server, {"OPENAI_API_KEY": "sk-the-real-one", **environment}, aws)
        headers = [(b"authorization", b"Bearer tokenwire")] if name == "openai" else []
        request = tokenwire.Request("POST", f"http://127.0.0.1:1{path}", headers)
        return recorder.addressed(request, PROVIDERS[name]).url

    server = llm_server.origin
    chat = "/v1/chat/completions"
    assert asked("openai", chat) == "https://api.openai.com/v1/chat/completions"
    assert asked("openai", chat, OPENAI_BASE_URL="https://gw.example/a/b/") == (
        "https://gw.example/a/b/chat/completions"
    )
    assert asked("ollama", "/api/chat", OLLAMA_HOST="box:7") == "http://box:7/api/chat"
    path = "/model/m/converse"
    key = AwsKey("AKIDEXAMPLE", "secret", region="eu-west-1")
    assert asked("bedrock", path, key) == (
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse"
    )
    assert asked("bedrock", path, AWS_REGION="us-west-2") == (
        "https://bedrock-runtime.us-west-2.amazonaws.com/model/m/converse"
    )

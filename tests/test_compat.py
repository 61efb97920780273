"""The documented call forms: as scripts, and each of their promises."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
import anyio.to_thread
import msgspec
import pytest
import trio

from tests.proxies import TestProxy
from tokenwire import (
    AuthenticationFailed,
    Event,
    LocalProtocolError,
    Malformed,
    TimedOut,
    TransportError,
    Truncated,
    Usage,
)
from tokenwire.compat import AiChatOnline, AiChats, Chunks, DarkAI, ImageResponse, Messages, Ylokh
from tokenwire.protocols.echo import picture
from tokenwire.server.embedded import Server, serve
from tokenwire.server.faults import CloseAfter, DropTerminator, RefuseWith, StallAfter
from tokenwire.transports.client.answer import AsyncAnswer

SCRIPTS = Path(__file__).parent / "scripts"
HELLO: Messages = [{"role": "user", "content": "Hello"}]
FOUNDING: dict[str, Any] = {
    "darkai": DarkAI,
    "ylokh": Ylokh,
    "aichats": AiChats,
    "aichatonline": AiChatOnline,
}

Loop = Callable[[Callable[[], Awaitable[Any]]], Any]


def on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await main()

    return asyncio.run(run(), debug=True)


@pytest.fixture(params=[on_asyncio, trio.run], ids=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> Loop:
    return cast(Loop, request.param)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


At = Callable[[Any, str], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Sets a class's base URL for the test."""
    return lambda provider, url: monkeypatch.setattr(provider, "base_url", url)


async def collect(chunks: Any) -> list[Any]:
    return [chunk async for chunk in chunks]


# The scripts.


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {name.upper(): stack.enter_context(serve(name)).url for name in FOUNDING}


def said(name: str, model: str, prompt: str) -> str:
    return f"{name} {model} was asked: {prompt}"


def data_url(prompt: str) -> str:
    return f"data:image/png;base64,{b64encode(picture(prompt)).decode()}"


JOKE = "System: Be brief.\nUser: Tell me a joke.\nAssistant:"
FINE = "Тоже хорошо."
CAT = "Нарисуй котика"
PRINTED = {
    "darkai": [
        said("darkai", "gpt-4o", "Расскажи анекдот."),
        said("darkai", "llama-3-70b", JOKE),
    ],
    "ylokh": [
        said("ylokh", "gpt-3.5-turbo", FINE),
        said("ylokh", "gpt-3.5-turbo", FINE),
        said("ylokh", "gpt-3.5-turbo", FINE),
        "ylokh |my_custom_model |was |asked: |Тоже |хорошо.|",
    ],
    "aichats": [
        said("aichats", "gpt-4", "Привет, как дела?"),
        said("aichats", "gpt-4", "Привет, как дела?"),
        f"{CAT} {data_url(CAT)}",
        f"![{CAT}]({data_url(CAT)})",
        data_url(CAT),
    ],
    "aichatonline": [
        "Token: unique-1",
        said("aichatonline", "gpt-4o-mini", "Hello, how are you?"),
        "aichatonline ",
    ],
    "on_trio": [
        said("darkai", "llama-3-70b", "Hello"),
        said("ylokh", "gpt-3.5-turbo", "Hello"),
        said("aichats", "gpt-4", "Hello"),
        said("aichatonline", "gpt-4o-mini", "Hello"),
    ],
}


def test_each_script_is_tested() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {*PRINTED}


@pytest.mark.parametrize("name", PRINTED)
def test_script(name: str, addresses: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", SCRIPTS / f"{name}.py"],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **addresses, "PYTHONUTF8": "1"},
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.rstrip("\n") == "\n".join(PRINTED[name])
    assert done.returncode == 0


# What is asked.


def asked(server: Server) -> Any:
    return msgspec.json.decode(server.requests[-1].body)


@pytest.mark.parametrize("model", [None, "", "default"])
@pytest.mark.parametrize("name", FOUNDING)
def test_a_model_may_be_left_out(name: str, model: str | None, at: At, loop: Loop) -> None:
    provider = FOUNDING[name]
    model = provider.default_model if model == "default" else model
    with serve(name) as server:
        at(provider, server.url)
        chunks = loop(lambda: collect(provider.create_async_generator(model, HELLO)))
    assert all(isinstance(chunk, str) for chunk in chunks)
    assert len(chunks) > 3
    assert "".join(chunks) == said(name, provider.default_model, "Hello")


@pytest.mark.parametrize("name", FOUNDING)
def test_the_text_at_once(name: str, at: At, loop: Loop) -> None:
    provider = FOUNDING[name]
    with serve(name) as server:
        at(provider, server.url)
        text = loop(lambda: provider.create_async(provider.default_model, HELLO))
    assert text == said(name, provider.default_model, "Hello")


def test_further_arguments_go_into_the_request(at: At) -> None:
    tools = [{"type": "function", "function": {"name": "f", "strict": True}}]
    with serve("ylokh") as server:
        at(Ylokh, server.url)
        chunks = Ylokh.create_async_generator(
            None,
            HELLO,
            stream=False,
            temperature=0.5,
            stop="END",
            user="u",
            tools=tools,
            headers={"X-Trace": "t"},
        )
        on_asyncio(lambda: collect(chunks))
        assert asked(server) == {
            "messages": HELLO,
            "model": "gpt-3.5-turbo",
            "temperature": 0.5,
            "presence_penalty": 0,
            "top_p": 1,
            "frequency_penalty": 0,
            "allow_fallback": True,
            "stream": False,
            "stop": ["END"],
            "user": "u",
            "tools": tools,
        }
        assert (b"x-trace", b"t") in server.requests[0].headers
    with serve("aichats") as server:
        at(AiChats, server.url)
        headers = {"cookie": "session=1"}
        chunks_ = AiChats.create_async_generator("gpt-4", HELLO, None, headers=headers, lang="en")
        on_asyncio(lambda: collect(chunks_))
        assert asked(server)["lang"] == "en"
        assert (b"cookie", b"session=1") in server.requests[0].headers


@pytest.mark.parametrize("provider", [DarkAI, AiChats, AiChatOnline])
@pytest.mark.parametrize("option", [{"temperature": 1}, {"tools": [{"type": "function"}]}])
def test_an_option_that_a_service_cant_take(provider: Any, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(LocalProtocolError, match=f"can't take {name}"):
        provider.create_async_generator("", HELLO, **option)


def test_no_message() -> None:
    with pytest.raises(LocalProtocolError, match="no message"):
        DarkAI.create_async_generator()


def test_the_timeout_is_for_the_whole_answer(at: At, loop: Loop) -> None:
    with serve("ylokh", fault=StallAfter(700)) as server:
        at(Ylokh, server.url)
        chunks = Ylokh.create_async_generator(None, HELLO, timeout=0.05)
        with pytest.raises(TimedOut, match=r"not complete after 0\.05 s") as caught:
            loop(lambda: collect(chunks))
    assert caught.value.clock == "total"
    with pytest.raises(LocalProtocolError, match="clock total=0"):
        DarkAI.create_async_generator(None, HELLO, timeout=0)
    Ylokh.create_async_generator(None, HELLO, timeout=None)


def test_a_proxy(at: At, loop: Loop) -> None:
    with serve("darkai", public_url="http://darkai.test") as server:
        port = int(server.origin.rpartition(":")[2])
        at(DarkAI, "http://darkai.test")
        with TestProxy({"darkai.test": port}) as proxy:
            chunks = DarkAI.create_async_generator("gpt-4o", HELLO, proxy.url)
            text = "".join(loop(lambda: collect(chunks)))
    assert text == said("darkai", "gpt-4o", "Hello")
    assert proxy.requests == ["POST http://darkai.test/chat"]
    with pytest.raises(LocalProtocolError, match="proxy"):
        DarkAI.create_async_generator("gpt-4o", HELLO, "socks4://127.0.0.1")


# The attributes.


def test_the_attributes_that_the_documents_name() -> None:
    assert DarkAI.url == DarkAI.api_endpoint == "https://darkai.foundation/chat"
    assert DarkAI.supports_stream
    assert DarkAI.default_model == "llama-3-70b"
    assert sorted(DarkAI.models) == ["gpt-3.5-turbo", "gpt-4o", "llama-3-70b"]
    assert DarkAI.model_aliases == {"llama-3.1-70b": "llama-3-70b"}
    assert Ylokh.url == "https://chat.ylokh.xyz"
    assert Ylokh.supports_message_history
    assert Ylokh.supports_gpt_35_turbo
    assert AiChats.url == "https://ai-chats.org"
    assert AiChats.api_endpoint == "https://ai-chats.org/chat/send2/"
    assert AiChats.supports_message_history
    assert AiChats.default_model == "gpt-4"
    assert AiChats.models == ["gpt-4", "dalle"]
    assert AiChatOnline.site_url == "https://aichatonline.org"
    assert AiChatOnline.url == "https://aichatonlineorg.erweima.ai"
    assert AiChatOnline.api_endpoint == "/aichatonline/api/chat/gpt"
    assert AiChatOnline.default_model == "gpt-4o-mini"
    assert AiChatOnline.supports_gpt_35_turbo
    assert not AiChatOnline.supports_message_history
    assert not any(provider.working for provider in FOUNDING.values())


@pytest.mark.parametrize("name", FOUNDING)
def test_without_a_base_url_the_documented_address_is_asked(name: str) -> None:
    chunks = FOUNDING[name].create_async_generator("", HELLO)
    request = chunks._answer._reading._exchange.next_request()
    base = {
        "darkai": "https://darkai.foundation/chat",
        "ylokh": "https://chatapi.ylokh.xyz/v1/chat/completions",
        "aichats": "https://ai-chats.org/chat/send2/",
        "aichatonline": "https://aichatonlineorg.erweima.ai/api/v1/user/getUniqueId",
    }
    assert request.url.partition("?")[0] == base[name]


def test_get_model() -> None:
    assert DarkAI.get_model("llama-3.1-70b") == "llama-3-70b"
    assert DarkAI.get_model("") == DarkAI.get_model() == "llama-3-70b"
    assert Ylokh.get_model("any") == "any"
    with pytest.raises(LocalProtocolError, match=r"no model 'gpt-4'; did you mean gpt-4o"):
        DarkAI.get_model("gpt-4")


def test_a_class_of_ones_own() -> None:
    class Older(DarkAI):
        default_model: ClassVar[str] = "llama-3-405b"
        models: ClassVar[list[str]] = [*DarkAI.models, default_model]
        model_aliases: ClassVar[dict[str, str]] = {"llama-3.1-405b": "llama-3-405b"}

    assert Older.get_model("llama-3.1-405b") == Older.get_model() == "llama-3-405b"
    assert DarkAI.get_model() == "llama-3-70b"


@pytest.mark.parametrize(
    ("name", "attribute", "path"),
    [
        ("darkai", "api_endpoint", "/chat"),
        ("ylokh", "api_endpoint", "/chat/completions"),
        ("aichats", "api_endpoint", "/chat/send2/"),
        ("aichatonline", "api_endpoint", "/aichatonline/api/chat/gpt"),
        ("aichatonline", "url", ""),
        ("aichatonline", "url", "/"),
    ],
)
def test_the_documented_attributes_move_a_service(
    name: str, attribute: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = FOUNDING[name]
    with serve(name) as server:
        monkeypatch.setattr(provider, attribute, server.url + path)
        text = on_asyncio(lambda: provider.create_async("", HELLO))
    assert text == said(name, provider.default_model, "Hello")


def test_an_endpoint_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AiChats, "api_endpoint", "https://ai-chats.org/chat/send3/")
    with pytest.raises(LocalProtocolError, match=r"send3/' does not end in .*AiChats\.base_url"):
        AiChats.create_async_generator("", HELLO)


# Pictures.


def test_a_picture_is_a_chunk(at: At, loop: Loop) -> None:
    with serve("aichats") as server:
        at(AiChats, server.url)
        (chunk,) = loop(lambda: collect(AiChats.create_async_generator("dalle", HELLO)))
        url = loop(lambda: AiChats.create_async("dalle", HELLO))
    assert chunk == ImageResponse([data_url("Hello")], "Hello")
    assert str(chunk) == f"![Hello]({data_url('Hello')})"
    assert url == data_url("Hello")


def test_a_picture_as_markdown() -> None:
    image = ImageResponse(["a", "b"], "a [cat]\non a\\ mat ")
    assert f"{image}" == "![a \\[cat\\] on a\\\\ mat](a)\n![a \\[cat\\] on a\\\\ mat](b)"


# The unique id.


def test_grab_token(at: At, loop: Loop) -> None:
    with serve("aichatonline") as server:
        at(AiChatOnline, server.url)
        assert loop(lambda: AiChatOnline.grab_token(object(), None)) == "unique-1"
        assert loop(AiChatOnline.grab_token) == "unique-2"
    assert [request.method for request in server.requests] == ["GET", "GET"]


def test_grab_token_by_a_proxy(at: At, loop: Loop) -> None:
    with serve("aichatonline", public_url="http://aichatonline.test") as server:
        port = int(server.origin.rpartition(":")[2])
        at(AiChatOnline, "http://aichatonline.test")
        with TestProxy({"aichatonline.test": port}) as proxy:
            assert loop(lambda: AiChatOnline.grab_token(None, proxy.url)) == "unique-1"


def test_no_token(at: At, loop: Loop) -> None:
    with serve("aichatonline", fault=RefuseWith(403)) as server:
        at(AiChatOnline, server.url)
        with pytest.raises(AuthenticationFailed):
            loop(AiChatOnline.grab_token)
    with Raw(b'{"data": null}', more=False) as raw:
        at(AiChatOnline, raw.url)
        with pytest.raises(Malformed, match="no unique id"):
            loop(AiChatOnline.grab_token)


# The chunks.


def test_awaiting_gives_the_same_object_and_sends_nothing(at: At, loop: Loop) -> None:
    async def main() -> list[str]:
        chunks = AiChatOnline.create_async_generator("gpt-4o-mini", HELLO)
        assert await chunks is chunks
        assert server.requests == []
        return await collect(await chunks)

    with serve("aichatonline") as server:
        at(AiChatOnline, server.url)
        assert "".join(loop(main)) == said("aichatonline", "gpt-4o-mini", "Hello")


def test_awaiting_what_is_not_streamed_gives_the_whole(at: At, loop: Loop) -> None:
    async def main() -> None:
        chunks = await Ylokh.create_async_generator(None, HELLO, stream=False)
        assert f"{chunks}" == "".join(await collect(chunks)) == text
        assert await collect(await chunks) == []
        assert len(server.requests) == 1

    text = said("ylokh", "gpt-3.5-turbo", "Hello")
    with serve("ylokh") as server:
        at(Ylokh, server.url)
        loop(main)


def test_they_can_be_made_before_the_loop_runs(at: At, loop: Loop) -> None:
    with serve("darkai") as server:
        at(DarkAI, server.url)
        chunks = DarkAI.create_async_generator("gpt-4o", HELLO)
        assert "".join(loop(lambda: collect(chunks))) == said("darkai", "gpt-4o", "Hello")


def test_what_is_no_text_is_in_the_reply(at: At) -> None:
    with serve("ylokh") as server:
        at(Ylokh, server.url)
        chunks = Ylokh.create_async_generator("m", HELLO, n=2)
        text = "".join(on_asyncio(lambda: collect(chunks)))
    assert text == str(chunks) == chunks.reply.text == said("ylokh", "m", "Hello")
    assert chunks.reply.choices[1].text == text
    assert isinstance(chunks.reply.usage, Usage)
    assert chunks.reply.finish_reason == "stop"
    assert chunks.reply.evidence == "terminator"


def test_a_fault_comes_after_what_came_before_it(at: At, loop: Loop) -> None:
    async def read() -> None:
        async for chunk in chunks:
            got.append(chunk)

    async def main() -> None:
        with pytest.raises(Truncated) as caught:
            await read()
        assert caught.value.answer is chunks.reply
        with pytest.raises(Truncated):
            await anext(chunks)

    got: list[str] = []
    with serve("darkai", fault=(DropTerminator(), CloseAfter(200))) as server:
        at(DarkAI, server.url)
        chunks = DarkAI.create_async_generator("gpt-4o", HELLO)
        loop(main)
        with pytest.raises(Truncated) as caught:
            loop(lambda: DarkAI.create_async("gpt-4o", HELLO))
    assert said("darkai", "gpt-4o", "Hello").startswith("".join(got))
    assert got
    assert caught.value.answer is not None
    assert caught.value.answer.text == "".join(got)


# Leaving early.


class Raw:
    """A server that answers one request with `body`, and then waits for the client to leave."""

    def __init__(self, body: bytes, *, more: bool = True) -> None:
        length = len(body) + more
        self._response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (length, body)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.left = threading.Event()
        """The client has closed its connection."""
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as stream:
            stream.settimeout(10)
            head, _, body = stream.recv(65536).partition(b"\r\n\r\n")
            while b"content-length" in head.lower() and not body:
                body = stream.recv(65536)
            stream.sendall(self._response)
            try:
                if stream.recv(1) == b"":
                    self.left.set()
            except ConnectionResetError:
                self.left.set()

    def __enter__(self) -> "Raw":
        self._thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._thread.join()

    async def wait(self) -> bool:
        """Whether the client leaves, while its event loop runs on."""
        return await anyio.to_thread.run_sync(self.left.wait, 5)


@pytest.fixture
def raw(at: At) -> Iterator[Raw]:
    with Raw(b"data: a\ndata: b\n") as raw:
        at(AiChats, raw.url)
        yield raw


def test_leaving_the_loop_closes_the_connection(raw: Raw, loop: Loop) -> None:
    async def main() -> None:
        async for chunk in AiChats.create_async_generator("gpt-4", HELLO):
            assert chunk == "a"
            break
        assert await raw.wait()

    loop(main)


def test_dropping_it_closes_the_connection(raw: Raw, loop: Loop) -> None:
    async def main() -> None:
        chunks = await AiChats.create_async_generator("gpt-4", HELLO)
        assert await anext(chunks) == "a"
        del chunks
        assert await raw.wait()

    loop(main)


def test_aclose_closes_the_connection(raw: Raw, loop: Loop) -> None:
    async def main() -> None:
        chunks = AiChats.create_async_generator("gpt-4", HELLO)
        async with aclosing(chunks):
            assert await anext(chunks) == "a"
        assert await raw.wait()
        with pytest.raises(TransportError, match="closed"):
            await collect(chunks)
        await chunks.aclose()

    loop(main)


def test_a_cancellation_passes_through_and_closes_the_connection(raw: Raw, loop: Loop) -> None:
    async def main() -> None:
        chunks = AiChats.create_async_generator("gpt-4", HELLO)
        assert [await anext(chunks), await anext(chunks)] == ["a", "b"]
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(chunks)
        assert scope.cancelled_caught
        assert await raw.wait()

    loop(main)


def test_what_was_never_read_can_be_dropped(loop: Loop) -> None:
    async def main() -> None:
        DarkAI.create_async_generator("", HELLO)
        await DarkAI.create_async_generator("", HELLO).aclose()

    loop(main)
    DarkAI.create_async_generator("", HELLO)


def test_dropping_it_after_its_loop_is_silent() -> None:
    class Answer:
        def abort(self) -> None:
            raise RuntimeError("Event loop is closed")

    def nothing(event: Event) -> str | None:
        return None

    Chunks(cast(AsyncAnswer, Answer()), nothing)

"""`make demo`: asks the founding services, and OpenAI, all imitated by the embedded server, over
real sockets.

Nothing leaves this machine, and no key is needed.
"""

import asyncio
import json
import ssl
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import trio
import trustme

import tokenwire
from tokenwire import Text, Truncated
from tokenwire.gateway.run import Gateway, Listener
from tokenwire.gateway.sources import embedded_source
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Cutting
from tokenwire.transports import anyio as anyio_transport
from tokenwire.transports import asyncio as asyncio_transport
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports import trio as trio_transport
from tokenwire.transports.client.clients import AsyncClient
from tokenwire.transports.sync import Client

FOUNDING = ("darkai", "ylokh", "aichats", "aichatonline")


def title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}\n{'-' * len(text)}")


def stream(provider: str, question: str, client: Client, url: str) -> None:
    """Print an answer as it arrives, and the evidence that it is complete."""
    print(f"{provider:>13}: ", end="")
    with tokenwire.stream(provider, question, client=client, base_url=url) as answer:
        for event in answer:
            if isinstance(event, Text):
                print(event.text, end="", flush=True)
            elif isinstance(event, tokenwire.End):
                print(f"  [complete: {event.evidence}]")


def ask_by_each_transport() -> None:
    """Ask each founding provider over each transport; print one line per provider."""

    async def by_async(client: AsyncClient, provider: str, url: str) -> tokenwire.Reply:
        exchange = tokenwire.make_exchange(provider, "Are you there?", base_url=url)
        async with client:
            return await client.read(exchange)

    def by_httpx(provider: str, url: str) -> tokenwire.Reply:
        exchange = tokenwire.make_exchange(provider, "Are you there?", base_url=url)
        with httpx.Client() as http, httpx_transport.Client(http) as client:
            return client.read(exchange)

    ways: dict[str, Callable[[str, str], tokenwire.Reply]] = {
        "sync": lambda p, url: tokenwire.ask(p, "Are you there?", base_url=url),
        "asyncio": lambda p, url: asyncio.run(by_async(asyncio_transport.Client(), p, url)),
        "trio": lambda p, url: trio.run(by_async, trio_transport.Client(), p, url),
        "anyio": lambda p, url: anyio.run(by_async, anyio_transport.Client(), p, url),
        "httpx": by_httpx,
    }
    for provider in FOUNDING:
        print(f"{provider:>13}:", end="")
        with serve(provider) as server:
            for name, way in ways.items():
                reply = way(provider, server.url)
                complete = reply.evidence is not None and "Are you there?" in reply.text
                print(f"  {name} {'complete' if complete else 'NOT COMPLETE'}", end="")
        print()


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"question": {"type": "string"}}},
    },
}


def weather(question: str) -> str:
    return "22 degrees, sunny" if "Rome" in question else "no such city"


def call_a_tool() -> None:
    """Ask until no tool is called any more. The server calls one that the question mentions."""

    def run(arguments: str) -> str:
        result = weather(**json.loads(arguments))
        print(f"  openai calls weather({arguments})\n  result: {result}")
        return result

    with serve("openai") as server, Client() as client:
        chat = tokenwire.as_chat("How is the weather in Rome?", model="gpt-4o", tools=[WEATHER])
        print(f"  you: {chat.messages[-1].text}")
        reply = tokenwire.ask("openai", chat, client=client, base_url=server.url)
        while calls := [call for call in reply.tool_calls if call.complete]:
            chat = chat.then(reply, *(call.result(run(call.arguments)) for call in calls))
            reply = tokenwire.ask("openai", chat, client=client, base_url=server.url)
        print(f"  openai: {reply.text}")


FRONTS = {
    "openai": "/v1",
    "openai-responses": "/v1",
    "anthropic": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}
"""The formats of a gateway in front, by a provider of each, and where it has them."""


async def ask_the_gateway() -> None:
    """Ask one question in each format; a model of another one answers."""
    with embedded_source() as source, closing(Listener("127.0.0.1:0")) as listener:
        gateway = Gateway(source, source.load(), listener, write=lambda line: None)
        backs = [*[*FRONTS][1:], "openai"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gateway.run)
            for (front, path), back in zip(FRONTS.items(), backs, strict=True):
                chat = tokenwire.as_chat("Are you there?", model=f"{back}/echo", max_tokens=100)
                url = listener.url + path
                reply = await tokenwire.ask_async(front, chat, key="any", base_url=url)
                print(f"  {front:>16} in front, {back:>16} behind: {reply.text!r}")
            gateway.drain(at_once=True)


def main() -> None:
    title("One question to each founding provider, over plain HTTP")
    with Client() as client:
        for provider in FOUNDING:
            with serve(provider, cutting=Cutting.per_event(pause=0.02)) as server:
                stream(provider, "Why is the sky blue?", client, server.url)

    title("The same over TLS, with a certificate authority made for this demo")
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as pem:
        server_context.load_cert_chain(pem)
    client_context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with Client(ssl_context=client_context) as client:
        for provider in FOUNDING:
            with serve(provider, ssl_context=server_context) as server:
                stream(provider, "And why is it dark at night?", client, server.url)
    with serve("darkai", ssl_context=server_context) as server:
        try:
            tokenwire.ask("darkai", "Do you trust this server?", base_url=server.url)
        except tokenwire.ConnectFailed as error:
            print(f"  without that authority: {error}")

    title("Each provider over each transport")
    ask_by_each_transport()

    title("An image from AiChats")
    with serve("aichats") as server:
        reply = tokenwire.ask("aichats", "A house by the sea", model="dalle", base_url=server.url)
    image = reply.images[0]
    folder = Path(tempfile.mkdtemp(prefix="tokenwire-demo-"))
    path = folder / f"picture.{image.media_type.rpartition('/')[2]}"
    path.write_bytes(image.data)
    print(f"{len(image.data)} bytes of {image.media_type} from {image.url}\nsaved as {path}")

    title("A conversation with history")
    with serve("ylokh") as server, Client() as client:
        chat = tokenwire.as_chat("My name is Ada.")
        for question in ("What is my name?", "And how many letters does it have?"):
            reply = tokenwire.ask("ylokh", chat, client=client, base_url=server.url)
            print(f"  you: {chat.messages[-1].text}\n  ylokh: {reply.text}")
            chat = chat.then(reply, question)
        reply = tokenwire.ask("ylokh", chat, client=client, base_url=server.url)
        print(f"  you: {chat.messages[-1].text}\n  ylokh: {reply.text}")
        sent = server.requests[-1].body.count(b'"role"')
        print(f"  ({sent} messages in the last request, over {server.connections} connection)")

    title("A tool call, its result, and the answer")
    call_a_tool()

    title("A stream that breaks off mid-answer")
    with serve("darkai", fault=CloseAfter(300)) as server:
        try:
            tokenwire.ask("darkai", "Tell me a long story.", base_url=server.url)
        except Truncated as error:
            print(f"  {type(error).__name__}: {error}")
            print(f"  received before that: {error.answer and error.answer.text!r}")

    title("A gateway: each format in front, another one behind")
    asyncio.run(ask_the_gateway())


if __name__ == "__main__":
    main()

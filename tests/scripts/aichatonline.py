"""In the style of AiChatOnline's document: the token, and the generator that is awaited."""

import asyncio
import os

from tokenwire.compat import AiChatOnline

AiChatOnline.base_url = os.environ["AICHATONLINE"]


class ClientSession:
    """Stands where the document has aiohttp's."""

    async def __aenter__(self) -> "ClientSession":
        return self

    async def __aexit__(self, *about: object) -> None:
        pass


async def token() -> None:
    async with ClientSession() as session:
        token = await AiChatOnline.grab_token(session, None)
        print(f"Token: {token}")


async def main() -> None:
    messages = [{"role": "user", "content": "Hello, how are you?"}]
    async for chunk in await AiChatOnline.create_async_generator(
        "gpt-4o-mini", messages, proxy=None
    ):
        print(chunk, end="")
    print()
    async for message in AiChatOnline.create_async_generator("gpt-4o-mini", messages):
        print(message)
        break  # the connection is closed here, and nothing complains


if __name__ == "__main__":
    asyncio.run(token())
    asyncio.run(main())

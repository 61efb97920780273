"""In the style of AiChats' document: text and a picture, as they come and at once."""

import asyncio
import os

from tokenwire.compat import AiChats, ImageResponse, Messages

AiChats.base_url = os.environ["AICHATS"]


async def main() -> None:
    messages: Messages = [{"role": "user", "content": "Привет, как дела?"}]
    async for response in AiChats.create_async_generator(model="gpt-4", messages=messages):
        print(response, end="")
    print()
    print(await AiChats.create_async(model="gpt-4", messages=messages))

    messages = [{"role": "user", "content": "Нарисуй котика"}]
    async for response in AiChats.create_async_generator(
        model="dalle", messages=messages, proxy=None
    ):
        if isinstance(response, ImageResponse):
            print(response.alt, response.images[0])
        print(response)
    ai_chats = AiChats()
    print(await ai_chats.create_async("dalle", messages, None))


if __name__ == "__main__":
    asyncio.run(main())

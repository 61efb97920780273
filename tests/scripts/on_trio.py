"""The documented forms, on trio."""

import os

import trio

from tokenwire.compat import AiChatOnline, AiChats, DarkAI, Ylokh

DarkAI.base_url = os.environ["DARKAI"]
Ylokh.base_url = os.environ["YLOKH"]
AiChats.base_url = os.environ["AICHATS"]
AiChatOnline.base_url = os.environ["AICHATONLINE"]


async def main() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    for provider in (DarkAI, Ylokh, AiChats, AiChatOnline):
        async for chunk in await provider.create_async_generator(model=None, messages=messages):
            print(chunk, end="")
        print()


if __name__ == "__main__":
    trio.run(main)

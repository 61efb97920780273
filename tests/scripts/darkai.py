"""In the style of DarkAI's document: the loop, and the default model."""

import asyncio
import os

from tokenwire.compat import DarkAI

DarkAI.base_url = os.environ["DARKAI"]


async def example() -> None:
    messages = [{"role": "user", "content": "Расскажи анекдот."}]
    async for chunk in DarkAI.create_async_generator(model="gpt-4o", messages=messages):
        print(chunk, end="", flush=True)
    print()


async def main() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Tell me a joke."},
    ]
    async for chunk in DarkAI.create_async_generator(
        model="llama-3.1-70b", messages=messages, proxy=None
    ):
        print(chunk, end="")
    print()


if __name__ == "__main__":
    asyncio.run(example())
    asyncio.run(main())

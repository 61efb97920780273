"""In the style of Ylokh's document: streamed, whole, and by an instance."""

import asyncio
import os

from tokenwire.compat import Messages, Ylokh

Ylokh.base_url = os.environ["YLOKH"]

messages: Messages = [
    {"role": "user", "content": "Привет, как дела?"},
    {"role": "assistant", "content": "Хорошо, спасибо."},
    {"role": "user", "content": "Тоже хорошо."},
]


async def main() -> None:
    async for token in Ylokh.create_async_generator(model="gpt-3.5-turbo", messages=messages):
        print(token, end="")
    print()

    result = [
        token
        async for token in Ylokh.create_async_generator(
            model="gpt-3.5-turbo", messages=messages, stream=False
        )
    ]
    print("".join(result))

    text = await Ylokh.create_async_generator(messages=messages, stream=False)
    print(text)

    provider = Ylokh()
    async for response in provider.create_async_generator(
        messages=messages, model="my_custom_model", timeout=60, temperature=0.5
    ):
        print(response, end="|")


if __name__ == "__main__":
    asyncio.run(main())

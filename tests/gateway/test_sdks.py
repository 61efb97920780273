"""The SDKs of other vendors than OpenAI and Anthropic in front of services of all formats, streamed
and whole, with a key of the gateway's; boto3 signs by one."""

import asyncio
from contextlib import AsyncExitStack
from hashlib import sha256
from importlib import import_module
from typing import Any

from tokenwire.server import serve

from .driving import FRONTS, for_backs
from .running import ANYWHERE, running

boto3: Any = import_module("boto3")
botocore_config: Any = import_module("botocore.config")
cohere: Any = import_module("cohere")
genai: Any = import_module("google.genai")
ollama: Any = import_module("ollama")

KEY = "tw-key"
KEYS = f"""
[[keys]]
name = "aws"
aws = {{ id = "tw-1", secret = "very secret" }}
[[keys]]
name = "k"
sha256 = "{sha256(KEY.encode()).hexdigest()}"
"""
MESSAGES = [{"role": "user", "content": "Hi"}]


def answers(url: str, back: str) -> list[str]:
    """What each SDK hears of the model `back`."""
    return [*_bedrock(url, back), *_cohere(url, back), *_genai(url, back), *_ollama(url, back)]


def _bedrock(url: str, back: str) -> list[str]:
    client = boto3.client(
        "bedrock-runtime",
        "us-east-1",
        endpoint_url=url,
        aws_access_key_id="tw-1",
        aws_secret_access_key="very secret",
        config=botocore_config.Config(retries={"max_attempts": 0}),
    )
    asked = {"modelId": back, "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    whole = client.converse(**asked)["output"]["message"]["content"][0]["text"]
    stream = [*client.converse_stream(**asked)["stream"]]
    deltas = [event["contentBlockDelta"] for event in stream if "contentBlockDelta" in event]
    assert stream[-1].get("metadata") or stream[-1].get("messageStop")
    client.close()
    return [whole, "".join(delta["delta"]["text"] for delta in deltas)]


def _cohere(url: str, back: str) -> list[str]:
    client = cohere.ClientV2(api_key=KEY, base_url=url)
    whole = client.chat(model=back, messages=MESSAGES).message.content[0].text
    events = [*client.chat_stream(model=back, messages=MESSAGES)]
    assert events[-1].type == "message-end"
    deltas = [event for event in events if event.type == "content-delta"]
    return [whole, "".join(event.delta.message.content.text for event in deltas)]


def _genai(url: str, back: str) -> list[str]:
    client = genai.Client(api_key=KEY, http_options={"base_url": url})
    asked = {"model": back, "contents": "Hi"}
    whole = client.models.generate_content(**asked).text
    stream = "".join(part.text or "" for part in client.models.generate_content_stream(**asked))
    client.close()
    return [whole, stream]


def _ollama(url: str, back: str) -> list[str]:
    client = ollama.Client(host=f"{url}/t/{back}", headers={"authorization": f"Bearer {KEY}"})
    asked = {"model": "whatever", "messages": MESSAGES}
    whole = client.chat(**asked).message.content
    stream = "".join(part.message.content for part in client.chat(**asked, stream=True))
    client._client.close()
    return [whole, stream]


def test_sdks() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            urls = {name: (await stack.enter_async_context(serve(name))).url for name in FRONTS}
            services = for_backs(**{name.replace("-", "_"): url for name, url in urls.items()})
            text = f"insecure_literal_keys = true\n{ANYWHERE}{services}{KEYS}"
            gateway = await stack.enter_async_context(running(text))
            for back in FRONTS:
                heard = await asyncio.to_thread(answers, gateway.url, back)
                assert heard == [f"{back} m was asked: Hi"] * 8
            assert {line["outcome"] for line in gateway.log} == {"complete"}
            assert {line["key"] for line in gateway.log} == {"aws", "k"}

    asyncio.run(main())

"""The same question by many clients: `CLIENTS` maps a name to a function that asks it."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from typing import Any, TypeAlias

import anthropic
import cohere
import mistralai.client
import ollama
import openai
from google import genai

import tokenwire

Ask: TypeAlias = Callable[[str], str]


class Incomplete(Exception):
    """The answer is not whole: what an application must raise, as most SDKs do not."""


def by_openai(question: str) -> str:
    """Chat completions."""
    with openai.OpenAI(timeout=5) as client:
        stream = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": question}], stream=True
        )
        text, finish = "", None
        for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
    return whole(text, finish is not None)


def by_responses(question: str) -> str:
    """OpenAI's responses."""
    with openai.OpenAI(timeout=5) as client:
        text, done = "", False
        for event in client.responses.create(model="gpt-4o", input=question, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            done = done or event.type == "response.completed"
    return whole(text, done)


def by_azure(question: str) -> str:
    """The same form at Azure."""
    with openai.AzureOpenAI(timeout=5) as client:
        completion = client.chat.completions.create(
            model="my-deployment", messages=[{"role": "user", "content": question}]
        )
    return completion.choices[0].message.content or ""


def by_anthropic(question: str) -> str:
    """Messages."""
    with anthropic.Anthropic(timeout=5) as client:
        stream = client.messages.create(
            model="claude-x",
            max_tokens=100,
            messages=[{"role": "user", "content": question}],
            stream=True,
        )
        text, done = "", False
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                text += event.delta.text
            done = done or event.type == "message_stop"
    return whole(text, done)


def by_genai(question: str) -> str:
    """Gemini."""
    with genai.Client() as client:
        text, finish = "", None
        for chunk in client.models.generate_content_stream(model="gemini-x", contents=question):
            text += chunk.text or ""
            for candidate in chunk.candidates or ():
                finish = candidate.finish_reason or finish
    return whole(text, finish is not None)


def by_ollama(question: str) -> str:
    """Ollama."""
    client: Any = ollama.Client()
    with closing(client._client):
        text, done = "", False
        messages = [{"role": "user", "content": question}]
        for chunk in client.chat(model="llama", messages=messages, stream=True):
            text += chunk.message.content
            done = done or chunk.done
    return whole(text, done)


def by_boto3(question: str) -> str:
    """Bedrock."""
    boto3: Any = import_module("boto3")
    with closing(boto3.client("bedrock-runtime")) as client:
        response = client.converse_stream(
            modelId="us.model-x", messages=[{"role": "user", "content": [{"text": question}]}]
        )
        text, done = "", False
        for event in response["stream"]:
            text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
            done = done or "messageStop" in event
    return whole(text, done)


def by_cohere(question: str) -> str:
    """Cohere."""
    # It reads its variable when it is imported: a new one must be given.
    client: Any = cohere.ClientV2(base_url=os.environ["CO_API_URL"])
    text, done = "", False
    messages = [{"role": "user", "content": question}]
    with closing(client._client_wrapper.httpx_client.httpx_client):
        for event in client.chat_stream(model="command", messages=messages):
            if event.type == "content-delta":
                text += event.delta.message.content.text
            done = done or event.type == "message-end"
    return whole(text, done)


def by_tokenwire(question: str) -> str:
    """By our own client."""
    return tokenwire.ask("openai", question, model="gpt-4o").text


CLIENTS: dict[str, Ask] = {
    "openai": by_openai,
    "responses": by_responses,
    "azure": by_azure,
    "anthropic": by_anthropic,
    "genai": by_genai,
    "ollama": by_ollama,
    "boto3": by_boto3,
    "cohere": by_cohere,
    "tokenwire": by_tokenwire,
}


def whole(text: str, done: bool) -> str:
    """`text`, if the answer is."""
    if not done:
        raise Incomplete(text)
    return text


def asked_mistral(question: str, url: str) -> Iterator[str]:
    """Mistral's SDK takes its address in code only."""
    with mistralai.client.Mistral(server_url=url, api_key="any") as client:
        stream: Any = client.chat.stream(
            model="mistral", messages=[{"role": "user", "content": question}]
        )
        for event in stream:
            yield event.data.choices[0].delta.content or ""

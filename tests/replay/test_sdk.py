"""OpenAI's SDK records through the proxy, and gets the same from the cassette: with the network and
the key gone."""

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.replay.taping import SAID
from tokenwire import Start
from tokenwire.replay.cassette import Recording, encode, load
from tokenwire.replay.client import replay
from tokenwire.replay.files import Shelf
from tokenwire.replay.proxy import Proxy
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Cutting, EndAfter, Faults, RefuseWith

ANSWER = [Start("id", "m"), *SAID]


def asked(url: str, key: str, question: str = "Why?") -> tuple[str, str]:
    """The text that the SDK gives, and the error, if any."""
    text = ""
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
        try:
            stream: Any = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": question}], stream=True
            )
            for chunk in stream:
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        except Exception as error:  # noqa: BLE001  some are of its HTTP client
            return text, type(error).__name__
    return text, ""


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (None, ""),
        (EndAfter(700), ""),  # no SDK tells that the answer is truncated
        (CloseAfter(300), "APIConnectionError"),
        (RefuseWith(429, retry_after="1"), "RateLimitError"),
    ],
)
def test_recorded_and_replayed(fault: Faults, error: str, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    shelf = Shelf(file)

    def keep(recording: Recording) -> None:
        shelf.keep(recording)

    cutting = Cutting.of_sizes(61, 190, 7)
    with (
        serve("openai", lambda chat: ANSWER, fault=fault, cutting=cutting) as server,
        Proxy(keep, upstream=server.url) as proxy,
    ):
        live = asked(server.url, "tw-secret-key-1")
        assert asked(proxy.url, "tw-secret-key-1") == live
    with replay(file).serve() as again:
        assert asked(again.url, "none") == live
        assert asked(again.url, "none", "Something else")[1] == "InternalServerError"
    assert live[1] == error
    assert "secret" not in file.read_text()
    assert encode(load(file)) == file.read_bytes()

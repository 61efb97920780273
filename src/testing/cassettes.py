"""Cassettes: recordings of what came over the wire, with every cut, pause and fault.

    with record("answer.jsonl") as recorder:                      # once, with the service
        ask("openai", "Why is the sky blue?", observers=[recorder])

    ask("openai", "Why is the sky blue?", client=replay("answer.jsonl").client())

    with replay("answer.jsonl").serve() as server:                # for any SDK
        openai.OpenAI(base_url=server.url, api_key="any")

`Proxy` records any client, as the command `tokenwire record` does. Secrets are left out before a
byte is written. A question that was not recorded raises `NoMatch`, which says what differs.
"""

from ..replay.cassette import BadCassette, Cassette, Recording, load, save
from ..replay.client import Replay, replay
from ..replay.files import Shelf
from ..replay.player import NoMatch, Player
from ..replay.proxy import Passing, Proxy
from ..replay.recorder import Recorder, record
from ..replay.redaction import SecretFound
from ..replay.server import Played, ReplayServer
from ..replay.timeline import timeline
from ..replay.verify import verify

__all__ = [
    "BadCassette",
    "Cassette",
    "NoMatch",
    "Passing",
    "Played",
    "Player",
    "Proxy",
    "Recorder",
    "Recording",
    "Replay",
    "ReplayServer",
    "SecretFound",
    "Shelf",
    "load",
    "record",
    "replay",
    "save",
    "timeline",
    "verify",
]

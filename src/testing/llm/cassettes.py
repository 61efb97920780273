"""Cassettes in tests: played back, or recorded while the service itself answers."""

import os
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from ...protocols import VERSION
from ...protocols.auth import AwsKey
from ...protocols.environment import base_url_of, first_set, key_of, params_of
from ...protocols.errors import LocalProtocolError, Refused
from ...protocols.provider import Provider
from ...protocols.refusing import refuse
from ...protocols.registry import PROVIDERS
from ...protocols.toolkit.http import Request, check_url
from ...replay.age import Stale
from ...replay.cassette import Cassette, Recording, save
from ...replay.player import Player
from ...replay.proxy import Passed, Passing
from ...replay.recorder import stamp
from ...replay.redaction import check
from ...replay.server import Played as PlayedScript
from ...server.faults import BreakEvent
from ...server.scripts import Action, Plan
from .answering import ScriptedAnswer, Tracked, find, missing, stopped
from .answers import Played, Scripted
from .environment import KEY, path_of
from .mounting import Reading, Readings
from .places import Events
from .received import Received

if TYPE_CHECKING:
    from .origin import Origin

__all__ = ["Mode", "Recorder", "opened", "played"]

Mode: TypeAlias = Literal["none", "once", "rewrite", "live"]
"""When the service itself is asked: never; if there is no file; always, and a new file is written;
always, and none is."""


def opened(
    path: str | os.PathLike[str],
    *,
    speed: float,
    longest_gap: float | None,
    ignore: tuple[str, ...],
    repeat: bool,
    max_age: str | None,
    stale: Stale,
) -> Played:
    """What plays the file at `path`. Raises BadCassette."""
    player = Player.of(path, ignore=ignore, repeat=repeat, max_age=max_age, stale=stale)
    return Played(player, speed, longest_gap)


class _PlayedAnswer(Tracked, PlayedScript):
    """A recorded response."""

    def _actions(self) -> Generator[Action]:
        return PlayedScript.actions(self)


class _PassedAnswer(Tracked, Passed):
    """A response that comes from the service, and is recorded."""

    def _actions(self) -> Generator[Action]:
        return Passed.actions(self)


def played(origin: "Origin", received: Received, readings: Readings, scripted: Scripted) -> Tracked:
    """The response of a cassette to a request."""
    content = scripted.content
    assert isinstance(content, Played)
    request = received.request
    try:
        recording = content.player.take(request)
    except LocalProtocolError as error:
        received.problems.append(error.message)
        reading = readings.of(None)
        return _refusal(received, reading, refuse(Refused, 500, error.message), origin)
    scripted.asked += 1
    return _PlayedAnswer(
        request,
        _plan(received, scripted, recording),
        recording,
        speed=content.speed,
        longest_gap=content.longest_gap,
        cutting=scripted.recut,
    )


def _plan(received: Received, scripted: Scripted, recording: Recording) -> Plan:
    """What goes wrong with a recorded response, in addition to what was recorded."""
    plan, stop, breach = scripted.plan(), scripted.stop, scripted.breach
    if stop is not None:
        at = find(stop.place, [piece.data for piece in recording.pieces])
        if at is None:
            received.problems.append(missing(stop.place))
        else:
            plan = stopped(plan, stop, _event_end(recording.body, at))
    if breach is not None:
        if isinstance(breach.place, Events):
            plan = replace(plan, broken=BreakEvent(breach.place.count, breach.data))
        else:
            received.problems.append("a recording breaks after events(...) only")
    return plan


def _refusal(received: Received, reading: Reading, error: Refused, origin: "Origin") -> Tracked:
    error.should_retry = False
    return ScriptedAnswer(
        received.request, Plan(), reading.refused(error), origin.answer, report=origin.report
    )


def _event_end(body: bytes, at: int) -> int:
    """The end of the event of the wire in which `at` is; `at` itself, if it ends by no line."""
    ends = (body.find(mark, at) + len(mark) for mark in (b"\n\n", b"\n") if mark in body[at:])
    return next(ends, at)


class Recorder(Passing):
    """Asks the services themselves, with the keys and at the addresses that `environment` has, and
    keeps what they answer. `aws`: the key for Bedrock."""

    def __init__(
        self, origin: "Origin", environment: Mapping[str, str], aws: AwsKey | None
    ) -> None:
        self.recordings: list[Recording] = []
        super().__init__(self.recordings.append, key=lambda: aws)
        self._origin = origin
        self._environment = environment
        self._aws = aws

    def answer_to(self, received: Received, readings: Readings) -> Tracked:
        """The response to a request."""
        reading = readings.of(None)
        try:
            passed = self.addressed(received.request, reading.provider)
        except LocalProtocolError as error:
            received.problems.append(error.message)
            return _refusal(received, reading, refuse(Refused, 500, error.message), self._origin)
        return _PassedAnswer(self, self._origin, received.request, passed, Plan())

    def addressed(self, request: Request, provider: Provider) -> Request:
        """The request as the service gets it: at its own address, with the real key."""
        variable = first_set(provider.base_env, self._environment)
        if variable is not None:
            request = self._led_to(variable, request, provider)
        else:
            self.upstream = self._public(provider)
        key = key_of(provider, self._environment)
        headers = [(name, _real(value, key, provider)) for name, value in request.headers]
        url = request.url.replace(f"key={KEY}", f"key={key}")
        return self.passed_on(msgspec.structs.replace(request, headers=headers, url=url))

    def _led_to(self, variable: str, request: Request, provider: Provider) -> Request:
        """The request with the path that an SDK makes of the address in a variable."""
        given = self._environment[variable].strip().rstrip("/")
        if "://" not in given:  # a mere host
            given = base_url_of(provider, self._environment) or given
            given = "/".join(given.split("/")[:3])
        self.upstream = given
        path = request.target.removeprefix(path_of(variable))
        origin = "/".join(request.url.split("/")[:3])
        return msgspec.structs.replace(request, url=f"{origin}{urlsplit(given).path}{path}")

    def _public(self, provider: Provider) -> str | None:
        """The public address of a provider; None: the path tells it."""
        if not provider.params:
            return None
        params = params_of(provider, self._environment)
        if self._aws is not None and self._aws.region:
            params = {"region": self._aws.region, **params}
        address = PROVIDERS[provider.name].base_url
        for name, value in params.items():
            address = address.replace(f"{{{name}}}", value)
        return check_url(address) if "{" not in address else None

    def save(self, path: Path) -> None:
        """Write what was recorded. Raises SecretFound, and LocalProtocolError."""
        cassette = Cassette(
            tuple(self.recordings), "", stamp(time.time()), f"tokenwire/{VERSION}", path.stem
        )
        check(cassette)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(cassette, path)


def _real(value: bytes, key: str | None, provider: Provider) -> bytes:
    """A header's value with the real key. Raises LocalProtocolError if there is none."""
    if value not in (KEY.encode(), f"Bearer {KEY}".encode()):
        return value
    if key is None:
        names = " or ".join(provider.env) or "its variable"
        raise LocalProtocolError(f"to record {provider.name}, set {names}")
    return value.replace(KEY.encode(), key.encode())

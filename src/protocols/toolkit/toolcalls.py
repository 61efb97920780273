"""Puts tool calls together from their fragments, whatever a service leaves out of them."""

from typing import Any

import msgspec

from ..events import Event, ToolCallDelta, ToolCallEnd, ToolCallStart
from ..limits import Parts

__all__ = ["ToolCalls", "is_json_object"]

_object = msgspec.json.Decoder(dict[str, Any])


def is_json_object(text: str) -> bool:
    """Whether `text` is one strict JSON object."""
    try:
        _object.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Call:
    def __init__(self, number: int, place: int | None) -> None:
        self.number = number
        self.place = place
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.started = False
        self._judged = 0

    def seems_whole(self) -> bool:
        """Whether the arguments are a JSON object. Looks a bounded number of times, so that a
        name in every fragment does not cost more than it is worth."""
        self._judged += 1
        return self._judged <= 8 and is_json_object("".join(self.arguments))


class ToolCalls:
    """The tool calls of one choice.

    What is seen (quirk 22): the index is missing, starts at 1, or is the same for two calls; the
    id comes once, always, as null or as an empty string; a call comes whole, or in many pieces.
    """

    def __init__(self, index: int, parts: Parts) -> None:
        self._index = index
        self._parts = parts
        self._calls: list[_Call] = []
        self._last: _Call | None = None
        self._by_id: dict[str, _Call] = {}
        self._by_place: dict[int | None, _Call] = {}

    def fragment(
        self, place: int | None, id: str, name: str, arguments: str, events: list[Event]
    ) -> None:
        """A fragment of the call at `place`, the service's own number for it. Raises
        LimitExceeded."""
        call = self._continued(place, id, name)
        if call is None:
            self._parts.add()
            call = _Call(len(self._calls), place)
            self._calls.append(call)
            self._last = self._by_place[place] = call
        call.name = call.name or name
        call.id = call.id or id
        if call.id:
            self._by_id[call.id] = call
        if not call.started and (call.name or arguments):
            self._start(call, events)
        if arguments:
            call.arguments.append(arguments)
            events.append(ToolCallDelta(call.number, arguments, self._index))

    def settle(self, cut: bool, events: list[Event]) -> None:
        """The calls are over; comes once. `cut`: the model ran out of tokens, so that no arguments
        at all may be missing ones."""
        for call in self._calls:
            if not call.started:
                self._start(call, events)
            arguments = "".join(call.arguments)
            if arguments in ("", "null"):
                arguments, complete = "{}", not cut
            else:
                complete = is_json_object(arguments)
            events.append(
                ToolCallEnd(call.number, call.id, call.name, arguments, complete, self._index)
            )

    def _start(self, call: _Call, events: list[Event]) -> None:
        call.started = True
        events.append(ToolCallStart(call.number, call.id, call.name, self._index))

    def _continued(self, place: int | None, id: str, name: str) -> _Call | None:
        """The call that a fragment goes on with; None if it begins one."""
        if id and (call := self._by_id.get(id)) is not None:
            # One id for two calls: then it names another place, and says a name again.
            return None if name and place != call.place else call
        call = self._last if place is None else self._by_place.get(place)
        if call is None or (id and call.id):
            return None  # another id at the same place
        if name and call.name and (place is None or call.seems_whole()):
            return None  # another name, and the call before it is whole
        return call

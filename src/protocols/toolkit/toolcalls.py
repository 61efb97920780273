"""Puts tool calls together from their fragments, whatever a service leaves out of them."""

from collections.abc import Callable
from typing import Any

import msgspec

from ..events import Event, FinishKind, ToolCallDelta, ToolCallEnd, ToolCallStart
from ..limits import Parts
from .json import is_cut_json

__all__ = ["Call", "ToolCalls", "is_json_object", "seems_complete"]

_object = msgspec.json.Decoder(dict[str, Any])


def is_json_object(text: str) -> bool:
    """Whether `text` is one strict JSON object."""
    try:
        _object.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


class Call:
    """A call as far as it has been received."""

    part: int
    """The part that it is; set when its start is told."""

    def __init__(self, number: int, place: int | None) -> None:
        self.number = number
        self.place = place
        self.custom = False
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.broken = False  # something of it was not understood
        self.started = False
        self._judged = 0
        self._size = 0
        self._repeats = False  # whether a fragment has repeated all so far

    def new_in(self, arguments: str) -> str:
        """The next piece of the arguments. If it repeats all so far, less that (quirk 83): it must
        have done so once where it could not be more of the same JSON."""
        size = self._size
        if 0 < size <= len(arguments) and not self.custom:
            said = "".join(self.arguments)
            if arguments.startswith(said):
                self._repeats = self._repeats or not _may_begin(said + arguments)
                arguments = arguments[size:] if self._repeats else arguments
        self._size = size + len(arguments)
        return arguments

    def add_name(self, name: str) -> None:
        """A piece of the name; the name so far, if it is said again (quirk 84)."""
        if name.startswith(self.name):
            self.name = name
        elif name:
            self.name += name

    def seems_whole(self) -> bool:
        """Whether the arguments are a JSON object. Looks a bounded number of times, so that a
        name in every fragment does not cost more than it is worth."""
        self._judged += 1
        return self._judged <= 8 and is_json_object("".join(self.arguments))

    def end(self, kind: FinishKind | None, index: int) -> ToolCallEnd:
        """The end of the call. `kind` is that of the choice's finish reason; None if it has none
        and is proven complete nevertheless."""
        arguments = "".join(self.arguments)
        if arguments.startswith(_HOLLOW) and not self.custom:
            arguments = arguments.removeprefix("{}")  # it only stood for those to come (quirk 83)
        complete = not self.broken and _is_complete(arguments, self.custom, kind)
        if arguments in _NOTHING and not self.custom:
            arguments = "{}"
        return ToolCallEnd(self.number, self.id, self.name, arguments, complete, self.custom, index)


_NOTHING = ("", "null")
"""Arguments that stand for an empty object."""
_HOLLOW = "{}{"


def _may_begin(text: str) -> bool:
    """Whether `text` is a JSON object, or may become one. What begins otherwise may be anything."""
    return text.lstrip()[:1] != "{" or is_json_object(text) or is_cut_json(text.encode())


def _is_complete(arguments: str, custom: bool, kind: FinishKind | None) -> bool:
    """Whether a call has all of its arguments. `kind`: see `Call.end`."""
    if custom or arguments in _NOTHING:
        return kind in (None, "stop", "tool_call")  # after any other it may have been cut
    return kind != "error" and is_json_object(arguments)


def seems_complete(end: ToolCallEnd, kind: FinishKind | None) -> bool:
    """Whether a client takes a call with such an end for complete. `kind`: see `Call.end`."""
    return _is_complete("" if end.arguments == "{}" else end.arguments, end.custom, kind)


class ToolCalls:
    """The tool calls of one choice. `new_part` gives the number of the part that a call begins.

    What services send (quirk 22): the index is missing, starts at 1, or is the same for two calls;
    the id comes once, always, as null or as an empty string; a call comes whole, or in pieces.
    """

    def __init__(self, index: int, parts: Parts, new_part: Callable[[], int]) -> None:
        self._index = index
        self._parts = parts
        self._new_part = new_part
        self._calls: list[Call] = []
        self._last: Call | None = None
        self._by_id: dict[str, Call] = {}
        self._by_place: dict[int | None, Call] = {}

    def at(self, place: int | None) -> Call | None:
        """The last call at `place`, the service's own number for it."""
        return None if place is None else self._by_place.get(place)

    def __len__(self) -> int:
        """How many have begun."""
        return len(self._calls)

    def __getitem__(self, number: int) -> Call:
        return self._calls[number]

    def fragment(
        self,
        place: int | None,
        id: str,
        name: str,
        arguments: str,
        events: list[Event],
        *,
        custom: bool = False,
    ) -> Call:
        """A fragment of the call at `place`, the service's own number for it; the call. Raises
        LimitExceeded."""
        call = self._continued(place, id, name)
        if call is None:
            self._parts.add()
            call = Call(len(self._calls), place)
            self._calls.append(call)
            self._last = self._by_place[place] = call
        call.add_name(name)
        call.id = call.id or id
        call.custom = call.custom or custom
        if call.id:
            self._by_id[call.id] = call
        if not call.started and (call.name or arguments):
            self._start(call, events)
        if arguments := call.new_in(arguments):
            call.arguments.append(arguments)
            events.append(ToolCallDelta(call.number, arguments, self._index))
        return call

    def settle(self, kind: FinishKind | None, events: list[Event]) -> None:
        """The calls are over; to be called once. `kind`: see `Call.end`."""
        self.start_all(events)
        events += [call.end(kind, self._index) for call in self._calls]

    def start_all(self, events: list[Event]) -> None:
        """Tell the start of calls of which only an id came: nothing more will."""
        for call in self._calls:
            if not call.started:
                self._start(call, events)

    def _start(self, call: Call, events: list[Event]) -> None:
        call.started = True
        call.part = self._new_part()
        events.append(
            ToolCallStart(call.number, call.id, call.name, call.custom, call.part, self._index)
        )

    def _continued(self, place: int | None, id: str, name: str) -> Call | None:
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

"""State of one service in the fields of another format: signatures, encrypted thoughts.

What a service wants back unchanged goes to a caller of another format inside a field that this one
gives back, and is packed for that: nothing is stored. A packed state is signed, so that no caller
can make one up, and says of which provider it is, so that no other one is sent it.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from ..protocols.chat import Message, Opaque, Part, ReasoningPart, TextPart, ToolCall
from ..protocols.encoding import accepted_id, value_of
from ..protocols.events import Native
from ..protocols.toolkit.json import is_list, is_object

__all__ = ["SEALED", "StateSealer", "may_have_state", "restored"]

SEALED = "tokenwire"
"""The `dialect` of a state that was unpacked, but is not restored yet: of which provider a request
will be asked is not known when it is read."""

_HEAD = "tw1."
_CODED = b"dHcxL"  # how base64 of it begins, as Gemini's signatures have it
_SIZE = 16  # bytes of the HMAC: nobody can try enough of them at a server
_NO_ID = re.compile(r"(?!)")  # no id matches, so each is replaced


class _State(msgspec.Struct, frozen=True, array_like=True):
    """A native form, of which provider and model it is, and the id of the call that it belongs to
    (empty: it belongs to the part in which it stands). `text`: its part is a text, which the caller
    is told beside it."""

    dialect: str
    provider: str
    model: str
    call: str
    raw: bytes
    text: bool


_packed = msgspec.msgpack.Decoder(_State)
_opened = msgspec.json.Decoder(_State)


class StateSealer:
    """Packs and unpacks (`protocols.service.Sealer`): signed with `key`, which all processes of a
    gateway share. What it packs is said to be of `provider` and `model`. `Answering` tells it of
    the answer's parts, by choice and number: `calls` are the ids of calls, as the caller is told
    them, `texts` the parts that are text."""

    def __init__(self, key: bytes, provider: str = "", model: str = "") -> None:
        self._key = key
        self._provider = provider
        self._model = model
        self.calls: dict[tuple[int, int], str] = {}
        self.texts: set[tuple[int, int]] = set()

    def __repr__(self) -> str:
        return "<StateSealer>"

    def bound(self, provider: str, model: str) -> "StateSealer":
        """One for a request that `provider` is asked."""
        return StateSealer(self._key, provider, model)

    def seal(self, native: Native) -> str:
        """A native form as a text."""
        place = native.index, native.part
        call, text = self.calls.get(place, ""), place in self.texts
        state = _State(native.dialect, self._provider, self._model, call, native.raw, text)
        body = _text(msgspec.msgpack.encode(state))
        return f"{_HEAD}{body}.{_text(self._sign(body))}"

    def unseal(self, text: str) -> Native | None:
        """The state in a text that a sealer with this key made; else None. It is for `restored`."""
        head, _, signature = text.rpartition(".")
        if not head.startswith(_HEAD):
            return None
        body = head[len(_HEAD) :]
        try:
            right = hmac.compare_digest(self._sign(body), _bytes(signature))
            state = _packed.decode(_bytes(body)) if right else None
        except ValueError:
            return None
        return None if state is None else Native(SEALED, msgspec.json.encode(state))

    def _sign(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), sha256)[:_SIZE]


class Restored(NamedTuple):
    """A message, and whether state was left out of it."""

    message: Message
    lost: bool


def restored(message: Message, dialect: str, provider: str) -> Restored:
    """An assistant's message with the native forms that are of `provider`, in `dialect`, each in
    its part again; the others are left out, as the session has moved."""
    kept: list[Part] = []
    calls: dict[str, Native] = {}
    texts: list[Native] = []
    lost = told = False
    for part in message.parts:
        if isinstance(part, ReasoningPart) and part.native is None and told:
            continue  # chat completions has the text of the thought beside its native form
        if part.native is None or part.native.dialect != SEALED:
            kept.append(part)
            told = False
            continue
        state = _opened.decode(part.native.raw)
        right = (state.dialect, state.provider) == (dialect, provider)
        native = Native(dialect, state.raw) if right else None
        lost = lost or not right
        if not isinstance(part, Opaque):
            kept.append(msgspec.structs.replace(part, native=native))
            told = False
        elif native is not None and state.call:
            calls[state.call] = native
        elif native is not None and state.text:
            texts.append(native)
        elif native is not None:
            kept.append(Opaque(native))
            told = True
    kept = list(_with_forms(kept, calls, texts))
    lost = lost or bool(calls or texts)
    changed = tuple(kept) != message.parts
    return Restored(message.replace(content=tuple(kept)) if changed else message, lost)


def may_have_state(body: bytes) -> bool:
    """Whether a request may have state that only `restored` makes whole: then its bytes can't go to
    a service as they are."""
    return _HEAD.encode() in body or _CODED in body


def _with_forms(parts: list[Part], calls: dict[str, Native], texts: list[Native]) -> Iterator[Part]:
    """The parts, each call and text with its native form, which is taken out of `calls` or `texts`.
    A server half may have told a hash of the id. A text must be in its form, word for word: some
    formats join those of several parts."""
    names = {accepted_id(id, _NO_ID): id for id in calls} | {id: id for id in calls}
    for part in parts:
        if isinstance(part, ToolCall) and part.id in names:
            native = calls.pop(names[part.id], part.native)
            part = msgspec.structs.replace(part, native=native)
        elif isinstance(part, TextPart) and part.native is None:
            found = (each for each in texts if part.text in _strings(value_of(each)))
            if (native := next(found, None)) is not None:
                texts.remove(native)
                part = msgspec.structs.replace(part, native=native)
        yield part


def _strings(value: Any) -> Iterator[str]:
    """The texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif is_list(value) or is_object(value):
        for inner in value.values() if is_object(value) else value:
            yield from _strings(inner)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))

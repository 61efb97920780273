"""State of one service in the fields of another format."""

import re
from base64 import b64encode

import msgspec
import pytest

from tokenwire.gateway.sealing import SEALED, StateSealer, may_have_state, restored
from tokenwire.protocols.chat import Message, Opaque, Part, ReasoningPart, TextPart, ToolCall
from tokenwire.protocols.encoding import accepted_id
from tokenwire.protocols.events import Native

RAW = b'{"thoughtSignature":"s\\u20ac"}'
KEY = b"k" * 32


def sealer(provider: str = "gemini") -> StateSealer:
    return StateSealer(KEY).bound(provider, "gemini-3-pro")


def unsealed(text: str, key: bytes = KEY) -> Native:
    found = StateSealer(key).unseal(text)
    assert found is not None
    return found


def state(call: str = "", provider: str = "gemini", raw: bytes = RAW) -> Native:
    sealing = sealer(provider)
    sealing.calls[0, 3] = call
    return unsealed(sealing.seal(Native("gemini", raw, part=3)))


def said(*parts: Part) -> Message:
    return Message("assistant", parts)


def test_a_state_comes_back() -> None:
    text = sealer().seal(Native("gemini", RAW))
    assert text.startswith("tw1.")
    assert all(character.isalnum() or character in "-_." for character in text)
    message, lost = restored(said(Opaque(unsealed(text))), "gemini", "gemini")
    assert (message, lost) == (said(Opaque(Native("gemini", RAW))), False)


def test_what_is_packed_is_told_by_no_repr() -> None:
    assert repr(sealer()) == "<StateSealer>"


def test_every_changed_byte_is_noticed() -> None:
    text = sealer().seal(Native("gemini", RAW))
    for place, character in enumerate(text):
        other = "A" if character != "A" else "B"
        changed = f"{text[:place]}{other}{text[place + 1 :]}"
        found = StateSealer(KEY).unseal(changed)
        # The last character of base64 has bits that mean nothing.
        assert found is None or place == len(text) - 1, place


@pytest.mark.parametrize(
    "text",
    ["", "tw1.", "tw1..", "tw1.a.b", "tw1.\u20ac.\u20ac", "EqQF", "tw2.a.b", "tw1.a", "x.tw1.a.b"],
)
def test_what_nobody_sealed_is_none(text: str) -> None:
    assert StateSealer(KEY).unseal(text) is None


def test_another_key_opens_nothing() -> None:
    assert StateSealer(b"other").unseal(sealer().seal(Native("gemini", RAW))) is None


def test_a_session_that_has_moved_goes_on_without_it() -> None:
    parts = ReasoningPart("I see", state()), TextPart("a"), Opaque(state())
    plain = said(ReasoningPart("I see"), TextPart("a"))
    assert restored(said(*parts), "gemini", "gemini-vertex") == (plain, True)
    assert restored(said(*parts), "anthropic", "gemini") == (plain, True)


def test_a_state_in_a_part_stays_there() -> None:
    parts = ReasoningPart("I see", state()), ToolCall("", "read", "{}", native=state())
    native = Native("gemini", RAW)
    wanted = ReasoningPart("I see", native), ToolCall("", "read", "{}", native=native)
    assert restored(said(*parts), "gemini", "gemini") == (said(*wanted), False)


def test_a_state_of_a_call_goes_to_it() -> None:
    told = "functions.read:0"
    hashed = accepted_id(told, re.compile("[a-z]+"))  # as Anthropic's server half tells it
    before = said(Opaque(state(told)), ToolCall(told, "read", "{}"))
    wanted = said(ToolCall(told, "read", "{}", native=Native("gemini", RAW)))
    assert restored(before, "gemini", "gemini") == (wanted, False)
    after = said(ToolCall(hashed, "read", "{}"), TextPart("a"), Opaque(state(told)))
    wanted = said(ToolCall(hashed, "read", "{}", native=Native("gemini", RAW)), TextPart("a"))
    assert restored(after, "gemini", "gemini") == (wanted, False)


def test_two_calls_get_each_its_own() -> None:
    states = [Opaque(state(id, raw=f'{{"n":"{id}"}}'.encode())) for id in ("a", "b")]
    calls = [ToolCall(id, "read", "{}") for id in ("b", "a")]
    message, lost = restored(said(*states, *calls), "gemini", "gemini")
    natives = [call.native for call in message.tool_calls]
    assert natives == [Native("gemini", b'{"n":"b"}'), Native("gemini", b'{"n":"a"}')]
    assert not lost


def test_the_state_of_a_call_that_is_gone_is_lost() -> None:
    call = ToolCall("other", "read", "{}")
    assert restored(said(Opaque(state("gone")), call), "gemini", "gemini") == (said(call), True)
    moved = said(Opaque(state("gone", provider="b")), call)
    assert restored(moved, "gemini", "gemini") == (said(call), True)


def test_a_thought_is_not_said_twice() -> None:
    """Chat completions has its text beside the details that it is sealed in."""
    parts = Opaque(state()), ReasoningPart("I see"), ReasoningPart("and more"), TextPart("a")
    wanted = said(Opaque(Native("gemini", RAW)), *parts[3:])
    assert restored(said(*parts), "gemini", "gemini") == (wanted, False)
    apart = said(Opaque(state()), TextPart("a"), ReasoningPart("I see"))
    kept = said(Opaque(Native("gemini", RAW)), TextPart("a"), ReasoningPart("I see"))
    assert restored(apart, "gemini", "gemini") == (kept, False)


def test_other_native_forms_are_left_alone() -> None:
    message = said(Opaque(Native("anthropic", b"{}")), ReasoningPart("a", Native("x", b"1")))
    assert restored(message, "gemini", "gemini") == (message, False)
    plain = Message("assistant", "a")
    assert restored(plain, "gemini", "gemini") == (plain, False)


def test_what_is_unpacked_is_for_nobody_yet() -> None:
    assert state().dialect == SEALED


def test_a_body_that_may_have_state_is_noticed() -> None:
    text = sealer().seal(Native("gemini", RAW))
    assert may_have_state(b'{"data":"%b"}' % text.encode())
    assert may_have_state(b'{"thoughtSignature":"%b"}' % b64encode(text.encode()))
    assert not may_have_state(b'{"data":"EqQF"}')


def text_state(value: object) -> Native:
    sealing = sealer()
    sealing.texts.add((0, 0))
    return unsealed(sealing.seal(Native("gemini", msgspec.json.encode(value))))


def test_the_state_of_a_text_goes_to_it() -> None:
    signed = {"text": "a", "thoughtSignature": "s", "n": [1, "b"]}
    native = Native("gemini", msgspec.json.encode(signed))
    for text in ("a", "b"):
        for order in (1, -1):
            parts = Opaque(text_state(signed)), TextPart(text)
            wanted = said(TextPart(text, native=native))
            assert restored(said(*parts[::order]), "gemini", "gemini") == (wanted, False)


def test_the_state_of_a_text_that_is_told_otherwise_is_lost() -> None:
    """Chat completions has one text, which is that of several parts."""
    parts = Opaque(text_state({"text": "a"})), TextPart("a and b"), TextPart("a", native=state())
    message, lost = restored(said(*parts), "gemini", "gemini")
    wanted = said(TextPart("a and b"), TextPart("a", native=Native("gemini", RAW)))
    assert (message, lost) == (wanted, True)
    twice = [Opaque(text_state({"text": "a"}))] * 2
    message, lost = restored(said(*twice, TextPart("a"), TextPart("a")), "gemini", "gemini")
    assert not lost
    assert all(part.native is not None for part in message.parts)

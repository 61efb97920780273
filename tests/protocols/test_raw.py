"""The bytes of a body that a relay passes on: whole units only, whatever the splitting."""

import pytest

from tests.asking import question
from tests.cutting import every_way
from tokenwire import PROVIDERS, EventStep, FrameStep, LocalProtocolError, as_chat
from tokenwire.protocols.events import Event
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.toolkit.frames import encode_frame
from tokenwire.protocols.toolkit.http import Headers, Request

SSE: Headers = [(b"content-type", b"text/event-stream")]
HI = b'data: {"choices":[{"delta":{"content":"hi"}}]}'
BODIES = {
    "\\n": HI + b"\n\n" + HI + b"\n\n" + b": ping\n\n" + b"data: [DONE]\n\n",
    "\\r\\n": HI + b"\r\n\r\n" + HI + b"\r\n\r\n" + b"data: [DONE]\r\n\r\n",
    "\\r": HI + b"\r\r" + b"data: [DONE]\r\r",
}


def began(exchange: Exchange, headers: Headers = SSE) -> Exchange:
    exchange.keep_raw()
    exchange.next_request()
    exchange.receive_response(200, headers)
    return exchange


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_events_are_whole(body: bytes) -> None:
    for pieces in every_way(body):
        exchange = began(question())
        taken: list[bytes] = []
        fed = b""
        for piece in pieces:
            exchange.receive_data(piece)
            fed += piece if exchange.wants_data else b""
            taken.append(exchange.take_raw())
            assert not taken[-1] or taken[-1].rstrip(b"\r\n") + b"\n\n" != taken[-1] + b"\n\n"
            if exchange.wants_data:
                assert b"".join(taken) + exchange.pending == fed
        assert body.startswith(b"".join(taken))
        assert b"".join(taken).rstrip() == body.rstrip()


def test_lines_are_whole() -> None:
    exchange = began(question("darkai"))
    exchange.receive_data(b'data: {"event":"x"}\ndata: {"ev')
    assert exchange.take_raw() == b'data: {"event":"x"}\n'
    assert exchange.pending == b'data: {"ev'
    assert exchange.take_raw() == b""
    exchange.receive_disconnect()
    assert exchange.take_raw() == b'data: {"ev'
    assert exchange.take_raw() == exchange.pending == b""


@pytest.mark.parametrize("name", ["darkai", "openai"])
def test_only_whole_ones_even_at_the_end(name: str) -> None:
    exchange = began(question(name))
    end = b"\n" if name == "darkai" else b"\n\n"
    exchange.receive_data(b'data: {"a":"x"}' + end + b'data: {"ev')
    exchange.receive_disconnect()
    assert exchange.take_raw(units=True) == b'data: {"a":"x"}' + end
    assert exchange.take_raw(units=True) == b""
    assert exchange.take_raw() == b'data: {"ev'


def test_a_document_is_taken_at_its_end() -> None:
    body = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
    exchange = began(question())
    exchange.receive_data(body)
    assert exchange.take_raw() == b""
    exchange.receive_eof()
    assert exchange.take_raw() == body


REQUEST = Request("POST", "https://x.test/", [])


class Elements(EventStep):
    elements = True

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        pass


class Framed(FrameStep):
    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        pass


def test_elements_and_frames_are_whole() -> None:
    elements = Elements(REQUEST, Limits())
    elements.element_data(b'[{"a":1},{"b"', [])
    assert elements.border(b'[{"a":1},{"b"', 0) == len(b'[{"a":1},')
    headers = {":message-type": "event", ":event-type": "a"}
    framed, frame = Framed(REQUEST, Limits()), encode_frame(headers, b"payload")
    framed.data(frame + frame[:5], [])
    assert framed.border(frame + frame[:5], 0) == len(frame)


def test_it_is_asked_for_before_the_response() -> None:
    exchange = began(question())
    with pytest.raises(LocalProtocolError, match="keep_raw: the response has begun"):
        exchange.keep_raw()
    assert question().take_raw() == question().pending == b""


def test_a_retry_keeps_them_too() -> None:
    exchange = question()
    exchange.keep_raw()
    again = exchange.fresh()
    again.next_request()
    again.receive_response(200, SSE)
    again.receive_data(HI + b"\n\n")
    assert again.take_raw() == HI + b"\n\n"


def test_a_refusal_has_none() -> None:
    exchange = began(question(), [(b"content-type", b"text/html")])
    exchange.receive_data(b"<html>")
    assert exchange.pending == b""


def test_the_address_of_a_picture_is_a_document() -> None:
    exchange = PROVIDERS["aichats"].exchange(as_chat("hi", model="dalle"))
    began(exchange, [(b"content-type", b"application/json")])
    exchange.receive_data(b'{"data":')
    assert exchange.take_raw() == b""
    assert exchange.pending == b'{"data":'

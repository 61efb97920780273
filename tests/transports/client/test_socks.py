"""The way through a SOCKS proxy."""

from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import bytewise, every_way
from tokenwire.protocols.errors import ConnectFailed
from tokenwire.protocols.toolkit.http import Origin
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.socks import Socks

HTTPS = Origin("https", "api.example", 443)
OPEN, NAMED = "socks5://proxy.example", "socks5://us:p%C3%BC@proxy.example"
NAME = "the SOCKS proxy proxy.example:1080"
FROM = b"\1\x0a\0\0\1\x1f\x90"  # the address and port that it connects from


def way(url: str = OPEN, origin: Origin = HTTPS) -> Socks:
    return Socks(Proxy.of(url), origin)


def talk(socks: Socks, *answers: bytes) -> list[bytes]:
    """What it says at first, and after each answer."""
    said = [socks.data_to_send()]
    for answer in answers:
        assert socks.receive(answer) == b""
        said.append(socks.data_to_send())
    return said


@pytest.mark.parametrize(
    ("url", "answers", "said"),
    [
        (OPEN, [b"\5\0"], [b"\5\1\0"]),
        (NAMED, [b"\5\0"], [b"\5\2\0\2"]),
        (NAMED, [b"\5\2", b"\1\0"], [b"\5\2\0\2", "\1\2us\3pü".encode()]),
        ("socks5://us@a", [b"\5\2", b"\1\0"], [b"\5\2\0\2", b"\1\2us\0"]),
        ("socks5://:pw@a", [b"\5\0"], [b"\5\1\0"]),  # RFC 1929: a user has a byte, at least
    ],
)
def test_its_greeting(url: str, answers: list[bytes], said: list[bytes]) -> None:
    socks = way(url)
    assert talk(socks, *answers) == [*said, b"\5\1\0\3\x0bapi.example\x01\xbb"]
    assert not socks.established


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        (Origin("http", "a.example", 8080), b"\3\x09a.example\x1f\x90"),
        (Origin("https", "10.1.2.3", 443), b"\1\x0a\1\2\3\x01\xbb"),
        (Origin("https", "2001:db8::1", 443), b"\4\x20\1\x0d\xb8" + bytes(11) + b"\1\1\xbb"),
        (Origin("https", "a" * 255, 443), b"\3\xff" + b"a" * 255 + b"\1\xbb"),
    ],
)
def test_where_it_is_asked_to_connect_to(origin: Origin, address: bytes) -> None:
    assert talk(way(OPEN, origin), b"\5\0")[-1] == b"\5\1\0" + address


@pytest.mark.parametrize(
    "bound",
    [FROM, b"\3\5there\0\x50", b"\4" + bytes(18), b"\3\0\0\x50"],
)
def test_a_way_opens(bound: bytes) -> None:
    for pieces in every_way(b"\5\2\1\0\5\0\0" + bound + b"\x16\3\1"):
        socks = way(NAMED)
        rest = b""
        for piece in pieces:
            rest += piece if socks.established else socks.receive(piece)
        assert socks.established
        assert rest == b"\x16\3\1"


REACH = "could not reach api.example:443: "
REFUSALS = [
    (OPEN, b"\5\xff", "wants a user and password: give them in its URL", True),
    (OPEN, b"\5\2", "wants a user and password: give them in its URL", True),
    (NAMED, b"\5\xff", "takes no user and password", True),
    (NAMED, b"\5\1", "takes no user and password", True),
    (NAMED, b"\5\2\1\1", "refused the user and password of its URL", True),
    (OPEN, b"HTTP/1.1 400 Bad request\r\n\r\n", "does not speak SOCKS 5", True),
    (OPEN, b"\0\x5b", "does not speak SOCKS 5", True),  # SOCKS 4
    (OPEN, b"\5\0\5\1", REACH + "general failure", False),
    (OPEN, b"\5\0\5\2\0" + FROM, REACH + "its rules do not allow it", True),
    (OPEN, b"\5\0\5\3\0" + FROM, REACH + "network unreachable", False),
    (OPEN, b"\5\0\5\4\0" + FROM, REACH + "host unreachable", False),
    (OPEN, b"\5\0\5\5\0" + FROM, REACH + "connection refused", False),
    (OPEN, b"\5\0\5\6\0" + FROM, REACH + "TTL expired", False),
    (OPEN, b"\5\0\5\7\0" + FROM, REACH + "it can't connect by TCP", True),
    (OPEN, b"\5\0\5\x08\0" + FROM, REACH + "it does not know this type of address", True),
    (OPEN, b"\5\0\5\x09\0" + FROM, REACH + "error 9", False),
    (OPEN, b"\5\0\5\0\0\2", "answered with an address of the unknown type 2", True),
]


@pytest.mark.parametrize(("url", "answers", "error", "lasting"), REFUSALS)
def test_refusals(url: str, answers: bytes, error: str, lasting: bool) -> None:
    for pieces in every_way(answers):
        socks = way(url)
        with pytest.raises(ConnectFailed) as caught:
            deque(map(socks.receive, pieces))
        assert str(caught.value) == f"{NAME} {error}"
        assert caught.value.lasting == lasting
        assert not socks.established


def test_the_proxy_closes() -> None:
    assert way().unfinished == f"{NAME} closed the connection"


def test_a_name_that_is_too_long() -> None:
    socks = way(OPEN, Origin("https", "a" * 256, 443))
    with pytest.raises(ConnectFailed, match="takes names of up to 255 bytes") as caught:
        socks.receive(b"\5\0")
    assert caught.value.lasting


ANSWERS = st.lists(
    st.sampled_from((b"\5\0", b"\5\2", b"\1\0", b"\5\0\0", b"\5\0\0\3\2", FROM))
    | st.binary(max_size=5)
).map(b"".join)


@given(ANSWERS, st.sampled_from((OPEN, NAMED)))
def test_whatever_a_proxy_says(said: bytes, url: str) -> None:
    def outcome(pieces: Iterable[bytes]) -> tuple[bool, bytes, str]:
        socks, rest = way(url), b""
        try:
            for piece in pieces:
                rest += piece if socks.established else socks.receive(piece)
        except ConnectFailed as error:
            return False, b"", str(error)
        return socks.established, rest, ""

    assert outcome([said]) == outcome(bytewise(said))

"""Which recording answers a request."""

from pathlib import Path

import msgspec
import pytest

from tests.replay.taping import cassette, recording
from tokenwire import LocalProtocolError, as_chat
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Request
from tokenwire.replay.cassette import BadCassette, Cassette, Recording, Sent, save
from tokenwire.replay.player import NoMatch, Player

URL = "https://a.example/v1/chat?a=1"


def sent(body: object, url: str = URL, method: str = "POST") -> Recording:
    return Recording(Sent(method, url, {}, body), line=2)


def asked(body: bytes, url: str = URL, method: str = "POST") -> Request:
    return Request(method, url, [(b"x-new", b"1")], body)


BODY = {"model": "m", "messages": [{"role": "user", "content": "Why is it blue?"}]}
SAME = b'{ "messages": [{"content": "Why is it blue?", "role": "user"}],\n "model": "m"}'


def test_order_of_keys_white_space_host_and_headers_do_not_matter() -> None:
    player = Player(Cassette((sent(BODY),)))
    assert len(player.unused) == 1
    assert player.take(asked(SAME, "http://127.0.0.1:1/v1/chat?a=1")).request.body == BODY
    assert player.unused == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            asked(SAME.replace(b"blue", b"red")),
            "the closest recorded request (line 2) differs: at /messages/0/content it has "
            '"Why is it blue?", not "Why is it red?"',
        ),
        (
            asked(SAME.replace(b"}],", b'}, {"role": "user"}],')),
            'at /messages/1 it has nothing, not {"role":"user"}',
        ),
        (asked(b"{}"), 'at /model it has "m", not nothing; at /messages it has [{'),
        (
            asked(SAME, URL.replace("a=1", "a=2")),
            'the path it has "v1/chat?a=1", not "v1/chat?a=2"',
        ),
        (asked(SAME, method="GET"), 'at method it has "POST", not "GET"'),
        (asked(b"\xff"), "at the body it has {"),
        (asked(b""), ", not null"),
    ],
)
def test_what_differs_is_told(request_: Request, words: str) -> None:
    player = Player(Cassette((sent({"other": 1}, "http://b/"), sent(BODY))))
    with pytest.raises(NoMatch) as caught:
        player.take(request_)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{request_.method} /v1/chat was not recorded; ")


def test_many_differences_and_long_values() -> None:
    many = {str(number): "x" * 200 for number in range(9)}
    with pytest.raises(NoMatch, match=r'"x{79}\.\.\., not nothing; .* and 4 more$'):
        Player(Cassette((sent(many),))).take(asked(b"{}"))
    with pytest.raises(NoMatch, match="at the body it has 2 bytes, not null"):
        Player(Cassette((sent(b"\xff\xff"),))).take(asked(b""))


def test_each_answers_once() -> None:
    player = Player(Cassette(tuple(sent(BODY) for _ in range(10))))
    for _ in range(10):
        player.take(asked(SAME))
    with pytest.raises(NoMatch, match="was recorded 10 times, and is asked once more"):
        player.take(asked(SAME))
    once = Player(Cassette((sent(BODY),)))
    once.take(asked(SAME))
    with pytest.raises(NoMatch, match="was recorded once, and is asked once more"):
        once.take(asked(SAME))


def test_the_last_may_answer_again() -> None:
    first, last = recording(), msgspec.structs.replace(recording(), end="left")
    exchange = PROVIDERS["openai"].exchange(as_chat("Why?", model="m"))
    request = exchange.next_request()
    assert request is not None
    player = Player(cassette(first, last), repeat=True)
    assert [player.take(request).end for _ in range(4)] == ["eof", "left", "left", "left"]


def test_in_any_order() -> None:
    player = Player(Cassette(tuple(sent({"n": number}) for number in range(10))))
    for number in (3, 0, 9, 1, 2, 8, 7, 4, 6, 5):
        assert player.take(asked(b'{"n": %d}' % number)).request.body == {"n": number}


def test_what_is_ignored() -> None:
    player = Player(Cassette((sent({**BODY, "user": "u1"}),)), ignore=("/user", "/messages/*/id"))
    player.take(asked(SAME.replace(b'"role"', b'"id": 7, "role"')))
    with pytest.raises(LocalProtocolError, match="is no JSON pointer"):
        Player(Cassette(()), ignore=["user"])


def test_what_was_left_out_matches() -> None:
    recorded = sent({"q": "I am [left out]", "k": "[left out]"}, f"{URL}&key=[left out]")
    url = f"{URL}&key=tw-another-secret"
    player = Player(Cassette((recorded,)))
    player.take(asked(b'{"q": "I am Ada", "k": 3}', url))
    with pytest.raises(NoMatch) as caught:
        player.take(asked(b'{"q": "tw-another-secret"}', url))
    assert "another" not in str(caught.value)


def test_nothing_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(NoMatch, match="POST /v1/chat: the cassette has no request"):
        Player(Cassette(())).take(asked(b""))
    save(cassette(), tmp_path / "x.jsonl")
    assert len(Player.of(tmp_path / "x.jsonl").unused) == 1
    assert Player.of(cassette()).cassette == cassette()


def test_what_was_clipped_is_not_played() -> None:
    clipped = msgspec.structs.replace(sent(BODY), end="clipped")
    with pytest.raises(BadCassette, match="not whole"):
        Player(Cassette((clipped,))).take(asked(SAME))


def test_a_url_without_a_path() -> None:
    Player(Cassette((sent(BODY, "http://a"),))).take(asked(SAME, "http://b"))

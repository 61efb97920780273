"""Where the embedded server is: its addresses, and whom it answers."""

from typing import Any

import pytest

from tokenwire.protocols.errors import BadRequest
from tokenwire.server.site import Site


def site(host: str = "127.0.0.1", *bound: str, **options: Any) -> Site:
    options = {"scheme": "http", "port": 8000, "path": "/v1", "public_url": None, **options}
    return Site(host=host, bound=bound or (host,), **options)


@pytest.mark.parametrize(
    ("made", "origin", "url"),
    [
        (site(), "http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        (site(port=80), "http://127.0.0.1", "http://127.0.0.1/v1"),
        (site(scheme="https"), "https://127.0.0.1:8000", "https://127.0.0.1:8000/v1"),
        (site("::1"), "http://[::1]:8000", "http://[::1]:8000/v1"),
        (site("localhost", "127.0.0.1", "::1"), "http://localhost:8000", "http://localhost:8000/v1"),
        (site("0.0.0.0"), "http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        (site("::"), "http://[::1]:8000", "http://[::1]:8000/v1"),
        (site("10.0.0.5"), "http://10.0.0.5:8000", "http://10.0.0.5:8000/v1"),
        (site(public_url="https://x.example"), "http://127.0.0.1:8000", "https://x.example/v1"),
        (site(public_url="https://x.example/v1"), "http://127.0.0.1:8000", "https://x.example/v1"),
        (site(public_url="https://x.example/llm", path=""), "http://127.0.0.1:8000",
         "https://x.example/llm"),
    ],
)  # fmt: skip
def test_where_it_is(made: Site, origin: str, url: str) -> None:
    assert (made.origin, made.url) == (origin, url)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost/v1/x?y=1"),
        ("LocalHost:9", "http://LocalHost:9/v1/x?y=1"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1/x?y=1"),
        ("[::1]:8000", "http://[::1]:8000/v1/x?y=1"),
        ("", "http://127.0.0.1:8000/v1/x?y=1"),
        (None, "http://127.0.0.1:8000/v1/x?y=1"),
    ],
)
def test_whom_one_on_loopback_answers(host: str | None, url: str) -> None:
    assert site().url_of("/v1/x?y=1", host) == url


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "10.0.0.5",
        "2130706433",
        "0.0.0.0",
    ],
)
@pytest.mark.parametrize(
    "made", [site(), site("::1"), site("localhost", "127.0.0.1", "::1"), site(scheme="https")]
)
def test_whom_it_does_not_answer(made: Site, host: str) -> None:
    with pytest.raises(BadRequest, match="this server answers to localhost") as caught:
        made.url_of("/v1/x", host)
    assert caught.value.status == 421
    with pytest.raises(BadRequest):
        made.url_of(f"http://{host}/v1/x", "localhost")


def test_a_name_of_ones_own() -> None:
    assert site("127.0.0.2").url_of("/", "127.0.0.2") == "http://127.0.0.2/"
    assert site("Box", "127.0.1.1").url_of("/", "box") == "http://box/"
    assert site("Box", "127.0.1.1").url_of("/", "127.0.1.1") == "http://127.0.1.1/"
    public = site(public_url="https://x.example/llm")
    assert public.url_of("/", "x.example") == "http://x.example/"
    assert public.url_of("/", "localhost") == "http://localhost/"
    with pytest.raises(BadRequest):
        public.url_of("/", "y.example")


@pytest.mark.parametrize(
    "made", [site("0.0.0.0"), site("10.0.0.5"), site("x", "127.0.0.1", "10.1.1.1")]
)
def test_one_that_others_can_reach_answers_to_any_name(made: Site) -> None:
    assert made.url_of("/v1/x", "box.example:1") == "http://box.example:1/v1/x"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/", "a b"),
        ("/", "a@localhost"),
        ("/", "localhost:0"),
        ("/", "localhost:x"),
        ("/", "localhost/x@y"),
        ("/", "[::1"),
        ("http://[/", "localhost"),
        ("ftp://localhost/", "localhost"),
    ],
)
def test_what_is_no_address(target: str, host: str) -> None:
    with pytest.raises(BadRequest, match="the request's URL") as caught:
        site("0.0.0.0").url_of(target, host)
    assert caught.value.status == 400


def test_what_reached_it_once_reaches_it_again() -> None:
    url = "http://box.example:9000/v1/chat"
    assert site("0.0.0.0").base_url_for(url) == "http://box.example:9000/v1"
    assert site(path="").base_url_for(url) == "http://box.example:9000"
    assert site(public_url="https://x.example").base_url_for(url) == "https://x.example/v1"

"""Names of the host, and web pages."""

import pytest

from tests.gateway.driving import config_of, for_backs
from tokenwire import BadRequest
from tokenwire.gateway.admission import Hosts, Origins
from tokenwire.protocols.toolkit.http import Request

HERE = for_backs(openai="http://127.0.0.1:1/v1")


def asking(host: str, *headers: tuple[bytes, bytes]) -> Request:
    return Request("GET", "http://gateway/", [(b"host", host.encode()), *headers])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:4000", "[::1]:1", "LOCALHOST:80", "ours"])
def test_own_names(host: str) -> None:
    Hosts(config_of('hosts = ["Ours"]\n' + HERE)).check(asking(host))


@pytest.mark.parametrize(
    "host", ["evil.example", "", "[::1", "localhost/", "localhost@evil", "a b"]
)
def test_other_names(host: str) -> None:
    with pytest.raises(BadRequest, match="answers to its own address") as refused:
        Hosts(config_of(HERE)).check(asking(host))
    assert refused.value.status == 421


def test_a_public_address_has_any_name() -> None:
    config = config_of('listen = "0.0.0.0:4000"\nopen = true\n' + HERE)
    Hosts(config).check(asking("any.example"))


def test_pages_of_no_origin_and_of_several() -> None:
    page = asking("localhost", (b"origin", b"https://b.example"))
    assert Origins(()).headers(page) == []
    assert Origins(()).preflight(page) is None
    both = Origins(("https://a.example", "https://b.example"))
    assert (b"access-control-allow-origin", b"https://b.example") in both.headers(page)
    assert both.headers(asking("localhost")) == [(b"vary", b"origin")]
    assert both.preflight(asking("localhost")) is None

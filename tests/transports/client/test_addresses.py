"""Which addresses a server may not send us to."""

import pytest

from tokenwire.transports.client.addresses import is_ip, is_private

PUBLIC = """
93.184.216.34 8.8.8.8 1.1.1.1 172.15.255.255 172.32.0.1 192.167.1.1 11.0.0.1 100.63.255.255
100.128.0.1 2606:2800:220:1::1 2a00:1450:4001::1
::ffff:93.184.216.34 2002:5db8:d822::1 64:ff9b::93.184.216.34 2001:0:4136:e378:8000:63bf:a247:27dd
example.com localhost.example.com notlocalhost 127.0.0.1.example.com a.0x7f.example 0x-1 xn--a
"""
PRIVATE = """
127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 169.254.0.1
0.0.0.0 0.1.2.3 100.64.0.1 100.127.255.255 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.250 240.0.0.1 255.255.255.255 ::1 ::
fe80::1 fe80::1%eth0 fe80::1%25 fe80::1% fc00::1 fd12:3456::1 ff02::1 2001:db8::1 100::1 fec0::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::ffff:0:127.0.0.1
2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1
2001:0:4136:e378:8000:63bf:80ff:fffe
localhost LOCALHOST localhost. api.localhost 127.1 2130706433 0x7f.1 0x7f000001 0177.0.0.1
127.0.0.1. 0x
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private(address: str) -> None:
    assert is_private(address)


def test_addresses_and_names() -> None:
    assert all(map(is_ip, ["93.184.216.34", "127.0.0.1", "::1", "fe80::1%eth0", "2001:db8::1"]))
    assert not any(map(is_ip, ["", "localhost", "example.com", "127.1", "0x7f.1", "[::1]"]))

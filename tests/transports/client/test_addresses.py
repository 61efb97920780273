"""Which addresses a server may not send us to."""

import ipaddress

import pytest

from tokenwire.transports.client.addresses import is_ip, is_private

PUBLIC = """
93.184.216.34 8.8.8.8 1.1.1.1 172.15.255.255 172.32.0.1 192.167.1.1 11.0.0.1 100.63.255.255
100.128.0.1 2606:2800:220:1::1 2a00:1450:4001::1 ::ffff:93.184.216.34 2002:5db8:d822::1
64:ff9b::93.184.216.34 64:ff9b::5db8:d822 168.63.129.15 168.63.129.17 192.0.1.0 192.31.195.255
192.175.49.0 198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2001:db7:ffff::1 2001:db9::1
2620:4f:7fff::1 2620:4f:8001::1 3ffe::1 3fff:1000::1 2003::1 example.com localhost.example.com
local.example internal.example notlocalhost 127.0.0.1.example.com a.0x7f.example 0x-1 xn--a
"""
PRIVATE = """
127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 169.254.0.1
0.0.0.0 0.1.2.3 100.64.0.1 100.127.255.255 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.250 240.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fe80::1%25 fe80::1% fc00::1
fd12:3456::1 ff02::1 2001:db8::1 100::1 fec0::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
::ffff:169.254.169.254 ::127.0.0.1 ::ffff:0:127.0.0.1 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::1
64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 2001:0:4136:e378:8000:63bf:80ff:fffe 192.0.0.192
168.63.129.16 100.100.100.200 169.254.170.2 fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe
::ffff:168.63.129.16 ::ffff:c000:c0 64:ff9b::c000:c0 64:ff9b::168.63.129.16 2002:a83f:8110::
2002:c000:c0::9 192.0.0.0 192.0.0.9 192.0.0.255 192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.255
198.19.255.255 64:ff9b:1::8.8.8.8 100:0:0:1::1 2001:1::1 2001:1::3 2001:2::1 2001:3::1 2001:4:112::1
2001:10::1 2001:20::1 2001:30::1 2001:1ff:ffff::1 2001:0:4136:e378:8000:63bf:a247:27dd
2620:4f:8000::1 3fff::1 3fff:fff::1 5f00::1 4000::1 1fff::1 ff0e::1 fdff::1 localhost LOCALHOST
localhost. metadata.google.internal. PRINTER.local api.localhost 127.1 2130706433 0x7f.1 0x7f000001
0177.0.0.1 127.0.0.1. 0x
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_the_table_is_not_that_of_the_interpreter(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says other things of some addresses, and others in each version."""
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        for name in ("is_global", "is_private", "is_multicast", "is_reserved"):
            monkeypatch.delattr(kind, name)
    assert is_private(address)


def test_addresses_and_names() -> None:
    assert all(map(is_ip, ["93.184.216.34", "127.0.0.1", "::1", "fe80::1%eth0", "2001:db8::1"]))
    assert not any(map(is_ip, ["", "localhost", "example.com", "127.1", "0x7f.1", "[::1]"]))

"""Private addresses, to which a server must not send us."""

import ipaddress
import re
from functools import lru_cache

__all__ = ["is_ip", "is_private"]

# A table of our own, as that of `ipaddress` differs from one Python to the next, and leaves things
# out: the IPv4 and IPv6 Special-Purpose Address Registries of IANA (RFC 6890), all entries, as of
# November 2026; multicast (RFC 5771); and the address at which Azure serves a machine's metadata.
# Those of other clouds (192.0.0.192, 169.254.169.254, fd00:ec2::254) are in the registries.
_SPECIAL_IPV4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
    198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32"""
_SPECIAL_IPV6 = "2001::/23 2001:db8::/32 2620:4f:8000::/48 3fff::/20"
"""Those inside `_UNICAST`, outside of which nothing is public."""

_IPV4 = [ipaddress.IPv4Network(network) for network in _SPECIAL_IPV4.split()]
_IPV6 = [ipaddress.IPv6Network(network) for network in _SPECIAL_IPV6.split()]
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that IANA has allocated for unicast

# IPv6 addresses that stand for the IPv4 address in them, and the bits after it: IPv4-mapped
# (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056). What is connected to is that address.
_CARRIERS = [
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
]

_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")
_LOCAL = ("localhost", "local", "internal")  # RFC 6761, RFC 6762, ICANN's resolution of 2024


@lru_cache(256)  # each request asks about the same few
def is_ip(address: str) -> bool:
    """Whether `address` is an IP address, and not a name."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def is_private(address: str) -> bool:
    """Whether the IP `address` is loopback, private, link-local or otherwise not public.

    A host name is not, unless it is a local one: the address that it resolves to is checked before
    connecting. But a name that ends in a number (`127.1`, `0x7f000001`) is an address to a resolver
    (WHATWG URL, 3.5).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        last = address.lower().removesuffix(".").rpartition(".")[2]
        return last in _LOCAL or _NUMBER.fullmatch(last) is not None
    if isinstance(ip, ipaddress.IPv6Address):
        after = next((after for network, after in _CARRIERS if ip in network), None)
        if after is None:
            return ip not in _UNICAST or any(ip in network for network in _IPV6)
        ip = ipaddress.IPv4Address(int(ip) >> after & 0xFFFFFFFF)
    return any(ip in network for network in _IPV4)

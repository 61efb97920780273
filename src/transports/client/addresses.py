"""Private addresses, to which a server must not send us."""

import ipaddress
import re
from functools import lru_cache

__all__ = ["is_ip", "is_private"]


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

    A host name is not: the address that it resolves to is checked before connecting. But a name
    that ends in a number (`127.1`, `0x7f000001`) is an address to a resolver (WHATWG URL, 3.5).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        last = address.lower().removesuffix(".").rpartition(".")[2]
        return last == "localhost" or _NUMBER.fullmatch(last) is not None
    if isinstance(ip, ipaddress.IPv6Address):
        # Public IPv6 addresses of these kinds carry the IPv4 address that is connected to.
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None and ip not in _UNICAST:
            return True
        ip = inner or ip
    return not ip.is_global or ip.is_multicast


_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that IANA has allocated for unicast

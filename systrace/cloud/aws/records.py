"""Reading records that anybody may have written: each field is what it should be, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Record = Mapping[str, Any]
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_LARGEST = 1 << 63  # what is larger is no field of AWS's
_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7"))
)


def text(record: Record, *path: str) -> str:
    """A string below these keys, else ""."""
    found: Any = record
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def number(record: Record, *path: str) -> int | None:
    """A whole number below these keys, else None."""
    found: Any = record
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if type(found) is int and -_LARGEST <= found < _LARGEST else None


def dicts(record: Record, key: str) -> list[Record]:
    """The records in a list."""
    found = record.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def texts(record: Record, key: str) -> list[str]:
    """The strings in a list."""
    found = record.get(key)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def network(cidr: str) -> Network | None:
    """Of a CIDR, None where it is none."""
    try:
        return ip_network(cidr, strict=False)
    except ValueError:
        return None


def address(host: str) -> Address | None:
    """Of a literal address, None where it is none; IPv4 within IPv6 is IPv4."""
    try:
        found = ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def contains(cidr: str, host: str) -> bool:
    """Whether an address lies in a CIDR of its own family."""
    block, found = network(cidr), address(host)
    return block is not None and found is not None and block.version == found.version and found in block


def is_private(host: str) -> bool:
    """Whether an address means nothing beyond an internet gateway (`ipaddress` has another list: documentation, tests).

    >>> [is_private(host) for host in ("10.9.0.9", "100.64.0.1", "fd00::1", "203.0.113.9", "2600:1f18::9")]
    [True, True, True, False, False]
    """
    found = address(host)
    return found is not None and any(found.version == block.version and found in block for block in _PRIVATE)

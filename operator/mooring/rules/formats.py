"""The forms of texts inside options: owns what Go's decoders take as an address, a network or an interface.

Where the standard library of Python is more lenient than Go's (zones, netmasks, addresses without a prefix) the
difference is made here.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TypeAlias

import jsonschema

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PREFIX = re.compile(r"[0-9]{1,3}")
_MAC = re.compile(r"(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1)*[0-9a-f]{2}|[0-9a-f]{4}(?:\.[0-9a-f]{4})+)", re.IGNORECASE)
_MAC_BYTES = (6, 8, 20)

#: Written out in full an IPv6 address with its prefix has 49 characters; what is longer is none.
_LONGEST = 64

#: Texts that are remembered: each rule reads the addresses anew.
_REMEMBERED = 4096

CHECKER = jsonschema.FormatChecker(formats=())

#: What to write, by format.
EXAMPLES = {
    "ip": "an IP address, such as 10.10.0.1 or fd00::1",
    "cidr": "an IP address with its prefix length, such as 10.10.0.0/24 or fd00::/64",
    "mac": "a hardware address, such as 02:00:00:00:00:01",
    "ifname": "the name of an interface: no blanks, no `/`, not `.` or `..`",
    "ifname-new": "the name of an interface: 1 to 15 bytes, no blanks, no `/` or `:`, not `.` or `..`",
}


def address(text: str) -> Address | None:
    """Read an address as Go's net.ParseIP does; an IPv4 address inside an IPv6 one is an IPv4 address."""
    return _address(text) if len(text) <= _LONGEST else None


@functools.lru_cache(maxsize=_REMEMBERED)
def _address(text: str) -> Address | None:
    if "%" in text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def network(text: str) -> tuple[Address, Network] | None:
    """Read an address with a prefix length as Go's net.ParseCIDR does; return the address and its network."""
    return _network(text) if len(text) <= _LONGEST else None


@functools.lru_cache(maxsize=_REMEMBERED)
def _network(text: str) -> tuple[Address, Network] | None:
    front, slash, length = text.partition("/")
    if not slash or "%" in front or not _PREFIX.fullmatch(length):
        return None
    try:
        found = ipaddress.ip_interface(f"{front}/{int(length)}")
    except ValueError:
        return None
    return found.ip, found.network


@CHECKER.checks("ip")
def _is_address(value: object) -> bool:
    # Go takes an empty text for "no address".
    return not isinstance(value, str) or value == "" or address(value) is not None


@CHECKER.checks("cidr")
def _is_network(value: object) -> bool:
    return not isinstance(value, str) or network(value) is not None


@CHECKER.checks("mac")
def _is_mac(value: object) -> bool:
    if not isinstance(value, str) or value == "":
        return True
    digits = re.sub(r"[:.-]", "", value)
    return _MAC.fullmatch(value) is not None and len(digits) // 2 in _MAC_BYTES


@CHECKER.checks("ifname")
def _is_interface(value: object) -> bool:
    # Longer ones than the kernel's 15 bytes are looked up as alternative names.
    if not isinstance(value, str) or value == "":
        return True
    return value not in (".", "..") and "/" not in value and not any(c.isspace() for c in value)


@CHECKER.checks("ifname-new")
def _is_new_interface(value: object) -> bool:
    if not isinstance(value, str) or value == "":
        return True
    return _is_interface(value) and ":" not in value and len(value.encode("utf-8", "surrogatepass")) <= 15

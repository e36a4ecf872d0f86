"""Values in a pod's request for a network: owns what each key may hold, and the one form that plugins are given.

Looks at one value at a time; what keys have to do with one another is the business of `requests`. Refuses nothing by
raising: what is wrong is told with its place.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_HARDWARE = re.compile(
    r"[0-9a-f]{2}(?:(?P<mark>[:-])[0-9a-f]{2}(?:(?P=mark)[0-9a-f]{2})*|(?:[0-9a-f]{2})*)"
    r"|[0-9a-f]{4}(?:\.[0-9a-f]{4})+",
    re.IGNORECASE | re.ASCII,
)
_PREFIX = re.compile(r"[^/]+/(?:0|[1-9][0-9]{0,2})")
# What the kernel takes and `\s` or a range of ASCII would not say: every white space and every control character.
_NOT_IN_INTERFACES = re.compile(r"[\s/:\x00-\x1f\x7f-\x9f]")
_RATES = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_PORTS = ("hostPort", "containerPort", "protocol", "hostIP")
_LONGEST_INTERFACE = 15


#: Where in the value (`[0]`, `.ingressRate`), what is wrong, what to write instead.
Wrong = tuple[str, str, str]


def quote(text: str) -> str:
    """Return a text in quotes, cut, without anything that a terminal would act on."""
    return '"' + "".join(c if c.isprintable() else "?" for c in text[:60]) + '"'


def is_label(text: str) -> bool:
    """Tell whether a text is a DNS-1123 label."""
    return _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether a text is a DNS-1123 subdomain."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


class Members(dict[str, object]):
    """An object of JSON that remembers its members as they are written, also those that a later one replaced."""

    def __init__(self, pairs: Iterable[tuple[str, object]]) -> None:
        self.pairs = list(pairs)
        super().__init__(self.pairs)


def members(item: dict[str, object], defined: Collection[str]) -> Iterator[tuple[str, str, object]]:
    """Give each member in its order: the key that is meant ("" for none), the key as written, the value."""
    folded = {_fold(key): key for key in defined}
    for key, value in item.pairs if isinstance(item, Members) else item.items():
        yield folded.get(_fold(key), ""), key, value


def _fold(key: str) -> str:
    # Go's folding goes character by character, so `casefold`, which knows "ss" for one, would say too much.
    return key.lower().replace("\u017f", "s")


def interface_problem(name: str) -> tuple[str, str] | None:
    """Say what is wrong with the name of an interface, and what to write."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if 0 < size <= _LONGEST_INTERFACE and name not in (".", "..") and not _NOT_IN_INTERFACES.search(name):
        return None
    message = (
        f"The interface name {quote(name)} has {size} bytes." if size > 15 else f"{quote(name)} names no interface."
    )
    return message, "Write 1 to 15 bytes without blanks, `/` and `:`; not `.` or `..`."


def _text(value: object) -> Iterator[Wrong]:
    if not isinstance(value, str):
        yield "", "This is no text.", "Put it into quotes."


def _name(value: object) -> Iterator[Wrong]:
    if not isinstance(value, str):
        yield from _text(value)
    elif value and not is_subdomain(value):
        yield "", f"{quote(value)} is no name of a network.", "Write small letters, digits, `-` and `.`, at most 253."


def _namespace(value: object) -> Iterator[Wrong]:
    if not isinstance(value, str):
        yield from _text(value)
    elif value and not is_label(value):
        yield "", f"{quote(value)} is no namespace.", "Write small letters, digits and `-`, at most 63."


def _interface(value: object) -> Iterator[Wrong]:
    if not isinstance(value, str):
        yield from _text(value)
    elif value and (wrong := interface_problem(value)) is not None:
        yield "", *wrong


def _address(text: object, *, prefix: bool) -> bool:
    if not isinstance(text, str) or "%" in text or ("/" in text and not _PREFIX.fullmatch(text)):
        return False
    try:
        ipaddress.ip_interface(text) if prefix else ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _zone(text: object) -> bool:
    return isinstance(text, str) and "%" in text


def _ips(value: object) -> Iterator[Wrong]:
    if not isinstance(value, list) or not value:
        yield "", "This is no list of at least one address.", 'Write ["10.10.0.5/24"], or leave the key out.'
        return
    for index, text in enumerate(value):
        if _zone(text):
            yield f"[{index}]", "This address has a zone.", "Write it without `%` and what follows."
        elif not _address(text, prefix=True):
            yield f"[{index}]", "This is no IP address.", "Write an address such as 10.10.0.5 or 10.10.0.5/24."


def _gateways(value: object) -> Iterator[Wrong]:
    if not isinstance(value, list):
        yield "", "This is no list of gateways.", 'Write ["10.10.0.1"], or [] for no default route.'
        return
    for index, text in enumerate(value):
        if _zone(text):
            yield f"[{index}]", "This address has a zone.", "Write it without `%` and what follows."
        elif not _address(text, prefix=False) or gateway(text).is_unspecified:
            yield f"[{index}]", "This is no address of a gateway.", "Write an IP address without a prefix length."


def gateway(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a gateway, an IPv4 address that is written as an IPv6 one as what it is."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _hardware(size: int) -> Callable[[object], Iterator[Wrong]]:
    def check(value: object) -> Iterator[Wrong]:
        if not isinstance(value, str):
            yield from _text(value)
        elif value and (not _HARDWARE.fullmatch(value) or len(colons(value)) != size * 3 - 1):
            example = ":".join(["02", *["00"] * (size - 2), "01"])
            yield "", f"{quote(value)} is no hardware address of {size} bytes.", f"Write one such as {example}."

    return check


def colons(address: str) -> str:
    """Return a hardware address as the plugin hands it over, however it is written."""
    digits = re.sub(r"[:.-]", "", address).lower()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def _ports(mappings: object) -> Iterator[Wrong]:
    if not isinstance(mappings, list):
        yield "", "This is no list.", 'Write [{"hostPort": 8080, "containerPort": 80}].'
        return
    for index, entry in enumerate(mappings):
        if not isinstance(entry, dict):
            yield f"[{index}]", "This is no object.", 'Write {"hostPort": 8080, "containerPort": 80}.'
            continue
        there = set()
        for key, written, value in members(entry, _PORTS):
            if not key or value is None:
                continue
            there.add(key)
            if key in ("hostPort", "containerPort"):
                if not _whole(value, least=1, most=65535):
                    yield f"[{index}].{written}", "This is no port.", "Write a number from 1 to 65535, without quotes."
            elif key == "protocol":
                if not isinstance(value, str) or value.lower() not in ("", "tcp", "udp", "sctp"):
                    yield f"[{index}].{written}", "This is no protocol.", "Write TCP, UDP or SCTP."
            elif value != "" and not _address(value, prefix=False):
                yield f"[{index}].{written}", "This is no IP address.", "Write an address of the node, without a zone."
        for key in ("hostPort", "containerPort"):
            if key not in there:
                yield f"[{index}]", f"`{key}` is missing.", "Write a number from 1 to 65535."


def _bandwidth(value: object) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield "", "This is no object.", 'Write {"ingressRate": 1000000, "ingressBurst": 1000000}.'
        return
    asked: dict[str, object] = {}
    for key, written, amount in members(value, _RATES):
        if not key or amount is None:
            continue
        asked[key] = amount
        if not _whole(amount, least=0, most=2**63 - 1):
            yield f".{written}", "This is no whole number.", "Write bits per second, without quotes."
    for way in ("ingress", "egress"):  # zeros count as absent: clients in Go write all four
        if asked.get(f"{way}Burst") and not asked.get(f"{way}Rate"):
            yield f".{way}Burst", f"`{way}Burst` needs `{way}Rate`.", f"Write `{way}Rate` as well."


def _whole(value: object, *, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _arguments(value: object) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield "", "This is no object.", "Write { ... }."


#: What is wrong with the value of each key that the specification or Multus defines.
CHECKS: dict[str, Callable[[object], Iterator[Wrong]]] = {
    "name": _name,
    "namespace": _namespace,
    "interface": _interface,
    "interfaceRequest": _interface,
    "ips": _ips,
    "mac": _hardware(6),
    "infiniband-guid": _hardware(8),
    "portMappings": _ports,
    "bandwidth": _bandwidth,
    "deviceID": _text,
    "cni-args": _arguments,
    "default-route": _gateways,
    "ipam-claim-reference": _text,
}

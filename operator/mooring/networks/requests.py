"""One request of a pod for a network: owns the keys of its JSON form, and what each may hold.

The source is chapter 4 of the NPWG specification 1.3 and what Multus adds to it. Unknown keys are kept for a
warning; those with a dot belong to somebody else.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_HARDWARE = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1)*[0-9a-f]{2}", re.IGNORECASE)
_RATES = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_LONGEST_INTERFACE = 15


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in an annotation: where (`$[0].mac`, `position 7`), what, and what to write instead."""

    place: str
    message: str
    remedy: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A network that a pod asks for. `default_route` is None where the key is absent, else its gateways."""

    namespace: str
    name: str
    interface: str = ""
    place: str = "$"
    ips: tuple[str, ...] = ()
    mac: str = ""
    infiniband_guid: str = ""
    default_route: tuple[str, ...] | None = None
    ipam_claim: str = ""
    unknown: tuple[str, ...] = ()


def quote(text: str) -> str:
    """Return a text in quotes, cut, without anything that a terminal would act on."""
    return '"' + "".join(c if c.isprintable() else "?" for c in text[:60]) + '"'


def is_label(text: str) -> bool:
    """Tell whether a text is a DNS-1123 label."""
    return _LABEL.fullmatch(text) is not None


def interface_problem(name: str) -> tuple[str, str] | None:
    """Say what is wrong with the name of an interface, and what to write."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if 0 < size <= _LONGEST_INTERFACE and name not in (".", "..") and not re.search(r"[\s/:]|[\x00-\x1f\x7f]", name):
        return None
    message = (
        f"The interface name {quote(name)} has {size} bytes." if size > 15 else f"{quote(name)} names no interface."
    )
    return message, "Write 1 to 15 bytes without blanks, `/` and `:`; not `.` or `..`."


def read(item: object, *, namespace: str, place: str) -> tuple[Request | None, list[Problem]]:
    """Read one object; `place` is where it stands. Never raises."""
    if not isinstance(item, dict):
        return None, [Problem(place=place, message="This is no object.", remedy='Write {"name": "..."}.')]
    problems: list[Problem] = []
    for key, check in _CHECKS.items():
        value = item.get(key)
        if value is None:
            continue
        for where, message, remedy in check(value):
            problems.append(Problem(place=f"{place}.{key}{where}", message=message, remedy=remedy))
    problems.extend(_whole(item, place))
    if problems:
        return None, problems
    gateways = item.get("default-route")
    return (
        Request(
            namespace=item.get("namespace") or namespace,
            name=item["name"],
            interface=item.get("interface") or item.get("interfaceRequest") or "",
            place=place,
            ips=tuple(item.get("ips") or ()),
            mac=item.get("mac") or "",
            infiniband_guid=item.get("infiniband-guid") or "",
            default_route=None if gateways is None else tuple(gateways),
            ipam_claim=item.get("ipam-claim-reference") or "",
            unknown=tuple(key for key in item if key not in _CHECKS and "." not in key),
        ),
        [],
    )


_Wrong = tuple[str, str, str]


def _whole(item: Mapping[str, object], place: str) -> Iterator[Problem]:
    if not item.get("name"):
        yield Problem(place=place, message="The request has no `name`.", remedy="Write the name of the network.")
    one, other = item.get("interface"), item.get("interfaceRequest")
    if one and other and one != other:
        yield Problem(
            place=f"{place}.interfaceRequest",
            message="`interface` and its old name `interfaceRequest` contradict one another.",
            remedy="Keep `interface`.",
        )
    if item.get("ips") and item.get("ipam-claim-reference"):
        yield Problem(
            place=f"{place}.ips",
            message="A claim brings the addresses, so that none can be asked for.",
            remedy="Keep `ips` or `ipam-claim-reference`.",
        )


def _text(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, str):
        yield "", "This is no text.", "Put it into quotes."


def _name(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, str):
        yield from _text(value)
    elif value and (len(value) > 253 or not _SUBDOMAIN.fullmatch(value)):
        yield "", f"{quote(value)} is no name of a network.", "Write small letters, digits, `-` and `.`."


def _namespace(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, str):
        yield from _text(value)
    elif value and not is_label(value):
        yield "", f"{quote(value)} is no namespace.", "Write small letters, digits and `-`, at most 63."


def _interface(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, str):
        yield from _text(value)
    elif value and (wrong := interface_problem(value)) is not None:
        yield "", *wrong


def _address(text: object, *, prefix: bool) -> bool:
    if not isinstance(text, str) or "%" in text or ("/" in text and not re.fullmatch(r"[^/]+/[0-9]{1,3}", text)):
        return False
    try:
        ipaddress.ip_interface(text) if prefix else ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _ips(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, list) or not value:
        yield "", "This is no list of at least one address.", 'Write ["10.10.0.5/24"], or leave the key out.'
        return
    for index, text in enumerate(value):
        if not _address(text, prefix=True):
            yield f"[{index}]", "This is no IP address.", "Write an address such as 10.10.0.5 or 10.10.0.5/24."


def _gateways(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, list):
        yield "", "This is no list of gateways.", 'Write ["10.10.0.1"], or [] for no default route.'
        return
    for index, text in enumerate(value):
        if not _address(text, prefix=False) or ipaddress.ip_address(text).is_unspecified:
            yield f"[{index}]", "This is no address of a gateway.", "Write an IP address without a prefix length."


def _hardware(size: int) -> Callable[[object], Iterator[_Wrong]]:
    def check(value: object) -> Iterator[_Wrong]:
        if not isinstance(value, str):
            yield from _text(value)
        elif value and (not _HARDWARE.fullmatch(value) or len(value) != size * 3 - 1):
            example = ":".join(["02", *["00"] * (size - 2), "01"])
            yield "", f"{quote(value)} is no hardware address of {size} bytes.", f"Write one such as {example}."

    return check


def _ports(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, list):
        yield "", "This is no list.", 'Write [{"hostPort": 8080, "containerPort": 80}].'
        return
    for index, entry in enumerate(value):
        fields = entry if isinstance(entry, dict) else {}
        for key in ("hostPort", "containerPort"):
            port = fields.get(key)
            if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
                yield f"[{index}]", f"`{key}` is no port.", "Write a number from 1 to 65535, without quotes."
        protocol = fields.get("protocol") or "tcp"
        if not isinstance(protocol, str) or protocol.lower() not in ("tcp", "udp", "sctp"):
            yield f"[{index}].protocol", "This is no protocol.", "Write TCP, UDP or SCTP."
        host = fields.get("hostIP") or "0.0.0.0"  # noqa: S104  an example, nothing listens
        if not _address(host, prefix=False):
            yield f"[{index}].hostIP", "This is no IP address.", "Write an address of the node."


def _bandwidth(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, dict):
        yield "", "This is no object.", 'Write {"ingressRate": 1000000, "ingressBurst": 1000000}.'
        return
    for key in _RATES:
        amount = value.get(key)
        if key in value and (not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount < 2**64):
            yield f".{key}", "This is no positive whole number.", "Write bits per second, without quotes."
    for way in ("ingress", "egress"):
        if f"{way}Burst" in value and f"{way}Rate" not in value:
            yield f".{way}Burst", f"`{way}Burst` needs `{way}Rate`.", f"Write `{way}Rate` as well."


def _arguments(value: object) -> Iterator[_Wrong]:
    if not isinstance(value, dict):
        yield "", "This is no object.", "Write { ... }."


_CHECKS: dict[str, Callable[[object], Iterator[_Wrong]]] = {
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

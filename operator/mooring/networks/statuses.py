"""network-status: owns how results become the annotation that pods carry, and when two of them say the same.

The text is what readers of Multus know: a JSON list, four blanks of indentation, keys left out where there is nothing
to say. Where Multus says nothing (a result without interfaces), the specification's minimal entry stands instead
(multi-net-spec v1.3, 5): the default network always has its entry, and exactly one entry has `default: true`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from mooring.networks import results

if TYPE_CHECKING:
    from collections.abc import Sequence

ANNOTATION = "k8s.v1.cni.cncf.io/network-status"

#: The annotations of an object hold 256 KiB together; half of that is left to everybody else.
MOST_BYTES = 128 * 1024

#: Half of a surrogate pair: JSON can spell it, UTF-8 cannot hold it, and the API server would store something else.
_HALF = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """One network of a pod and what it gave.

    `network` is `namespace/name` of the NAD or the conf's name, `default_route` the gateways that the pod's element
    asked for (None: it has no such key), `device_info` per device-info-spec or None.
    """

    network: str
    default: bool
    result: dict[str, Any]
    default_route: tuple[str, ...] | None = None
    device_info: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """The text of the annotation, and the networks that did not fit into it."""

    text: str
    left_out: tuple[str, ...] = ()


def entries(attached: Sequence[Attached]) -> list[dict[str, Any]]:
    """Return the entries of the status in order of attachment: one for each interface that a network gave.

    The first default network wins where several claim to be it; the runtime has one only.
    """
    listed: list[dict[str, Any]] = []
    for network in attached:
        listed.extend(_entries(network, default=network.default and not any("default" in entry for entry in listed)))
    return listed


def annotation(attached: Sequence[Attached], *, most_bytes: int = MOST_BYTES) -> Annotation:
    """Return the annotation; the last networks are left out where it gets too long, never the default one."""
    listed = entries(attached)
    texts = [_render(entry) for entry in listed]
    left_out = []
    length = 1 + sum(len(text.encode()) + 1 for text in texts)
    for position in range(len(listed) - 1, -1, -1):
        if length <= most_bytes:
            break
        if "default" in listed[position]:
            continue
        length -= len(texts.pop(position).encode()) + 1
        left_out.append(str(listed[position]["name"]))
    return Annotation(text="[" + ",".join(texts) + "]", left_out=tuple(reversed(left_out)))


def same(one: str | None, other: str | None) -> bool:
    """Return whether two annotations say the same; layout, order of keys and `default: false` say nothing."""
    if one == other:
        return True
    parsed = [_parsed(text) for text in (one, other)]
    return parsed[0] is not None and parsed[0] == parsed[1]


def _parsed(text: str | None) -> list[Any] | None:
    try:
        value = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list):
        return None
    return [_plain(entry) if isinstance(entry, dict) else entry for entry in value]


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if not (key == "default" and value is False)}


def _render(entry: dict[str, Any]) -> str:
    return _HALF.sub("\ufffd", json.dumps(entry, indent=4, ensure_ascii=False))


def _entries(network: Attached, *, default: bool) -> list[dict[str, Any]]:
    result = results.read(network.result)
    parts = results.parts(result)
    # The one that says how the pod gets out is the first that has an address with a gateway.
    gated = [position for position, part in enumerate(parts) if any(address.gateway for address in part.addresses)]
    master = gated[0] if gated else 0
    return [
        _entry(
            network,
            result,
            part.interface,
            [address.ip for address in part.addresses],
            default=default and position == master,
        )
        for position, part in enumerate(parts)
    ]


def _entry(
    network: Attached,
    result: results.Result,
    interface: results.Interface | None,
    ips: list[str],
    *,
    default: bool,
) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": network.network}
    if interface is not None and interface.name:
        entry["interface"] = interface.name
    if ips:
        entry["ips"] = ips
    if "interface" in entry and interface is not None:
        if interface.mac:
            entry["mac"] = interface.mac
        if interface.mtu:
            entry["mtu"] = interface.mtu
    if default:
        entry["default"] = True
    entry["dns"] = result.dns
    if network.device_info:
        entry["device-info"] = network.device_info
    if result.gateways:
        entry["gateway"] = list(result.gateways)
    if network.default_route is not None:
        entry["default-route"] = list(network.default_route)
    return entry

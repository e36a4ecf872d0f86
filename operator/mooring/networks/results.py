"""CNI results: owns how a result of any version becomes interfaces, addresses and routes; refuses to judge them.

A result was accepted by the runtime's own library before it is read here, so whatever has an unexpected shape is left
out and never raised: the status of a pod says as much as can be said (multi-net-spec v1.3, 5.1.1).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

#: Results of these versions have `ip4` and `ip6` and know no interfaces.
OLD_VERSIONS = ("", "0.1.0", "0.2.0")


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """An interface that a plugin made or found; `sandbox` is "" for one on the node's side."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address, the position of its interface (None: not said), its gateway or "", its prefix length (None)."""

    ip: str
    interface: int | None = None
    gateway: str = ""
    length: int | None = None

    @property
    def with_length(self) -> str:
        """The address as CNI writes it: `10.1.1.2/24`."""
        return self.ip if self.length is None else f"{self.ip}/{self.length}"


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What one network gave a pod. `gateways` are those of its default routes, in order, each once."""

    interfaces: tuple[Interface, ...] = ()
    addresses: tuple[Address, ...] = ()
    gateways: tuple[str, ...] = ()
    dns: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One interface of the pod and the addresses on it; `interface` is None where the result knows none there."""

    interface: Interface | None
    addresses: tuple[Address, ...]


def read(result: dict[str, Any]) -> Result:
    """Return what a CNI result of any version says; what is not understood is left out."""
    if "ip4" in result or "ip6" in result or _text(result.get("cniVersion")) in OLD_VERSIONS:
        families = [part for part in (result.get("ip4"), result.get("ip6")) if isinstance(part, dict)]
        addresses = [_address({"address": part.get("ip"), "gateway": part.get("gateway")}) for part in families]
        routes = [route for part in families for route in _objects(part.get("routes"))]
        interfaces: list[Interface] = []
    else:
        # An element that is no object keeps its place: addresses point at interfaces by position.
        listed = result.get("interfaces")
        interfaces = [_interface(item) for item in listed] if isinstance(listed, list) else []
        addresses = [_address(item) for item in _objects(result.get("ips"))]
        routes = _objects(result.get("routes"))
    gateways = [_text(route.get("gw")) for route in routes if _is_default(_text(route.get("dst")))]
    return Result(
        interfaces=tuple(interfaces),
        addresses=tuple(address for address in addresses if address is not None),
        gateways=tuple(dict.fromkeys(gateway for gateway in gateways if gateway)),
        dns=_dns(result.get("dns")),
    )


def parts(result: Result) -> list[Part]:
    """Return what is the pod's of a result, by interface in the result's order; always one part at least."""
    inside = [position for position, interface in enumerate(result.interfaces) if interface.sandbox]
    if len(result.interfaces) <= 1 or not inside:
        # With one interface every address is its own. With none in the pod, addresses are still worth telling.
        return [Part(result.interfaces[inside[0]] if inside else None, result.addresses)]
    held: dict[int, list[Address]] = {position: [] for position in inside}
    for address in result.addresses:
        position = address.interface
        if position is None or position >= len(result.interfaces):
            position = inside[-1]
        if position in held:  # else an address of the node's side, such as the bridge's own
            held[position].append(address)
    return [Part(result.interfaces[position], tuple(held[position])) for position in inside]


def _interface(item: object) -> Interface:
    if not isinstance(item, dict):
        return Interface(name="")
    mtu = item.get("mtu")
    return Interface(
        name=_text(item.get("name")),
        mac=_text(item.get("mac")),
        mtu=mtu if isinstance(mtu, int) and not isinstance(mtu, bool) and mtu > 0 else 0,
        sandbox=_text(item.get("sandbox")),
    )


def _address(item: dict[str, Any]) -> Address | None:
    text, _, length = _text(item.get("address")).partition("/")
    try:
        # Go prints an IPv4 address the same whether it came as 4 or as 16 bytes.
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    bits = int(length) if length.isascii() and length.isdigit() and len(length) <= 3 else None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        text = str(parsed.ipv4_mapped)
        bits = max(bits - 96, 0) if bits is not None else None
    index = item.get("interface")
    said = isinstance(index, int) and not isinstance(index, bool) and index >= 0
    return Address(ip=text, interface=index if said else None, gateway=_text(item.get("gateway")), length=bits)


def _dns(item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {}
    dns: dict[str, Any] = {}
    for key in ("nameservers", "domain", "search", "options"):
        value = item.get(key)
        if isinstance(value, list):
            value = [entry for entry in value if isinstance(entry, str)]
        if value and isinstance(value, str if key == "domain" else list):
            dns[key] = value
    return dns


def _is_default(destination: str) -> bool:
    try:
        return ipaddress.ip_network(destination, strict=False).prefixlen == 0
    except ValueError:
        return False


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

"""One plugin of a configuration (MR112 to MR124, MR201): owns the relations between its options.

It asks the schema first, then what the schema cannot say: options that exclude one another, an IPAM section that
does not fit, a device that nobody names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.rules import addressing, library, names, options, shape, wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mooring.networks import nads, paths
    from mooring.rules.reporting import Reporter

#: These put the pod onto a network outside of its node.
SPANNING = frozenset({"macvlan", "ipvlan", "vlan", "ovs", "sriov", "ib-sriov"})
#: These move a device of the node into the pod.
_MOVERS = frozenset({"host-device", "sriov", "ib-sriov", "accelerated-bridge"})
_LONGEST_TYPE = 40
_SPECIAL_SUBNETS = frozenset({"usepodcidr", "usepodcidripv6"})


def check(plugin: shape.Plugin, conf: shape.Conf, nad: nads.Nad, report: Reporter) -> None:
    """Note what is wrong with one plugin and its IPAM section."""
    kind = library.find(plugin.type)
    if kind is None or (kind.role == "ipam" and not kind.elsewhere):
        _unknown(plugin.type, kind, (*plugin.path, "type"), report)
    known = kind if kind is not None and kind.role != "ipam" else library.base()
    # Of a type that nobody described it is not known what it does with its options before its IPAM plugin runs.
    described = kind is known and not known.fills_ipam
    value = options.check(known, plugin.value, plugin.path, report, mild=plugin.ignored)
    _ipam(value.get("ipam"), plugin, conf, known, described=described, report=report)
    if kind is known:
        _relations(known.name, value, plugin, nad, report)


def _unknown(name: str, kind: library.Type | None, path: paths.Path, report: Reporter) -> None:
    if kind is not None:
        report.config(
            "MR117",
            path,
            f"{name} gives addresses; it makes no interface.",
            'Write a plugin that makes one, and this one in "ipam": {"type": ...}.',
        )
        return
    _misspelt(name, library.names(), "plugin", path, report)


def _misspelt(name: str, known: Iterable[str], what: str, path: paths.Path, report: Reporter) -> None:
    """Note a type that is nearly a known one. What the nodes have is not known here, so it is told as a condition."""
    if len(name) > _LONGEST_TYPE or name in library.UNDESCRIBED:
        return
    near = names.misspelt(name, known)
    if near is not None:
        report.config(
            "MR112",
            path,
            f"{wording.quote(name)} is no {what} that we know; if no such plugin exists, every pod with this "
            "network fails.",
            f"Did you mean `{near}`?",
        )


def _ipam(
    value: object, plugin: shape.Plugin, conf: shape.Conf, kind: library.Type, *, described: bool, report: Reporter
) -> None:
    name = "ipam" if "ipam" in plugin.value else next((k for k in plugin.value if k.lower() == "ipam"), "ipam")
    path = (*plugin.path, name)
    raw = plugin.value.get(name)
    section = raw if isinstance(raw, dict) else {}
    found = value.get("type") if isinstance(value, dict) else None
    ipam_type = found if isinstance(found, str) else ""
    if not ipam_type:
        meant = not kind.fills_ipam or any(names.misspelt(key, ("type",)) for key in section)
        if section and meant and not any(key.lower() == "type" for key in section):
            report.config(
                "MR115", path, "Without a `type` this section does nothing.", 'Write "type": "host-local" in it.'
            )
        elif kind.needs_ipam and plugin.first:
            report.config(
                "MR114",
                path if raw is not None else plugin.path,
                f"{kind.name} fails without an IPAM plugin.",
                'Write "ipam": {"type": ...}.',
            )
        return
    if not shape.binary(ipam_type, (*path, "type"), report):
        return
    entry = library.find(ipam_type, "ipam")
    if entry is None:
        other = library.find(ipam_type)
        if other is not None and other.elsewhere:
            return
        if other is not None:
            report.config(
                "MR117",
                (*path, "type"),
                f"{ipam_type} is no IPAM plugin.",
                "Write one that gives addresses, such as `host-local`, `static` or `dhcp`.",
            )
        else:
            _misspelt(ipam_type, library.names("ipam"), "IPAM plugin", (*path, "type"), report)
        return
    if entry.name == "host-local" and kind.name in SPANNING:
        report.config(
            "MR311",
            (*path, "type"),
            f"host-local knows the addresses of one node only, but the network of {kind.name} may span several.",
            "Use `whereabouts` or `dhcp`, or a definition with a range of its own for each node.",
        )
    mild = plugin.ignored or not described or _filled_in(section)
    folded = options.check(entry, section, path, report, mild=mild)
    capabilities = plugin.value.get("capabilities")
    offered = capabilities if isinstance(capabilities, dict) else {}
    addressing.check(
        addressing.Section(
            kind=entry.name,
            value=folded,
            path=path,
            mild=mild,
            elsewhere=not described or bool(offered.get("ipRanges" if entry.name == "host-local" else "ips")),
            version=conf.version,
        ),
        report,
    )


def _filled_in(section: Mapping[str, object]) -> bool:
    """Tell whether the network is a word that another plugin replaces before host-local reads it."""
    subnet = section.get("subnet")
    return isinstance(subnet, str) and subnet.lower() in _SPECIAL_SUBNETS


def _relations(name: str, value: Mapping[str, object], plugin: shape.Plugin, nad: nads.Nad, report: Reporter) -> None:
    def refuse(code: str, option: str, message: str, remedy: str) -> None:
        report.config(code, (*plugin.path, option), message, remedy, mild=plugin.ignored)

    match name:
        case "bridge":
            if value.get("hairpinMode") is True and value.get("promiscMode") is True:
                refuse("MR122", "promiscMode", "`hairpinMode` and `promiscMode` exclude one another.", "Keep one.")
            ipam = value.get("ipam")
            if value.get("disableContainerInterface") is True and isinstance(ipam, dict) and ipam.get("type"):
                refuse(
                    "MR122",
                    "disableContainerInterface",
                    "An interface that stays down takes no addresses.",
                    "Remove `ipam`, or this option.",
                )
            _trunk("vlanTrunk", value, plugin, report)
        case "ovs" | "accelerated-bridge":
            _trunk("trunk", value, plugin, report)
        case "tuning":
            sysctls = value.get("sysctl")
            for key in sysctls if isinstance(sysctls, dict) else {}:
                if not key.replace(".", "/").startswith("net/"):
                    report.config(
                        "MR121",
                        (*plugin.path, "sysctl", key),
                        f"{wording.quote(key)} is no sysctl of the network.",
                        "Write sysctls that begin with `net.`; set others in the pod's securityContext.",
                        mild=plugin.ignored,
                    )
        case "portmap":
            if "markMasqBit" in value and "externalSetMarkChain" in value:
                refuse(
                    "MR122",
                    "externalSetMarkChain",
                    "`markMasqBit` and `externalSetMarkChain` exclude one another.",
                    "Keep one.",
                )
            _backend(value, plugin, report)
        case "bandwidth":
            for way in ("ingress", "egress"):
                rate, burst = value.get(f"{way}Rate", 0), value.get(f"{way}Burst", 0)
                if bool(rate) != bool(burst):
                    given, missing = (f"{way}Rate", f"{way}Burst") if rate else (f"{way}Burst", f"{way}Rate")
                    refuse("MR122", given, f"`{given}` does not work without `{missing}`.", f"Write `{missing}`.")
        case "sriov":
            _vlan(value, plugin, report)
    if name in _MOVERS:
        _device(name, value, plugin, nad, report)


def _vlan(value: Mapping[str, object], plugin: shape.Plugin, report: Reporter) -> None:
    """Note what sriov refuses beside a VLAN of 0 or none; older versions let some of it pass without one."""
    vlan, protocol = value.get("vlan"), str(value.get("vlanProto", "")).lower()
    for option in ("vlanQoS", "vlanProto"):
        if option not in value or (isinstance(vlan, int) and vlan > 0):
            continue
        asked = value[option] not in (0, "") if option == "vlanQoS" else protocol == "802.1ad"
        if vlan is None or asked:
            report.config(
                "MR122",
                (*plugin.path, option),
                f"`{option}` does not work without a VLAN.",
                "Write `vlan` with a number from 1 on, or remove this option.",
                mild=plugin.ignored or not asked or option == "vlanProto",
            )


def _backend(value: Mapping[str, object], plugin: shape.Plugin, report: Reporter) -> None:
    """Note options of portmap that belong to the other way to forward ports."""
    chosen = value.get("backend")
    if chosen not in ("iptables", "nftables"):
        return
    for option in ("conditionsV4", "conditionsV6", "externalSetMarkChain"):
        found = value.get(option)
        first = found[0] if isinstance(found, list) and found else ""
        # No condition of nftables begins like this, and all of iptables do.
        meant = "iptables" if isinstance(first, str) and first.startswith(("-", "!")) else "nftables"
        if option == "externalSetMarkChain":
            first, meant = found, "iptables"
        if first and meant != chosen:
            report.config(
                "MR122",
                (*plugin.path, option),
                f"`{option}` is written for {meant}, and `backend` is {chosen}.",
                f"Write it for {chosen}, or choose the other backend.",
                mild=plugin.ignored,
            )


def _trunk(option: str, value: Mapping[str, object], plugin: shape.Plugin, report: Reporter) -> None:
    for index, entry in addressing.objects(value.get(option)):
        low, high = entry.get("minID"), entry.get("maxID")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            report.config(
                "MR121",
                (*plugin.path, option, index),
                f"`minID` {low} is above `maxID` {high}.",
                "Write the lower VLAN as `minID`.",
                mild=plugin.ignored,
            )


def _device(name: str, value: Mapping[str, object], plugin: shape.Plugin, nad: nads.Nad, report: Reporter) -> None:
    capabilities = value.get("capabilities")
    offered = isinstance(capabilities, dict) and bool(capabilities.get("deviceID"))
    named = any(value.get(option) for option in ("device", "hwaddr", "kernelpath", "pciBusID", "deviceID"))
    if named or offered or nad.resource_name or "pciBusID" in plugin.value or "deviceID" in plugin.value:
        return
    which = "`device`, `hwaddr`, `kernelpath` or `pciBusID`" if name == "host-device" else "`deviceID`"
    report.config(
        "MR201",
        plugin.path,
        f"{name} is told no device: neither {which} nor an annotation names one.",
        "Write the annotation k8s.v1.cni.cncf.io/resourceName with the resource of the device plugin, or the device.",
    )

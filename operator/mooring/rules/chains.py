"""The plugins of one configuration together (MR123, MR124): owns what their order cannot do.

All of it is legal, so all of it is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.rules import library

if TYPE_CHECKING:
    from mooring.rules import shape
    from mooring.rules.reporting import Reporter

#: These fail without a plugin before them; `tuning` is often alone, and something else joins in later.
_FOLLOWERS = frozenset({"bandwidth", "coordinator", "firewall", "portmap", "route-override", "sbr", "vrf"})

#: These make the pod's interface under its final name. ipvlan takes a master from a plugin before it.
_MAKERS = frozenset(
    {
        "accelerated-bridge", "bridge", "dummy", "host-device", "ib-sriov", "ipoib", "macvlan", "ovs", "ptp", "sriov",
        "tap", "vlan",
    }
)  # fmt: skip


def check(conf: shape.Conf, report: Reporter) -> None:
    """Note a chained plugin that has nothing before it, and a second plugin that makes the interface."""
    maker: str | None = None
    for plugin in conf.plugins:
        kind = library.find(plugin.type)
        name = kind.name if kind is not None else plugin.type
        if plugin.first and name in _FOLLOWERS:
            report.config(
                "MR123",
                (*plugin.path, "type"),
                f"{plugin.type} works on the interface of a plugin before it, and there is none.",
                "Write it into `plugins`, after the plugin that makes the interface.",
            )
        if name not in _MAKERS:
            continue
        if maker is not None:
            report.config(
                "MR124",
                (*plugin.path, "type"),
                f"{plugin.type} makes the interface that {maker} before it has made already.",
                "Write a NetworkAttachmentDefinition of its own for it.",
            )
        maker = plugin.type

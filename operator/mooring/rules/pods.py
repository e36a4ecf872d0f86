"""What a pod asks for (MR501 to MR505): owns judging its network annotations, without looking anything up.

The meta-plugin refuses the same when the pod starts; here a person is told before.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mooring.networks import annotations as selections
from mooring.rules import findings, notes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.networks.requests import Request
    from mooring.rules.findings import Finding, Severity

_PRIMARY = "eth0"


def validate(
    written: Mapping[str, object],
    *,
    namespace: str,
    path: str = "metadata.annotations",
    severities: Mapping[str, Severity] | None = None,
) -> list[Finding]:
    """Return the findings of a pod's annotations, worst first.

    `namespace` is the pod's, `path` where the annotations stand in the manifest (a Deployment has them in its
    template), `severities` the administrator's, by code.
    """
    noted = notes.Notes(severities=severities or {})
    asked = _selection(written, selections.NETWORKS, "MR501", namespace, path, noted)
    instead = _selection(written, selections.DEFAULT_NETWORK, "MR503", namespace, path, noted)
    if written.get(selections.DEFAULT_NETWORK) and len(instead) > 1:
        noted.manifest(
            "MR503",
            f"{path}[{selections.DEFAULT_NETWORK}]",
            f"A pod has one default network; here are {len(instead)}.",
            "Keep one, and write the others into k8s.v1.cni.cncf.io/networks.",
        )
    place = f"{path}[{selections.NETWORKS}]"
    _interfaces(asked, (instead[0].interface if instead else "") or _PRIMARY, place, noted)
    _gateways([*instead, *asked], place, noted)
    return findings.worst_first(noted.findings)


def _selection(
    written: Mapping[str, object], key: str, code: str, namespace: str, path: str, noted: notes.Notes
) -> list[Request]:
    text = written.get(key)
    if text is None:
        return []
    place = f"{path}[{key}]"
    if not isinstance(text, str):
        noted.manifest(code, place, "The value of an annotation must be a text.", "Put the value into quotes.")
        return []
    selection = selections.parse(text, namespace=namespace)
    for problem in selection.problems:
        noted.manifest(code, f"{place}: {problem.place}", problem.message, problem.remedy)
    for request in selection.requests:
        for unknown in request.unknown:
            noted.manifest(
                "MR504",
                f"{place}: {request.place}.{unknown}",
                f"Nobody reads `{unknown[:60]}`; keys without a dot are reserved.",
                "Remove it, or correct its name; keys of your own hold a domain.",
            )
    return list(selection.requests)


def _interfaces(asked: list[Request], primary: str, place: str, noted: notes.Notes) -> None:
    taken = {primary: "the default network"}
    for request in asked:
        if not request.interface:
            continue
        other = taken.get(request.interface)
        if other is not None:
            noted.manifest(
                "MR502",
                f"{place}: {request.place}",
                f"The interface {request.interface} belongs to {other} already.",
                "Write another name, or none: the plugin then numbers the interface.",
            )
        taken.setdefault(request.interface, f"{request.namespace}/{request.name}")


def _gateways(asked: list[Request], place: str, noted: notes.Notes) -> None:
    seen: set[int] = set()
    for request in asked:
        for gateway in request.default_route or ():
            family = ipaddress.ip_address(gateway).version
            if family in seen:
                noted.manifest(
                    "MR505",
                    f"{place}: {request.place}",
                    f"A second IPv{family} gateway is asked for the default route: {gateway}.",
                    "Keep one gateway of each family in the whole pod.",
                )
            seen.add(family)

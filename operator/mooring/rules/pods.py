"""What a pod asks for (MR501 to MR511): owns judging its network annotations, without looking anything up.

The meta-plugin refuses the same when the pod starts; here a person is told before. What exists in the cluster is
only compared where the caller knows it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import TYPE_CHECKING

from mooring.networks import annotations as selections
from mooring.rules import findings, reporting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mooring.networks.requests import Request
    from mooring.rules.findings import Finding, Severity

_PRIMARY = "eth0"


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """What a caller knows of a cluster: the definitions by (namespace, name), and what pods may refer to.

    With `isolation` a pod may refer to networks of its own namespace and of `global_namespaces`.
    """

    definitions: Collection[tuple[str, str]]
    isolation: bool = False
    global_namespaces: Collection[str] = ("default",)


def validate(
    written: Mapping[str, object],
    *,
    namespace: str,
    path: str = "metadata.annotations",
    severities: Mapping[str, Severity] | None = None,
    cluster: Cluster | None = None,
) -> list[Finding]:
    """Return the findings of a pod's annotations, worst first.

    `namespace` is the pod's, `path` where the annotations stand in the manifest (a Deployment has them in its
    template), `severities` the administrator's, by code; `cluster` None compares with none.
    """
    report = reporting.Reporter(severities=severities or {})
    asked = _selection(written, selections.NETWORKS, "MR501", namespace, path, report)
    instead = _selection(written, selections.DEFAULT_NETWORK, "MR503", namespace, path, report)
    if written.get(selections.DEFAULT_NETWORK) and len(instead) > 1:
        report.manifest(
            "MR503",
            f"{path}[{selections.DEFAULT_NETWORK}]",
            f"A pod has one default network; here are {len(instead)}.",
            "Keep one, and write the others into k8s.v1.cni.cncf.io/networks.",
        )
    place = f"{path}[{selections.NETWORKS}]"
    _interfaces(asked, (instead[0].interface if instead else "") or _PRIMARY, place, report)
    _gateways([*instead, *asked], place, report)
    if cluster is not None:
        for key, requests in ((selections.DEFAULT_NETWORK, instead), (selections.NETWORKS, asked)):
            _references(requests, cluster, namespace, f"{path}[{key}]", report)
    return findings.worst_first(report.findings)


def _selection(
    written: Mapping[str, object], key: str, code: str, namespace: str, path: str, report: reporting.Reporter
) -> list[Request]:
    text = written.get(key)
    if text is None:
        return []
    place = f"{path}[{key}]"
    if not isinstance(text, str):
        report.manifest(code, place, "The value of an annotation must be a text.", "Put the value into quotes.")
        return []
    selection = selections.parse(text, namespace=namespace)
    for problem in selection.problems:
        report.manifest(code, f"{place}: {problem.place}", problem.message, problem.remedy)
    for request in selection.requests:
        for unknown in request.unknown:
            report.manifest(
                "MR504",
                f"{place}: {request.place}.{unknown}",
                f"Nobody reads `{unknown[:60]}`; keys without a dot are reserved.",
                "Remove it, or correct its name; keys of your own hold a domain.",
            )
    return list(selection.requests)


def _interfaces(asked: list[Request], primary: str, place: str, report: reporting.Reporter) -> None:
    taken = {primary: "the default network"}
    for request in asked:
        if not request.interface:
            continue
        other = taken.get(request.interface)
        if other is not None:
            report.manifest(
                "MR502",
                f"{place}: {request.place}",
                f"The interface {request.interface} belongs to {other} already.",
                "Write another name, or none: the plugin then numbers the interface.",
            )
        taken.setdefault(request.interface, f"{request.namespace}/{request.name}")


def _gateways(asked: list[Request], place: str, report: reporting.Reporter) -> None:
    seen: set[int] = set()
    for request in asked:
        for gateway in request.default_route or ():
            family = ipaddress.ip_address(gateway).version
            if family in seen:
                report.manifest(
                    "MR505",
                    f"{place}: {request.place}",
                    f"A second IPv{family} gateway is asked for the default route: {gateway}.",
                    "Keep one gateway of each family in the whole pod.",
                )
            seen.add(family)


def _references(asked: list[Request], cluster: Cluster, namespace: str, place: str, report: reporting.Reporter) -> None:
    for request in asked:
        allowed = request.namespace == namespace or request.namespace in cluster.global_namespaces
        if cluster.isolation and not allowed:
            report.manifest(
                "MR511",
                f"{place}: {request.place}",
                f"A pod of {namespace} may not use networks of {request.namespace}: namespaces are isolated.",
                "Use a network of the pod's own namespace, or of a global one.",
            )
        elif (request.namespace, request.name) not in cluster.definitions:
            report.manifest(
                "MR510",
                f"{place}: {request.place}",
                f"There is no NetworkAttachmentDefinition {request.namespace}/{request.name}.",
                "Create it, or correct the name; the pod starts as soon as it is there.",
            )

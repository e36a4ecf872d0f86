"""A Multus in the cluster: owns how it is recognised, whether it may be adopted, and how it is kept from our nodes.

Pure: DaemonSets come in as the API server has them. What becomes of its configuration is `imports`. A Multus is
recognised by the programs that its containers run and by the type of its image, never by its labels alone. Refuses to
have Multus and Mooring fight over the nodes: without `spec.adopt` nothing is put on a node while one runs.

Multus is kept from a node by its own DaemonSet, which gets the rule that it does not run on Nodes with the label
`mooring.dev/adopted`; its updates wait for the deletion of its pods meanwhile (`OnDelete`), or the new rule would
restart it on every node at once, and a thick one takes its conf away when it stops.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, Literal

from mooring.installing import multus
from mooring.installing.summaries import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mooring.installing import standings
    from mooring.installing.imports import Finding

Form = Literal["Thin", "Thick"]
#: Who makes the changes of its DaemonSet, apart from all else that we write: so they can be taken back alone.
FIELD_MANAGER = "mooring-adoption"
#: On the Installation: the DaemonSet whose configuration it has taken over, so that it is taken over once.
IMPORTED = "mooring.dev/imported-from"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_THICK = "multus-daemon"
_THIN = "thin_entrypoint"
_IMAGES = ("multus-cni", "hardened-multus-cni", "hardened-multus-thick")
_RULE = {"key": multus.ADOPTED, "operator": "DoesNotExist"}


@dataclasses.dataclass(frozen=True, slots=True)
class DaemonSet:
    """A DaemonSet of Multus."""

    namespace: str
    name: str
    uid: str
    form: Form
    item: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)
    #: The one of its containers that is Multus.
    container: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def nodes(self) -> int:
        """On how many nodes it is to run."""
        return int((self.item.get("status") or {}).get("desiredNumberScheduled") or 0)

    @property
    def ready(self) -> bool:
        """Whether it runs on all nodes on which it is to run, as far as it was seen."""
        status = self.item.get("status") or {}
        seen = (status.get("observedGeneration") or 0) >= (self.item["metadata"].get("generation") or 0)
        return seen and (status.get("numberReady") or 0) >= self.nodes

    @property
    def excluded(self) -> bool:
        """Whether it stays away from adopted nodes, by whoever's word."""
        terms = self._terms
        return bool(terms) and all(_RULE in (term.get("matchExpressions") or []) for term in terms)

    @property
    def on_delete(self) -> bool:
        """Whether its pods run on until they are deleted, whatever becomes of its template."""
        return (self.item["spec"].get("updateStrategy") or {}).get("type") == "OnDelete"

    @property
    def ours(self) -> bool:
        """Whether something in it is ours."""
        managers = self.item["metadata"].get("managedFields") or []
        return any(each.get("manager") == FIELD_MANAGER for each in managers)

    @property
    def has_own_terms(self) -> bool:
        """Whether somebody else said on which nodes it runs, by affinity: that list has room for one owner only."""
        return bool(self._terms) and self._terms != [{"matchExpressions": [_RULE]}]

    @property
    def _terms(self) -> list[dict[str, Any]]:
        affinity = self.item["spec"]["template"]["spec"].get("affinity") or {}
        required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
        return list(required.get("nodeSelectorTerms") or [])


def find(items: Iterable[Mapping[str, Any]]) -> list[DaemonSet]:
    """Return the DaemonSets of Multus among those of the cluster, by namespace and name."""
    found = []
    for item in items:
        part = _part(item["spec"]["template"]["spec"].get("containers") or [])
        if part:
            metadata = item["metadata"]
            found.append(DaemonSet(metadata["namespace"], metadata["name"], metadata["uid"], part[0], item, part[1]))
    return sorted(found, key=lambda each: each.key)


def program(container: Mapping[str, Any]) -> str | None:
    """Return which program a container runs, without its folder; None where only the image says it."""
    command = container.get("command") or []
    return _base(str(command[0])) if command else None


def runs_multus(container: Mapping[str, Any]) -> bool:
    """Say whether what a container is told are the flags of Multus' own program, and not a shell's or a script's."""
    if container.get("command"):
        return program(container) in (_THICK, _THIN)
    args = container.get("args") or []
    return not args or str(args[0]).startswith("-")


def _part(containers: Sequence[Mapping[str, Any]]) -> tuple[Form, Mapping[str, Any]] | None:
    """Return the form of Multus among a pod's containers and which one it is."""
    forms: tuple[tuple[str, Form], ...] = ((_THICK, "Thick"), (_THIN, "Thin"))
    for wanted, form in forms:
        for each in containers:
            if program(each) == wanted:
                return form, each
    for each in containers:
        if any(str(word).startswith("--multus-conf-file") for word in each.get("args") or []):
            return "Thin", each
    for each in containers:
        name, _, tag = _base(str(each.get("image") or "")).partition("@")[0].partition(":")
        if name.startswith(_IMAGES):
            # Without a command the image says what runs: by its name, or by its tag as in `multus-cni:v4.2.2-thick`.
            return "Thick" if "thick" in re.split("[-_.]", f"{name}-{tag}") else "Thin", each
    return None


def _base(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def exclusion(daemon_set: DaemonSet) -> dict[str, Any]:
    """Return the body of the server-side apply that keeps it from adopted nodes, and from restarting on the others."""
    term = {"matchExpressions": [_RULE]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {
        **_identity(daemon_set),
        "spec": {
            "updateStrategy": {"type": "OnDelete"},
            "template": {"spec": {"affinity": {"nodeAffinity": required}}},
        },
    }


def release(daemon_set: DaemonSet) -> dict[str, Any]:
    """Return the body that takes all of that back: fields that we alone own go."""
    return _identity(daemon_set)


def _identity(daemon_set: DaemonSet) -> dict[str, Any]:
    # The uid: of one that was deleted meanwhile, nothing must be made anew.
    metadata = {"name": daemon_set.name, "namespace": daemon_set.namespace, "uid": daemon_set.uid}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata}


def undone(daemon_set: DaemonSet) -> Problem:
    """Return that somebody else took back what keeps it from our nodes, or from restarting on the others."""
    told = (
        f"DaemonSet {daemon_set.key} was applied without what keeps Multus from adopted nodes and from restarting on "
        f"the others; that was put back. Stop what applies it, or have its manifest say updateStrategy OnDelete and "
        f"the node affinity {{key: {multus.ADOPTED}, operator: DoesNotExist}}."
    )
    return Problem("MultusAppliedAgain", told)


def written(installation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the keys of its spec that manifests say, as far as that is known: the API server fills in the defaults.

    Known is what was applied, by the server or by kubectl; of what was created or edited otherwise it is not.
    """
    metadata = installation.get("metadata") or {}
    found: list[Mapping[str, Any]] = [
        _keys((each.get("fieldsV1") or {}).get("f:spec") or {})
        for each in metadata.get("managedFields") or []
        if each.get("operation") == "Apply" and each.get("manager") != FIELD_MANAGER
    ]
    try:
        applied = json.loads((metadata.get("annotations") or {}).get(_APPLIED) or "{}")
    except (ValueError, RecursionError):
        applied = None
    spec = applied.get("spec") if isinstance(applied, dict) else None
    return [*found, spec] if isinstance(spec, dict) else found


def _keys(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that managed fields name."""
    return {key.removeprefix("f:"): _keys(each) for key, each in fields.items() if key.startswith("f:")}


def switched(nodes: Iterable[standings.Node], labels: Mapping[str, Mapping[str, str]], *, revision: str) -> list[str]:
    """Return the nodes from which Multus is to be kept from now on: they work with us, and do not have the label.

    `revision` is the one that is wanted; a node on its way to a later one stays as it is.
    """
    return [
        node.name
        for node in nodes
        if node.good and not node.away and node.told.revision == revision and multus.ADOPTED not in labels[node.name]
    ]


def obstacles(found: Sequence[DaemonSet], findings: Sequence[Finding]) -> list[Problem]:
    """Return why what is there cannot be adopted."""
    if len(found) > 1:
        names = ", ".join(each.key for each in found)
        told = f"Several DaemonSets of Multus run: {names}. Leave one, or give each its nodes and remove it by hand."
        return [Problem("MultusNotAdoptable", told)]
    for each in found:
        if each.has_own_terms and not each.excluded:
            told = (
                f"DaemonSet {each.key} has node affinity terms of its own. Add to each of them, where the DaemonSet "
                f"comes from: {{key: {multus.ADOPTED}, operator: DoesNotExist}}, and updateStrategy OnDelete."
            )
            return [Problem("MultusNotAdoptable", told)]
    blocking = [finding for finding in findings if finding.blocking]
    if blocking:
        return [Problem("MultusNotAdoptable", " ".join(f"{each.key}: {each.message}" for each in blocking))]
    return []


def contested(found: Sequence[DaemonSet], *, served: bool) -> Problem:
    """Return that a Multus runs that nobody said to adopt; `served`: nodes are ours already."""
    names = ", ".join(each.key for each in found)
    adopt = "take its nodes over with spec.adopt: Multus (status.multus says what would be imported)"
    if served:
        back = "or delete the Installation, which gives them to Multus"
        return Problem("MultusRuns", f"Multus runs beside Mooring (DaemonSet {names}): remove it, {adopt}, {back}.")
    return Problem(
        "MultusRuns",
        f"Multus serves this cluster (DaemonSet {names}), and no node is touched while it does: {adopt}, or remove it.",
    )

"""API calls on the way of a pod, counted where they arrive: in the audit log of a real API server.

Owns the objects that the count needs. Each contender has a user of its own, by whose name its
requests are told apart. Refuses to time anything.
"""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
import uuid
from typing import TYPE_CHECKING

from bench import building, contenders, networks, node, processes
from testbed import controlplane, failures, progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.contenders import Meta
    from bench.networks import Json
    from bench.node import Node, Pod
    from testbed.controlplane import ControlPlane

UNCACHED = "uncached"
_GROUP = "k8s.cni.cncf.io"


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """The requests that one ADD, and its DEL, made: verb and path each."""

    contender: str
    case: str
    networks: int
    add: tuple[str, ...]
    delete: tuple[str, ...]


def user(label: str) -> str:
    """Return a contender's name at the API server."""
    return f"bench-{label}"


def requests(lines: Iterable[str], *, by: str) -> list[str]:
    """Return `verb path` of what a user asked for, from the lines of an audit log, in their order."""
    events = (json.loads(line) for line in lines if line.strip())
    return [
        f"{event['verb']} {urllib.parse.urlsplit(event['requestURI']).path}"
        for event in events
        if event["user"]["username"] == by
    ]


class Cluster:
    """An API server with the benchmark's definitions and pods in it."""

    def __init__(self, plane: ControlPlane, place: Node, *, counts: Sequence[int], burst: int) -> None:
        self._plane = plane
        crd = building.CHECKOUT / "crds" / "network-attachment-definitions.yaml"
        plane.kubectl("apply", "-f", str(crd))
        plane.kubectl("wait", f"crd/network-attachment-definitions.{_GROUP}", "--for=condition=Established")
        plane.kubectl("create", "namespace", networks.NAMESPACE)
        highest = max(counts)
        wanted = [_definition(networks.name(n), networks.further(n, place.addresses)) for n in range(1, highest + 1)]
        wanted.append(_definition(UNCACHED, networks.further(1, place.addresses)))
        wanted += [_pod(f"pod-{count}", networks.annotation(count)) for count in counts]
        wanted += [_pod(f"burst-{number}", networks.annotation(1)) for number in range(burst)]
        wanted.append(_pod(f"pod-{UNCACHED}", UNCACHED))
        plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
        pods = json.loads(plane.kubectl("get", "pods", f"--namespace={networks.NAMESPACE}", "--output=json"))["items"]
        self._uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in pods}

    def kubeconfig(self, label: str) -> Path:
        """Return the kubeconfig of a contender, which may do everything."""
        return self._plane.kubeconfig_for(user(label), "system:masters")

    def pod(self, name: str, netns: Path) -> Pod:
        """Return the pod of this name for a network namespace."""
        return node.Pod(name, self._uids[name], netns)

    def made_by(self, label: str) -> list[str]:
        """Return all requests of a contender so far."""
        # What the log shows of ours, it shows of all that ended before.
        marker = f"/api/v1/namespaces/{networks.NAMESPACE}/configmaps/{uuid.uuid4()}"
        controlplane.fetch(self._plane.layout, marker)
        seen: list[str] = []

        def shown() -> bool:
            seen[:] = self._plane.audit_log.read_text().splitlines()
            return any(marker in line for line in seen)

        progress.waiting("the audit log", shown, every=0.05)
        return requests(seen, by=user(label))


def _definition(name: str, conf: Json) -> Json:
    metadata = {"name": name, "namespace": networks.NAMESPACE}
    kind = "NetworkAttachmentDefinition"
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata, "spec": {"config": json.dumps(conf)}}


def _pod(name: str, annotation: str) -> Json:
    metadata: Json = {"name": name, "namespace": networks.NAMESPACE}
    if annotation:
        metadata["annotations"] = {networks.ANNOTATION: annotation}
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "none.example/none"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def measured(cluster: Cluster, place: Node, contestants: Sequence[Meta], *, counts: Sequence[int]) -> list[Counted]:
    """Count the requests of one ADD and its DEL, for cached definitions and for one that is not.

    Raises Failure where a call fails.
    """
    progress.say("API calls")
    cases: Mapping[str, tuple[str, str, int]] = {
        **{f"pod-{count}": ("cached", networks.annotation(count), count) for count in counts},
        f"pod-{UNCACHED}": ("not cached", UNCACHED, 1),
    }
    counted = []
    for each in contestants:
        for name, (case, annotation, count) in cases.items():
            each.prepare()
            pod = cluster.pod(name, place.namespaces[0])
            before = len(cluster.made_by(each.label))
            contenders.succeeded(each.label, processes.run(each.command("ADD", pod, annotation)))
            between = cluster.made_by(each.label)
            contenders.succeeded(each.label, processes.run(each.command("DEL", pod, annotation)))
            after = cluster.made_by(each.label)
            made = Counted(each.label, case, count, tuple(between[before:]), tuple(after[len(between) :]))
            counted.append(made)
    if not counted:
        raise failures.Failure("there is nobody to count the API calls of")
    return counted

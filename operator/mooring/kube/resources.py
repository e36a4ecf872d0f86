"""The kinds of objects that Mooring talks about: owns their names and the URLs they live at.

A fixed table instead of discovery: one request fewer at every start of every agent, and no surprise where an
aggregated API is down. Refuses kinds that Mooring has no business with: what is not here cannot be asked for.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import TYPE_CHECKING

from mooring.networks import nads

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object. `api_version` is "v1" or "group/version", `plural` the lower-case name in URLs."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        """The API group; "" for the core group."""
        group, _, version = self.api_version.partition("/")
        return group if version else ""

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the absolute path of a collection, an object, or a part of an object.

        Without a namespace, a namespaced kind's path is that of all namespaces together, which can only be read.

        Raises:
            ValueError: a namespace for a kind that has none, or an object of a namespaced kind without one.
        """
        if namespace and not self.namespaced:
            raise ValueError(f"{self.kind} has no namespace, but {namespace!r} was given")
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name!r} needs a namespace")
        parts = ["apis" if "/" in self.api_version else "api", self.api_version]
        if namespace:
            parts += ["namespaces", urllib.parse.quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(urllib.parse.quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(parts)


def key(item: dict[str, object]) -> str:
    """Return the name of an object within its kind: `namespace/name`, or `name` where it has no namespace."""
    metadata = item["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101  every object of the API server has metadata
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def selector(labels: Mapping[str, str]) -> str:
    """Return the label selector of what carries all these labels."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


NODES = Resource("v1", "Node", "nodes", namespaced=False)
NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)
PODS = Resource("v1", "Pod", "pods", namespaced=True)
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps", namespaced=True)
SECRETS = Resource("v1", "Secret", "secrets", namespaced=True)
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts", namespaced=True)
EVENTS = Resource("events.k8s.io/v1", "Event", "events", namespaced=True)
DAEMON_SETS = Resource("apps/v1", "DaemonSet", "daemonsets", namespaced=True)
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases", namespaced=True)
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
NADS = Resource(nads.API_VERSION, nads.KIND, nads.PLURAL, namespaced=True)
INSTALLATIONS = Resource("mooring.dev/v1alpha1", "Installation", "installations", namespaced=False)
NODE_STATES = Resource("mooring.dev/v1alpha1", "NodeState", "nodestates", namespaced=False)
ATTACHMENT_SLICES = Resource("mooring.dev/v1alpha1", "AttachmentSlice", "attachmentslices", namespaced=False)
NETWORK_REPORTS = Resource("mooring.dev/v1alpha1", "NetworkReport", "networkreports", namespaced=True)

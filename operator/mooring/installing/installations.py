"""The `Installation`: owns what an administrator can say, with every default, and its status.

One object, cluster-scoped, named `default`. The CRD is generated from these models (`crds.py`), and so are its
descriptions: a field's text here is what `kubectl explain` prints.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import pydantic

from mooring.installing import distributions
from mooring.installing.conditions import Condition
from mooring.installing.models import Model, rule, rules
from mooring.installing.pluginkeys import Plugin
from mooring.installing.pluginsets import AbsolutePath, PluginSet, contradictions
from mooring.rules import catalogue

GROUP = "mooring.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Severity = Literal["Enforce", "Warn", "Audit"]


#: Where runtimes listen for the kubelet: below /run, but for a distribution that keeps all in a folder of its own.
RUNTIME_FOLDER = "/run"
RUNTIME_FOLDERS = {"microk8s": "/var/snap/microk8s/common/run"}
STATE_DIR = "/var/lib/mooring"


class Paths(Model):
    """Where a node keeps its CNI files."""

    # Journals of running pods are there: with another folder their networks would never be undone.
    model_config = pydantic.ConfigDict(
        json_schema_extra=rule(
            "self.stateDir == oldSelf.stateDir",
            "stateDir stays as it is: it holds what must be undone of running pods. Delete the Installation and create "
            "another one",
        )
    )

    preset: Literal["kubeadm", "kind", "k3s", "rke2", "talos", "openshift", "microk8s"] | None = pydantic.Field(
        None, description="The folders of a known distribution; the other fields win over it."
    )
    cni_bin_dir: AbsolutePath | None = pydantic.Field(
        None, description="Folder of the CNI plugins on the nodes; /opt/cni/bin unless the preset says otherwise."
    )
    cni_conf_dir: AbsolutePath | None = pydantic.Field(
        None, description="Folder of the runtime's CNI confs; /etc/cni/net.d unless the preset says otherwise."
    )
    state_dir: AbsolutePath = pydantic.Field(
        STATE_DIR, description="Folder of the cache, the journal and the results on the nodes."
    )

    def resolved(self) -> dict[str, str]:
        """Return the three folders as they are: `cniBinDir`, `cniConfDir`, `stateDir`."""
        known = distributions.PRESETS.get(self.preset or "", distributions.DEFAULT)
        return {
            "cniBinDir": self.cni_bin_dir or known["cniBinDir"],
            "cniConfDir": self.cni_conf_dir or known["cniConfDir"],
            "stateDir": self.state_dir,
        }

    def runtime_folders(self) -> list[str]:
        """Return the folders of the node in which the container runtime's socket may be."""
        return [RUNTIME_FOLDER, *filter(None, [RUNTIME_FOLDERS.get(self.preset or "")])]


class Toleration(Model):
    """A toleration of the agent's pods, as in a pod's spec."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "a toleration with operator Exists has no value",
            ),
            (
                "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without a key is one of everything, and has operator Exists",
            ),
            (
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds is for effect NoExecute",
            ),
        )
    )

    key: str | None = pydantic.Field(None, max_length=317, description="The taint's key; every taint where absent.")
    operator: Literal["Exists", "Equal"] | None = pydantic.Field(
        None, description="How key and value are compared; Equal unless set."
    )
    value: str | None = pydantic.Field(None, max_length=63, description="The taint's value, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = pydantic.Field(
        None, description="The taint's effect; every effect where absent."
    )
    toleration_seconds: int | None = pydantic.Field(
        None, description="How long a taint with NoExecute is tolerated; for ever where absent."
    )

    @pydantic.model_validator(mode="after")
    def _together(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with operator Exists has no value")
        if not self.key and self.operator != "Exists":
            raise ValueError("a toleration without a key is one of everything, and has operator Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds is for effect NoExecute")
        return self


class Canary(Model):
    """The nodes that go first."""

    nodes: int = pydantic.Field(1, ge=0, description="How many.")
    soak_seconds: int = pydantic.Field(60, ge=0, description="How long they are watched before the others follow.")


class Rollout(Model):
    """How a revision reaches the nodes."""

    max_unavailable: Annotated[int, pydantic.Field(ge=0)] | Annotated[str, pydantic.Field(pattern=r"^[0-9]+%$")] = (
        pydantic.Field("10%", description="Nodes that change at the same time, at least one: a number or a percentage.")
    )
    canary: Canary = pydantic.Field(default_factory=Canary, description="The nodes that go first.")
    paused: bool = pydantic.Field(False, description="Whether no further node gets the new revision.")
    progress_deadline_seconds: int = pydantic.Field(
        600,
        ge=1,
        le=86400,
        description="How long a changed node may take to be ready before the roll-out halts, and how long nodes that "
        "are away are waited for: a canary until another one takes its place, any node until an uninstall ends.",
    )
    rollback_to: str | None = pydantic.Field(
        None,
        pattern=r"^mooring-revision-[0-9a-f]{10}$",
        description="The name of a former revision that the nodes get instead of what the rest of this spec says, "
        "for example status.rollout.lastGood.",
    )


_QUANTITY = r"^([0-9]+|[0-9]*\.[0-9]+|[0-9]+\.)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?$"
Quantity = Annotated[int, pydantic.Field(ge=0)] | Annotated[str, pydantic.Field(pattern=_QUANTITY, max_length=32)]


class Resources(Model):
    """Requests and limits of a container, as in a pod's spec."""

    requests: dict[str, Quantity] | None = pydantic.Field(
        None, max_length=16, description="What the node keeps free for it, by resource, such as cpu: 50m."
    )
    limits: dict[str, Quantity] | None = pydantic.Field(
        None, max_length=16, description="What it may use at most, by resource, such as memory: 256Mi."
    )


class Component(Model):
    """What can be said of one of our own parts."""

    resources: Resources | None = pydantic.Field(None, description="Its requests and limits.")


Label = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class Agent(Component):
    """What can be said of the agent's pods."""

    metrics_port: Annotated[int, pydantic.Field(ge=1024, le=65535)] | None = pydantic.Field(
        None,
        description="Port of the node's own address at which everybody who reaches it gets the agent's metrics; none "
        "unless set.",
    )
    log_format: Literal["text", "json"] = pydantic.Field("text", description="How the agent's log is written.")
    cached_namespaces: list[Label] = pydantic.Field(
        default_factory=list,
        max_length=64,
        description="Namespaces whose networks are kept on the nodes, all where empty. For a network of any other, the "
        "plugin asks the API server when a pod starts.",
    )


_CODES = sorted(catalogue.RULES)


class Admission(Model):
    """What the admission of networks refuses."""

    failure_policy: Literal["Fail", "Ignore"] = pydantic.Field(
        "Fail", description="What the API server does while the operator cannot be asked."
    )
    severities: dict[str, Severity] = pydantic.Field(
        default_factory=dict,
        max_length=len(_CODES),
        description="Severity by rule code, such as MR110: Enforce, where it differs from the default; docs/rules.md "
        "lists the rules.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"self.all(code, code in {_CODES})",
                    "messageExpression": f"'there is no rule ' + self.filter(code, !(code in {_CODES}))[0]",
                }
            ]
        },
    )

    @pydantic.field_validator("severities")
    @classmethod
    def _known(cls, value: dict[str, Severity]) -> dict[str, Severity]:
        unknown = [code for code in value if code not in _CODES]
        if unknown:
            raise ValueError(f"there is no rule {', '.join(unknown)}")
        return value


def _possible(sets: list[PluginSet]) -> list[PluginSet]:
    if found := contradictions(sets):
        raise ValueError(" ".join(found))
    return sets


class InstallationSpec(Model):
    """What should be on the nodes. Every field has a default."""

    # With a default in the schema it is always there, so that its rule about changes is always asked.
    paths: Paths = pydantic.Field(
        default_factory=Paths,
        description="Where a node keeps its CNI files.",
        json_schema_extra={"default": {"stateDir": STATE_DIR}},
    )
    default_network: str = pydantic.Field(
        "auto",
        min_length=1,
        description="The pods' default network: auto (the first conf of the node that is not ours), or a file's name.",
    )
    plugin: Plugin = pydantic.Field(default_factory=Plugin, description="Keys of 00-multus.conf.")
    node_selector: dict[str, str] = pydantic.Field(
        default_factory=dict, description="Labels of the nodes that are served; all nodes where empty."
    )
    tolerations: list[Toleration] = pydantic.Field(
        default_factory=list,
        max_length=64,
        description="Further tolerations of the agent, which tolerates everything already.",
    )
    plugin_sets: Annotated[list[PluginSet], pydantic.AfterValidator(_possible)] = pydantic.Field(
        default_factory=list, max_length=16, description="Further CNI plugins to distribute."
    )
    dhcp_daemon: bool = pydantic.Field(
        False, description="Whether the agent keeps the daemon of the dhcp IPAM plugin running on the nodes."
    )
    pods_without_networks: Literal["Report", "Evict"] = pydantic.Field(
        "Report",
        description="What happens to pods that run without the networks they ask for: Report marks them and says why. "
        "Evict besides evicts those on Ready nodes that a ReplicaSet, StatefulSet, DaemonSet or ReplicationController "
        "makes anew, within their disruption budgets.",
    )
    rollout: Rollout = pydantic.Field(default_factory=Rollout, description="How a revision reaches the nodes.")
    adopt: Literal["None", "Multus"] = pydantic.Field(
        "None",
        description="What is taken over. Multus: the configuration of a Multus that runs in the cluster goes into this "
        "spec, once, and its nodes are switched over one after the other; running pods keep their networks. None: "
        "while a Multus runs no node is touched, and one that was adopted may run everywhere again.",
    )
    agent: Agent = pydantic.Field(default_factory=Agent, description="The agent's pods.")
    admission: Admission = pydantic.Field(default_factory=Admission, description="The admission of networks.")


class NodeCounts(Model):
    """How many nodes are where."""

    desired: int = pydantic.Field(0, description="Nodes that are selected.")
    updated: int = pydantic.Field(0, description="Nodes that have the revision.")
    ready: int = pydantic.Field(0, description="Nodes that give pods their networks.")
    phases: dict[str, int] | None = pydantic.Field(
        None,
        description="How many are in which phase: current, moving, proving, failing, away, held, unknown.",
    )


class CanaryNode(Model):
    """One of the nodes that go first."""

    node: str = pydantic.Field(description="The name of the node.")
    away_since: str | None = pydantic.Field(
        None, description="Since when it is away.", json_schema_extra={"format": "date-time"}
    )


class Halt(Model):
    """Why no further node gets the revision."""

    node: str = pydantic.Field(description="The node that does worse than before.")
    reason: str = pydantic.Field(description="NotReadyInTime or MoreFailedAdds.")
    message: str = pydantic.Field(description="What it does worse, for a person.")
    generation: int = pydantic.Field(description="The Installation's generation; another one lifts the halt.")
    since: str = pydantic.Field(description="When it halted.", json_schema_extra={"format": "date-time"})


class RolloutStatus(Model):
    """What must be remembered of a roll-out."""

    revision: str = pydantic.Field("", description="The revision that it is about.")
    stage: Literal["Canaries", "Rest", "Complete"] | None = pydantic.Field(
        None, description="Canaries: only those change. Rest: all others follow. Complete: all that are there have it."
    )
    last_good: str | None = pydantic.Field(
        None, description="The last revision that all nodes worked with; new nodes get it."
    )
    since: str | None = pydantic.Field(
        None, description="Since when it is under way, or goes on again.", json_schema_extra={"format": "date-time"}
    )
    canaries: list[CanaryNode] = pydantic.Field(
        default_factory=list, description="The nodes that go first; chosen once."
    )
    canaries_since: str | None = pydantic.Field(
        None,
        description="Since when the canary nodes work with it.",
        json_schema_extra={"format": "date-time"},
    )
    halted: Halt | None = pydantic.Field(None, description="Why it halted; absent while it goes on.")


class MultusStatus(Model):
    """A Multus in the cluster, and what its adoption would do or did."""

    daemon_sets: list[str] = pydantic.Field(default_factory=list, description="Its DaemonSets, as namespace/name.")
    form: Literal["Thin", "Thick"] | None = pydantic.Field(
        None, description="Thick where a daemon of it makes the networks, Thin where the plugin does."
    )
    nodes: int = pydantic.Field(0, description="Nodes on which it is to run.")
    adopted: int = pydantic.Field(0, description="Nodes from which it is kept, because they are Mooring's.")
    imports: str | None = pydantic.Field(
        None, description="What of its configuration adopt: Multus adds to this spec, as YAML; absent where nothing."
    )
    findings: list[str] = pydantic.Field(
        default_factory=list, max_length=50, description="What of its configuration is not carried over, and why."
    )


class InstallationStatus(Model):
    """What is so, as the operator sees it."""

    observed_generation: int | None = pydantic.Field(None, description="The generation of the spec that this is about.")
    revision: str | None = pydantic.Field(None, description="The name of the revision that should be on the nodes.")
    nodes: NodeCounts | None = pydantic.Field(None, description="How many nodes are where.")
    rollout: RolloutStatus | None = pydantic.Field(None, description="What must be remembered of a roll-out.")
    multus: MultusStatus | None = pydantic.Field(
        None, description="The Multus of the cluster; absent where there is none."
    )
    conditions: list[Condition] = pydantic.Field(
        default_factory=list,
        description="Available: pods get their networks. Progressing: something is on its way. Degraded: something is "
        "wrong and stays so unless somebody acts.",
    )

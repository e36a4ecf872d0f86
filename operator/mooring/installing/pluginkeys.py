"""The keys of 00-multus.conf that an administrator may set: owns their names, defaults and limits in an `Installation`.

Their texts are what `kubectl explain` prints. Refuses to render them: that is `confs`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self

import pydantic

from mooring.installing.models import Model, rules
from mooring.installing.pluginsets import AbsolutePath

Seconds = Annotated[int, pydantic.Field(ge=1, le=3600)]


def _cidr(text: str) -> str:
    """Refuse what the plugin's parser refuses: one bad network in the conf would fail every pod."""
    if not re.fullmatch(r"[0-9A-Fa-f:.]+/(0|[1-9][0-9]{0,2})", text):
        raise ValueError("write a network as address/length, for example 10.96.0.0/12")
    ipaddress.ip_network(text, strict=False)
    return text


CIDR = Annotated[str, pydantic.AfterValidator(_cidr), pydantic.Field(json_schema_extra={"format": "cidr"})]


class LogOptions(Model):
    """How the plugin's log file is rotated."""

    max_age: int = pydantic.Field(5, ge=0, description="Days after which a rotated file goes.")
    max_size: int = pydantic.Field(100, ge=1, description="Megabytes at which the file is rotated.")
    max_backups: int = pydantic.Field(5, ge=0, description="Rotated files that are kept.")
    compress: bool = pydantic.Field(True, description="Whether rotated files are compressed.")


class Plugin(Model):
    """Keys of 00-multus.conf, as the meta-plugin reads them."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            ("!has(self.logOptions) || has(self.logFile)", "logOptions rotates a logFile, and there is none"),
            (
                "!has(self.readinessTimeout) || has(self.readinessIndicatorFile)",
                "readinessTimeout is for a readinessIndicatorFile, and there is none",
            ),
        )
    )

    log_level: Literal["debug", "verbose", "error", "panic"] = pydantic.Field(
        "error", description="How much the meta-plugin logs."
    )
    log_file: AbsolutePath | None = pydantic.Field(None, description="A file of the node to log to.")
    log_to_stderr: bool | None = pydantic.Field(
        None, description="Whether the log also goes to the runtime's own; true unless set."
    )
    log_options: LogOptions | None = pydantic.Field(None, description="Rotation of the log file.")
    namespace_isolation: bool = pydantic.Field(
        False, description="Whether pods may use only networks of their own and the global namespaces."
    )
    global_namespaces: list[str] | None = pydantic.Field(
        None,
        max_length=64,
        description="Namespaces whose networks every pod may use under isolation; only default unless set.",
    )
    system_namespaces: list[str] | None = pydantic.Field(
        None,
        max_length=64,
        description="Namespaces whose pods do not get the networks of defaultNetworks; only kube-system unless set.",
    )
    default_networks: list[str] | None = pydantic.Field(
        None, max_length=32, description="Further networks for every pod outside of the system namespaces."
    )
    multus_namespace: str | None = pydantic.Field(
        None, description="Namespace in which default networks are looked up; kube-system unless set."
    )
    conf_dir: AbsolutePath | None = pydantic.Field(
        None,
        description="Folder of the nodes in which a definition without a config finds the conf of its name; "
        "/etc/cni/multus/net.d unless set.",
    )
    readiness_indicator_file: AbsolutePath | None = pydantic.Field(
        None, description="A file of the node that exists once the default network is ready."
    )
    readiness_timeout: Seconds | None = pydantic.Field(
        None, description="Seconds that a pod's start waits for readinessIndicatorFile; 45 unless set."
    )
    delegate_timeout: Seconds | None = pydantic.Field(
        None, description="Seconds after which a CNI plugin that does not end is stopped; 90 unless set."
    )
    max_networks: Annotated[int, pydantic.Field(ge=1, le=1024)] | None = pydantic.Field(
        None, description="Networks that one pod may ask for; a pod that asks for more does not start. 64 unless set."
    )
    require_capabilities: bool | None = pydantic.Field(
        None,
        description="What happens to a pod's request for ips, mac and the like where no plugin of the network declares "
        "the capability. Unless set: addresses and MAC are handed over as CNI_ARGS and the result is verified, other "
        "requests fail. true: every such request fails. false: nothing fails and nothing is verified.",
    )
    keep_cluster_routes: list[CIDR] | None = pydantic.Field(
        None,
        max_length=64,
        description="Networks, as address/length, that stay reachable through the default network's interface when a "
        "pod's default route goes through another one: the cluster's pods and services, for example.",
    )
    status_before_start: bool | None = pydantic.Field(
        None,
        description="Whether the meta-plugin itself writes the network-status before a pod starts, and fails the start "
        "where it cannot. Otherwise the agent writes it, moments later.",
    )
    auxiliary_cni_chain_name: str | None = pydantic.Field(
        None,
        alias="auxiliaryCNIChainName",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$",
        max_length=64,
        description="Folder below the runtime's folder of confs; the plugins in it (*.conf) are run for every pod, "
        "after all of its networks.",
    )

    @pydantic.model_validator(mode="after")
    def _together(self) -> Self:
        if self.log_options is not None and self.log_file is None:
            raise ValueError("logOptions rotates a logFile, and there is none")
        if self.readiness_timeout is not None and self.readiness_indicator_file is None:
            raise ValueError("readinessTimeout is for a readinessIndicatorFile, and there is none")
        return self

    def conf_keys(self) -> dict[str, Any]:
        """Return the keys as they stand in 00-multus.conf, which differ from ours in case and form."""
        keys = self.to_wire()
        if "globalNamespaces" in keys:
            keys["globalNamespaces"] = ",".join(self.global_namespaces or [])
        if "readinessIndicatorFile" in keys:
            keys["readinessindicatorfile"] = keys.pop("readinessIndicatorFile")
        return keys

"""DaemonSets of Multus, with what of its manifests the adoption looks at."""

from __future__ import annotations

from typing import Any

THICK = {
    "chrootDir": "/hostroot",
    "cniVersion": "0.3.1",
    "logLevel": "verbose",
    "logToStderr": True,
    "cniConfigDir": "/host/etc/cni/net.d",
    "multusAutoconfigDir": "/host/etc/cni/net.d",
    "multusConfigFile": "auto",
    "socketDir": "/host/run/multus/",
}
THIN = {
    "name": "multus-cni-network",
    "type": "multus",
    "capabilities": {"portMappings": True},
    "delegates": [{"cniVersion": "0.3.1", "name": "default-cni-network", "plugins": [{"type": "flannel"}]}],
    "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
}


def thin(*args: str) -> dict[str, Any]:
    """Return the thin one, with the flags of its manifests where none are given."""
    mounts = {"cni": "/host/etc/cni/net.d", "cnibin": "/host/opt/cni/bin", "multus-cfg": "/tmp/multus-conf"}
    return _daemon_set(
        {
            "image": "ghcr.io/k8snetworkplumbingwg/multus-cni:snapshot",
            "command": ["/thin_entrypoint"],
            "args": list(args or ["--multus-conf-file=auto"]),
            "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
        },
        [
            {"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}},
            {"name": "cnibin", "hostPath": {"path": "/opt/cni/bin"}},
            {
                "name": "multus-cfg",
                "configMap": {
                    "name": "multus-cni-config",
                    "items": [{"key": "cni-conf.json", "path": "70-multus.conf"}],
                },
            },
        ],
    )


def thick() -> dict[str, Any]:
    """Return the thick one."""
    hosts = {
        "cni": ("/host/etc/cni/net.d", "/etc/cni/net.d"),
        "cnibin": ("/opt/cni/bin", "/opt/cni/bin"),
        "host-run": ("/host/run", "/run"),
        "host-var-lib-cni-multus": ("/var/lib/cni/multus", "/var/lib/cni/multus"),
        "hostroot": ("/hostroot", "/"),
    }
    config = {"name": "multus-daemon-config", "items": [{"key": "daemon-config.json", "path": "daemon-config.json"}]}
    return _daemon_set(
        {
            "image": "ghcr.io/k8snetworkplumbingwg/multus-cni:snapshot-thick",
            "command": ["/usr/src/multus-cni/bin/multus-daemon"],
            "volumeMounts": [
                *({"name": name, "mountPath": inside} for name, (inside, _) in hosts.items()),
                {"name": "multus-daemon-config", "mountPath": "/etc/cni/net.d/multus.d"},
            ],
        },
        [
            *({"name": name, "hostPath": {"path": path}} for name, (_, path) in hosts.items()),
            {"name": "multus-daemon-config", "configMap": config},
        ],
    )


def _daemon_set(container: dict[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "kube-system", "name": "kube-multus-ds", "uid": "u", "generation": 1},
        "spec": {
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"spec": {"containers": [container], "volumes": volumes}},
        },
        "status": {"desiredNumberScheduled": 2, "numberReady": 2, "observedGeneration": 1},
    }

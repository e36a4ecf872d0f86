"""The command lines of the control plane's parts. Owns every flag and why it is there; refuses to
start anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.controlplane import Layout


def etcd(layout: Layout) -> list[str]:
    """Return etcd's arguments: plain HTTP on loopback of its network namespace, no fsync (data is throw-away)."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        "--name=testbed",
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(layout: Layout) -> list[str]:
    """Return kube-apiserver's arguments."""
    secrets = layout.pki
    arguments = [
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        # 0.0.0.0 within the node's network namespace, which only the cluster's own link reaches.
        f"--bind-address={'127.0.0.1' if layout.lone else '0.0.0.0'}",  # noqa: S104
        f"--advertise-address={layout.address}",
        f"--secure-port={layout.port}",
        f"--tls-cert-file={secrets / 'apiserver.crt'}",
        f"--tls-private-key-file={secrets / 'apiserver.key'}",
        f"--client-ca-file={secrets / 'ca.crt'}",
        f"--service-account-key-file={secrets / 'service-accounts.key'}",
        f"--service-account-signing-key-file={secrets / 'service-accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={layout.service_network}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={layout.folder / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        f"--kubelet-client-certificate={secrets / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={secrets / 'apiserver-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-priority-and-fairness=false",
    ]
    if layout.lone:
        # Nobody makes service accounts without a controller manager, and a loopback address is no endpoint.
        arguments += ["--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"]
    return arguments


def controller_manager(layout: Layout, *, pod_network: str, port: int = 10257) -> list[str]:
    """Return kube-controller-manager's arguments. Pod networks of nodes are given by whoever makes the nodes."""
    return [
        f"--kubeconfig={layout.kubeconfig}",
        f"--authentication-kubeconfig={layout.kubeconfig}",
        f"--authorization-kubeconfig={layout.kubeconfig}",
        f"--service-account-private-key-file={layout.pki / 'service-accounts.key'}",
        f"--root-ca-file={layout.pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={layout.pki / 'ca.crt'}",
        f"--cluster-signing-key-file={layout.pki / 'ca.key'}",
        "--use-service-account-credentials=true",
        f"--cluster-cidr={pod_network}",
        "--allocate-node-cidrs=false",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]


def scheduler(layout: Layout) -> list[str]:
    """Return kube-scheduler's arguments."""
    return [
        f"--kubeconfig={layout.kubeconfig}",
        f"--authentication-kubeconfig={layout.kubeconfig}",
        f"--authorization-kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]

"""A node shows which distribution it is, and folders that are not that one's are told with the preset to set."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from mooring.installing import distributions
from mooring.installing.distributions import Facts
from mooring.installing.installations import Paths

KUBEADM = frozenset({"kubeadm.alpha.kubernetes.io/cri-socket"})


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (Facts(kubelet_version="v1.33.1+k3s1", os_image="Ubuntu 24.04 LTS"), "k3s"),
        (Facts(kubelet_version="v1.33.1+rke2r1"), "rke2"),
        (Facts(provider_id="kind://docker/kind/kind-worker", labels=KUBEADM, kubelet_version="v1.34.0"), "kind"),
        (Facts(os_image="Talos (v1.11.0)", kubelet_version="v1.34.0"), "talos"),
        (Facts(labels=frozenset({"machineconfiguration.openshift.io/currentConfig"})), "openshift"),
        (
            Facts(os_image="Red Hat Enterprise Linux CoreOS 9.6", labels=frozenset({"node.openshift.io/os_id"})),
            "openshift",
        ),
        (Facts(labels=frozenset({"microk8s.io/cluster"})), "microk8s"),
        (Facts(paths=frozenset({"/var/snap/microk8s/current"})), "microk8s"),
        (Facts(labels=KUBEADM), "kubeadm"),
        (Facts(paths=frozenset({"/var/lib/kubelet/kubeadm-flags.env"})), "kubeadm"),
        (Facts(os_image="Fedora CoreOS 42", kubelet_version="v1.34.0"), ""),
        (Facts(), ""),
    ],
)
def test_a_node_shows_what_it_is(facts: Facts, name: str) -> None:
    assert distributions.detect(facts) == name


def test_every_distribution_has_a_preset_of_its_name() -> None:
    allowed = get_args(get_args(Paths.model_fields["preset"].annotation)[0])
    assert set(allowed) == set(distributions.PRESETS)
    for name, folders in distributions.PRESETS.items():
        resolved = Paths.model_validate({"preset": name}).resolved()
        assert {key: resolved[key] for key in folders} == folders


@pytest.mark.parametrize(
    ("version", "folder"),
    [
        ("v1.27.16+k3s1", "/var/lib/rancher/k3s/data/current/bin"),
        ("v1.28.14+k3s1", "/var/lib/rancher/k3s/data/current/bin"),
        ("v1.28.15+k3s1", "/var/lib/rancher/k3s/data/cni"),
        ("v1.31.1+k3s1", "/var/lib/rancher/k3s/data/current/bin"),
        ("v1.31.2+k3s1", "/var/lib/rancher/k3s/data/cni"),
        ("v1.32.0+k3s1", "/var/lib/rancher/k3s/data/cni"),
        ("", "/var/lib/rancher/k3s/data/cni"),
    ],
)
def test_k3s_keeps_its_plugins_where_its_version_does(version: str, folder: str) -> None:
    assert distributions.folders("k3s", version)["cniBinDir"] == folder


def test_other_folders_are_told_with_the_preset() -> None:
    facts = Facts(kubelet_version="v1.33.1+k3s1")
    advice = distributions.advice(facts, bin_dir="/opt/cni/bin", conf_dir="/etc/cni/net.d")
    assert advice == (
        "This node looks like k3s, which has its CNI plugins in /var/lib/rancher/k3s/data/cni and its confs in "
        "/var/lib/rancher/k3s/agent/etc/cni/net.d, and the revision says /opt/cni/bin and /etc/cni/net.d: "
        "set paths.preset to k3s in the Installation"
    )
    right = distributions.PRESETS["k3s"]
    assert not distributions.advice(facts, bin_dir=right["cniBinDir"] + "/", conf_dir=right["cniConfDir"])


def test_a_k3s_before_the_preset_s_needs_one_path_more() -> None:
    advice = distributions.advice(
        Facts(kubelet_version="v1.30.0+k3s1"), bin_dir="/opt/cni/bin", conf_dir="/etc/cni/net.d"
    )
    assert advice.endswith(
        "set paths.preset to k3s and paths.cniBinDir to /var/lib/rancher/k3s/data/current/bin in the Installation"
    )


def test_of_a_node_that_shows_nothing_nothing_is_said() -> None:
    assert not distributions.advice(Facts(), bin_dir="/srv/bin", conf_dir="/srv/conf")


@pytest.mark.parametrize(
    "node", [{}, {"metadata": None, "spec": None, "status": None}, {"metadata": {"labels": None, "annotations": None}}]
)
def test_a_node_object_with_nothing_in_it_has_no_facts(node: dict[str, Any]) -> None:
    assert distributions.facts(node, paths=frozenset()) == Facts()


def test_a_node_object_tells_its_facts() -> None:
    node = {
        "metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}},
        "spec": {"providerID": "kind://docker/kind/n"},
        "status": {"nodeInfo": {"osImage": "Debian", "kubeletVersion": "v1.34.0"}},
    }
    assert distributions.facts(node, paths=frozenset({"/x"})) == Facts(
        "Debian", "v1.34.0", "kind://docker/kind/n", frozenset({"a", "b"}), frozenset({"/x"})
    )

"""What Multus' configuration becomes, and what of it cannot be carried over."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.installing import adoptions, imports
from mooring.installing.installations import InstallationSpec
from tests.unit.installing.deployments import THICK, THIN, thick, thin

DEFAULTS = InstallationSpec().to_wire()


def of_thick(**conf: Any) -> imports.Import:
    """Read the thick one of its manifests with further keys in its ConfigMap."""
    (found,) = adoptions.find([thick()])
    return imports.read(found, {"multus-daemon-config": {"daemon-config.json": json.dumps(THICK | conf)}})


def of_thin(*args: str, conf: dict[str, Any] | None = None, file: str = "auto") -> imports.Import:
    """Read the thin one of its manifests with further flags."""
    (found,) = adoptions.find([thin(f"--multus-conf-file={file}", *args)])
    return imports.read(found, {"multus-cni-config": {"cni-conf.json": json.dumps(conf or THIN)}})


def findings(found: imports.Import) -> dict[str, bool]:
    return {each.key: each.blocking for each in found.findings}


def test_the_thin_one_as_its_manifests_have_it_needs_nothing() -> None:
    assert of_thin() == imports.Import({}, ())


def test_the_thick_one_as_its_manifests_have_it_logs_as_it_did() -> None:
    assert of_thick() == imports.Import({"plugin": {"logLevel": "verbose"}}, ())


def test_what_both_know_is_carried_over() -> None:
    found = of_thick(
        namespaceIsolation=True,
        globalNamespaces="default, shared",
        systemNamespaces=["kube-system", "infra"],
        defaultNetworks=["storage"],
        multusNamespace="networks",
        readinessindicatorfile="/host/run/flannel/subnet.env",
        auxiliaryCNIChainName="vendor",
        multusMasterCNI="20-calico.conflist",
        confDir="/etc/cni/multus/other.d",
        logFile="/var/lib/cni/multus/multus.log",
        logOptions={"maxAge": 3, "maxSize": 10},
        logToStderr=False,
    )
    assert found.spec == {
        "defaultNetwork": "20-calico.conflist",
        "plugin": {
            "namespaceIsolation": True,
            "globalNamespaces": ["default", "shared"],
            "systemNamespaces": ["kube-system", "infra"],
            "defaultNetworks": ["storage"],
            "multusNamespace": "networks",
            "readinessIndicatorFile": "/run/flannel/subnet.env",
            "auxiliaryCNIChainName": "vendor",
            "confDir": "/etc/cni/multus/other.d",
            "logLevel": "verbose",
            "logFile": "/var/lib/cni/multus/multus.log",
            "logOptions": {"maxAge": 3, "maxSize": 10},
            "logToStderr": False,
        },
    }
    assert found.findings == ()
    InstallationSpec.model_validate(found.spec)


def test_the_flags_of_the_thin_one_are_carried_over() -> None:
    flags = "--namespace-isolation --global-namespaces default,shared --multus-log-level=debug"
    flags += " --multus-log-file=/var/log/multus.log --readiness-indicator-file /run/flannel/subnet.env"
    flags += " --multus-master-cni-file-name=20-calico.conflist"
    found = of_thin(*flags.split())
    assert found.spec == {
        "defaultNetwork": "20-calico.conflist",
        "plugin": {
            "namespaceIsolation": True,
            "globalNamespaces": ["default", "shared"],
            "logLevel": "debug",
            "logFile": "/var/log/multus.log",
            "readinessIndicatorFile": "/run/flannel/subnet.env",
        },
    }
    assert found.findings == ()


def test_folders_of_the_node_that_are_not_the_usual_ones_are_carried_over() -> None:
    item = thin("--multus-conf-file=auto", "--cni-conf-dir=/host/etc/cni/net.d", "--cni-bin-dir=/host/opt/cni/bin")
    for volume in item["spec"]["template"]["spec"]["volumes"]:
        if volume["name"] == "cni":
            volume["hostPath"]["path"] = "/var/lib/rancher/k3s/agent/etc/cni/net.d"
        if volume["name"] == "cnibin":
            volume["hostPath"]["path"] = "/var/lib/rancher/k3s/data/cni/"
    (found,) = adoptions.find([item])
    assert imports.read(found, {}).spec == {
        "paths": {
            "cniConfDir": "/var/lib/rancher/k3s/agent/etc/cni/net.d",
            "cniBinDir": "/var/lib/rancher/k3s/data/cni",
        }
    }


def test_it_serves_the_nodes_that_multus_served() -> None:
    item = thin()
    item["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/os": "linux"}
    (found,) = adoptions.find([item])
    assert imports.read(found, {}).spec["nodeSelector"] == {"kubernetes.io/os": "linux"}


@pytest.mark.parametrize(
    ("conf", "blocking"),
    [
        ({"metricsPort": 9090}, False),
        ({"connectionLimit": 1}, False),
        ({"perNodeCertificate": {"enabled": True}}, False),
        ({"overrideNetworkName": True}, False),
        ({"logFile": "/var/log/multus.log"}, False),
        ({"binDir": "/opt/other/bin"}, False),
        ({"logLevel": "shout"}, False),
        ({"someDay": {"a": 1}}, False),
        ({"cniDir": "/var/lib/multus"}, True),
        ({"multusAutoconfigDir": "/host/run/other"}, True),
    ],
)
def test_what_cannot_be_carried_over_is_told(conf: dict[str, Any], blocking: bool) -> None:
    (key,) = conf
    assert findings(of_thick(**conf)) == {key: blocking}


def test_pods_are_found_again_only_in_the_usual_folder() -> None:
    item = thick()
    for volume in item["spec"]["template"]["spec"]["volumes"]:
        if volume["name"] == "host-var-lib-cni-multus":
            volume["hostPath"]["path"] = "/var/lib/elsewhere"
    (found,) = adoptions.find([item])
    read = imports.read(found, {"multus-daemon-config": {"daemon-config.json": json.dumps(THICK)}})
    assert findings(read) == {"cniDir": True}


def test_a_conf_of_the_administrator_s_own_names_its_default_network_by_value_and_that_blocks_until_it_is_named() -> (
    None
):
    found = of_thin(file="/tmp/multus-conf/70-multus.conf")
    assert findings(found) == {"delegates": True}
    assert findings(imports.besides(found, {"defaultNetwork": "10-flannel.conflist"}, DEFAULTS)) == {"delegates": False}


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        ("/host/etc/cni/net.d/10-a.conflist", "10-a.conflist"),
        ("default-net", "kube-system/default-net"),
    ],
)
def test_a_default_network_by_name_is_carried_over(network: str, wanted: str) -> None:
    conf = {"name": "multus-cni-network", "type": "multus", "clusterNetwork": network}
    assert of_thin(conf=conf, file="/tmp/multus-conf/70-multus.conf").spec == {"defaultNetwork": wanted}


@pytest.mark.parametrize("data", [None, {}, {"daemon-config.json": "{"}, {"daemon-config.json": "[]"}])
def test_a_configuration_that_cannot_be_read_blocks(data: dict[str, str] | None) -> None:
    (found,) = adoptions.find([thick()])
    (finding,) = imports.read(found, {"multus-daemon-config": data}).findings
    assert finding.blocking
    assert "ConfigMap kube-system/multus-daemon-config" in finding.message


def test_a_file_that_was_renamed_blocks() -> None:
    assert findings(of_thin("--rename-conf-file=true")) == {"rename-conf-file": True}


def changed(*, sidecar: bool = False, **container: Any) -> imports.Import:
    """Read the thin one of its manifests with something else in its container."""
    item = thin("--multus-conf-file=auto")
    containers = item["spec"]["template"]["spec"]["containers"]
    containers[0] |= container
    if sidecar:
        containers.insert(0, {"image": "proxy:1", "args": ["--namespace-isolation=false"]})
    (found,) = adoptions.find([item])
    return imports.read(found, {})


def test_flags_are_those_of_its_own_container() -> None:
    assert changed(sidecar=True, args=["--namespace-isolation"]).spec == {"plugin": {"namespaceIsolation": True}}


def test_a_thick_one_that_only_its_tag_tells_has_its_file_read() -> None:
    item = thick()
    del item["spec"]["template"]["spec"]["containers"][0]["command"]
    (found,) = adoptions.find([item])
    data = {"daemon-config.json": json.dumps(THICK | {"namespaceIsolation": True})}
    read = imports.read(found, {"multus-daemon-config": data})
    assert read.spec["plugin"]["namespaceIsolation"] is True


@pytest.mark.parametrize(
    "container",
    [
        {"command": ["/bin/sh", "-c", "exec /thin_entrypoint --namespace-isolation=true"], "args": []},
        {"command": ["/bin/sh", "-c"], "args": ["exec /thin_entrypoint --namespace-isolation=true"]},
        {"command": ["/entrypoint.sh"], "args": ["--multus-conf-file=auto"]},
        {"command": [], "args": ["/bin/sh", "-c", "exec /thin_entrypoint --namespace-isolation=true"]},
    ],
)
def test_what_a_shell_or_a_script_is_told_is_not_guessed(container: dict[str, Any]) -> None:
    read = changed(**container)
    assert findings(read) == {"command": True}
    assert "have it run thin_entrypoint or multus-daemon by itself" in read.findings[0].message


def test_flags_without_a_command_are_those_of_the_image_s_program() -> None:
    read = changed(command=[], args=["--namespace-isolation=true"])
    assert read == imports.Import({"plugin": {"namespaceIsolation": True}}, ())


class TestFlagsFromTheEnvironment:
    def test_a_plain_value_is_put_in_and_two_dollars_are_one(self) -> None:
        env = [{"name": "ISOLATED", "value": "true"}]
        read = changed(args=["--namespace-isolation=$(ISOLATED)", "--multus-log-file=/var/log/$$(ISOLATED)"], env=env)
        assert read.spec["plugin"] == {"namespaceIsolation": True, "logFile": "/var/log/$(ISOLATED)"}
        assert read.findings == ()

    @pytest.mark.parametrize(
        "env",
        [
            [],
            [{"name": "ISOLATED", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
            [{"name": "ISOLATED", "value": "$(OTHER)"}],
        ],
    )
    def test_what_the_daemon_set_does_not_hold_blocks(self, env: list[dict[str, Any]]) -> None:
        read = changed(args=["--namespace-isolation=$(ISOLATED)"], env=env)
        assert ("namespace-isolation", True) in [(each.key, each.blocking) for each in read.findings]
        assert "takes ISOLATED from the environment" in read.findings[0].message


class TestBesideWhatTheInstallationSays:
    def test_only_what_it_does_not_say_is_added(self) -> None:
        found = of_thick(namespaceIsolation=True)
        assert imports.besides(found, {}, DEFAULTS).spec == {
            "plugin": {"logLevel": "verbose", "namespaceIsolation": True}
        }
        said = imports.besides(found, {"plugin": {"logLevel": "debug", "namespaceIsolation": False}}, DEFAULTS)
        assert said.spec == {"plugin": {"namespaceIsolation": True}}
        assert findings(said) == {"plugin.logLevel": False}
        assert said.findings[0].message == 'spec.plugin.logLevel says "debug" and stays; Multus has "verbose"'

    def test_what_is_the_default_is_not_said(self) -> None:
        assert imports.besides(of_thick(logLevel="error"), {}, DEFAULTS).spec == {}

    @pytest.mark.parametrize(
        "metadata",
        [
            {
                "managedFields": [
                    {
                        "manager": "flux",
                        "operation": "Apply",
                        "fieldsV1": {"f:spec": {"f:plugin": {"f:namespaceIsolation": {}}}},
                    }
                ]
            },
            {
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
                        {"spec": {"plugin": {"namespaceIsolation": False}}}
                    )
                }
            },
        ],
    )
    def test_a_default_that_a_manifest_says_stays_and_is_told(self, metadata: dict[str, Any]) -> None:
        spec = {"plugin": {"namespaceIsolation": False, "logLevel": "error"}}
        manifests = adoptions.written({"metadata": metadata, "spec": spec})
        said = imports.besides(of_thick(namespaceIsolation=True), spec, DEFAULTS, manifests)
        assert "namespaceIsolation" not in said.spec.get("plugin", {})
        assert (
            "plugin.namespaceIsolation",
            "spec.plugin.namespaceIsolation says false and stays; Multus has true",
        ) in [(each.key, each.message) for each in said.findings]

    @pytest.mark.parametrize(
        "metadata",
        [
            {},
            {"managedFields": [{"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:spec": {}}}]},
            {"managedFields": [{"manager": "mooring-adoption", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]},
            {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{"}},
            {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "[]"}},
        ],
    )
    def test_what_nobody_applied_is_no_manifest(self, metadata: dict[str, Any]) -> None:
        assert adoptions.written({"metadata": metadata}) == []

    def test_taken_over_twice_it_adds_nothing(self) -> None:
        found = of_thick(namespaceIsolation=True, defaultNetworks=["a"])
        once = imports.besides(found, {}, DEFAULTS)
        assert imports.besides(found, once.spec, DEFAULTS) == imports.Import({}, ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *("namespaceIsolation", "globalNamespaces", "systemNamespaces", "defaultNetworks", "multusNamespace", "binDir"),
        *(
            "readinessindicatorfile",
            "confDir",
            "logToStderr",
            "logFile",
            "logLevel",
            "logOptions",
            "cniDir",
            "delegates",
        ),
        *("multusMasterCNI", "multusAutoconfigDir", "clusterNetwork", "cniConfigDir", "multusConfigFile", "other"),
    ]
)


@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_whatever_its_configuration_holds_is_read_without_an_error(conf: dict[str, Any]) -> None:
    before = copy.deepcopy(conf)
    found = of_thick(**conf)
    assert conf == before
    added = imports.besides(found, {}, DEFAULTS)
    if not any(each.blocking for each in found.findings):
        InstallationSpec.model_validate(added.spec)

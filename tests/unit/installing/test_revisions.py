"""Revisions are the same bytes for the same Installation, and another name for another one."""

from __future__ import annotations

import json
from pathlib import Path

from mooring.installing import revisions
from mooring.installing.installations import InstallationSpec

IMAGE = "mooring.dev/mooring:0.1.0"
CONTRACT = Path(__file__).parents[3] / "operator" / "contract"


def document(**spec: object) -> str:
    return revisions.document(InstallationSpec.model_validate(spec), image=IMAGE)


def test_the_default_one_is_as_the_contract_says() -> None:
    assert document() == (
        '{"defaultNetwork":"auto",'
        '"dhcpDaemon":false,"image":"mooring.dev/mooring:0.1.0",'
        '"paths":{"cniBinDir":"/opt/cni/bin","cniConfDir":"/etc/cni/net.d","stateDir":"/var/lib/mooring"},'
        '"plugin":{"logLevel":"error","namespaceIsolation":false},"pluginSets":[],"renderer":2,"version":2}'
    )


def test_one_with_everything_is_the_example_of_the_contract() -> None:
    example = (CONTRACT / "revisions" / f"version-{revisions.VERSION}.json").read_text()
    sets = json.loads(example)["pluginSets"]
    assert document(pluginSets=sets, dhcpDaemon=True) == example


def test_its_name_is_its_content() -> None:
    assert revisions.name(document()) == revisions.name(document(paths={}))
    assert revisions.name(document()) != revisions.name(document(plugin={"logLevel": "debug"}))
    assert revisions.name(document()) != revisions.name(revisions.document(InstallationSpec(), image="other"))


def test_what_concerns_no_node_makes_no_new_revision() -> None:
    unconcerned = {"rollout": {"paused": True}, "nodeSelector": {"a": "b"}, "admission": {"failurePolicy": "Ignore"}}
    assert document(**unconcerned) == document()


def test_a_preset_gives_the_folders_of_a_distribution_and_a_field_wins_over_it() -> None:
    paths = json.loads(document(paths={"preset": "microk8s", "cniBinDir": "/own/bin"}))["paths"]
    assert paths == {
        "cniBinDir": "/own/bin",
        "cniConfDir": "/var/snap/microk8s/current/args/cni-network",
        "stateDir": "/var/lib/mooring",
    }


def test_conf_keys_have_the_spelling_of_the_conf() -> None:
    plugin = {"globalNamespaces": ["default", "shared"], "readinessIndicatorFile": "/run/ready", "logToStderr": True}
    assert json.loads(document(plugin=plugin))["plugin"] == {
        "logLevel": "error",
        "namespaceIsolation": False,
        "globalNamespaces": "default,shared",
        "readinessindicatorfile": "/run/ready",
        "logToStderr": True,
    }


def test_the_config_map_is_immutable_and_goes_with_the_installation() -> None:
    owner = {"kind": "Installation", "name": "default", "uid": "7"}
    made = revisions.config_map(document(), namespace="mooring-system", owner=owner)
    assert made["immutable"] is True
    assert made["metadata"]["ownerReferences"] == [owner]
    assert revisions.name(made["data"][revisions.KEY]) == made["metadata"]["name"]


def test_old_ones_go_but_for_those_in_use_and_the_newest() -> None:
    names = [f"r{number}" for number in range(6)]
    assert revisions.superfluous(names, wanted={"r5"}, newest_first=names, keep=3) == ["r3", "r4"]

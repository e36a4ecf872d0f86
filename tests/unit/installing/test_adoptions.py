"""A Multus is recognised by what it runs, and kept from a node only once that node works with us."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.installing import adoptions, imports, multus, standings
from tests.unit.installing.deployments import thick, thin

RULE = {"key": "mooring.dev/adopted", "operator": "DoesNotExist"}


def one(item: dict[str, Any]) -> adoptions.DaemonSet:
    (found,) = adoptions.find([item])
    return found


def with_terms(item: dict[str, Any], *terms: dict[str, Any]) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    item["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": required}
    return item


class TestRecognising:
    def test_both_forms_as_their_manifests_have_them(self) -> None:
        assert (one(thin()).form, one(thick()).form) == ("Thin", "Thick")
        assert one(thin()).key == "kube-system/kube-multus-ds"

    @pytest.mark.parametrize(
        ("container", "form"),
        [
            ({"image": "rancher/hardened-multus-cni:v4.2.2", "args": ["--multus-conf-file=auto"]}, "Thin"),
            (
                {"image": "rancher/hardened-multus-thick:v4", "command": ["/usr/src/multus-cni/bin/multus-daemon"]},
                "Thick",
            ),
            ({"image": "ghcr.io/k8snetworkplumbingwg/multus-cni@sha256:00"}, "Thin"),
            ({"image": "a.registry:5000/multus-cni:v3.8"}, "Thin"),
            ({"image": "ghcr.io/k8snetworkplumbingwg/multus-cni:snapshot-thick"}, "Thick"),
            ({"image": "a.registry:5000/multus-cni:v4.2.2-thick-amd64@sha256:00"}, "Thick"),
            ({"image": "rancher/hardened-multus-thick:v4.2.2"}, "Thick"),
            ({"image": "multus-dynamic-networks-controller:latest", "command": ["/dynamic-networks-controller"]}, None),
            ({"image": "ghcr.io/k8snetworkplumbingwg/whereabouts:v0.9", "command": ["/bin/sh"]}, None),
            ({"image": "calico/node:v3"}, None),
            ({}, None),
        ],
    )
    def test_others_by_what_they_run(self, container: dict[str, Any], form: str | None) -> None:
        item = thin()
        item["spec"]["template"]["spec"]["containers"] = [container]
        assert [each.form for each in adoptions.find([item])] == ([form] if form else [])

    def test_it_is_the_container_that_runs_it_beside_others(self) -> None:
        item = thin()
        containers = item["spec"]["template"]["spec"]["containers"]
        containers.insert(0, {"image": "proxy:1", "args": ["--namespace-isolation=false"]})
        assert one(item).container is containers[1]


class TestKeepingItFromNodes:
    def test_what_is_written_keeps_it_from_labelled_nodes_and_restarts_it_nowhere(self) -> None:
        body = adoptions.exclusion(one(thin()))
        assert body["metadata"] == {"name": "kube-multus-ds", "namespace": "kube-system", "uid": "u"}
        assert body["spec"]["updateStrategy"] == {"type": "OnDelete"}
        item = thin()
        item["spec"]["template"]["spec"] |= body["spec"]["template"]["spec"]
        found = one(item)
        assert found.excluded
        assert not found.has_own_terms
        assert adoptions.release(found) == {key: value for key, value in body.items() if key != "spec"}

    def test_what_is_ours_is_told_by_its_manager(self) -> None:
        item = thin()
        assert not one(item).ours
        item["metadata"]["managedFields"] = [{"manager": "helm"}, {"manager": adoptions.FIELD_MANAGER}]
        assert one(item).ours

    def test_nodes_follow_when_they_work_with_the_revision_that_is_wanted(self) -> None:
        def node(
            name: str, *, told: str = "r", applied: str = "r", ready: bool = True, away: str = ""
        ) -> standings.Node:
            return standings.Node(name, standings.Told(told), applied=applied, ready=ready, away=away)

        nodes = [
            node("good"),
            node("switched"),
            node("moving", applied=""),
            node("broken", ready=False),
            node("old", told="q", applied="q"),
            node("away", away="silent"),
        ]
        labels = {each.name: {multus.ADOPTED: "multus"} if each.name == "switched" else {} for each in nodes}
        assert adoptions.switched(nodes, labels, revision="r") == ["good"]


class TestObstacles:
    def test_none_of_the_manifests_is_one(self) -> None:
        assert adoptions.obstacles([one(thick())], []) == []

    def test_several_of_it(self) -> None:
        (problem,) = adoptions.obstacles([one(thin()), one(thick())], [])
        assert problem.reason == "MultusNotAdoptable"

    def test_terms_of_its_own_unless_they_say_it_already(self) -> None:
        own = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
        (problem,) = adoptions.obstacles([one(with_terms(thin(), own))], [])
        assert "{key: mooring.dev/adopted, operator: DoesNotExist}" in problem.message
        both = {"matchExpressions": [*own["matchExpressions"], RULE]}
        assert adoptions.obstacles([one(with_terms(thin(), both))], []) == []
        assert adoptions.obstacles([one(with_terms(thin(), both, own))], []) != []

    def test_a_finding_that_blocks(self) -> None:
        told = imports.Finding("cniDir", "elsewhere", blocking=True)
        (problem,) = adoptions.obstacles([one(thin())], [imports.Finding("a", "b"), told])
        assert problem.message == "cniDir: elsewhere"


@pytest.mark.parametrize("served", [True, False])
def test_a_multus_that_nobody_said_to_adopt_is_told_with_what_to_do(served: bool) -> None:
    problem = adoptions.contested([one(thin())], served=served)
    assert problem.reason == "MultusRuns"
    assert "kube-system/kube-multus-ds" in problem.message
    assert "spec.adopt: Multus" in problem.message
    assert ("no node is touched" in problem.message) is not served


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"desiredNumberScheduled": 2, "numberReady": 2, "observedGeneration": 1}, True),
        ({"desiredNumberScheduled": 2, "numberReady": 1, "observedGeneration": 1}, False),
        ({"desiredNumberScheduled": 2, "numberReady": 2, "observedGeneration": 0}, False),
        ({}, False),
    ],
)
def test_it_is_back_when_all_of_its_pods_are_ready(status: dict[str, int], ready: bool) -> None:
    item = thin()
    item["status"] = status
    assert one(item).ready is ready

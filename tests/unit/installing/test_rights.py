"""The rights that the manifests grant, and the policies that keep agents to their own nodes, belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

BASE = Path(__file__).parents[3] / "manifests" / "base"
OBJECTS: list[dict[str, Any]] = [
    each
    for path in sorted(BASE.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for each in yaml.safe_load_all(path.read_text())
]
ROLES = [each for each in OBJECTS if each["kind"] in ("Role", "ClusterRole")]
# Those that hold agents; the one that keeps our definitions while they are needed holds everybody.
POLICIES = [
    each
    for each in OBJECTS
    if each["kind"] == "ValidatingAdmissionPolicy" and each["metadata"]["name"] != "mooring-definitions"
]
BINDINGS = [each for each in OBJECTS if each["kind"] == "ValidatingAdmissionPolicyBinding"]
MARK = {"apiGroups": ["mooring.dev"], "resources": ["nodes"], "verbs": ["change-only-own"]}
OPERATIONS = {"create": "CREATE", "patch": "UPDATE", "update": "UPDATE", "delete": "DELETE"}
OPERATORS = ("mooring-operator", "mooring-operator-adoption", "mooring-operator-evictions")
READING = {"get", "list", "watch"}


def names(objects: list[dict[str, Any]]) -> list[str]:
    return [f"{each['kind']} {each['metadata']['name']}" for each in objects]


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_no_role_has_a_wildcard(role: dict[str, Any]) -> None:
    for rule in role["rules"]:
        assert not {"*"} & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_the_mark_stands_beside_every_right_of_agent_and_plugin_to_change_something(role: dict[str, Any]) -> None:
    of_operator = role["metadata"]["name"] in OPERATORS
    changes = any(set(rule["verbs"]) - READING for rule in role["rules"] if rule != MARK)
    # The one Role gives the agent the right to ask for tokens; whoever is the agent has its ClusterRole as well.
    assert (MARK in role["rules"]) == (changes and not of_operator and role["kind"] == "ClusterRole")


@pytest.mark.parametrize("role", [each for each in ROLES if each["metadata"]["name"] not in OPERATORS])
def test_whatever_agent_and_plugin_may_change_is_judged_by_a_policy(role: dict[str, Any]) -> None:
    judged = {
        (group, resource, operation)
        for policy in POLICIES
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }
    for rule in role["rules"]:
        for verb in set(rule["verbs"]) - READING if rule != MARK else ():
            for resource in rule["resources"]:
                assert (rule["apiGroups"][0], resource, OPERATIONS[verb]) in judged


def test_no_agent_may_evict_since_no_policy_could_tell_it_its_own_pods() -> None:
    evicting = [role for role in ROLES for rule in role["rules"] if "pods/eviction" in rule["resources"]]
    assert names(evicting) == ["ClusterRole mooring-operator-evictions"]


def test_nobody_is_granted_what_tells_an_administrator_apart() -> None:
    assert not [role for role in ROLES for rule in role["rules"] if "change-any" in rule["verbs"]]


@pytest.mark.parametrize("policy", POLICIES, ids=names(POLICIES))
def test_a_policy_holds_whoever_has_the_mark_and_names_nobody(policy: dict[str, Any]) -> None:
    [condition] = policy["spec"]["matchConditions"]
    assert "check('change-only-own')" in condition["expression"]
    assert "check('change-any')" in condition["expression"]
    assert "mooring-system" not in str(policy)
    assert "system:serviceaccount:" not in str(policy)


@pytest.mark.parametrize("policy", POLICIES, ids=names(POLICIES))
def test_a_policy_refuses_where_it_cannot_judge_and_is_bound(policy: dict[str, Any]) -> None:
    assert policy["spec"]["failurePolicy"] == "Fail"
    first = policy["spec"]["validations"][0]["expression"]
    assert "variables.node != ''" in first, "without the claim of a node: refused"
    [binding] = [each for each in BINDINGS if each["spec"]["policyName"] == policy["metadata"]["name"]]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}

"""What alerts and dashboard ask for is served, and whoever gets an alert finds a page on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.installing import daemonsets
from mooring.installing.installations import InstallationSpec
from mooring.metrics import agent, alerts, dashboard, operator

CHECKOUT = Path(__file__).parents[3]
SERVED = {series: each for each in (*agent.FAMILIES, *operator.FAMILIES) for series in each.series}
# What the process collector adds, and what a scraper does.
OF_PROCESSES = {"process_resident_memory_bytes"}
OF_SCRAPERS = {"node", "pod", "instance", "le"}
RULES: list[dict[str, Any]] = [rule for group in alerts.groups() for rule in group["rules"]]
PANELS = [panel for panel in json.loads(dashboard.DOCUMENT.read_text())["panels"] if panel["type"] != "row"]
QUERIES = [(rule["alert"], rule["expr"]) for rule in RULES] + [
    (panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]
]
NAME = re.compile(r"\b(?:mooring|pod_network|process)_[a-z_]+\b")
SELECTION = re.compile(r"\b((?:mooring|pod_network)_[a-z_]+)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on) \(?([a-z_, ]*)\)")


def test_what_is_written_from_a_source_is_fresh() -> None:
    assert alerts.OBJECT.read_text() == alerts.text()
    assert dashboard.DOCUMENT.read_text() == dashboard.text()


@pytest.mark.parametrize(("who", "query"), QUERIES, ids=[who for who, _ in QUERIES])
def test_a_query_names_metrics_and_labels_that_there_are(who: str, query: str) -> None:
    names = set(NAME.findall(query))
    assert names, f"{who} asks for nothing of ours"
    assert names <= SERVED.keys() | OF_PROCESSES
    for name, selection in SELECTION.findall(query):
        labels = set(re.findall(r"([a-z]+)\s*(?:=~|!~|!=|=)", selection))
        assert labels <= set(SERVED[name].labels), f"{name} has no such label"
    known = {label for name in names & SERVED.keys() for label in SERVED[name].labels} | OF_SCRAPERS
    for grouping in GROUPING.findall(query):
        assert {label.strip() for label in grouping.split(",")} - {""} <= known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_names_a_section_that_helps(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    _, found, section = (CHECKOUT / path).read_text().partition(f"\n### {rule['alert']}\n")
    assert found, f"{path} has no section on it"
    assert anchor == rule["alert"].lower()
    assert len(section.partition("\n#")[0].strip()) > 100, "a sentence on what to look at, and one on what to do"


def test_no_section_is_about_an_alert_that_there_is_not() -> None:
    text = (CHECKOUT / "docs/failure-modes.md").read_text()
    assert set(re.findall(r"^### (Mooring\w+)$", text, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_the_monitors_find_the_pods_and_their_ports() -> None:
    monitors = {
        each["metadata"]["name"]: each["spec"]
        for each in yaml.safe_load_all((alerts.FOLDER / "podmonitors.yaml").read_text())
    }
    deployment = next(
        each
        for each in yaml.safe_load_all((CHECKOUT / "manifests/base/operator.yaml").read_text())
        if each["kind"] == "Deployment"
    )
    spec = InstallationSpec.model_validate({"agent": {"metricsPort": 9455}})
    agents = daemonsets.daemon_set(spec, namespace="mooring-system", image="i", owner={})
    for name, pods in (("mooring-operator", deployment), ("mooring-agent", agents)):
        template = pods["spec"]["template"]
        wanted = monitors[name]["selector"]["matchLabels"]
        assert wanted.items() <= template["metadata"]["labels"].items()
        ports = {port["name"] for each in template["spec"]["containers"] for port in each.get("ports", [])}
        assert {each["port"] for each in monitors[name]["podMetricsEndpoints"]} <= ports


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard.DOCUMENT.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & taken
        assert all(across < 24 for across, _ in cells)
        taken |= cells

"""The dashboard for Grafana: owns which questions it answers, in which order; refuses anything but names of families.

`python -m mooring.metrics.dashboard` writes it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

DOCUMENT = Path(__file__).parents[3] / "manifests" / "monitoring" / "dashboard.json"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 24, 8

Kind = Literal["timeseries", "stat", "table"]


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One picture: its queries by legend; `unit` as Grafana names it; `width` of 24."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8


_REVIEWS = "mooring_operator_review_duration_seconds_bucket"
_PASSES = "mooring_operator_reconcile_duration_seconds_bucket"
ROWS: dict[str, tuple[Panel, ...]] = {
    "Nodes and roll-out": (
        Panel(
            "Nodes",
            {
                "selected": "max(mooring_operator_nodes_desired)",
                "updated": "max(mooring_operator_nodes_updated)",
                "ready": "max(mooring_operator_nodes_ready)",
            },
            kind="stat",
            width=6,
        ),
        Panel("Conditions", {"{{type}} ({{reason}})": "max by (type, reason) (mooring_operator_condition)"}, width=9),
        Panel("Nodes by phase", {"{{phase}}": "max by (phase) (mooring_operator_nodes)"}, width=9),
        Panel(
            "Revision and stage",
            {"{{revision}} {{stage}}": "max by (revision, stage) (mooring_operator_rollout_info)"},
            kind="table",
        ),
        Panel(
            "Nodes that want a look",
            {"{{node}} {{phase}}": "max by (node, phase) (mooring_operator_node_phase_info)"},
            kind="table",
        ),
        Panel(
            "Halted", {"{{node}} {{reason}}": "max by (node, reason) (mooring_operator_rollout_halted)"}, kind="table"
        ),
    ),
    "Admission": (
        Panel(
            "Reviews per second",
            {"{{verdict}}": "sum by (verdict) (rate(mooring_operator_reviews_total[5m]))"},
            "reqps",
        ),
        Panel(
            "Time of a review",
            {
                "p50": f"histogram_quantile(0.5, sum by (le) (rate({_REVIEWS}[5m])))",
                "p99": f"histogram_quantile(0.99, sum by (le) (rate({_REVIEWS}[5m])))",
            },
            "s",
        ),
        Panel(
            "Findings by rule",
            {"{{code}} {{severity}}": "sum by (code, severity) (increase(mooring_operator_review_findings_total[1h]))"},
        ),
        Panel(
            "The certificate ends in",
            {"{{pod}}": "min by (pod) (mooring_operator_certificate_expiry_timestamp_seconds) - time()"},
            "s",
            kind="stat",
        ),
        Panel("Replicas that answer", {"ready": "sum(mooring_operator_ready)"}, kind="stat"),
        Panel("Replicas that lead", {"{{pod}}": "max by (pod) (mooring_operator_leader)"}),
    ),
    "Operator": (
        Panel(
            "Time of a pass, p95",
            {"{{reconciler}}": f"histogram_quantile(0.95, sum by (le, reconciler) (rate({_PASSES}[10m])))"},
            "s",
        ),
        Panel(
            "Failed passes",
            {
                "{{reconciler}} {{error}}": (
                    "sum by (reconciler, error) (increase(mooring_operator_reconcile_failures_total[5m]))"
                )
            },
        ),
        Panel("Work that waits", {"{{pod}}": "max by (pod) (mooring_operator_queue_depth)"}),
        Panel("Last word of a watch", {"{{resource}}": "max by (resource) (mooring_operator_watch_age_seconds)"}, "s"),
        Panel("Objects known", {"{{resource}}": "max by (resource) (mooring_operator_watched_objects)"}),
        Panel(
            "Memory of the operator",
            {"{{pod}}": "process_resident_memory_bytes * on(pod, instance) group_left() mooring_operator_build_info"},
            "bytes",
        ),
    ),
    "Pods and networks": (
        Panel("Attachments by network", {"{{network}}": "sum by (network) (mooring_agent_attachments)"}),
        Panel(
            "Failed calls of the runtime",
            {
                "{{verb}} {{network}} {{code}}": (
                    "sum by (verb, network, code) (increase(mooring_agent_call_failures_total[5m]))"
                )
            },
        ),
        Panel("Pods without their networks", {"{{cause}}": "sum by (cause) (mooring_agent_pods_without_networks)"}),
        Panel(
            "Received by network",
            {"{{network_name}}": ("sum by (network_name) (rate(mooring_agent_pod_network_receive_bytes_total[5m]))")},
            "Bps",
        ),
        Panel(
            "Sent by network",
            {"{{network_name}}": ("sum by (network_name) (rate(mooring_agent_pod_network_transmit_bytes_total[5m]))")},
            "Bps",
        ),
        Panel("Nodes that are not ready", {"{{node}}": "max by (node) (mooring_agent_ready) == 0"}, kind="table"),
    ),
}


def text() -> str:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": []}
            | {"gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1}}
        )
        top += 1
        left = 0
        for each in row:
            if left + each.width > _WIDTH:
                left, top = 0, top + _HEIGHT
            place = {"x": left, "y": top, "w": each.width, "h": _HEIGHT}
            panels.append({"id": len(panels) + 1, **_panel(each), "gridPos": place})
            left += each.width
        top += _HEIGHT
    document = {
        "uid": "mooring",
        "title": "Mooring",
        "description": "Roll-out, admission and networks of Mooring. Written by `make generate`.",
        "tags": ["kubernetes", "networking", "mooring"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": panels,
    }
    return json.dumps(document, indent=2) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    table = panel.kind == "table"
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": table,
                "format": "table" if table else "time_series",
            }
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")

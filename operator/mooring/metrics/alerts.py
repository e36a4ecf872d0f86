"""The alert rules: owns that the object for the Prometheus operator says what the rule file says; refuses to hold them.

`python -m mooring.metrics.alerts` writes the object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "manifests" / "monitoring"
SOURCE = FOLDER / "rules.yaml"
OBJECT = FOLDER / "alerts.yaml"
_HEAD = "# Written by `make generate` from rules.yaml; edit that instead.\n"


def groups() -> list[dict[str, Any]]:
    """Return the groups of the rule file."""
    found: list[dict[str, Any]] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))["groups"]
    return found


def text() -> str:
    """Return the PrometheusRule as it is written down."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "mooring",
            "namespace": "mooring-system",
            "labels": {"app.kubernetes.io/name": "mooring"},
        },
        "spec": {"groups": groups()},
    }
    return _HEAD + yaml.safe_dump(rule, sort_keys=False, width=120)


if __name__ == "__main__":
    OBJECT.write_text(text(), encoding="utf-8")

"""The rules make of the contract's examples of the annotation what the plugin makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mooring.networks import annotations as selections

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "plugin/contract/examples/selection.json").read_text()
)
ACCEPTED = [example for example in EXAMPLES if "requests" in example]
REFUSED = [example for example in EXAMPLES if "refused" in example]


def parse(example: dict[str, Any]) -> selections.Selection:
    text = example["text"] if "text" in example else json.dumps(example["json"])
    return selections.parse(text, namespace="own")


def name(example: dict[str, Any]) -> str:
    return f"{example['row']} {example.get('text', example.get('json'))!r:.60}"


def test_there_are_examples() -> None:
    assert len(ACCEPTED) >= 100
    assert len(REFUSED) >= 200
    assert len(ACCEPTED) + len(REFUSED) == len(EXAMPLES)


@pytest.mark.parametrize("example", ACCEPTED, ids=name)
def test_what_the_plugin_takes_is_right(example: dict[str, Any]) -> None:
    selection = parse(example)
    assert selection.problems == ()
    made = []
    for request in selection.requests:
        keys = {
            "namespace": request.namespace,
            "name": request.name,
            "interface": request.interface,
            "ips": list(request.ips),
            "mac": request.mac,
            "infiniband-guid": request.infiniband_guid,
            "ipam-claim-reference": request.ipam_claim,
            "unknown": list(request.unknown),
        }
        entry = {key: value for key, value in keys.items() if value}
        if request.default_route is not None:
            entry["default-route"] = list(request.default_route)
        made.append(entry)
    not_kept = ("portMappings", "bandwidth", "deviceID", "cni-args")  # what no rule looks at later is checked only
    wanted = [{key: value for key, value in each.items() if key not in not_kept} for each in example["requests"]]
    assert made == wanted


@pytest.mark.parametrize("example", REFUSED, ids=name)
def test_what_the_plugin_refuses_is_wrong_at_the_same_place(example: dict[str, Any]) -> None:
    problems = parse(example).problems
    assert any(problem.place.startswith(example["refused"]) for problem in problems)
    assert all(problem.message.endswith(".") and problem.remedy.endswith(".") for problem in problems)

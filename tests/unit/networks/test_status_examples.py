"""The agent makes of the contract's examples what the plugin makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mooring.networks import statuses

EXAMPLES = sorted((Path(__file__).parents[3] / "plugin/contract/examples/status").glob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_becomes_the_annotation_that_it_names(path: Path) -> None:
    example: dict[str, Any] = json.loads(path.read_text())
    attached = [
        statuses.Attached(
            network=each["network"],
            default=each["default"],
            result=each["result"],
            default_route=tuple(each["defaultRoute"]) if "defaultRoute" in each else None,
            device_info=each.get("deviceInfo"),
        )
        for each in example["attached"]
    ]
    made = statuses.annotation(attached, most_bytes=example.get("mostBytes", statuses.MOST_BYTES))
    laid_out = ",".join(json.dumps(entry, indent=4, ensure_ascii=False) for entry in example["annotation"])
    assert made.text == f"[{laid_out}]"
    assert made.text == example.get("text", made.text)
    assert made.left_out == tuple(example["leftOut"])

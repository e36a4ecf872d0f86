"""Whether somebody changed what is ours."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mooring.installing import drift

DESIRED: dict[str, Any] = {
    "metadata": {"labels": {"ours": "1"}},
    "spec": {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {"name": "agent", "image": "i", "resources": {"requests": {"cpu": "1000m"}}, "args": ["agent"]},
        ],
    },
}
# What the API server made of it: defaults, and quantities in its own form.
APPLIED: dict[str, Any] = copy.deepcopy(DESIRED)
APPLIED["spec"]["dnsPolicy"] = "ClusterFirst"
APPLIED["spec"]["containers"][0] |= {"imagePullPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}


AGENT = ("spec", "containers", 0)


def changed(path: tuple[Any, ...] = (), value: Any = None) -> bool:
    found = copy.deepcopy(APPLIED)
    place: Any = found
    for key in path[:-1]:
        place = place[key]
    if path:
        place[path[-1]] = value
    return drift.drifted(found, applied=APPLIED, desired=DESIRED)


def test_what_the_api_server_made_of_it_is_no_drift() -> None:
    assert not changed()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "labels", "theirs"), "x"),
        (("spec", "containers"), [*APPLIED["spec"]["containers"], {"name": "sidecar"}]),
        (("spec", "dnsPolicy"), "Default"),
        (("status",), {"numberReady": 3}),
    ],
)
def test_what_others_add_is_none_either(path: tuple[Any, ...], value: Any) -> None:
    assert not changed(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "labels"), {}),
        (("spec", "nodeSelector", "c"), "d"),
        (("spec", "tolerations"), [{"operator": "Exists"}, {"key": "x"}]),
        ((*AGENT, "image"), "other"),
        ((*AGENT, "args"), ["agent", "--more"]),
        ((*AGENT, "resources", "requests", "cpu"), "2"),
        (("spec", "containers"), []),
    ],
)
def test_a_changed_field_of_ours_is(path: tuple[Any, ...], value: Any) -> None:
    assert changed(path, value)

"""How the grammar with which a pod asks for networks is told; what it takes is in test_selection_examples."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mooring.networks import annotations as selections
from mooring.networks import requests

KEYS = [
    "name", "namespace", "interface", "interfaceRequest", "ips", "mac", "infiniband-guid", "portMappings",
    "bandwidth", "default-route", "cni-args", "deviceID", "ipam-claim-reference",
]  # fmt: skip


def parse(value: object) -> selections.Selection:
    text = value if isinstance(value, str) else json.dumps(value)
    return selections.parse(text, namespace="own")


def places(value: object) -> list[str]:
    selection = parse(value)
    assert selection.problems
    return [problem.place for problem in selection.problems]


def test_every_problem_is_told() -> None:
    assert places("A, b, c@d@e, f") == ["position 1", "position 7"]
    assert places([{"name": "A", "mac": "x"}, {"ips": ["10.0.0.1", "y", "fe80::1%eth0"]}]) == [
        "$[0].name",
        "$[0].mac",
        "$[1].ips[1]",
        "$[1].ips[2]",
        "$[1].name",
    ]


def test_what_is_not_json_is_told_with_its_place() -> None:
    assert places('[{"name": "a",}]') == ["line 1, column 15"]


def test_a_problem_is_where_its_key_stands_as_it_is_written() -> None:
    assert places([{"Name": "a", "PortMappings": [{"HostPort": 0, "containerPort": 1}]}]) == [
        "$[0].PortMappings[0].HostPort"
    ]


@given(st.text(max_size=30) | st.text(alphabet="ab/@, .{}[]\"'\n", max_size=20))
def test_no_text_makes_it_raise(text: str) -> None:
    parse(text)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(KEYS),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(
                        st.sampled_from(
                            ["hostPort", "containerPort", "protocol", "hostIP", "ingressRate", "egressBurst"]
                        ),
                        inner,
                        max_size=3,
                    )
                ),
                max_leaves=5,
            ),
        ),
        max_size=3,
    )
)
def test_no_object_makes_it_raise(value: list[dict[str, object]]) -> None:
    for index, item in enumerate(value):
        requests.read(item, namespace="own", place=f"$[{index}]")
    parse(value)

"""The grammar with which a pod asks for networks; the rows are those of the conformance suite."""

from __future__ import annotations

import json

import pytest
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


def networks(value: object) -> list[str]:
    selection = parse(value)
    assert selection.problems == ()
    return [f"{request.namespace}/{request.name}@{request.interface}" for request in selection.requests]


def places(value: object) -> list[str]:
    selection = parse(value)
    assert selection.problems
    assert all(problem.message.endswith(".") and problem.remedy.endswith(".") for problem in selection.problems)
    return [problem.place for problem in selection.problems]


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a", ["own/a@"]),
            ("ns/a", ["ns/a@"]),
            ("a@net7", ["own/a@net7"]),
            ("ns/a@net7", ["ns/a@net7"]),
            (" a , ns / b @ net1 ,\n c ", ["own/a@", "ns/b@net1", "own/c@"]),
            ("a,a", ["own/a@", "own/a@"]),
            ("z,a,m", ["own/z@", "own/a@", "own/m@"]),
            ("a@UPPER_if.100", ["own/a@UPPER_if.100"]),
            ("a@fifteen_bytes_x", ["own/a@fifteen_bytes_x"]),
        ],
    )
    def test_SEL_1_names_namespaces_and_interfaces_are_read(self, text: str, expected: list[str]) -> None:  # noqa: N802
        assert networks(text) == expected

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("a/b/c", "position 1"),
            ("x, a@b@c", "position 4"),
            ("x,,y", "position 3"),
            ("x,", "position 3"),
            (",x", "position 1"),
            ("/x", "position 1"),
            ("ns/", "position 1"),
            ("a@", "position 1"),
            ("x,b\x01", "position 3"),
            ("a@net1/ns", "position 1"),
        ],
    )
    def test_SEL_2_what_is_no_network_is_refused_with_its_position(self, text: str, place: str) -> None:  # noqa: N802
        assert places(text) == [place]

    @pytest.mark.parametrize("text", ["A", "a_b", "-a", "a-", "a.b", "Ns/a", "n.s/a", "a" * 64])
    def test_SEL_3_names_are_labels(self, text: str) -> None:  # noqa: N802
        assert places(text) == ["position 1"]

    @pytest.mark.parametrize("interface", ["sixteen_bytes__x", "a b", "a:b", ".", "..", "a\x7f", "ü" * 8])
    def test_SEL_4_interfaces_are_names_that_the_kernel_takes(self, interface: str) -> None:  # noqa: N802
        assert places(f"x@{interface}") == ["position 1"]

    @pytest.mark.parametrize("text", ["", " ", "\n\t "])
    def test_SEL_6_blank_means_none(self, text: str) -> None:  # noqa: N802
        assert parse(text) == selections.Selection()

    def test_every_problem_is_told(self) -> None:
        assert places("A, b, c@d@e, f") == ["position 1", "position 7"]


class TestJSON:
    def test_SEL_3_names_may_hold_dots(self) -> None:  # noqa: N802
        assert networks([{"name": "a.b", "namespace": "ns", "interface": "net1"}]) == ["ns/a.b@net1"]

    @pytest.mark.parametrize("value", [{"name": "a"}, '"a"', [["a"]], ["a"], [5]])
    def test_SEL_5_anything_but_a_list_of_objects_is_refused(self, value: object) -> None:  # noqa: N802
        assert places(value)[0].startswith("$")

    def test_what_is_not_json_is_told_with_its_place(self) -> None:
        assert places('[{"name": "a",}]') == ["line 1, column 15"]

    def test_an_empty_list_means_none(self) -> None:
        assert networks([]) == []

    def test_SEL_10_unknown_keys_are_kept_unless_they_hold_a_dot(self) -> None:  # noqa: N802
        (request,) = parse([{"name": "a", "example.com/x": 1, "colour": 2}]).requests
        assert request.unknown == ("colour",)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("ips", ["10.0.0.1", "10.0.0.2/24", "fd00::1/64"]),
            ("mac", "02:00:00:00:00:0A"),
            ("mac", "02-00-00-00-00-0A"),
            ("infiniband-guid", "02:00:00:00:00:00:00:01"),
            ("portMappings", [{"hostPort": 1, "containerPort": 65535, "protocol": "sctp", "hostIP": "10.0.0.1"}]),
            ("portMappings", [{"hostPort": 80, "containerPort": 80}]),
            ("bandwidth", {"ingressRate": 1, "ingressBurst": 1, "egressRate": 5}),
            ("default-route", ["10.0.0.1", "fd00::1"]),
            ("default-route", []),
            ("cni-args", {"a": {"b": 1}}),
            ("deviceID", "0000:00:1f.6"),
            ("ipam-claim-reference", "claim"),
            ("interfaceRequest", "net1"),
            ("ips", None),
        ],
    )
    def test_SEL_11_to_18_what_is_right_is_taken(self, key: str, value: object) -> None:  # noqa: N802
        assert parse([{"name": "a", key: value}]).problems == ()

    @pytest.mark.parametrize(
        ("key", "value", "place"),
        [
            ("name", 5, "$[0].name"),
            ("name", "A", "$[0].name"),
            ("namespace", "a.b", "$[0].namespace"),
            ("namespace", 5, "$[0].namespace"),
            ("interface", "a b", "$[0].interface"),
            ("interface", [], "$[0].interface"),
            ("ips", [], "$[0].ips"),
            ("ips", "10.0.0.1", "$[0].ips"),
            ("ips", ["10.0.0.1", "x"], "$[0].ips[1]"),
            ("ips", ["fe80::1%eth0"], "$[0].ips[0]"),
            ("ips", ["10.0.0.0/255.0.0.0"], "$[0].ips[0]"),
            ("mac", "02:00:00:00:00:00:00:01", "$[0].mac"),
            ("mac", 5, "$[0].mac"),
            ("infiniband-guid", "02:00:00:00:00:01", "$[0].infiniband-guid"),
            ("portMappings", {}, "$[0].portMappings"),
            ("portMappings", [{"hostPort": 0, "containerPort": 1}], "$[0].portMappings[0]"),
            ("portMappings", [{"hostPort": 1, "containerPort": 65536}], "$[0].portMappings[0]"),
            ("portMappings", [{"hostPort": "1", "containerPort": 1}], "$[0].portMappings[0]"),
            ("portMappings", [{"hostPort": True, "containerPort": 1}], "$[0].portMappings[0]"),
            (
                "portMappings",
                [{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}],
                "$[0].portMappings[0].protocol",
            ),
            ("portMappings", [{"hostPort": 1, "containerPort": 1, "hostIP": "x"}], "$[0].portMappings[0].hostIP"),
            ("portMappings", ["80"], "$[0].portMappings[0]"),
            ("bandwidth", 5, "$[0].bandwidth"),
            ("bandwidth", {"ingressRate": 0}, "$[0].bandwidth.ingressRate"),
            ("bandwidth", {"ingressRate": "1M"}, "$[0].bandwidth.ingressRate"),
            ("bandwidth", {"egressBurst": 5}, "$[0].bandwidth.egressBurst"),
            ("default-route", "10.0.0.1", "$[0].default-route"),
            ("default-route", ["10.0.0.1/24"], "$[0].default-route[0]"),
            ("default-route", ["::"], "$[0].default-route[0]"),
            ("cni-args", [], "$[0].cni-args"),
            ("deviceID", 5, "$[0].deviceID"),
        ],
    )
    def test_SEL_11_to_18_what_is_wrong_is_refused_where_it_stands(  # noqa: N802
        self, key: str, value: object, place: str
    ) -> None:
        assert place in places([{"name": "a", key: value}])

    def test_a_request_without_a_name_is_refused(self) -> None:
        assert places([{"namespace": "x"}]) == ["$[0]"]

    def test_SEL_17_two_names_for_one_interface_are_refused(self) -> None:  # noqa: N802
        assert places([{"name": "a", "interface": "x", "interfaceRequest": "y"}]) == ["$[0].interfaceRequest"]
        assert networks([{"name": "a", "interface": "x", "interfaceRequest": "x"}]) == ["own/a@x"]

    def test_SEL_18_a_claim_excludes_addresses(self) -> None:  # noqa: N802
        assert places([{"name": "a", "ips": ["10.0.0.1"], "ipam-claim-reference": "c"}]) == ["$[0].ips"]


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

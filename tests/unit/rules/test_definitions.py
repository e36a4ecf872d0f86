"""Judging definitions: what the corpus does not say."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.rules import catalogue, definitions, library
from mooring.rules.findings import Finding, Severity
from mooring.rules.reporting import ADVICE, BUDGET

KEYS = [
    "type", "plugins", "ipam", "name", "cniVersion", "ranges", "subnet", "routes", "dst", "gw", "vlan", "VLAN",
    "vlanTrunk", "minID", "maxID", "sysctl", "args", "cni", "dns", "addresses", "address", "gateway",
    "rangeStart", "capabilities", "ipRanges", "range", "mac", "links",
]  # fmt: skip


def judge(config: object, *, severities: dict[str, Severity] | None = None) -> list[Finding]:
    text = config if isinstance(config, str) else json.dumps(config)
    manifest = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "x"},
        "spec": {"config": text},
    }
    return definitions.validate(manifest, severities=severities)


def bridge(**options: object) -> dict[str, object]:
    return {"cniVersion": "1.0.0", "type": "bridge", **options}


class TestSeverities:
    def test_the_administrator_may_relax_a_rule(self) -> None:
        (finding,) = judge(bridge(vlan="1"), severities={"MR120": Severity.WARN})
        assert finding.severity is Severity.WARN

    def test_the_administrator_may_tighten_a_rule(self) -> None:
        (finding,) = judge(bridge(colour=1), severities={"MR110": Severity.ENFORCE})
        assert finding.severity is Severity.ENFORCE

    def test_what_nobody_can_read_is_refused_whatever_the_administrator_says(self) -> None:
        (finding,) = judge("{", severities={"MR101": Severity.AUDIT})
        assert finding.severity is Severity.ENFORCE

    def test_the_worst_comes_first(self) -> None:
        found = judge({"type": "bridge", "colour": 1, "vlan": "1"})
        assert [finding.severity for finding in found] == [Severity.ENFORCE, Severity.WARN, Severity.AUDIT]


class TestAdvice:
    @pytest.mark.parametrize(
        ("options", "remedy"),
        [
            ({"vlan": "100"}, "Write 100, without quotes."),
            ({"vlan": "none"}, "Write a whole number from 0 to 4094, without quotes."),
            ({"isGateway": "True"}, "Write true, without quotes."),
            ({"bridge": 5}, 'Write "5", in quotes.'),
            ({"ipMasqBackend": "x"}, 'Write one of "iptables", "nftables".'),
            ({"isgatway": True}, "Did you mean `isGateway`?"),
            ({"vlanTrunkz": []}, "Did you mean `vlanTrunk`?"),
            ({"br": "br1"}, "Did you mean `bridge`?"),
            ({"vlanTrunk": {"id": 1}}, "Write a list, even of one: [ ... ]."),
            ({"ipam": {"type": "host-local", "subnet": "10.0.0.1/24"}}, "Write 10.0.0.0/24."),
        ],
    )
    def test_it_says_what_to_write(self, options: dict[str, object], remedy: str) -> None:
        assert remedy in [finding.remedy for finding in judge(bridge(**options))]

    def test_it_keeps_secrets_to_itself(self) -> None:
        config = bridge(ipam={"type": "whereabouts", "range": "10.0.0.0/24", "etcd_password": 271828})
        found = [str(finding) for finding in judge(config)]
        assert any("etcd_password" in text for text in found)
        assert not any("271828" in text for text in found)

    def test_it_shows_nothing_that_a_terminal_would_act_on(self) -> None:
        found = [str(finding) for finding in judge({"cniVersion": "\x1b[31m", "type": "bridge"})]
        assert any("[31m" in text for text in found)
        assert not any("\x1b" in text for text in found)


class TestRanges:
    def test_each_bad_range_of_many_is_told(self) -> None:
        ranges = [[{"subnet": f"10.0.{n}.1/24"}] for n in range(5)]
        found = judge(bridge(ipam={"type": "host-local", "ranges": ranges}))
        assert [finding.code for finding in found] == ["MR306"] * 5

    def test_neighbours_do_not_overlap(self) -> None:
        ranges = [[{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.1.0/24"}], [{"subnet": "10.0.2.0/24"}]]
        assert judge(bridge(ipam={"type": "host-local", "ranges": ranges})) == []

    def test_parts_of_one_network_do_not_overlap(self) -> None:
        part = {"subnet": "10.0.0.0/24"}
        low = part | {"rangeStart": "10.0.0.10", "rangeEnd": "10.0.0.19"}
        high = part | {"rangeStart": "10.0.0.20", "rangeEnd": "10.0.0.29"}
        assert judge(bridge(ipam={"type": "host-local", "ranges": [[high, low]]})) == []
        wide = part | {"rangeStart": "10.0.0.5", "rangeEnd": "10.0.0.90"}
        found = judge(bridge(ipam={"type": "host-local", "ranges": [[high], [wide], [low]]}))
        assert {finding.code for finding in found} == {"MR307"}


class TestRobustness:
    def test_no_depth_of_a_duplicate_fills_the_memory(self) -> None:
        # Written out, the paths of these values would take gigabytes.
        text = '{"type": "x", "a": 1, "a": ' + "[" * 900 + "{}," * 200_000 + "{}" + "]" * 900 + "}"
        tracemalloc.start()
        (finding, *_) = judge(text)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert finding.code == "MR109"
        assert peak < 200 * 2**20

    def test_no_depth_makes_it_raise(self) -> None:
        for depth in range(800, 1100):
            judge('{"type": "bridge", "vlan": "1", "colour": ' + "[" * depth + "]" * depth + "}")

    def test_hundreds_of_ranges_are_nothing_special(self) -> None:
        ranges = [[{"subnet": f"10.{n // 256}.{n % 256}.0/24"}] for n in range(900)]
        assert judge(bridge(ipam={"type": "host-local", "ranges": ranges})) == []

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=10)
            | st.sampled_from(["10.0.0.0/24", "10.0.0.1", "fd00::/64", "", "bridge", "host-local", "1.0.0"]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(KEYS),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=30,
        ),
        st.sampled_from(sorted(library.types())),
        st.sampled_from(sorted(library.types())),
    )
    @settings(max_examples=300, deadline=None)
    def test_no_configuration_makes_it_raise(self, value: Any, kind: str, ipam: str) -> None:
        judge(value)
        if isinstance(value, dict):
            section = value.get("ipam")
            judge({**value, "type": kind, "ipam": {**(section if isinstance(section, dict) else {}), "type": ipam}})
            judge({"cniVersion": "0.3.1", "plugins": [{**value, "type": kind}, value]})

    @given(st.text(max_size=60))
    def test_no_text_makes_it_raise(self, text: str) -> None:
        judge(text)


class TestNoWayAround:
    """A refusal is found wherever it stands; what cannot be judged to its end is refused itself."""

    @pytest.mark.parametrize("warnings", [0, 1, 99, 100, 101, 120, 2000])
    def test_a_refusal_after_any_number_of_warnings_is_found(self, warnings: int) -> None:
        unknown = {f"colour{n}": n for n in range(warnings)}
        bad = {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.1/24"}}
        found = judge({"cniVersion": "1.0.0", "plugins": [{"type": "bridge", **unknown}, bad]})
        assert found[0].code == "MR306"
        assert len([finding for finding in found if finding.code == "MR110"]) == warnings

    def test_all_refusals_are_counted(self) -> None:
        ranges = [[{"subnet": f"10.{n // 256}.{n % 256}.1/24"}] for n in range(500)]
        found = judge(bridge(ipam={"type": "host-local", "ranges": ranges}))
        assert len([finding for finding in found if finding.severity is Severity.ENFORCE]) == 500

    @pytest.mark.parametrize(
        "config",
        [
            {"plugins": [{"type": "x"}] * 10_000},
            {"plugins": [{"type": f"bridg{n}"} for n in range(10_000)]},
            {"plugins": [{}] * 10_000},
            bridge(**{f"colour{n}": n for n in range(50_000)}),
            bridge(ipam={"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}]] * 30_000}),
            bridge(ipam={"type": "static", "routes": [{"dst": "10.0.0.0/8"}] * 30_000}),
            bridge(vlanTrunk=[{"id": 1}] * 50_000),
            {"type": "tuning", "sysctl": {f"vm.{n}": "1" for n in range(40_000)}},
        ],
    )
    def test_more_than_can_be_judged_is_refused_with_the_place_whatever_the_administrator_says(
        self, config: dict[str, object]
    ) -> None:
        (finding,) = judge(config, severities={"MR125": Severity.AUDIT})
        assert (finding.code, finding.severity) == ("MR125", Severity.ENFORCE)
        assert "$" in finding.message

    def test_what_no_plugin_reads_is_not_counted(self) -> None:
        (finding,) = judge(bridge(colours=[{"a": 1}] * 20 * BUDGET))
        assert finding.code == "MR110"

    @given(st.integers(1, 400), st.sampled_from(["bridge", "sriov", "host-local", "nobodys"]), st.booleans())
    @settings(max_examples=30, deadline=None)
    def test_no_number_of_unknown_options_hides_one_that_is_refused(self, count: int, kind: str, nearly: bool) -> None:
        word = "vlanqoz" if nearly else "colour"
        options = {"type": kind, **{f"{word}{n}": n for n in range(count)}, "capabilities": 5}
        assert judge({"cniVersion": "1.0.0", **options})[0].severity is Severity.ENFORCE

    def test_beyond_the_advice_an_option_of_another_plugin_keeps_its_code(self) -> None:
        found = judge(
            bridge(**{f"colour{n}": n for n in range(2 * ADVICE)}, master="eth0"),
            severities={"MR111": Severity.ENFORCE},
        )
        assert [finding.code for finding in found if finding.severity is Severity.ENFORCE] == ["MR111"]

    def test_where_unknown_options_are_refused_those_beyond_the_advice_do_not_pass_unseen(self) -> None:
        sriov = {"cniVersion": "1.0.0", "type": "sriov", "deviceID": "0000:00:00.1"}
        options = {f"{n}colour": n for n in range(ADVICE)} | {"vlanQo": 1}
        found = judge(sriov | options, severities={"MR110": Severity.ENFORCE})
        assert found[0].severity is Severity.ENFORCE

    @pytest.mark.parametrize(
        "config",
        [
            {"type": "nobodys", **{f"{n}somebodys": n for n in range(ADVICE)}, "capabilites": {}},
            bridge(capabilities={f"{n}somebodys": True for n in range(ADVICE)} | {"portmappings": True}),
            {"plugins": [{"type": "bridge"}], **{f"{n}somebodys": n for n in range(ADVICE)}, "disableChek": True},
        ],
    )
    def test_nor_do_misspelt_keys_that_all_plugins_share(self, config: dict[str, object]) -> None:
        found = judge(config, severities={"MR110": Severity.ENFORCE})
        assert found[0].severity is Severity.ENFORCE


class TestCatalogue:
    def test_codes_are_unique_and_in_their_family(self) -> None:
        assert len(catalogue.RULES) == len(set(catalogue.RULES))
        assert all(code[:2] == "MR" and len(code) == 5 for code in catalogue.RULES)


class TestLibrary:
    @pytest.mark.parametrize("name", sorted(library.types()))
    def test_the_example_of_every_type_has_no_findings(self, name: str) -> None:
        entry = library.types()[name]
        match entry.role:
            case "main":
                config = {"cniVersion": "1.0.0", **entry.example}
            case "ipam":
                config = bridge(ipam=entry.example)
            case "meta":
                config = {"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}, entry.example]}
        found = [finding for finding in judge(config) if finding.code != "MR201"]
        assert found == []

    @pytest.mark.parametrize("name", sorted(library.types()))
    def test_no_described_type_counts_as_undescribed(self, name: str) -> None:
        assert name not in library.UNDESCRIBED

    @pytest.mark.parametrize("name", ["nv-ipam", "kube-ovn"])
    def test_a_type_that_is_used_in_both_places_is_told_in_neither(self, name: str) -> None:
        options = library.types()[name].example
        assert judge({"cniVersion": "1.0.0", **options, "type": name}) == []
        assert judge({"cniVersion": "1.0.0", "type": "bridge", "ipam": {**options, "type": name}}) == []

    def test_an_alias_is_the_same_type(self) -> None:
        assert library.find("cnv-bridge") is library.types()["bridge"]

    @pytest.mark.parametrize("name", sorted(library.types()))
    def test_every_option_has_a_description(self, name: str) -> None:
        waiting: list[object] = [library.types()[name].schema]
        while waiting:
            schema = waiting.pop()
            assert isinstance(schema, dict)
            assert schema.get("description"), schema
            waiting.extend(schema.get("properties", {}).values())
            waiting.extend(schema[key] for key in ("items", "additionalProperties") if key in schema)

"""Comparing the machine with what was noted."""

from __future__ import annotations

from testbed import cgroups, cleanliness, machine


class TestDifferences:
    def test_the_same_machine_has_none(self) -> None:
        notes = {"links": ["lo"], "mounts": ["/"]}
        assert cleanliness.differences(notes, notes) == []

    def test_what_is_new_and_what_is_gone_is_named_by_kind(self) -> None:
        found = cleanliness.differences({"links": ["lo", "eth0"]}, {"links": ["lo", "mtb-demo"]})
        assert found == ["links: left: mtb-demo", "links: gone: eth0"]

    def test_a_process_that_ended_is_none(self) -> None:
        assert cleanliness.differences({"processes": ["pid 1"]}, {"processes": []}) == []

    def test_a_kind_that_was_not_noted_counts(self) -> None:
        assert cleanliness.differences({}, {"clusters": ["demo"]}) == ["clusters: left: demo"]

    def test_a_machine_is_the_same_as_itself(self) -> None:
        once, again = cleanliness.collect(), cleanliness.collect()
        assert once.keys() == again.keys()
        assert once["links"] == again["links"]


class TestRules:
    def test_counters_and_remarks_change_nothing(self) -> None:
        before = ["# Generated at noon", "*nat", ":PREROUTING ACCEPT [0:0]", "counter packets 1 bytes 2 accept"]
        after = ["# Generated at one", "*nat", ":PREROUTING ACCEPT [7:420]", "counter packets 3 bytes 4 accept", ""]
        assert cleanliness.meaningful_rules(before) == cleanliness.meaningful_rules(after)

    def test_a_new_rule_does(self) -> None:
        assert cleanliness.meaningful_rules(["*nat", "-A POSTROUTING -j MASQUERADE"]) != cleanliness.meaningful_rules(
            ["*nat"]
        )


class TestControlGroups:
    def test_every_hierarchy_is_found_once(self) -> None:
        mounts = (
            "proc /proc proc rw 0 0\n"
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
        )
        assert [str(path) for path in cgroups.hierarchies(mounts)] == ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"]


class TestPackageList:
    def test_remarks_and_blank_lines_are_no_packages(self) -> None:
        assert machine.listed_packages("# why\n\nrunc  # runs\niptables\n") == ["runc", "iptables"]

    def test_the_list_is_sorted_and_has_no_doubles(self) -> None:
        names = machine.listed_packages(machine.PACKAGES_FILE.read_text())
        assert names == sorted(set(names))

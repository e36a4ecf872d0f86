"""The primary network is found, checked, pinned, and changed only with reason."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.installing import confs, renderers

FLANNEL: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "name": "cbr0",
    "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": True}},
        {"type": "portmap", "capabilities": {"portMappings": True, "off": False}},
    ],
}
BRIDGE: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "bridged",
    "type": "bridge",
    "ipam": {"type": "host-local"},
    "capabilities": {"bandwidth": True},
}


def text(conf: object) -> str:
    return json.dumps(conf)


def choose(
    texts: dict[str, Any],
    *,
    wanted: str = "auto",
    pinned: confs.Primary | None = None,
    missing: str = "",
    chosen_for: str = "",
) -> confs.Choice:
    return confs.choose(
        wanted=wanted,
        texts={name: conf if isinstance(conf, str) else text(conf) for name, conf in texts.items()},
        folders={},
        pinned=pinned,
        executable=lambda name: name != missing,
        chosen_for=chosen_for,
    )


def rendered_of(primary: confs.Primary, auxiliary: dict[str, Any] | None = None) -> bytes:
    content = renderers.Content(primary, bin_dir="/b", state_dir="/s", kubeconfig="/k", plugin={}, auxiliary=auxiliary)
    return renderers.render(renderers.NEWEST, content)


def primary(conf: dict[str, Any], file: str = "x.conflist") -> confs.Primary:
    return confs.Primary(name=conf["name"], file=file, conf=conf)


class TestCandidates:
    def test_they_are_what_the_runtime_loads_in_its_order_without_ours(self) -> None:
        names = [
            "20-b.conf",
            "10-a.conflist",
            "30.json",
            "00-multus.conf",
            "00-multus.conflist",
            "00-multus.conf.cilium_bak",
            "00-00-multus.conf",
            "00-00-multus.conflist",
            ".10-a.conflist.0.mooring-tmp",
            ".hidden.conf",
            "mooring.d",
            "README",
        ]
        assert confs.candidates(names) == ["10-a.conflist", "20-b.conf", "30.json"]


class TestOurPlace:
    @pytest.mark.parametrize(
        ("names", "file", "rivals", "unbeaten"),
        [
            ((), "00-multus.conf", (), ()),
            (("00-multus.conf", "10-a.conflist", "00-z.conf"), "00-multus.conf", (), ()),
            (("00-multus.conflist", "00-multus.conf.bak", "00-calico.conflist.tmp"), "00-multus.conf", (), ()),
            (("00-calico.conflist",), "00-00-multus.conf", ("00-calico.conflist",), ()),
            (("00-00-multus.conf", "00-b.json", "00-a.conf"), "00-00-multus.conf", ("00-a.conf", "00-b.json"), ()),
            (("00-00-a.conf", "00-b.conf"), "00-00-multus.conf", ("00-00-a.conf", "00-b.conf"), ("00-00-a.conf",)),
            # A runtime loads hidden files too.
            ((".10-a.conflist",), "00-00-multus.conf", (".10-a.conflist",), (".10-a.conflist",)),
        ],
    )
    def test_it_is_before_whatever_the_runtime_would_load_first(
        self, names: tuple[str, ...], file: str, rivals: tuple[str, ...], unbeaten: tuple[str, ...]
    ) -> None:
        place = confs.place(names)
        assert (place.file, place.rivals, place.unbeaten) == (file, rivals, unbeaten)

    @given(st.sets(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).map("00-{}.conf".format)))
    def test_ours_sorts_first_or_those_before_it_are_named(self, names: set[str]) -> None:
        place = confs.place(names)
        others = sorted(names - set(confs.FILES), key=lambda name: name.encode(errors="surrogatepass"))
        assert place.unbeaten or sorted([place.file, *others])[0] == place.file
        assert set(place.unbeaten) == {name for name in others if name < confs.FIRST}


class TestReading:
    def test_a_conflist_tells_its_programs_and_capabilities(self) -> None:
        read = confs.read("10-flannel.conflist", text(FLANNEL))
        assert (read.name, read.file) == ("cbr0", "10-flannel.conflist")
        assert read.binaries == ("flannel", "portmap")
        assert read.capabilities == {"portMappings": True}
        assert read.conf == FLANNEL

    def test_a_conf_needs_its_ipam_program_too(self) -> None:
        assert confs.read("10-bridge.conf", text(BRIDGE)).binaries == ("bridge", "host-local")

    @pytest.mark.parametrize(
        ("file", "content", "said"),
        [
            ("a.conf", "", "not JSON"),
            ("a.conf", '{"name": "x", "type": "bri', "not JSON"),
            ("a.conf", "[]", "not a JSON object"),
            ("a.conf", text(FLANNEL), "needs `type`"),
            ("a.json", text(FLANNEL), "needs `type`"),
            ("a.conflist", text(BRIDGE), "needs `plugins`"),
            ("a.conflist", text({"name": "x", "plugins": []}), "at least one plugin"),
            ("a.conflist", text({"name": "x", "plugins": {}}), "at least one plugin"),
            ("a.conflist", text({"name": "x", "plugins": [3]}), "plugin 0"),
            ("a.conflist", text({"name": "x", "plugins": [{"type": "a"}, {"type": "../b"}]}), "plugin 1"),
            ("a.conflist", text({"plugins": [{"type": "a"}]}), "`name`"),
            ("a.conf", text({**BRIDGE, "name": "a b"}), "`name`"),
            ("a.conf", text({**BRIDGE, "cniVersion": "banana"}), "`cniVersion`"),
            ("a.conf", text({**BRIDGE, "type": "mooring"}), "delegate to itself"),
            ("a.conf", text({**BRIDGE, "type": "multus-shim"}), "delegate to itself"),
            ("a.conflist", text({"name": "x", "plugins": [{"type": "multus"}]}), "delegate to itself"),
            ("a.conflist", text({"name": "x"}), "needs `plugins`, or a folder"),
            ("a.conf", text({**BRIDGE, "cniVersion": []}), "`cniVersion`"),
            ("a.conf", text({**BRIDGE, "cniVersions": "1.0.0"}), "`cniVersions`"),
            ("a.conf", text({**BRIDGE, "cniVersions": ["x"]}), "`cniVersions`"),
            ("a.conf", text({**BRIDGE, "ipam": {"type": "/bin/sh"}}), "`ipam`"),
            ("a.conf", text({**BRIDGE, "capabilities": ["mac"]}), "`capabilities`"),
            ("a.conf", '{"name": "x", "type": "bridge", "mtu": 1e999}', "too large"),
        ],
    )
    def test_what_cannot_be_the_primary_is_refused_with_its_reason(self, file: str, content: str, said: str) -> None:
        with pytest.raises(confs.NotPrimaryError, match=said):
            confs.read(file, content)

    def test_half_of_a_surrogate_pair_is_rendered_as_it_was_spelled(self) -> None:
        read = confs.read("a.conf", '{"name": "x", "type": "bridge", "note": "\\ud800"}')
        rendered = rendered_of(read)
        assert rb'"note": "\ud800"' in rendered

    def test_a_type_beside_a_conflist_s_plugins_is_not_executed_as_the_runtime_does_not_either(self) -> None:
        read = confs.read("a.conflist", text({**FLANNEL, "type": "bridge"}))
        assert read.binaries == ("flannel", "portmap")
        assert "type" not in read.conf

    @given(content=st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
    def test_no_text_makes_the_reader_fail_otherwise(self, content: str) -> None:
        with pytest.raises(confs.NotPrimaryError):
            confs.read("a.conf", content)


class TestFirstChoice:
    def test_the_first_in_the_runtime_s_order_is_taken(self) -> None:
        choice = choose({"20.conflist": FLANNEL, "10.conf": BRIDGE})
        assert choice.primary == primary(BRIDGE, "10.conf")
        assert not choice.problem

    def test_what_cannot_be_used_is_passed_over(self) -> None:
        choice = choose({"05.conf": "{", "06.conf": {**BRIDGE, "type": "absent"}, "10.conf": BRIDGE}, missing="absent")
        assert choice.primary == primary(BRIDGE, "10.conf")

    def test_without_any_there_is_none_and_it_says_why(self) -> None:
        choice = choose({"10.conf": BRIDGE}, missing="host-local")
        assert choice.primary is None
        assert "There is no primary network yet" in choice.problem
        assert "10.conf: its program host-local is not on the node" in choice.problem

    @pytest.mark.parametrize(
        "other", [{"name": "lo", "type": "loopback"}, {"name": "podman", "type": "bridge", "cniVersion": "0.4.0"}]
    )
    def test_a_network_that_pods_are_never_meant_to_have_first_is_passed_over(self, other: dict[str, Any]) -> None:
        assert choose({"01.conf": other}).primary is None
        assert choose({"01.conf": other, "90.conflist": FLANNEL}).primary == primary(FLANNEL, "90.conflist")
        assert choose({"01.conf": other}, wanted="01.conf").primary == primary(other, "01.conf")


class TestThePin:
    def test_another_file_that_comes_first_changes_nothing_but_is_told(self) -> None:
        choice = choose({"05.conf": BRIDGE, "10.conflist": FLANNEL}, pinned=primary(FLANNEL))
        assert choice.primary == primary(FLANNEL, "10.conflist")
        assert "05.conf comes first" in choice.notes[0]

    def test_new_content_of_the_same_network_is_taken(self) -> None:
        changed = {**FLANNEL, "plugins": FLANNEL["plugins"][:1]}
        assert choose({"11.conflist": changed}, pinned=primary(FLANNEL)).primary == primary(changed, "11.conflist")

    @pytest.mark.parametrize("content", ["", "{", text({**FLANNEL, "plugins": []})])
    def test_new_content_that_does_not_hold_is_not_and_it_is_told(self, content: str) -> None:
        choice = choose({"10.conflist": content}, pinned=primary(FLANNEL))
        assert choice.primary == primary(FLANNEL)
        assert not choice.problem
        assert "10.conflist" in choice.notes[0]

    def test_new_content_whose_program_is_missing_is_not(self) -> None:
        changed = {**FLANNEL, "plugins": [{"type": "absent"}]}
        choice = choose({"10.conflist": changed}, pinned=primary(FLANNEL), missing="absent")
        assert choice.primary == primary(FLANNEL)

    def test_it_outlives_its_file(self) -> None:
        choice = choose({}, pinned=primary(FLANNEL))
        assert choice.primary == primary(FLANNEL)
        assert (choice.problem, choice.applied, choice.works) == ("", True, True)
        assert "No file holds the primary network cbr0" in choice.notes[0]

    def test_one_whose_own_program_is_gone_lets_no_pod_start(self) -> None:
        choice = choose({"10.conflist": FLANNEL}, pinned=primary(FLANNEL), missing="portmap")
        assert (choice.primary, choice.works) == (primary(FLANNEL), False)
        assert choice.problem == (
            "The program portmap of the primary network cbr0 is not in the folder of CNI plugins: no pod can start"
        )

    def test_it_is_read_back_from_what_was_rendered(self) -> None:
        rendered = rendered_of(primary(FLANNEL))
        assert confs.pinned(rendered.decode()) == primary(FLANNEL, "")

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "null",
            text(FLANNEL),
            text({"type": "mooring"}),
            text({"type": "mooring", "delegates": [1]}),
            text({"type": "mooring", "delegates": [{"type": "mooring", "name": "x"}]}),
            text({"type": "multus", "delegates": [BRIDGE]}),
        ],
    )
    def test_any_other_content_holds_no_pin(self, content: str) -> None:
        assert confs.pinned(content) is None


class TestAnExplicitChoice:
    def test_the_named_file_wins_over_order_and_pin(self) -> None:
        choice = choose({"05.conf": BRIDGE, "10.conflist": FLANNEL}, wanted="10.conflist", pinned=primary(BRIDGE))
        assert choice.primary == primary(FLANNEL, "10.conflist")

    def test_a_named_network_definition_works_the_same(self) -> None:
        choice = choose({"05.conf": BRIDGE, "kube-system/main": FLANNEL}, wanted="kube-system/main")
        assert choice.primary == primary(FLANNEL, "kube-system/main")

    def test_while_it_is_not_there_the_pin_holds_and_it_is_told(self) -> None:
        choice = choose({"05.conf": BRIDGE}, wanted="10.conflist", pinned=primary(FLANNEL))
        assert choice.primary == primary(FLANNEL)
        assert choice.problem == (
            "The primary network 10.conflist cannot be used: it is not there. Pods go on with cbr0, as it was pinned"
        )
        assert not choice.applied
        assert choose({"05.conf": BRIDGE}, wanted="10.conflist").primary is None

    def test_one_that_was_chosen_and_is_gone_is_no_reason_to_doubt_the_node(self) -> None:
        choice = choose({"05.conf": BRIDGE}, wanted="10.conflist", pinned=primary(FLANNEL), chosen_for="10.conflist")
        assert (choice.primary, choice.problem, choice.applied) == (primary(FLANNEL), "", True)
        assert "10.conflist cannot be used: it is not there" in choice.notes[0]


class TestAChoiceThatIsTakenBack:
    def test_auto_chooses_as_on_a_new_node(self) -> None:
        files = {"05.conf": BRIDGE, "10.conflist": FLANNEL}
        choice = choose(files, pinned=primary(FLANNEL), chosen_for="10.conflist")
        assert choice == confs.Choice(primary(BRIDGE, "05.conf"))

    def test_a_pin_that_auto_chose_or_that_nobody_knows_more_of_holds(self) -> None:
        files = {"05.conf": BRIDGE, "10.conflist": FLANNEL}
        for chosen_for in ("auto", ""):
            choice = choose(files, pinned=primary(FLANNEL), chosen_for=chosen_for)
            assert choice.primary == primary(FLANNEL, "10.conflist")

    def test_where_nothing_can_be_chosen_pods_go_on_and_the_node_says_that_it_is_not_so(self) -> None:
        choice = choose({"05.conf": "{"}, pinned=primary(FLANNEL), chosen_for="kube-system/main")
        assert (choice.primary, choice.applied) == (primary(FLANNEL), False)
        assert "pods go on with cbr0, as it was pinned. What is there cannot be it: 05.conf" in choice.problem


class TestTheAuxiliaryChain:
    CHAIN: ClassVar = {"cniVersion": "1.0.0", "name": "vendor", "plugins": [{"type": "tuning"}]}

    def test_it_is_read_back_from_what_was_rendered(self) -> None:
        rendered = rendered_of(primary(FLANNEL), auxiliary=self.CHAIN)
        assert confs.pinned_auxiliary(rendered.decode(), "vendor") == self.CHAIN
        assert confs.pinned_auxiliary(rendered.decode(), "another") is None
        assert confs.pinned(rendered.decode()) == primary(FLANNEL, "")

    @pytest.mark.parametrize("chain", [None, 5, [], {}, {"name": "vendor"}, {"name": "vendor", "plugins": [5]}])
    def test_any_other_content_holds_none(self, chain: Any) -> None:
        assert confs.pinned_auxiliary(text({"type": "mooring", "auxiliaryChain": chain}), "vendor") is None

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", text({"type": "multus", "auxiliaryChain": CHAIN})])
    def test_nor_does_what_is_not_ours(self, content: str) -> None:
        assert confs.pinned_auxiliary(content, "vendor") is None

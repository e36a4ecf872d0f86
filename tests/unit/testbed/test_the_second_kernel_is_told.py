"""What a kernel is asked for and told; nothing here needs a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed import failures
from testbed.kernel2 import linktypes, places


class TestLinkTypes:
    def test_each_type_is_made_once_beside_a_pair_of_parents(self) -> None:
        lines = linktypes.batch(["dummy", "ipvlan"]).splitlines()
        assert lines == [
            "link add parent1 type veth peer name parent2",
            "link add name try-dummy type dummy",
            "link add name try-ipvlan link parent1 type ipvlan",
        ]

    def test_macvlan_and_ipvlan_have_parents_of_their_own(self) -> None:
        assert "parent1" in linktypes.RECIPES["ipvlan"]
        assert "parent2" in linktypes.RECIPES["macvlan"]

    def test_only_what_was_made_on_purpose_counts(self) -> None:
        listed = [{"ifname": name} for name in ("lo", "parent1", "parent2", "bond0", "try-bond", "try-vrf")]
        assert linktypes.made(listed) == {"bond", "vrf"}

    @given(st.frozensets(st.sampled_from(sorted(linktypes.RECIPES))))
    def test_a_kernel_that_makes_all_has_all(self, types: frozenset[str]) -> None:
        names = [line.split()[3] for line in linktypes.batch(types).splitlines()[1:]]
        assert linktypes.made([{"ifname": name} for name in names]) == types

    def test_every_name_fits_into_an_interface(self) -> None:
        assert all(len(f"try-{kind}") <= 15 for kind in linktypes.RECIPES)


class TestTheCommandLine:
    def test_the_root_is_read_only_and_the_folder_is_told(self) -> None:
        arguments = places.kernel_arguments(exchange=Path("/some/where"), own=Path("/tmp/uml-1"))
        assert {"rootfstype=hostfs", "ro", "exchange=/some/where", "uml_dir=/tmp/uml-1/"} <= set(arguments)
        assert "rw" not in arguments

    def test_a_panic_ends_the_kernel(self) -> None:
        assert "panic=1" in places.kernel_arguments(exchange=Path("/x"), own=Path("/y"))

    @pytest.mark.parametrize("path", ["/with blank", "/with,comma", '/with"quote', "/with\\backslash", "/with\nline"])
    def test_a_folder_that_a_command_line_cannot_hold_is_refused(self, path: str) -> None:
        with pytest.raises(failures.Failure, match="cannot be told to a kernel"):
            places.kernel_arguments(exchange=Path(path), own=Path("/y"))

    def test_the_first_process_can_be_executed(self) -> None:
        assert os.access(places.INIT, os.X_OK)

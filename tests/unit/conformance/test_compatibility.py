"""The page on compatibility: what is in it, and that it is fresh."""

from __future__ import annotations

import pytest

from tests.conformance import compatibility

DOCUMENT = """
[ADD]
title = "Adding"
[ADD.1]
behaviour = "In order."
specification = "7.3"
multus = "same"
evidence = "pkg/multus/multus.go:831, cni 1.3.0: libcni/api.go:518"
[ADD.2]
behaviour = "Returned."
multus = "stale"
evidence = "pkg/multus/multus.go:857"
"""


def test_a_behaviour_with_a_test_is_shown_with_what_the_test_says() -> None:
    sources = ["def test_ADD_1_first_things_first() -> None: ...", "async def test_ADD_1_and_in_order() -> None: ..."]
    shown = compatibility.page(compatibility.families(DOCUMENT), compatibility.proofs(compatibility.names(sources)))
    assert "| ADD-1 | In order. | 7.3 | same<br>[" in shown
    assert "| first things first<br>and in order |" in shown
    assert "1 of 2 behaviours" in shown


def test_a_behaviour_without_a_test_is_not_there_yet() -> None:
    shown = compatibility.page(compatibility.families(DOCUMENT), {})
    line = "https://github.com/k8snetworkplumbingwg/multus-cni/blob/v4.3.0/pkg/multus/multus.go#L857"
    assert f"| ADD-2 | Returned. | - | stale<br>[pkg/multus/multus.go:857]({line}) | **not yet** |" in shown


@pytest.mark.parametrize("key", ["behaviour", "multus", "evidence"])
def test_a_row_that_lacks_something_is_refused_by_name(key: str) -> None:
    lines = DOCUMENT.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith(key))
    document = "\n".join(lines[:last] + lines[last + 1 :])
    with pytest.raises(ValueError, match=f"ADD-2 has no {key}"):
        compatibility.families(document)


def test_evidence_of_another_form_is_refused_with_the_row_s_name() -> None:
    with pytest.raises(ValueError, match="ADD-2: 'somewhere' is no evidence"):
        compatibility.families(DOCUMENT.replace("pkg/multus/multus.go:857", "somewhere"))


def test_a_test_with_an_unknown_id_is_refused() -> None:
    with pytest.raises(ValueError, match="ADD-3"):
        compatibility.page(compatibility.families(DOCUMENT), {"ADD-3": ["what"]})


ELSEWHERE = DOCUMENT + 'elsewhere = ["tests/x.py::test_the_agent_does"]'


def test_tests_without_an_id_count_where_they_are_named() -> None:
    found = compatibility.others(compatibility.families(ELSEWHERE), lambda _: "def test_the_agent_does(): ...")
    assert found == {"ADD-2": ["the agent does"]}


def test_a_named_test_that_is_gone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tests/x\.py::test_the_agent_does"):
        compatibility.others(compatibility.families(ELSEWHERE), lambda _: "def test_another(): ...")


def test_names_without_an_id_do_not_count() -> None:
    assert compatibility.proofs(["test_ADD_is_nice", "test_add_1_lower", "helper", "test_ADD_10_ten"]) == {
        "ADD-10": ["ten"]
    }


def test_the_page_in_the_repository_is_fresh() -> None:
    assert compatibility.PAGE.read_text() == compatibility.current(), "run: python -m tests.conformance.compatibility"

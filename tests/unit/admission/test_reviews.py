"""How a review becomes an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.admission import reviews
from mooring.rules.findings import Finding, Severity

BROKEN = '{"type": "bridge",}'


def ask(config: object, **request: object) -> dict[str, Any]:
    manifest = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "storage", "namespace": "default"},
        "spec": {"config": config},
    }
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "7", "operation": "CREATE", "namespace": "default", "name": "storage"}
        | {"object": manifest}
        | request,
    }
    answer: Any = reviews.review_definition(review)
    response: dict[str, Any] = answer["response"]
    return response


class TestDenials:
    def test_a_denial_says_which_object_what_where_and_what_to_write(self) -> None:
        response = ask(BROKEN)
        assert response["allowed"] is False
        assert response["status"]["code"] == 422
        message = response["status"]["message"]
        assert "default/storage has 1 mistake:" in message
        assert "1. spec.config: line 1, column 19: " in message
        assert "Remove the last comma" in message
        assert "(MR101)" in message

    def test_all_mistakes_are_listed_and_numbered(self) -> None:
        message = ask('{"cniVersion": "9", "name": "a/b", "plugins": [{"type": "/bin/sh"}, {}]}')["status"]["message"]
        assert "has 4 mistakes:" in message
        assert [f"  {number}. spec.config: $." in message for number in (1, 2, 3, 4)] == [True] * 4

    def test_a_long_list_is_cut_and_says_how_many_more(self) -> None:
        message = ask(json.dumps({"plugins": [{}] * 30}))["status"]["message"]
        assert "has 30 mistakes:" in message
        assert message.endswith("... and 10 more")


class TestWhatIsLeftAlone:
    def test_an_update_that_keeps_the_configuration_passes_though_it_is_broken(self) -> None:
        old = {"spec": {"config": BROKEN}, "metadata": {}}
        assert ask(BROKEN, operation="UPDATE", oldObject=old) == {"uid": "7", "allowed": True}

    def test_an_update_that_changes_it_is_judged(self) -> None:
        old = {"spec": {"config": "{}"}, "metadata": {}}
        assert ask(BROKEN, operation="UPDATE", oldObject=old)["allowed"] is False

    def test_an_object_that_is_being_deleted_passes(self) -> None:
        manifest = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"config": BROKEN}}
        assert ask("", object=manifest, operation="UPDATE")["allowed"] is True

    @pytest.mark.parametrize("operation", ["DELETE", "CONNECT", None])
    def test_other_operations_pass(self, operation: object) -> None:
        assert ask(BROKEN, operation=operation)["allowed"] is True


class TestWarnings:
    def finding(self, size: int) -> Finding:
        return Finding(code="MR109", severity=Severity.WARN, path="x", message="m" * size, remedy="r")

    def test_a_warning_does_not_deny(self) -> None:
        response = ask('{"cniVersion": "1.0.0", "type": "x", "type": "y"}')
        assert response["allowed"] is True
        assert response["warnings"][0].startswith("MR109 spec.config: $.type:")

    @given(st.lists(st.integers(min_value=0, max_value=400), max_size=60))
    def test_they_stay_within_the_limits_of_kubernetes(self, sizes: list[int]) -> None:
        warned = reviews.warnings(self.finding(size) for size in sizes)
        assert all(len(text) <= reviews.WARNING_LENGTH for text in warned)
        assert sum(len(text) for text in warned) <= reviews.WARNINGS_LENGTH
        assert bool(warned) == bool(sizes)

    def test_what_is_left_out_is_counted(self) -> None:
        warned = reviews.warnings([self.finding(300)] * 40)
        assert f"and {40 - len(warned) + 1} more warnings" in warned[-1]


@pytest.mark.parametrize(
    "review", [{}, {"request": None}, {"request": {}}, {"request": {"uid": "1", "operation": "CREATE"}}]
)
def test_what_is_no_review_raises(review: dict[str, object]) -> None:
    with pytest.raises(reviews.MalformedReviewError):
        reviews.review_definition(review)

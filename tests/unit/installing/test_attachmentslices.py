"""An AttachmentSlice is named, labelled and owned so that it is of one node for everybody who reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.installing import attachmentslices

NODES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)


@given(node=NODES, other=NODES, number=st.integers(1, 999_999))
def test_a_name_is_of_one_node_only(node: str, other: str, number: int) -> None:
    name = attachmentslices.name(node, number)
    assert attachmentslices.is_name(node, name)
    assert attachmentslices.is_name(other, name) == (node == other)


@pytest.mark.parametrize("name", ["n-0", "n-01", "n-", "n", "n-1-1", "n-x", "m-1", "n-1 "])
def test_other_names_are_not_of_the_node(name: str) -> None:
    assert not attachmentslices.is_name("n", name)


def test_a_node_whose_name_is_too_long_for_a_label_is_named_by_the_field_alone() -> None:
    long = {"metadata": {"name": "n" * 64, "uid": "u"}}
    made = attachmentslices.desired(long, number=1, attachments=[])
    assert attachmentslices.NODE_LABEL not in made["metadata"]["labels"]
    assert made["nodeName"] == "n" * 64
    assert attachmentslices.labels("n" * 63)[attachmentslices.NODE_LABEL] == "n" * 63

"""The names of metrics are as Prometheus has them, and the reference page has them all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from mooring.metrics import agent, histograms, operator, reference

if TYPE_CHECKING:
    from mooring.metrics.families import Family


def test_the_reference_page_is_fresh() -> None:
    assert reference.DOCUMENT.read_text(encoding="utf-8") == reference.reference()


def test_every_metric_has_a_name_of_its_own() -> None:
    names = [each.name for each in (*agent.FAMILIES, *operator.FAMILIES)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", [*agent.FAMILIES, *operator.FAMILIES], ids=lambda each: each.name)
def test_names_units_and_labels_are_as_prometheus_has_them(family: Family) -> None:
    assert re.fullmatch(r"(mooring_agent|mooring_operator|pod_network)_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert family.name.endswith("_seconds") or family.kind != "histogram"
    assert family.text.endswith(".")
    assert len(set(family.labels)) == len(family.labels)


def test_a_histogram_counts_each_value_once_and_is_as_large_as_before() -> None:
    histogram = histograms.Histogram((0.1, 1.0))
    for value in (-5.0, 0.1, 0.5, 100.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.count == 4
    assert histogram.sum == pytest.approx(100.6)

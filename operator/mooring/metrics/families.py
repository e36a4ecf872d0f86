"""Owns what a metric is, what was measured at one moment, and its text for Prometheus; refuses to measure anything."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from prometheus_client import core, exposition, process_collector, registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mooring.metrics.histograms import Histogram

CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4

Labels = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric: its full name, kind, meaning and labels."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    text: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its values are stored by."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers:
    """What was measured, at one moment: values and histograms by the labels of their family."""

    values: Mapping[Family, Mapping[Labels, float]]
    histograms: Mapping[Family, Mapping[Labels, tuple[Sequence[tuple[str, float]], float]]] = dataclasses.field(
        default_factory=dict
    )
    """Buckets and sum."""


def snapshot(histogram: Histogram) -> tuple[Sequence[tuple[str, float]], float]:
    """Return buckets and sum as they are now."""
    return histogram.buckets(), histogram.sum


def text(numbers: Numbers) -> bytes:
    """Return what Prometheus reads, with the numbers of this process besides."""
    return exposition.generate_latest(_Collected(numbers))


class _Collected(registry.Collector):
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[core.Metric]:
        for family, values in self._numbers.values.items():
            made: core.CounterMetricFamily | core.GaugeMetricFamily
            kind = core.CounterMetricFamily if family.kind == "counter" else core.GaugeMetricFamily
            made = kind(family.name, family.text, labels=family.labels)
            for labels, value in sorted(values.items()):
                made.add_metric(labels, value)
            yield made
        for family, found in self._numbers.histograms.items():
            histogram = core.HistogramMetricFamily(family.name, family.text, labels=family.labels)
            for labels, (buckets, total) in sorted(found.items()):
                histogram.add_metric(labels, buckets, total)
            yield histogram
        yield from process_collector.ProcessCollector(registry=None).collect()

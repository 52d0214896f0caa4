# SPDX-License-Identifier: BSD-3-Clause
"""Figures per stage: counted in plain integers on the way, put into Prometheus' form only when asked for."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from xos.common.errors import XosError
    from xos.dixi.stage import Stage, Work

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: upper bounds of the histogram buckets; above the last is +Inf."""


class Histogram:
    """Counts of durations by bucket."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        rows, seen = [], 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], self.counts, strict=True):
            seen += count
            rows.append((bound, float(seen)))
        return rows


class MethodMetrics:
    """What one method did."""

    __slots__ = ("outcomes", "seconds", "slowest")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        """Calls ended, by ``ok`` or an error code."""
        self.seconds = 0.0
        """Running time of all calls; those that sleep (``waits``) do not count."""
        self.slowest = 0.0


class StageMetrics:
    """What happened in one stage since the daemon started."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.methods: dict[str, MethodMetrics] = {}
        self.refused = 0
        self.wait = Histogram()
        self.service_time = Histogram()

    @property
    def total(self) -> int:
        """Calls ended."""
        return sum(self.service_time.counts)

    @property
    def mean_service_time(self) -> float:
        """Seconds; 0 before the first call."""
        return self.service_time.total / max(1, self.total)

    def observe(self, work: Work, began: float, error: XosError | None) -> None:
        """Count a call that ended now; *began* is `time.perf_counter` when it got its place."""
        name = work.method.signature.name
        method = self.methods.get(name)
        if method is None:
            method = self.methods[name] = MethodMetrics()
        outcome = "ok" if error is None else error.code
        method.outcomes[outcome] = method.outcomes.get(outcome, 0) + 1
        self.wait.observe(began - work.arrived)
        if not work.method.waits:
            spent = time.perf_counter() - began
            self.service_time.observe(spent)
            method.seconds += spent
            method.slowest = max(method.slowest, spent)


class _Stages(Collector):
    def __init__(self, stages: Iterable[Stage], gauges: dict[str, float]) -> None:
        self._stages, self._gauges = list(stages), gauges

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("dixi_calls", "Calls ended", labels=["service", "method", "outcome"])
        refused = CounterMetricFamily("dixi_refused", "Calls refused because the queue was full", labels=["service"])
        places = GaugeMetricFamily("dixi_stage_calls", "Calls in the stage now", labels=["service", "place"])
        wait = HistogramMetricFamily("dixi_wait_seconds", "Time from arrival to a place", labels=["service"])
        spent = HistogramMetricFamily("dixi_service_seconds", "Time from place to answer", labels=["service"])
        for stage in self._stages:
            metrics = stage.metrics
            for name, method in list(metrics.methods.items()):
                for outcome, count in list(method.outcomes.items()):
                    calls.add_metric([stage.name, name, outcome], count)
            refused.add_metric([stage.name], metrics.refused)
            for place, count in (("queued", stage.queued), ("running", stage.running), ("waiting", stage.waiting)):
                places.add_metric([stage.name, place], count)
            wait.add_metric([stage.name], metrics.wait.buckets(), metrics.wait.total)
            spent.add_metric([stage.name], metrics.service_time.buckets(), metrics.service_time.total)
        yield from (calls, refused, places, wait, spent)
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(name, name.replace("_", " "), value=value)


def exposition(stages: Iterable[Stage], gauges: dict[str, float]) -> bytes:
    """The page at ``/metrics``, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Stages(stages, gauges))
    return generate_latest(registry)

# SPDX-License-Identifier: BSD-3-Clause
"""The echo measurement, the same for every framework: 128 bytes there and back, N calls in flight."""

from __future__ import annotations

import dataclasses

from bench.cpu import Meter, per
from bench.model import Measure, Sample
from bench.resources import Resources
from bench.worker import Worker

PAYLOAD = b"x" * 128
SECONDS = 2.0
"""Of one repetition."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A server process and a client process, and what counts their CPU time."""

    meter: Meter
    client: Worker


def calls(resources: Resources, pair: Pair, *, in_flight: int) -> Measure:
    """Calls a second that *pair* does with *in_flight* under way, after a short warm-up."""
    seconds = max(0.2, SECONDS * resources.scale)
    pair.client.ask({"in_flight": in_flight, "seconds": seconds / 4})

    def measure() -> Sample:
        before = pair.meter.seconds()
        done = pair.client.ask({"in_flight": in_flight, "seconds": seconds})
        return Sample(done["calls"] / done["wall"], per(before, pair.meter.seconds(), done["calls"]))

    return measure

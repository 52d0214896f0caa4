# SPDX-License-Identifier: BSD-3-Clause
"""Against guessing passwords: failures fill a bucket that leaks slowly; while it is full nothing is tried."""

from __future__ import annotations

import collections
import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """*burst* failures at once, then one every *seconds_each*."""

    burst: int
    seconds_each: float


@dataclasses.dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Throttle:
    """Counts tries per key; pure but for its own state, the clock is the caller's.

    A try is charged before it is checked and given back when it was right, so that a thousand tries at once
    are no way around. At most *most_keys* keys are kept: the one longest unused is forgotten first.
    """

    def __init__(self, limit: Limit, *, most_keys: int = 50_000) -> None:
        self._limit = limit
        self._most_keys = most_keys
        self._buckets: collections.OrderedDict[str, _Bucket] = collections.OrderedDict()

    def charge(self, key: str, now: float) -> float:
        """Count one try of *key*: 0.0, or the seconds until one is allowed (and then nothing was counted)."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(0.0, now)
            if len(self._buckets) > self._most_keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        leaked = max(0.0, now - bucket.at) / self._limit.seconds_each
        bucket.level, bucket.at = max(0.0, bucket.level - leaked), now
        excess = bucket.level + 1 - self._limit.burst
        if excess > _ROUNDING:
            return excess * self._limit.seconds_each
        bucket.level += 1
        return 0.0

    def give_back(self, key: str) -> None:
        """Uncount one try that turned out right."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.level = max(0.0, bucket.level - 1)

    def __len__(self) -> int:
        return len(self._buckets)


_ROUNDING = 1e-9


def retry_after_ms(seconds: float) -> int:
    """*seconds* as whole milliseconds, never less than waited for."""
    return max(1, math.ceil(seconds * 1000))

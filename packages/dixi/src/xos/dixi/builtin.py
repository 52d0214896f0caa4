# SPDX-License-Identifier: BSD-3-Clause
"""The four calls that every service answers without its programmer doing anything.

A dispatcher that meets a method named in `BUILTINS` answers it itself, before it looks at the service's own methods:

- ``SERVICE.ping`` answers `Pong` without queueing, so that it shows whether the daemon lives, not whether it is busy;
- ``SERVICE.info`` answers `ServiceInfo`;
- ``SERVICE.stats`` answers `ServiceStats` from the stage's counters, those that ``/metrics`` shows;
- ``SERVICE.describe`` answers `xos.dixi.describe.describe(type(service))`, made once.

None takes arguments. Any caller with a certificate is heard.
"""

from __future__ import annotations

import msgspec


class Pong(msgspec.Struct, array_like=True, frozen=True):
    """A service is there."""

    service: str
    node: str
    time: float = 0.0
    """Unix seconds by the node's clock."""


class ServiceInfo(msgspec.Struct, array_like=True, frozen=True):
    """What answers under a service's name."""

    service: str
    node: str
    version: str = ""
    """Of the package that implements it."""
    interface: str = ""
    """`ServiceDescription.fingerprint`: while it is the same, a description kept from before still holds."""
    started: float = 0.0
    """Unix seconds."""
    doc: str = ""
    """First line of the service's description."""


class MethodStats(msgspec.Struct, array_like=True, frozen=True):
    """What one method did since its service started."""

    method: str
    calls: int = 0
    """Admitted, whether they have ended or not."""
    errors: int = 0
    """Ended in an error."""
    seconds: float = 0.0
    """Running time of all calls that have ended, without waiting in the queue."""
    slowest: float = 0.0
    """Seconds."""


class ServiceStats(msgspec.Struct, array_like=True, frozen=True):
    """What a service's stage is doing, and did since it started."""

    service: str
    node: str
    started: float = 0.0
    """Unix seconds."""
    queued: int = 0
    """Calls admitted that have not begun."""
    running: int = 0
    waiting: int = 0
    """Calls marked ``waits`` and streams that are open."""
    refused: int = 0
    """Calls answered with `Overloaded`."""
    queue_seconds: float = 0.0
    """Time that all calls together spent in the queue."""
    methods: tuple[MethodStats, ...] = ()


BUILTINS = ("ping", "info", "stats", "describe")

# SPDX-License-Identifier: BSD-3-Clause
"""What answers ``ping``, ``info``, ``stats`` and ``describe`` for every hosted service (see `xos.dixi.builtin`)."""

from __future__ import annotations

import importlib.metadata
import time

from xos.common.identity import Kind
from xos.dixi.api import call, service
from xos.dixi.builtin import MethodStats, Pong, ServiceInfo, ServiceStats
from xos.dixi.describe import describe
from xos.dixi.description import ServiceDescription
from xos.dixi.dispatch import service_name
from xos.dixi.metrics import MethodMetrics
from xos.dixi.stage import Stage

ANYONE: frozenset[Kind] = frozenset({Kind.USER, Kind.MACHINE, Kind.ANONYMOUS})


@service
class Standard:
    """The standard calls, on behalf of one service object."""

    def __init__(self, subject: object, stage: Stage, node: str) -> None:
        self._name = service_name(type(subject))
        self._class = type(subject)
        self._stage = stage
        self._node = node
        self._started = time.time()
        self._description: ServiceDescription | None = None

    @call(reads=True, allow=ANYONE)
    async def ping(self) -> Pong:
        """Whether the service is there, however busy it is."""
        return Pong(self._name, self._node, time.time())

    @call(reads=True)
    async def info(self) -> ServiceInfo:
        """What answers under this name."""
        described = self._describe()
        doc = described.doc.partition("\n")[0]
        return ServiceInfo(self._name, self._node, _version(self._class), described.fingerprint, self._started, doc)

    @call(reads=True)
    async def stats(self) -> ServiceStats:
        """What the service is doing, and did since it started."""
        stage, metrics = self._stage, self._stage.metrics
        return ServiceStats(
            service=self._name,
            node=self._node,
            started=self._started,
            queued=stage.queued,
            running=stage.running,
            waiting=stage.waiting,
            refused=metrics.refused,
            queue_seconds=metrics.wait.total,
            methods=tuple(_stats(name, method) for name, method in sorted(metrics.methods.items())),
        )

    @call(reads=True, allow=ANYONE)
    async def describe(self) -> ServiceDescription:
        """The interface that the service offers."""
        return self._describe()

    def _describe(self) -> ServiceDescription:
        if self._description is None:
            self._description = describe(self._class)
        return self._description


def _stats(name: str, method: MethodMetrics) -> MethodStats:
    calls = sum(method.outcomes.values())
    return MethodStats(name, calls, calls - method.outcomes.get("ok", 0), method.seconds, method.slowest)


def _version(cls: type) -> str:
    room = ".".join(cls.__module__.split(".")[:2]).replace(".", "-")
    try:
        return importlib.metadata.version(room)
    except importlib.metadata.PackageNotFoundError:
        return ""

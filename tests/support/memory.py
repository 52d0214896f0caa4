# SPDX-License-Identifier: BSD-3-Clause
"""A bus without a network: calls go to service objects in this process, through the codec as on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from xos.dixi.builtin import BUILTINS
from xos.dixi.dispatch import Method, service_name, signatures
from xos.dixi.errors import UnknownService
from xos.dixi.stage import Stage
from xos.dixi.standard import Standard


class MemoryBus:
    """Satisfies `xos.dixi.stubs.HasCallers`; `calls` remembers what was asked of it."""

    def __init__(self, *services: object, node: str = "node1") -> None:
        self.node = node
        self.calls: list[tuple[str, tuple[Any, ...], float | None]] = []
        self._methods: dict[str, Method] = {}
        for subject in services:
            name, stage = service_name(type(subject)), Stage("memory")
            for target in (Standard(subject, stage, node), subject):
                for signature in signatures(type(target)).values():
                    method = Method(name, signature, getattr(target, signature.name), stage)
                    self._methods[method.name] = method

    def caller(self, service: str, node: str | None = None) -> MemoryCaller:
        """See `HasCallers.caller`."""
        if f"{service}.{BUILTINS[0]}" not in self._methods or node not in (None, self.node):
            return MemoryCaller(self, None)
        return MemoryCaller(self, service)

    def close(self) -> None:
        """Nothing to close."""


class MemoryCaller:
    """Satisfies `xos.dixi.api.Caller`."""

    def __init__(self, bus: MemoryBus, service: str | None) -> None:
        self._bus, self._service = bus, service

    def _method(self, name: str, args: tuple[Any, ...], deadline: float | None) -> tuple[Method, tuple[Any, ...]]:
        if self._service is None:
            raise UnknownService(service=name.partition(".")[0], where=" here")
        self._bus.calls.append((name, args, deadline))
        method = self._bus._methods[name]
        return method, method.decode(msgspec.Raw(msgspec.msgpack.encode(args)))

    async def call(
        self,
        method: str,
        args: tuple[Any, ...],
        result: Any,
        *,
        deadline: float | None = None,
        retry: bool = False,  # noqa: ARG002 -- no connection that could be lost
    ) -> Any:
        """See `Caller.call`."""
        found, given = self._method(method, args, deadline)
        answer = await found.fn(*given)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=result)

    async def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """See `Caller.stream`."""
        found, given = self._method(method, args, deadline)
        items = found.fn(*given)
        try:
            async for value in items:
                yield msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=item)
        finally:
            await items.aclose()

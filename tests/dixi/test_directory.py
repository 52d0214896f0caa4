# SPDX-License-Identifier: BSD-3-Clause
"""The Directory: what a machine may register."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from xos.common.identity import Identity, Kind
from xos.dixi import api
from xos.dixi.directory import DirectoryService, NodeRecord


class Closing(SimpleNamespace):
    """The part of a host that the Directory uses: nothing runs in the background."""

    def spawn(self, work: Any, *, name: str) -> None:  # noqa: ARG002
        work.close()


class Nothing(msgspec.Struct):
    """No settings."""


async def test_a_machine_of_one_vo_offers_no_service_of_the_grid() -> None:
    record = NodeRecord("node9", "127.0.0.1:1", ("CDA", "ExecutionManager", "XVOMS"))
    host: Any = Closing()
    directory = DirectoryService(host, Nothing())
    await directory.start()
    token = api._current.set(api.CallContext(Identity(Kind.MACHINE, "node9", vos=("demo",)), "", "", None, None))
    try:
        await directory.register(record)
    finally:
        api._current.reset(token)
    (kept,) = await directory.nodes()
    assert (kept.services, kept.vos) == (("ExecutionManager",), ("demo",))

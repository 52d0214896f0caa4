# SPDX-License-Identifier: BSD-3-Clause
"""One life of a node's daemon in a process of its own, to be killed: see `support.crashing`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from support.jobs import People, acting, machine
from support.units import PATIENCE, ListeningManager, Node
from xos.aem.api import Unit, UnitOrder
from xos.common.credential import Credential
from xos.common.tls import Trust


class SayingManager(ListeningManager):
    """Prints what it hears; that is durable from then on."""

    async def report(self, units: list[Unit]) -> None:
        for unit in units:
            print(f"heard {unit.unit_id} {unit.state.value}", flush=True)
        await super().report(units)


def live(
    step: int, crash_at: Callable[[int], None], *, data: str, trust: str, core: str, orders: list[str], name: str
) -> None:
    """Start a node, give it *orders*, and wait until all of its units have ended and been reported."""
    people = People(None, Trust.from_pem(trust.encode()), Credential.from_pem(core.encode()))  # type: ignore[arg-type]
    read = [msgspec.msgpack.decode(bytes.fromhex(order), type=UnitOrder) for order in orders]
    asyncio.run(_live(step, crash_at, people, Path(data), read, name))


async def _live(
    step: int, crash_at: Callable[[int], None], people: People, data: Path, orders: list[UnitOrder], name: str
) -> None:
    crash_at(step)
    node = Node(people, data, name=name, manager=SayingManager())
    async with node, asyncio.timeout(PATIENCE):
        for order in orders:
            with acting(machine("core")):
                await node.execution.start_unit(order)
            print(f"taken {order.unit_id}", flush=True)
        for unit_id in sorted(node.execution._live):  # all whose end has not been acknowledged yet
            await node.manager.ended(unit_id)

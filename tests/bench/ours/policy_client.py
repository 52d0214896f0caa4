# SPDX-License-Identifier: BSD-3-Clause
"""Asks VOPS for decisions, hands in usage records, acts as an administrator (``python -m`` inside the enclosure): ROOT.

Requests: ``{"do": "engine" or "decide" or "record" or "act", "count": N, "in_flight": P}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop

from bench import policies
from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.policy import Action, JobContext, NodeAttributes, PolicySet, Request
from xos.common.signing import Signed, sign
from xos.common.tls import Credential
from xos.dixi.bus import GridBus
from xos.dixi.client import load_client, load_credential, make_bus, xos_home
from xos.setup.local.grid import LocalGrid
from xos.vom.api import USAGE_PURPOSE, JobQuestion, UsageRecord
from xos.vom.xati import AccountingAsync, VOPSAsync, XVOMSAsync

NODE = NodeAttributes("node1", "x86_64", "LINUX", cores=8, memory=1 << 34)
ALICE = Identity(Kind.USER, "alice", vo="demo", group="users")


class Client:
    """Connections as the core machine and as a node."""

    def __init__(self, root: Path) -> None:
        grid = LocalGrid(root, print)
        config, trust = load_client(grid.admin)
        self._user = load_credential(xos_home()).certificate
        node = next(planned for planned in grid.nodes if planned.name == "node1")
        self._node = Credential.load(node.certificate, node.key)
        self.buses: list[GridBus] = [
            make_bus(config, trust, load_credential(grid.admin)),
            make_bus(config, trust, self._node),
        ]
        self._vops, self._accounting = VOPSAsync(self.buses[0]), AccountingAsync(self.buses[1])
        self._xvoms = XVOMSAsync(self.buses[0])
        self._engine = PolicySet.parse({"bench": policies.text(), "members": "permit(principal, action, resource);"})
        self._number = time.time_ns()

    async def prepare(self) -> None:
        """Put the rules into effect."""
        now = await self._vops.history("demo", "bench")
        await self._vops.put_policy("demo", "bench", policies.text(), now[0].version if now else 0, deadline=60)

    async def engine(self) -> None:
        """One decision in this process."""
        if not self._engine.decide(Request(ALICE, Action.RUN_JOB, NODE, JobContext())).allowed:
            raise RuntimeError("a rule forbids what it should not")

    async def decide(self) -> None:
        """One signed decision of the service."""
        answer = await self._vops.decide_job(JobQuestion(self._user, bytes(32), JobContext(), (NODE,)), deadline=60)
        if not answer.nodes:
            raise RuntimeError(answer.denied[0].reason)

    async def record(self) -> None:
        """One usage record, acknowledged."""
        await self._accounting.record([self._record()], deadline=60)

    async def act(self) -> None:
        """One administrative act, done and in the trail: a group of 64 is described anew."""
        self._number += 1
        await self._xvoms.add_group("demo", f"bench-{self._number % 64}", f"number {self._number}", deadline=60)

    def _record(self) -> Signed:
        self._number += 1
        job, now = f"demo-{self._number}", time.time()
        unit = f"{job}.0"
        record = UsageRecord(
            f"node1:{unit}",
            "demo",
            "alice",
            "users",
            f"demo-{self._number}",
            unit,
            node="node1",
            started=now,
            ended=now,
        )
        return sign(msgspec.msgpack.encode(record), self._node, purpose=USAGE_PURPOSE)


async def measure(one: Callable[[], Awaitable[None]], count: int, in_flight: int) -> dict[str, float]:
    """How long *count* of them take, *in_flight* at once."""
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await one()

    begin = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(in_flight)))
    return {"wall": time.perf_counter() - begin}


async def main() -> None:
    """Answer requests until the input ends."""
    client = Client(Path(sys.argv[1]))
    await client.prepare()
    work = {"engine": client.engine, "decide": client.decide, "record": client.record, "act": client.act}
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        try:
            answer: dict[str, object] = {**await measure(work[request["do"]], request["count"], request["in_flight"])}
        except XosError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
    for bus in client.buses:
        bus.close()


if __name__ == "__main__":
    uvloop.run(main())

# SPDX-License-Identifier: BSD-3-Clause
"""What machines tell: asked once for all who read, never waited for long. The machines are told here (a page with a
thousand of them fits no test), the real ones answer in tests/scenario."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.dixi import until
from xos.aem.api import Resource
from xos.dixi.errors import NotConnected
from xos.volife.offers import Offers


class ToldMachines:
    """A host whose bus leads to machines that answer when *answers* has what they say; None: they refuse."""

    def __init__(self, **answers: Resource | None) -> None:
        self.answers, self.asked, self.bus = answers, dict[str, int](), self
        self.tasks: set[asyncio.Task[None]] = set()
        self.more = asyncio.Event()

    def spawn(self, work: Any, *, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        return task

    def caller(self, service: str, node: str) -> Any:
        assert service == "ResourceManager"
        return _Caller(self, node)


class _Caller:
    def __init__(self, machines: ToldMachines, node: str) -> None:
        self.machines, self.node = machines, node

    async def call(self, *_: object, **__: object) -> Resource:
        machines, node = self.machines, self.node
        machines.asked[node] = machines.asked.get(node, 0) + 1
        while node not in machines.answers:
            await machines.more.wait()
        if (answer := machines.answers[node]) is None:
            raise NotConnected(address=node, detail="refused")
        return answer


def offers(machines: ToldMachines, fresh_s: float = 60.0) -> Offers:
    return Offers(machines, fresh_s)  # type: ignore[arg-type]  # all of a host that it needs


def resource(node: str) -> Resource:
    return Resource(node, "x86_64", cores=4, memory=1 << 33, slots=4, slots_free=3)


@pytest.fixture
def node1() -> Resource:
    return resource("node1")


async def test_a_machine_that_does_not_answer_holds_up_nobody_and_is_shown_once_it_does(node1: Resource) -> None:
    machines = ToldMachines(node1=node1, node3=None)
    asked = offers(machines)
    async with asyncio.timeout(15):
        assert await asked.of(["node1", "node2", "node3"]) == {"node1": node1, "node3": None}
    machines.answers["node2"] = late = resource("node2")
    machines.more.set()
    await until(lambda: all(task.done() for task in machines.tasks))
    assert (await asked.of(["node2"])) == {"node2": late}


async def test_a_thousand_readers_ask_a_machine_once(node1: Resource) -> None:
    machines = ToldMachines(node1=node1)
    asked = offers(machines)
    told = await asyncio.gather(*(asked.of(["node1"]) for _ in range(1000)))
    assert told == [{"node1": node1}] * 1000
    assert machines.asked == {"node1": 1}


async def test_an_answer_that_is_old_is_asked_for_again_and_shown_meanwhile(node1: Resource) -> None:
    machines = ToldMachines(node1=node1)
    asked = offers(machines, 0.0)
    await asked.of(["node1"])
    del machines.answers["node1"]
    assert await asked.of(["node1"]) == {"node1": node1}
    assert machines.asked == {"node1": 2}
    for task in machines.tasks:
        task.cancel()


async def test_a_machine_that_went_down_is_forgotten(node1: Resource) -> None:
    machines = ToldMachines(node1=node1)
    asked = offers(machines)
    await asked.of(["node1"])
    asked.keep(set())
    await asked.of(["node1"])
    assert machines.asked == {"node1": 2}

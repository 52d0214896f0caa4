# SPDX-License-Identifier: BSD-3-Clause
"""Units stand back for the rest of the machine as far as the node says."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.jobs import People
from support.units import Node, shell, unit_order
from xos.common.tls import Credential


@pytest.mark.parametrize("nice", [0, 7])
async def test_a_unit_runs_at_the_nodes_nice_value_as_process_and_as_session(
    people: People, place: Path, node_name: str, alice: Credential, nice: int
) -> None:
    async with Node(people, place, name=node_name, nice=nice) as node:
        order = unit_order(alice, shell("cut -d' ' -f19 /proc/$$/stat; cat /proc/self/autogroup"))
        await node.run(order)
        process, *session = (await node.output(order.unit_id)).decode().splitlines()
    assert process == str(nice)
    assert all(line.endswith(f" nice {nice}") for line in session)

# SPDX-License-Identifier: BSD-3-Clause
"""The least that a decision and a kept record can cost (run as ``python -m``): DIRECTORY.

Decisions: cedarpy alone, everything parsed and prepared before. Records: one row and one commit each, SQLite, as
durable as ours; nothing verified, no chain.
Requests: ``{"do": "decide" or "record", "count": N}``.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import cedarpy

from bench import policies

CONTEXT: dict[str, Any] = {"cores": 1, "used": {"cpuSeconds": 0}}
REQUEST = {
    "principal": 'User::"alice@demo"',
    "action": 'Action::"runJob"',
    "resource": 'Node::"node1"',
    "context": json.dumps(CONTEXT),
}
ENTITIES = json.dumps(
    [
        {
            "uid": {"type": "User", "id": "alice@demo"},
            "attrs": {"roles": []},
            "parents": [{"type": "Group", "id": "demo/users"}],
        },
        {"uid": {"type": "Node", "id": "node1"}, "attrs": {"memory": 1 << 34}, "parents": []},
    ]
)


class Bare:
    """Both."""

    def __init__(self, directory: Path) -> None:
        self._rules = cedarpy.PolicySet.from_str(policies.text() + "permit(principal, action, resource);")
        self._entities = cedarpy.Entities.from_json_str(ENTITIES)
        self._database = sqlite3.connect(directory / "bare-records.sqlite", isolation_level=None)
        self._database.executescript(
            "pragma journal_mode = wal; pragma synchronous = full; drop table if exists records;"
            "create table records (number integer primary key, id text unique, payload blob)"
        )
        self._number = 0

    def decide(self) -> None:
        """One decision."""
        if not cedarpy.is_authorized(REQUEST, self._rules, self._entities).allowed:
            raise RuntimeError("a rule forbids what it should not")

    def record(self) -> None:
        """One record on disk."""
        self._number += 1
        row = (self._number, f"node1:demo-{self._number}.0", bytes(900))
        self._database.execute("insert into records values (?, ?, ?)", row)


def main() -> None:
    """Answer requests until the input ends."""
    bare = Bare(Path(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        one = bare.decide if request["do"] == "decide" else bare.record
        begin = time.perf_counter()
        for _ in range(request["count"]):
            one()
        print(json.dumps({"wall": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()

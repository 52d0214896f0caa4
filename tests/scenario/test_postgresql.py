# SPDX-License-Identifier: BSD-3-Clause
"""A whole grid with its VO in PostgreSQL, through the commands alone; the server crashes, and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemons import eventually
from support.databases import Cluster, cluster, empty_database
from support.localgrid import Grid, User

RULE = '@id("no") forbid (principal == User::"bob@demo", action == Action::"runJob", resource);\n'


@pytest.fixture
def server() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def grid(server: Cluster, new_grid: Grid) -> Iterator[Grid]:
    with empty_database(server.place) as url:
        vom = new_grid.root / "core" / "data" / "vom"
        vom.mkdir(mode=0o700, parents=True)
        (vom / "vom.toml").write_text(f'database = "{url}"\n')
        new_grid.up()
        yield new_grid
        new_grid.local.down()


def _told(user: User, *words: str) -> Any:
    return json.loads(user.run(words[0], *words[1:], "--json").stdout)


def _used(boss: User) -> dict[str, int]:
    return {line["subject"]: line["units"] for line in _told(boss, "xos-usage", "report", "demo")}


def test_members_policies_jobs_and_usage_with_the_vo_in_postgresql_gone_and_back(grid: Grid, server: Cluster) -> None:
    boss = grid.user("boss", roles=("VOAdmin",))
    alice, bob = grid.user("alice"), grid.user("bob")
    assert not Path(grid.local.core.data / "vom" / "vom.sqlite").exists()
    boss.run("xos-policy", "put", "demo", "beam", "-", typed=RULE)
    refused = bob.submit("true")
    bob.run("xwait", refused, status=None)
    assert _told(bob, "xps", refused)[0]["state"] == "FAILED"
    alice.run("xsub", "--wait", "true")
    for _ in eventually():
        if _used(boss) == {"alice": 1}:
            break
    assert _used(boss) == {"alice": 1}

    server.stop()
    away = boss.run("xos-vo", "list-users", "demo", status=None)
    assert away.returncode != 0
    assert "cannot be used" in away.stderr
    server.start()

    for _ in eventually():
        if boss.run("xos-vo", "list-users", "demo", status=None).returncode == 0:
            break
    assert {user["name"] for user in _told(boss, "xos-vo", "list-users", "demo")} == {"alice", "bob", "boss"}
    boss.run("xos-policy", "remove", "demo", "beam")
    bob.run("xsub", "--wait", "true")
    for _ in eventually():
        if _used(boss) == {"alice": 1, "bob": 1}:
            break
    assert _used(boss) == {"alice": 1, "bob": 1}
    grid.core.run("xos-audit", "verify")
    boss.run("xos-vo", "suspend", "demo", "bob")
    assert "revoked" in bob.run("xps", status=None).stderr

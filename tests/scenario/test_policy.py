# SPDX-License-Identifier: BSD-3-Clause
"""Policies, usage and audit in a real grid, through the commands alone."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from support.daemons import eventually
from support.localgrid import Grid, User

NO_BOB = """// Bob has to wait until the beam is up again.
@id("bob-waits")
forbid (principal == User::"bob@demo", action == Action::"runJob", resource);
"""


@pytest.fixture(scope="module")
def boss(grid: Grid) -> User:
    return grid.user("boss", roles=("VOAdmin",))


@pytest.fixture(scope="module")
def bob(grid: Grid) -> User:
    return grid.user("bob")


def told(user: User, *words: str, status: int = 0) -> Any:
    """What a command prints as JSON."""
    done = user.run(words[0], *words[1:], "--json", status=status)
    return json.loads(done.stdout or done.stderr)


def report(user: User) -> dict[str, int]:
    return {line["subject"]: line["units"] for line in told(user, "xos-usage", "report", "demo")}


def vom(grid: Grid) -> Path:
    return grid.local.core.data / "vom"


def test_a_policy_denies_one_of_two_users_and_says_by_which_rule(boss: User, alice: User, bob: User) -> None:
    (boss.home / "no-bob.cedar").write_text(NO_BOB)
    boss.run("xos-policy", "check", "demo", "beam", "no-bob.cedar")
    boss.run("xos-policy", "put", "demo", "beam", "no-bob.cedar", "-m", "beam down")
    job = bob.submit("true")
    bob.run("xwait", job, status=None)
    (refused,) = told(bob, "xps", job)
    assert refused["state"] == "FAILED"
    assert refused["reason"] == "VO policy: denied by rule beam/bob-waits"
    alice.run("xsub", "--wait", "true")
    denied = boss.run("xos-policy", "explain", "demo", "bob", "node1", status=1)
    assert "denied by rule beam/bob-waits" in denied.stdout
    for _ in eventually():
        if report(boss) == {"alice": 1}:
            break
    run = told(boss, "xos-policy", "try", "demo", "beam")
    assert {(change["request"]["subject"], change["allowed"]) for change in run["changed"]} == {("bob@demo", True)}
    boss.run("xos-policy", "remove", "demo", "beam")
    bob.run("xsub", "--wait", "true")


def test_a_policy_that_is_wrong_or_locks_out_is_refused_and_changes_nothing(boss: User) -> None:
    before = told(boss, "xos-policy", "list", "demo")
    wrong = boss.run("xos-policy", "check", "demo", "x", "-", typed="permit(principal,\n action, colour);", status=1)
    assert wrong.stderr.startswith("-:2:10: ")
    out = boss.run("xos-policy", "put", "demo", "x", "-", typed="forbid(principal, action, resource);", status=1)
    assert "boss@demo could not change the policies" in out.stderr
    huge = boss.run("xos-policy", "put", "demo", "x", "-", typed="/" * 200_000, status=2)
    assert "too large" in huge.stderr
    assert told(boss, "xos-policy", "list", "demo") == before


def test_every_unit_is_accounted_once_whatever_is_killed(grid: Grid, boss: User, alice: User) -> None:
    before = report(boss).get("alice", 0)
    go = grid.effects / "account"
    jobs = [alice.submit(f"while [ ! -e {go} ]; do sleep 0.05; done", units=2) for _ in range(3)]
    for _ in eventually():
        if {told(alice, "xps", job)[0]["state"] for job in jobs} == {"RUNNING"}:
            break
    grid.kill("core")
    go.touch()
    grid.kill("node1")
    grid.up()
    for job in jobs:
        alice.run("xwait", job)
    for _ in eventually():
        if report(boss)["alice"] >= before + 6:
            break
    assert report(boss)["alice"] == before + 6
    lines = list(csv.DictReader(boss.run("xos-usage", "records", "demo", "--csv").stdout.splitlines()))
    assert {line["unit_id"] for line in lines} >= {f"{job}.{index}" for job in jobs for index in (0, 1)}
    assert len({line["record_id"] for line in lines}) == len(lines)
    seen = told(grid.core, "xos-usage", "fetch", "node1", "node2")
    assert [(one["new"], one["refused"]) for one in seen] == [(0, 0), (0, 0)]
    assert sum(one["seen"] for one in seen) >= 6
    assert boss.run("xos-usage", "records", "demo", "--ur2").stdout.count("<urf:UsageRecord>") == len(lines)


def test_members_see_their_own_and_change_nothing(alice: User, boss: User) -> None:
    assert set(report(alice)) <= {"alice"}
    assert told(alice, "xos-audit", "trail", "demo", status=1)["error"]["code"] == "vom.forbidden"
    assert told(alice, "xos-policy", "remove", "demo", "members", status=1)["error"]["code"] == "vom.forbidden"
    boss.run("xos-usage", "set-quota", "demo", "user", "alice", "--units", "0")
    (quota,) = told(alice, "xos-usage", "quotas", "demo")
    assert quota["exceeded"]
    refused = alice.run("xsub", "--wait", "true", status=None)
    assert refused.returncode != 0
    assert "quotas/used-up" in alice.run("xps", "--all").stdout
    boss.run("xos-usage", "set-quota", "demo", "user", "alice")
    alice.run("xsub", "--wait", "true")
    acts = [entry["act"] for entry in told(boss, "xos-audit", "trail", "demo")]
    assert acts[:2] == ["quota-set", "quota-set"]
    assert {"policy-put", "policy-removed"} <= set(acts)


def test_what_is_changed_in_the_database_after_it_was_certified_shows(grid: Grid, boss: User) -> None:
    assert "entries certified" in boss.run("xos-audit", "certify").stdout
    grid.core.run("xos-audit", "verify")
    grid.core.run("xos-audit", "verify", "--directory", str(vom(grid)))
    database = sqlite3.connect(vom(grid) / "vom.sqlite", timeout=10)
    with database:
        (payload,) = database.execute("select payload from chain where log = 'usage' and number = 1").fetchone()
        flipped = bytes([payload[0], payload[1] ^ 1, *payload[2:]])
        database.execute("update chain set payload = ? where log = 'usage' and number = 1", (flipped,))
    database.close()
    for place in ([], ["--directory", str(vom(grid))]):
        found = told(grid.core, "xos-audit", "verify", *place, "--log", "usage", status=1)
        assert found[0]["faults"][0]["number"] == 1

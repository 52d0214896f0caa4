# SPDX-License-Identifier: BSD-3-Clause
"""Versions of files: whether what was kept is still right."""

from __future__ import annotations

import random

import pytest

from xos.xtreemfs.mrc import changes
from xos.xtreemfs.mrc.changes import Changes


def test_a_version_is_another_one_when_others_have_changed_the_file() -> None:
    known = Changes()
    before = {who: known.number(1, who) for who in "abc"}
    known.note(1, "a")
    assert known.number(1, "a") == before["a"]
    assert known.number(1, "b") not in before.values()
    kept = known.number(1, "b")
    known.note(1, "b")
    assert known.number(1, "b") == kept
    assert known.number(1, "a") != before["a"]
    assert known.number(2, "a") == before["a"]


def test_none_is_ever_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST", 8)
    rng, known = random.Random(1), Changes()
    kept = {(inode, who): known.number(inode, who) for inode in range(20) for who in "abc"}
    stale: dict[tuple[int, str], set[int]] = {each: set() for each in kept}
    for _ in range(5000):
        inode, by = rng.randrange(20), rng.choice("abc")
        for who in "abc":
            if who != by:
                stale[inode, who].add(known.number(inode, who))
        known.note(inode, by)
        assert all(known.number(*each) not in stale[each] for each in stale)


def test_after_a_restart_no_version_is_what_it_was() -> None:
    assert Changes().number(1, "a") != Changes().number(1, "a")

# SPDX-License-Identifier: BSD-3-Clause
"""Accounts and global identities, ACLs with numbers and with names."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.xtreemfs.fuse.values import Caller
from xos.xtreemfs.mount import acl
from xos.xtreemfs.mount.identities import NOBODY, MachineIdentities, UserIdentities, groups_of

MACHINE = MachineIdentities("node1")
NAMED = "user::rw-,user:uid.4242@node1:r--,group::r--,group:gid.77@node1:-wx,mask::rwx,other::---"


def test_accounts_of_the_machine_are_the_machines() -> None:
    assert MACHINE.owner(0) == "root@node1"
    assert MACHINE.owner(4_000_000) == "uid.4000000@node1"
    assert MACHINE.group(4_000_000) == "gid.4000000@node1"
    for uid in (0, 4_000_000):
        assert MACHINE.uid(MACHINE.owner(uid)) == uid
        assert MACHINE.gid(MACHINE.group(uid)) == uid


@pytest.mark.parametrize("owner", ["root@node2", "uid.5@node2", "alice@nowhere", "", "uid.x@node1", "gid.5@node1"])
def test_who_has_no_account_here_is_nobody(owner: str) -> None:
    assert MACHINE.uid(owner) == NOBODY


def test_a_claim_names_all_groups_of_the_process() -> None:
    claim = MACHINE.claim(Caller(os.getuid(), os.getgid(), os.getpid()))
    assert claim.group == MACHINE.group(os.getgid())
    assert set(claim.groups) == {MACHINE.group(gid) for gid in {os.getgid(), *os.getgroups()}}


def test_a_process_that_has_ended_has_no_groups() -> None:
    assert groups_of(0) == []
    assert not Path("/proc/0").exists()


def test_a_users_mount_knows_its_user_only() -> None:
    mine = UserIdentities("alice@demo", ("users@demo", "staff@demo"), 1000, 1001)
    assert (mine.uid("alice@demo"), mine.uid("bob@demo")) == (1000, NOBODY)
    assert (mine.gid("staff@demo"), mine.gid("others@demo")) == (1001, NOBODY)
    assert (mine.owner(1000), mine.group(1001)) == ("alice@demo", "users@demo")
    mine.claim(Caller(1000, 1001, 1))
    with pytest.raises(OSError, match="not permitted"):
        mine.owner(0)


def test_an_acl_is_the_same_as_text_and_as_numbers() -> None:
    assert acl.to_text(acl.from_text(NAMED, MACHINE), MACHINE) == NAMED


@given(st.binary(max_size=64))
def test_no_bytes_of_an_acl_do_harm(value: bytes) -> None:
    with _refused(errno.EINVAL):
        acl.from_text(acl.to_text(value, MACHINE), MACHINE)


@given(st.text(max_size=64))
def test_no_text_of_an_acl_does_harm(text: str) -> None:
    with _refused(errno.EIO):
        acl.from_text(text, MACHINE)


@contextlib.contextmanager
def _refused(number: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != number:
            raise

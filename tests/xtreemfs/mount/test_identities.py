# SPDX-License-Identifier: BSD-3-Clause
"""Accounts and global identities, ACLs with numbers and with names."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
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


@pytest.fixture
def alice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What libnss_xos shows of her; and an account of the machine that has a group with such a name."""
    accounts = {"alice.demo": (1900, 1900), "mallory.demo": (1901, 1902)}
    groups = {"alice@demo": 1900, "users.demo": 1950, "alice@elsewhere": 1901}

    def account(name: str) -> pwd.struct_passwd:
        uid, gid = accounts[name]
        return pwd.struct_passwd((name, "*", uid, gid, "", "/", ""))

    def by_number(uid: int) -> pwd.struct_passwd:
        return next(found for found in map(account, accounts) if found.pw_uid == uid)

    def group(gid: int) -> grp.struct_group:
        return next(grp.struct_group((name, "*", gid, [])) for name, number in groups.items() if number == gid)

    monkeypatch.setattr(pwd, "getpwnam", account)
    monkeypatch.setattr(pwd, "getpwuid", by_number)
    monkeypatch.setattr(grp, "getgrgid", group)
    monkeypatch.setattr(grp, "getgrnam", lambda name: group(groups[name]))


@pytest.mark.usefixtures("alice")
def test_the_group_that_a_vo_user_has_alone_is_known_everywhere_and_no_group_of_the_vo() -> None:
    here, there = MachineIdentities("node1"), MachineIdentities("node2")
    assert here.group(1900) == "~alice@demo"
    assert there.gid("~alice@demo") == 1900
    assert here.group(1950) == "users@demo"
    assert here.gid("~nobody@demo") == NOBODY
    assert UserIdentities("alice@demo", ("users@demo",), 1000, 1001).gid("~alice@demo") == 1001


@pytest.mark.usefixtures("alice")
def test_a_group_that_is_only_called_like_a_users_is_the_machines() -> None:
    assert MachineIdentities("node1").group(1901) == "gid.1901@node1"


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

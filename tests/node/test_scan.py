# SPDX-License-Identifier: BSD-3-Clause
"""When a retired number is free again."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.node import identity
from xos.common.errors import StorageFull
from xos.node import scan
from xos.node.accounts import Accounts
from xos.node.scan import Scanner, elsewhere, key_owners, living, local_mounts, owning_files
from xos.node.walk import named_in

UID = 1_900_000_055
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files and processes to others")


@root_only
async def test_owners_of_files_are_found_by_user_and_by_group(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    mine = tmp_path / "deep" / "er" / "with a\nnewline"
    mine.write_text("")
    os.chown(mine, UID, 0)
    theirs = tmp_path / "link"
    theirs.symlink_to("/nowhere")
    os.chown(theirs, 0, UID + 1, follow_symlinks=False)
    assert await owning_files({UID, UID + 1, UID + 2}, [str(tmp_path)]) == {UID, UID + 1}
    assert await owning_files(set(), [str(tmp_path)]) == set()


def acl(*entries: tuple[int, int]) -> bytes:
    """An ACL of entries (tag, number); linux/posix_acl_xattr.h."""
    base = [(1, 7, 2**32 - 1), *((tag, 7, number) for tag, number in entries), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1)]
    whole = sorted([*base, (32, 5, 2**32 - 1)], key=lambda entry: entry[0])
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in whole)


@root_only
async def test_whom_an_acl_names_still_has_something(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "file").write_text("")
    try:
        os.setxattr(tmp_path / "shared", "system.posix_acl_default", acl((2, UID)))
        os.setxattr(tmp_path / "file", "system.posix_acl_access", acl((8, UID + 2)))
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")
    assert await owning_files({UID, UID + 1, UID + 2}, [str(tmp_path)]) == {UID, UID + 2}


@given(st.binary(max_size=80))
def test_whatever_is_in_an_acls_place_is_read_or_told(data: bytes) -> None:
    try:
        found = named_in(data)
    except ValueError:
        return
    assert len(found) <= len(data) // 8


@root_only
async def test_a_tree_deeper_than_any_path_is_looked_at_to_its_end(tmp_path: Path) -> None:
    depth, name = 60, "d" * 200
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.chown(fd, UID, 0)
    os.close(fd)
    assert await owning_files({UID}, [str(tmp_path)]) == {UID}


def test_mounts_that_nobody_looks_at_are_told() -> None:
    text = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:5 / /proc rw - proc proc rw\n"
        "27 22 0:50 / /net\\040x rw - nfs4 server:/ rw\n28 22 0:51 / /x rw - fuse.xtreemfs x rw\n"
    )
    assert elsewhere(text) == ["/net x (nfs4)", "/x (fuse.xtreemfs)"]


async def test_a_place_that_cannot_be_looked_at_frees_nobody(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="tmp"):
        await owning_files({UID}, [str(tmp_path / "file" / "below")] if (tmp_path / "file").write_text("x") else [])


@root_only
def test_owners_of_processes_are_found() -> None:
    process = subprocess.Popen(["sleep", "60"], user=UID, group=UID)
    try:
        assert living({UID, UID + 1}) == {UID}
    finally:
        process.kill()
        process.wait()
    assert living({UID}) == set()


def test_keys_count_but_not_the_empty_keyrings_that_everybody_has() -> None:
    text = (
        "    0:    12 11/11 6/1000000 127/25000000\n"
        " 1000:     2 2/2 2/200 28/20000\n"
        "1900000000:     2 2/2 2/200 40/20000\n"
        "1900000001:     3 3/3 3/200 45/20000\n"
        "1900000002:     2 2/2 2/200 44/20000\n"
    )
    assert key_owners(text) == {0, 1_900_000_001, 1_900_000_002}


def test_each_file_system_is_looked_at_once_and_no_other_machines() -> None:
    text = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "23 22 0:5 / /proc rw - proc proc rw\n"
        "24 22 8:1 /home /srv/home rw - ext4 /dev/sda1 rw\n"
        "25 22 0:40 /@ /b rw - btrfs /dev/sdb rw\n"
        "26 22 0:40 /@home /b/home\\040dir rw - btrfs /dev/sdb rw\n"
        "27 22 0:50 / /net rw - nfs4 server:/ rw\n"
        "28 22 0:51 / /tmp rw shared:3 - tmpfs tmpfs rw\n"
    )
    assert local_mounts(text.replace("\\040", "\\x20")) == ["/", "/b", "/b/home dir", "/tmp"]


async def test_only_who_owns_nothing_is_set_free(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [await accounts.commit(identity(f"u{n}"), "a" * 64) for n in range(3)]
    with_process, with_file, without = made
    await accounts.retire([each.name for each in made])
    monkeypatch.setattr(scan, "living", lambda uids: {with_process.uid} & set(uids))

    async def files(uids: set[int]) -> set[int]:
        return {with_file.uid} & uids

    monkeypatch.setattr(scan, "owning_files", files)
    freed = await Scanner(accounts, asyncio.Event()).scan()
    assert [each.uid for each in freed] == [without.uid]
    assert {each.uid for each in accounts.quarantined()} == {with_process.uid, with_file.uid}


async def test_a_scan_that_fails_frees_nobody(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    await accounts.commit(identity("alice"), "a" * 64)
    await accounts.retire(["alice.demo"])

    async def files(_: set[int]) -> set[int]:
        raise OSError(0, "no")

    monkeypatch.setattr(scan, "owning_files", files)
    assert await Scanner(accounts, asyncio.Event()).scan() == []
    assert len(accounts.quarantined()) == 1


async def test_idle_accounts_of_a_pool_are_retired_but_not_busy_ones(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, busy = [await accounts.commit(identity(name), "a" * 64) for name in ("idle", "busy")]
    pool = msgspec.structs.replace(accounts.config.vos["demo"], accounts="pool", pool_idle_hours=1e-9)
    accounts.configure(msgspec.structs.replace(accounts.config, vos={"demo": pool}), local_ids=frozenset())
    monkeypatch.setattr(scan, "living", lambda uids: {busy.uid} & set(uids))
    monkeypatch.setattr("time.time", lambda now=idle.used + 10.0: now)
    wanted = asyncio.Event()
    await Scanner(accounts, wanted)._retire_idle()
    assert [each.name for each in accounts.quarantined()] == ["idle.demo"]
    assert wanted.is_set()


async def test_what_goes_wrong_is_tried_again_and_does_not_end_the_daemon(accounts: Accounts) -> None:
    rounds = 0

    async def tidy() -> None:
        nonlocal rounds
        rounds += 1
        wanted.set()
        if rounds == 3:
            raise asyncio.CancelledError
        raise StorageFull(path="/")

    wanted = asyncio.Event()
    with pytest.raises(asyncio.CancelledError):
        await Scanner(accounts, wanted, tidy).run()
    assert rounds == 3

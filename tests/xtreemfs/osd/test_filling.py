# SPDX-License-Identifier: BSD-3-Clause
"""Replicas of files that do not change fill themselves from complete ones; on real OSDs, over real TLS."""

from __future__ import annotations

import asyncio
import errno
import os

import msgspec
import pytest

from support.osds import FILE, replicated
from xos.xtreemfs.api import Access, Layout, Replica, Update
from xos.xtreemfs.errors import BadCapability, Refused, TooFewReplicas
from xos.xtreemfs.osd.checksums import BLOCK

from .conftest import Three

CONTENT = os.urandom(40 * BLOCK + 100)


def frozen(*lacking: str, complete: tuple[str, ...] = ("osd1",), version: int = 1) -> Layout:
    replicas = (*(Replica((osd,)) for osd in complete), *(Replica((osd,), complete=False) for osd in lacking))
    return Layout(replicated("osd1").striping, replicas, Update.READ_ONLY, version)


async def written(three: Three, content: bytes = CONTENT) -> None:
    """At osd1, before the file was frozen."""
    osd, token = await three.open("osd1", msgspec.structs.replace(replicated("osd1"), update=Update.NONE, term=0))
    await osd.write(token, 0, content, 1)
    await osd.sync(token)


async def test_what_is_read_is_taken_from_a_complete_replica_and_no_more(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ)
    assert await osd.read(token, 5 * BLOCK - 10, 20) == CONTENT[5 * BLOCK - 10 : 5 * BLOCK + 10]
    there = three.content("osd2")
    assert len(there) == len(CONTENT)
    assert there[4 * BLOCK : 6 * BLOCK] == CONTENT[4 * BLOCK : 6 * BLOCK]
    assert not any(there[: 4 * BLOCK] + there[6 * BLOCK :])
    assert await osd.read(token, len(CONTENT) - 10, 100) == CONTENT[-10:]
    assert await osd.read(token, len(CONTENT), 100) == b""


async def test_a_replica_is_filled_wholly_when_the_mrc_asks_and_serves_alone_then(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd2", frozen("osd2", "osd3"), access=Access.READ)
    first, second = await asyncio.gather(osd.sync(token), osd.read(token, 0, BLOCK))
    assert (first.extent.size, second) == (len(CONTENT), CONTENT[:BLOCK])
    assert three.content("osd2") == CONTENT
    await three.stop("osd1")
    osd, token = await three.open("osd3", frozen("osd3", complete=("osd2",), version=2), access=Access.READ)
    assert await osd.read(token, 7, 1 << 20) == CONTENT[7 : 7 + (1 << 20)]


async def test_while_no_complete_replica_answers_nothing_is_read_rather_than_a_hole(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ)
    assert await osd.read(token, 0, 10) == CONTENT[:10]
    await three.stop("osd1")
    assert await osd.read(token, 0, 10) == CONTENT[:10]
    with pytest.raises(TooFewReplicas):
        await osd.read(token, 30 * BLOCK, 10)
    with pytest.raises(TooFewReplicas):
        await three.open("osd3", frozen("osd3"), access=Access.READ)
    await three.start("osd1")
    assert await osd.read(token, 30 * BLOCK, 10) == CONTENT[30 * BLOCK : 30 * BLOCK + 10]


async def test_what_was_lacking_before_a_restart_is_known_to_lack_after_it(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ)
    await osd.read(token, 0, 10)
    await three.stop("osd2")
    await three.start("osd2")
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ)
    assert await osd.read(token, 20 * BLOCK, BLOCK) == CONTENT[20 * BLOCK : 21 * BLOCK]
    await osd.sync(token)
    assert three.content("osd2") == CONTENT


async def test_a_stale_and_longer_share_becomes_like_the_complete_one(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd2", msgspec.structs.replace(replicated("osd2"), update=Update.NONE, term=0))
    await osd.write(token, 0, bytes(BLOCK) + CONTENT[BLOCK:] + b"more", 1)
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ)
    await osd.sync(token)
    assert three.content("osd2") == CONTENT


async def test_a_damaged_block_of_one_complete_replica_is_taken_from_another(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ)
    await osd.sync(token)
    (path,) = (three.place / "osd1").glob("data/OSD/shares/*/*.data")
    with path.open("r+b") as file:
        file.seek(3 * BLOCK)
        file.write(b"damage")
    osd, token = await three.open("osd3", frozen("osd3", complete=("osd1", "osd2"), version=2), access=Access.READ)
    await osd.sync(token)
    assert three.content("osd3") == CONTENT


async def test_a_file_that_does_not_change_is_not_written_to_and_given_to_its_replicas_only(three: Three) -> None:
    await written(three)
    osd, token = await three.open("osd1", frozen("osd2"))
    for refused in (osd.write(token, 0, b"x", 1), osd.truncate(token, 0)):
        with pytest.raises(Refused) as raised:
            await refused
        assert raised.value.data["errno"] == errno.EROFS
    machine = three.client("osd1", three.grid.make_machine("osd3"))
    with pytest.raises(BadCapability):
        await machine.present(three.capability(frozen("osd2")))
    lacking = three.client("osd2", three.grid.make_machine("osd1"))
    token = (await lacking.present(three.capability(frozen("osd2")))).token
    with pytest.raises(BadCapability, match="takes nothing"):
        await lacking.fetch(token, 0, 10)
    assert FILE in [state.file_id for state in await three.client("osd2", three.pen).shares("", 10)]


async def test_who_may_read_no_longer_is_refused_and_others_go_on_where_it_was_filled(three: Three) -> None:
    await written(three)
    osd, old = await three.open("osd2", frozen("osd2"), access=Access.READ)
    assert await osd.read(old, 0, 10) == CONTENT[:10]
    for name in ("osd1", "osd2"):
        await three.client(name, three.pen).revoke(FILE, 1)
    with pytest.raises(BadCapability, match="revoked"):
        await osd.read(old, 0, 10)
    osd, token = await three.open("osd2", frozen("osd2"), access=Access.READ, revision=1)
    await osd.sync(token)
    assert three.content("osd2") == CONTENT

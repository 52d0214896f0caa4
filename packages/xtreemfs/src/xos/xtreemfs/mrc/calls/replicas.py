# SPDX-License-Identifier: BSD-3-Clause
"""Where the bytes are: layouts, primaries, queries."""

from __future__ import annotations

import errno

import sqlalchemy as sa

from xos.xtreemfs.api import Ask, Claim, Found, Layout, Opened, Update
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import contents, finding, rows, volumes
from xos.xtreemfs.mrc.calls.base import Calls
from xos.xtreemfs.mrc.values import Refusal, Result, Who

MOST_FOUND = 10_000


class ReplicaCalls(Calls):
    """See `MRC`."""

    async def layout(self, inode: int, claim: Claim | None = None) -> Layout:
        """See `MRC.layout`."""

        def look(db: sa.Connection, who: Who) -> Result[Layout]:  # noqa: ARG001 -- as with getattr
            whole = rows.whole(db, inode)
            return Refusal(errno.ESTALE) if whole is None else contents.layout_of(whole)

        return await self._read(f"inode {inode}", claim, look)

    async def find(
        self,
        volume: str,
        owner: str,
        name: str,
        least: int,
        most: int,
        xattr: bytes,
        value: bytes,
        limit: int,
        claim: Claim | None = None,
    ) -> list[Found]:
        """See `MRC.find`."""
        if not 1 <= limit <= MOST_FOUND:
            raise Refused.of(errno.EINVAL, f"limit {limit}")
        query = finding.Query(owner, name, least, most, xattr, value)

        def look(db: sa.Connection, who: Who) -> Result[list[Found]]:
            found = volumes.find_volume(db, volume)
            return Refusal(errno.ENOENT) if found is None else finding.find(db, who, found, query, limit)

        return await self._read(f"volume {volume[:64]}", claim, look)

    async def fail_over(self, handle: int, term: int, dead: str, ask: Ask) -> Opened:
        """See `MRC.fail_over`."""
        raise Refused.of(errno.ENOSYS, f"{handle} {term} {dead} {ask.number}")

    async def change_layout(
        self, inode: int, replicas: int, update: Update, without: tuple[str, ...], ask: Ask
    ) -> Layout:
        """See `MRC.change_layout`."""
        raise Refused.of(errno.ENOSYS, f"{inode} {replicas} {update} {without} {ask.number}")

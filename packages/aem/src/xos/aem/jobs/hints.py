# SPDX-License-Identifier: BSD-3-Clause
"""Tells the file system which files a job is going to read, and where, once its nodes are chosen (`MRC.read_soon`).

It is a hint: nobody waits for it, and a job runs as well without. What may be read the MRC decides, as for the user.
"""

from __future__ import annotations

import time
from pathlib import PurePosixPath

import msgspec

from xos.aem.api import ORDER_PURPOSE, JobOrder
from xos.aem.jobs.orders import Orders
from xos.aem.jobs.scheduler import CALL_SECONDS, Spawn
from xos.aem.jsdl import parse
from xos.aem.jsdl.check import volume_file
from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust
from xos.dixi.hosting import Bus
from xos.xtreemfs.api import Ask, Claim
from xos.xtreemfs.xati import DIRAsync, MRCAsync

log = get_logger("xos.aem.jobs.hints")

SAYS = b":Reads>"
"""What the order of a job has in it that says what it reads: others are not looked at more closely."""
MOST_NODES = 64
"""Of one job: who runs on more brings the files near by reading them."""
_decode = msgspec.msgpack.Decoder(JobOrder).decode


class Hints:
    """For the Job Manager."""

    def __init__(self, bus: Bus, trust: Trust, orders: Orders, *, spawn: Spawn) -> None:
        self._bus, self._trust, self._orders, self._spawn = bus, trust, orders, spawn

    def placed(self, job_id: str, nodes: list[str]) -> None:
        """A job is to run on these nodes."""
        self._spawn(self._told(job_id, nodes[:MOST_NODES]), name=f"hint {job_id}")

    async def _told(self, job_id: str, nodes: list[str]) -> None:
        try:
            order = await self._orders.get(job_id)
            if SAYS not in order.payload:
                return
            claim = self._claim(order)
        except XosError as error:  # it has ended already, or its user's certificate has
            log.info("hint.late", job=job_id, code=error.code, detail=error.message)
            return
        for uri in parse(_decode(order.payload).jsdl).reads:
            try:
                await self._file(uri, nodes, claim)
            except XosError as error:
                log.info("hint.failed", job=job_id, file=uri, code=error.code, detail=error.message)

    def _claim(self, order: Signed) -> Claim:
        """For whom is asked: who signed the order, which was found right when it came in."""
        user: Identity = verify_signed(order, self._trust, purpose=ORDER_PURPOSE, at=time.time(), kind=Kind.USER)
        groups = tuple(f"{group}@{user.vo}" for group in (user.group, *user.groups))
        return Claim(str(user), groups, groups[0])

    async def _file(self, uri: str, nodes: list[str], claim: Claim) -> None:
        volume, path = volume_file(uri)
        record = await DIRAsync(self._bus).volume(volume, deadline=CALL_SECONDS)
        mrc = MRCAsync(self._bus, record.mrc[0] if record.mrc else None)
        inode = await mrc.resolve(volume, str(PurePosixPath("/", path)), claim, deadline=CALL_SECONDS)
        await mrc.read_soon(inode.id, nodes, Ask(claim=claim), deadline=CALL_SECONDS)

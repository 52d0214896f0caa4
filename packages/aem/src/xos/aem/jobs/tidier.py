# SPDX-License-Identifier: BSD-3-Clause
"""Forgets jobs that ended long ago, a few at a time, so that the database does not grow for ever."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from xos.aem.jobs.store import forget_ended
from xos.common.errors import StorageError
from xos.common.log import get_logger
from xos.common.storage import Store

log = get_logger("xos.aem.jobs.tidier")

FIRST_SECONDS, EVERY_SECONDS = 60.0, 3600.0
AT_ONCE = 200
"""Jobs in one transaction: submissions wait no longer than that takes."""
DAY = 86_400.0


class Tidier:
    """Removes what is older than it has to be kept."""

    def __init__(self, store: Store, keep_days: float) -> None:
        self._store, self._keep_days = store, keep_days

    async def run(self) -> None:
        """Tidy up every hour until cancelled."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                forgotten = await self.tidy(time.time())
            except StorageError as error:
                log.warning("jobs.not-tidied", code=error.code, detail=error.message)
            else:
                log.info("jobs.tidied", forgotten=forgotten)
            await asyncio.sleep(EVERY_SECONDS)

    async def tidy(self, now: float) -> int:
        """Forget what is too old at *now* (Unix seconds); how many jobs it were. Raises what `Store.write` does."""
        forgotten = 0
        while True:
            count = await self._store.write(partial(forget_ended, before=now - self._keep_days * DAY, limit=AT_ONCE))
            forgotten += count
            if count < AT_ONCE:
                return forgotten

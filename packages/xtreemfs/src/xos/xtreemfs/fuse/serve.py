# SPDX-License-Identifier: BSD-3-Clause
"""A mount from beginning to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.fuse.filesystem import FileSystem
from xos.xtreemfs.fuse.mounting import MountOptions, mount, unmount
from xos.xtreemfs.fuse.session import Session, Wishes

log = get_logger("xos.xtreemfs.fuse")

LEAVE_SECONDS = 10.0
"""How long programs that have files open in a mount that ends may go on with them."""
ELSEWHERE_SECONDS = 0.5
"""The same, when all that is left of it is in other mount name spaces (a container that was made meanwhile)."""


@asynccontextmanager
async def mounted(
    fs: FileSystem, path: Path, options: MountOptions, wishes: Wishes | None = None
) -> AsyncIterator[tuple[Session, asyncio.Task[None]]]:
    """*fs* mounted on *path*, served by a task that ends when somebody unmounts it; unmounted at the end.

    Raises `NotMounted`, `NoMountHelper`.
    """
    session = Session(fs, await asyncio.to_thread(mount, path, options), wishes)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session.run())
        try:
            await session.ready.wait()
            yield session, task
        finally:
            if not task.done():
                await _leave(path, task)


async def _leave(path: Path, task: asyncio.Task[None]) -> None:
    """Unmount while requests are still answered: what programs have written goes out first."""
    try:
        unused = await asyncio.to_thread(unmount, path)
        await asyncio.wait([task], timeout=ELSEWHERE_SECONDS if unused else LEAVE_SECONDS)
        if not task.done():
            log.info("fuse.left", path=str(path), unused=unused)
    except XosError as error:
        log.warning("fuse.not-unmounted", path=str(path), detail=str(error))
    finally:
        task.cancel()

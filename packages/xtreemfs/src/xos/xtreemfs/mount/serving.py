# SPDX-License-Identifier: BSD-3-Clause
"""The process that serves a mount, from the first connection until it is unmounted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from xos.common.log import get_logger
from xos.dixi.memory import keep_freed_memory
from xos.dixi.revocation import keep_revocations
from xos.xtreemfs.client.loans import Neighbours
from xos.xtreemfs.client.volume import opened_volume
from xos.xtreemfs.fuse.serve import mounted
from xos.xtreemfs.mount.credentials import Access, renewed
from xos.xtreemfs.mount.files import VolumeFiles
from xos.xtreemfs.mount.filesystem import WISHES
from xos.xtreemfs.mount.options import Wanted

log = get_logger("xos.xtreemfs.mount")

TEND_SECONDS = 5.0
LOOK_SECONDS = 60.0
"""How often it is looked whether there is a newer certificate."""
REVOCATION_SECONDS = 20.0
READ_AHEAD_KIB = 1024


async def serve(access: Access, wanted: Wanted, path: Path, ready: Callable[[], object]) -> None:
    """Mount, call *ready*, serve until it is unmounted; SIGTERM and SIGINT unmount. Raises what says why not."""
    keep_freed_memory()
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leaving.set)
    behind = [
        loop.create_task(keep_revocations(access.bus, access.trust, REVOCATION_SECONDS)),
        loop.create_task(_tend(access)),
    ]
    who = f"{socket.gethostname()}:{path} ({os.getpid()})"
    try:
        neighbours = Neighbours() if access.for_all else None  # a user may not open the files of an OSD
        opening = opened_volume(
            access.bus,
            wanted.volume,
            client=who,
            patience=wanted.patience,
            neighbours=neighbours,
            leases=wanted.leases and not wanted.read_only,
            own=access.identities.own,
        )
        async with opening as volume:
            fs = VolumeFiles(volume, access.identities)
            options = wanted.for_kernel(others=access.for_all)
            async with mounted(fs, path, options, WISHES) as (session, served):
                fs.session = session
                await asyncio.to_thread(_read_far_ahead, path)
                log.info("mount.ready", volume=wanted.volume, path=str(path))
                ready()
                ending = asyncio.ensure_future(leaving.wait())
                await asyncio.wait([served, ending], return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
    finally:
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)
        access.bus.close()
    log.info("mount.ended", volume=wanted.volume, path=str(path))


async def _tend(access: Access) -> None:
    loop = asyncio.get_running_loop()
    looked = loop.time()
    while True:
        await asyncio.sleep(TEND_SECONDS)
        access.bus.tend(loop.time())
        if loop.time() - looked >= LOOK_SECONDS:
            looked = loop.time()
            access = renewed(access)


def _read_far_ahead(path: Path) -> None:
    """Let the kernel ask for more at once than its 128 KiB; root's to allow."""
    with contextlib.suppress(OSError):
        device = path.stat().st_dev
        name = f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb"
        Path(name).write_text(str(READ_AHEAD_KIB))

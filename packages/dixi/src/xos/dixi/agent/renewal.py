# SPDX-License-Identifier: BSD-3-Clause
"""When the agent gets a new certificate: after three quarters of the old one's life, then again until it works."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from xos.common.identity import Identity
from xos.common.log import get_logger

log = get_logger("xos.agent")

SHARE = 0.75
"""Of the lifetime."""
LOOK_SECONDS = 60.0
"""How often the clock is looked at: it may jump, and a laptop may have slept."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0


def due(identity: Identity, now: float) -> bool:
    """Whether it is time; an expired certificate cannot be renewed, only replaced by one got with a password."""
    return identity.not_before + SHARE * (identity.not_after - identity.not_before) <= now < identity.not_after


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return float(min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)) if failures else LOOK_SECONDS


async def keep_renewed(
    identity: Callable[[], Identity | None],
    renew: Callable[[], Awaitable[int]],
    *,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.time,
) -> None:
    """Runs for ever. *renew* returns the exit status of the command that gets a new certificate."""
    failures = 0
    while True:
        held = identity()
        if held is not None and due(held, clock()):
            status = await renew()
            failures = failures + 1 if status else 0
            if status:
                log.warning("renewal.failed", status=status, failures=failures, not_after=held.not_after)
            else:
                log.info("renewal.done", user=str(held))
        await wait(pause(failures))


class Captured:
    """Output of a command that runs for the agent itself. Satisfies `xos.dixi.terminal.Output`."""

    is_tty = False

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """See `Output.write`; only the first 64 KiB are kept."""
        self.data += data[: 65536 - len(self.data)]

    async def drain(self) -> None:
        """See `Output.drain`."""


def no_input() -> int:
    """A descriptor at whose end one is at once."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

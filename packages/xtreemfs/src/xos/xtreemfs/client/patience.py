# SPDX-License-Identifier: BSD-3-Clause
"""How long a client goes on asking a service that is away.

A service that restarts is back within seconds; a program that reads or writes meanwhile should notice nothing but the
wait. Only calls that may be repeated are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from xos.common.errors import XosError
from xos.dixi.channel import Backoff
from xos.dixi.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    NotConnected,
    Overloaded,
    UnknownService,
    WrongPeer,
)
from xos.xtreemfs.errors import NotServing

_T = TypeVar("_T")

PATIENCE_SECONDS = 120.0
"""After so long without an answer a program is told EIO."""
CALL_SECONDS = 15.0
"""After so long without an answer the same is asked again, over another connection if need be."""
AWAY = (NotConnected, ConnectionLost, Draining, Overloaded, UnknownService, WrongPeer, DeadlineExceeded, NotServing)
"""What says nothing about the question, only that nobody answers now."""


async def persist(
    ask: Callable[[], Awaitable[_T]],
    *,
    seconds: float = PATIENCE_SECONDS,
    on_away: Callable[[XosError], None] | None = None,
) -> _T:
    """What *ask* answers, asked again while nobody is there; *on_away* hears of each failure. Raises the last one."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    backoff = Backoff()
    while True:
        try:
            return await ask()
        except AWAY as error:
            if on_away is not None:
                on_away(error)
            pause = backoff.next(error)
            if loop.time() + pause >= give_up:
                raise
            await asyncio.sleep(pause)

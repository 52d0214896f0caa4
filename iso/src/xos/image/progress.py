# SPDX-License-Identifier: BSD-3-Clause
"""What a build tells while it works: a line when a step begins, one when it ends, and a sign of life in between."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

Say = Callable[[str], None]
"""Tells the user a line."""

SIGN_OF_LIFE_SECONDS = 15.0
LAST_BYTES = 4096
SHOWN = 490
"""Characters: the end of a log says why, and an error's text would be cut at its end."""
WIDEST = 150
"""Characters of a line: some repeat a whole command, and would leave no room for the reason before them."""


def to_stderr(line: str) -> None:
    """The usual `Say`."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def tail(path: Path, lines: int) -> str:
    """At most the last *lines* of a log, as many as an error shows (500 characters); empty if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LAST_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    kept: list[str] = []
    room = SHOWN
    for line in reversed(text.rstrip().splitlines()[-lines:]):
        shown = line if len(line) <= WIDEST else line[:WIDEST] + "…"
        room -= len(shown) + 1
        if room < 0:
            break
        kept.insert(0, shown)
    return "\n".join(kept)


@asynccontextmanager
async def step(say: Say, what: str, log: Path | None = None) -> AsyncIterator[None]:
    """Tells that *what* begins and how long it took; while it works, the last line of *log* now and then."""
    started = time.monotonic()
    say(f"  {what} ...")

    async def live() -> None:
        while True:
            await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
            last = tail(log, 1)[:90] if log else ""
            say(f"  {what}: {time.monotonic() - started:.0f} s  {last}")

    life = asyncio.ensure_future(live())
    try:
        yield
    except BaseException:
        say(f"  {what}: not done")
        raise
    else:
        say(f"  {what}: {time.monotonic() - started:.1f} s")
    finally:
        life.cancel()

# SPDX-License-Identifier: BSD-3-Clause
"""Results of steps, kept in the cache under the key of all that they are made from; a result is there whole or not."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from xos.image import cache as caches
from xos.image.progress import Say, step

KEPT = 4
"""Results of a kind that stay however long they have not been used."""

Make = Callable[[Path, Path], Awaitable[None]]
"""Makes a result in a directory; the second is the log."""


class Store(msgspec.Struct, frozen=True):
    """The results in a cache that is `caches.opened`."""

    cache: Path

    async def ensure(self, kind: str, key: str, what: str, make: Make, say: Say) -> Path:
        """The directory of a result, made if it is not there. Raises what *make* raises; then nothing is kept."""
        home = self.cache / kind / key
        if home.exists():
            os.utime(home)
            return home
        draft = self.cache / "tmp" / f"{kind}-{key}"
        draft.mkdir()
        log = self.cache / f"{kind}-{key}.log"
        log.unlink(missing_ok=True)
        async with step(say, what, log):
            await make(draft, log)
        home.parent.mkdir(exist_ok=True)
        draft.rename(home)
        log.unlink(missing_ok=True)
        caches.forget_old(home.parent, KEPT)
        return home

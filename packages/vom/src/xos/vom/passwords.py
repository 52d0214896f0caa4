# SPDX-License-Identifier: BSD-3-Clause
"""Passwords: argon2id (RFC 9106), worked out in threads of their own so that the event loop stays free."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar

import argon2  # type: ignore[import-untyped]
import msgspec
from msgspec import Meta

from xos.vom.errors import PasswordsBusy, WeakPassword

T = TypeVar("T")
SHORTEST = 8
"""Characters (NIST SP 800-63B, 5.1.1.2)."""
LONGEST = 1024
"""Bytes of UTF-8."""


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What checking one password costs us, and so what each guess costs whoever stole the database.

    The defaults are the second choice of RFC 9106, section 4, in one lane: about 0.14 s of one core.
    """

    passes: Annotated[int, Meta(ge=1)] = 3
    memory_kib: Annotated[int, Meta(ge=8)] = 65536


def check_new_password(password: str, user: str) -> None:
    """Raise `WeakPassword` when *user* may not have this *password*."""
    if len(password) < SHORTEST:
        raise WeakPassword(detail=f"it needs {SHORTEST} characters or more")
    if len(password.encode("utf-8", "replace")) > LONGEST:
        raise WeakPassword(detail=f"it is longer than {LONGEST} bytes")
    if password.casefold() == user.casefold():
        raise WeakPassword(detail="it is the user's name")


class Passwords:
    """Hashes and checks passwords, *at_once* at a time; when *waiting* more wait, further ones are turned away."""

    def __init__(self, cost: Cost, *, at_once: int = 2, waiting: int = 30) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=1, type=argon2.Type.ID
        )
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="argon2id")
        self._most = at_once + waiting
        self._pending = 0
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The encoded hash (with its salt and cost) to keep. Raises `PasswordsBusy`."""
        return await self._run(lambda: str(self._hasher.hash(_prepared(password))))

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether *password* is the one *kept*; with none (nobody, or nobody's yet) it takes as long and is False.

        Raises `PasswordsBusy`.
        """
        right = await self._run(lambda: self._verify(kept or self._nobody, password))
        return right and bool(kept)

    def close(self) -> None:
        """Let go of the threads; what is being worked out ends first."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return bool(self._hasher.verify(kept, _prepared(password)))
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._most:
            raise PasswordsBusy(waiting=self._pending)
        self._pending += 1
        future = self._pool.submit(work)
        # Counted down when the work is done, not when the caller has gone: a cancelled call still takes its thread.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._pending -= 1


def _prepared(password: str) -> bytes:
    # Composed and decomposed accents are one password, whatever the keyboard makes (RFC 8265, 4.2).
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")

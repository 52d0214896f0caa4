# SPDX-License-Identifier: BSD-3-Clause
"""Lets in who knows the password, and slows down who guesses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from xos.common.errors import XosError
from xos.vom.errors import BadCredentials, BadRequest, TooManyAttempts
from xos.vom.passwords import LONGEST, Passwords
from xos.vom.throttle import Limit, Throttle, retry_after_ms


class Patience(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many wrong passwords are borne at once, and after how many seconds each is forgotten."""

    per_user: Annotated[int, Meta(ge=1)] = 5
    per_user_seconds: Annotated[float, Meta(gt=0)] = 20.0
    """For one user from one address: after the first few, 3 guesses a minute."""
    per_address: Annotated[int, Meta(ge=1)] = 50
    per_address_seconds: Annotated[float, Meta(gt=0)] = 2.0
    """For all users from one address: trying one password on many users."""


class Gate:
    """Checks passwords; the same for every service of the process, so that guesses cannot be spread over them."""

    def __init__(self, passwords: Passwords, patience: Patience, clock: Callable[[], float]) -> None:
        self._passwords = passwords
        self._users = Throttle(Limit(patience.per_user, patience.per_user_seconds))
        self._addresses = Throttle(Limit(patience.per_address, patience.per_address_seconds))
        self._clock = clock

    async def admit(self, *, vo: str, user: str, address: str, kept: str | None, password: str) -> None:
        """Return when *password* is what was *kept* (None: there is no such user, which takes as long to say).

        Raises `BadCredentials`, `TooManyAttempts` (with the time to wait), `PasswordsBusy`, `BadRequest`.
        """
        check_length(password)
        await self.judge(f"{user}@{vo}", address, lambda: self._passwords.matches(kept, password))

    async def judge(self, who: str, address: str, check: Callable[[], Awaitable[bool]]) -> None:
        """Return when *check* says yes; guesses are counted for *who* at *address*, and for *address*.

        Raises `BadCredentials`, `TooManyAttempts`, and what *check* does, which is no guess then.
        """
        key = f"{who} {address}"
        self._charge(key, address)
        try:
            right = await check()
        except XosError:
            self._give_back(key, address)
            raise
        if not right:
            raise BadCredentials
        self._give_back(key, address)

    def _charge(self, key: str, address: str) -> None:
        now = self._clock()
        wait = self._users.charge(key, now)
        if not wait and address:
            wait = self._addresses.charge(address, now)
            if wait:
                self._users.give_back(key)
        if wait:
            error = TooManyAttempts(seconds=round(wait + 0.5))
            error.retry_after_ms = retry_after_ms(wait)
            raise error

    def _give_back(self, key: str, address: str) -> None:
        self._users.give_back(key)
        if address:
            self._addresses.give_back(address)


def check_length(password: str) -> None:
    """Raise `BadRequest` for a password that nobody can have."""
    if len(password.encode("utf-8", "replace")) > LONGEST:
        raise BadRequest(what="password", detail=f"longer than {LONGEST} bytes")

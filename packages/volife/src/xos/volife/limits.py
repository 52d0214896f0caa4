# SPDX-License-Identifier: BSD-3-Clause
"""How often one address may ask, and guess."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from xos.volife.errors import TooFast
from xos.vom.throttle import Limit, Throttle

REQUESTS = Limit(burst=300, seconds_each=0.05)
"""A page with its style sheet and script is three; the limit is for programs that fetch all there is."""
GUESSES = Limit(burst=10, seconds_each=15.0)
"""Tighter than the CDA's own per address, which sees only ours: one guesser must not use it up for everybody."""
ASKS = Limit(burst=5, seconds_each=120.0)
"""Registration requests, which people write by hand."""


class Limits:
    """Per address; the clock is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests, self._guesses, self._asks = Throttle(REQUESTS), Throttle(GUESSES), Throttle(ASKS)

    def request(self, address: str) -> None:
        """One more request. Raises `TooFast`."""
        self._charge(self._requests, address, "requests")

    def guess(self, address: str) -> None:
        """One more try to sign in; `guessed_right` takes it back. Raises `TooFast`."""
        self._charge(self._guesses, address, "attempts to sign in")

    def guessed_right(self, address: str) -> None:
        """The last try was no guess."""
        self._guesses.give_back(network_of(address))

    def ask(self, address: str) -> None:
        """One more registration request. Raises `TooFast`."""
        self._charge(self._asks, address, "registration requests")

    def _charge(self, throttle: Throttle, address: str, what: str) -> None:
        if wait := throttle.charge(network_of(address), self._clock()):
            raise TooFast(what=what, seconds=round(wait + 0.5))


def network_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 that an IPv6 user has all of (RFC 6177)."""
    return address if ":" not in address else str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))

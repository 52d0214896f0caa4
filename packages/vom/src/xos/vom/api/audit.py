# SPDX-License-Identifier: BSD-3-Clause
"""Audit: who changed what, and whether what is kept is what was written, as others see it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.common.signing import Signed
from xos.dixi.api import call, service

HEAD_PURPOSE = "xos-chain-head"
"""What a signature on a `Head` is for."""


class Log(enum.StrEnum):
    """The chains there are."""

    AUDIT = "audit"
    """Every administrative act."""
    USAGE = "usage"
    """Every usage record."""


class Head(msgspec.Struct, array_like=True, frozen=True):
    """How far a chain has come: who has this, knows everything up to it."""

    log: Log
    number: int
    """Of the last entry; 0: the chain is empty."""
    digest: bytes
    """Of the last entry, SHA-256 over all before."""
    at: float = 0.0
    """Unix seconds, when the head was read."""


class Link(msgspec.Struct, array_like=True, frozen=True):
    """An entry of a chain as it is kept."""

    number: int
    at: float
    """Unix seconds."""
    payload: bytes
    """msgpack: of an `Entry`, or of the `Signed` usage record."""
    digest: bytes
    """SHA-256 over the digest before, the log's name, number, time and payload; `xos.vom.records.chain.link_digest`."""


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One administrative act."""

    number: int
    at: float
    """Unix seconds."""
    act: str
    """What was done: ``user-added``, ``policy-put``, …"""
    who: str
    """``alice@demo``, or the machine's name."""
    origin: str = ""
    """Network address of the caller; empty: a local call."""
    vo: str = ""
    target: str = ""
    """What it was done to: name of a user, a policy, a machine."""
    detail: dict[str, str] = {}
    """Further fields; never a secret."""


class Certification(msgspec.Struct, array_like=True, frozen=True):
    """A head that somebody has vouched for."""

    signed: Signed
    """Payload: msgpack of a `Head`."""
    by: str
    """``alice@demo``."""
    head: Head


@service
class Audit(Protocol):
    """The trail of administrative acts; the chains of acts and of usage records, and who has certified their heads."""

    @call(reads=True)
    async def trail(
        self, vo: str = "", before: int = 0, limit: int = 100, who: str = "", act: str = "", target: str = ""
    ) -> list[Entry]:
        """Acts, the newest first, those numbered below *before* (0: all); a VO's for its administrators.

        An empty *vo*: those of all VOs and of none, for the core machine only.
        """
        ...

    @call(reads=True)
    async def head(self, log: Log) -> Head:
        """Where a chain stands."""
        ...

    @call(reads=True)
    async def links(self, log: Log, after: int = 0, limit: int = 1000) -> list[Link]:
        """Entries as they are kept, from number *after* + 1 on, for the core machine and VO managers to verify."""
        ...

    @call(reads=True)
    async def certifications(self, log: Log) -> list[Certification]:
        """The certified heads, the newest first, at most 100."""
        ...

    @call(idempotent=True)
    async def certify(self, head: Signed) -> Certification:
        """Vouch for a head that the caller has signed; it must be of this chain. Raises `ForeignHead`."""
        ...

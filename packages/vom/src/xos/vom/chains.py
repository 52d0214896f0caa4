# SPDX-License-Identifier: BSD-3-Clause
"""Chains of entries in which every change shows: each digest covers its entry and the digest before it. Pure.

A change of an entry breaks its digest; an entry taken out, put in or moved breaks those around it; a chain written
anew from some point on no longer leads to the heads that were signed later; and one whose end was cut off does not
reach them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from xos.vom.api import Head, Link, Log

START = bytes(32)
"""The digest before the first entry."""


class Fault(msgspec.Struct, frozen=True):
    """A sign that a chain is not what was written."""

    number: int
    """Of the entry where it shows."""
    detail: str


def link_digest(before: bytes, log: Log, number: int, at: float, payload: bytes) -> bytes:
    """The digest of an entry: SHA-256 of the one before it (32 zero bytes: none) and msgpack of the rest."""
    return hashlib.sha256(before + msgspec.msgpack.encode((log.value, number, at, payload))).digest()


def check(log: Log, entries: Iterable[Link], heads: Iterable[Head] = ()) -> Iterator[Fault]:
    """Everything that is wrong with a chain, from its beginning; *heads* are known from elsewhere.

    After a fault the check goes on from what is there, so that each place is told once.
    """
    wanted: dict[int, list[Head]] = {}
    for known in heads:
        if known.number:
            wanted.setdefault(known.number, []).append(known)
    number, digest = 0, START
    for entry in entries:
        if entry.number != number + 1:
            yield _misplaced(number, entry.number)
        if link_digest(digest, log, entry.number, entry.at, entry.payload) != entry.digest:
            yield Fault(entry.number, "it was changed, moved, or what came before it was")
        if any(known.digest != entry.digest for known in wanted.pop(entry.number, ())):
            yield Fault(entry.number, "a head was signed here over another history: the chain was written anew")
        number, digest = entry.number, entry.digest
    for missing in sorted(wanted):
        if missing > number:
            yield Fault(number, f"the end is cut off: a head was signed over entry {missing}")
        else:
            yield Fault(missing, "a head was signed over it, and it is gone")


def _misplaced(before: int, number: int) -> Fault:
    if number <= before:
        return Fault(number, f"it stands behind entry {before}")
    gone = f"entry {before + 1} is" if number == before + 2 else f"entries {before + 1} to {number - 1} are"
    return Fault(number, f"{gone} gone")

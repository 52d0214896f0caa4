# SPDX-License-Identifier: BSD-3-Clause
"""POSIX access control lists (withdrawn POSIX.1e draft 17, acl(5)), by global identities. Pure.

What is kept beside the mode is what the mode cannot say: the entries with names, and ``group::``. Owner, mask (the
mode's group bits, as Linux has it) and others stay in the mode, so that chmod(2) and the list never disagree.
"""

from __future__ import annotations

import re
from typing import NamedTuple

USER, GROUP, MASK, OTHER = "user", "group", "mask", "other"
MOST_ENTRIES = 256
_ENTRY = re.compile(r"(user|group|mask|other):([^:,\x00-\x20]{0,160}):([r-][w-][x-])")
_BITS = {"r": 4, "w": 2, "x": 1}


class Entry(NamedTuple):
    """One line of a list; no name: the owner's, the owning group's, the mask, or everybody else's."""

    tag: str
    name: str
    bits: int

    def __str__(self) -> str:
        letters = "".join(letter if self.bits & bit else "-" for letter, bit in _BITS.items())
        return f"{self.tag}:{self.name}:{letters}"


Acl = tuple[Entry, ...]


def parse(text: str) -> Acl | None:
    """A list from ``user::rw-,user:alice@demo:r--,…``; None: it is none, or one that says something twice."""
    found = []
    for word in text.split(","):
        match = _ENTRY.fullmatch(word)
        if match is None or (match[1] in (MASK, OTHER) and match[2]):
            return None
        found.append(Entry(match[1], match[2], sum(_BITS[letter] for letter in match[3] if letter != "-")))
    said = {(entry.tag, entry.name) for entry in found}
    return tuple(sorted(found)) if len(said) == len(found) <= MOST_ENTRIES else None


def is_whole(acl: Acl) -> bool:
    """Whether it says what a list must: owner, group, others, and a mask if there are names."""
    plain = {entry.tag for entry in acl if not entry.name}
    return {USER, GROUP, OTHER} <= plain and (MASK in plain or not any(entry.name for entry in acl))


def text(acl: Acl) -> str:
    """As `parse` reads it."""
    return ",".join(map(str, acl))


def split(acl: Acl) -> tuple[int, str]:
    """The nine mode bits that a whole list means, and what is to be kept beside them (nothing: the mode says all)."""
    bits = {entry.tag: entry.bits for entry in acl if not entry.name}
    mode = bits[USER] << 6 | bits.get(MASK, bits[GROUP]) << 3 | bits[OTHER]
    kept = tuple(entry for entry in acl if entry.name or entry.tag == GROUP) if MASK in bits else ()
    return mode, text(kept)


def join(mode: int, kept: str) -> Acl:
    """The whole list of what has this mode and keeps that beside it."""
    ends = (Entry(USER, "", mode >> 6 & 7), Entry(OTHER, "", mode & 7))
    if not kept:
        return tuple(sorted((*ends, Entry(GROUP, "", mode >> 3 & 7))))
    return tuple(sorted((*ends, *(parse(kept) or ()), Entry(MASK, "", mode >> 3 & 7))))


def allows(kept: str, mode: int, user: str, groups: frozenset[str], owning_group: str, wanted: int) -> bool:
    """Whether somebody who is not the owner may do all of *wanted*."""
    acl, mask = parse(kept) or (), mode >> 3 & 7
    for entry in acl:
        if entry.tag == USER and entry.name == user:
            return wanted & ~(entry.bits & mask) == 0
    mine = [entry.bits & mask for entry in acl if entry.tag == GROUP and (entry.name or owning_group) in groups]
    return any(wanted & ~bits == 0 for bits in mine) if mine else wanted & ~mode & 7 == 0


def inherit(default: str, mode: int) -> tuple[int, str]:
    """The nine mode bits and what is kept of something made with *mode* in a directory of that default list."""
    acl = parse(default)
    if acl is None:
        return mode & 0o777, ""
    bits, kept = split(acl)
    return bits & mode & 0o777, kept

# SPDX-License-Identifier: BSD-3-Clause
"""Advisory locks on ranges of bytes (fcntl(2), flock(2)): who is in whose way. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST_END = (1 << 63) - 1
Owner = tuple[str, str]
"""Session, and the number by which its kernel names the owner."""


class Range(NamedTuple):
    """Bytes *first* to *last*, both inclusive, locked by *owner*."""

    owner: Owner
    first: int
    last: int
    exclusive: bool
    pid: int
    bsd: bool


def in_the_way(held: Iterable[Range], wanted: Range) -> list[Range]:
    """Locks of others that *wanted* cannot be beside. BSD locks and POSIX locks do not see each other."""
    return [
        lock
        for lock in held
        if lock.owner != wanted.owner
        and lock.bsd == wanted.bsd
        and (lock.exclusive or wanted.exclusive)
        and lock.first <= wanted.last
        and wanted.first <= lock.last
    ]


def without(mine: Iterable[Range], gone: Range) -> list[Range]:
    """What is left of an owner's locks when the bytes of *gone* are given back."""
    left = []
    for lock in mine:
        if lock.last < gone.first or gone.last < lock.first:
            left.append(lock)
            continue
        if lock.first < gone.first:
            left.append(lock._replace(last=gone.first - 1))
        if gone.last < lock.last:
            left.append(lock._replace(first=gone.last + 1))
    return left


def together(mine: Iterable[Range], new: Range) -> list[Range]:
    """An owner's locks with *new*: it takes the place of what they had there; what touches is one."""
    merged: list[Range] = []
    for lock in sorted((*without(mine, new), new), key=lambda lock: lock.first):
        last = merged[-1] if merged else None
        if last is not None and last.exclusive == lock.exclusive and last.last + 1 == lock.first:
            merged[-1] = last._replace(last=lock.last)
        else:
            merged.append(lock)
    return merged


def closes_a_circle(waits: Sequence[tuple[Owner, frozenset[Owner]]], me: Owner, blockers: Iterable[Owner]) -> bool:
    """Whether *me*, waiting for *blockers*, would wait for itself. *waits*: who waits for whom already."""
    seen: set[Owner] = set()
    todo = list(blockers)
    while todo:
        owner = todo.pop()
        if owner == me:
            return True
        if owner not in seen:
            seen.add(owner)
            todo += [next_ for waiter, for_ in waits if waiter == owner for next_ in for_]
    return False

# SPDX-License-Identifier: BSD-3-Clause
"""Who is primary and who backup of two MRCs: functions of one database connection, each of which is one decision.

A backup takes over only while its record says that it has all that was acknowledged; the primary has it say so before
it waits for the backup, and the contrary before it goes on without it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import Pair
from xos.xtreemfs.dir.schema import PAIRS

_P = PAIRS.c
_ALL = sa.select(_P.primary, _P.backup, _P.term, _P.synced, _P.version)


def all_(db: sa.Connection) -> list[Pair]:
    """All, by the primary's node."""
    return [Pair(*row) for row in db.execute(_ALL.order_by(_P.primary))]


def of(db: sa.Connection, node: str) -> Pair | None:
    """The one that a node is in."""
    row = db.execute(_ALL.where(sa.or_(_P.primary == node, _P.backup == node))).first()
    return None if row is None else Pair(*row)


def join(db: sa.Connection, primary: str, backup: str, term: int) -> Pair | None:
    """Give *primary* a backup that has nothing yet, empty: none; None: one of them has another partner.

    *term*: the least that it may be, since the MRCs remember it.
    """
    present = of(db, primary)
    if backup and of(db, backup) not in (None, present):
        return None
    if present is not None:
        if present.primary != primary or (backup and present.backup not in ("", backup)):
            return None
        return present if present.backup == backup else change(db, present, backup=backup, synced=False)
    if not backup:
        return None
    made = Pair(primary, backup, term, synced=False, version=1)
    db.execute(sa.insert(PAIRS).values(msgspec.structs.asdict(made)))
    return made


def change(db: sa.Connection, pair: Pair, **values: Any) -> Pair:
    """Another state of a record."""
    changed = msgspec.structs.replace(pair, version=pair.version + 1, **values)
    db.execute(sa.update(PAIRS).where(_P.primary == pair.primary).values(msgspec.structs.asdict(changed)))
    return changed


def set_synced(db: sa.Connection, node: str, term: int, backup: str, synced: bool) -> Pair | None:
    """What the primary says of its backup; None: it is not the primary of that term, or has another backup."""
    pair = of(db, node)
    if pair is None or (pair.primary, pair.term, pair.backup) != (node, term, backup) or (synced and not backup):
        return None
    return pair if pair.synced == synced else change(db, pair, synced=synced)


def take_over(db: sa.Connection, node: str, version: int) -> Pair | None:
    """The backup becomes the primary; None: the record is not the one that it knows, or it lacks something."""
    pair = of(db, node)
    if pair is None or pair.backup != node or pair.version != version or not pair.synced:
        return None
    return change(db, pair, primary=node, backup=pair.primary, term=pair.term + 1, synced=False)


def stand_by(db: sa.Connection, node: str) -> Pair | None:
    """Make void what the backup asked for before."""
    pair = of(db, node)
    return change(db, pair) if pair is not None and pair.backup == node else pair

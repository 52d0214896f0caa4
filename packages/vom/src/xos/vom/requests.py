# SPDX-License-Identifier: BSD-3-Clause
"""Requests for membership in the database."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.vom.api import MembershipRequest, OpenVO, RequestState
from xos.vom.store import REQUESTS, VOS


class Kept(msgspec.Struct, frozen=True):
    """A request with what only the services see of it."""

    request: MembershipRequest
    password: str
    """Encoded hash, for the person that is to be; empty: *account* is there already."""
    account: int | None


def insert(connection: sa.Connection, vo_id: int, kept: Kept) -> None:
    """Keep a new request."""
    request = kept.request
    row = {
        "id": request.id,
        "vo_id": vo_id,
        "name": request.name,
        "full_name": request.full_name,
        "email": request.email,
        "reason": request.reason,
        "password": kept.password,
        "account_id": kept.account,
        "shown": request.by,
        "address": request.address,
        "state": request.state.value,
        "created": request.created,
        "expires": request.expires,
        "decided": request.decided,
        "decided_by": request.decided_by,
        "answer": request.answer,
    }
    connection.execute(REQUESTS.insert().values(**row))


def find(connection: sa.Connection, id_: str) -> Kept | None:
    """The request with that id."""
    row = connection.execute(_QUERY.where(REQUESTS.c.id == id_)).mappings().one_or_none()
    return None if row is None else _kept(row)


def pending_of(connection: sa.Connection, vo_id: int, name: str) -> Kept | None:
    """The request for that name that waits."""
    query = _QUERY.where(
        REQUESTS.c.vo_id == vo_id, REQUESTS.c.name == name, REQUESTS.c.state == RequestState.PENDING.value
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _kept(row)


_QUERY = sa.select(REQUESTS, VOS.c.name.label("vo")).join_from(REQUESTS, VOS)


def list_(
    connection: sa.Connection, vo: str, state: RequestState | None, after: str, limit: int
) -> list[MembershipRequest]:
    """The requests of *vo*, oldest first, those after the one with the id *after*."""
    query = _QUERY.where(VOS.c.name == vo)
    if state is not None:
        query = query.where(REQUESTS.c.state == state.value)
    order = sa.tuple_(REQUESTS.c.created, REQUESTS.c.id)
    if after:
        mark = connection.execute(sa.select(REQUESTS.c.created, REQUESTS.c.id).where(REQUESTS.c.id == after)).first()
        if mark is not None:
            query = query.where(order > sa.tuple_(mark.created, mark.id))
    rows = connection.execute(query.order_by(REQUESTS.c.created, REQUESTS.c.id).limit(limit)).mappings()
    return [_kept(row).request for row in rows]


def count_pending(connection: sa.Connection, vo_id: int) -> int:
    """How many wait for a decision."""
    query = sa.select(sa.func.count()).where(REQUESTS.c.vo_id == vo_id, REQUESTS.c.state == RequestState.PENDING.value)
    return int(connection.scalar(query) or 0)


def decide(connection: sa.Connection, id_: str, state: RequestState, *, now: float, by: str, answer: str = "") -> None:
    """Keep what became of a request; its password is forgotten."""
    change = REQUESTS.update().where(REQUESTS.c.id == id_)
    connection.execute(change.values(state=state.value, decided=now, decided_by=by, answer=answer, password=""))


def expire(connection: sa.Connection, now: float) -> None:
    """Requests that nobody decided in time are over; a month later they are forgotten, as are the decided ones."""
    late = REQUESTS.c.expires < now
    over = REQUESTS.update().where(REQUESTS.c.state == RequestState.PENDING.value, late)
    connection.execute(over.values(state=RequestState.EXPIRED.value, decided=now, password=""))
    old = sa.and_(REQUESTS.c.state != RequestState.PENDING.value, REQUESTS.c.decided < now - KEPT_S)
    connection.execute(REQUESTS.delete().where(old))


KEPT_S = 30 * 86_400
"""Seconds that a decided request is remembered."""


def open_vos(connection: sa.Connection) -> list[OpenVO]:
    """The VOs that take requests."""
    query = sa.select(VOS.c.name, VOS.c.description).where(VOS.c.registration).order_by(VOS.c.name)
    return [OpenVO(*row) for row in connection.execute(query)]


def _kept(row: sa.RowMapping) -> Kept:
    request = MembershipRequest(
        id=row["id"],
        vo=row["vo"],
        name=row["name"],
        full_name=row["full_name"],
        email=row["email"],
        reason=row["reason"],
        state=RequestState(row["state"]),
        created=row["created"],
        expires=row["expires"],
        by=row["shown"],
        address=row["address"],
        decided=row["decided"],
        decided_by=row["decided_by"],
        answer=row["answer"],
    )
    return Kept(request, row["password"], row["account_id"])

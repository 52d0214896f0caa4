# SPDX-License-Identifier: BSD-3-Clause
"""Sessions, and what was answered to their numbered calls: functions of one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import Closed
from xos.xtreemfs.mrc import handles, leases, locks
from xos.xtreemfs.mrc.schema import ANSWERS, HANDLES, SESSIONS
from xos.xtreemfs.mrc.statements import Statement
from xos.xtreemfs.mrc.values import Refusal, Result

KEPT = 4096
"""Answers of a session: a client must not have more calls under way."""
_PRUNE = 256
_A, _S = ANSWERS.c, SESSIONS.c
_ANSWER = Statement(sa.select(_A.answer).where(_A.session == sa.bindparam("s"), _A.number == sa.bindparam("n")))
_FORGET = Statement(ANSWERS.delete().where(_A.session == sa.bindparam("s"), _A.number <= sa.bindparam("n")))
_REMEMBER = Statement(ANSWERS.insert(), "session", "number", "answer")
_T = TypeVar("_T")


class Kept(NamedTuple):
    """A session in the database."""

    id: str
    volume: int
    holder: str
    client: str


def once(
    connection: sa.Connection, session: str, number: int, kind: object, do: Callable[[], Result[_T]]
) -> Result[_T]:
    """What *do* gives; if it was done under that number already, what it gave then.

    A refusal changed nothing, so it is not kept: who asks again asks anew.
    """
    known = _ANSWER.run(connection, {"s": session, "n": number}).fetchone()
    if known is not None:
        answer: _T = msgspec.msgpack.decode(known[0], type=kind)
        return answer
    result = do()
    if not isinstance(result, Refusal):
        _REMEMBER.run(connection, {"session": session, "number": number, "answer": msgspec.msgpack.encode(result)})
        if number % _PRUNE == 0:
            _FORGET.run(connection, {"s": session, "n": number - KEPT})
    return result


def begin(connection: sa.Connection, new: Kept) -> None:
    """Keep a session."""
    connection.execute(SESSIONS.insert().values(id=new.id, volume_id=new.volume, holder=new.holder, client=new.client))


def all_(connection: sa.Connection) -> list[Kept]:
    """All sessions."""
    return [Kept(*row) for row in connection.execute(sa.select(_S.id, _S.volume_id, _S.holder, _S.client))]


def end(connection: sa.Connection, session: str, now: int) -> list[int]:
    """Give up all that a session has; the files that it had locked."""
    for handle, _, _ in handles.open_in(connection, session):
        handles.close(connection, session, Closed(handle), now)
    connection.execute(HANDLES.delete().where(HANDLES.c.session == session))
    connection.execute(ANSWERS.delete().where(_A.session == session))
    connection.execute(SESSIONS.delete().where(_S.id == session))
    leases.end_all(connection, session)
    return locks.drop_session(connection, session)

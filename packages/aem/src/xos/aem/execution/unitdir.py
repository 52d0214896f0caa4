# SPDX-License-Identifier: BSD-3-Clause
"""The directory of a unit: all that a node knows of it, on disk. States follow from its files and nothing else.

======== ============================================================ =================================
file     meaning                                                      written by
======== ============================================================ =================================
order    what was ordered and accepted; synced before the answer.     Execution Manager
         A directory without a whole one was never acknowledged.
killed   it is to end                                                 Execution Manager
shim     who runs it now: pid, start time, boot; locked by that shim  shim
started  the program may have been executed; synced before it is      shim
exit     how it ended; synced, renamed into place                     shim
output   standard output, when the job names no file                  the job
error    standard error, when the job names no file                   the job
======== ============================================================ =================================

A unit whose end the Job Manager has acknowledged moves from ``units/`` to ``ended/``, so that a restart reads only
what is still of interest. Its working directory is ``work/UNIT/home``, that of its temporary files ``work/UNIT/tmp``.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from xos.aem.api import State, Unit, UnitOrder
from xos.aem.execution import kernel
from xos.aem.execution.shim import KILLED_UNIT, LOST
from xos.aem.execution.task import EXIT, KILLED, ORDER, SHIM, STARTED
from xos.common.errors import UNDECODABLE

T = TypeVar("T")

_UNIT_ID = re.compile(r"[a-z0-9][A-Za-z0-9._-]{0,199}")


class Accepted(msgspec.Struct, array_like=True, frozen=True):
    """The file ``order``. Positional: new fields only at the end."""

    order: UnitOrder
    owner: str
    """``alice@demo``, as the signature on the job says."""
    vo: str
    account: tuple[int, int] | None
    """uid and gid; None: the daemon's own."""
    expires: int
    """Unix seconds: when the user's certificate does, and the order with it."""
    at: float
    """Unix seconds."""
    boot: str
    """`kernel.boot_id` of then: after a power cut the staged files must be made again."""
    groups: tuple[int, ...] = ()
    """Supplementary groups of the account."""
    login: str = ""
    """The account's name on this machine, ``alice.demo``; empty: it has none."""
    account_home: str = ""
    """The account's home directory; empty: the unit's own takes its place."""


class Shim(msgspec.Struct, frozen=True):
    """The file ``shim``."""

    pid: int
    start: int
    boot: str
    group: str = ""


class Started(msgspec.Struct, frozen=True):
    """The file ``started``."""

    at: float
    boot: str = ""


class Exit(msgspec.Struct, frozen=True):
    """The file ``exit``; see `xos.aem.execution.shim.Record`."""

    cause: str
    code: int | None
    reason: str
    started: float | None
    ended: float
    user: float
    system: float
    memory: int


class Facts(msgspec.Struct, frozen=True):
    """What the files of one unit directory say."""

    accepted: Accepted
    killed: bool = False
    started: float | None = None
    """Unix seconds."""
    exit: Exit | None = None


_accepted = msgspec.msgpack.Decoder(Accepted)
_shim = msgspec.json.Decoder(Shim)
_started = msgspec.json.Decoder(Started)
_exit = msgspec.json.Decoder(Exit)


def is_unit_id(text: str) -> bool:
    """Whether *text* can be a unit's id, and thus a directory's name."""
    return _UNIT_ID.fullmatch(text) is not None


def read_accepted(directory: Path) -> Accepted | None:
    """The order in *directory*; None when there is no whole one: nobody was ever told that it is."""
    try:
        return _accepted.decode((directory / ORDER).read_bytes())
    except (FileNotFoundError, *UNDECODABLE):
        return None


def read_facts(directory: Path, accepted: Accepted) -> Facts:
    """What the other files say; a torn one counts as absent (their writers sync what must not be lost)."""
    end = _decoded(_exit, directory / EXIT)
    started = _decoded(_started, directory / STARTED) if end is None else None
    at = end.started if end is not None else started.at if started is not None else None
    return Facts(accepted, (directory / KILLED).exists(), at, end)


def read_shim(directory: Path) -> Shim | None:
    """Who said last that it runs the unit, if it was since the last boot."""
    shim = _decoded(_shim, directory / SHIM)
    return shim if shim is not None and shim.boot == kernel.boot_id() else None


def _decoded(decoder: msgspec.json.Decoder[T], path: Path) -> T | None:
    try:
        return decoder.decode(path.read_bytes())
    except (FileNotFoundError, *UNDECODABLE):
        return None


def unit_of(facts: Facts, node: str) -> Unit:
    """The unit as its Job Manager wants to know it."""
    unit_id = facts.accepted.order.unit_id
    if facts.exit is None:
        state = State.SCHEDULED if facts.started is None else State.RUNNING
        return Unit(unit_id, node, state, started=facts.started)
    end = facts.exit
    return Unit(
        unit_id,
        node,
        _ended_state(end, killed=facts.killed),
        end.code,
        end.reason,
        end.started,
        end.ended,
        end.user + end.system,
        end.memory,
    )


def _ended_state(end: Exit, *, killed: bool) -> State:
    if end.cause == KILLED_UNIT or (end.cause == LOST and killed):
        return State.CANCELLED
    return State.DONE if end.code == 0 else State.FAILED


class UnitDirs:
    """Where the directories of a node's units are."""

    def __init__(self, root: Path, work: Path) -> None:
        """*root* is the service's own; *work* must be open to the accounts that jobs run under."""
        self.live = root / "units"
        self.ended = root / "ended"
        self.work = work

    def make(self) -> None:
        """Make those that are missing."""
        for path in (self.live, self.ended):
            path.mkdir(mode=0o700, exist_ok=True)

    def has(self, unit_id: str) -> bool:
        """Whether the node has a directory of that unit."""
        return any((parent / unit_id).is_dir() for parent in (self.live, self.ended))

    def accepted(self, unit_id: str) -> Accepted | None:
        """The order of a unit that the node has, wherever it is."""
        return read_accepted(self.live / unit_id) or read_accepted(self.ended / unit_id)

    def facts(self, unit_id: str) -> Facts | None:
        """What the files of a unit say, wherever it is, and even if it is put away meanwhile."""
        for directory in (self.live / unit_id, self.ended / unit_id):
            accepted = read_accepted(directory)
            if accepted is not None:
                facts = read_facts(directory, accepted)
                if directory.is_dir():
                    return facts
        return None

    def open_file(self, unit_id: str, name: str) -> int | None:
        """Open a file of the unit directory for reading; None when it is not there."""
        for directory in (self.live / unit_id, self.ended / unit_id):
            with contextlib.suppress(FileNotFoundError):
                return os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return None

    def put_away(self, unit_ids: Iterable[str]) -> None:
        """The ends of these are acknowledged: a restart need not look at them. Not synced: to tell twice is no harm."""
        for unit_id in unit_ids:
            with contextlib.suppress(FileNotFoundError):  # put away before
                (self.live / unit_id).rename(self.ended / unit_id)

    def home(self, unit_id: str) -> Path:
        """The unit's own directory: HOME, and where a relative working directory starts."""
        return self.work / unit_id / "home"

    def scratch(self, unit_id: str) -> Path:
        """The unit's TMPDIR."""
        return self.work / unit_id / "tmp"

# SPDX-License-Identifier: BSD-3-Clause
"""From what a user names to the MRC that knows it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from xos.common.errors import XosError
from xos.dixi.commands import Session
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, NotConnected, UnknownService
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import ServiceRecord, VolumeRecord
from xos.xtreemfs.errors import NotServing
from xos.xtreemfs.tools.errors import BadTarget, NoMrc
from xos.xtreemfs.xati import DIRAsync, MRCAsync

SCHEME = "xtreemfs://"
MOUNTS = Path("/proc/self/mountinfo")
AWAY = (ConnectionLost, DeadlineExceeded, NotConnected, NotServing, UnknownService)
"""How a service shows that it is not there."""
SECONDS = 30.0
T = TypeVar("T")


class Target(NamedTuple):
    """A place in a volume."""

    volume: str
    path: str
    """From the volume's root, beginning with a slash."""


async def mrc_of(bus: HasCallers, volume: str) -> MRCAsync:
    """The MRC that serves a volume. Raises `Refused` (ENOENT), `NoMrc`."""
    record = await DIRAsync(bus).volume(volume, deadline=SECONDS)
    return await first(bus, record)


async def first(bus: HasCallers, record: VolumeRecord) -> MRCAsync:
    """The first MRC of a volume that answers. Raises what the last one raised."""
    trouble: XosError = NoMrc(where=f" of volume {record.name}")
    for node in record.mrc:
        mrc = MRCAsync(bus, node)
        try:
            await mrc.volumes(deadline=SECONDS)
        except AWAY as error:
            trouble = error
        else:
            return mrc
    raise trouble


async def mrcs(bus: HasCallers, wanted: str | None = None) -> list[ServiceRecord]:
    """The MRCs that serve; only the one *wanted*, if given. Raises `NoMrc`."""
    registry = DIRAsync(bus)
    backups = {pair.backup for pair in await registry.pairs(deadline=SECONDS)}
    found = [
        one
        for one in await registry.services("MRC", deadline=SECONDS)
        if one.node not in backups and wanted in (None, one.node)
    ]
    if not found:
        raise NoMrc(where=f" {wanted}" if wanted else "")
    return found


def volume_name(text: str) -> str:
    """The volume in ``VOLUME``, ``xtreemfs://VOLUME`` or ``/``-ended forms of these."""
    return text.removeprefix(SCHEME).rstrip("/")


def target(session: Session, text: str, mounts: Path = MOUNTS) -> Target:
    """A file below a mount point, or ``xtreemfs://VOLUME/PATH``. Raises `BadTarget`.

    Touches no file but through its directory's names, so it may wait for a mounted volume: not in an event loop.
    """
    if text.startswith(SCHEME):
        volume, _, path = text.removeprefix(SCHEME).partition("/")
        if not volume:
            raise BadTarget(target=text)
        return Target(volume, f"/{path}")
    given = session.path(text)
    # A link itself is meant, not what it leads to; the way to it is followed.
    place = given.parent.resolve() / given.name if given.name not in {"", "..", "."} else given.resolve()
    for volume, root, where in mounted(mounts):
        if place == where or where in place.parents:
            inner = place.relative_to(where)
            return Target(volume, str(Path(root) / inner))
    raise BadTarget(target=text)


def mounted(mounts: Path = MOUNTS) -> list[tuple[str, str, Path]]:
    """What is mounted: volume, path in it, mount point; the innermost mount points first."""
    found: list[tuple[str, str, Path]] = []
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        own, _, rest = line.partition(" - ")
        kind, source = rest.split(" ")[:2]
        fields = own.split(" ")
        if kind == "fuse.xtreemfs":
            # What is mounted later on a place lies above what was there.
            source = _unescape(source).removeprefix(SCHEME)
            volume = source.rsplit("/", 1)[-1]
            found.insert(0, (volume, _unescape(fields[3]), Path(_unescape(fields[4]))))
    return sorted(found, key=lambda one: -len(one[2].parts))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


async def each(
    session: Session, records: list[ServiceRecord], work: Callable[[ServiceRecord], Awaitable[T]]
) -> tuple[list[T], int]:
    """What *work* gives for each service; those that do not answer are told of, and make the exit status 1."""
    done, status = [], 0
    for record in records:
        try:
            done.append(await work(record))
        except AWAY as error:
            session.err(f"{session.name}: {record.kind} {record.node} does not answer: {error.message}")
            status = 1
    return done, status

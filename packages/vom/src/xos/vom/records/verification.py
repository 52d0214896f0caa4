# SPDX-License-Identifier: BSD-3-Clause
"""Verifies the chains of a database as it lies on disk, against all that has been signed about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import sqlalchemy as sa

from xos.common import config
from xos.common.engines import Place
from xos.common.errors import UNDECODABLE, XosError
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust
from xos.vom.api import USAGE_PURPOSE, Entry, Head, Link, Log
from xos.vom.chains import Fault, check
from xos.vom.core import CoreConfig
from xos.vom.records import chain, trail, usage
from xos.vom.records.heads import head_file, open_head
from xos.vom.records.store import ACTS, CERTIFICATIONS, CHAIN, USAGE

PAGE = 2000

_signed = msgspec.msgpack.Decoder(Signed)
_entry = msgspec.msgpack.Decoder(Entry)


def verify_directory(directory: Path, log: Log, trust_file: Path | None = None) -> tuple[int, int, list[Fault]]:
    """Entries, signed heads that are known, and everything that is wrong, of one chain of a VO core's *directory*.

    Only reads; the daemon may run. Blocks. Raises `ConfigError`, `StorageError`, `XosError` for a trust file that
    cannot be read.
    """
    settings = CoreConfig()
    if (directory / "vom.toml").exists():
        settings = config.load(directory / "vom.toml", CoreConfig)
    trust = Trust.from_pem((trust_file or directory / "ca" / "ca.pem").read_bytes())
    place = Place.of(settings.database if "://" in settings.database else directory / settings.database)
    engine = place.engine(readonly=True)
    try:
        with engine.connect() as connection, connection.begin():
            return _verify(connection, directory, log, trust)
    except sa.exc.DBAPIError as error:
        raise place.explain(error) or error from error
    finally:
        engine.dispose()


def _verify(connection: sa.Connection, directory: Path, log: Log, trust: Trust) -> tuple[int, int, list[Fault]]:
    heads, faults = _heads(connection, directory, log, trust)
    count = 0

    def entries() -> Iterator[Link]:
        nonlocal count
        last = 0
        while page := chain.links(connection, log, last, PAGE):
            count += len(page)
            last = page[-1].number
            faults.extend(_contents(connection, log, page, trust))
            yield from page

    broken = list(check(log, entries(), heads))
    beyond = _beyond(connection, log)
    return count, len(heads), sorted({*broken, *faults, *beyond}, key=lambda fault: (fault.number, fault.detail))


def _heads(connection: sa.Connection, directory: Path, log: Log, trust: Trust) -> tuple[list[Head], list[Fault]]:
    """Every head that somebody has signed; a signature that is no good is a fault too."""
    rows = connection.execute(
        sa.select(CERTIFICATIONS.c.by, CERTIFICATIONS.c.signed).where(CERTIFICATIONS.c.log == log.value)
    )
    signed: list[tuple[str, bytes]] = [(row.by, row.signed) for row in rows]
    file = head_file(directory, log)
    if file.exists():
        signed.append(("", file.read_bytes()))
    heads, faults = [], []
    for by, one in signed:
        try:
            heads.append(open_head(_signed.decode(one), trust, by=by))
        except (XosError, *UNDECODABLE) as error:
            faults.append(Fault(0, f"a signed head is not to be believed: {error}"))
    return heads, faults


def _contents(connection: sa.Connection, log: Log, page: list[Link], trust: Trust) -> Iterator[Fault]:
    """Whether entries say what the tables beside them say, and usage records bear their node's signature."""
    table = ACTS if log is Log.AUDIT else USAGE
    between = sa.and_(table.c.number >= page[0].number, table.c.number <= page[-1].number)
    rows = {row["number"]: dict(row) for row in connection.execute(sa.select(table).where(between)).mappings()}
    for link in page:
        try:
            wanted = _row(log, link, trust)
        except (XosError, *UNDECODABLE) as error:
            yield Fault(link.number, f"what it says is not to be believed: {error}")
            continue
        if rows.get(link.number) != wanted:
            yield Fault(link.number, f"the table {table.name} does not say what the chain says")


def _row(log: Log, link: Link, trust: Trust) -> Mapping[str, object]:
    if log is Log.AUDIT:
        return trail.row_of(msgspec.structs.replace(_entry.decode(link.payload), number=link.number))
    # The node's certificate has run out long ago: what counts is that it was good when the record came.
    verify_signed(_signed.decode(link.payload), trust, purpose=USAGE_PURPOSE, at=link.at)
    return usage.row_of(link.number, usage.record_in(link.payload))


def _beyond(connection: sa.Connection, log: Log) -> Iterator[Fault]:
    """Rows of which the chain knows nothing."""
    table = ACTS if log is Log.AUDIT else USAGE
    known = sa.exists().where(CHAIN.c.log == log.value, CHAIN.c.number == table.c.number)
    for number in connection.scalars(sa.select(table.c.number).where(~known).order_by(table.c.number).limit(100)):
        yield Fault(number, f"the table {table.name} has it, and the chain has not")

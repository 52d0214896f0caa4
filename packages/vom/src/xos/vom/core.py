# SPDX-License-Identifier: BSD-3-Clause
"""What XVOMS, CDA and RCA of one daemon share: one database, one authority, one current CRL per directory.

Everything about it is in that directory, so that the services (and `xos-setup`, before there is a daemon) find the
same by its path alone: ``vom.toml`` (optional, `CoreConfig`), ``vom.sqlite``, ``ca/``, ``ca.passphrase``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from xos.common import config
from xos.common.certificate import Authority
from xos.common.engines import Place
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.migrations import prepare
from xos.common.storage import Store
from xos.vom import authority, ledger, requests
from xos.vom.api import CrlPublished
from xos.vom.errors import AuthorityUnreadable, VomInUse
from xos.vom.gate import Gate, Patience
from xos.vom.passwords import Cost, Passwords
from xos.vom.records import store as records
from xos.vom.records.meter import Meter
from xos.vom.store import METADATA

MIGRATIONS = "xos.vom:migrations"

log = get_logger(__name__)


class CoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``vom.toml``. Paths are relative to its directory."""

    database: str = "vom.sqlite"
    """A file, or a ``postgresql+psycopg://`` URL."""
    ca_name: str = "XtreemOS VO CA"
    ca_years: Annotated[float, Meta(gt=0)] = 10.0
    passphrase_file: str = "ca.passphrase"  # noqa: S105
    crl_hours: Annotated[float, Meta(gt=0)] = 24.0
    """How long a CRL is valid; a new one is made at half that time, and at each revocation."""
    password_cost: Cost = Cost()
    password_checks: Annotated[int, Meta(ge=1)] = 2
    """Passwords worked out at the same time; each takes a core."""
    patience: Patience = Patience()


class VomCore:
    """Opened by `VomCore.open` or, in a daemon, by `share`; closed by whoever opened it."""

    def __init__(
        self,
        directory: Path,
        settings: CoreConfig,
        store: Store,
        ca: Authority,
        secret: bytes,
        lock: int,
        clock: Callable[[], float],
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.store = store
        self.authority = ca
        self.secret = secret
        """What protects the CA's key, and the VO managers'."""
        self.ca_not_after = int(ca.certificate.not_valid_after_utc.timestamp())
        self.now = clock
        """Unix seconds."""
        self.passwords = Passwords(settings.password_cost, at_once=settings.password_checks)
        self.gate = Gate(self.passwords, settings.patience, time.monotonic)
        self.announce: Callable[[CrlPublished], None] = _tell_nobody
        """Called with each new CRL."""
        self.crl = CrlPublished(0, b"")
        self.meter = Meter()
        """What has been used so far."""
        self._lock = lock
        self._publishing = asyncio.Lock()
        self._wanted = self._published = 0

    @classmethod
    async def open(cls, directory: Path, *, clock: Callable[[], float] = time.time) -> VomCore:
        """Open (or found) the VO core in *directory* and make a CRL that is good from now.

        Raises `VomInUse`, `AuthorityUnreadable`, `AuthorityExposed`, `ConfigError`, `StorageBroken`, `StorageFull`.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = CoreConfig()
        if (directory / "vom.toml").exists():
            settings = config.load(directory / "vom.toml", CoreConfig)
        lock = _lock(directory)
        try:
            store = await _open_store(_database(directory, settings))
            try:
                ca = await _authority(directory, settings, store)
                secret = authority.passphrase(directory / settings.passphrase_file)
                core = cls(directory, settings, store, ca, secret, lock, clock)
                core.meter = await Meter.load(store)
                await core.publish_crl()
            except BaseException:
                await store.close()
                raise
        except BaseException:
            os.close(lock)
            raise
        return core

    async def close(self) -> None:
        """Let go of database, threads and lock."""
        self.passwords.close()
        await self.store.close()
        os.close(self._lock)

    async def publish_crl(self) -> CrlPublished:
        """Sign a CRL with every revocation committed before the call, and announce it.

        Callers at the same time get one CRL together: suspending a thousand users makes a handful, not a thousand.
        """
        self._wanted += 1
        mine = self._wanted
        async with self._publishing:
            if self._published < mine:
                covers = self._wanted
                now = self.now()
                number, revoked = await self.store.write(lambda connection: ledger.next_crl(connection, now))
                lifetime = self.settings.crl_hours * 3600
                self.crl = CrlPublished(number, self.authority.crl(revoked, number, lifetime, at=now))
                self._published = covers
                self.announce(self.crl)
        return self.crl

    async def keep_fresh(self) -> None:
        """Renew the CRL before it expires and drop what nobody needs any more, for ever."""
        half = self.settings.crl_hours * 3600 / 2
        pause = half
        while True:
            await asyncio.sleep(pause)
            try:
                await self._forget_expired()
                await self.publish_crl()
            except XosError as error:  # a full disk, say: the old CRL still holds for a while
                log.warning("crl-not-renewed", code=error.code, reason=error.message)
                pause = min(half, 60.0)
            else:
                pause = half

    async def _forget_expired(self) -> None:
        now = int(self.now())

        def write(connection: sa.Connection) -> None:
            ledger.forget_expired(connection, now)
            requests.expire(connection, now)

        await self.store.write(write)

    def expiry(self, at: int, lifetime_s: float) -> int:
        """The notAfter of a certificate issued at *at*: none outlives the CA."""
        return min(at + int(lifetime_s), self.ca_not_after)


def _tell_nobody(_: CrlPublished) -> None:
    """Announce to no one: outside a daemon."""


async def _open_store(database: str | Path) -> Store:
    await asyncio.to_thread(prepare, Place.of(database), records.METADATA, records.MIGRATIONS)
    return await Store.open(database, METADATA, migrations=MIGRATIONS)


def _database(directory: Path, settings: CoreConfig) -> str | Path:
    return settings.database if "://" in settings.database else directory / settings.database


async def _authority(directory: Path, settings: CoreConfig, store: Store) -> Authority:
    if not (directory / "ca").exists() and await store.read(ledger.has_crl):
        # A new CA here would silently disown every certificate out there.
        raise AuthorityUnreadable(file=str(directory / "ca"), detail="the database is there, but its CA is gone")
    passphrase_file = directory / settings.passphrase_file
    return await asyncio.to_thread(
        authority.load_or_create,
        directory,
        name=settings.ca_name,
        years=settings.ca_years,
        passphrase_file=passphrase_file,
    )


def _lock(directory: Path) -> int:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise VomInUse(directory=str(directory)) from error
    return fd

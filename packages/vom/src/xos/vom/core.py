# SPDX-License-Identifier: BSD-3-Clause
"""What XVOMS, CDA and RCA of one daemon share: one database, one authority, one current CRL per directory.

Everything about it is in that directory, so that the services (and `xos-setup`, before there is a daemon) find the
same by its path alone: ``vom.toml`` (optional, `CoreConfig`), ``vom.sqlite``, ``ca/``, ``ca.passphrase``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

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
from xos.vom.pkcs11 import uri
from xos.vom.pkcs11.key import TokenKey
from xos.vom.records import store as records
from xos.vom.records.meter import Meter
from xos.vom.store import METADATA

MIGRATIONS = "xos.vom:migrations"
RETRY_SECONDS = 5.0
"""Between two tries to make a CRL that is owed: token, database or disk were away."""
T = TypeVar("T")

log = get_logger(__name__)


class CoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``vom.toml``. Paths are relative to its directory."""

    database: str = "vom.sqlite"
    """A file, or a ``postgresql+psycopg://`` URL."""
    ca_name: str = "XtreemOS VO CA"
    ca_years: Annotated[float, Meta(gt=0)] = 10.0
    ca_key: str = ""
    """A PKCS#11 URI (RFC 7512) when the CA's key is in a token; see `xos.vom.pkcs11.uri`. Empty: a file."""
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
        self._owed = asyncio.Event()
        token = isinstance(ca.key, TokenKey)
        self._signing = concurrent.futures.ThreadPoolExecutor(1, "vom-token") if token else None
        self._wanted = self._published = 0

    @classmethod
    async def open(cls, directory: Path, *, clock: Callable[[], float] = time.time) -> VomCore:
        """Open (or found) the VO core in *directory* and make a CRL that is good from now.

        Raises `VomInUse`, `AuthorityUnreadable`, `AuthorityExposed`, `AuthorityAway`, `AuthorityLocked`, `BadKeyUri`,
        `ConfigError`, `StorageBroken`, `StorageFull`.
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
                try:
                    await core.publish_crl()
                except BaseException:
                    core._end_signing()
                    raise
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
        await asyncio.to_thread(self._end_signing)
        os.close(self._lock)

    def _end_signing(self) -> None:
        if self._signing is not None and isinstance(self.authority.key, TokenKey):
            self._signing.shutdown(cancel_futures=True)
            self.authority.key.close()

    async def signed(self, make: Callable[[Authority], T]) -> T:
        """What *make* has the CA sign: here with a key in memory (0.1 ms), in another thread with one in a token.

        Raises `AuthorityAway`, `AuthorityLocked`.
        """
        if self._signing is None:
            return make(self.authority)
        return await asyncio.get_running_loop().run_in_executor(self._signing, make, self.authority)

    async def publish_crl(self) -> CrlPublished:
        """Sign a CRL with every revocation committed before the call, and announce it.

        Callers at the same time get one CRL together: suspending a thousand users makes a handful, not a thousand.
        One that could not be made is owed, and made as soon as it can be (`keep_fresh`).
        """
        self._wanted += 1
        mine = self._wanted
        async with self._publishing:
            if self._published < mine:
                covers = self._wanted
                try:
                    self.crl = await self._made_crl()
                except XosError:
                    self._owed.set()
                    raise
                self._owed.clear()
                self._published = covers
                self.announce(self.crl)
        return self.crl

    async def _made_crl(self) -> CrlPublished:
        now, lifetime = self.now(), self.settings.crl_hours * 3600
        number, revoked = await self.store.write(lambda connection: ledger.next_crl(connection, now))
        return CrlPublished(number, await self.signed(lambda ca: ca.crl(revoked, number, lifetime, at=now)))

    async def keep_fresh(self) -> None:
        """Renew the CRL before it expires and drop what nobody needs any more, for ever."""
        half = self.settings.crl_hours * 3600 / 2
        while True:
            try:
                await asyncio.wait_for(self._owed.wait(), half)
                await asyncio.sleep(min(half, RETRY_SECONDS))
            except TimeoutError:
                pass  # none is owed: it is time for the next
            try:
                await self.publish_crl()
                await self._forget_expired()
            except XosError as error:  # a full disk, say: the old CRL still holds for a while
                log.warning("crl-not-renewed", code=error.code, reason=error.message)

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
    if settings.ca_key:
        key, name, years = uri.parse(settings.ca_key), settings.ca_name, settings.ca_years
        # With the key in a token, the passphrase protects the VO managers' keys only.
        authority.passphrase(passphrase_file, may_create=not (directory / "ca").exists())
        return await asyncio.to_thread(authority.load_or_create_in_token, directory, key, name=name, years=years)
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

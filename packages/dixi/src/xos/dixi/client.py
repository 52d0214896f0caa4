# SPDX-License-Identifier: BSD-3-Clause
"""The way into the grid for programs that are not daemons: configuration, credential, bus.

async with connect() as bus:                      # asyncio
    jobs = await JobManagerAsync(bus).list_jobs()

with BlockingBus.open() as bus:                   # without an event loop: xos.dixi.blocking
    jobs = JobManagerXati(bus).list_jobs()
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from xos.common.config import load
from xos.common.errors import XosError
from xos.common.tls import Credential, Trust
from xos.dixi.bus import GridBus
from xos.dixi.configuration import check_plain
from xos.dixi.directory import NodeRecord
from xos.dixi.transports import Endpoint
from xos.dixi.trusted import Plain, Trusted
from xos.dixi.xati import DirectoryAsync


class NoCredential(XosError):
    """Raised when a command needs an XOS-Certificate and there is none."""

    code = "client.no-credential"
    template = "there is no XOS-Certificate in {home}"
    hint = "Get one with: get-xos-cert VO USER"
    exit_status = 77  # EX_NOPERM, sysexits.h


class KeyLocked(XosError):
    """Raised when the key's file is encrypted and nobody gave the passphrase."""

    code = "client.key-locked"
    template = "the key {path} is encrypted"
    hint = "Start xos-agent, which keeps it in memory, or put the passphrase's file name into $XOS_KEY_PASSPHRASE_FILE."
    exit_status = 77


class ClientDirectory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[directory]``."""

    address: str
    """``host:port`` of the core's `dixi` listener."""
    front_door: str = ""
    """``host:port`` where the CDA hears people who have no certificate yet."""
    gateway: str = ""
    """``host:port`` of the core's HTTPS gateway; for people, nothing of ours needs it."""


class ClientConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``client.toml``."""

    directory: ClientDirectory
    ca: str = "ca.pem"
    """The VO CA's certificate, relative to the configuration file."""
    plain: Plain = Plain()


def xos_home(environ: os._Environ[str] | dict[str, str] = os.environ) -> Path:
    """``$XOS_HOME``, by default ``~/.xos``."""
    return Path(environ.get("XOS_HOME") or Path(environ.get("HOME", "/")) / ".xos")


def load_client(home: Path) -> tuple[ClientConfig, Trust]:
    """The configuration in *home*, and the CA that it names; without one, ``/etc/xos/client.toml`` serves.

    Raises `ConfigMissing`, `ConfigError`, `CredentialMissing`.
    """
    path = home / "client.toml"
    if not path.exists() and (system := Path("/etc/xos/client.toml")).exists():
        path = system
    config = load(path, ClientConfig)
    check_plain(config.plain, path)
    return config, Trust.from_pem(_read(path.parent / config.ca))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        from xos.common.errors import CredentialMissing

        raise CredentialMissing(path=str(path), detail=error.strerror or "") from error


def load_credential(home: Path) -> Credential:
    """The user's certificate and key in *home*. Raises `NoCredential`, `KeyLocked` and the certificate errors."""
    certificate, key = home / "user.pem", home / "user.key"
    if not certificate.exists() or not key.exists():
        raise NoCredential(home=str(home))
    passphrase = None
    if b"ENCRYPTED" in key.read_bytes():
        given = os.environ.get("XOS_KEY_PASSPHRASE_FILE")
        if not given:
            raise KeyLocked(path=str(key))
        passphrase = _read(Path(given)).strip()
    return Credential.load(certificate, key, passphrase)


class ClientFinder:
    """Asks the Directory once for each service, and again when the answer turned out to be wrong."""

    def __init__(self, address: str) -> None:
        self._directory = NodeRecord("", address, ("Directory",))
        self._found: dict[tuple[str, str | None], NodeRecord] = {}
        self._bus: GridBus | None = None

    def attach(self, bus: GridBus) -> None:
        """The bus over which the Directory is asked."""
        self._bus = bus

    async def find(self, service: str, node: str | None) -> NodeRecord | None:
        """See `xos.dixi.bus.Finder.find`."""
        if service == "Directory":
            return self._directory
        known = self._found.get((service, node))
        if known is None and self._bus is not None:
            answer = await DirectoryAsync(self._bus).find(service, node or "", deadline=10.0)
            if answer:
                known = self._found[service, node] = answer[0]
        return known

    def forget(self, record: NodeRecord) -> None:
        """See `xos.dixi.bus.Finder.forget`."""
        self._found = {key: found for key, found in self._found.items() if found != record}


class OneDoor:
    """Finds every service at one address: the front door."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def find(self, service: str, node: str | None) -> NodeRecord | None:
        """See `xos.dixi.bus.Finder.find`."""
        return NodeRecord(node or "", self._address, (service,))

    def forget(self, record: NodeRecord) -> None:
        """There is no other."""


def make_bus(config: ClientConfig, trust: Trust, credential: Credential | None) -> GridBus:
    """A bus for somebody with *credential*; without one, for the front door only."""
    endpoint = Endpoint(trust, credential, trusted=Trusted.of(config.plain))
    if credential is None:
        return GridBus(endpoint, OneDoor(config.directory.front_door or config.directory.address))
    finder = ClientFinder(config.directory.address)
    bus = GridBus(endpoint, finder)
    finder.attach(bus)
    return bus


@contextlib.asynccontextmanager
async def connect(home: Path | None = None, *, credential: Credential | None = None) -> AsyncIterator[GridBus]:
    """A bus as the user of *home* (default ``$XOS_HOME``); connections are made on first use."""
    home = home or xos_home()
    config, trust = load_client(home)
    bus = make_bus(config, trust, credential or load_credential(home))
    try:
        yield bus
    finally:
        bus.close()

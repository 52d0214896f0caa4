# SPDX-License-Identifier: BSD-3-Clause
"""What ``dixid --config FILE`` reads. Unknown keys and wrong types are errors that name file, key and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from xos.common.config import load
from xos.common.errors import XosError
from xos.dixi.transports import Address
from xos.dixi.trusted import Plain, Trusted


class BadSetting(XosError):
    """Raised when a setting has the right type but makes no sense."""

    code = "dixi.bad-setting"
    template = "{file}: {key}: {detail}"
    exit_status = 78  # EX_CONFIG, sysexits.h


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[tls]``: this machine's certificate and whom it believes. Paths are relative to the configuration file."""

    certificate: str
    """PEM."""
    key: str
    """PEM; readable by this daemon only."""
    trust: str
    """Directory with ``ca.pem`` and, once fetched, ``crl.der``."""


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[listen]]``: an address to be reached at."""

    transport: Literal["dixi", "https"] = "dixi"
    address: str
    """``host:port``."""
    services: tuple[str, ...] = ()
    """Only these; empty means all."""
    anonymous: bool = False
    """A front door: hears callers without a certificate too, where a method allows it."""
    most_connections: int = 20_000
    origins: tuple[str, ...] = ()
    """Web sites (``https://host:port``) whose pages may call here with their reader's certificate; `https` only."""


class DirectoryAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[directory]``: where the Directory is; not needed on the node that hosts it."""

    address: str
    """``host:port`` of the core's `dixi` listener."""


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.NAME]``: a service to host."""

    limit: int = 64
    """Calls that may run at once."""
    queue: int = 1024
    """Calls that may wait; more are refused at once."""
    waiting: int = 20_000
    """Calls that may sleep until something happens, and open streams."""
    implementation: str = ""
    """``module:Class``; empty means the one installed under the service's name (entry point ``xos.services``)."""
    settings: dict[str, Any] = {}
    """``[services.NAME.settings]``: the service's own, checked by it."""


class DaemonConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    node: str
    data: str
    """Directory for what services keep."""
    tls: Tls
    listen: tuple[Listen, ...]
    services: dict[str, ServiceSettings] = {}
    plain: Plain = Plain()
    directory: DirectoryAt | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_seconds: float = 5.0
    """How long a stop waits for calls under way."""
    revocation_seconds: float = 20.0
    """How often the revocations are fetched from the CDA."""


def check_plain(plain: Plain, path: Path) -> None:
    """Raises `BadSetting`."""
    try:
        trusted = Trusted.of(plain)
    except ValueError as error:
        raise BadSetting(file=str(path), key="plain.networks", detail=str(error)) from error
    if not plain.address:
        return
    try:
        Address.parse(plain.address)
    except ValueError as error:
        raise BadSetting(file=str(path), key="plain.address", detail=str(error)) from error
    if not trusted:
        raise BadSetting(file=str(path), key="plain.address", detail="of no use without plain.networks")


def load_daemon(path: Path) -> DaemonConfig:
    """The configuration at *path*, relative paths resolved. Raises `ConfigError`, `ConfigMissing`, `BadSetting`."""
    config = load(path, DaemonConfig)
    if not config.listen:
        raise BadSetting(file=str(path), key="listen", detail="at least one [[listen]] is needed")
    for listen in config.listen:
        try:
            Address.parse(listen.address)
        except ValueError as error:
            raise BadSetting(file=str(path), key="listen.address", detail=str(error)) from error
        if wrong := next((o for o in listen.origins if not re.fullmatch(r"https://[^/\s]+", o)), None):
            raise BadSetting(file=str(path), key="listen.origins", detail=f"{wrong!r} is not https://HOST[:PORT]")
    check_plain(config.plain, path)
    if config.directory is None and "Directory" not in config.services:
        detail = "give [directory] address = HOST:PORT of the core, or host the Directory here"
        raise BadSetting(file=str(path), key="directory", detail=detail)
    for name, settings in config.services.items():
        if settings.limit < 1 or settings.queue < 0 or settings.waiting < 1:
            raise BadSetting(file=str(path), key=f"services.{name}", detail="limits must be positive")
    base = path.resolve().parent
    tls = Tls(
        certificate=str(base / config.tls.certificate),
        key=str(base / config.tls.key),
        trust=str(base / config.tls.trust),
    )
    return msgspec.structs.replace(config, data=str(base / config.data), tls=tls)

# SPDX-License-Identifier: BSD-3-Clause
"""By whose certificate a mount speaks: the machine's (it serves every account then), or a user's own."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from xos.common.errors import XosError
from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.common.tls import Credential, Trust
from xos.dixi.bus import GridBus
from xos.dixi.client import ClientFinder, load_client, load_credential, make_bus
from xos.dixi.configuration import load_daemon
from xos.dixi.transports import Endpoint
from xos.dixi.trusted import Trusted
from xos.xtreemfs.errors import NoMachine
from xos.xtreemfs.mount.identities import Identities, MachineIdentities, UserIdentities
from xos.xtreemfs.mount.options import Wanted

log = get_logger("xos.xtreemfs.mount")

ROLES = ("resource", "core", "client")
"""Of which ``/etc/xos/ROLE.toml`` may be there."""


class Access(msgspec.Struct, frozen=True):
    """How a mount reaches the grid."""

    bus: GridBus
    trust: Trust
    identities: Identities
    credential: Credential
    for_all: bool
    config: Path | None
    home: Path


def reach(wanted: Wanted, home: Path, given: Credential | None) -> Access:
    """*given*: a user's credential, when its key lies in no file. Raises what says why not."""
    config = Path(wanted.config) if wanted.config else None
    if config is None and os.geteuid() == 0 and not wanted.home and not (home / "user.pem").exists():
        config = next((path for role in ROLES if (path := Path(f"/etc/xos/{role}.toml")).exists()), None)
    if config is not None:
        return _as_machine(config, home)
    home = Path(wanted.home) if wanted.home else home
    client, trust = load_client(home)
    credential = given or load_credential(home)
    bus = make_bus(client, trust, credential)
    return _access(bus, trust, credential, None, home)


def _as_machine(config: Path, home: Path) -> Access:
    daemon = load_daemon(config)
    trust, credential = Trust.load(Path(daemon.tls.trust)), _of_machine(config)
    # The node that hosts the Directory is asked at its own address.
    address = daemon.directory.address if daemon.directory else daemon.listen[0].address
    finder = ClientFinder(address)
    bus = GridBus(Endpoint(trust, credential, trusted=Trusted.of(daemon.plain)), finder)
    finder.attach(bus)
    return _access(bus, trust, credential, config, home)


def _of_machine(config: Path) -> Credential:
    tls = load_daemon(config).tls
    return Credential.load(Path(tls.certificate), Path(tls.key))


def _access(bus: GridBus, trust: Trust, credential: Credential, config: Path | None, home: Path) -> Access:
    identity = credential.identity
    if identity.kind is Kind.MACHINE:
        if os.geteuid() != 0:
            raise NoMachine(node=identity.name)
        return Access(bus, trust, MachineIdentities(identity.name), credential, True, config, home)
    names = (identity.group, *(group for group in identity.groups if group != identity.group))
    groups = tuple(f"{name}@{identity.vo}" for name in names if name)
    user = UserIdentities(f"{identity.name}@{identity.vo}", groups, os.getuid(), os.getgid())
    return Access(bus, trust, user, credential, False, config, home)


def renewed(access: Access) -> Access:
    """The same with the certificate that is in the files now; when it cannot be read, the old serves on."""
    try:
        found = _of_machine(access.config) if access.config is not None else load_credential(access.home)
    except XosError as error:
        log.debug("mount.credential", detail=str(error))
        return access
    if found.certificate == access.credential.certificate or str(found.identity) != str(access.credential.identity):
        return access
    log.info("mount.renewed", until=found.identity.not_after)
    access.bus.renew(found, afresh=True)
    return msgspec.structs.replace(access, credential=found)

# SPDX-License-Identifier: BSD-3-Clause
"""The first certificate: a core machine's own, before there is a daemon that could give it one."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import sqlalchemy as sa

from xos.common.certificate import check_csr
from xos.vom import ledger, resources
from xos.vom.api import Issued, Resource
from xos.vom.core import VomCore
from xos.vom.machines import check_addresses, sign_machine
from xos.vom.names import check_name
from xos.vom.policy import CORE_ROLE
from xos.vom.resources import Machine


async def found(
    directory: Path,
    node: str,
    csr: bytes,
    *,
    addresses: tuple[str, ...] = (),
    roles: tuple[str, ...] = (CORE_ROLE,),
    days: float = 30.0,
) -> tuple[Issued, bytes]:
    """A machine certificate for *node* from the `VomCore` in *directory*, which is made if it is not there.

    Also the current CRL (DER). For whoever owns the directory (`xos-setup` on the core); later the machine renews
    through the RCA. May be repeated. Raises `VomInUse` while a daemon has the directory open, `BadName`,
    `BadRequest`, `BadCsr`, and what `VomCore.open` does.
    """
    resource = Resource(check_name("node", node), roles=roles, addresses=check_addresses(addresses), joined=time.time())
    checked = check_csr(csr)
    core = await VomCore.open(directory)
    try:
        issued, signed = await sign_machine(core, checked, Machine(resource), int(core.now()), days * 86400)
        machine = Machine(msgspec.structs.replace(resource, not_after=signed.not_after))

        def write(connection: sa.Connection) -> None:
            resources.keep(connection, machine)
            ledger.record_machine(connection, node, signed, 0)

        await core.store.write(write)
        return issued, core.crl.crl
    finally:
        await core.close()

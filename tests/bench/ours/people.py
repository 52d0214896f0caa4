# SPDX-License-Identifier: BSD-3-Clause
"""Makes the VO and the user of the bench (run as ``python -m``, inside the enclosure): ROOT HOME VO USER.

The user's password comes on standard input. Certificate and key end up in HOME, the key not encrypted, so that
clients with and without an agent can use it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from xos.common.certificate import make_csr, make_key
from xos.common.tls import Credential
from xos.dixi.client import connect, load_client, make_bus
from xos.setup.local.grid import LocalGrid
from xos.setup.local.users import make_home
from xos.vom.api import CertificateWish
from xos.vom.xati import CDAAsync, XVOMSAsync


async def main(root: Path, home: Path, vo: str, user: str, password: str) -> None:
    """As the administrator make VO and user; as the user get a certificate by password."""
    grid = LocalGrid(root, print)
    async with connect(grid.admin) as bus:
        await XVOMSAsync(bus).create_vo(vo, "of the bench")
        await XVOMSAsync(bus).add_user(vo, user, password)
    make_home(home, grid.core)
    door = make_bus(*load_client(home), None)
    key = make_key()
    issued = await CDAAsync(door).issue(CertificateWish(vo, user, make_csr(key, user), password))
    door.close()
    make_home(home, grid.core, Credential(issued.certificate, key))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.stdin.readline().strip()))

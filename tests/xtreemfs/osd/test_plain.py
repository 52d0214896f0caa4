# SPDX-License-Identifier: BSD-3-Clause
"""In a network that both sides trust, the bytes of files go over plain TCP, and nothing else does."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.daemons import free_port
from support.dixi import make_grid, until
from support.osds import Connected, address_of, capability, configured, running
from xos.dixi.channel import NEARER_AFTER, Channel
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import ConnectionLost
from xos.dixi.transports import Address, Endpoint, near
from xos.dixi.trusted import Plain, Trusted
from xos.xtreemfs.errors import UnknownToken
from xos.xtreemfs.xati import OSDAsync

BYTES = {"OSD.read", "OSD.write", "OSD.write_parts", "OSD.replicate", "OSD.fetch", "OSD.patch"}


class Unbindable(socket.socket):
    """So that there is no Unix socket to meet at, as between two machines."""

    def bind(self, address: Any, /) -> None:
        raise PermissionError(errno.EACCES, f"no {address!r} here")


async def test_bytes_go_over_plain_tcp_and_capabilities_are_shown_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "_socket", Unbindable)
    grid = make_grid()
    mrc = grid.make_machine("mrc1")
    plain = Plain(networks=("127.0.0.0/8",), address=f"127.0.0.1:{free_port()}")
    config = msgspec.structs.replace(configured(grid, "osd1", tmp_path), plain=plain)
    content = os.urandom(1 << 20)
    async with running(config) as daemon:
        endpoint = Endpoint(grid.trust, grid.user, Dispatcher(), Trusted.of(plain))
        channel = Channel(Address.parse(address_of(daemon)), endpoint)
        try:
            osd = OSDAsync(Connected(channel))
            presented = await osd.present(capability(mrc, str(grid.user.identity)))
            for number in range(NEARER_AFTER):
                await osd.write(presented.token, number, b"x", number + 1)
            await until(lambda: channel._beside is not None)
            way = channel._beside
            assert way is not None
            assert set(way.methods or ()) == BYTES
            await osd.write(presented.token, 7, content, 100)
            assert await osd.read(presented.token, 7, len(content)) == content
            with pytest.raises(UnknownToken):
                await osd.read(bytes(16), 0, 1)
            way.link.close()
            with pytest.raises(ConnectionLost):
                await way.link.call("OSD.read", (presented.token, 0, 1), bytes)
            assert await osd.read(presented.token, 7, len(content)) == content
        finally:
            channel.close()

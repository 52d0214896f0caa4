# SPDX-License-Identifier: BSD-3-Clause
"""Object Storage Devices behind real TLS, in this process, and an MRC's pen to sign capabilities for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from support.dixi import Grid
from xos.common.signing import Signed, sign
from xos.common.tls import Credential
from xos.dixi.api import Caller
from xos.dixi.channel import Channel
from xos.dixi.configuration import DaemonConfig, DirectoryAt, Listen, ServiceSettings, Tls
from xos.dixi.daemon import Daemon
from xos.dixi.dispatch import Dispatcher
from xos.dixi.transports import Address, Endpoint
from xos.xtreemfs.api import CAPABILITY_PURPOSE, Access, Capability, Layout, Replica, Striping, Update
from xos.xtreemfs.xati import OSDAsync

FILE = "demo-1f"
SINGLE = Layout(Striping(), (Replica(("osd1",)),))


def replicated(*nodes: str, update: Update = Update.QUORUM, primary: int = 0, term: int = 1) -> Layout:
    """One whole copy at each of *nodes*."""
    return Layout(Striping(), tuple(Replica((node,)) for node in nodes), update, primary=primary, term=term)


def capability(credential: Credential, holder: str, layout: Layout = SINGLE, **change: Any) -> Signed:
    """Of `FILE`, to read and write, good for a minute, signed by *credential*, but for what is changed."""
    plain = Capability(FILE, Access.READ | Access.WRITE, holder, int(time.time()) + 60, 1, layout)
    payload = msgspec.msgpack.encode(msgspec.structs.replace(plain, **change))
    return sign(payload, credential, purpose=CAPABILITY_PURPOSE)


class Connected:
    """`HasCallers` over one connection."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def caller(self, service: str, node: str | None = None) -> Caller:  # noqa: ARG002 -- there is one
        return self.channel


@contextlib.contextmanager
def connected(address: str, grid: Grid, credential: Credential | None = None) -> Iterator[OSDAsync]:
    """A client of an OSD; as alice unless another *credential* is given."""
    endpoint = Endpoint(grid.trust, credential or grid.user, Dispatcher())
    channel = Channel(Address.parse(address), endpoint, node=None, kind="dixi")
    try:
        yield OSDAsync(Connected(channel))
    finally:
        channel.close()


def configured(
    grid: Grid, name: str, place: Path, *, directory: str = "", osd: bool = True, https: bool = False, **settings: Any
) -> DaemonConfig:
    """An OSD's daemon; with the Directory in it unless one is given."""
    place.mkdir(parents=True, exist_ok=True)
    credential = grid.make_machine(name, role="resource" if directory else "core")
    (place / "trust").mkdir(exist_ok=True)
    (place / "trust/ca.pem").write_bytes(grid.trust.ca_pem())
    (place / "node.pem").write_bytes(credential.certificate_pem())
    (place / "node.key").touch(mode=0o600)
    (place / "node.key").write_bytes(credential.key_pem(None))
    services = {"OSD": ServiceSettings(settings={"mrcs": ["mrc*"], **settings})} if osd else {}
    if not directory:
        services = {"Directory": ServiceSettings(), **services}
    listen = (Listen(address="127.0.0.1:0"), *([Listen(transport="https", address="127.0.0.1:0")] if https else []))
    return DaemonConfig(
        node=name,
        data=str(place / "data"),
        tls=Tls(certificate=str(place / "node.pem"), key=str(place / "node.key"), trust=str(place / "trust")),
        listen=listen,
        services=services,
        directory=DirectoryAt(address=directory) if directory else None,
        drain_seconds=0.5,
    )


@contextlib.asynccontextmanager
async def running(config: DaemonConfig) -> AsyncIterator[Daemon]:
    """The daemon, in this event loop."""
    daemon = Daemon(config)
    try:
        await daemon.start()
        yield daemon
    finally:
        await daemon.stop()


def address_of(daemon: Daemon) -> str:
    """Of its `dixi` listener."""
    return str(daemon.listeners[0].address)

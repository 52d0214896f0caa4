# SPDX-License-Identifier: BSD-3-Clause
"""DIXI's server and client, mutual TLS 1.3, one process each (run as ``python -m``).

The server is a whole `dixid` with its stages, admission, metrics and Directory, the client a `Channel`, which is
what the generated clients call through.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.echo import PAYLOAD
from xos.common.certificate import Authority, make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.log import configure
from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller
from xos.dixi.channel import Channel
from xos.dixi.configuration import DaemonConfig, Listen, ServiceSettings, Tls
from xos.dixi.daemon import Daemon
from xos.dixi.transports import Address, Endpoint

DAY = 86_400


def make_credentials(where: Path) -> None:
    """Write ``trust/ca.pem``, ``server.{pem,key}`` (a machine's) and ``client.{pem,key}`` (a user's)."""
    (where / "trust").mkdir(parents=True, exist_ok=True)
    authority = Authority.create("bench", 1)
    (where / "trust" / "ca.pem").write_bytes(authority.certificate_pem())
    key = make_key()
    machine = authority.issue_machine(make_csr(key, "server"), "server", ["core"], ["127.0.0.1"], DAY)
    _keep(where, "server", Credential(machine, key))
    key = make_key()
    alice = Identity(Kind.USER, "alice", vo="bench", group="users")
    _keep(where, "client", Credential(authority.issue_user(make_csr(key, "alice"), alice, DAY), key))


def _keep(where: Path, name: str, credential: Credential) -> None:
    (where / f"{name}.pem").write_bytes(credential.certificate_pem())
    path = where / f"{name}.key"
    path.touch(mode=0o600)
    path.write_bytes(credential.key_pem(None))


async def serve(where: Path) -> None:
    """Print the port, serve until the input ends."""
    config = DaemonConfig(
        node="server",
        data=str(where / "data"),
        tls=Tls(certificate=str(where / "server.pem"), key=str(where / "server.key"), trust=str(where / "trust")),
        listen=(Listen(address="127.0.0.1:0"),),
        services={
            "Directory": ServiceSettings(),
            "Echo": ServiceSettings(implementation="bench.ours.echo_service:EchoService"),
        },
    )
    configure(service="dixid", node=config.node, level=config.log_level)
    daemon = Daemon(config)
    try:
        await daemon.start()
        print(json.dumps({"port": daemon.listeners[0].address.port}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await daemon.stop()


async def drive(where: Path, port: int) -> None:
    """Answer ``{"in_flight": N, "seconds": S}`` with how many calls were answered in how long."""
    credential = Credential.load(where / "client.pem", where / "client.key")
    channel = Channel(Address("127.0.0.1", port), Endpoint(Trust.load(where / "trust"), credential), node="server")
    await channel.call("Echo.echo", (PAYLOAD,), bytes)
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        print(json.dumps(await measure(channel, request["in_flight"], request["seconds"])), flush=True)
    channel.close()


async def measure(caller: Caller, in_flight: int, seconds: float) -> dict[str, Any]:
    """The same loop as the peer's."""
    begin = time.perf_counter()
    end = begin + seconds

    async def one() -> int:
        calls = 0
        while time.perf_counter() < end:
            if await caller.call("Echo.echo", (PAYLOAD,), bytes) != PAYLOAD:
                raise ValueError("not what was sent")
            calls += 1
        return calls

    counts = await asyncio.gather(*(one() for _ in range(in_flight)))
    return {"calls": sum(counts), "wall": time.perf_counter() - begin}


if __name__ == "__main__":
    directory = Path(sys.argv[2])
    if sys.argv[1] == "serve":
        make_credentials(directory)
        uvloop.run(serve(directory))
    else:
        uvloop.run(drive(directory, int(sys.argv[3])))

# SPDX-License-Identifier: BSD-3-Clause
"""gRPC's asyncio server and client, mutual TLS, one process each (run as a script in build/bench/grpc).

Bytes in, bytes out: no protobuf message is built or parsed, which is the fastest that gRPC can be.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-not-found]

METHOD = "/bench.Echo/Echo"
PAYLOAD = b"x" * 128


async def echo(request: bytes, _context: Any) -> bytes:
    return request


async def serve(pki: Path) -> None:
    """Print the port, serve until the input ends."""
    ca, key, certificate = (pki.joinpath(name).read_bytes() for name in ("ca.pem", "server.key", "server.pem"))
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


async def drive(pki: Path, port: int) -> None:
    """Answer ``{"in_flight": N, "seconds": S}`` with how many calls were answered in how long."""
    ca, key, certificate = (pki.joinpath(name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        call = channel.unary_unary(METHOD)
        await call(PAYLOAD)
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = json.loads(line)
            print(json.dumps(await measure(call, request["in_flight"], request["seconds"])), flush=True)


async def measure(call: Any, in_flight: int, seconds: float) -> dict[str, Any]:
    begin = time.perf_counter()
    end = begin + seconds

    async def one() -> int:
        calls = 0
        while time.perf_counter() < end:
            if await call(PAYLOAD) != PAYLOAD:
                raise ValueError("not what was sent")
            calls += 1
        return calls

    counts = await asyncio.gather(*(one() for _ in range(in_flight)))
    return {"calls": sum(counts), "wall": time.perf_counter() - begin}


if __name__ == "__main__":
    where = Path(sys.argv[2])
    asyncio.run(serve(where) if sys.argv[1] == "serve" else drive(where, int(sys.argv[3])))

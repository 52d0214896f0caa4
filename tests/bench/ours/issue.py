# SPDX-License-Identifier: BSD-3-Clause
"""Asks the CDA for certificates (run as ``python -m`` inside the enclosure).

Requests: ``{"by": "certificate" or "password", "count": N, "in_flight": P}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import uvloop

from xos.common.certificate import make_csr, make_key
from xos.common.errors import XosError
from xos.dixi.bus import GridBus
from xos.dixi.client import load_client, load_credential, make_bus, xos_home
from xos.vom.api import CertificateWish
from xos.vom.xati import CDAAsync


async def measure(cda: CDAAsync, wish: CertificateWish, count: int, in_flight: int) -> dict[str, Any]:
    """How long *count* certificates take, *in_flight* asked for at once."""
    left = iter(range(count))

    async def one() -> None:
        for _ in left:
            await cda.issue(wish, deadline=60)

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(in_flight)))
    return {"wall": time.perf_counter() - begin}


async def main() -> None:
    """Answer requests until the input ends."""
    config, trust = load_client(xos_home())
    credential = load_credential(xos_home())
    holder = credential.identity
    # One request for all: making keys and requests is the clients' work, and theirs are many machines.
    csr = make_csr(make_key(), holder.name)
    wishes = {
        "certificate": CertificateWish(holder.vo, holder.name, csr),
        "password": CertificateWish(holder.vo, holder.name, csr, password=os.environ.get("BENCH_PASSWORD", "")),
    }
    buses: dict[str, GridBus] = {
        "certificate": make_bus(config, trust, credential),
        "password": make_bus(config, trust, None),
    }
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        by = request["by"]
        try:
            answer = await measure(CDAAsync(buses[by]), wishes[by], request["count"], request["in_flight"])
        except XosError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
    for bus in buses.values():
        bus.close()


if __name__ == "__main__":
    uvloop.run(main())

# SPDX-License-Identifier: BSD-3-Clause
"""Anybody's HTTP client reads and writes an OSD: raw bodies, ranges, keep-alive; judged by curl."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from support.dixi import Grid
from support.osds import capability, configured, running
from xos.common.tls import Credential

Curl = Callable[..., Awaitable[tuple[int, bytes]]]


@pytest.fixture
async def curl(grid: Grid, tmp_path: Path) -> AsyncIterator[Curl]:
    """Runs curl as alice at the gateway of an OSD; the status and the body."""
    pem = tmp_path / "alice.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(grid.user.certificate_pem() + grid.user.key_pem(None))
    (tmp_path / "ca.pem").write_bytes(grid.trust.ca_pem())
    async with running(configured(grid, "osd1", tmp_path / "osd1", https=True)) as daemon:
        base = f"https://{daemon.listeners[1].address}"

        async def run(path: str, *options: str) -> tuple[int, bytes]:
            out = tmp_path / "body"
            out.unlink(missing_ok=True)
            command = ["curl", "-s", "--max-time", "10", "--cacert", str(tmp_path / "ca.pem"), "--cert", str(pem)]
            process = await asyncio.create_subprocess_exec(
                *command, "-o", str(out), "-w", "%{http_code}", *options, base + path, stdout=asyncio.subprocess.PIPE
            )
            status, _ = await process.communicate()
            return int(status), out.read_bytes() if out.exists() else b""

        yield run


async def present(curl: Curl, mrc: Credential) -> str:
    signed = capability(mrc, "alice@demo")
    fields = {name: getattr(signed, name) for name in ("payload", "certificate", "signature", "purpose")}
    body = msgspec.json.encode({"capability": fields}).decode()
    status, answer = await curl("/OSD/present", "-H", "Content-Type: application/json", "-d", body)
    assert status == 200, answer
    token = base64.b64decode(msgspec.json.decode(answer)["token"])
    return base64.b64encode(token).decode().replace("+", "%2B")


RAW = ("-H", "Accept: application/octet-stream")


async def test_bytes_go_as_they_are(curl: Curl, mrc: Credential, tmp_path: Path) -> None:
    token, content = await present(curl, mrc), os.urandom(100_000)
    (tmp_path / "content").write_bytes(content)
    sent = ("-H", "Content-Type: application/octet-stream", "--data-binary", f"@{tmp_path / 'content'}")
    status, answer = await curl(f"/OSD/write?token={token}&offset=10&number=1", *sent)
    assert (status, msgspec.json.decode(answer)["extent"]["size"]) == (200, 100_010)
    whole = f"/OSD/read?token={token}&offset=0&length=200000"
    assert await curl(whole, *RAW) == (200, bytes(10) + content)
    assert await curl(f"/OSD/read?token={token}", *RAW, "-r", "20-29") == (206, content[10:20])
    assert await curl(f"/OSD/read?token={token}", *RAW, "-r", "100000-999999") == (206, content[-10:])
    assert (await curl(f"/OSD/read?token={token}", *RAW, "-r", "100010-100011"))[0] == 416
    status, answer = await curl(whole)
    assert msgspec.json.decode(answer, type=bytes) == bytes(10) + content


@pytest.mark.parametrize("asked", ["bytes=5-", "bytes=-5", "bytes=9-5", "bytes=0-1,5-6", "lines=1-2", "bytes=x-y"])
async def test_a_range_that_is_none_is_refused(curl: Curl, mrc: Credential, asked: str) -> None:
    token = await present(curl, mrc)
    status, answer = await curl(f"/OSD/read?token={token}", *RAW, "-H", f"Range: {asked}")
    assert (status, msgspec.json.decode(answer)["code"]) == (400, "dixi.bad-arguments")


async def test_a_raw_body_where_none_is_taken_is_refused(curl: Curl) -> None:
    status, answer = await curl("/OSD/health", "-H", "Content-Type: application/octet-stream", "-d", "x")
    assert (status, msgspec.json.decode(answer)["code"]) == (400, "dixi.bad-arguments")


async def test_raw_bodies_are_described(curl: Curl) -> None:
    _, answer = await curl("/openapi.json")
    paths = msgspec.json.decode(answer)["paths"]
    assert "application/octet-stream" in paths["/OSD/read"]["get"]["responses"]["200"]["content"]
    assert "application/octet-stream" in paths["/OSD/write"]["post"]["requestBody"]["content"]
    assert "application/octet-stream" not in paths["/OSD/health"]["get"]["responses"]["200"]["content"]

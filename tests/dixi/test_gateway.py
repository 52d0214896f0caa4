# SPDX-License-Identifier: BSD-3-Clause
"""Whatever comes to the gateway's HTTP side gets a status, a code and a hint; the gateway lives on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from support.dixi import Grid, Serve, Server, dial, until
from xos.common.tls import Credential, client_context
from xos.dixi.frames import MAX_FRAME
from xos.dixi.transports import https

JSON = "Content-Type: application/json"


@contextlib.asynccontextmanager
async def browser(
    server: Server, grid: Grid, credential: Credential | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = client_context(credential, grid.trust, alpn=["http/1.1"])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port, ssl=context, server_hostname="")
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(server: Server, grid: Grid, line: str, *headers: str, body: bytes = b"") -> tuple[int, str, str]:
    """Status, error code and the Retry-After header."""
    async with browser(server, grid, grid.user) as (reader, writer):
        length = [f"Content-Length: {len(body)}"] if body else []
        text = "\r\n".join([f"{line} HTTP/1.1", "Host: x", "Connection: close", *headers, *length, "", ""])
        writer.write(text.encode() + body)
        answer = await reader.read()
    head, _, content = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    after = next((line.partition(": ")[2] for line in lines if line.lower().startswith("retry-after")), "")
    with contextlib.suppress(ValueError):
        found = json.loads(content)
        return int(lines[0].split()[1]), found.get("code", "") if isinstance(found, dict) else "", after
    return int(lines[0].split()[1]), "", after


@pytest.mark.parametrize(("line", "headers", "body", "status", "code"), [
    ("GET /Probe/nothing", (), b"", 404, "dixi.unknown-method"),
    ("GET /Nobody/echo", (), b"", 404, "dixi.unknown-service"),
    ("GET /../../etc/passwd", (), b"", 404, "dixi.unknown-service"),
    ("GET /Probe/whoami", (), b"", 403, "dixi.not-allowed"),
    ("PUT /Probe/echo", (), b"{}", 403, "dixi.not-allowed"),
    ("POST /Probe/echo", (JSON,), b"{", 400, "dixi.bad-arguments"),
    ("POST /Probe/echo", (JSON,), b"[]", 400, "dixi.bad-arguments"),
    ("POST /Probe/echo", (JSON,), b'{"data": 7}', 400, "dixi.bad-arguments"),
    ("POST /Probe/echo", (JSON,), b'{"data": "", "more": 1}', 400, "dixi.bad-arguments"),
    ("POST /Probe/echo", (JSON,), b"\xff\xfe", 400, "dixi.bad-arguments"),
    ("POST /Probe/echo", (JSON,), b"[" * 100_000, 400, "dixi.bad-arguments"),
    ("POST /Probe/echo", ("Content-Type: text/plain",), b"{}", 400, "dixi.bad-arguments"),
    ("POST /Probe/hold", (JSON, "XOS-Deadline: soon"), b"{}", 400, "dixi.bad-arguments"),
    ("POST /Probe/hold", (JSON, "XOS-Deadline: 0.05"), b"{}", 504, "dixi.deadline"),
    ("POST /Probe/crash", (JSON,), b"{}", 500, "xos.internal"),
    ("POST /Probe/fail", (JSON,), b'{"what": "tea"}', 409, "test.refused"),
    ("GET /Probe/count?upto=many", (), b"", 400, "dixi.bad-arguments"),
])  # fmt: skip
async def test_a_bad_request_is_told_apart_by_status_and_code(
    serve: Serve, grid: Grid, line: str, headers: tuple[str, ...], body: bytes, status: int, code: str
) -> None:
    async with serve("https") as server:
        assert (await ask(server, grid, line, *headers, body=body))[:2] == (status, code)
        async with dial(server, grid) as channel:
            assert await channel.call("Probe.echo", (b"alive",), bytes, deadline=5.0) == b"alive"


async def test_a_body_over_the_limit_is_refused_before_it_is_all_read(serve: Serve, grid: Grid) -> None:
    async with serve("https") as server:
        status, code, _ = await ask(server, grid, "POST /Probe/echo", JSON, body=b" " * (MAX_FRAME + 1))
    assert (status, code) == (400, "dixi.bad-arguments")


async def test_an_overloaded_service_says_when_to_come_back(serve: Serve, grid: Grid) -> None:
    async with serve("https", limit=1, queue=0) as server, dial(server, grid) as channel:
        holding = asyncio.create_task(channel.call("Probe.hold", (), str))
        await until(lambda: server.stage.running == 1)
        status, code, after = await ask(server, grid, "GET /Probe/echo?data=", JSON)
        server.probe.opened.set()
        await holding
    assert (status, code) == (503, "dixi.overloaded")
    assert int(after) >= 1


async def test_garbage_and_endless_headers_are_answered_with_a_status(serve: Serve, grid: Grid) -> None:
    async with serve("https") as server:
        for garbage in (b"\x00\xff\n\n", b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n"):
            async with browser(server, grid, grid.user) as (reader, writer):
                writer.write(garbage)
                assert (await asyncio.wait_for(reader.read(), 5)).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))


async def test_half_a_request_is_given_up_in_time(serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "IDLE_SECONDS", 0.1)
    async with serve("https") as server, browser(server, grid) as (reader, writer):
        writer.write(b"GET / HT")
        await until(lambda: server.listener.connections == 1)
        for _ in range(2):
            server.listener.tend(asyncio.get_running_loop().time())
            await asyncio.sleep(0.15)
        assert await asyncio.wait_for(reader.read(), 5) == b""


PAGE = "https://page.example"


async def _heads(server: Server, grid: Grid, line: str, *headers: str, body: bytes = b"") -> dict[str, str]:
    """The headers of the answer, ``status`` among them."""
    async with browser(server, grid, None) as (reader, writer):
        text = "\r\n".join([f"{line} HTTP/1.1", "Host: x", "Connection: close", *headers])
        writer.write(f"{text}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return {"status": first.split()[1], **dict(line.lower().split(": ", 1) for line in lines)}


async def test_a_page_of_a_known_site_may_call_with_its_readers_certificate(serve: Serve, grid: Grid) -> None:
    async with serve("https", origins=frozenset({PAGE})) as server:
        asked = await _heads(
            server, grid, "OPTIONS /Probe/anybody", f"Origin: {PAGE}", "Access-Control-Request-Method: POST"
        )
        assert asked["status"] == "204"
        assert asked["access-control-allow-origin"] == PAGE
        assert "content-type" in asked["access-control-allow-headers"]
        told = await _heads(server, grid, "POST /Probe/anybody", f"Origin: {PAGE}", JSON, body=b"{}")
        assert (told["status"], told["access-control-allow-credentials"]) == ("200", "true")
        refused = await _heads(server, grid, "POST /Probe/whoami", f"Origin: {PAGE}", JSON, body=b"{}")
        assert refused["status"] == "401"
        assert refused["access-control-allow-origin"] == PAGE, "the page can show why"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://page.example:444", "null", f"{PAGE}.evil.example"])
async def test_a_page_of_any_other_site_is_told_no(origin: str, serve: Serve, grid: Grid) -> None:
    async with serve("https", origins=frozenset({PAGE})) as server:
        asked = await _heads(server, grid, "OPTIONS /Probe/anybody", f"Origin: {origin}")
        told = await _heads(server, grid, "POST /Probe/anybody", f"Origin: {origin}", JSON, body=b"{}")
    assert asked["status"] == "403"
    assert not any(name.startswith("access-control") for name in (*asked, *told))

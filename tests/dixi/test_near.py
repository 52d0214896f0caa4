# SPDX-License-Identifier: BSD-3-Clause
"""Between programs of one machine, frames go over a Unix socket once TLS has shown who they are."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.dixi import Grid, Serve, dial, make_grid, serving, until
from xos.common.errors import CertificateRevoked
from xos.dixi import frames
from xos.dixi.channel import NEARER_AFTER, Channel
from xos.dixi.connection import Connection
from xos.dixi.errors import BadFrame
from xos.dixi.transports import Address, Endpoint, doors, near


def path_of(link: Any) -> Connection | None:
    """The TLS connection over which a near one was agreed upon."""
    after: Connection | None = link._after
    return after


async def come_near(channel: Channel) -> Connection:
    """Call until the channel has gone over to the Unix socket."""
    for number in range(NEARER_AFTER + 1):
        assert await channel.call("Probe.echo", (b"%d" % number,), bytes) == b"%d" % number
    await until(lambda: channel._link is not None and path_of(channel._link) is not None, 15.0)
    link = await channel.connected(5.0)
    assert isinstance(link, Connection)
    return link


async def place(channel: Channel) -> frames.Place:
    link = await channel.connected(5.0)
    assert isinstance(link, Connection)
    assert link.here is not None
    return await link.approach(link.here)


@contextlib.asynccontextmanager
async def knock(name: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    sock.connect(f"\0{name}")
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes but the end."""
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def test_after_some_calls_a_channel_goes_over_to_a_unix_socket_and_is_the_same_caller(
    serve: Serve, grid: Grid
) -> None:
    async with serve() as server, dial(server, grid) as channel:
        before = await channel.call("Probe.whoami", (), str)
        link = await come_near(channel)
        assert link.peer.name == "node1"
        assert await channel.call("Probe.whoami", (), str) == before
        assert server.listener.connections == 2


@pytest.mark.parametrize("size", [0, 65_535, 65_536, (1 << 20) + 7, 9 << 20])
async def test_what_is_sent_near_arrives_as_it_was(serve: Serve, grid: Grid, size: int) -> None:
    async with serve() as server, dial(server, grid) as channel:
        await come_near(channel)
        content = os.urandom(size)
        for sent in (content, bytearray(content), memoryview(content)):
            assert await channel.call("Probe.echo", (sent,), bytes) == content
        answers = await asyncio.gather(
            *(channel.call("Probe.echo", (content[:n],), bytes) for n in range(0, size, 1 << 20))
        )
        assert [len(answer) for answer in answers] == list(range(0, size, 1 << 20))


async def test_streams_deadlines_and_call_backs_work_near(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        await come_near(channel)
        assert [item async for item in channel.stream("Probe.count", (200,), int)] == list(range(200))
        with pytest.raises(Exception, match="hold"):
            await channel.call("Probe.hold", (), str, deadline=0.05)
        await until(lambda: server.probe.cancelled >= 1, 15.0)


async def test_a_call_that_is_under_way_ends_on_the_connection_that_it_began_on(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        held = asyncio.ensure_future(channel.call("Probe.hold", (), str))
        await come_near(channel)
        server.probe.opened.set()
        assert await held == "opened"


async def test_whoever_is_revoked_is_heard_no_more_near_either() -> None:
    grid = make_grid()
    async with serving(grid) as server, dial(server, grid) as channel:
        await come_near(channel)
        user = grid.user.identity
        grid.trust.set_crl(grid.ca.crl([(user.serial, user.not_before)], 1, 3600))
        with pytest.raises(CertificateRevoked):
            await channel.call("Probe.echo", (b"x",), bytes)


async def test_a_channel_whose_near_connection_is_lost_makes_a_new_one(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        link = await come_near(channel)
        link.close()
        await until(lambda: link.closed, 15.0)
        await come_near(channel)


async def test_a_draining_daemon_says_so_near_too(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        link = await come_near(channel)
        await channel.call("Probe.echo", (b"x",), bytes)  # the server has seen the ticket
        server.listener.goodbye("node1")
        await until(lambda: channel._link is not link, 15.0)


async def test_whose_address_is_another_on_the_way_is_offered_no_place(serve: Serve, grid: Grid) -> None:
    async with serve() as server, relay(server.address) as between:
        channel = Channel(between, _endpoint(grid), node="node1")
        try:
            assert (await place(channel)).name == ""
            for _ in range(2 * NEARER_AFTER):
                assert await channel.call("Probe.echo", (b"x",), bytes) == b"x"
            assert path_of(await channel.connected(5.0)) is None
        finally:
            channel.close()


async def test_where_no_unix_socket_may_be_made_all_goes_on_over_tls(
    serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "_socket", Unbindable)
    async with serve() as server, dial(server, grid) as channel:
        assert (await place(channel)).name == ""
        for _ in range(2 * NEARER_AFTER):
            assert await channel.call("Probe.echo", (b"x",), bytes) == b"x"


async def test_a_connection_has_one_near_at_a_time(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        far = await channel.connected(5.0)
        await come_near(channel)
        assert isinstance(far, Connection)
        assert (await far.approach(far.here or "")).name == ""


@pytest.mark.parametrize("shown", [b"", b"short", bytes(doors.TICKET_BYTES), 200 * b"x"])
async def test_who_has_no_ticket_is_shown_out(
    serve: Serve, grid: Grid, shown: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "TICKET_SECONDS", 0.3)
    async with serve() as server, dial(server, grid) as channel:
        offered = await place(channel)
        async with knock(offered.name) as (reader, writer):
            writer.write(shown)
            assert await ends(reader)
        assert await channel.call("Probe.echo", (b"alive",), bytes) == b"alive"


async def test_a_ticket_is_good_once(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        offered = await place(channel)
        async with knock(offered.name) as (reader, writer):
            writer.write(offered.ticket + frames.pack(frames.Ping(7)))
            async with asyncio.timeout(10):
                (size,) = frames.HEADER.unpack(await reader.readexactly(frames.HEADER.size))
                assert frames.unpack(await reader.readexactly(size)) == frames.Pong(7)
            async with knock(offered.name) as (second, again):
                again.write(offered.ticket)
                assert await ends(second)


async def test_a_ticket_that_nobody_shows_is_forgotten(
    serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "TICKET_SECONDS", 0.05)
    async with serve() as server, dial(server, grid) as channel:
        offered = await place(channel)
        door = server.listener._near  # type: ignore[attr-defined]
        await until(lambda: not door._tickets, 15.0)
        async with knock(offered.name) as (reader, writer):
            writer.write(offered.ticket)
            assert await ends(reader)


async def test_nonsense_after_the_ticket_is_named_and_ends_only_that_connection(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        offered = await place(channel)
        async with knock(offered.name) as (reader, writer):
            writer.write(offered.ticket + frames.HEADER.pack(frames.MAX_FRAME + 1) + b"x")
            async with asyncio.timeout(10):
                (size,) = frames.HEADER.unpack(await reader.readexactly(frames.HEADER.size))
                told = frames.unpack(await reader.readexactly(size))
            assert isinstance(told, frames.Failure)
            assert told.fault.code == BadFrame.code
        assert await channel.call("Probe.echo", (b"alive",), bytes) == b"alive"


async def test_a_crowd_of_strangers_is_bounded(serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MOST_STRANGERS", 3)
    async with serve() as server, dial(server, grid) as channel:
        offered = await place(channel)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(knock(offered.name))
            door = server.listener._near  # type: ignore[attr-defined]
            await until(lambda: len(door._strangers) == 3, 15.0)
            async with knock(offered.name) as (reader, _):
                assert await ends(reader)
        await until(lambda: not door._strangers, 15.0)


async def test_a_server_that_another_account_pretends_to_be_is_not_believed(
    serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    async with serve() as server, dial(server, grid) as channel:
        for _ in range(2 * NEARER_AFTER):
            assert await channel.call("Probe.echo", (b"x",), bytes) == b"x"
        looking = channel._looking
        assert looking is not None
        async with asyncio.timeout(10):
            await looking
        assert path_of(await channel.connected(5.0)) is None


class Unbindable(socket.socket):
    """As a sandbox makes them."""

    def bind(self, address: Any, /) -> None:
        raise PermissionError(errno.EACCES, f"no {address!r} here")


def _endpoint(grid: Grid) -> Endpoint:
    return Endpoint(grid.trust, grid.user)


@contextlib.asynccontextmanager
async def relay(target: Address) -> AsyncIterator[Address]:
    """Something between client and server that carries bytes."""

    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, out = await asyncio.open_connection(target.host, target.port)
        carrying.add(asyncio.create_task(_pour(reader, out)))
        carrying.add(asyncio.create_task(_pour(onward, writer)))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield Address(host, port)
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*carrying)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()

# SPDX-License-Identifier: BSD-3-Clause
"""Where both ends trust the network, marked methods go over plain TCP, and nothing is believed there for that."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from support.dixi import Server, dial, make_grid, serving, until
from xos.common.errors import CertificateRevoked
from xos.dixi import frames
from xos.dixi.api import call, service
from xos.dixi.channel import NEARER_AFTER, Channel
from xos.dixi.configuration import BadSetting, check_plain
from xos.dixi.connection import Connection
from xos.dixi.dispatch import Dispatcher, signatures
from xos.dixi.errors import BadService, UnknownMethod
from xos.dixi.sealing import Seal
from xos.dixi.transports import Address, doors, near
from xos.dixi.transports.plaintcp import PlainDoor
from xos.dixi.trusted import Plain, Trusted

HERE = Trusted.of(Plain(networks=("127.0.0.0/30",)))
OTHERS = Trusted.of(Plain(networks=("192.0.2.0/24",)))
MARK = b"what everybody there may read"


class Unbindable(socket.socket):
    """So that there is no Unix socket to meet at, as between two machines."""

    def bind(self, address: Any, /) -> None:
        raise PermissionError(errno.EACCES, f"no {address!r} here")


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_socket", Unbindable)


def door_of(server: Server) -> PlainDoor:
    door = server.listener._plain  # type: ignore[attr-defined]
    assert isinstance(door, PlainDoor)
    return door


def beside(channel: Channel) -> Connection | None:
    way = channel._beside
    return way.link if way is not None else None  # type: ignore[return-value]


async def look(channel: Channel) -> None:
    """Call until the channel has asked whether there is another way."""
    for number in range(NEARER_AFTER + 1):
        assert await channel.call("Probe.echo", (b"%d" % number,), bytes) == b"%d" % number
    looking = channel._looking
    assert looking is not None
    async with asyncio.timeout(15):
        await looking


async def come_beside(channel: Channel) -> Connection:
    await look(channel)
    link = beside(channel)
    assert link is not None
    return link


async def place(channel: Channel) -> frames.Place:
    link = await channel.connected(5.0)
    assert isinstance(link, Connection)
    return await link.approach("", plain=True)


@contextlib.asynccontextmanager
async def trusting() -> AsyncIterator[tuple[Server, Channel]]:
    grid = make_grid()
    async with serving(grid, trusted=HERE) as server, dial(server, grid, trusted=HERE) as channel:
        yield server, channel


@contextlib.asynccontextmanager
async def knock(
    at: frames.Place, ours: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = Address.parse(at.address)
    reader, writer = await asyncio.open_connection(address.host, address.port, local_addr=(ours, 0))
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


def at(sock: Any) -> str:
    return f"127.0.0.1:{sock.getsockname()[1]}"


class Between:
    """Somebody on the network: hears what goes over it, and may change it."""

    def __init__(self, target: Address, change: Callable[[bytes, bool], bytes]) -> None:
        """*change*: what becomes of bytes; True: those to the server."""
        self._target, self._change = target, change
        self.heard = bytearray()
        self._carrying: set[asyncio.Task[None]] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, out = await asyncio.open_connection(self._target.host, self._target.port)
        for source, sink, to_server in ((reader, out, True), (onward, writer, False)):
            self._carrying.add(asyncio.create_task(self._pour(source, sink, to_server)))

    async def _pour(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_server: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.heard += data
                writer.write(self._change(data, to_server))
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def done(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self._carrying)


@contextlib.asynccontextmanager
async def tapped(server: Server, change: Callable[[bytes, bool], bytes] | None = None) -> AsyncIterator[Between]:
    """Somebody is between from now on."""
    door = door_of(server)
    between = Between(Address.parse(door._place), change or (lambda data, _: data))
    listener = await asyncio.start_server(between.carry, "127.0.0.1", 0)
    door._place = at(listener.sockets[0])
    try:
        yield between
    finally:
        listener.close()
        await between.done()


async def test_marked_methods_go_over_plain_tcp_and_no_others() -> None:
    grid = make_grid()
    async with (
        serving(grid, trusted=HERE) as server,
        tapped(server) as between,
        dial(server, grid, trusted=HERE) as channel,
    ):
        before = await channel.call("Probe.whoami", (), str)
        link = await come_beside(channel)
        assert link.peer.name == "node1"
        assert await channel.call("Probe.echo", (MARK,), bytes) == MARK
        assert between.heard.count(MARK) == 2  # there and back
        assert await channel.call("Probe.whoami", (), str) == before
        assert [item async for item in channel.stream("Probe.count", (5,), int)] == list(range(5))
        assert b"whoami" not in between.heard
        assert b"count" not in between.heard


async def test_who_calls_there_is_who_tls_has_proved_them_to_be() -> None:
    async with trusting() as (server, channel):
        await come_beside(channel)
        peers = {str(each.peer) for each in server.listener._connections}  # type: ignore[attr-defined]
        assert len(server.listener._connections) == 2  # type: ignore[attr-defined]
        assert len(peers) == 1


@pytest.mark.parametrize("size", [0, 65_535, 65_536, (1 << 20) + 7, 9 << 20])
async def test_what_is_sent_there_arrives_as_it_was(size: int) -> None:
    async with trusting() as (_, channel):
        link = await come_beside(channel)
        content = os.urandom(size)
        for sent in (content, bytearray(content), memoryview(content)):
            assert await channel.call("Probe.echo", (sent,), bytes) == content
        answers = await asyncio.gather(
            *(channel.call("Probe.echo", (content[:n],), bytes) for n in range(0, size, 1 << 20))
        )
        assert [len(answer) for answer in answers] == list(range(0, size, 1 << 20))
        assert beside(channel) is link


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Trusted(), HERE), (HERE, Trusted()), (OTHERS, HERE), (HERE, OTHERS), (Trusted(), Trusted())],
)
async def test_it_takes_both_ends_to_trust_the_network(ours: Trusted, theirs: Trusted) -> None:
    grid = make_grid()
    async with serving(grid, trusted=theirs) as server, dial(server, grid, trusted=ours) as channel:
        await look(channel)
        assert beside(channel) is None
        assert await channel.call("Probe.echo", (MARK,), bytes) == MARK


async def test_where_the_port_cannot_be_reached_all_goes_on_over_tls() -> None:
    async with trusting() as (server, channel):
        refused = socket.socket()
        refused.bind(("127.0.0.1", 0))
        door_of(server)._place = at(refused)
        await look(channel)
        assert beside(channel) is None
        assert await channel.call("Probe.echo", (MARK,), bytes) == MARK
        refused.close()


@pytest.mark.parametrize("shown", [b"", b"short", bytes(doors.TICKET_BYTES), 200 * b"x", b"\x16\x03\x01" * 40])
async def test_who_has_no_ticket_is_shown_out(shown: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "TICKET_SECONDS", 0.3)
    async with trusting() as (_, channel):
        async with knock(await place(channel)) as (reader, writer):
            writer.write(shown)
            assert await ends(reader)
        assert await channel.call("Probe.echo", (b"alive",), bytes) == b"alive"


async def test_nonsense_of_any_kind_ends_only_the_connection_that_it_came_on() -> None:
    chance = random.Random(6)
    async with trusting() as (server, channel):
        for _ in range(60):
            offered = await place(channel)
            cut = chance.randrange(doors.TICKET_BYTES + 1)
            hello = offered.ticket[:cut] + chance.randbytes(chance.randrange(200))
            async with knock(offered) as (reader, writer):
                writer.write(hello)
                writer.write_eof()
                assert await ends(reader)
        await until(lambda: not door_of(server)._strangers and server.listener.connections == 1)
        assert await channel.call("Probe.echo", (b"alive",), bytes) == b"alive"


async def test_a_stolen_ticket_is_worth_nothing_without_the_key() -> None:
    async with trusting() as (server, channel):
        offered = await place(channel)
        async with knock(offered) as (reader, writer):
            writer.write(offered.ticket)
            writer.writelines(frames.pack_request(1, "Probe.echo", (b"thief",), 0))
            assert await ends(reader)
        assert server.probe.calls == 0
        await until(lambda: server.listener.connections == 1)
        await come_beside(channel)


async def test_a_ticket_is_good_once() -> None:
    async with trusting() as (_, channel):
        offered = await place(channel)
        async with knock(offered) as (_, writer), knock(offered) as (second, again):
            writer.write(offered.ticket)
            await writer.drain()
            await asyncio.sleep(0.05)
            again.write(offered.ticket)
            assert await ends(second)


async def test_a_ticket_that_is_late_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "TICKET_SECONDS", 0.05)
    async with trusting() as (server, channel):
        offered = await place(channel)
        await until(lambda: not door_of(server)._tickets)
        async with knock(offered) as (reader, writer):
            writer.write(offered.ticket)
            assert await ends(reader)


async def test_a_ticket_is_refused_from_outside_of_the_network() -> None:
    async with trusting() as (server, channel):
        offered = await place(channel)
        async with knock(offered, "127.0.0.9") as (reader, writer):
            writer.write(offered.ticket)
            assert await ends(reader)
        assert server.listener.connections == 1


async def test_a_later_ticket_takes_the_place_of_an_earlier_one() -> None:
    async with trusting() as (server, channel):
        offered = [await place(channel) for _ in range(3 * doors.MOST_TICKETS)]
        assert all(each.ticket for each in offered)
        assert len(door_of(server)._tickets) == 1
        async with knock(offered[0]) as (reader, writer):
            writer.write(offered[0].ticket)
            assert await ends(reader)


async def test_a_crowd_of_strangers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MOST_STRANGERS", 3)
    async with trusting() as (server, channel):
        offered = await place(channel)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(knock(offered))
            await until(lambda: len(door_of(server)._strangers) == 3)
            async with knock(offered) as (reader, _):
                assert await ends(reader)
        await until(lambda: not door_of(server)._strangers)


@pytest.mark.parametrize("to_server", [True, False])
@pytest.mark.parametrize("size", [20, 300_000])
@pytest.mark.parametrize("how", ["a bit", "left out", "repeated"])
async def test_what_is_altered_on_the_way_is_noticed_and_goes_over_tls(to_server: bool, size: int, how: str) -> None:
    grid = make_grid()
    begun = False

    def change(data: bytes, way: bool) -> bytes:
        nonlocal begun
        if not begun or way is not to_server:
            return data
        begun = False
        if how == "a bit":
            middle = len(data) // 2
            return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]
        return b"" if how == "left out" else data + data

    async with (
        serving(grid, trusted=HERE) as server,
        tapped(server, change),
        dial(server, grid, trusted=HERE) as channel,
    ):
        link = await come_beside(channel)
        begun = True
        for _ in range(4):
            # Where a length was left out these bytes are taken for it, and it is too long; others might be waited for.
            content = b"\xff" * size
            asked = channel.call("Probe.echo", (content,), bytes, deadline=10.0, retry=True)
            if how == "left out":  # the frames that follow it show that something is missing
                more = channel.call("Probe.echo", (content,), bytes, deadline=10.0, retry=True)
                assert list(await asyncio.gather(asked, more)) == [content, content]
            else:
                assert await asked == content
        assert link.closed
        assert beside(channel) is None


async def test_who_cannot_prove_to_have_the_key_is_not_believed_to_be_the_server() -> None:
    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(doors.TICKET_BYTES)
        for piece in Seal(bytes(32), accepted=True).close((frames.pack(frames.Place("", b"", -1)),)):
            writer.write(piece)
        await reader.read()
        writer.close()

    async with trusting() as (server, channel):
        pretender = await asyncio.start_server(pretend, "127.0.0.1", 0)
        door_of(server)._place = at(pretender.sockets[0])
        await look(channel)
        assert beside(channel) is None
        assert await channel.call("Probe.echo", (MARK,), bytes) == MARK
        pretender.close()


async def test_a_method_that_is_not_marked_is_unknown_there() -> None:
    async with trusting() as (_, channel):
        link = await come_beside(channel)
        with pytest.raises(UnknownMethod):
            await link.call("Probe.whoami", (), str)


async def test_whoever_is_revoked_is_heard_no_more_there_either() -> None:
    grid = make_grid()
    async with serving(grid, trusted=HERE) as server, dial(server, grid, trusted=HERE) as channel:
        link = await come_beside(channel)
        user = grid.user.identity
        grid.trust.set_crl(grid.ca.crl([(user.serial, user.not_before)], 1, 3600))
        with pytest.raises(CertificateRevoked):
            await link.call("Probe.echo", (b"x",), bytes)


async def test_a_channel_goes_on_over_tls_when_the_other_way_is_lost_and_asks_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xos.dixi.channel.AGAIN_AFTER", 16)
    async with trusting() as (_, channel):
        link = await come_beside(channel)
        link.close()
        await until(lambda: link.closed)
        for _ in range(8):
            assert await channel.call("Probe.echo", (b"x",), bytes) == b"x"
        assert beside(channel) is None
        for _ in range(16):
            assert await channel.call("Probe.echo", (b"x",), bytes) == b"x"
        await until(lambda: beside(channel) is not None)


async def test_the_other_way_does_not_outlive_the_connection_that_it_was_agreed_upon_over() -> None:
    async with trusting() as (server, channel):
        link = await come_beside(channel)
        tls = await channel.connected(5.0)
        tls.close()
        await until(lambda: tls.closed)
        assert await channel.call("Probe.echo", (b"x",), bytes) == b"x"
        await until(lambda: link.closed and server.listener.connections == 1)
        await come_beside(channel)


async def test_a_draining_daemon_says_so_there_too() -> None:
    async with trusting() as (server, channel):
        await come_beside(channel)
        server.listener.goodbye("node1")
        await until(lambda: beside(channel) is None)


@pytest.mark.parametrize(
    ("plain", "key"),
    [
        (Plain(networks=("10.0.0.0/33",)), "plain.networks"),
        (Plain(networks=("10.0.0.1/24",)), "plain.networks"),
        (Plain(networks=("everybody",)), "plain.networks"),
        (Plain(networks=("0.0.0.0/0",)), "plain.networks"),
        (Plain(networks=("::/0",)), "plain.networks"),
        (Plain(networks=("10.0.0.0/8",), address="here"), "plain.address"),
        (Plain(address="10.0.0.1:6744"), "plain.address"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(plain: Plain, key: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as raised:
        check_plain(plain, tmp_path / "dixid.toml")
    assert key in raised.value.message


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("10.1.0.7", True),
        ("10.2.0.7", False),
        ("::ffff:10.1.0.7", True),
        ("fd00::7", True),
        ("fd01::7", False),
        ("", False),
        ("name", False),
    ],
)
def test_an_address_is_in_a_network_however_it_is_written(host: str, inside: bool) -> None:
    assert Trusted.of(Plain(networks=("10.1.0.0/16", "fd00::/64"))).holds(host) is inside


def test_a_method_that_cannot_be_repeated_is_not_plain() -> None:
    @service
    class Wrong:
        @call(plain=True)
        async def once(self) -> None:
            """Changes something."""

    with pytest.raises(BadService, match="idempotent"):
        signatures(Wrong)


def test_nothing_is_plain_that_is_not_marked() -> None:
    assert list(Dispatcher().plain) == []

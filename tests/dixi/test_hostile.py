# SPDX-License-Identifier: BSD-3-Clause
"""Whatever comes over the wire, the daemon says what was wrong and lives on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.dixi import Grid, Serve, Server, dial, make_grid, serving, until
from xos.common.authority import Authority
from xos.common.errors import CertificateExpired, CertificateForeign, CertificateRevoked, XosError
from xos.common.tls import Credential, client_context
from xos.dixi import connection as connection_module
from xos.dixi import frames
from xos.dixi.channel import Channel
from xos.dixi.errors import BadFrame, NoCertificate, WrongPeer
from xos.dixi.transports import Endpoint

HEADER = frames.HEADER


@contextlib.asynccontextmanager
async def raw(server: Server, grid: Grid) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """TLS as alice, and then whatever the test writes."""
    context = client_context(grid.user, grid.trust, alpn=[frames.ALPN])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port, ssl=context, server_hostname="")
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def told(reader: asyncio.StreamReader) -> frames.Frame:
    (size,) = HEADER.unpack(await reader.readexactly(HEADER.size))
    return frames.unpack(await reader.readexactly(size))


async def alive(server: Server, grid: Grid) -> None:
    async with dial(server, grid) as channel:
        assert await channel.call("Probe.echo", (b"alive",), bytes, deadline=5.0) == b"alive"


@pytest.mark.parametrize(
    "sent",
    [
        HEADER.pack(0xFFFFFFFF),
        HEADER.pack(frames.MAX_FRAME + 1) + b"x",
        HEADER.pack(4) + b"\xc1\xc1\xc1\xc1",
        HEADER.pack(1) + b"\x90",
        HEADER.pack(2) + b"\x91\x63",
        HEADER.pack(0),
        HEADER.pack(5000) + b"\x91" * 5000,
        frames.framed(frames.encode((1, "id", "Probe.echo", (), 0))),
        frames.framed(frames.encode((1, 1, "Probe.echo"))),
    ],
    ids=["4 GiB", "over the limit", "not msgpack", "empty array", "unknown kind", "empty", "nested", "types", "short"],
)
async def test_a_bad_frame_is_named_and_ends_only_its_connection(serve: Serve, grid: Grid, sent: bytes) -> None:
    async with serve() as server:
        async with raw(server, grid) as (reader, writer):
            writer.write(sent)
            answer = await told(reader)
            assert isinstance(answer, frames.Failure)
            assert (answer.id, answer.fault.code) == (0, "dixi.bad-frame")
            assert await reader.read() == b""
        await alive(server, grid)


async def test_a_request_id_in_use_or_not_positive_is_refused(serve: Serve, grid: Grid) -> None:
    async with serve() as server, raw(server, grid) as (reader, writer):
        writer.writelines(frames.pack_request(1, "Probe.hold", (), 0) * 2)
        writer.writelines(frames.pack_request(0, "Probe.echo", (b"",), 0))
        for number in (1, 0):
            answer = await told(reader)
            assert isinstance(answer, frames.Failure)
            assert (answer.id, answer.fault.code) == (number, "dixi.bad-frame")


async def test_half_a_frame_is_given_up_in_time(serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SILENCE", 0.1)
    async with serve() as server, raw(server, grid) as (reader, writer):
        writer.write(HEADER.pack(100) + b"half")
        await until(lambda: server.listener.connections == 1)
        await asyncio.sleep(0.15)
        server.listener.tend(asyncio.get_running_loop().time())
        answer = await told(reader)
        assert isinstance(answer, frames.Failure)
        assert "half a frame" in answer.fault.message
        await until(lambda: server.listener.connections == 0)


async def test_a_silent_peer_is_asked_then_given_up(serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SILENCE", 0.1)
    async with serve() as server, raw(server, grid) as (reader, _):
        await until(lambda: server.listener.connections == 1)
        await asyncio.sleep(0.12)
        server.listener.tend(asyncio.get_running_loop().time())
        assert isinstance(await told(reader), frames.Ping)
        await asyncio.sleep(0.12)
        server.listener.tend(asyncio.get_running_loop().time())
        await until(lambda: server.listener.connections == 0)


async def test_a_peer_that_answers_pings_is_kept(serve: Serve, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "SILENCE", 0.1)
    async with serve() as server, dial(server, grid) as channel:
        await channel.call("Probe.echo", (b"",), bytes)
        for _ in range(5):
            await asyncio.sleep(0.12)
            server.listener.tend(asyncio.get_running_loop().time())
        assert server.listener.connections == 1


async def test_garbage_before_tls_is_dropped(serve: Serve, grid: Grid) -> None:
    async with serve() as server:
        for garbage in (b"GET / HTTP/1.0\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\x00"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
            writer.write(garbage)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5.0)
            writer.close()
        await alive(server, grid)


@pytest.mark.timeout(60)
async def test_a_thousand_connections_that_never_shake_hands_do_not_keep_others_out(serve: Serve, grid: Grid) -> None:
    async with serve() as server:
        idle = []
        for _ in range(1000):
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", server.address.port))
            idle.append(sock)
        try:
            await alive(server, grid)
        finally:
            for sock in idle:
                sock.close()


async def refusal(server: Server, grid: Grid, credential: Credential) -> XosError:
    with pytest.raises(XosError) as caught:
        async with dial(server, grid, credential) as channel:
            await channel.call("Probe.echo", (b"",), bytes, deadline=1.0)
    return caught.value


async def test_every_bad_certificate_is_refused_with_its_own_code(serve: Serve, grid: Grid) -> None:
    async with serve() as server:
        assert (await refusal(server, grid, grid.make_user(seconds=-10))).code == CertificateExpired.code
        foreign = grid.make_user(ca=Authority.create("Other CA", 1))
        assert (await refusal(server, grid, foreign)).code == CertificateForeign.code
        await alive(server, grid)


async def test_a_certificate_revoked_during_a_connection_ends_its_calls() -> None:
    grid = make_grid()
    async with serving(grid) as server, dial(server, grid) as channel:
        assert await channel.call("Probe.echo", (b"1",), bytes) == b"1"
        serial = grid.user.identity.serial
        grid.trust.set_crl(grid.ca.crl([(serial, grid.user.identity.not_before)], 1, 3600))
        with pytest.raises(CertificateRevoked):
            await channel.call("Probe.echo", (b"2",), bytes)


async def test_a_machine_cannot_pose_as_another(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid, node="node2") as channel:
        with pytest.raises(WrongPeer):
            await channel.call("Probe.echo", (b"",), bytes, deadline=1.0)


async def test_without_a_certificate_only_the_front_door_opens(serve: Serve, grid: Grid) -> None:
    async with serve(anonymous=True) as door:
        channel = Channel(door.address, Endpoint(grid.trust, None), node="node1")
        assert await channel.call("Probe.anybody", (), str) == "hello"
        with pytest.raises(NoCertificate):
            await channel.call("Probe.echo", (b"",), bytes)
        channel.close()
    async with serve() as server:
        channel = Channel(server.address, Endpoint(grid.trust, None), node="node1")
        with pytest.raises(XosError) as caught:
            await channel.call("Probe.anybody", (), str, deadline=1.0)
        assert caught.value.code == "cert.required"
        channel.close()
        await asyncio.sleep(0.05)


async def test_a_reader_that_does_not_read_costs_bounded_memory(serve: Serve, grid: Grid) -> None:
    async with serve(limit=1000, queue=1000) as server:
        async with raw(server, grid) as (_, writer):
            big = b"x" * 500_000
            for number in range(1, 200):
                writer.writelines(frames.pack_request(number, "Probe.echo", (big,), 0))
            await asyncio.sleep(0.5)
            # Far fewer than were sent: the server stopped reading when its answers were not read.
            assert server.probe.calls < 100
        await alive(server, grid)


@given(st.binary(max_size=200))
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_frame_or_a_bad_frame(body: bytes) -> None:
    with contextlib.suppress(BadFrame):
        frames.unpack(body)


@given(st.lists(st.binary(max_size=50), max_size=20), st.lists(st.integers(1, 60), max_size=40))
def test_frames_are_cut_the_same_however_the_bytes_arrive(bodies: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(frames.framed(body) for body in bodies)
    splitter, got, at = frames.Splitter(), [], 0
    for cut in [*cuts, len(whole)]:
        got += [bytes(body) for body in splitter.feed(whole[at : at + cut])]
        at += cut
    assert got == bodies
    assert not splitter.partial


sizes = st.sampled_from([0, 1, 5000, frames.LARGE - 1, frames.LARGE, frames.LARGE + 1, 3 * frames.LARGE])


@given(st.lists(sizes, max_size=5), st.lists(st.integers(1, 2 * frames.LARGE), max_size=20), st.booleans())
def test_large_frames_are_cut_the_same_whether_they_are_fed_or_put_in_place(
    lengths: list[int], cuts: list[int], fed: bool
) -> None:
    bodies = [bytes([number + 1]) * length for number, length in enumerate(lengths)]
    data = memoryview(b"".join(frames.framed(body) for body in bodies))
    splitter, got = frames.Splitter(), []
    for cut in [*cuts, *[len(data) or 1] * 20]:
        room = None if fed else splitter.room()
        if room is None:
            got += [bytes(body) for body in splitter.feed(bytes(data[:cut]))]
            data = data[cut:]
            continue
        count = min(len(room), cut, len(data))
        room[:count] = data[:count]
        room.release()
        if (body := splitter.filled(count)) is not None:
            got.append(bytes(body))
        data = data[count:]
    assert got == bodies
    assert not splitter.partial


def test_a_large_frame_gets_no_more_memory_than_a_few_times_what_came_of_it() -> None:
    splitter = frames.Splitter()
    splitter.feed(frames.HEADER.pack(frames.MAX_FRAME) + bytes(1000))
    room = splitter.room()
    assert room is not None
    assert len(room) < 8 * 1000


@pytest.mark.parametrize("size", [frames.LARGE, 1 << 20])
def test_bulk_data_is_packed_as_msgpack_would(size: int) -> None:
    data = bytes(range(256)) * (size // 256)
    for args in ((data,), (1, data, "x", data), ("x", 5)):
        packed = b"".join(frames.pack_request(7, "A.b", args, 9))
        assert msgspec.msgpack.decode(packed[4:]) == [1, 7, "A.b", list(args), 9]
        assert len(packed) == 4 + int.from_bytes(packed[:4])
    assert msgspec.msgpack.decode(b"".join(frames.pack_result(7, data))[4:]) == [2, 7, data]
    with pytest.raises(BadFrame):
        frames.pack_result(7, bytes(frames.MAX_FRAME))

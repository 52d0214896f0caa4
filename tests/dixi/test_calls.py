# SPDX-License-Identifier: BSD-3-Clause
"""What a caller may rely on, whichever transport carries the call."""

from __future__ import annotations

import asyncio

import pytest

from support.dixi import Grid, Point, Refused, Serve, dial, until
from xos.common.errors import InternalError
from xos.dixi.api import call, service
from xos.dixi.builtin import Pong, ServiceInfo, ServiceStats
from xos.dixi.description import ServiceDescription
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import (
    BadArguments,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    NotAllowed,
    NotConnected,
    Overloaded,
    UnknownMethod,
    UnknownService,
)
from xos.dixi.stage import Stage

BOTH = pytest.mark.parametrize("kind", ["dixi", "https"])


@BOTH
async def test_a_call_returns_what_the_method_returns(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        assert await channel.call("Probe.echo", (b"\x00\xff" * 1000,), bytes) == b"\x00\xff" * 1000
        assert await channel.call("Probe.move", (Point(1, 2), 3), Point) == Point(4, 5)


@BOTH
async def test_arguments_with_defaults_may_be_left_out(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        assert await channel.call("Probe.move", (Point(1),), Point) == Point(2, 1)


@BOTH
async def test_the_service_knows_the_caller_by_certificate(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        assert await channel.call("Probe.whoami", (), str) == "alice@demo"


@BOTH
async def test_an_error_keeps_its_class_code_text_and_hint(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        with pytest.raises(Refused) as caught:
            await channel.call("Probe.fail", ("tea",), None)
    assert (caught.value.message, caught.value.next_step) == ("no tea today", "Come back tomorrow.")
    assert caught.value.data == {"what": "tea"}


@BOTH
async def test_a_bug_in_a_service_is_an_incident_and_the_daemon_lives(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        with pytest.raises(InternalError) as caught:
            await channel.call("Probe.crash", (), int)
        assert "ZeroDivision" not in caught.value.message
        assert await channel.call("Probe.echo", (b"still here",), bytes) == b"still here"


@BOTH
async def test_unknown_names_and_wrong_types_are_told_apart(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        with pytest.raises(UnknownService):
            await channel.call("Nobody.echo", (), None)
        with pytest.raises(UnknownMethod):
            await channel.call("Probe.nothing", (), None)
        with pytest.raises(BadArguments):
            await channel.call("Probe.echo", (7,), bytes)
        with pytest.raises(BadArguments):
            await channel.call("Probe.move", (), Point)


@BOTH
async def test_a_method_hears_only_the_kinds_of_caller_it_names(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server:
        async with dial(server, grid) as channel:
            with pytest.raises(NotAllowed):
                await channel.call("Probe.machines_only", (), str)
        async with dial(server, grid, grid.make_machine("node2")) as channel:
            assert await channel.call("Probe.machines_only", (), str) == "hello, machine"


@BOTH
async def test_a_deadline_ends_the_call_on_both_sides(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        with pytest.raises(DeadlineExceeded):
            await channel.call("Probe.hold", (), str, deadline=0.1)
        await until(lambda: server.stage.running == 0)
        assert (server.stage.running, server.probe.cancelled) == (0, 1)


@BOTH
async def test_a_cancelled_call_is_cancelled_at_the_service(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        task = asyncio.create_task(channel.call("Probe.hold", (), str))
        await until(lambda: server.stage.running > 0)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: server.stage.running == 0)
        assert server.probe.cancelled == 1


@BOTH
async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind, limit=2, queue=2) as server, dial(server, grid) as channel:
        holding = [asyncio.create_task(channel.call("Probe.hold", (), str)) for _ in range(4)]
        await until(lambda: server.stage.queued >= 2)
        link = await channel.connected(1.0)
        with pytest.raises(Overloaded) as caught:
            await link.call("Probe.echo", (b"",), bytes)
        assert caught.value.retry_after_ms is not None
        server.probe.opened.set()
        assert await asyncio.gather(*holding) == ["opened"] * 4


@BOTH
async def test_an_overloaded_call_is_tried_again_by_the_client(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind, limit=1, queue=0) as server, dial(server, grid) as channel:
        holding = asyncio.create_task(channel.call("Probe.hold", (), str))
        await until(lambda: server.stage.running > 0)
        asyncio.get_running_loop().call_later(0.1, server.probe.opened.set)
        assert await channel.call("Probe.echo", (b"patience",), bytes, deadline=10.0) == b"patience"
        await holding


@BOTH
async def test_calls_that_sleep_take_no_place(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind, limit=1, queue=0) as server, dial(server, grid) as channel:
        waiting = [asyncio.create_task(channel.call("Probe.wait", (), str)) for _ in range(20)]
        await until(lambda: server.stage.waiting >= 20)
        assert await channel.call("Probe.echo", (b"free",), bytes) == b"free"
        server.probe.opened.set()
        assert await asyncio.gather(*waiting) == ["opened"] * 20


@BOTH
async def test_a_stream_delivers_every_item_in_order(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        items = [item async for item in channel.stream("Probe.count", (1000,), int)]
    assert items == list(range(1000))


async def test_a_stream_goes_no_faster_than_it_is_read(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        items = channel.stream("Probe.count", (10**9,), int)
        assert [await anext(items) for _ in range(10)] == list(range(10))
        await asyncio.sleep(0.1)
        assert server.probe.calls <= 200
        await items.aclose()  # type: ignore[attr-defined]
        await until(lambda: server.stage.waiting == 0)
        assert server.probe.cancelled == 1


@BOTH
async def test_every_service_answers_the_standard_calls(serve: Serve, grid: Grid, kind: str) -> None:
    async with serve(kind) as server, dial(server, grid) as channel:
        await channel.call("Probe.echo", (b"",), bytes)
        pong: Pong = await channel.call("Probe.ping", (), Pong)
        info: ServiceInfo = await channel.call("Probe.info", (), ServiceInfo)
        stats: ServiceStats = await channel.call("Probe.stats", (), ServiceStats)
        described: ServiceDescription = await channel.call("Probe.describe", (), ServiceDescription)
    assert (pong.service, pong.node) == ("Probe", "node1")
    assert info.doc == "Answers, waits, fails and counts."
    assert [(m.method, m.calls) for m in stats.methods] == [("echo", 1)]
    assert "move" in [m.name for m in described.methods]


async def test_a_service_can_call_its_caller_back(serve: Serve, grid: Grid) -> None:
    @service
    class Ear:
        @call
        async def hear(self, text: str) -> str:
            return text.upper()

    dispatcher = Dispatcher()
    dispatcher.add(Ear(), Stage("Ear"))
    async with serve() as server, dial(server, grid, dispatcher=dispatcher) as channel:
        assert await channel.call("Probe.call_back", ("listen",), str) == "LISTEN"


async def test_answers_that_are_ready_together_come_back_to_the_right_calls(serve: Serve, grid: Grid) -> None:
    async with serve(limit=100) as server, dial(server, grid) as channel:
        numbers = [str(n).encode() for n in range(500)]
        answers = await asyncio.gather(*(channel.call("Probe.echo", (n,), bytes, deadline=10.0) for n in numbers))
    assert answers == numbers


async def test_an_idempotent_call_survives_the_restart_of_the_daemon(serve: Serve, grid: Grid) -> None:
    async with serve() as server:
        port = server.address.port
        async with dial(server, grid) as channel:
            assert await channel.call("Probe.echo", (b"1",), bytes) == b"1"
            link = await channel.connected(1.0)
            hold = asyncio.create_task(channel.call("Probe.hold", (), str, retry=True, deadline=10.0))
            lost = asyncio.create_task(channel.call("Probe.hold", (), str, deadline=10.0))
            await until(lambda: server.stage.running >= 2)
            for connection in list(server.listener._connections):  # type: ignore[attr-defined]
                connection.abort(ConnectionLost(address="", detail="pulled"))
            await server.listener.close()
            await until(lambda: link.closed)
            async with serve(port=port) as again:
                await until(lambda: again.stage.running >= 1)
                again.probe.opened.set()
                assert await hold == "opened"
            with pytest.raises(ConnectionLost):
                await lost


async def test_a_draining_daemon_ends_calls_under_way_and_refuses_new_ones(serve: Serve, grid: Grid) -> None:
    async with serve() as server, dial(server, grid) as channel:
        hold = asyncio.create_task(channel.call("Probe.hold", (), str))
        await until(lambda: server.stage.running > 0)
        link = await channel.connected(1.0)
        server.listener.goodbye("node1")
        with pytest.raises(Draining):
            await link.call("Probe.echo", (b"",), bytes)
        with pytest.raises(NotConnected):
            await channel.call("Probe.echo", (b"",), bytes, deadline=0.3)
        server.probe.opened.set()
        assert await hold == "opened"

# SPDX-License-Identifier: BSD-3-Clause
"""xout: the output of units, each byte once."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xos.aem.api import State
from xos.aem.cli._lines import LONGEST, Lines


async def test_one_unit_is_printed_as_it_is(shell: Any, grid: Any, make_job: Any) -> None:
    """Bytes that are no text and no lines come through unchanged."""
    await grid.put(make_job(state=State.DONE))
    await grid.write("demo-1.0", bytes(range(256)))
    assert await shell_raw(shell, "xout", "demo-1") == bytes(range(256))


async def shell_raw(shell: Any, *argv: str) -> bytes:
    result = await shell(*argv)
    assert (result.status, result.err) == (0, "")
    data: bytes = result.raw
    return data


async def test_several_units_have_their_nodes_before_each_line(shell: Any, grid: Any, make_job: Any) -> None:
    """Each line says where it is from, in the order of the units; a last line without an end gets one."""
    await grid.put(make_job(state=State.DONE, units=2))
    await grid.write("demo-1.0", b"hello\nworld\n")
    await grid.write("demo-1.1", b"hello\n\nworld")
    assert await shell_raw(shell, "xout", "demo-1") == (
        b"node1: hello\nnode1: world\nnode2: hello\nnode2: \nnode2: world\n"
    )
    assert await shell_raw(shell, "xout", "--no-prefix", "demo-1") == b"hello\nworld\nhello\n\nworld"


async def test_one_of_several_units(shell: Any, grid: Any, make_job: Any) -> None:
    """--unit picks one, as it is."""
    await grid.put(make_job(state=State.DONE, units=2))
    await grid.write("demo-1.1", b"two")
    assert await shell_raw(shell, "xout", "-u", "1", "demo-1") == b"two"
    for wrong in ("2", "-1"):
        assert (await shell("xout", f"--unit={wrong}", "demo-1")).status == 2


async def test_error_and_files(shell: Any, grid: Any, make_job: Any) -> None:
    """The other streams have options of their own."""
    await grid.put(make_job(state=State.DONE))
    await grid.write("demo-1.0", b"oops\n", "error")
    await grid.write("demo-1.0", b"data", "a/result")
    assert await shell_raw(shell, "xout", "-e", "demo-1") == b"oops\n"
    assert await shell_raw(shell, "xout", "--file", "a/result", "demo-1") == b"data"


async def test_a_job_that_has_not_started(shell: Any, grid: Any, make_job: Any) -> None:
    """There is no output to print, and the reason is said."""
    await grid.put(make_job(state=State.PENDING, reason="no node is free"))
    result = await shell("xout", "demo-1")
    assert result.status == 1
    assert "demo-1 has not started: no node is free" in result.err
    assert "--follow" in result.err


async def test_follow_from_pending_to_the_end(shell: Any, grid: Any, make_job: Any) -> None:
    """Waits for the job, prints as it writes, ends with it; lines of units do not mix."""
    await grid.put(make_job(state=State.PENDING, units=2))
    following = asyncio.create_task(shell("xout", "-f", "demo-1"))
    await grid.called("JobManager.watch_job")
    await grid.put(make_job(state=State.RUNNING, units=2))
    await grid.called("ExecutionManager.output", 2)
    for data in (b"he", b"llo\nwo", b"rld\n"):
        for unit in ("demo-1.0", "demo-1.1"):
            before = grid.consumed
            await grid.write(unit, data)
            await grid.until(lambda before=before: grid.consumed > before)
    await grid.put(make_job(state=State.DONE, units=2))
    result = await following
    assert sorted(result.out.splitlines()) == ["node1: hello", "node1: world", "node2: hello", "node2: world"]
    assert result.status == 0


async def test_a_broken_connection_loses_and_repeats_nothing(shell: Any, grid: Any, lost: Any, make_job: Any) -> None:
    """The stream is taken up where it broke."""
    await grid.put(make_job(state=State.DONE))
    text = b"0123456789" * 10
    await grid.write("demo-1.0", text)
    grid.fail("ExecutionManager.output", None, lost)
    grid.fail("ExecutionManager.output item", None, None, None, lost, None, lost)
    assert await shell_raw(shell, "xout", "demo-1") == text


async def test_a_node_that_stays_away_is_given_up(shell: Any, grid: Any, lost: Any, make_job: Any) -> None:
    """One unit's trouble is told, the others are printed, the status says that something is missing."""
    await grid.put(make_job(state=State.DONE, units=2))
    await grid.write("demo-1.1", b"here\n")
    grid.fail("ExecutionManager.output", *[lost] * 5)
    result = await shell("xout", "demo-1")
    assert (result.out, result.status) == ("node2: here\n", 1)
    assert "was lost" in result.err


async def test_following_a_lost_node_ends_with_the_job(shell: Any, grid: Any, lost: Any, make_job: Any) -> None:
    """While the job runs its node may come back; when it has ended, no more is waited for."""
    await grid.put(make_job(state=State.RUNNING))
    grid.fail("ExecutionManager.output", *[lost] * 1000)
    following = asyncio.create_task(shell("xout", "-f", "demo-1"))
    await grid.called("ExecutionManager.output", 6)
    assert not following.done()
    await grid.put(make_job(state=State.FAILED, reason="node1 is lost"))
    result = await following
    assert result.status == 1


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"a\n", b"\n\n"]), max_size=30))
def test_lines_keep_every_byte(pieces: list[bytes]) -> None:
    """However the bytes are cut, the labelled lines are those of the whole."""
    lines = Lines(b"L: ")
    printed = b"".join(map(lines.feed, pieces)) + lines.end()
    whole = b"".join(pieces)
    expected = whole.removesuffix(b"\n").split(b"\n") if whole else []
    assert printed == b"".join(b"L: " + line + b"\n" for line in expected)


def test_an_endless_line_is_broken() -> None:
    """A unit that never ends its line does not fill memory."""
    lines = Lines(b"L: ")
    assert lines.feed(b"x" * LONGEST) == b""
    assert lines.feed(b"y") == b"L: " + b"x" * LONGEST + b"y\n"
    assert lines.end() == b""

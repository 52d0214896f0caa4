# SPDX-License-Identifier: BSD-3-Clause
"""What a unit writes reaches its owner: all of it, at once, and nothing else of the node."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from support.jobs import People
from support.units import PATIENCE, Node, shell, unit_order
from xos.aem.api import State
from xos.aem.errors import NoOutput
from xos.aem.execution.output import CHUNK
from xos.aem.jsdl import StagedFile
from xos.common.tls import Credential


async def test_a_follower_gets_each_piece_when_it_is_written_and_the_end(
    node: Node, place: Path, alice: Credential
) -> None:
    os.mkfifo(place / "go")
    (place / "go").chmod(0o666)
    order = unit_order(alice, shell(f"exec 3<{place}/go; while read line <&3; do echo got $line; done; printf end"))
    await node.start(order)
    pieces = node.pieces(order.unit_id, follow=True, caller=alice.identity)
    async with asyncio.timeout(PATIENCE):
        pipe = await asyncio.to_thread(os.open, place / "go", os.O_WRONLY)
        for number in range(5):
            os.write(pipe, f"{number}\n".encode())
            assert await anext(pieces) == f"got {number}\n".encode()
        os.close(pipe)
        assert b"".join([piece async for piece in pieces]) == b"end"


async def test_two_followers_and_one_who_leaves_do_not_disturb_each_other(
    node: Node, place: Path, alice: Credential
) -> None:
    os.mkfifo(place / "go")
    (place / "go").chmod(0o666)
    order = unit_order(alice, shell(f"echo one; read line <{place}/go; echo two"))
    await node.start(order)
    async with asyncio.timeout(PATIENCE):
        leaving = node.pieces(order.unit_id, follow=True)
        assert await anext(leaving) == b"one\n"
        await leaving.aclose()
        staying = [node.pieces(order.unit_id, follow=True) for _ in range(2)]
        for pieces in staying:
            assert await anext(pieces) == b"one\n"
        await asyncio.to_thread((place / "go").write_text, "\n")
        for pieces in staying:
            assert b"".join([piece async for piece in pieces]) == b"two\n"


async def test_a_follower_of_a_unit_that_has_not_started_waits_for_it(
    people: People, place: Path, node_name: str, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Node(people, place, name=node_name) as node:
        launch = node.execution._launch
        gate = asyncio.Event()

        async def late(live: object) -> None:
            await gate.wait()
            await launch(live)  # type: ignore[arg-type]

        monkeypatch.setattr(node.execution, "_launch", late)
        order = unit_order(alice, shell("echo here"))
        await node.start(order)
        following = asyncio.create_task(node.output(order.unit_id, follow=True))
        assert await node.output(order.unit_id) == b""
        gate.set()
        async with asyncio.timeout(PATIENCE):
            assert await following == b"here\n"


async def test_much_output_comes_in_bounded_pieces_and_whole(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("head -c 1000000 /dev/zero"))
    await node.run(order)
    pieces = [piece async for piece in node.pieces(order.unit_id)]
    assert sum(map(len, pieces)) == 1_000_000
    assert max(map(len, pieces)) == CHUNK


async def test_streams_that_the_job_does_not_have_are_not_there(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("touch secret", stage_out=(StagedFile("never-made"),), output="/dev/null"))
    await node.run(order)
    assert await node.output(order.unit_id) == b""
    for stream in ("never-made", "secret", "../order", "", "order", "/etc/passwd", "x" * 1000):
        with pytest.raises(NoOutput):
            await node.output(order.unit_id, stream)


async def test_a_link_to_a_file_of_the_nodes_is_not_followed(node: Node, place: Path, alice: Credential) -> None:
    secret = place / "secret"
    secret.write_text("the node's own")
    tricks = {
        "symlink": f"ln -s {secret} symlink",
        "dir/file": f"ln -s {place} dir",
        "fifo": "mkfifo fifo",
        "hard": f"ln {secret} hard || true",
        "device": "ln -s /dev/zero device",
        "folder": "mkdir folder",
    }
    out = tuple(StagedFile(name.replace("dir/file", "dir/secret")) for name in tricks)
    order = unit_order(alice, shell("; ".join(tricks.values()), stage_out=out))
    assert (await node.run(order)).state is State.DONE
    for file in out:
        if file.name == "hard" and os.geteuid() != 0:
            continue  # without accounts, all files belong to one user
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(NoOutput):
                await node.output(order.unit_id, file.name)


async def test_files_staged_to_be_deleted_are_and_no_link_is_followed(
    node: Node, place: Path, alice: Credential
) -> None:
    from xos.aem.api import InputFile

    victim = place / "victim"
    victim.mkdir()
    (victim / "input").write_text("the node's own")
    stage_in = (StagedFile("plain", delete=True), StagedFile("d/input", delete=True))
    files = [InputFile("plain", b"1"), InputFile("d/input", b"2")]
    order = unit_order(alice, shell(f"rm -r d; ln -s {victim} d", stage_in=stage_in), files=files)
    await node.run(order)
    home = node.execution._dirs.home(order.unit_id)
    async with asyncio.timeout(PATIENCE):
        while (home / "plain").exists():  # noqa: ASYNC110  # deleted after the report
            await asyncio.sleep(0.005)
    assert (victim / "input").exists()

# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a caller sends to any method of the MRC, it gets an answer or an error with a code; nobody else suffers."""

from __future__ import annotations

import asyncio
import enum
import random
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.dixi import Grid, make_grid
from support.mrc import ADMIN, ALICE, BOB, EVE, NODE1, Mrc, acting, serving
from xos.common.errors import XosError
from xos.dixi.dispatch import signatures
from xos.xtreemfs.api import MRC, Access, Ask, Open, Session

CALLERS = (ADMIN, ALICE, BOB, EVE, NODE1)
INTS = (-(1 << 63), -1, 0, 1, 2, 3, 4, 0o755, 0o40755, 0o100644, 4096, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
BYTES = (b"", b"f", b"d", b"..", b"a/b", b"x\0", b"\xff" * 255, b"n" * 256, b"user.a", b"trusted.a", b"v" * 70_000)
LISTS = (b"system.posix_acl_access", b"system.posix_acl_default", b"user::rwx,group::r-x,other::r-x", b"user:::,")
TEXTS = (
    "",
    "home",
    "*",
    "no such",
    "alice@demo",
    "root@node1",
    "user",
    "a" * 3000,
    "x\0y",
    "../..",
    "[",
    "node1",
)
CALLS = 3000


class Maker:
    """Values of any type of the interface, likely ones among them."""

    def __init__(self, rng: random.Random, session: Session) -> None:
        self.rng, self.session = rng, session

    def argument(self, name: str, kind: Any) -> Any:
        """One that often makes sense, by its name."""
        likely: dict[str, Any] = {
            "volume": "home",
            "session": self.session.id,
            "parent": self.session.root.id,
            "inode": self.rng.randrange(1, 6),
            "mode": self.rng.choice((0o40755, 0o100644)),
            "name": b"f%d" % self.rng.randrange(3) if kind is bytes else "*",
            "new_parent": self.session.root.id,
            "rdev": 0,
            "target": None,
            "flags": 0,
            "limit": 5,
            "most": 10,
            "claim": None,
            "ask": Ask(self.session.id, self.rng.randrange(1 << 40)),
        }
        return likely[name] if name in likely and self.rng.random() < 0.8 else self.make(kind)

    def make(self, kind: Any) -> Any:
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            return self.make(self.rng.choice(args))
        if origin is list or (origin is tuple and args[-1] is Ellipsis):
            return origin(self.make(args[0]) for _ in range(self.rng.choice((0, 1, 2, 5))))
        if origin is tuple:
            return tuple(self.make(arg) for arg in args)
        return self.plain(kind)

    def plain(self, kind: Any) -> Any:
        if kind is type(None):
            return None
        if kind is int:
            return self.rng.choice((*INTS, self.session.root.id))
        if kind is str:
            return self.rng.choice((*TEXTS, self.session.id))
        if kind is bytes:
            return self.rng.choice((*BYTES, *LISTS))
        if kind is bool:
            return self.rng.random() < 0.5
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return self.rng.choice(list(kind))
        made = {field.name: self.make(field.type) for field in msgspec.structs.fields(kind)}
        try:
            return kind(**made)
        except ValueError:  # what a frame with it would be refused for
            return self.make(kind)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_arguments_do_harm(grid: Grid, database: str, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with serving(grid, tmp_path, database=database) as mrc:
        await mrc.volume()
        sessions = {caller: await mrc.session(by=caller) for caller in CALLERS}
        methods = [one for one in signatures(MRC).values() if not one.marks.streams and one.name != "end"]
        outcomes: dict[str, set[bool]] = {}
        for _ in range(CALLS):
            method, caller = rng.choice(methods), rng.choice(CALLERS)
            maker = Maker(rng, sessions[caller])
            arguments = [maker.argument(one.name, method.types[one.name]) for one in method.parameters]
            with acting(caller):
                outcomes.setdefault(method.name, set()).add(await _answers(mrc, method.name, arguments))
        assert set(outcomes) == {method.name for method in methods}
        assert sum(True in seen for seen in outcomes.values()) > len(outcomes) // 2
        await mrc.volume("after")
        session = await mrc.session("after")
        with acting(NODE1):
            wanted = Open(Access.READ | Access.WRITE, create=True)
            made = await mrc.service.open_name(session.root.id, b"f", wanted, mrc.ask(session))
            assert (await mrc.look(made.inode)).nlink == 1


async def _answers(mrc: Mrc, name: str, arguments: list[Any]) -> bool:
    """Whether it was done. What is refused has a code; any other error fails the test."""
    if name == "remove_volume" and arguments[0] == "home":
        return False  # the rest would find nothing any more
    if name == "lock":
        arguments[1] = False  # nobody would give it back
    try:
        async with asyncio.timeout(20):
            await getattr(mrc.service, name)(*arguments)
    except XosError:
        return False
    return True

# SPDX-License-Identifier: BSD-3-Clause
"""Three mounts that make, change, rename and remove files in shared and own directories while processes fail.

The checker knows close-to-open for names too. What one mount did, another one sees, unless it has looked at that name
less than `BELIEVED_SECONDS` ago; whatever a mount did that was killed, cut off or paused since may have been lost with
it, or come later, unless another one has seen it or fsync(2) of the directory has said that it is kept.

``python -m support.namefaults SEED SECONDS [planted]`` prints a history as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from support.daemons import eventually
from support.filefaults import History
from support.partedgrid import END_SECONDS, FarMount, PartedGrid, isolated, say

BELIEVED_SECONDS = 1.2
"""For a second names and attributes are believed that were looked at."""
MOUNTS = 3
WORKERS = 4
MOST_NAMES = 40
"""Of each worker."""
_FORK = multiprocessing.get_context("fork")
PLANTED = """
import runpy, sys
from xos.xtreemfs.mrc.settling import Settling
async def at_once(self, *words, **more):
    return False
Settling.settle = at_once
sys.argv[0] = "dixid"
runpy.run_module("xos.dixi.dixid", run_name="__main__")
"""
"""An MRC that tells what it knows, without asking those who know better."""


def name_faults(seed: int, seconds: float, *, planted: bool = False) -> History:
    """Names change for so long while something fails; *planted*, the MRC has a bug, and nothing fails."""
    words = (str(seed), str(seconds), *(["planted"] if planted else []))
    return msgspec.json.decode(isolated("support.namefaults", seconds, *words), type=History)


@dataclasses.dataclass
class Name:
    """What is known of a name: its content, or None where there is none."""

    now: bytes | None
    before: set[bytes | None]
    """What may be there if what the last change did is lost."""
    mount: int
    upset: int
    """How often that mount had been upset before the change."""


class Shared:
    """What workers know of mounts."""

    def __init__(self) -> None:
        self.over, self.wrong = _FORK.Event(), _FORK.Manager().list()
        self.upset = _FORK.RawArray("Q", MOUNTS)
        """How often each was killed, paused or cut off; odd: it is."""
        self.killed = _FORK.RawArray("Q", MOUNTS)
        self.changes, self.looks = _FORK.Value("Q"), _FORK.Value("Q")
        self.stall = _FORK.Value("d")
        self.listed = _FORK.RawArray("d", MOUNTS)
        """When the shared directory was listed last, and so all its names looked at."""


class Worker:
    """One program that uses all mounts, one operation after another, on names that are its alone."""

    def __init__(self, shared: Shared, mounts: list[FarMount], number: int, seed: int) -> None:
        self.shared, self.mounts, self.number = shared, mounts, number
        self.chance = random.Random(1000 * seed + number)
        self.names: dict[str, Name] = {}
        self.looked: dict[tuple[int, str], float] = {}
        self.made = 0
        self.mount = number % MOUNTS

    def run(self) -> None:
        """Until it is over."""
        while not self.shared.over.is_set():
            if self.chance.random() < 0.05:
                self.mount = self.chance.randrange(MOUNTS)
            self._turn()
        self._audit()

    def _turn(self) -> None:
        kind = self.chance.choice(("make",) * 6 + ("change", "rename", "remove", "remove", "sync", "list"))
        mine = [name for name, known in self.names.items() if known.now is not None and self._sure(known)]
        if kind == "make" and len(mine) < MOST_NAMES:
            self._make()
        elif kind == "sync":
            self._sync(self.mount)
        elif kind == "list":
            self._list(self._other())
        elif mine:
            name = self.chance.choice(mine)
            {"change": self._change, "rename": self._rename}.get(kind, self._remove)(name)

    # --- changes

    def _fresh(self) -> str:
        self.made += 1
        return f"{self.chance.choice(('shared', f'own{self.number}'))}/{self.number}-{self.made}"

    def _content(self) -> bytes:
        self.made += 1
        return b"%d-%d." % (self.number, self.made) * self.chance.choice((1, 1, 1, 3, 2000))

    def _make(self) -> None:
        name, content = self._fresh(), self._content()
        self._do(lambda at: _write(at / name, content, os.O_CREAT | os.O_EXCL), {name: content})
        if self.chance.random() < 0.2:
            self._look(name, self._other())

    def _change(self, name: str) -> None:
        content = self._content()
        self._do(lambda at: _write(at / name, content, os.O_TRUNC), {name: content})
        self._look(name, self._other())

    def _rename(self, name: str) -> None:
        new = self._fresh()
        self._do(lambda at: (at / name).rename(at / new), {name: None, new: self.names[name].now})
        self._look(self.chance.choice((name, new)), self._other())

    def _remove(self, name: str) -> None:
        self._do(lambda at: (at / name).unlink(), {name: None})
        self._look(name, self._other())

    def _do(self, work: Callable[[Path], object], after: dict[str, bytes | None]) -> None:
        """Change names; what is known of them then."""
        mount, upset = self.mount, self.shared.upset[self.mount]
        for name, content in after.items():
            was = self.names.get(name)
            before: set[bytes | None] = {None} if was is None else {was.now}
            if was is not None and not self._sure(was):
                before |= was.before
            self.names[name] = Name(content, before, mount, upset)
            self.looked[mount, name] = time.monotonic()
        began = time.monotonic()
        try:
            work(self.mounts[mount].path)
        except OSError as error:
            for name in after:
                self.names[name].upset = -1  # nobody knows
            if self._quiet(mount, upset):
                self._wrong(f"{error} of {after} by mount {mount}")
        self._took(began)
        with self.shared.changes.get_lock():
            self.shared.changes.value += 1

    def _sync(self, mount: int) -> bool:
        """fsync(2) of both directories; whether they are kept."""
        upset = self.shared.upset[mount]
        try:
            for place in ("shared", f"own{self.number}"):
                fd = os.open(self.mounts[mount].path / place, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
        except OSError as error:
            if self._quiet(mount, upset):
                self._wrong(f"{error} of fsync by mount {mount}")
            return False
        for known in self.names.values():
            if known.mount == mount and self._sure(known) and self._quiet(mount, upset):
                known.before = {known.now}
        return True

    # --- looking

    def _other(self) -> int:
        return (self.mount + self.chance.randrange(1, MOUNTS)) % MOUNTS

    def _look(self, name: str, mount: int) -> None:
        """Read it elsewhere, if that mount has not looked a moment ago."""
        known, killed, upset = self.names[name], self.shared.killed[mount], self.shared.upset[mount]
        began, asked = time.monotonic(), self._sure(known)
        if began - max(self.looked.get((mount, name), 0.0), self._listed(name, mount)) < BELIEVED_SECONDS:
            return
        self.looked[mount, name] = time.monotonic()
        try:
            found: bytes | None = (self.mounts[mount].path / name).read_bytes()
        except FileNotFoundError:
            found = None
        except OSError as error:
            if self._quiet(mount, upset):
                self._wrong(f"{error} of {name} read by mount {mount}")
            return
        finally:
            self.looked[mount, name] = time.monotonic()
            self._took(began)
        if killed != self.shared.killed[mount] or killed % 2:
            return  # what is below the mount, perhaps
        allowed = {known.now} if asked and self._sure(known) else {known.now, *known.before}
        if found not in allowed:
            wanted = [_short(one) for one in allowed]
            self._wrong(f"{name} is {_short(found)} at mount {mount}, not {wanted}, by mount {known.mount}")
        elif found == known.now:
            known.before = {known.now}
        with self.shared.looks.get_lock():
            self.shared.looks.value += 1

    def _list(self, mount: int) -> None:
        """What is listed elsewhere."""
        place = self.chance.choice(("shared", f"own{self.number}"))
        killed, upset = self.shared.killed[mount], self.shared.upset[mount]
        began = time.monotonic()
        if place == "shared":
            self.shared.listed[mount] = began
        sure = {name: known.now for name, known in self.names.items() if self._sure(known)}
        try:
            found = {f"{place}/{entry.name}" for entry in (self.mounts[mount].path / place).iterdir()}
        except OSError as error:
            if self._quiet(mount, upset):
                self._wrong(f"{error} of {place} listed by mount {mount}")
            return
        finally:
            listed = time.monotonic()
            self.looked.update({(mount, name): listed for name in self.names})
            if place == "shared":
                self.shared.listed[mount] = listed
            self._took(began)
        if killed != self.shared.killed[mount] or killed % 2:
            return
        for name, content in sure.items():
            if not name.startswith(f"{place}/") or not self._sure(self.names[name]):
                continue
            if (name in found) != (content is not None):
                self._wrong(f"{name}, which is {_short(content)}, listed by mount {mount}: {content is None}")

    def _audit(self) -> None:
        """Nothing fails any more: all is as it is known, for whoever has not looked for a second."""
        for mount in range(MOUNTS):
            self._sync(mount)
        time.sleep(BELIEVED_SECONDS)
        for name in self.names:
            for mount in range(MOUNTS):
                self._look(name, mount)

    # --- what is known

    def _sure(self, known: Name) -> bool:
        """Whether what it did has come to the MRC, or will: its mount is as it was."""
        return known.before == {known.now} or self._quiet(known.mount, known.upset)

    def _quiet(self, mount: int, upset: int) -> bool:
        """Whether nothing has happened to a mount since."""
        return upset == self.shared.upset[mount] and upset % 2 == 0

    def _listed(self, name: str, mount: int) -> float:
        return self.shared.listed[mount] if name.startswith("shared/") else 0.0

    def _took(self, began: float) -> None:
        took = time.monotonic() - began
        with self.shared.stall.get_lock():
            self.shared.stall.value = max(self.shared.stall.value, took)

    def _wrong(self, what: str) -> None:
        say(f"wrong: {what}")
        self.shared.wrong.append(f"worker {self.number}: {what}")


def _write(path: Path, content: bytes, flags: int) -> None:
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def _short(content: bytes | None) -> str:
    return "gone" if content is None else f"{content[:20]!r} ({len(content)})"


class Troubles:
    """What fails, one thing after another."""

    def __init__(self, grid: PartedGrid, mounts: list[FarMount], shared: Shared, chance: random.Random) -> None:
        self.grid, self.mounts, self.shared, self.chance = grid, mounts, shared, chance
        self.seen: dict[str, int] = {}

    def go_on(self, seconds: float) -> None:
        """For so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            kind = self.chance.choice(("core", "osd", "kill", "pause", "cut", "cut osd"))
            self.seen[kind] = self.seen.get(kind, 0) + 1
            at = self.chance.randrange(MOUNTS)
            say(f"{kind} {at}")
            self._fail(kind, at)
            say(f"{kind} {at} is over")
            time.sleep(self.chance.uniform(0.5, 4.0))

    def _fail(self, kind: str, at: int) -> None:
        mount, node = self.mounts[at], self.chance.choice(self.grid.far)
        match kind:
            case "core":
                self.grid.core.kill()
                time.sleep(self.chance.choice((0.0, 2.0)))
                self.grid.core.start()
            case "osd":
                node.kill()
                time.sleep(self.chance.choice((0.0, 2.0)))
                node.start()
            case "cut osd":
                heal = node.wire.cut()
                time.sleep(self.chance.choice((0.5, 4.0)))
                heal()
            case "kill":
                with self._upset(at):
                    self.shared.killed[at] += 1
                    mount.kill()
                    time.sleep(self.chance.choice((0.0, 3.0)))
                    mount.start()
                    self.shared.killed[at] += 1
            case "pause":
                with self._upset(at):
                    mount.signal(signal.SIGSTOP)
                    time.sleep(self.chance.choice((0.3, 4.0, 8.0)))
                    mount.signal(signal.SIGCONT)
            case _:
                with self._upset(at):
                    heal = mount.wire.cut()
                    time.sleep(self.chance.choice((0.5, 4.0, 8.0)))
                    heal()

    @contextlib.contextmanager
    def _upset(self, at: int) -> Iterator[None]:
        self.shared.upset[at] += 1
        yield
        self.shared.upset[at] += 1


def _run(seed: int, seconds: float, *, planted: bool) -> History:
    grid = PartedGrid(2, planted_core=PLANTED if planted else "")
    grid.start()
    grid.make_volume("names", mode=0o1777)
    mounts = [grid.mount_far("names") for _ in range(MOUNTS)]
    for place in ("shared", *(f"own{number}" for number in range(WORKERS))):
        (mounts[0].path / place).mkdir()
    for _ in eventually(60.0):  # the MRC looks every few seconds which OSDs there are
        with contextlib.suppress(OSError):
            (mounts[0].path / "first").write_bytes(b"x")
            break
    shared = Shared()
    workers = [Worker(shared, mounts, number, seed) for number in range(WORKERS)]
    works = [_FORK.Process(target=worker.run) for worker in workers]
    for work in works:
        work.start()
    troubles = Troubles(grid, mounts, shared, random.Random(seed))
    if planted:
        time.sleep(seconds)
    else:
        troubles.go_on(seconds)
    shared.over.set()
    for work in works:
        work.join(END_SECONDS)
        if work.exitcode != 0:
            shared.wrong.append(f"{work.name}: {work.exitcode}: what was begun does not end")
    return History(
        list(shared.wrong), shared.changes.value, shared.looks.value, troubles.seen, round(shared.stall.value, 2)
    )


def main() -> None:
    """Print a history; what runs ends with the name spaces."""
    seed, seconds, *planted = sys.argv[1:]
    print(msgspec.json.encode(_run(int(seed), float(seconds), planted=bool(planted))).decode(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

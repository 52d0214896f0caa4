# SPDX-License-Identifier: BSD-3-Clause
"""A grid on one machine: brought up, looked at, taken down. Whatever stopped it last time, `up` goes on from there."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from xos.common.errors import XosError
from xos.common.files import write_atomically
from xos.common.tls import Trust
from xos.dixi.directory import NodeRecord
from xos.dixi.transports import Address, Endpoint
from xos.dixi.xati import DirectoryAsync
from xos.setup import machine, roles
from xos.setup.errors import DaemonDied, DaemonSlow, DiskShort, GridBusy, GridDown, NoSuchNode, NotAGrid
from xos.setup.local import leftovers, plan, ports, processes, users
from xos.setup.local.plan import GridPlan, NodePlan
from xos.setup.local.processes import Process, Starting
from xos.setup.machine import MachineFiles
from xos.vom.word import read

READY_SECONDS = 120.0
"""A node gives way to all else that the machine does, so on a busy one its start may take long."""
REGISTERED_SECONDS = 60.0
STOP_SECONDS = 10.0
RENEW_BEFORE_SECONDS = 7 * 86_400.0
NEEDED_MB = 64
LONGEST_LOG = 16 << 20
"""Bytes; a longer one is put aside when its daemon starts."""

Say = Callable[[str], None]


class NodeStatus(msgspec.Struct, frozen=True):
    """One daemon, as `status` finds it."""

    node: str
    role: str
    address: str
    running: bool
    registered: bool
    pid: int | None = None
    services: tuple[str, ...] = ()
    log: str = ""
    page: str = ""
    """Where browsers find VOLife, if it is here."""


class GridStatus(msgspec.Struct, frozen=True):
    """The whole grid."""

    root: str
    up: bool
    """Every daemon runs and the Directory knows it."""
    nodes: tuple[NodeStatus, ...] = ()
    agents: tuple[int, ...] = ()
    """Process ids of the grid's agents."""


class LocalGrid:
    """The grid whose files are below *root*. *say* is told each step."""

    def __init__(self, root: Path, say: Say) -> None:
        self.root = root.absolute()
        self.say = say
        self.admin = self.root / "admin"
        """``XOS_HOME`` of who may do everything: acts with the core's own certificate."""
        self._kept = self.root / "grid.json"

    # -- what there is

    def kept_plan(self) -> GridPlan | None:
        """The plan of the grid that was made here; None if there is none."""
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=GridPlan)
        except FileNotFoundError:
            return None

    @property
    def nodes(self) -> tuple[NodePlan, ...]:
        """The daemons, the core first. Raises `NotAGrid`."""
        kept = self.kept_plan()
        if kept is None:
            raise NotAGrid(root=str(self.root))
        return plan.layout(kept, self.root)

    @property
    def core(self) -> NodePlan:
        """The core. Raises `NotAGrid`."""
        return self.nodes[0]

    def running(self) -> dict[str, Process]:
        """The daemons that run, by name; also such as were started and not recorded, and nodes no longer planned."""
        found = {}
        for home in sorted(self.root.glob("*/dixid.toml")):
            name = home.parent.name
            process = processes.load(home.parent / "process.json") or next(
                iter(processes.find("--config", str(home))), None
            )
            if process is not None:
                found[name] = process
        return found

    # -- up

    def up(self, wish: Mapping[str, str | int] | None = None) -> None:
        """Bring the grid up, or complete what is missing. *wish*: fields of `GridPlan` to change.

        Raises `PortTaken`, `DiskShort` and `BadPlan` before anything is started, else `DaemonDied`, `DaemonSlow`.
        """
        with self._locked(create=True):
            wanted = plan.check(msgspec.structs.replace(self.kept_plan() or GridPlan(), **(wish or {})))
            nodes = plan.layout(wanted, self.root)
            running = self._stop_outdated(wanted, nodes)
            self._check_before_start([node for node in nodes if node.name not in running])
            self._keep(wanted)
            core, *resources = nodes
            for node in nodes:
                self._configure(node, core, wanted)
            if core.name not in running:
                self._found(core)
                self._start([core])
            missing = [node for node in resources if node.name not in running]
            asyncio.run(self._join(core, missing))
            self._start(missing)
            users.make_home(self.admin, core, files(core).credential())
            asyncio.run(self._await_registered(nodes))
            asyncio.run(machine.make_homes(files(core), roles.at(core.address, roles.DIXI_PORT)))

    def _keep(self, wanted: GridPlan) -> None:
        write_atomically(self._kept, msgspec.json.format(msgspec.json.encode(wanted)), 0o644)

    def host(self, service: str, node: str, *, remove: bool = False) -> None:
        """Host *service* on *node* too (or, with *remove*, no longer), and restart that node's daemon.

        Raises `NoSuchNode`, `DaemonDied` when the node does not know the service (it is then taken out again).
        """
        before = self.kept_plan()
        if node not in [planned.name for planned in self.nodes] or before is None:
            raise NoSuchNode(name=node, known=", ".join(planned.name for planned in self.nodes))
        guest = plan.Guest(service, node)
        guests = tuple(other for other in before.guests if other != guest) + (() if remove else (guest,))
        self._keep(msgspec.structs.replace(before, guests=guests))
        try:
            self.restart([node])
        except DaemonDied:
            self._keep(before)
            raise

    def _stop_outdated(self, wanted: GridPlan, nodes: tuple[NodePlan, ...]) -> dict[str, Process]:
        """Stop daemons whose configuration this plan changes, wait for those being killed; those that may stay."""
        running = self.running()
        dying = {name: process for name, process in running.items() if process.dying}
        processes.end(dying, grace_s=STOP_SECONDS)
        running = {name: process for name, process in running.items() if name not in dying}
        before = self.kept_plan()
        keep = {node.name for node in nodes} if before is None or before.network == wanted.network else set()
        if before is not None and before.web != wanted.web:
            keep.discard("core")  # its gateway answers the page
        if before is not None and before.slots != wanted.slots:
            keep -= {node.name for node in nodes if node.role == "resource"}
        gone = {name: process for name, process in running.items() if name not in keep}
        if gone:
            self.say(f"stopping {', '.join(gone)}: the plan has changed")
            processes.end(gone, grace_s=STOP_SECONDS)
        return {name: process for name, process in running.items() if name in keep}

    def _check_before_start(self, nodes: list[NodePlan]) -> None:
        free_mb = shutil.disk_usage(self.root).free // 2**20
        if free_mb < NEEDED_MB:
            raise DiskShort(path=str(self.root), free_mb=free_mb, needed_mb=NEEDED_MB)
        for node in nodes:
            for port in node.ports:
                ports.check_free(node.address, port)

    def _configure(self, node: NodePlan, core: NodePlan, wanted: GridPlan) -> None:
        # Job units run under accounts of their own: they must be able to pass through to their directories.
        node.home.mkdir(mode=0o711 if node.role == "resource" else 0o700, exist_ok=True)
        work = None
        if node.role == "resource" and os.geteuid() == 0:
            work = users.work_directory(self.root) / node.name
            work.mkdir(mode=0o711, parents=True, exist_ok=True)
        settings = plan.settings_of(node, wanted, work)
        pages = tuple(planned.page for planned in plan.layout(wanted, self.root) if planned.page)
        write_atomically(node.config, plan.daemon_toml(node, core, settings, pages).encode(), 0o644)

    def _found(self, core: NodePlan) -> None:
        if files(core).good_for(RENEW_BEFORE_SECONDS, core.name):
            return
        self.say(f"{core.name}: VO CA and machine certificate")
        core.data.mkdir(mode=0o700, exist_ok=True)
        asyncio.run(machine.found(files(core), vom=core.data / "vom", node=core.name, address=core.address))

    async def _join(self, core: NodePlan, nodes: list[NodePlan]) -> None:
        dixi, front = roles.at(core.address, roles.DIXI_PORT), roles.at(core.address, roles.FRONT_PORT)
        for node in nodes:
            if not files(node).good_for(RENEW_BEFORE_SECONDS, node.name):
                self.say(f"{node.name}: joining by a token of the RCA")
                word = await machine.create_word(files(core), dixi, front, node=node.name, addresses=(node.address,))
                await machine.join(files(node), read(word))

    def _start(self, nodes: list[NodePlan]) -> None:
        """Start the daemons side by side; ready when all are."""
        with contextlib.ExitStack() as stack:
            starting = []
            for node in nodes:
                if node.log.exists() and node.log.stat().st_size > LONGEST_LOG:
                    node.log.replace(node.log.with_suffix(".log.1"))
                argv = [sys.executable, "-m", "xos.dixi.dixid", "--config", str(node.config)]
                nice = plan.NODE_NICE if node.role == "resource" else 0
                starting_one = Starting(node.name, argv, log=node.log, env=daemon_environment(), nice=nice)
                start = stack.enter_context(starting_one)
                write_atomically(node.record, msgspec.json.encode(start.process))
                starting.append((node, start))
            for node, start in starting:
                began = time.monotonic()
                start.wait(READY_SECONDS)
                self.say(f"{node.name}: ready at {node.address} after {time.monotonic() - began:.1f} s")

    async def _await_registered(self, nodes: tuple[NodePlan, ...]) -> None:
        """Every daemon has told the Directory where it is."""
        wanted = {node.name for node in nodes}
        until = time.monotonic() + REGISTERED_SECONDS
        async with machine.direct(
            Address(nodes[0].address, roles.DIXI_PORT), endpoint(nodes[0]), node=nodes[0].name
        ) as bus:
            changes = DirectoryAsync(bus).watch(deadline=REGISTERED_SECONDS)
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    async for change in changes:
                        wanted.discard(change.node.node)
                        if not wanted:
                            return
            except TimeoutError:
                name = min(wanted)
                raise DaemonSlow(
                    name=name,
                    seconds=REGISTERED_SECONDS,
                    status="not registered at the Directory",
                    log=str(self.root / name / "dixid.log"),
                ) from None

    # -- down

    def down(self) -> None:
        """Stop every daemon, agent and job unit; state stays. Nothing is left running.

        Units that still run are killed, and their jobs are CANCELLED when the grid is up again.
        """
        with self._locked(create=False):
            running = self.running()
            agents = {f"agent {process.pid}": process for process in self.agents()}
            core = {name: process for name, process in running.items() if name == "core"}
            resources = {name: process for name, process in running.items() if name != "core"}
            for group in (agents, resources, core):
                if group:
                    self.say(f"stopping {', '.join(group)}")
                    for name in processes.end(group, grace_s=STOP_SECONDS):
                        self.say(f"{name} did not end in {STOP_SECONDS:.0f} s and was killed")
            for unit in leftovers.end_units(self.root):
                self.say(f"ended job unit {unit}")
            leftovers.remove_groups(self.root)
            for record in self.root.glob("*/process.json"):
                record.unlink()

    def restart(self, names: Sequence[str] = ()) -> None:
        """Stop daemons (all, or those named) and start them again; job units run on and are found again."""
        self.require_up()
        with self._locked(create=False):
            running = self.running()
            for name in names:
                if name not in running:
                    raise NoSuchNode(name=name, known=", ".join(running))
            chosen = {name: running[name] for name in names or running}
            self.say(f"restarting {', '.join(chosen)}")
            processes.end(chosen, grace_s=STOP_SECONDS)
        self.up()

    def refresh(self) -> None:
        """Restart the daemons that run older code than there is now: after an upgrade, or while developing."""
        changed = newest_code()
        old = [name for name, process in self.running().items() if process.started_at < changed]
        if old:
            self.say("the code has changed")
            self.restart(old)

    def agents(self) -> list[Process]:
        """The agents of users whose ``XOS_HOME`` is in this grid."""
        return [process for home in self.homes() if (process := users.agent_of(home)) is not None]

    def homes(self) -> list[Path]:
        """Each ``XOS_HOME`` of the grid."""
        return [self.admin, *sorted((self.root / "users").glob("*"))]

    def destroy(self) -> None:
        """Stop the grid and remove it with everything it kept."""
        if self.kept_plan() is None:
            raise NotAGrid(root=str(self.root))
        self.down()
        for home in self.homes():
            users.forget_socket_directory(home)
        work = users.work_directory(self.root)
        if work.exists():
            shutil.rmtree(work)
            with contextlib.suppress(OSError):  # other grids may work there
                users.LOCAL_WORK.rmdir()
        for entry in sorted(
            self.root.iterdir(), key=lambda entry: entry == self._kept
        ):  # what says that it is one: last
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if not self.root.is_mount():
            self.root.rmdir()

    # -- status

    def status(self) -> GridStatus:
        """How it stands now."""
        if self.kept_plan() is None:
            return GridStatus(str(self.root), up=False)
        running = self.running()
        nodes = self.nodes
        known = asyncio.run(self._known(nodes[0])) if nodes[0].name in running else {}
        listed = tuple(self._node_status(node, running.get(node.name), known.get(node.name)) for node in nodes)
        return GridStatus(
            str(self.root),
            up=all(node.running and node.registered for node in listed),
            nodes=listed,
            agents=tuple(process.pid for process in self.agents()),
        )

    @staticmethod
    def _node_status(node: NodePlan, process: Process | None, record: NodeRecord | None) -> NodeStatus:
        return NodeStatus(
            node.name,
            node.role,
            f"{node.address}:{node.ports[0]}",
            running=process is not None,
            registered=process is not None and record is not None,
            pid=process.pid if process else None,
            services=record.services if record else (),
            log=str(node.log),
            page=node.page,
        )

    async def _known(self, core: NodePlan) -> dict[str, NodeRecord]:
        """What the Directory says; nothing if it does not answer."""
        try:
            async with machine.direct(Address(core.address, roles.DIXI_PORT), endpoint(core), node=core.name) as bus:
                return {record.node: record for record in await DirectoryAsync(bus).nodes(deadline=5.0)}
        except XosError:
            return {}

    # -- for the others

    def require_up(self) -> None:
        """Raise `GridDown` unless every daemon runs."""
        if self.kept_plan() is None or {node.name for node in self.nodes} - self.running().keys():
            raise GridDown(root=str(self.root))

    @contextlib.contextmanager
    def _locked(self, *, create: bool) -> Iterator[None]:
        """One xos-setup at a time. Raises `GridBusy`."""
        if create:
            self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        elif not self.root.is_dir():
            yield
            return
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GridBusy(root=str(self.root)) from error
        else:
            yield
        finally:
            os.close(fd)


def files(node: NodePlan) -> MachineFiles:
    """Where *node* keeps its machine certificate."""
    return MachineFiles(certificate=node.certificate, key=node.key, trust=node.trust)


def endpoint(node: NodePlan) -> Endpoint:
    """How *node* itself would connect."""
    return Endpoint(Trust.load(node.trust), files(node).credential())


def newest_code() -> float:
    """When a file of our packages was changed last; Unix seconds."""
    import xos

    return max(file.stat().st_mtime for place in xos.__path__ for file in Path(place).rglob("*.py"))


def daemon_environment() -> dict[str, str]:
    """What a daemon sees of ours: where programs are, and no more."""
    kept = ("PATH", "LANG", "TZ")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"HOME": "/"}

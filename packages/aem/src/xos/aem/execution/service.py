# SPDX-License-Identifier: BSD-3-Clause
"""The Execution Manager: runs job units on its node.

What it knows is on disk (`xos.aem.execution.unitdir`), what runs is watched by a launcher; this service connects them
with the Job Managers. It may be killed at any moment: the next one reads the directories and goes on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from xos.aem.api import Chunk, ExecutionManager, JobOrder, State, Unit, UnitOrder
from xos.aem.dissolved import Watch
from xos.aem.errors import NotYourUnit, UnitRefused, UnknownUnit
from xos.aem.execution import kernel, places, staging
from xos.aem.execution.accounts import Accounts, accounts_named
from xos.aem.execution.follow import Follower
from xos.aem.execution.group import Group
from xos.aem.execution.launcher import Launcher, launcher_named
from xos.aem.execution.orders import Checked, check_order, read_job
from xos.aem.execution.output import Source, Tail
from xos.aem.execution.plan import task_for
from xos.aem.execution.reports import Reporter
from xos.aem.execution.resources import ALWAYS
from xos.aem.execution.settings import ExecutionSettings
from xos.aem.execution.task import KILLED as KILLED_MARK
from xos.aem.execution.tombstones import CLEANED, KILLED, Stone, Tombstones
from xos.aem.execution.unitdir import Accepted, UnitDirs, is_unit_id, read_accepted, read_facts, read_shim, unit_of
from xos.aem.execution.usage import UsageReporter, record_of
from xos.aem.jsdl import JobDescription
from xos.aem.xati import ResourceManagerAsync
from xos.common.errors import UNDECODABLE, StorageBroken, StorageFull, XosError
from xos.common.files import write_atomically
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Host, Hosted
from xos.vom.api import UsageRecord

log = get_logger("xos.aem.execution")

TOPIC = "aem.unit"
"""A `Unit` is published there at each change."""
ADMIN = "VOAdmin"
CLEAN_SECONDS = 600.0
REPORT, USAGE = "report", "usage"
"""What is owed to the Job Manager and to Accounting."""
_THREADS = 4
"""For fsyncs; the kernel commits what waits together."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_PUT_AWAY_SECONDS = 0.2
_PATIENCE_SECONDS = 86_400.0
"""For so long, at least, the end of a unit is told to a Job Manager that does not answer."""
_ASKED = 10_000
_UNREADABLE = JobOrder("", "", b""), JobDescription(executable="/unreadable-order")
T = TypeVar("T")


class Live:
    """A unit that has not ended, or whose end no Job Manager has acknowledged yet."""

    __slots__ = ("accepted", "description", "followers", "owes", "pause", "submitted", "unit")

    def __init__(self, accepted: Accepted, description: JobDescription, unit: Unit, submitted: float) -> None:
        self.accepted, self.description, self.unit, self.submitted = accepted, description, unit, submitted
        self.owes = {REPORT, USAGE}
        """Who has not acknowledged its end yet."""
        self.followers: set[asyncio.Event] = set()
        """Set at each change."""
        self.pause = _FIRST_PAUSE
        """Before it is launched again, when its end could not be settled."""


class ExecutionManagerService(Hosted[ExecutionSettings], ExecutionManager):
    """See the module."""

    settings_type = ExecutionSettings

    def __init__(self, host: Host, settings: ExecutionSettings) -> None:
        super().__init__(host, settings)
        self._live: dict[str, Live] = {}
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._done: list[str] = []
        self._ended: set[str] = set()
        """Units that are put away; the rest of what there is to know of them is on disk."""
        self._timer: asyncio.TimerHandle | None = None
        self._follower = Follower()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="units")
        self._slots = ResourceManagerAsync(host.bus, host.node)
        self._reporter = Reporter(host.bus, host.spawn, self._acknowledged)
        self._usage = UsageReporter(host.bus, host.spawn, lambda: host.credential, self._accounted)
        self._lock = -1
        self._accounts: Accounts | None = None
        self._launcher: Launcher | None = None

    # --- life

    async def start(self) -> None:
        """Take over the units of the daemon before us. Raises `XosError` when units cannot be run here."""
        root, settings, node = self.host.data, self.settings, self.host.node
        self._lock = places.lock(root)
        if os.geteuid() == 0:
            self._accounts = accounts_named(settings.accounts)(root, settings)
        work = places.choose_work(root, settings.work, node, shared=self._accounts is not None)
        self._dirs = UnitDirs(root, work)
        self._dirs.make()
        self._stones = Tombstones(root / "tombstones")
        kind = launcher_named(settings.launcher)
        self._launcher = kind(node=node, directory=root, watcher=self, spawn=self.host.spawn)
        await self._launcher.open()
        trash = await self._in_pool(places.sweep, self._dirs)
        self._ended = {entry.name for entry in self._dirs.ended.iterdir()}
        for directory in sorted(self._dirs.live.iterdir()):
            await self._recover(directory)
        self.host.spawn(self._tend(trash), name="clean")
        if settings.dissolved_seconds:
            watch = Watch(self.host.bus, self._vos, self._close_vo, settings.dissolved_seconds)
            self.host.spawn(watch.run(), name="dissolved")
        if self.settings.usage:
            self.host.spawn(self._usage.follow(self._running), name="running")

    async def stop(self) -> None:
        """Leave: the units run on."""
        if self._timer is not None:  # first: what it spawns while we wait below would outlive us
            self._timer.cancel()
        if self._coming:
            await asyncio.wait(self._coming.values())
        if self._done:
            await self._put_away()
        if self._launcher is not None:
            await self._launcher.close()
        self._follower.close()
        self._pool.shutdown()
        if self._lock >= 0:
            os.close(self._lock)

    async def _recover(self, directory: Path) -> None:
        """Go on with one unit where the daemon before us stopped."""
        accepted = read_accepted(directory)
        if accepted is None:
            return  # half-removed; swept next time
        try:
            job, description = read_job(accepted.order)
        except (XosError, *UNDECODABLE):
            # Another release wrote it. What runs is followed all the same; what does not cannot be started.
            log.exception("unit.unreadable", unit=directory.name)
            job, description = _UNREADABLE
        facts = read_facts(directory, accepted)
        live = Live(accepted, description, unit_of(facts, self.host.node), job.submitted)
        self._live[directory.name] = live
        log.info("unit.recovered", unit=directory.name, state=live.unit.state.value)
        if live.unit.state is not State.SCHEDULED:
            self._reporter.tell(accepted.order.manager, live.unit)
        if facts.exit is not None:
            self._account(live)
            return
        await self._hold_anyway(live)
        assert self._launcher is not None  # noqa: S101  # made by start
        found = await self._launcher.find(directory.name, directory)
        if found and facts.killed:
            await self._launcher.kill(directory.name, directory)
        if found:
            return
        if facts.started is None and accepted.boot != kernel.boot_id():
            remake = partial(staging.lay_out, self._dirs, accepted, job.files, description.working_directory)
            await self._in_pool(remake)
        self.host.spawn(self._launch(live), name=f"launch {directory.name}")

    async def _hold_anyway(self, live: Live) -> None:
        try:
            await self._slots.reserve(live.unit.unit_id, live.description.needs, ALWAYS)
        except XosError as error:
            # It runs, whether or not the node offers as much as it did.
            log.warning("slot.missing", unit=live.unit.unit_id, detail=error.message)

    async def _tend(self, trash: list[Path]) -> None:
        """Remove what nobody wants any more."""
        keep_seconds, keep_units = self.settings.keep_days * 86_400, self.settings.keep_units
        clean = partial(places.clean, self._dirs, self._stones, keep_seconds=keep_seconds, keep_units=keep_units)
        while True:
            self._give_up(before=time.time() - max(keep_seconds, _PATIENCE_SECONDS))
            try:
                await self._in_pool(places.remove, trash)
                gone = await self._in_pool(partial(clean, now=time.time()))
                if gone:
                    self._ended.difference_update(gone)
                    log.info("units.cleaned", units=len(gone))
            except OSError as error:
                log.warning("clean.failed", detail=str(error))
            trash = []
            await asyncio.sleep(CLEAN_SECONDS)

    def _give_up(self, *, before: float) -> None:
        """Units that ended so long ago, and of which no Job Manager wants to know, are kept no longer than others."""
        for unit_id, live in self._live.items():
            if live.unit.state.ended and (live.unit.ended or 0.0) < before:
                log.warning("report.given-up", unit=unit_id, manager=live.accepted.order.manager)
                self._reporter.forget(live.accepted.order.manager, unit_id)
                self._usage.forget(unit_id)
                self._settle_debt(unit_id, {REPORT, USAGE})

    async def _in_pool(self, fn: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(fn, *args))

    # --- starting

    async def start_unit(self, order: UnitOrder) -> None:
        """See `ExecutionManager.start_unit`.

        Raises `UnitRefused`, `RulingNeeded`, `NoSlot`, `DoesNotFit`, `NoAccount`, `StorageFull`, `StorageBroken`.
        """
        unit_id = order.unit_id
        if await self._is_known(order):
            return
        rulings = self.settings.rulings
        checked = check_order(order, self.host.trust, node=self.host.node, at=time.time(), rulings=rulings)
        coming = self._coming.get(unit_id)
        if coming is None:
            coming = asyncio.create_task(self._take(order, checked), name=f"take {unit_id}")
            self._coming[unit_id] = coming
            coming.add_done_callback(partial(self._came, unit_id))
        await asyncio.shield(coming)

    def _came(self, unit_id: str, coming: asyncio.Task[None]) -> None:
        del self._coming[unit_id]
        if not coming.cancelled():
            coming.exception()  # whoever ordered it has it, or has gone

    async def _is_known(self, order: UnitOrder) -> bool:
        """Whether the very order was accepted before. Raises `UnitRefused` when another was, or it is too late."""
        unit_id, node = order.unit_id, self.host.node
        live = self._live.get(unit_id)
        accepted = live.accepted if live is not None else None
        if live is None and is_unit_id(unit_id):
            if why := self._stones.why(unit_id):
                detail = "it has run here and was cleaned away" if why == CLEANED else "it was killed before it came"
                raise UnitRefused(node=node, unit_id=unit_id, detail=detail)
            if unit_id in self._ended:
                accepted = await self._in_pool(self._dirs.accepted, unit_id)
        if accepted is None:
            return False
        if accepted.order.job.payload != order.job.payload:
            raise UnitRefused(node=node, unit_id=unit_id, detail="another order has run under this id")
        return True

    async def _take(self, order: UnitOrder, checked: Checked) -> None:
        """Accept an order: when this returns, the unit is on disk; then it is started."""
        unit_id = order.unit_id
        await self._slots.reserve(unit_id, checked.description.needs, ALWAYS)
        try:
            accepted = await self._in_pool(self._keep, order, checked)
        except BaseException as error:
            self.host.spawn(self._release(unit_id), name=f"release {unit_id}")
            if isinstance(error, OSError):
                log.exception("unit.unkept", unit=unit_id)
                raise StorageBroken(path=str(self._dirs.live), detail=str(error)) from error
            raise
        unit = Unit(unit_id, self.host.node, State.SCHEDULED)
        live = Live(accepted, checked.description, unit, checked.job.submitted)
        self._live[unit_id] = live
        self._publish(live)
        log.info("unit.accepted", unit=unit_id, job=order.job_id, user=accepted.owner, vo=accepted.vo)
        self.host.spawn(self._launch(live), name=f"launch {unit_id}")

    def _keep(self, order: UnitOrder, checked: Checked) -> Accepted:
        """Put the unit on disk, in a thread."""
        for path in (self._dirs.live, self._dirs.work):
            staging.check_space(path, self.settings.spare_bytes)
        owner = checked.owner
        try:
            account = None
            if self._accounts is not None:
                account = self._accounts.account(checked, order.job.certificate)
        except OSError as error:
            if error.errno in staging.FULL:
                raise StorageFull(path=str(self.host.data)) from error
            raise
        numbers = None if account is None else (account.uid, account.gid)
        accepted = Accepted(
            order,
            str(owner),
            owner.vo,
            numbers,
            owner.not_after,
            time.time(),
            kernel.boot_id(),
            *((account.groups, account.name, account.home) if account is not None else ()),
        )
        staging.accept(self._dirs, accepted, checked.job.files, checked.description.working_directory)
        return accepted

    async def _launch(self, live: Live) -> None:
        task = task_for(live.accepted, live.description, dirs=self._dirs, settings=self.settings, node=self.host.node)
        assert self._launcher is not None  # noqa: S101  # made by start
        await self._launcher.launch(task)

    # --- following (launcher.Watcher)

    def running(self, unit_id: str, started: float) -> None:
        """See `Watcher.running`."""
        live = self._live.get(unit_id)
        if live is None or live.unit.state is not State.SCHEDULED:
            return
        live.unit = Unit(unit_id, self.host.node, State.RUNNING, started=started)
        self._publish(live)
        self._reporter.tell(live.accepted.order.manager, live.unit)

    def gone(self, unit_id: str) -> None:
        """See `Watcher.gone`."""
        live = self._live.get(unit_id)
        if live is None or live.unit.state.ended:
            return
        unit = unit_of(read_facts(self._dirs.live / unit_id, live.accepted), self.host.node)
        if unit.state.ended:
            live.unit = unit
            self.host.spawn(self._finish(live), name=f"finish {unit_id}")
        else:
            self.host.spawn(self._settle(live), name=f"settle {unit_id}")

    async def _settle(self, live: Live) -> None:
        """What ran the unit vanished without a word: have it buried, or started if it never was."""
        log.warning("unit.unsettled", unit=live.unit.unit_id, pause=live.pause)
        await asyncio.sleep(live.pause)
        live.pause = min(2 * live.pause, _LONGEST_PAUSE)
        await self._launch(live)

    async def _finish(self, live: Live) -> None:
        """The unit has ended: free its slot, then tell its Job Manager, who may want the slot."""
        unit = live.unit
        log.info("unit.ended", unit=unit.unit_id, state=unit.state.value, code=unit.exit_code, reason=unit.reason)
        await self._release(unit.unit_id)
        self._publish(live)
        self._reporter.tell(live.accepted.order.manager, unit)
        self._account(live)
        unwanted = [file.name for file in live.description.stage_in if file.delete]
        if unwanted:
            start = self._dirs.home(unit.unit_id) / live.description.working_directory
            await self._in_pool(staging.remove_inside, start, unwanted)

    async def _release(self, unit_id: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._slots.release(unit_id)
            except XosError as error:
                log.warning("slot.kept", unit=unit_id, code=error.code, detail=error.message)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _publish(self, live: Live) -> None:
        self.host.bus.publish(TOPIC, live.unit)
        self._usage.changed()
        for follower in live.followers:
            follower.set()

    def _acknowledged(self, units: list[Unit]) -> None:
        """A Job Manager has these ends on disk."""
        for unit in units:
            self._settle_debt(unit.unit_id, {REPORT})

    def _accounted(self, unit_ids: list[str]) -> None:
        """Accounting has the records of these units on disk."""
        for unit_id in unit_ids:
            self._settle_debt(unit_id, {USAGE})

    def _settle_debt(self, unit_id: str, paid: set[str]) -> None:
        """When everybody knows of a unit's end, it is put away: a little later, many at a time."""
        live = self._live.get(unit_id)
        if live is None or not live.owes & paid:
            return
        live.owes -= paid
        if live.owes:
            return
        if not self._done:
            self._timer = asyncio.get_running_loop().call_later(_PUT_AWAY_SECONDS, self._put_away_later)
        self._done.append(unit_id)

    def _account(self, live: Live) -> None:
        """Tell Accounting what a unit that has ended has used."""
        record = self._record(live, time.time()) if self.settings.usage else None
        if record is None:
            self._settle_debt(live.unit.unit_id, {USAGE})
        else:
            self._usage.tell(record)

    def _running(self, now: float) -> list[UsageRecord]:
        running = [live for live in self._live.values() if live.unit.state is State.RUNNING]
        return [record for live in running if (record := self._record(live, now, self._cpu(live))) is not None]

    def _cpu(self, live: Live) -> float:
        """CPU seconds of a unit that runs, where its control group tells."""
        shim = read_shim(self._dirs.live / live.unit.unit_id)
        if shim is None or not shim.group:
            return 0.0
        user, system, _ = Group(shim.group).used()
        return (user or 0.0) + (system or 0.0)

    @staticmethod
    def _record(live: Live, now: float, cpu: float | None = None) -> UsageRecord | None:
        unit = live.unit if cpu is None else msgspec.structs.replace(live.unit, cpu_seconds=cpu)
        return record_of(live.accepted, live.description, unit, submitted=live.submitted, now=now)

    def _put_away_later(self) -> None:
        self._timer = None
        self.host.spawn(self._put_away(), name="put away")

    async def _put_away(self) -> None:
        done, self._done = self._done, []
        try:
            await self._in_pool(self._dirs.put_away, done)
        except OSError as error:
            log.warning("units.not-put-away", units=len(done), detail=str(error))  # told again after a restart
            return
        for unit_id in done:
            self._live.pop(unit_id, None)
            self._ended.add(unit_id)

    # --- killing

    async def kill_unit(self, unit_id: str) -> None:
        """See `ExecutionManager.kill_unit`. Raises `UnknownUnit` (to users), `NotYourUnit`, `StorageFull`."""
        caller = current_call().caller
        if not is_unit_id(unit_id):
            raise UnknownUnit(unit_id=unit_id[:200])
        coming = self._coming.get(unit_id)
        if coming is not None:
            await asyncio.wait([coming])
        live = self._live.get(unit_id)
        if live is None:
            await self._kill_absent(unit_id, caller)
            return
        _check_may(caller, unit_id, live.accepted)
        await self._kill(live, str(caller))

    async def _kill(self, live: Live, by: str) -> None:
        """Raises `StorageFull`."""
        if live.unit.state.ended:
            return
        unit_id = live.unit.unit_id
        directory = self._dirs.live / unit_id
        mark = msgspec.json.encode({"by": by, "at": time.time()})
        try:
            await self._in_pool(write_atomically, directory / KILLED_MARK, mark)
        except FileNotFoundError:
            return  # it has ended meanwhile, and is put away
        except StorageFull:
            if live.unit.state is not State.RUNNING:
                raise
            log.warning("unit.kill-unmarked", unit=unit_id)  # what fills the disk can be killed nevertheless
        log.info("unit.kill", unit=unit_id, by=by)
        assert self._launcher is not None  # noqa: S101  # made by start
        await self._launcher.kill(unit_id, directory)

    async def _vos(self) -> frozenset[str]:
        """VOs that have units or accounts here."""
        known = frozenset(live.accepted.vo for live in self._live.values())
        return known if self._accounts is None else known | await self._in_pool(self._accounts.vos)

    async def _close_vo(self, vo: str) -> None:
        """End what a dissolved VO has here, whatever became of its Job Manager. Raises `XosError`."""
        for live in [live for live in self._live.values() if live.accepted.vo == vo]:
            await self._kill(live, f"the end of VO {vo}")
        if self._accounts is not None:
            await self._in_pool(self._accounts.withdraw, vo)

    async def _kill_absent(self, unit_id: str, caller: Identity) -> None:
        """Nothing runs under this id. A machine's word is enough that nothing ever will."""
        if unit_id in self._ended:
            _check_may(caller, unit_id, await self._accepted(unit_id))
            return
        if caller.kind is not Kind.MACHINE:
            raise UnknownUnit(unit_id=unit_id)
        if self._stones.why(unit_id):
            return
        keep = max(self.settings.keep_days, 1.0) * 86_400
        stone = Stone(unit_id, int(time.time() + keep), KILLED)
        self._stones.remember(stone)
        try:
            await self._in_pool(self._stones.lay, [stone])
        except OSError as error:
            if error.errno in staging.FULL:
                raise StorageFull(path=str(self.host.data)) from error
            raise StorageBroken(path=str(self.host.data), detail=str(error)) from error

    # --- asking

    async def units(self, unit_ids: list[str]) -> list[Unit]:
        """See `ExecutionManager.units`."""
        wanted = unit_ids[:_ASKED]
        known = {unit_id: self._live[unit_id].unit for unit_id in wanted if unit_id in self._live}
        rest = [unit_id for unit_id in wanted if unit_id not in known and is_unit_id(unit_id)]
        if rest:
            known |= await self._in_pool(self._read_units, rest)
        return [known[unit_id] for unit_id in wanted if unit_id in known]

    def _read_units(self, unit_ids: list[str]) -> Mapping[str, Unit]:
        read = {unit_id: self._dirs.facts(unit_id) for unit_id in unit_ids}
        return {unit_id: unit_of(facts, self.host.node) for unit_id, facts in read.items() if facts is not None}

    async def output(self, unit_id: str, stream: str = "output", follow: bool = False) -> AsyncIterator[Chunk]:
        """See `ExecutionManager.output`. Raises `UnknownUnit`, `NotYourUnit`, `NoOutput`."""
        caller = current_call().caller
        live = self._live.get(unit_id)
        accepted = live.accepted if live is not None else await self._accepted(unit_id)
        _check_may(caller, unit_id, accepted)
        description = live.description if live is not None else read_job(accepted.order)[1]
        tail = Tail(Source(self._dirs, accepted, description, stream), pool=self._pool, follower=self._follower)
        if live is not None:
            live.followers.add(tail.changed)
        try:
            async for piece in tail.pieces(lambda: not follow or live is None or live.unit.state.ended):
                yield Chunk(unit_id, stream, piece)
        finally:
            if live is not None:
                live.followers.discard(tail.changed)

    async def _accepted(self, unit_id: str) -> Accepted:
        accepted = await self._in_pool(self._dirs.accepted, unit_id) if is_unit_id(unit_id) else None
        if accepted is None:
            raise UnknownUnit(unit_id=unit_id[:200])
        return accepted


def _check_may(caller: Identity, unit_id: str, accepted: Accepted) -> None:
    """Raise `NotYourUnit` unless *caller* is a machine, the unit's owner, or administers its VO."""
    if caller.kind is Kind.MACHINE or str(caller) == accepted.owner:
        return
    if caller.kind is Kind.USER and caller.vo == accepted.vo and ADMIN in caller.roles:
        return
    raise NotYourUnit(unit_id=unit_id, caller=str(caller))

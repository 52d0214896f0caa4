# SPDX-License-Identifier: BSD-3-Clause
"""The jobs that have not ended, in memory: the only place where their state changes."""

from __future__ import annotations

from collections.abc import Callable

from xos.aem.api import State
from xos.aem.jobs.ledger import Ledger
from xos.aem.jobs.lifecycle import Event, Job, job_of, step

Changed = Callable[[Job, Job], None]
"""Called when a job has changed in memory: as it was, as it is."""


class Registry:
    """Active jobs by id, owner and node; every change goes to the ledger."""

    def __init__(self, ledger: Ledger, changed: Changed) -> None:
        self._ledger = ledger
        self._changed = changed
        self._jobs: dict[str, Job] = {}
        self._owners: dict[str, dict[str, None]] = {}
        self._nodes: dict[str, dict[str, None]] = {}

    def get(self, job_id: str) -> Job | None:
        """An active job; one whose end is not on disk yet is still active."""
        return self._jobs.get(job_id)

    def of_owner(self, owner: str) -> list[Job]:
        """The active jobs of one owner, newest first."""
        return [self._jobs[job_id] for job_id in reversed(self._owners.get(owner, {}))]

    def count_of(self, owner: str) -> int:
        """How many active jobs an owner has."""
        return len(self._owners.get(owner, ()))

    def vos(self) -> frozenset[str]:
        """The VOs that have active jobs."""
        return frozenset(job.vo for job in self._jobs.values())

    def of_vo(self, vo: str) -> list[str]:
        """The active jobs of one VO, by id."""
        return [job.job_id for job in self._jobs.values() if job.vo == vo]

    def units_on(self, node: str) -> list[str]:
        """The units on a node that have not ended."""
        return list(self._nodes.get(node, ()))

    def used(self, node: str) -> int:
        """How many units on a node have not ended."""
        return len(self._nodes.get(node, ()))

    def nodes(self) -> list[str]:
        """The nodes that have units which have not ended."""
        return [node for node, units in self._nodes.items() if units]

    def admit(self, job: Job) -> None:
        """Take in a job that is on disk."""
        self._jobs[job.job_id] = job
        self._owners.setdefault(job.owner, {})[job.job_id] = None
        self._count(None, job)

    def evict(self, job: Job) -> None:
        """Forget a job whose end is on disk."""
        if self._jobs.pop(job.job_id, None) is not None:
            owned = self._owners[job.owner]
            del owned[job.job_id]
            if not owned:
                del self._owners[job.owner]

    def apply(self, job_id: str, event: Event) -> Job | None:
        """Let *event* happen to a job; the job after it, or None when it is not active."""
        before = self._jobs.get(job_id)
        if before is None:
            return None
        after = step(before, event)
        if after is not before:
            self._jobs[job_id] = after
            self._count(before, after)
            self._ledger.save(before, after)
            self._changed(before, after)
        return after

    def apply_to_unit(self, unit_id: str, event: Event) -> Job | None:
        """Let *event* happen to the job of a unit."""
        return self.apply(job_of(unit_id)[0], event)

    def _count(self, before: Job | None, after: Job) -> None:
        for number, unit in enumerate(after.units):
            if before is not None and before.units[number] is unit:
                continue
            if unit.state in (State.SCHEDULED, State.RUNNING):
                self._nodes.setdefault(unit.node, {})[unit.unit_id] = None
            elif unit.node:
                units = self._nodes.get(unit.node)
                if units is not None and units.pop(unit.unit_id, 0) is None and not units:
                    del self._nodes[unit.node]

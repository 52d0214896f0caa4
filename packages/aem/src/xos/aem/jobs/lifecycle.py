# SPDX-License-Identifier: BSD-3-Clause
"""The life of a job as a pure state machine: `step` takes a job and an event and gives the job after it.

Rules:

- A state that has ended is never left, of a unit or of a job.
- A unit only moves on (PENDING, SCHEDULED, RUNNING, ended). What arrives twice, late or out of order, or from a
  node that the unit is not on, changes nothing: `step` then returns the very same object.
- The job's state follows from its units': it ends when all of them have ended, so when a job is over, nothing of it
  runs any more (unless a node was given up as lost).
- The first cause of an early end decides (`Job.ending`). When a unit fails, the others are to be killed and the job
  is FAILED with that unit's exit code; None when it has none, as when its node was lost. When the owner cancels, the
  job is CANCELLED, whatever its dying units then report. A job whose units were all DONE before the kill reached
  them is DONE.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from xos.aem.api import JobInfo, Needs, State, Unit

_RANK = {State.PENDING: 0, State.SCHEDULED: 1, State.RUNNING: 2, State.DONE: 3, State.FAILED: 3, State.CANCELLED: 3}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_CODE_MOST = 2**31 - 1
REASON_LONGEST = 500
"""Characters kept of a reason that a node gives."""
UNPLACED = "not looked at yet"
"""Why a job waits before the scheduler has seen it."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its Job Manager keeps it."""

    job_id: str
    request_id: str
    owner: str
    """``alice@demo``."""
    vo: str
    name: str
    needs: Needs
    """Of each unit."""
    sequence: int
    """Order of arrival at this Job Manager."""
    submitted: float
    """Unix seconds, by the Job Manager's clock."""
    units: tuple[Unit, ...]
    state: State = State.PENDING
    ending: State | None = None
    """FAILED or CANCELLED as soon as it is decided that the job ends early; its units are then being killed."""
    reason: str = ""
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None

    def info(self, waits_for: str = "") -> JobInfo:
        """The job as its owner sees it; *waits_for* is the scheduler's reason while it is PENDING or SCHEDULED."""
        reason = self.reason
        if self.state is State.PENDING:
            reason = waits_for or UNPLACED
        elif self.ending is not None and not self.state.ended:
            reason = f"{self.reason}; its units are being killed"
        elif self.state is State.SCHEDULED:
            reason = waits_for
        return JobInfo(
            self.job_id,
            self.name,
            self.owner,
            self.vo,
            self.state,
            reason,
            self.submitted,
            self.started,
            self.ended,
            self.exit_code,
            self.units,
        )


class Assigned(msgspec.Struct, frozen=True):
    """The scheduler has chosen a node for each unit."""

    nodes: tuple[str, ...]
    """All different, one for each unit."""


class Reported(msgspec.Struct, frozen=True):
    """A node says how a unit of its stands."""

    node: str
    unit: Unit
    at: float
    """Unix seconds, when it was heard."""


class Refused(msgspec.Struct, frozen=True):
    """A node will never run the unit."""

    unit_id: str
    node: str
    reason: str
    at: float


class NeverStarted(msgspec.Struct, frozen=True):
    """A node confirms that it does not run the unit and never will; only asked of jobs that are ending."""

    unit_id: str
    node: str
    at: float


class Denied(msgspec.Struct, frozen=True):
    """The policies of the VO do not allow the job."""

    reason: str
    at: float


class NodeLost(msgspec.Struct, frozen=True):
    """A node has been silent for so long that its units are given up."""

    node: str
    reason: str
    at: float


class CancelAsked(msgspec.Struct, frozen=True):
    """Somebody who may has cancelled the job."""

    by: str
    """``alice@demo``."""
    at: float


Event = Assigned | Reported | Refused | NeverStarted | NodeLost | CancelAsked | Denied


def new_job(
    *,
    job_id: str,
    request_id: str,
    owner: str,
    vo: str,
    name: str,
    needs: Needs,
    count: int,
    sequence: int,
    submitted: float,
) -> Job:
    """A job that has just come in, of *count* units."""
    units = tuple(Unit(f"{job_id}.{index}") for index in range(count))
    return Job(
        job_id=job_id,
        request_id=request_id,
        owner=owner,
        vo=vo,
        name=name,
        needs=needs,
        sequence=sequence,
        submitted=submitted,
        units=units,
    )


def job_of(unit_id: str) -> tuple[str, int]:
    """The job and the index that a unit's id names; an index of -1 when it names none."""
    job_id, _, index = unit_id.rpartition(".")
    if index.isascii() and index.isdigit() and len(index) < 10:
        return job_id, int(index)
    return job_id, -1


def step(job: Job, event: Event) -> Job:
    """The job after *event*; the same object when the event changes nothing."""
    if job.state.ended:
        return job
    match event:
        case Assigned(nodes):
            return _assigned(job, nodes)
        case Reported(node, unit, at):
            return _reported(job, node, unit, at)
        case Refused(unit_id, node, reason, at):
            failed = Unit(unit_id, node, State.FAILED, None, reason, ended=at)
            return _reported(job, node, failed, at)
        case NeverStarted(unit_id, node, at):
            return _reported(job, node, Unit(unit_id, node, State.CANCELLED, ended=at), at)
        case NodeLost(node, reason, at):
            return _lost(job, node, reason, at)
        case CancelAsked(by, at):
            return _cancelled(job, by, at)
        case Denied(reason, at):
            return _denied(job, reason, at)


def _assigned(job: Job, nodes: tuple[str, ...]) -> Job:
    if len(nodes) != len(job.units) or len(set(nodes)) != len(nodes):
        raise ValueError(f"{len(job.units)} units of {job.job_id} on {nodes!r}")
    if job.state is not State.PENDING or job.ending is not None:
        return job
    units = tuple(Unit(unit.unit_id, node, State.SCHEDULED) for unit, node in zip(job.units, nodes, strict=True))
    return _settled(job, units, at=0.0)


def _reported(job: Job, node: str, said: Unit, at: float) -> Job:
    job_id, index = job_of(said.unit_id)
    if job_id != job.job_id or not 0 <= index < len(job.units):
        return job
    unit = job.units[index]
    if unit.unit_id != said.unit_id or unit.node != node or not node or _RANK[said.state] <= _RANK[unit.state]:
        return job
    after = _merged(unit, said, at)
    units = (*job.units[:index], after, *job.units[index + 1 :])
    return _settled(_with_cause(job, index, after), units, at)


def _lost(job: Job, node: str, reason: str, at: float) -> Job:
    for unit in job.units:
        if unit.node == node:  # a job has one unit on a node
            return _reported(job, node, Unit(unit.unit_id, node, State.FAILED, None, reason, ended=at), at)
    return job


def _cancelled(job: Job, by: str, at: float) -> Job:
    if job.ending is not None:
        return job
    ending = msgspec.structs.replace(job, ending=State.CANCELLED, reason=f"cancelled by {by}")
    return _settled(ending, _withdrawn(job.units, at), at)


def _denied(job: Job, reason: str, at: float) -> Job:
    """Only a job that no node knows of; one that is placed ends by what its nodes say."""
    if job.ending is not None or job.state is not State.PENDING:
        return job
    ending = msgspec.structs.replace(job, ending=State.FAILED, reason=cleaned(reason))
    return _settled(ending, _withdrawn(job.units, at), at)


def _withdrawn(units: Sequence[Unit], at: float) -> tuple[Unit, ...]:
    """Units that no node was ever told of end here and now."""
    return tuple(
        Unit(unit.unit_id, unit.node, State.CANCELLED, ended=at) if unit.state is State.PENDING else unit
        for unit in units
    )


def _merged(unit: Unit, said: Unit, at: float) -> Unit:
    """What is kept of a node's report: a node that talks nonsense harms only itself."""
    started = _time(said.started) or unit.started
    if not said.state.ended:
        return Unit(unit.unit_id, unit.node, said.state, started=started)
    state, code = said.state, said.exit_code
    if code is not None:
        code = min(max(code, -_CODE_MOST), _CODE_MOST)
    if state is State.DONE:
        code = code or 0
        state = State.DONE if code == 0 else State.FAILED
    return Unit(
        unit.unit_id,
        unit.node,
        state,
        code,
        cleaned(said.reason),
        started,
        _time(said.ended) or at,
        said.cpu_seconds if 0 <= said.cpu_seconds < math.inf else 0.0,
        min(max(said.memory_peak, 0), 2**62),
    )


def _time(said: float | None) -> float | None:
    return said if said is not None and 0 < said < math.inf else None


def cleaned(reason: str) -> str:
    """One line of bounded length, without control characters."""
    return _CONTROL.sub(" ", reason[:REASON_LONGEST]).strip()


def _with_cause(job: Job, index: int, unit: Unit) -> Job:
    """A first unit that fails, or is killed without the job being cancelled, decides how the job ends."""
    if job.ending is not None or unit.state not in (State.FAILED, State.CANCELLED):
        return job
    where = f"unit {index} on {unit.node}" if len(job.units) > 1 else f"on {unit.node}"
    why = unit.reason or (f"exit code {unit.exit_code}" if unit.state is State.FAILED else "killed on the node")
    code = unit.exit_code if unit.state is State.FAILED else None
    return msgspec.structs.replace(job, ending=unit.state, reason=f"{where}: {why}", exit_code=code)


def _settled(job: Job, units: tuple[Unit, ...], at: float) -> Job:
    """The job with *units*, its state and times following from theirs."""
    state = _state(job.ending, units)
    starts = [unit.started for unit in units if unit.started is not None]
    started = job.started or (min(starts) if starts else None)
    if not state.ended:
        return msgspec.structs.replace(job, units=units, state=state, started=started)
    ended = max((unit.ended for unit in units if unit.ended is not None), default=at)
    if state is State.DONE:
        return msgspec.structs.replace(
            job, units=units, state=state, ending=None, started=started, ended=ended, reason="", exit_code=0
        )
    return msgspec.structs.replace(job, units=units, state=state, started=started, ended=ended)


def _state(ending: State | None, units: tuple[Unit, ...]) -> State:
    states = {unit.state for unit in units}
    if all(state.ended for state in states):
        return State.DONE if states == {State.DONE} else ending or State.FAILED
    if states <= {State.PENDING, State.SCHEDULED}:
        return State.SCHEDULED if State.SCHEDULED in states else State.PENDING
    return State.RUNNING

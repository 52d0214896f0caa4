# SPDX-License-Identifier: BSD-3-Clause
"""From a job description to what the shim is told: pure decisions."""

from __future__ import annotations

import base64
import resource

from xos.aem.execution.settings import ExecutionSettings
from xos.aem.execution.task import Task
from xos.aem.execution.unitdir import Accepted, UnitDirs
from xos.aem.jsdl import JobDescription, Limits

_RLIMITS = {
    "cpu_time": resource.RLIMIT_CPU,
    "file_size": resource.RLIMIT_FSIZE,
    "core_dump": resource.RLIMIT_CORE,
    "data_segment": resource.RLIMIT_DATA,
    "locked_memory": resource.RLIMIT_MEMLOCK,
    "open_files": resource.RLIMIT_NOFILE,
    "stack": resource.RLIMIT_STACK,
    "virtual_memory": resource.RLIMIT_AS,
}


def task_for(
    accepted: Accepted, description: JobDescription, *, dirs: UnitDirs, settings: ExecutionSettings, node: str
) -> Task:
    """The task of a unit; the launcher fills in `group`."""
    unit_id = accepted.order.unit_id
    return Task(
        unit_id=unit_id,
        directory=str(dirs.live / unit_id),
        group="",
        executable=description.executable,
        arguments=list(description.arguments),
        environment=environment_of(accepted, description, dirs=dirs, settings=settings, node=node),
        cwd=str(dirs.home(unit_id) / description.working_directory),
        input=description.input,
        output=description.output,
        error=description.error,
        account=accepted.account,
        groups=list(accepted.groups),
        credential=base64.b64encode(accepted.order.job.certificate).decode() if accepted.login else "",
        keyring_name=f"xos:{accepted.login}",
        expires=float(accepted.expires),
        nice=settings.nice,
        wall_time=_shorter(description.wall_time, settings.longest_seconds),
        grace=settings.kill_grace_seconds,
        memory=description.memory_limit,
        processes=description.limits.processes,
        limits=_limits(description.limits),
    )


def environment_of(
    accepted: Accepted, description: JobDescription, *, dirs: UnitDirs, settings: ExecutionSettings, node: str
) -> dict[str, str]:
    """The whole environment of the program: ours, the job's over it, and what says which unit this is over that."""
    order = accepted.order
    user = accepted.owner.removesuffix(f"@{accepted.vo}")
    return {
        "PATH": settings.path,
        "HOME": accepted.account_home or str(dirs.home(order.unit_id)),
        "TMPDIR": str(dirs.scratch(order.unit_id)),
        "USER": accepted.login or user,
        **({"LOGNAME": accepted.login} if accepted.login else {}),
        **dict(description.environment),
        "XOS_JOB_ID": order.job_id,
        "XOS_UNIT_ID": order.unit_id,
        "XOS_UNIT_INDEX": str(order.index),
        "XOS_UNIT_COUNT": str(order.count),
        "XOS_VO": accepted.vo,
        "XOS_USER": user,
        "XOS_NODE": node,
    }


def _shorter(wanted: int | None, longest: float) -> float | None:
    if wanted is None:
        return longest or None
    return min(float(wanted), longest) if longest else float(wanted)


def _limits(limits: Limits) -> list[tuple[int, int]]:
    values = ((number, getattr(limits, name)) for name, number in _RLIMITS.items())
    return [(number, value) for number, value in values if value is not None]

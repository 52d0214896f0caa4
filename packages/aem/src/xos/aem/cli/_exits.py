# SPDX-License-Identifier: BSD-3-Clause
"""What the job commands exit with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this text is part of every --help, which should not have to load the services' interfaces
    from xos.aem.api import JobInfo

TIMED_OUT = 124
"""``--timeout`` is over; as timeout(1) has it."""
TROUBLE = 125
"""The command itself failed: no connection, no such job, … (as env(1), timeout(1) and docker have it)."""
NOT_RUN = 126
"""The job failed, and not by an exit status of its own: it could not be started, or its node was lost."""
CANCELLED = 143
"""128 + SIGTERM: somebody cancelled the job."""

STATUSES = """exit status:
  that of the job: 0 when every unit ended with 0, else that of the first unit that failed, 128+n when signal n ended it
  124  the time given with --timeout is over
  125  the command itself failed (no connection, unknown job, …)
  126  the job failed without an exit status: it could not be started, or its node was lost
  143  the job was cancelled"""


def status_of(job: JobInfo) -> int:
    """The exit status that stands for an ended job."""
    if job.state.value == "DONE":
        return 0
    if job.state.value == "CANCELLED":
        return CANCELLED
    return job.exit_code & 0xFF if job.exit_code and job.exit_code & 0xFF else NOT_RUN

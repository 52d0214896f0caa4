# SPDX-License-Identifier: BSD-3-Clause
"""What only the job commands raise."""

from __future__ import annotations

from xos.aem.errors import AemError


class BadUsage(AemError):
    """Raised for a command line that argparse takes and that makes no sense."""

    code = "aem.usage"
    template = "{detail}"
    hint = "{advice}"
    exit_status = 2


class CannotRead(AemError):
    """Raised when a file of the user's cannot be read."""

    code = "aem.cannot-read"
    template = "cannot read {file}: {detail}"
    hint = "{advice}"
    exit_status = 66  # EX_NOINPUT, sysexits.h


class NoOutputYet(AemError):
    """Raised when a job's output is asked for before it has any."""

    code = "aem.no-output-yet"
    template = "{job_id} has not started: {reason}"
    hint = "xout --follow waits for it."


class NoSuchUnit(AemError):
    """Raised when a job has no unit of that number."""

    code = "aem.no-such-unit"
    template = "{job_id} has {count} units, counted from 0; there is no unit {unit}"
    exit_status = 2

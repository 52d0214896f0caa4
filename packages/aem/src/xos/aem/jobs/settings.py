# SPDX-License-Identifier: BSD-3-Clause
"""``[services.JobManager.settings]`` of the daemon's configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec

from xos.aem.jsdl import UNITS_MAX

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a Job Manager behaves; the defaults suit a grid of a few thousand nodes."""

    database: str = ""
    """SQLAlchemy URL, or a file; empty: ``jobs.sqlite`` in the service's own directory."""
    order_bytes: Count = 4 * 1024 * 1024
    """Largest order, with its input files, that is taken."""
    jobs_per_user: Count = 20_000
    """Jobs that one user may have here that have not ended."""
    units_per_job: Count = UNITS_MAX
    node_lost_seconds: Seconds = 600.0
    """A node that has been silent for so long is given up, and what ran there has failed."""
    patience_seconds: Seconds = 30.0
    """A job that waits for several nodes lets others overtake it for so long (see `xos.aem.jobs.placement`)."""
    reserve_seconds: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """How long slots are held while all units of a job are being placed. After a crash of the Job Manager in that
    moment, they stand idle for so long."""
    rulings: bool = True
    """Whether VOPS is asked before a job is placed. False only in a grid without VO policies, nodes being told too."""
    dissolved_seconds: Seconds = 20.0
    """How often XVOMS is asked whether a VO is over whose jobs have not ended; they are cancelled then. 0: never."""
    keep_days: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    """How long jobs that have ended are remembered. Longer than any user's certificate is valid: a request that is
    remembered no more must not be shown again."""

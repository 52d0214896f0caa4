# SPDX-License-Identifier: BSD-3-Clause
"""The rows, one module per group, in the order of the table."""

from __future__ import annotations

from bench.model import Row
from bench.rows import catalog, certs, dixi, files, image, jobs, large, login, names, policy, submit

REGISTRY: list[Row] = [
    *dixi.ROWS,
    *submit.ROWS,
    *jobs.ROWS,
    *certs.ROWS,
    *names.ROWS,
    *login.ROWS,
    *policy.ROWS,
    *catalog.ROWS,
    *files.ROWS,
    *large.ROWS,
    *image.ROWS,
]

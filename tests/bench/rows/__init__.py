# SPDX-License-Identifier: BSD-3-Clause
"""The rows, one module per group, in the order of the table."""

from __future__ import annotations

from tests.bench.model import Row
from tests.bench.rows import dixi

REGISTRY: list[Row] = [*dixi.ROWS]

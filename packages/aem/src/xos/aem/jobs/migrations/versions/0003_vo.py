# SPDX-License-Identifier: BSD-3-Clause
"""The jobs of a VO are listed for its administrators."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From 0002."""
    op.create_index("ix_jobs_vo_sequence", "jobs", ["vo", "sequence"])

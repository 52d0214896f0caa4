# SPDX-License-Identifier: BSD-3-Clause
"""Databases to test on."""

from support.databases import database, postgresql, postgresql_server

__all__ = ["database", "postgresql", "postgresql_server"]

# SPDX-License-Identifier: BSD-3-Clause
"""Listings as CSV (RFC 4180, lines ended as on Unix), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping


def csv_of(rows: Iterable[Mapping[str, object]], *, headings: bool = True) -> str:
    """*rows*, which have the same keys; those come first, unless a part before this one had the *headings*."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
            if headings:
                writer.writeheader()
        writer.writerow({key: _plain(value) for key, value in row.items()})
    return text.getvalue()


def _plain(value: object) -> object:
    """A cell that no spreadsheet takes for a formula (names of jobs are their users' choice)."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value

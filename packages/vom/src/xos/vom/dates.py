# SPDX-License-Identifier: BSD-3-Clause
"""Dates as people write them."""

from __future__ import annotations

import datetime

from xos.vom.errors import BadRequest


def last_moment(date: str) -> float:
    """The end (Unix seconds) of the day *date* in UTC, ``2027-09-30``; 0 for an empty text. Raises `BadRequest`."""
    if not date:
        return 0.0
    try:
        day = datetime.date.fromisoformat(date)
        end = datetime.datetime.combine(day, datetime.time.max, datetime.UTC)
        return float(int(end.timestamp()))
    except (ValueError, OverflowError) as error:
        raise BadRequest(what="expires", detail=f"{date[:40]!r} is not a date such as 2027-09-30") from error

# SPDX-License-Identifier: BSD-3-Clause
"""Names of accounts: ``USER.SUFFIX`` for the user of a VO, ``GROUP.SUFFIX`` for a group, and back. Pure.

No suffix ends with a dot and another suffix (`xos.node.config` sees to that), so a name belongs to one VO at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""`xos.common.certificate`: names of users, groups and VOs."""
LONGEST = 129


class Parts(NamedTuple):
    """A name taken apart."""

    owner: str
    vo: str


def account_name(owner: str, suffix: str) -> str:
    """The name of a user's or a group's account."""
    return f"{owner}.{suffix}"


def split(name: str, suffixes: Mapping[str, str]) -> Parts | None:
    """Whose *name* is; None when it is of no VO in *suffixes* (suffix to VO)."""
    if len(name) > LONGEST:
        return None
    at = name.find(".")
    while at > 0:
        vo = suffixes.get(name[at + 1 :])
        if vo is not None:
            return Parts(name[:at], vo) if _OWNER.fullmatch(name[:at]) else None
        at = name.find(".", at + 1)
    return None

# SPDX-License-Identifier: BSD-3-Clause
"""Which names there may be: only those that certificates, accounts, paths and logs can all carry."""

from __future__ import annotations

import re

from xos.vom.errors import BadName

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLAIN_RULE = "1 to 64 of a-z 0-9 . _ - and first a letter or digit"
_LABEL_RULE = "1 to 64 of A-Z a-z 0-9 . _ - and first a letter or digit"


def check_name(what: str, name: str) -> str:
    """*name*, if a VO, user or node may be called so; else raises `BadName`. ASCII only: nothing looks alike."""
    if _PLAIN.fullmatch(name) is None:
        raise BadName(what=what, name=name, rule=_PLAIN_RULE)
    return name


def check_label(what: str, name: str) -> str:
    """*name*, if a group or role may be called so (capitals allowed: ``VOAdmin``); else raises `BadName`."""
    if _LABEL.fullmatch(name) is None:
        raise BadName(what=what, name=name, rule=_LABEL_RULE)
    return name


def check_labels(what: str, names: tuple[str, ...], *, most: int) -> tuple[str, ...]:
    """*names* checked each, sorted, each once; raises `BadName` also when there are more than *most*."""
    if len(names) > most:
        raise BadName(what=what, name=f"list of {len(names)}", rule=f"at most {most} at once")
    return tuple(sorted({check_label(what, name) for name in names}))

# SPDX-License-Identifier: BSD-3-Clause
"""A further VO in ``node.toml``, with numbers that nobody has yet."""

from __future__ import annotations

import json
from pathlib import Path

from xos.common.config import parse
from xos.common.errors import ConfigError
from xos.common.files import write_atomically
from xos.node.config import FIRST_USUAL, NodeConfig, Range, Vo, problems
from xos.node.errors import BadRequest

UIDS, GIDS = 100_000, 10_000
STEP = 200_000
"""From one VO's numbers to the next's."""


def free_ranges(config: NodeConfig) -> tuple[Range, Range]:
    """Uids and gids that no VO has. Raises `BadRequest` when there are none left."""
    taken = [span for vo in config.vos.values() for span in (vo.uids, vo.gids)]
    for first in range(FIRST_USUAL, 2**31 - 1 - STEP, STEP):
        if not any(span.first < first + STEP and first <= span.last for span in taken):
            return Range(first, first + UIDS - 1), Range(first + UIDS, first + UIDS + GIDS - 1)
    raise BadRequest(detail="no numbers are left for another VO")


def add(file: Path, vo: str, trust: Path, accounts: str = "user") -> Vo:
    """Append a section for *vo* to *file*; a VO that is there already stays as it is.

    Raises `ConfigError`, `BadRequest`, `OSError`; then the file is as before.
    """
    text = file.read_text() if file.exists() else "# VOs that this machine serves; see xos-amsd(8).\n"
    config = parse(text, NodeConfig, file=str(file))
    if vo in config.vos:
        return config.vos[vo]
    uids, gids = free_ranges(config)
    section = [
        "",
        f"[vos.{json.dumps(vo)}]",
        f"trust = {json.dumps(str(trust))}",
        f"uids = [{uids.first}, {uids.last}]",
        f"gids = [{gids.first}, {gids.last}]",
    ]
    if accounts != "user":
        section.append(f"accounts = {json.dumps(accounts)}")
    text = text.rstrip("\n") + "\n" + "\n".join(section) + "\n"
    config = parse(text, NodeConfig, file=str(file))
    for key, detail, advice in problems(config):
        raise ConfigError(file=str(file), line=0, key=key, detail=detail, advice=advice)
    write_atomically(file, text.encode(), 0o644)
    return config.vos[vo]

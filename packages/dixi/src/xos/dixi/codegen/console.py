# SPDX-License-Identifier: BSD-3-Clause
"""Console data: the descriptions themselves as JSON, one service a line.

`xconsole` completes from it without asking the grid, and a generator in another language can start from it. The form
of each line is that of the answer to ``describe``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from xos.dixi.description import ServiceDescription


def render(services: Sequence[ServiceDescription]) -> str:
    """The text of ``console.json``."""
    lines = ",\n".join(msgspec.json.encode(service).decode() for service in services)
    return f"[\n{lines}\n]\n"


def load(text: str | bytes) -> list[ServiceDescription]:
    """What `render` wrote. Raises `msgspec.ValidationError` for anything else."""
    return msgspec.json.decode(text, type=list[ServiceDescription])

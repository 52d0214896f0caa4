# SPDX-License-Identifier: BSD-3-Clause
"""The journal: events with fields, never prose with values pasted in.

    log = get_logger("xos.aem.jobs")
    log.info("job.accepted", vo=job.vo, user=job.user, job=job.id)

Under systemd the fields go to journald as fields of its own (``journalctl JOB=...``), else as logfmt to stderr, and
readable to a person at a terminal. What is named like a secret is never written.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    # structlog takes 30 ms to import; a command that has nothing to log does not pay for it.
    from structlog.typing import FilteringBoundLogger

__all__ = ["Style", "configure", "get_logger"]

Style = Literal["auto", "journal", "logfmt", "json", "console"]

_settings = itertools.count(1)


def configure(*, service: str, node: str, level: str = "info", style: Style = "auto") -> None:
    """Set up logging for this process, once, at its start; every event carries *service* and *node*.

    *level*: debug, info, warning, error, critical. *style* ``auto``: journald's own protocol when stderr is the
    journal, else colours and alignment on a terminal, else logfmt. The standard library's `logging` (asyncio, Alembic)
    goes the same way, from warnings up.
    """
    from xos.common.log_pipeline import install

    install(service=service, node=node, level=level, style=style)
    _Logger.current = next(_settings)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose events carry ``source=name``; may be made before `configure`, which it then follows.

    Without `configure`, warnings and worse go to stderr.
    """
    return cast("FilteringBoundLogger", _Logger(name))


class _Logger:
    """Becomes a structlog logger on first use, and again after `configure`."""

    current = 0

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: tuple[int, Any] = (-1, None)

    def __getattr__(self, attribute: str) -> Any:
        if self._made[0] != self.current:
            from xos.common.log_pipeline import bound

            self._made = (self.current, bound(self._name))
        return getattr(self._made[1], attribute)

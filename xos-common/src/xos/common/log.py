# SPDX-License-Identifier: BSD-3-Clause
"""The journal: events with fields, never prose with values pasted in.

    log = get_logger("xos.aem.jobs")
    log.info("job.accepted", vo=job.vo, user=job.user, job=job.id)

Under systemd the fields go to journald as fields of its own (``journalctl JOB=...``), else as logfmt to stderr, and
readable to a person at a terminal. What is named like a secret is never written.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from xos.common.journald import Journal, journal_fields

__all__ = ["configure", "get_logger"]

Style = Literal["auto", "journal", "logfmt", "json", "console"]

_SECRETS = frozenset({"password", "passphrase", "passwd", "key", "token", "secret"})
_MASK = "***"
_LONGEST = 16_384
_DEEPEST = 4
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def configure(*, service: str, node: str, level: str = "info", style: Style = "auto") -> None:
    """Set up logging for this process, once, at its start; every event carries *service* and *node*.

    *style* ``auto``: journald's own protocol when stderr is the journal, else colours and alignment on a terminal,
    else logfmt. The standard library's `logging` (asyncio, Alembic) goes the same way, from warnings up.
    """
    if style == "auto":
        style = "journal" if _stderr_is_journal() else "console" if sys.stderr.isatty() else "logfmt"
    start: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Common(service, node),
        structlog.processors.format_exc_info,
        _clean,
    ]
    _install([*start, *_renderer(style)], _Sink(style), level, cached=True)
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _FromLogging)]:
        root.removeHandler(handler)
    root.addHandler(_FromLogging())


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose events carry ``source=name``. Before `configure`, warnings and worse go to stderr."""
    if not structlog.is_configured():
        style: Style = "logfmt"
        processors: list[Processor] = [structlog.processors.add_log_level, structlog.processors.format_exc_info, _clean]
        _install([*processors, *_renderer(style)], _Sink(style), "warning", cached=False)
    return cast("FilteringBoundLogger", structlog.get_logger(source=name))


def _install(processors: list[Processor], sink: _Sink, level: str, *, cached: bool) -> None:
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=cached,
    )


def _renderer(style: Style) -> list[Processor]:
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if style == "journal":
        return [_to_journal]
    if style == "json":
        return [stamp, structlog.processors.JSONRenderer(sort_keys=True)]
    if style == "console":
        return [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ),
        ]
    order = ["timestamp", "level", "event", "service", "node"]
    return [stamp, structlog.processors.LogfmtRenderer(key_order=order, drop_missing=True, bool_as_flag=False)]


def _stderr_is_journal() -> bool:
    """Whether systemd connected stderr to the journal: JOURNAL_STREAM names its device and inode."""
    told = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return told == f"{found.st_dev}:{found.st_ino}"


class _Common:
    """Adds what every event of this process carries."""

    def __init__(self, service: str, node: str) -> None:
        self._service, self._node = service, node

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", self._service)
        event.setdefault("node", self._node)
        return event


def _clean(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secrets, name fields so that every renderer takes them, cut what is too long."""
    return {re.sub(r"\W", "_", str(name))[:64] or "_": _shown(str(name), value, 0) for name, value in event.items()}


def _shown(name: str, value: object, depth: int) -> Any:
    if _SECRETS & set(re.split(r"[^a-z]+", name.lower())) and value is not None:
        return _MASK
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(k): _shown(str(k), v, depth + 1) for k, v in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_shown("", v, depth + 1) for v in value]
    return str(value)[:_LONGEST]


def _to_journal(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    return journal_fields(event)


class _Sink:
    """Where rendered events end. A stream that is gone loses events; it never fails the service that logs."""

    def __init__(self, style: Style) -> None:
        self._journal = Journal() if style == "journal" else None
        self._stream: TextIO = sys.stderr
        self.lost = 0

    def msg(self, line: str | bytes) -> None:
        try:
            if self._journal is not None and isinstance(line, bytes):
                self._journal.send(line)
            else:
                self._stream.write(f"{line!s}\n")
                self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    debug = info = warning = error = critical = exception = msg


class _FromLogging(logging.Handler):
    """Hands records of the standard library's `logging` to structlog."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        get_logger(record.name).log(
            max(10, min(50, record.levelno // 10 * 10)), record.getMessage(), exc_info=record.exc_info or None
        )

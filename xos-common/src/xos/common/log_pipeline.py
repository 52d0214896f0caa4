# SPDX-License-Identifier: BSD-3-Clause
"""What `xos.common.log` sets up: structlog's processors, and where their output ends."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from xos.common.journald import Journal, journal_fields
from xos.common.log import Style, get_logger

_SECRETS = frozenset({"password", "passphrase", "passwd", "key", "token", "secret"})
_MASK = "***"
_LONGEST = 16_384
_DEEPEST = 4
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def install(*, service: str, node: str, level: str, style: Style) -> None:
    """See `xos.common.log.configure`."""
    if style == "auto":
        style = "journal" if _stderr_is_journal() else "console" if sys.stderr.isatty() else "logfmt"
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Common(service, node),
        structlog.processors.format_exc_info,
        _clean,
    ]
    _install([*processors, *_renderer(style)], _Sink(style), level)
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _FromLogging)]:
        root.removeHandler(handler)
    root.addHandler(_FromLogging())


def bound(name: str) -> FilteringBoundLogger:
    """The logger of *name* as things are set up now; nothing set up means warnings and worse, to stderr."""
    if not structlog.is_configured():
        processors: list[Processor] = [structlog.processors.add_log_level, structlog.processors.format_exc_info, _clean]
        _install([*processors, *_renderer("logfmt")], _Sink("logfmt"), "warning")
    return cast("FilteringBoundLogger", structlog.get_logger().bind(source=name))


def _install(processors: list[Processor], sink: _Sink, level: str) -> None:
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
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
        self.lost = 0

    def msg(self, line: str | bytes) -> None:
        try:
            if self._journal is not None and isinstance(line, bytes):
                self._journal.send(line)
            else:
                sys.stderr.write(f"{line!s}\n")
                sys.stderr.flush()
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

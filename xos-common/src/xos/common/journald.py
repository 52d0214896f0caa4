# SPDX-License-Identifier: BSD-3-Clause
"""journald's native protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_TAKEN = frozenset({"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE_ID"})


def journal_fields(event: Mapping[str, object]) -> bytes:
    """An event as one journal entry: upper-cased fields, and a MESSAGE that reads well by itself."""
    level = str(event.get("level", "info"))
    rest = {name: value for name, value in event.items() if name not in {"event", "level", "exception"}}
    said = [str(event.get("event", ""))]
    said += [f"{name}={value}" for name, value in rest.items() if name not in {"service", "node", "source"}]
    message = " ".join(said)
    if "exception" in event:
        message += f"\n{event['exception']}"
    entry = [
        _field("MESSAGE", message),
        _field("PRIORITY", str(_PRIORITY.get(level, 6))),
        _field("SYSLOG_IDENTIFIER", str(event.get("service", "xos"))),
        _field("EVENT", str(event.get("event", ""))),
    ]
    for name, value in rest.items():
        upper = name.upper().lstrip("_0123456789")[:60]
        if upper and upper.isascii():
            entry.append(_field(f"XOS_{upper}" if upper in _TAKEN else upper, str(value)))
    return b"".join(entry)


def _field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace")
    if b"\n" in raw:
        return name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


class Journal:
    """The socket to journald. Never blocks: an entry that finds it full is lost, and `send` raises."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path or SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def send(self, entry: bytes) -> None:
        """Send one entry; a long one goes as a sealed memory file. Raises `OSError`."""
        try:
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._send_file(entry)

    def _send_file(self, entry: bytes) -> None:
        fd = os.memfd_create("xos-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(entry)
            while rest:
                rest = rest[os.write(fd, rest) :]
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            self._socket.sendmsg([b""], [rights], 0, self._path)
        finally:
            os.close(fd)

    def __del__(self) -> None:
        self._socket.close()

# SPDX-License-Identifier: BSD-3-Clause
"""Asking xos-amsd, blocking: one question, one answer."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from xos.common.errors import Fault, XosError, from_fault
from xos.node.api import SOCKET
from xos.node.errors import NotReachable
from xos.node.message import MAX_MESSAGE, decode, encode

PATIENCE_SECONDS = 10.0


def ask(fields: Mapping[str, str], *, path: Path = SOCKET, seconds: float = PATIENCE_SECONDS) -> dict[str, str]:
    """The answer to a question. Raises `NotReachable`, `BadMessage`, and whatever the daemon answers with."""
    data = encode(fields)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(data)
            answer = connection.recv(MAX_MESSAGE + 1)
    except OSError as error:
        raise NotReachable(path=str(path), detail=error.strerror or "no answer in time") from error
    if not answer:
        raise NotReachable(path=str(path), detail="it ended the connection")
    told = decode(answer)
    if "error" in told:
        raise _error(told)
    return told


def _error(told: Mapping[str, str]) -> XosError:
    retry = told.get("retry", "")
    return from_fault(
        Fault(
            told["error"],
            told.get("message", ""),
            told.get("hint", ""),
            retry_after_ms=int(retry) if retry.isdecimal() else None,
        )
    )

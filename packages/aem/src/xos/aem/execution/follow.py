# SPDX-License-Identifier: BSD-3-Clause
"""Waiting until a file grows, by inotify(7): nobody polls."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct

_IN_MODIFY = 0x2
_IN_IGNORED = 0x8000
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Follower:
    """One inotify instance for all files that are being followed."""

    def __init__(self) -> None:
        self._fd = -1
        self._events: dict[int, set[asyncio.Event]] = {}

    def close(self) -> None:
        """Stop listening."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def watch(self, file: int, changed: asyncio.Event) -> int:
        """Set *changed* whenever the open *file* is written to, until `drop` is called with what this returns.

        Raises `OSError` when the system has no watch left.
        """
        self._open()
        watch = self._add(f"/proc/self/fd/{file}")
        self._events.setdefault(watch, set()).add(changed)
        return watch

    def _open(self) -> None:
        if self._fd >= 0:
            return
        fd = _libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if fd < 0:
            raise _error()
        self._fd = fd
        asyncio.get_running_loop().add_reader(fd, self._hear)

    def _add(self, path: str) -> int:
        watch: int = _libc.inotify_add_watch(self._fd, path.encode(), ctypes.c_uint32(_IN_MODIFY))
        if watch < 0:
            raise _error()
        return watch

    def drop(self, watch: int, changed: asyncio.Event) -> None:
        """Undo one `watch`."""
        listening = self._events.get(watch, set())
        listening.discard(changed)
        if not listening and self._events.pop(watch, None) is not None and self._fd >= 0:
            _libc.inotify_rm_watch(self._fd, watch)  # fails when the file has been deleted: then it is gone already

    def _hear(self) -> None:
        try:
            heard = os.read(self._fd, 65_536)
        except BlockingIOError:
            return
        at = 0
        while at < len(heard):
            watch, mask, _, length = _EVENT.unpack_from(heard, at)
            at += _EVENT.size + length
            listening = self._events.pop(watch, set()) if mask & _IN_IGNORED else self._events.get(watch, set())
            for changed in listening:
                changed.set()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

# SPDX-License-Identifier: BSD-3-Clause
"""Accounts without amsd: a number from a range of the settings, never given twice.

A file keeps them, one line each (``UID VO USER``), synced before an account is used.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from xos.aem.errors import NoAccount
from xos.aem.execution.accounts import Account, Accounts
from xos.aem.execution.orders import Checked
from xos.aem.execution.settings import ExecutionSettings
from xos.common.errors import StorageBroken
from xos.common.files import write_atomically

_LOWEST = 1000
"""Below are the system's own accounts, root among them."""


class LocalAccounts(Accounts, name="local"):
    """See the module. Blocks for an fsync when an account is new."""

    def __init__(self, directory: Path, settings: ExecutionSettings) -> None:
        """Accounts kept in *directory*. Raises `StorageBroken` when they cannot be understood."""
        super().__init__(directory, settings)
        first, last = settings.first_uid, settings.last_uid
        if not _LOWEST <= first <= last:
            raise ValueError(f"no accounts between {first} and {last}")
        self._path, self._first, self._last = self._directory / "accounts", first, last
        self._lock = threading.Lock()
        self._uids = self._load()

    def _load(self) -> dict[tuple[str, str], int]:
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return {}
        whole, newline, torn = text.rpartition("\n")
        uids: dict[tuple[str, str], int] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            words = line.split(" ")
            if len(words) != 3 or not words[0].isdigit() or int(words[0]) < _LOWEST or int(words[0]) in uids.values():
                raise StorageBroken(path=str(self._path), detail=f"line {number} is no account")
            uids[words[1], words[2]] = int(words[0])
        if torn:
            # Cut short by a crash, so never used.
            write_atomically(self._path, (whole + newline).encode())
        return uids

    def account(self, checked: Checked, certificate: bytes) -> Account:  # noqa: ARG002
        """See `Accounts.account`. Raises `NoAccount` when the range is used up, and `OSError`."""
        vo, user = checked.owner.vo, checked.owner.name
        with self._lock:
            uid = self._uids.get((vo, user))
            if uid is None:
                uid = max((*self._uids.values(), self._first - 1)) + 1
                if uid > self._last:
                    raise NoAccount(user=user, vo=vo, first=self._first, last=self._last)
                self._append(f"{uid} {vo} {user}\n")
                self._uids[vo, user] = uid
            return Account(uid, uid)

    def _append(self, line: str) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            before = os.fstat(fd).st_size
            try:
                if os.write(fd, line.encode()) != len(line.encode()):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, before)
                raise
        finally:
            os.close(fd)

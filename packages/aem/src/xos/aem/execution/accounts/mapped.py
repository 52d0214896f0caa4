# SPDX-License-Identifier: BSD-3-Clause
"""The accounts that VO users log in to: xos-amsd verifies the certificate, asks the node's policy, and maps."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from xos.aem.errors import AccountRefused
from xos.aem.execution.accounts import Account, Accounts
from xos.aem.execution.orders import Checked
from xos.aem.execution.settings import ExecutionSettings
from xos.common.errors import StorageBroken, StorageBusy, StorageError, XosError
from xos.node.api import SOCKET
from xos.node.client import ask
from xos.node.errors import NotReachable

_LOWEST = 1000
"""Below are the system's own accounts, root among them."""
_SKELETON = Path("/etc/skel")
_VOLUME, _VOLUME_SECONDS = Path("/usr/libexec/xos/home-volume"), 15.0


class MappedAccounts(Accounts, name="mapped"):
    """See the module."""

    def __init__(self, directory: Path, settings: ExecutionSettings) -> None:
        super().__init__(directory, settings)
        self._socket = Path(settings.accounts_socket or SOCKET)

    def account(self, checked: Checked, certificate: bytes) -> Account:
        """See `Accounts.account`.

        Raises `AccountRefused` when xos-amsd refuses, `StorageBusy` when it is away (the order may come again), and
        `StorageBroken`, `OSError`.
        """
        context = msgspec.json.encode(checked.context).decode()
        question = {"op": "map", "certificate": base64.b64encode(certificate).decode(), "context": context}
        try:
            told = ask(question, path=self._socket)
        except NotReachable as error:
            raise StorageBusy(path=str(self._socket), detail=error.message) from error
        except StorageError:
            raise
        except XosError as error:
            raise AccountRefused(detail=error.message) from error
        groups = tuple(int(gid) for gid in told["gids"].split(",") if gid)
        account = Account(int(told["uid"]), int(told["gid"]), groups, told["name"], told["home"])
        if min(account.uid, account.gid, *groups) < _LOWEST:
            raise StorageBroken(path=str(self._socket), detail=f"{checked.owner} would be {account.uid}")
        if not on_volume(account):
            make_home(Path(account.home), account.uid, account.gid)
        return account

    def vos(self) -> frozenset[str]:
        """Those that xos-amsd serves. Raises what asking does."""
        return frozenset(filter(None, ask({"op": "status"}, path=self._socket)["vos"].split(",")))

    def withdraw(self, vo: str) -> None:
        """See `Accounts.withdraw`. Raises what asking xos-amsd does."""
        ask({"op": "withdraw", "vo": vo}, path=self._socket)


def on_volume(account: Account, helper: Path = _VOLUME) -> bool:
    """Whether the home is on a volume, as the node's helper says, which makes it if need be (docs/login.md).

    Raises `StorageBusy` when it should be there and is not: the order may come again.
    """
    if not helper.exists():
        return False
    words = [str(helper), account.name, str(account.uid), str(account.gid), account.home]
    try:
        status = subprocess.run(
            words, env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=_VOLUME_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        status = 2
    if status not in (0, 1):
        raise StorageBusy(path=account.home, detail="the volume of homes is not mounted")
    return status == 0


def make_home(home: Path, uid: int, gid: int) -> None:
    """A home directory with what ``/etc/skel`` holds, whole or not at all; one that is there stays as it is.

    Only below a directory that nobody but its owner, root, may write to. Raises `StorageBroken`, `OSError`.
    """
    if _is_there(home):
        return
    parent = home.parent.stat()
    if parent.st_uid != os.geteuid() or parent.st_mode & 0o022:
        raise StorageBroken(path=str(home.parent), detail="others may write where homes are made")
    draft = Path(tempfile.mkdtemp(prefix=f".{home.name[:80]}-", dir=home.parent))
    try:
        if _SKELETON.is_dir():
            shutil.copytree(_SKELETON, draft, symlinks=True, dirs_exist_ok=True)
        for directory, names, files in os.walk(draft):
            for name in (*names, *files):
                os.chown(Path(directory) / name, uid, gid, follow_symlinks=False)
        os.chown(draft, uid, gid)
        draft.chmod(0o700)
        draft.rename(home)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not _is_there(home):  # else another unit of theirs made it at the same moment
            raise


def _is_there(home: Path) -> bool:
    return home.is_dir() and not home.is_symlink()

# SPDX-License-Identifier: BSD-3-Clause
"""Accounts of this machine and the global identities of the VO, both ways.

The account ``alice.demo`` that libnss_xos shows is ``alice@demo``; root is ``root@NODE``, another account of the
machine's own ``uid.1000@NODE``, a group ``gid.1000@NODE``. The group that ``alice.demo`` has to herself is
``~alice@demo``, as no group of a VO can be called. Identities that are no account here are `NOBODY`.
"""

from __future__ import annotations

import errno
import grp
import pwd
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from xos.xtreemfs.api import Claim
from xos.xtreemfs.fuse.values import Caller, refuse

NOBODY = 65534
"""Linux's overflow uid and gid."""
KEEP_SECONDS = 60.0
"""For how long an answer of NSS is believed."""
CLAIM_SECONDS = 1.0
"""For how long the groups of a process are."""
MOST_CLAIMS = 4096
_ACCOUNT = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.([A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_OWN = "~"
_LOCAL = re.compile(r"(uid|gid)\.([0-9]{1,10})@(.+)", re.DOTALL)


class Identities(Protocol):
    """Who is who."""

    own: Claim | None
    """For whom the connection speaks, where `claim` gives None."""

    def claim(self, caller: Caller) -> Claim | None:
        """For whom to ask; None: for whom the connection speaks."""
        ...

    def uid(self, owner: str) -> int:
        """The account that *owner* has here."""
        ...

    def gid(self, group: str) -> int:
        """The group that *group* is here."""
        ...

    def owner(self, uid: int) -> str:
        """Whose the account is. Raises `OSError`."""
        ...

    def group(self, gid: int) -> str:
        """Which group it is. Raises `OSError`."""
        ...


class _Kept:
    """A look-up that remembers its answers for a while."""

    def __init__(self, find: Callable[[str], int | None]) -> None:
        self._find = find
        self._found: dict[str, tuple[float, int]] = {}

    def __call__(self, name: str) -> int:
        known = self._found.get(name)
        now = time.monotonic()
        if known is not None and now - known[0] < KEEP_SECONDS:
            return known[1]
        number = self._find(name)
        answer = NOBODY if number is None else number
        if len(self._found) >= MOST_CLAIMS:
            self._found.clear()
        self._found[name] = now, answer
        return answer


class MachineIdentities:
    """Of a mount that serves every account of the machine, by the machine's own connection."""

    own: Claim | None = None

    def __init__(self, node: str) -> None:
        self._node = node
        self._uids, self._gids = _Kept(self._find_uid), _Kept(self._find_gid)
        self._owners: dict[int, tuple[float, str]] = {}
        self._groups: dict[int, tuple[float, str]] = {}
        self._claims: dict[Caller, tuple[float, Claim]] = {}

    def claim(self, caller: Caller) -> Claim:
        """See `Identities`."""
        now = time.monotonic()
        known = self._claims.get(caller)
        if known is not None and now - known[0] < CLAIM_SECONDS:
            return known[1]
        if len(self._claims) >= MOST_CLAIMS:
            self._claims.clear()
        numbers = [caller.gid, *(gid for gid in groups_of(caller.pid) if gid != caller.gid)]
        groups = tuple(self.group(gid) for gid in numbers)
        claim = Claim(self.owner(caller.uid), groups, groups[0])
        self._claims[caller] = now, claim
        return claim

    def uid(self, owner: str) -> int:
        """See `Identities`."""
        return self._uids(owner)

    def gid(self, group: str) -> int:
        """See `Identities`."""
        return self._gids(group)

    def owner(self, uid: int) -> str:
        """See `Identities`."""
        return _named(self._owners, uid, self._owner_of)

    def group(self, gid: int) -> str:
        """See `Identities`."""
        return _named(self._groups, gid, self._group_of)

    def _owner_of(self, uid: int) -> str:
        if uid == 0:
            return f"root@{self._node}"
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = ""
        return _global(name) or f"uid.{uid}@{self._node}"

    def _group_of(self, gid: int) -> str:
        try:
            name = grp.getgrgid(gid).gr_name if gid else ""
        except KeyError:
            name = ""
        return _global(name) or self._own_group(gid, name) or f"gid.{gid}@{self._node}"

    @staticmethod
    def _own_group(gid: int, name: str) -> str | None:
        """What an account has to itself; none for a group that is only called like that."""
        if "@" not in name:
            return None
        try:
            account = pwd.getpwuid(gid)
        except KeyError:
            return None
        owner = _global(account.pw_name)
        return f"{_OWN}{owner}" if owner == name and account.pw_gid == gid else None

    def _find_uid(self, owner: str) -> int | None:
        if owner == f"root@{self._node}":
            return 0
        own = self._own(owner, "uid")
        if own is not None:
            return own
        try:
            return pwd.getpwnam(owner.replace("@", ".", 1)).pw_uid
        except (KeyError, ValueError):
            return None

    def _find_gid(self, group: str) -> int | None:
        own = self._own(group, "gid")
        if own is not None:
            return own
        try:
            if group.startswith(_OWN):  # also of who has not been on this machine yet
                return pwd.getpwnam(group.removeprefix(_OWN).replace("@", ".", 1)).pw_gid
            return grp.getgrnam(group.replace("@", ".", 1)).gr_gid
        except (KeyError, ValueError):
            return None

    def _own(self, name: str, kind: str) -> int | None:
        found = _LOCAL.fullmatch(name)
        if found is None or found[1] != kind or found[3] != self._node:
            return None
        return int(found[2]) & 0xFFFFFFFF


class UserIdentities:
    """Of a user's own mount: what is theirs at the MRC is their account's here, all else nobody's."""

    def __init__(self, user: str, groups: tuple[str, ...], uid: int, gid: int) -> None:
        self._user, self._names, self._uid, self._gid = user, groups, uid, gid
        self.own: Claim | None = Claim(user, groups, groups[0] if groups else "")

    def claim(self, caller: Caller) -> None:
        """See `Identities`: the certificate speaks."""

    def uid(self, owner: str) -> int:
        """See `Identities`."""
        return self._uid if owner == self._user else NOBODY

    def gid(self, group: str) -> int:
        """See `Identities`."""
        return self._gid if group in self._names or group == f"{_OWN}{self._user}" else NOBODY

    def owner(self, uid: int) -> str:
        """See `Identities`."""
        if uid != self._uid:
            raise refuse(errno.EPERM)
        return self._user

    def group(self, gid: int) -> str:
        """See `Identities`."""
        if gid != self._gid or not self._names:
            raise refuse(errno.EPERM)
        return self._names[0]


def groups_of(pid: int) -> list[int]:
    """The supplementary groups of a process; none of one that has ended, or of the kernel itself."""
    try:
        text = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return []
    start = text.find(b"\nGroups:")
    return [int(word) for word in text[start + 8 : text.find(b"\n", start + 1)].split()] if start >= 0 else []


def _named(kept: dict[int, tuple[float, str]], number: int, find: Callable[[int], str]) -> str:
    known = kept.get(number)
    now = time.monotonic()
    if known is None or now - known[0] >= KEEP_SECONDS:
        if len(kept) >= MOST_CLAIMS:
            kept.clear()
        known = kept[number] = now, find(number)
    return known[1]


def _global(account: str) -> str | None:
    found = _ACCOUNT.fullmatch(account)
    return None if found is None else f"{found[1]}@{found[2]}"

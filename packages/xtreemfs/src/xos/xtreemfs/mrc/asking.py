# SPDX-License-Identifier: BSD-3-Clause
"""Who is asking: a caller that TLS has verified, and for whom it says that it asks. Pure."""

from __future__ import annotations

import fnmatch
import functools
import re

from xos.common.identity import Identity, Kind
from xos.xtreemfs.api import Claim
from xos.xtreemfs.mrc.values import Who

MOST_GROUPS = 1024
_NAME = re.compile(r"[^@\s\x00-\x1f\x7f]{1,100}@[A-Za-z0-9][A-Za-z0-9._-]{0,58}")
_LOCAL = re.compile(r"(root|[ug]id\.\d{1,10})@.*")


@functools.lru_cache(maxsize=4096)
def who(caller: Identity, claim: Claim | None, *, speakers: tuple[str, ...], superusers: tuple[str, ...]) -> Who | None:
    """For whom the call is; None: the caller may not say so.

    A user speaks for that user, and a machine without a claim for its own root. A machine whose name fits *speakers* is
    believed about its own accounts and the users of its VOs; its root is the superuser if it fits *superusers*.
    """
    if caller.kind is Kind.USER:
        return _user(caller) if claim is None else None
    if caller.kind is not Kind.MACHINE:
        return None
    root = f"root@{caller.name}"
    if claim is None:
        claim = Claim(root, (root,), root)
    elif not _fits(caller.name, speakers):
        return None
    identities = {claim.user, claim.group, *claim.groups}
    if len(claim.groups) > MOST_GROUPS or not all(_may_claim(caller, identity) for identity in identities):
        return None
    superuser = claim.user == root and _fits(caller.name, superusers)
    return Who(claim.user, frozenset(claim.groups) | {claim.group}, claim.group, superuser)


def _user(caller: Identity) -> Who:
    primary = f"{caller.group}@{caller.vo}"
    groups = frozenset(f"{group}@{caller.vo}" for group in (caller.group, *caller.groups))
    return Who(str(caller), groups, primary, superuser="VOAdmin" in caller.roles)


def _may_claim(caller: Identity, identity: str) -> bool:
    if _NAME.fullmatch(identity) is None:
        return False
    where = identity.rpartition("@")[2]
    if _LOCAL.fullmatch(identity):
        return where == caller.name
    return where == caller.name or not caller.vos or where in caller.vos


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

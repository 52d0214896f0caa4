# SPDX-License-Identifier: BSD-3-Clause
"""Names that were told a tentative number a while ago, so that id(1) finds the name to the number that it was given.

A few of them, in memory: anybody may ask for any name, and nothing that they ask may grow. Nobody owns anything by such
a number, and as soon as it is somebody's, the account counts (`xos.node.accounts`).
"""

from __future__ import annotations

from collections import OrderedDict

from xos.node.accounts import Accounts
from xos.node.api import Account, State, VoGroup

MOST = 256


class Promised:
    """The latest names that were asked for and have no account yet. For one event loop."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._names: OrderedDict[int, str] = OrderedDict()

    def told(self, account: Account) -> None:
        """Somebody has been told of *account*."""
        if account.state is not State.TENTATIVE:
            return
        self._names[account.uid] = account.name
        self._names.move_to_end(account.uid)
        if len(self._names) > MOST:
            self._names.popitem(last=False)

    def by_uid(self, uid: int) -> Account | None:
        """The tentative account that was told the number *uid*, if that is still what its name is told."""
        account = self._accounts.by_name(self._names.get(uid, ""))
        return account if account is not None and account.uid == uid and account.state is State.TENTATIVE else None

    def group(self, gid: int) -> VoGroup | None:
        """Its own group."""
        account = self.by_uid(gid)
        return None if account is None else VoGroup(gid, account.own_group, account.vo, account.owner)

# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: many members at once."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from xos.common.log import get_logger
from xos.vom import bulk, importing, invitations
from xos.vom.api import BadLine, Imported, User, UserChange
from xos.vom.callers import authorise
from xos.vom.dates import last_moment
from xos.vom.fields import changed, check_supported, checked_change, new_user
from xos.vom.importing import Fields, Row
from xos.vom.policy import Act, require_over
from xos.vom.records.trail import acting
from xos.vom.xvoms._base import Part

INVITATION_S = 14 * 86_400

log = get_logger(__name__)


class Imports(Part):
    """Lists of members."""

    async def import_users(self, vo: str, text: str, form: str = "csv", dry_run: bool = False) -> Imported:
        """See `XVOMS.import_users`. Raises `BadImport`, `UnknownVO`, `BadName`, `BadRequest`, `Forbidden`."""
        caller = await authorise(self.core, Act.ADD_USER, vo)
        home = await self._vo(vo)
        now = self.core.now()

        def make(fields: Fields) -> User:
            user = _user(vo, fields, now)
            check_supported(user, User(vo, user.name), home)
            return user

        rows, bad = await asyncio.to_thread(importing.read, text, form, make)
        if not dry_run:
            importing.refuse(bad)
        require_over({role for row in rows for role in row.user.roles}, caller, vo)
        expires = int(now + INVITATION_S)
        made = {
            row.user.name: invitations.make(vo, row.user.name, expires)
            for row in rows
            if not row.password and not row.identities
        }
        codes = {name: kept for name, (_, kept) in made.items()}

        noted = acting(now, "users-imported", vo=vo, lines=len(rows), form=form)

        def work(connection: sa.Connection) -> tuple[list[Row], list[BadLine]]:
            new, problems = bulk.compare(connection, vo, rows)
            if not dry_run:
                importing.refuse(problems)
                bulk.insert(connection, vo, new, codes)
                noted(connection)
            return new, problems

        store = self.core.store
        new, problems = await (store.read(work) if dry_run else store.write(work))
        problems = sorted([*bad, *problems], key=lambda one: one.line)
        log.info("users-imported", vo=vo, added=len(new), bad=len(problems), dry_run=dry_run, by=str(caller))
        if problems:
            return Imported(0, problems=tuple(problems[: importing.MOST_TOLD]))
        shown = () if dry_run else tuple(made[row.user.name][0] for row in new if row.user.name in made)
        return Imported(len(new), len(rows) - len(new), shown)


def _user(vo: str, fields: Fields, now: float) -> User:
    """The user that a line describes. Raises `BadName`, `BadRequest`."""
    one = {name: values[0] for name, values in fields.items() if values}
    group, groups, roles = one.get("group", "users"), fields.get("groups", ()), fields.get("roles", ())
    change = UserChange(
        capabilities=tuple(sorted(set(fields.get("capabilities", ())))),
        expires=last_moment(one.get("expires", "")),
        full_name=one.get("full_name", ""),
        email=one.get("email", ""),
    )
    return changed(new_user(vo, one["name"], group, groups, roles, now), checked_change(change))

# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the database of VOs, as others see it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.dixi.api import call, service


class UserState(enum.StrEnum):
    """Whether a user may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class VO(msgspec.Struct, array_like=True, frozen=True):
    """A Virtual Organisation."""

    name: str
    description: str = ""
    created: float = 0.0
    """Unix seconds."""
    users: int = 0


class User(msgspec.Struct, array_like=True, frozen=True):
    """A member of a VO."""

    vo: str
    name: str
    group: str = ""
    """Primary group."""
    groups: tuple[str, ...] = ()
    """Further groups."""
    roles: tuple[str, ...] = ()
    state: UserState = UserState.ACTIVE
    created: float = 0.0


class Group(msgspec.Struct, array_like=True, frozen=True):
    """A group of a VO."""

    vo: str
    name: str
    members: int = 0


@service
class XVOMS(Protocol):
    """The VO database: VOs, users, groups, roles.

    VOs are created by the core machine's own certificate; a VO is administered by that or by its ``VOAdmin`` users.
    """

    @call(idempotent=True)
    async def create_vo(self, name: str, description: str = "") -> VO:
        """Create a VO; creating it again with the same description returns it."""
        ...

    @call(reads=True)
    async def list_vos(self) -> list[VO]:
        """The VOs that the caller may see: a machine all, a user their own."""
        ...

    @call(idempotent=True)
    async def add_user(
        self,
        vo: str,
        name: str,
        password: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
    ) -> User:
        """Add a member; groups and roles that do not exist yet are created."""
        ...

    @call(reads=True)
    async def list_users(self, vo: str, after: str = "", limit: int = 1000) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only."""
        ...

    @call(reads=True)
    async def user_info(self, vo: str, name: str) -> User:
        """One member: oneself, or any as administrator."""
        ...

    @call(reads=True)
    async def list_groups(self, vo: str) -> list[Group]:
        """The groups of a VO."""
        ...

    @call(idempotent=True)
    async def set_user_state(self, vo: str, name: str, state: UserState) -> User:
        """Suspend a member (certificates already issued are revoked) or let them act again."""
        ...

    @call(idempotent=True)
    async def set_password(self, vo: str, name: str, password: str, current: str | None = None) -> None:
        """Change a password: one's own, by telling the *current* one, or any member's as administrator."""
        ...

# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the database of VOs and their members, as others see it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.common.identity import Kind
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
    version: int = 1
    """Grows with each change of the VO itself."""
    creator: str = ""
    """``USER@VO`` of who created it; a core machine's name."""
    registration: bool = True
    """Whether anybody may ask to become a member (`Registration.ask`)."""
    attributes: tuple[str, ...] = ()
    """Names of the attributes that its members may have."""
    capabilities: tuple[str, ...] = ()
    """Names of the capabilities that its members may have."""
    requests: int = 0
    """Requests for membership that wait for a decision."""
    resources: int = 0
    manager: bytes = b""
    """The VO manager's certificate (DER): its key signs what the VO says, such as its archive."""


class VOChange(msgspec.Struct, array_like=True, frozen=True):
    """What shall be different about a VO; None leaves a thing as it is."""

    description: str | None = None
    registration: bool | None = None
    attributes: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None


class User(msgspec.Struct, array_like=True, frozen=True):
    """A member of a VO."""

    vo: str
    name: str
    group: str = ""
    """Primary group."""
    groups: tuple[str, ...] = ()
    """Further groups. Who is in ``physics.atlas`` is in ``physics`` too, without it being listed."""
    roles: tuple[str, ...] = ()
    state: UserState = UserState.ACTIVE
    created: float = 0.0
    capabilities: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    """Name and value of each that it has, of those that the VO supports."""
    expires: float = 0.0
    """Unix seconds after which the membership is over; 0: never."""
    full_name: str = ""
    email: str = ""
    version: int = 1
    """Grows with each change of the user."""


class UserChange(msgspec.Struct, array_like=True, frozen=True):
    """What shall be different about a member; None leaves a thing as it is."""

    group: str | None = None
    groups: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    attributes: tuple[tuple[str, str], ...] | None = None
    expires: float | None = None
    full_name: str | None = None
    email: str | None = None


class Group(msgspec.Struct, array_like=True, frozen=True):
    """A group of a VO; ``physics.atlas`` is a part of ``physics``."""

    vo: str
    name: str
    members: int = 0
    """Those who have it as primary or further group, without those of its parts."""
    description: str = ""


class Role(msgspec.Struct, array_like=True, frozen=True):
    """A role that members of a VO have."""

    vo: str
    name: str
    members: int = 0
    description: str = ""


class LinkedIdentity(msgspec.Struct, array_like=True, frozen=True):
    """By what else than a password a member proves who they are."""

    backend: str
    """Of the CDA: ``oidc``, ``kerberos``, ``pam``."""
    subject: str
    """What the back-end calls the person: ``sub`` at the OpenID provider, the Kerberos principal, the account."""


class Invitation(msgspec.Struct, array_like=True, frozen=True):
    """Lets a member choose a password, once."""

    vo: str
    name: str
    code: str
    """Shown once, kept only as a hash."""
    expires: int = 0
    """Unix seconds."""


class BadLine(msgspec.Struct, array_like=True, frozen=True):
    """A line of a list that cannot be taken in."""

    line: int
    detail: str


class Imported(msgspec.Struct, array_like=True, frozen=True):
    """What became of an import."""

    added: int
    unchanged: int = 0
    """Lines that describe a member who is there just so."""
    invitations: tuple[Invitation, ...] = ()
    """One for each new member who can prove nothing yet."""
    problems: tuple[BadLine, ...] = ()
    """Of a dry run: what is wrong, by line; at most 1,000."""


class Archive(msgspec.Struct, array_like=True, frozen=True):
    """What is left of a dissolved VO."""

    vo: str
    dissolved: float
    """Unix seconds."""
    by: str
    sha256: str
    """Of the archive, hex."""
    size: int
    """Bytes."""


@service
class XVOMS(Protocol):
    """The VO database: VOs, users, groups, roles.

    Who may do what is one table: chapter "Who may do what" of the manual. A change that gives the *version* that it
    was made from is refused when somebody else was faster (`vom.changed-meanwhile`); version 0 takes what comes.
    """

    @call(idempotent=True)
    async def create_vo(self, name: str, description: str = "") -> VO:
        """Create a VO; creating it again with the same description returns it. A user who does is its manager."""
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
    async def list_users(
        self, vo: str, after: str = "", limit: int = 1000, search: str = "", group: str = "", role: str = ""
    ) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only.

        *search*: a part of the name, full name or e-mail address. *group*, *role*: only those who have it.
        """
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

    @call(reads=True)
    async def vo_info(self, name: str) -> VO:
        """One VO."""
        ...

    @call
    async def change_vo(self, name: str, change: VOChange, version: int = 0) -> VO:
        """Change a VO: its description, what it supports, whether it takes requests."""
        ...

    @call(idempotent=True)
    async def dissolve_vo(self, name: str) -> Archive:
        """Dissolve a VO: its certificates are revoked, its resources leave, every entry goes into the archive.

        The name is never given to another VO. Dissolving it again returns the archive.
        """
        ...

    @call(reads=True)
    async def list_archives(self) -> list[Archive]:
        """The archives of dissolved VOs."""
        ...

    @call(reads=True, allow={Kind.MACHINE})
    async def dissolved(self, vos: tuple[str, ...]) -> list[str]:
        """Those of *vos* (at most 1,000) that have been dissolved: what machines still have of them is to go."""
        ...

    @call(reads=True)
    async def archive(self, vo: str) -> bytes:
        """The archive of a dissolved VO: JSON, with the VO manager's signature and certificate."""
        ...

    @call
    async def change_user(self, vo: str, name: str, change: UserChange, version: int = 0) -> User:
        """Change a member. What takes a group, role or capability away revokes the certificates that name it."""
        ...

    @call(idempotent=True)
    async def remove_user(self, vo: str, name: str) -> None:
        """Take a member out of a VO; certificates already issued are revoked."""
        ...

    @call
    async def import_users(self, vo: str, text: str, form: str = "csv", dry_run: bool = False) -> Imported:
        """Add many members from CSV or LDIF: all, or none with each bad line named (`vom.bad-import`).

        *form*: ``csv`` or ``ldif``. *dry_run*: only check, and tell every bad line.
        """
        ...

    @call(reads=True)
    async def memberships(self) -> list[User]:
        """The calling user in each VO that they are a member of."""
        ...

    @call(idempotent=True)
    async def add_group(self, vo: str, name: str, description: str = "") -> Group:
        """Add a group (and those above it), or change its description."""
        ...

    @call(idempotent=True)
    async def remove_group(self, vo: str, name: str) -> None:
        """Remove a group that has neither members nor parts."""
        ...

    @call(reads=True)
    async def list_roles(self, vo: str) -> list[Role]:
        """The roles of a VO."""
        ...

    @call(idempotent=True)
    async def add_role(self, vo: str, name: str, description: str = "") -> Role:
        """Add a role, or change its description."""
        ...

    @call(idempotent=True)
    async def remove_role(self, vo: str, name: str) -> None:
        """Remove a role that nobody has."""
        ...

    @call(idempotent=True)
    async def link_identity(self, vo: str, name: str, backend: str, subject: str) -> None:
        """Let a member prove who they are by a back-end of the CDA besides the password."""
        ...

    @call(idempotent=True)
    async def unlink_identity(self, vo: str, name: str, backend: str, subject: str) -> None:
        """End that."""
        ...

    @call(reads=True)
    async def list_identities(self, vo: str, name: str) -> list[LinkedIdentity]:
        """What a member is linked to."""
        ...

# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.vom.api; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.vom.api."""

from __future__ import annotations

from xos.dixi.stubs import AsyncStub, BlockingStub
from xos.vom.api import VO, CertificateWish, Group, Issued, JoinToken, User, UserState


class CDAAsync(AsyncStub):
    """Credential Distribution Authority: gives users short-lived XOS-Certificates."""

    service = "CDA"

    async def issue(self, wish: CertificateWish, *, deadline: float | None = None) -> Issued:
        """A certificate for the CSR's key, by password or by the caller's still valid certificate."""
        result: Issued = await self._caller.call("CDA.issue", (wish,), Issued, deadline=deadline)
        return result

    async def delegate(self, csr: bytes, hours: float = 1.0, *, deadline: float | None = None) -> Issued:
        """A certificate of the caller's for the CSR's key, which is somebody else's: who holds it acts as the caller.

        It has the groups and roles of the certificate shown, and does not outlive it.
        """
        result: Issued = await self._caller.call("CDA.delegate", (csr, hours), Issued, deadline=deadline)
        return result

    async def ca(self, *, deadline: float | None = None) -> bytes:
        """The VO CA's certificate (DER)."""
        result: bytes = await self._caller.call("CDA.ca", (), bytes, deadline=deadline, retry=True)
        return result

    async def revocations(self, *, deadline: float | None = None) -> bytes:
        """The current CRL (DER, RFC 5280), signed by the VO CA."""
        result: bytes = await self._caller.call("CDA.revocations", (), bytes, deadline=deadline, retry=True)
        return result


class CDAXati(BlockingStub):
    """Credential Distribution Authority: gives users short-lived XOS-Certificates."""

    service = "CDA"

    def issue(self, wish: CertificateWish, *, deadline: float | None = None) -> Issued:
        """A certificate for the CSR's key, by password or by the caller's still valid certificate."""
        result: Issued = self._caller.call("CDA.issue", (wish,), Issued, deadline=deadline)
        return result

    def delegate(self, csr: bytes, hours: float = 1.0, *, deadline: float | None = None) -> Issued:
        """A certificate of the caller's for the CSR's key, which is somebody else's: who holds it acts as the caller.

        It has the groups and roles of the certificate shown, and does not outlive it.
        """
        result: Issued = self._caller.call("CDA.delegate", (csr, hours), Issued, deadline=deadline)
        return result

    def ca(self, *, deadline: float | None = None) -> bytes:
        """The VO CA's certificate (DER)."""
        result: bytes = self._caller.call("CDA.ca", (), bytes, deadline=deadline, retry=True)
        return result

    def revocations(self, *, deadline: float | None = None) -> bytes:
        """The current CRL (DER, RFC 5280), signed by the VO CA."""
        result: bytes = self._caller.call("CDA.revocations", (), bytes, deadline=deadline, retry=True)
        return result


class RCAAsync(AsyncStub):
    """Resource Certification Authority: gives machines their certificates."""

    service = "RCA"

    async def create_token(
        self, node: str, minutes: float = 60.0, addresses: tuple[str, ...] = (), *, deadline: float | None = None
    ) -> JoinToken:
        """A one-time token by which *node* may join; core machines only, since machines belong to every VO.

        *addresses* (IP) are certified beside the node's name, for clients such as curl that check them.
        """
        result: JoinToken = await self._caller.call(
            "RCA.create_token", (node, minutes, addresses), JoinToken, deadline=deadline
        )
        return result

    async def join(self, token: str, node: str, csr: bytes, *, deadline: float | None = None) -> Issued:
        """A machine certificate for *node*; the token is used up (the same CSR again gets the same certificate)."""
        result: Issued = await self._caller.call("RCA.join", (token, node, csr), Issued, deadline=deadline, retry=True)
        return result

    async def renew(self, csr: bytes, *, deadline: float | None = None) -> Issued:
        """A new machine certificate for the calling machine."""
        result: Issued = await self._caller.call("RCA.renew", (csr,), Issued, deadline=deadline, retry=True)
        return result

    async def certify_host_keys(self, keys: tuple[str, ...], *, deadline: float | None = None) -> tuple[str, ...]:
        """OpenSSH host certificates for the calling machine's *keys* (lines of ``ssh_host_*_key.pub``), in their order.

        For the machine's name and certified addresses, for as long as its own certificate holds.
        """
        result: tuple[str, ...] = await self._caller.call(
            "RCA.certify_host_keys", (keys,), tuple[str, ...], deadline=deadline, retry=True
        )
        return result


class RCAXati(BlockingStub):
    """Resource Certification Authority: gives machines their certificates."""

    service = "RCA"

    def create_token(
        self, node: str, minutes: float = 60.0, addresses: tuple[str, ...] = (), *, deadline: float | None = None
    ) -> JoinToken:
        """A one-time token by which *node* may join; core machines only, since machines belong to every VO.

        *addresses* (IP) are certified beside the node's name, for clients such as curl that check them.
        """
        result: JoinToken = self._caller.call(
            "RCA.create_token", (node, minutes, addresses), JoinToken, deadline=deadline
        )
        return result

    def join(self, token: str, node: str, csr: bytes, *, deadline: float | None = None) -> Issued:
        """A machine certificate for *node*; the token is used up (the same CSR again gets the same certificate)."""
        result: Issued = self._caller.call("RCA.join", (token, node, csr), Issued, deadline=deadline, retry=True)
        return result

    def renew(self, csr: bytes, *, deadline: float | None = None) -> Issued:
        """A new machine certificate for the calling machine."""
        result: Issued = self._caller.call("RCA.renew", (csr,), Issued, deadline=deadline, retry=True)
        return result

    def certify_host_keys(self, keys: tuple[str, ...], *, deadline: float | None = None) -> tuple[str, ...]:
        """OpenSSH host certificates for the calling machine's *keys* (lines of ``ssh_host_*_key.pub``), in their order.

        For the machine's name and certified addresses, for as long as its own certificate holds.
        """
        result: tuple[str, ...] = self._caller.call(
            "RCA.certify_host_keys", (keys,), tuple[str, ...], deadline=deadline, retry=True
        )
        return result


class XVOMSAsync(AsyncStub):
    """The VO database: VOs, users, groups, roles.

    VOs are created by the core machine's own certificate; a VO is administered by that or by its ``VOAdmin`` users.
    """

    service = "XVOMS"

    async def create_vo(self, name: str, description: str = "", *, deadline: float | None = None) -> VO:
        """Create a VO; creating it again with the same description returns it."""
        result: VO = await self._caller.call("XVOMS.create_vo", (name, description), VO, deadline=deadline, retry=True)
        return result

    async def list_vos(self, *, deadline: float | None = None) -> list[VO]:
        """The VOs that the caller may see: a machine all, a user their own."""
        result: list[VO] = await self._caller.call("XVOMS.list_vos", (), list[VO], deadline=deadline, retry=True)
        return result

    async def add_user(
        self,
        vo: str,
        name: str,
        password: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        *,
        deadline: float | None = None,
    ) -> User:
        """Add a member; groups and roles that do not exist yet are created."""
        result: User = await self._caller.call(
            "XVOMS.add_user", (vo, name, password, group, groups, roles), User, deadline=deadline, retry=True
        )
        return result

    async def list_users(
        self, vo: str, after: str = "", limit: int = 1000, *, deadline: float | None = None
    ) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only."""
        result: list[User] = await self._caller.call(
            "XVOMS.list_users", (vo, after, limit), list[User], deadline=deadline, retry=True
        )
        return result

    async def user_info(self, vo: str, name: str, *, deadline: float | None = None) -> User:
        """One member: oneself, or any as administrator."""
        result: User = await self._caller.call("XVOMS.user_info", (vo, name), User, deadline=deadline, retry=True)
        return result

    async def list_groups(self, vo: str, *, deadline: float | None = None) -> list[Group]:
        """The groups of a VO."""
        result: list[Group] = await self._caller.call(
            "XVOMS.list_groups", (vo,), list[Group], deadline=deadline, retry=True
        )
        return result

    async def set_user_state(self, vo: str, name: str, state: UserState, *, deadline: float | None = None) -> User:
        """Suspend a member (certificates already issued are revoked) or let them act again."""
        result: User = await self._caller.call(
            "XVOMS.set_user_state", (vo, name, state), User, deadline=deadline, retry=True
        )
        return result

    async def set_password(
        self, vo: str, name: str, password: str, current: str | None = None, *, deadline: float | None = None
    ) -> None:
        """Change a password: one's own, by telling the *current* one, or any member's as administrator."""
        await self._caller.call(
            "XVOMS.set_password", (vo, name, password, current), None, deadline=deadline, retry=True
        )


class XVOMSXati(BlockingStub):
    """The VO database: VOs, users, groups, roles.

    VOs are created by the core machine's own certificate; a VO is administered by that or by its ``VOAdmin`` users.
    """

    service = "XVOMS"

    def create_vo(self, name: str, description: str = "", *, deadline: float | None = None) -> VO:
        """Create a VO; creating it again with the same description returns it."""
        result: VO = self._caller.call("XVOMS.create_vo", (name, description), VO, deadline=deadline, retry=True)
        return result

    def list_vos(self, *, deadline: float | None = None) -> list[VO]:
        """The VOs that the caller may see: a machine all, a user their own."""
        result: list[VO] = self._caller.call("XVOMS.list_vos", (), list[VO], deadline=deadline, retry=True)
        return result

    def add_user(
        self,
        vo: str,
        name: str,
        password: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        *,
        deadline: float | None = None,
    ) -> User:
        """Add a member; groups and roles that do not exist yet are created."""
        result: User = self._caller.call(
            "XVOMS.add_user", (vo, name, password, group, groups, roles), User, deadline=deadline, retry=True
        )
        return result

    def list_users(self, vo: str, after: str = "", limit: int = 1000, *, deadline: float | None = None) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only."""
        result: list[User] = self._caller.call(
            "XVOMS.list_users", (vo, after, limit), list[User], deadline=deadline, retry=True
        )
        return result

    def user_info(self, vo: str, name: str, *, deadline: float | None = None) -> User:
        """One member: oneself, or any as administrator."""
        result: User = self._caller.call("XVOMS.user_info", (vo, name), User, deadline=deadline, retry=True)
        return result

    def list_groups(self, vo: str, *, deadline: float | None = None) -> list[Group]:
        """The groups of a VO."""
        result: list[Group] = self._caller.call("XVOMS.list_groups", (vo,), list[Group], deadline=deadline, retry=True)
        return result

    def set_user_state(self, vo: str, name: str, state: UserState, *, deadline: float | None = None) -> User:
        """Suspend a member (certificates already issued are revoked) or let them act again."""
        result: User = self._caller.call("XVOMS.set_user_state", (vo, name, state), User, deadline=deadline, retry=True)
        return result

    def set_password(
        self, vo: str, name: str, password: str, current: str | None = None, *, deadline: float | None = None
    ) -> None:
        """Change a password: one's own, by telling the *current* one, or any member's as administrator."""
        self._caller.call("XVOMS.set_password", (vo, name, password, current), None, deadline=deadline, retry=True)

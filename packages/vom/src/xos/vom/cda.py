# SPDX-License-Identifier: BSD-3-Clause
"""CDA: gives users their short-lived XOS-Certificates."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cryptography import x509
from msgspec import Meta

from xos.common import ssh
from xos.common.authority import new_serial
from xos.common.errors import CertificateRevoked, CertificateTooLarge
from xos.common.identity import Identity, Kind
from xos.common.keys import check_csr
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import ledger, members
from xos.vom.api import CDA, CertificateWish, Issued, UserState
from xos.vom.core import VomCore
from xos.vom.errors import BadCredentials, BadRequest, NotAMember, PasswordNeeded, Suspended
from xos.vom.ledger import Outcome, Signed
from xos.vom.members import Member
from xos.vom.names import check_label, check_labels, check_name
from xos.vom.policy import Act, require
from xos.vom.sharing import VomSettings, release, share
from xos.vom.xvoms import MOST_LABELS

SHORTEST_S = 60

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.CDA.settings]``."""

    max_hours: Annotated[float, Meta(gt=0)] = 24.0
    """No certificate is issued for longer; a longer wish is cut."""
    max_delegation_hours: Annotated[float, Meta(gt=0)] = 8.0
    """The same for delegations."""
    ssh_permits: tuple[str, ...] = ssh.PERMITS
    """What an SSH session may do: extensions of the OpenSSH certificate (ssh-keygen(1), -O)."""


class CdaService(Hosted[Settings], CDA):
    """The CDA over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core or join it; the CDA keeps its CRL fresh."""
        self.core = await share(self.host, self.settings)
        self.host.spawn(self.core.keep_fresh(), name="vom-crl")

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    async def issue(self, wish: CertificateWish) -> Issued:
        """See `CDA.issue`. The certificate is on record, for revocation, before it is answered.

        Raises `BadCredentials`, `PasswordNeeded`, `TooManyAttempts`, `PasswordsBusy`, `Suspended`, `NotAMember`,
        `Forbidden`, `BadName`, `BadRequest`, `BadCsr`, `WeakKey`, `CsrForbidden`, `CertificateRevoked`.
        """
        check_wish(wish)
        csr = check_csr(wish.csr)
        if wish.password is None:
            shown: Identity | None = self._shown(wish)
            member = await self._member(wish)
        else:
            shown = None
            member = await self._by_password(wish, wish.password)
        while True:
            issued = await self._record(member, wish, csr, shown)
            if issued is not None:
                return issued
            # The user was changed at this very moment: judge again by what they are now.
            before, member = member, await self._member(wish)
            if shown is None and member.password != before.password:
                raise BadCredentials

    async def delegate(self, csr: bytes, hours: float = 1.0) -> Issued:
        """See `CDA.delegate`. Raises `BadRequest` when the certificate shown ends too soon, and as `issue` does."""
        caller = current_call().caller
        left = (caller.not_after - self.core.now()) / 3600
        if left * 3600 < SHORTEST_S:
            raise BadRequest(what="certificate", detail=f"valid for at least {SHORTEST_S} s more")
        wish = CertificateWish(
            caller.vo,
            caller.name,
            csr,
            hours=min(hours, left, self.settings.max_delegation_hours),
            group=caller.group,
            roles=caller.roles,
        )
        return msgspec.structs.replace(await self.issue(wish), ssh="")  # who acts for a user does not log in as them

    async def ca(self) -> bytes:
        """See `CDA.ca`."""
        return self.core.authority.der

    async def revocations(self) -> bytes:
        """See `CDA.revocations`."""
        return self.core.crl.crl

    def _shown(self, wish: CertificateWish) -> Identity:
        """The caller's certificate, if it is good for this wish."""
        caller = current_call().caller
        if caller.kind is Kind.ANONYMOUS:
            raise PasswordNeeded(vo=wish.vo, user=wish.user)
        require(Act.RENEW_USER, caller, wish.vo, wish.user)
        return caller

    async def _by_password(self, wish: CertificateWish, password: str) -> Member:
        store, gate = self.core.store, self.core.gate
        member = await store.read(lambda c: members.find_member(c, wish.vo, wish.user))
        kept = None if member is None else member.password
        address = current_call().address
        await gate.admit(vo=wish.vo, user=wish.user, address=address, kept=kept, password=password)
        if member is None:
            raise BadCredentials
        return member

    async def _member(self, wish: CertificateWish) -> Member:
        member = await self.core.store.read(lambda c: members.find_member(c, wish.vo, wish.user))
        if member is None:
            raise BadCredentials
        return member

    async def _record(
        self, member: Member, wish: CertificateWish, csr: x509.CertificateSigningRequest, shown: Identity | None
    ) -> Issued | None:
        """Sign and record; None when the member changed meanwhile."""
        holder = choose(member, wish, shown)
        core = self.core
        now = int(core.now())
        lifetime = max(SHORTEST_S, min(wish.hours, self.settings.max_hours) * 3600)
        signed = Signed(new_serial(), now, core.expiry(now, lifetime))
        certificate = core.authority.issue_user(csr, holder, lifetime, serial=signed.serial, at=now)
        serial = 0 if shown is None else shown.serial
        outcome = await core.store.write(lambda c: ledger.record_user(c, member.id, member.version, signed, serial))
        if outcome is Outcome.REVOKED:
            raise CertificateRevoked(name=str(holder), serial=serial)
        if outcome is Outcome.CHANGED:
            return None
        log.info("certificate-issued", vo=wish.vo, user=wish.user, serial=signed.serial, not_after=signed.not_after)
        return Issued(certificate, core.authority.der, signed.not_after, self._ssh(certificate))

    def _ssh(self, certificate: bytes) -> str:
        try:
            return ssh.certify_user(self.core.authority, certificate, self.settings.ssh_permits)
        except CertificateTooLarge as error:
            log.info("no-ssh-certificate", code=error.code, reason=error.message)
            return ""


def check_wish(wish: CertificateWish) -> None:
    """Raise `BadName` or `BadRequest` for a wish that no user could have."""
    check_name("VO", wish.vo)
    check_name("user", wish.user)
    if wish.group is not None:
        check_label("group", wish.group)
    if wish.roles is not None:
        check_labels("roles", wish.roles, most=MOST_LABELS)
    if not wish.hours > 0:  # NaN too
        raise BadRequest(what="hours", detail="more than 0")


def choose(member: Member, wish: CertificateWish, shown: Identity | None) -> Identity:
    """What the certificate will say of its holder. Pure.

    By password: any of the user's groups as the primary one, all or some of their roles. By certificate: no role
    that the one *shown* does not have, so that a narrowed certificate stays narrow however often it is renewed.
    Raises `Suspended`, `NotAMember`.
    """
    user = member.user
    if user.state is not UserState.ACTIVE:
        raise Suspended(vo=user.vo, user=user.name)
    every = (user.group, *user.groups)
    group = wish.group
    if group is None:
        group = shown.group if shown is not None and shown.group in every else user.group
    elif group not in every:
        raise NotAMember(vo=user.vo, user=user.name, what="group", name=group)
    may = user.roles if shown is None else tuple(role for role in user.roles if role in shown.roles)
    for role in wish.roles or ():
        if role not in may:
            raise NotAMember(vo=user.vo, user=user.name, what="role", name=role)
    roles = may if wish.roles is None else tuple(sorted(set(wish.roles)))
    others = tuple(name for name in every if name != group)
    return Identity(Kind.USER, user.name, user.vo, group, others, roles)

# SPDX-License-Identifier: BSD-3-Clause
"""CDA: gives users their short-lived XOS-Certificates."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

import msgspec
from cryptography import x509
from msgspec import Meta

from xos.common import ssh
from xos.common.authority import Authority, new_serial
from xos.common.errors import CertificateRevoked, CertificateTooLarge
from xos.common.identity import Identity, Kind
from xos.common.keys import check_csr
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import ledger, members
from xos.vom.api import CDA, Backend, CertificateWish, Issued, Login, User, UserState
from xos.vom.backends import Admission, Prover
from xos.vom.backends.certificate import CertificateBackend
from xos.vom.backends.kerberos import KerberosBackend, KerberosSettings
from xos.vom.backends.oidc import OidcBackend, OidcSettings
from xos.vom.backends.pam import PamBackend, PamSettings
from xos.vom.backends.password import PasswordBackend
from xos.vom.core import VomCore
from xos.vom.errors import BadCredentials, BadRequest, MembershipOver, NotAMember, Suspended, UnknownBackend
from xos.vom.fields import MOST_LABELS
from xos.vom.ledger import Outcome, Signed
from xos.vom.members import Member
from xos.vom.names import check_label, check_labels, check_name
from xos.vom.sharing import VomSettings, release, share

MOST_VOS = 20
"""Further VOs in one certificate."""
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
    oidc: OidcSettings | None = None
    """An OpenID provider whose users may log in."""
    kerberos: KerberosSettings | None = None
    """A Kerberos realm whose users may log in."""
    pam: PamSettings | None = None
    """Accounts of this host may log in."""


class CdaService(Hosted[Settings], CDA):
    """The CDA over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core or join it; the CDA keeps its CRL fresh."""
        self.core = await share(self.host, self.settings)
        self._backends = {backend.name: backend for backend in made(self.core, self.settings)}
        self.host.spawn(self.core.keep_fresh(), name="vom-crl")

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        for backend in self._backends.values():
            await backend.close()
        await release(self.core)

    async def backends(self) -> list[Backend]:
        """See `CDA.backends`."""
        return [backend.told() for backend in self._backends.values()]

    async def begin_login(self, backend: str) -> Login:
        """See `CDA.begin_login`. Raises `UnknownBackend`, `BackendAway`."""
        chosen = self._backend(backend)
        if not isinstance(chosen, OidcBackend):
            raise UnknownBackend(backend=f"a login by {backend[:40]}", known=", ".join(self._backends))
        return await chosen.begin()

    def _backend(self, name: str) -> Prover:
        found = self._backends.get(name)
        if found is None:
            raise UnknownBackend(backend=name[:40], known=", ".join(self._backends))
        return found

    async def issue(self, wish: CertificateWish) -> Issued:
        """See `CDA.issue`. The certificate is on record, for revocation, before it is answered.

        Raises `BadCredentials`, `PasswordNeeded`, `TooManyAttempts`, `PasswordsBusy`, `Suspended`, `MembershipOver`,
        `NotAMember`, `NotLinked`, `LoginPending`, `LoginOver`, `BackendAway`, `UnknownBackend`, `DelegationShown`,
        `Forbidden`, `BadName`, `BadRequest`, `BadCsr`, `WeakKey`, `CsrForbidden`, `CertificateRevoked`.
        """
        return await self._issue(wish, delegated=False)

    async def _issue(self, wish: CertificateWish, *, delegated: bool) -> Issued:
        check_wish(wish)
        csr = check_csr(wish.csr)
        backend = self._backend(wish.backend or ("certificate" if wish.password is None else "password"))
        admission = await backend.admit(wish)
        while True:
            issued = await self._record(admission, wish, csr, delegated=delegated)
            if issued is not None:
                return issued
            # The user was changed at this very moment: judge again by what they are now.
            before = admission.member
            member = await self._member(wish.vo, before.user.name)
            if admission.shown is None and member.password != before.password:
                raise BadCredentials
            admission = Admission(member, admission.shown)

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
            groups=caller.groups,
            vos=caller.vos,
            capabilities=caller.capabilities,
        )
        return await self._issue(wish, delegated=True)

    async def ca(self) -> bytes:
        """See `CDA.ca`."""
        return self.core.authority.der

    async def revocations(self) -> bytes:
        """See `CDA.revocations`."""
        return self.core.crl.crl

    async def _member(self, vo: str, name: str) -> Member:
        member = await self.core.store.read(lambda c: members.find_member(c, vo, name))
        if member is None:
            raise BadCredentials
        return member

    async def _record(
        self, admission: Admission, wish: CertificateWish, csr: x509.CertificateSigningRequest, *, delegated: bool
    ) -> Issued | None:
        """Sign and record; None when the member changed meanwhile."""
        core, member = self.core, admission.member
        now = int(core.now())
        elsewhere = await self._elsewhere(member, wish, admission.shown, now)
        holder = msgspec.structs.replace(choose(member, wish, admission.shown, now, elsewhere), delegated=delegated)
        lifetime: float = max(SHORTEST_S, min(wish.hours, self.settings.max_hours) * 3600)
        if member.user.expires:
            lifetime = min(lifetime, member.user.expires - now)
        signed = Signed(new_serial(), now, core.expiry(now, lifetime), holder.vos)
        certificate, text = await core.signed(
            lambda ca: self._signed(ca, csr, holder, lifetime, signed, delegated=delegated)
        )
        serial = 0 if admission.shown is None else admission.shown.serial
        outcome = await core.store.write(lambda c: ledger.record_user(c, member.id, member.version, signed, serial))
        if outcome is Outcome.REVOKED:
            raise CertificateRevoked(name=str(holder), serial=serial)
        if outcome is Outcome.CHANGED:
            return None
        log.info("certificate-issued", vo=wish.vo, user=holder.name, serial=signed.serial, not_after=signed.not_after)
        return Issued(certificate, core.authority.der, signed.not_after, text)

    async def _elsewhere(
        self, member: Member, wish: CertificateWish, shown: Identity | None, now: int
    ) -> frozenset[str]:
        """The further VOs that the person is an active member of; looked up only for who asks for some."""
        if not wish.vos and (shown is None or not shown.vos):
            return frozenset()
        found = await self.core.store.read(lambda c: members.memberships(c, member.account))
        return frozenset(
            user.vo
            for user in found
            if user.vo != member.user.vo and user.state is UserState.ACTIVE and not 0 < user.expires <= now
        )

    def _signed(
        self,
        ca: Authority,
        csr: x509.CertificateSigningRequest,
        holder: Identity,
        lifetime_s: float,
        signed: Signed,
        *,
        delegated: bool,
    ) -> tuple[bytes, str]:
        """The XOS-Certificate and the OpenSSH certificate; who acts for a user does not log in as them."""
        certificate = ca.issue_user(csr, holder, lifetime_s, serial=signed.serial, at=signed.issued)
        try:
            return certificate, "" if delegated else ssh.certify_user(ca, certificate, self.settings.ssh_permits)
        except CertificateTooLarge as error:
            log.info("no-ssh-certificate", code=error.code, reason=error.message)
            return certificate, ""


def made(core: VomCore, settings: Settings) -> Iterator[Prover]:
    """The back-ends that the settings ask for. Raises `BackendAway` for one that cannot be on this host."""
    yield PasswordBackend(core)
    yield CertificateBackend(core)
    if settings.oidc is not None:
        yield OidcBackend(core, settings.oidc)
    if settings.kerberos is not None:
        yield KerberosBackend(core, settings.kerberos)
    if settings.pam is not None:
        yield PamBackend(core, settings.pam)


def check_wish(wish: CertificateWish) -> None:
    """Raise `BadName` or `BadRequest` for a wish that no user could have."""
    check_name("VO", wish.vo)
    if wish.user or wish.backend in ("", PasswordBackend.name, CertificateBackend.name):
        check_name("user", wish.user)
    if wish.group is not None:
        check_label("group", wish.group)
    for what in ("roles", "groups", "capabilities"):
        check_labels(what, getattr(wish, what) or (), most=MOST_LABELS)
    if len(wish.vos) > MOST_VOS:
        raise BadRequest(what="vos", detail=f"at most {MOST_VOS}")
    for vo in wish.vos:
        check_name("VO", vo)
    if not wish.hours > 0:  # NaN too
        raise BadRequest(what="hours", detail="more than 0")


def choose(
    member: Member, wish: CertificateWish, shown: Identity | None, now: float = 0, elsewhere: Collection[str] = ()
) -> Identity:
    """What the certificate will say of its holder at *now*. Pure.

    By password: any of the user's groups as the primary one, all or some of their further groups, roles, capabilities
    and of the VOs *elsewhere*. By certificate: nothing that the one *shown* does not have, so that a narrowed
    certificate stays narrow however often it is renewed. Raises `Suspended`, `MembershipOver`, `NotAMember`.
    """
    user = member.user
    if user.state is not UserState.ACTIVE:
        raise Suspended(vo=user.vo, user=user.name)
    if 0 < user.expires <= now:
        raise MembershipOver(vo=user.vo, user=user.name)
    pick = _Picker(user)
    groups: tuple[str, ...] = (user.group, *user.groups)
    roles, capabilities = user.roles, user.capabilities
    vos: tuple[str, ...] = wish.vos
    if shown is not None:
        held = {shown.group, *shown.groups}
        groups = tuple(name for name in groups if name in held)
        roles = tuple(name for name in roles if name in shown.roles)
        capabilities = tuple(name for name in capabilities if name in shown.capabilities)
        elsewhere = [vo for vo in elsewhere if vo in shown.vos]
        vos = wish.vos or tuple(vo for vo in shown.vos if vo in elsewhere)
    group = _primary(user, wish.group, shown, groups)
    others = tuple(name for name in groups if name != group)
    return Identity(
        Kind.USER,
        user.name,
        user.vo,
        group,
        pick("group", wish.groups, others)
        if wish.groups is None
        else pick("group", wish.groups, groups, without=group),
        pick("role", wish.roles, roles),
        pick("VO", vos, tuple(elsewhere)),
        capabilities=pick("capability", wish.capabilities, capabilities),
    )


def _primary(user: User, wanted: str | None, shown: Identity | None, groups: tuple[str, ...]) -> str:
    """The primary group. A user who has lost every group of the certificate shown gets their own."""
    if wanted is not None:
        if wanted not in groups:
            raise NotAMember(vo=user.vo, user=user.name, what="group", name=wanted)
        return wanted
    if shown is not None and shown.group in groups:
        return shown.group
    return user.group


class _Picker:
    """Picks those of a user's labels that are wished for."""

    def __init__(self, user: User) -> None:
        self._user = user

    def __call__(
        self, what: str, wanted: tuple[str, ...] | None, have: tuple[str, ...], without: str = ""
    ) -> tuple[str, ...]:
        """All that they *have* when nothing is *wanted* in particular. Raises `NotAMember`."""
        for name in wanted or ():
            if name not in have:
                raise NotAMember(vo=self._user.vo, user=self._user.name, what=what, name=name)
        return have if wanted is None else tuple(sorted(set(wanted) - {without}))

# SPDX-License-Identifier: BSD-3-Clause
"""RCA: gives machines their certificates, the first time against a one-time token."""

from __future__ import annotations

import secrets
from typing import Annotated

from cryptography import x509
from msgspec import Meta

from xos.common import ssh
from xos.common.certificate import CertificateRevoked, check_csr, load_certificate
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import ledger
from xos.vom.api import RCA, Issued, JoinToken
from xos.vom.core import VomCore
from xos.vom.errors import BadRequest, UnknownMachine
from xos.vom.ledger import Machine, Outcome, Signed, Token
from xos.vom.machines import check_addresses, digest, judge, sign_machine
from xos.vom.names import check_name
from xos.vom.policy import Act, require
from xos.vom.sharing import VomSettings, release, share, to_the_end

TOKEN_BYTES = 24
"""192 bits: not to be guessed, so tries are not counted."""
MOST_HOST_KEYS = 8
JOINED_ROLES = ("resource",)
"""What a token makes of a machine; core machines are set up by `xos.vom.founding`."""

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.RCA.settings]``."""

    machine_days: Annotated[float, Meta(gt=0)] = 30.0
    """Lifetime of a machine certificate."""
    max_token_minutes: Annotated[float, Meta(gt=0)] = 7 * 24 * 60.0
    """No token is good for longer; a longer wish is cut."""


class RcaService(Hosted[Settings], RCA):
    """The RCA over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    async def create_token(self, node: str, minutes: float = 60.0, addresses: tuple[str, ...] = ()) -> JoinToken:
        """See `RCA.create_token`. Raises `Forbidden`, `BadName`, `BadRequest`."""
        caller = current_call().caller
        require(Act.CREATE_TOKEN, caller)
        check_name("node", node)
        if not minutes > 0:  # NaN too
            raise BadRequest(what="minutes", detail="more than 0")
        certified = check_addresses(addresses)
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        now = self.core.now()
        expires = int(now + 60 * min(minutes, self.settings.max_token_minutes))
        token = Token(digest(secret.encode()), node, certified, str(caller), now, expires)
        await self.core.store.write(lambda connection: ledger.insert_token(connection, token))
        log.info("join-token-made", node=node, addresses=",".join(certified), expires=expires, by=str(caller))
        return JoinToken(secret, node, expires, digest(self.core.authority.der))

    async def join(self, token: str, node: str, csr: bytes) -> Issued:
        """See `RCA.join`. A machine of that name that was there before loses its certificates.

        Raises `UnknownToken`, `TokenExpired`, `TokenUsed`, `TokenForeign`, `BadName`, `BadCsr`, `WeakKey`,
        `CsrForbidden`.
        """
        check_name("node", node)
        checked = check_csr(csr)
        request, key = digest(csr), digest(token.encode())
        core = self.core
        while True:
            now = int(core.now())
            kept = await core.store.read(lambda connection: ledger.find_token(connection, key))
            good = judge(kept, node, request, now)
            if isinstance(good, bytes):
                not_after = load_certificate(good).not_valid_after_utc
                return Issued(good, core.authority.der, int(not_after.timestamp()))
            joined = await to_the_end(self.host, self._join(checked, good, request, now), name="join")
            if joined is not None:
                return joined
            # Somebody used the token at this very moment: judge again.

    async def _join(self, csr: x509.CertificateSigningRequest, token: Token, request: str, now: int) -> Issued | None:
        machine = Machine(token.node, JOINED_ROLES, token.addresses)
        issued, signed = self._sign(csr, machine, now)
        revoked = await self.core.store.write(
            lambda c: ledger.use_token(c, token.digest, request, issued.certificate, machine, signed)
        )
        if revoked is None:
            return None
        if revoked:
            await self.core.publish_crl()
        log.info("machine-joined", node=token.node, serial=signed.serial, revoked=revoked)
        return issued

    async def renew(self, csr: bytes) -> Issued:
        """See `RCA.renew`. Raises `UnknownMachine`, `CertificateRevoked`, `BadCsr`, `WeakKey`, `CsrForbidden`."""
        caller = current_call().caller
        require(Act.RENEW_MACHINE, caller)
        checked = check_csr(csr)
        core = self.core
        machine = await core.store.read(lambda connection: ledger.find_machine(connection, caller.name))
        if machine is None:
            raise UnknownMachine(node=caller.name)
        issued, signed = self._sign(checked, machine, int(core.now()))
        outcome = await core.store.write(
            lambda connection: ledger.record_machine(connection, caller.name, signed, caller.serial)
        )
        if outcome is Outcome.REVOKED:
            raise CertificateRevoked(name=str(caller), serial=caller.serial)
        log.info("machine-renewed", node=caller.name, serial=signed.serial, not_after=signed.not_after)
        return issued

    async def certify_host_keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """See `RCA.certify_host_keys`. Raises `UnknownMachine`, `BadRequest`, `BadCertificate`, `WeakKey`."""
        caller = current_call().caller
        require(Act.RENEW_MACHINE, caller)
        if len(keys) > MOST_HOST_KEYS:
            raise BadRequest(what="keys", detail=f"at most {MOST_HOST_KEYS}")
        core = self.core
        machine = await core.store.read(lambda connection: ledger.find_machine(connection, caller.name))
        if machine is None:
            raise UnknownMachine(node=caller.name)
        names = (machine.node, *machine.addresses)
        # The serial is that of the machine's own certificate: who takes that back knows which host is meant.
        made = tuple(
            ssh.certify_host(core.authority, key, names, caller.not_after, serial=caller.serial, at=core.now())
            for key in keys
        )
        log.info("host-keys-certified", node=machine.node, keys=len(keys), not_after=caller.not_after)
        return made

    def _sign(self, csr: x509.CertificateSigningRequest, machine: Machine, now: int) -> tuple[Issued, Signed]:
        return sign_machine(self.core, csr, machine, now, self.settings.machine_days * 86400)

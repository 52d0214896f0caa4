# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.vom.api; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.vom.api."""

from __future__ import annotations

from xos.common.policy import JobContext, NodeAttributes
from xos.common.signing import Signed
from xos.dixi.stubs import AsyncStub, BlockingStub
from xos.vom.api import (
    VO,
    Archive,
    Backend,
    By,
    CertificateWish,
    Certification,
    DryRun,
    Entry,
    Fetched,
    Group,
    Head,
    Imported,
    Invitation,
    Issued,
    JobAnswer,
    JobQuestion,
    JoinToken,
    Joining,
    Link,
    LinkedIdentity,
    Log,
    Login,
    MembershipRequest,
    NodeCertificate,
    OpenVO,
    PastRequest,
    Period,
    Policy,
    PolicyCheck,
    Quota,
    QuotaState,
    RequestState,
    Resource,
    ResourceAttributes,
    ResourceState,
    Role,
    Usage,
    UsageRecord,
    User,
    UserChange,
    UserState,
    VOChange,
    Verdict,
)


class AccountingAsync(AsyncStub):
    """Keeps the usage records of a VO's jobs in a chain whose head is signed, adds them up, and watches quotas."""

    service = "Accounting"

    async def record(self, records: list[Signed], *, deadline: float | None = None) -> Head:
        """Keep records that the calling node has signed; answers when they are on disk. A record kept before is none.

        All or nothing. Raises `BadUsageRecord`, which names the record.
        """
        result: Head = await self._caller.call("Accounting.record", (records,), Head, deadline=deadline, retry=True)
        return result

    async def fetch(self, node: str, since: float = 0.0, *, deadline: float | None = None) -> Fetched:
        """Fetch from *node* the records of what ended at *since* or later, and keep those that are new.

        Raises `Forbidden`, `BadName`, and what a call of the node's `UsageSpool` does.
        """
        result: Fetched = await self._caller.call(
            "Accounting.fetch", (node, since), Fetched, deadline=deadline, retry=True
        )
        return result

    async def running(self, units: list[UsageRecord], *, deadline: float | None = None) -> None:
        """What runs on the calling node now, with what it has used so far: counted until their records come."""
        await self._caller.call("Accounting.running", (units,), None, deadline=deadline, retry=True)

    async def records(
        self,
        vo: str,
        since: float = 0.0,
        until: float = 0.0,
        user: str = "",
        after: int = 0,
        limit: int = 1000,
        *,
        deadline: float | None = None,
    ) -> list[tuple[int, UsageRecord]]:
        """Records by number, those above *after*, that ended in [since, until): one's own, or all as administrator."""
        result: list[tuple[int, UsageRecord]] = await self._caller.call(
            "Accounting.records",
            (vo, since, until, user, after, limit),
            list[tuple[int, UsageRecord]],
            deadline=deadline,
            retry=True,
        )
        return result

    async def report(
        self,
        vo: str,
        by: By,
        since: float = 0.0,
        until: float = 0.0,
        period: Period = Period.ALL,
        user: str = "",
        start: int = 0,
        limit: int = 1000,
        largest: bool = False,
        *,
        deadline: float | None = None,
    ) -> list[Usage]:
        """Sums of what ended in [since, until) (0: no bound): one's own, or all as administrator.

        By period and subject, or with *largest* those first that used most CPU time; from number *start* on (the first
        is 0), at most *limit* (and 1,000).
        """
        result: list[Usage] = await self._caller.call(
            "Accounting.report",
            (vo, by, since, until, period, user, start, limit, largest),
            list[Usage],
            deadline=deadline,
            retry=True,
        )
        return result

    async def quotas(self, vo: str, *, deadline: float | None = None) -> list[QuotaState]:
        """The quotas that apply to the caller; as administrator all of them, ``*`` as such."""
        result: list[QuotaState] = await self._caller.call(
            "Accounting.quotas", (vo,), list[QuotaState], deadline=deadline, retry=True
        )
        return result

    async def set_quota(self, quota: Quota, *, deadline: float | None = None) -> Quota:
        """Set a quota in place of version `Quota.version`; one without any limit removes it.

        Raises `QuotaConflict` when somebody else was faster.
        """
        result: Quota = await self._caller.call("Accounting.set_quota", (quota,), Quota, deadline=deadline, retry=True)
        return result


class AccountingXati(BlockingStub):
    """Keeps the usage records of a VO's jobs in a chain whose head is signed, adds them up, and watches quotas."""

    service = "Accounting"

    def record(self, records: list[Signed], *, deadline: float | None = None) -> Head:
        """Keep records that the calling node has signed; answers when they are on disk. A record kept before is none.

        All or nothing. Raises `BadUsageRecord`, which names the record.
        """
        result: Head = self._caller.call("Accounting.record", (records,), Head, deadline=deadline, retry=True)
        return result

    def fetch(self, node: str, since: float = 0.0, *, deadline: float | None = None) -> Fetched:
        """Fetch from *node* the records of what ended at *since* or later, and keep those that are new.

        Raises `Forbidden`, `BadName`, and what a call of the node's `UsageSpool` does.
        """
        result: Fetched = self._caller.call("Accounting.fetch", (node, since), Fetched, deadline=deadline, retry=True)
        return result

    def running(self, units: list[UsageRecord], *, deadline: float | None = None) -> None:
        """What runs on the calling node now, with what it has used so far: counted until their records come."""
        self._caller.call("Accounting.running", (units,), None, deadline=deadline, retry=True)

    def records(
        self,
        vo: str,
        since: float = 0.0,
        until: float = 0.0,
        user: str = "",
        after: int = 0,
        limit: int = 1000,
        *,
        deadline: float | None = None,
    ) -> list[tuple[int, UsageRecord]]:
        """Records by number, those above *after*, that ended in [since, until): one's own, or all as administrator."""
        result: list[tuple[int, UsageRecord]] = self._caller.call(
            "Accounting.records",
            (vo, since, until, user, after, limit),
            list[tuple[int, UsageRecord]],
            deadline=deadline,
            retry=True,
        )
        return result

    def report(
        self,
        vo: str,
        by: By,
        since: float = 0.0,
        until: float = 0.0,
        period: Period = Period.ALL,
        user: str = "",
        start: int = 0,
        limit: int = 1000,
        largest: bool = False,
        *,
        deadline: float | None = None,
    ) -> list[Usage]:
        """Sums of what ended in [since, until) (0: no bound): one's own, or all as administrator.

        By period and subject, or with *largest* those first that used most CPU time; from number *start* on (the first
        is 0), at most *limit* (and 1,000).
        """
        result: list[Usage] = self._caller.call(
            "Accounting.report",
            (vo, by, since, until, period, user, start, limit, largest),
            list[Usage],
            deadline=deadline,
            retry=True,
        )
        return result

    def quotas(self, vo: str, *, deadline: float | None = None) -> list[QuotaState]:
        """The quotas that apply to the caller; as administrator all of them, ``*`` as such."""
        result: list[QuotaState] = self._caller.call(
            "Accounting.quotas", (vo,), list[QuotaState], deadline=deadline, retry=True
        )
        return result

    def set_quota(self, quota: Quota, *, deadline: float | None = None) -> Quota:
        """Set a quota in place of version `Quota.version`; one without any limit removes it.

        Raises `QuotaConflict` when somebody else was faster.
        """
        result: Quota = self._caller.call("Accounting.set_quota", (quota,), Quota, deadline=deadline, retry=True)
        return result


class UsageSpoolAsync(AsyncStub):
    """The records of a node's units, for Accounting to fetch: handed in before or not, as long as the node has them."""

    service = "UsageSpool"

    async def usage_since(
        self, since: float = 0.0, after: str = "", limit: int = 200, *, deadline: float | None = None
    ) -> list[Signed]:
        """Signed `UsageRecord`s of what ended at *since* (Unix seconds) or later, by unit id, those above *after*.

        Fewer than *limit* (at most 1,000): there are no more. For core machines only.
        """
        result: list[Signed] = await self._caller.call(
            "UsageSpool.usage_since", (since, after, limit), list[Signed], deadline=deadline, retry=True
        )
        return result


class UsageSpoolXati(BlockingStub):
    """The records of a node's units, for Accounting to fetch: handed in before or not, as long as the node has them."""

    service = "UsageSpool"

    def usage_since(
        self, since: float = 0.0, after: str = "", limit: int = 200, *, deadline: float | None = None
    ) -> list[Signed]:
        """Signed `UsageRecord`s of what ended at *since* (Unix seconds) or later, by unit id, those above *after*.

        Fewer than *limit* (at most 1,000): there are no more. For core machines only.
        """
        result: list[Signed] = self._caller.call(
            "UsageSpool.usage_since", (since, after, limit), list[Signed], deadline=deadline, retry=True
        )
        return result


class AuditAsync(AsyncStub):
    """The trail of administrative acts; the chains of acts and of usage records, and who has certified their heads."""

    service = "Audit"

    async def trail(
        self,
        vo: str = "",
        before: int = 0,
        limit: int = 100,
        who: str = "",
        act: str = "",
        target: str = "",
        *,
        deadline: float | None = None,
    ) -> list[Entry]:
        """Acts, the newest first, those numbered below *before* (0: all); a VO's for its administrators.

        An empty *vo*: those of all VOs and of none, for the core machine only.
        """
        result: list[Entry] = await self._caller.call(
            "Audit.trail", (vo, before, limit, who, act, target), list[Entry], deadline=deadline, retry=True
        )
        return result

    async def head(self, log: Log, *, deadline: float | None = None) -> Head:
        """Where a chain stands."""
        result: Head = await self._caller.call("Audit.head", (log,), Head, deadline=deadline, retry=True)
        return result

    async def links(self, log: Log, after: int = 0, limit: int = 1000, *, deadline: float | None = None) -> list[Link]:
        """Entries as they are kept, from number *after* + 1 on, for the core machine and VO managers to verify."""
        result: list[Link] = await self._caller.call(
            "Audit.links", (log, after, limit), list[Link], deadline=deadline, retry=True
        )
        return result

    async def certifications(self, log: Log, *, deadline: float | None = None) -> list[Certification]:
        """The certified heads, the newest first, at most 100."""
        result: list[Certification] = await self._caller.call(
            "Audit.certifications", (log,), list[Certification], deadline=deadline, retry=True
        )
        return result

    async def certify(self, head: Signed, *, deadline: float | None = None) -> Certification:
        """Vouch for a head that the caller has signed; it must be of this chain. Raises `ForeignHead`."""
        result: Certification = await self._caller.call(
            "Audit.certify", (head,), Certification, deadline=deadline, retry=True
        )
        return result


class AuditXati(BlockingStub):
    """The trail of administrative acts; the chains of acts and of usage records, and who has certified their heads."""

    service = "Audit"

    def trail(
        self,
        vo: str = "",
        before: int = 0,
        limit: int = 100,
        who: str = "",
        act: str = "",
        target: str = "",
        *,
        deadline: float | None = None,
    ) -> list[Entry]:
        """Acts, the newest first, those numbered below *before* (0: all); a VO's for its administrators.

        An empty *vo*: those of all VOs and of none, for the core machine only.
        """
        result: list[Entry] = self._caller.call(
            "Audit.trail", (vo, before, limit, who, act, target), list[Entry], deadline=deadline, retry=True
        )
        return result

    def head(self, log: Log, *, deadline: float | None = None) -> Head:
        """Where a chain stands."""
        result: Head = self._caller.call("Audit.head", (log,), Head, deadline=deadline, retry=True)
        return result

    def links(self, log: Log, after: int = 0, limit: int = 1000, *, deadline: float | None = None) -> list[Link]:
        """Entries as they are kept, from number *after* + 1 on, for the core machine and VO managers to verify."""
        result: list[Link] = self._caller.call(
            "Audit.links", (log, after, limit), list[Link], deadline=deadline, retry=True
        )
        return result

    def certifications(self, log: Log, *, deadline: float | None = None) -> list[Certification]:
        """The certified heads, the newest first, at most 100."""
        result: list[Certification] = self._caller.call(
            "Audit.certifications", (log,), list[Certification], deadline=deadline, retry=True
        )
        return result

    def certify(self, head: Signed, *, deadline: float | None = None) -> Certification:
        """Vouch for a head that the caller has signed; it must be of this chain. Raises `ForeignHead`."""
        result: Certification = self._caller.call(
            "Audit.certify", (head,), Certification, deadline=deadline, retry=True
        )
        return result


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

    async def backends(self, *, deadline: float | None = None) -> list[Backend]:
        """The ways to prove who one is that this CDA offers."""
        result: list[Backend] = await self._caller.call(
            "CDA.backends", (), list[Backend], deadline=deadline, retry=True
        )
        return result

    async def begin_login(self, backend: str, *, deadline: float | None = None) -> Login:
        """Begin a login at an OpenID provider (device flow, RFC 8628)."""
        result: Login = await self._caller.call("CDA.begin_login", (backend,), Login, deadline=deadline)
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

    def backends(self, *, deadline: float | None = None) -> list[Backend]:
        """The ways to prove who one is that this CDA offers."""
        result: list[Backend] = self._caller.call("CDA.backends", (), list[Backend], deadline=deadline, retry=True)
        return result

    def begin_login(self, backend: str, *, deadline: float | None = None) -> Login:
        """Begin a login at an OpenID provider (device flow, RFC 8628)."""
        result: Login = self._caller.call("CDA.begin_login", (backend,), Login, deadline=deadline)
        return result


class RCAClientAsync(AsyncStub):
    """Keeps a node's machine certificate current: renewed before its end, and when the RCA certifies something else."""

    service = "RCAClient"

    async def certificate(self, *, deadline: float | None = None) -> NodeCertificate:
        """The certificate in force."""
        result: NodeCertificate = await self._caller.call(
            "RCAClient.certificate", (), NodeCertificate, deadline=deadline, retry=True
        )
        return result


class RCAClientXati(BlockingStub):
    """Keeps a node's machine certificate current: renewed before its end, and when the RCA certifies something else."""

    service = "RCAClient"

    def certificate(self, *, deadline: float | None = None) -> NodeCertificate:
        """The certificate in force."""
        result: NodeCertificate = self._caller.call(
            "RCAClient.certificate", (), NodeCertificate, deadline=deadline, retry=True
        )
        return result


class RCAAsync(AsyncStub):
    """Resource Certification Authority: gives machines their certificates."""

    service = "RCA"

    async def create_token(
        self,
        node: str,
        minutes: float = 60.0,
        addresses: tuple[str, ...] = (),
        vo: str = "",
        *,
        deadline: float | None = None,
    ) -> JoinToken:
        """A one-time token by which *node* may join.

        *addresses* (IP) are certified beside the node's name, for clients such as curl that check them. *vo*: the
        machine becomes a resource of that VO, whose resource administrators may make such tokens.
        """
        result: JoinToken = await self._caller.call(
            "RCA.create_token", (node, minutes, addresses, vo), JoinToken, deadline=deadline
        )
        return result

    async def join(
        self,
        token: str,
        node: str,
        csr: bytes,
        attributes: ResourceAttributes | None = None,
        *,
        deadline: float | None = None,
    ) -> Issued:
        """A machine certificate for *node*; the token is used up (the same CSR again gets the same certificate)."""
        result: Issued = await self._caller.call(
            "RCA.join", (token, node, csr, attributes), Issued, deadline=deadline, retry=True
        )
        return result

    async def renew(
        self, csr: bytes, attributes: ResourceAttributes | None = None, *, deadline: float | None = None
    ) -> Issued:
        """A new machine certificate for the calling machine, with what it now measures of itself."""
        result: Issued = await self._caller.call("RCA.renew", (csr, attributes), Issued, deadline=deadline, retry=True)
        return result

    async def ask(
        self,
        node: str,
        csr: bytes,
        addresses: tuple[str, ...] = (),
        attributes: ResourceAttributes | None = None,
        *,
        deadline: float | None = None,
    ) -> Joining:
        """Join without a token: wait in the queue.

        The same call again tells how far it is, and brings the certificate.
        """
        result: Joining = await self._caller.call(
            "RCA.ask", (node, csr, addresses, attributes), Joining, deadline=deadline, retry=True
        )
        return result

    async def myself(self, *, deadline: float | None = None) -> Resource:
        """The calling machine as the RCA knows it: when it differs from the certificate, renew."""
        result: Resource = await self._caller.call("RCA.myself", (), Resource, deadline=deadline, retry=True)
        return result

    async def list_resources(
        self,
        vo: str = "",
        after: str = "",
        limit: int = 1000,
        state: ResourceState | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Resource]:
        """The machines of a VO (empty: of the grid) by name, those after *after*, at most *limit* (and 1,000)."""
        result: list[Resource] = await self._caller.call(
            "RCA.list_resources", (vo, after, limit, state), list[Resource], deadline=deadline, retry=True
        )
        return result

    async def resource_info(self, node: str, *, deadline: float | None = None) -> Resource:
        """One machine."""
        result: Resource = await self._caller.call(
            "RCA.resource_info", (node,), Resource, deadline=deadline, retry=True
        )
        return result

    async def approve(self, node: str, fingerprint: str = "", *, deadline: float | None = None) -> Resource:
        """Let a machine that asked into the grid. *fingerprint*: SHA-256 of its public key, to be sure it is that."""
        result: Resource = await self._caller.call(
            "RCA.approve", (node, fingerprint), Resource, deadline=deadline, retry=True
        )
        return result

    async def withdraw(self, node: str, *, deadline: float | None = None) -> Resource:
        """Take a machine out of the grid (or refuse it): its certificates are revoked."""
        result: Resource = await self._caller.call("RCA.withdraw", (node,), Resource, deadline=deadline, retry=True)
        return result

    async def set_attributes(
        self, node: str, attributes: ResourceAttributes, version: int = 0, *, deadline: float | None = None
    ) -> Resource:
        """Certify other attributes; the machine fetches a new certificate by itself."""
        result: Resource = await self._caller.call(
            "RCA.set_attributes", (node, attributes, version), Resource, deadline=deadline
        )
        return result

    async def add_to_vo(self, node: str, vo: str, *, deadline: float | None = None) -> Resource:
        """Make a machine a resource of a VO too."""
        result: Resource = await self._caller.call("RCA.add_to_vo", (node, vo), Resource, deadline=deadline, retry=True)
        return result

    async def remove_from_vo(self, node: str, vo: str, *, deadline: float | None = None) -> Resource:
        """Take a machine out of a VO; it stays in the grid."""
        result: Resource = await self._caller.call(
            "RCA.remove_from_vo", (node, vo), Resource, deadline=deadline, retry=True
        )
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
        self,
        node: str,
        minutes: float = 60.0,
        addresses: tuple[str, ...] = (),
        vo: str = "",
        *,
        deadline: float | None = None,
    ) -> JoinToken:
        """A one-time token by which *node* may join.

        *addresses* (IP) are certified beside the node's name, for clients such as curl that check them. *vo*: the
        machine becomes a resource of that VO, whose resource administrators may make such tokens.
        """
        result: JoinToken = self._caller.call(
            "RCA.create_token", (node, minutes, addresses, vo), JoinToken, deadline=deadline
        )
        return result

    def join(
        self,
        token: str,
        node: str,
        csr: bytes,
        attributes: ResourceAttributes | None = None,
        *,
        deadline: float | None = None,
    ) -> Issued:
        """A machine certificate for *node*; the token is used up (the same CSR again gets the same certificate)."""
        result: Issued = self._caller.call(
            "RCA.join", (token, node, csr, attributes), Issued, deadline=deadline, retry=True
        )
        return result

    def renew(
        self, csr: bytes, attributes: ResourceAttributes | None = None, *, deadline: float | None = None
    ) -> Issued:
        """A new machine certificate for the calling machine, with what it now measures of itself."""
        result: Issued = self._caller.call("RCA.renew", (csr, attributes), Issued, deadline=deadline, retry=True)
        return result

    def ask(
        self,
        node: str,
        csr: bytes,
        addresses: tuple[str, ...] = (),
        attributes: ResourceAttributes | None = None,
        *,
        deadline: float | None = None,
    ) -> Joining:
        """Join without a token: wait in the queue.

        The same call again tells how far it is, and brings the certificate.
        """
        result: Joining = self._caller.call(
            "RCA.ask", (node, csr, addresses, attributes), Joining, deadline=deadline, retry=True
        )
        return result

    def myself(self, *, deadline: float | None = None) -> Resource:
        """The calling machine as the RCA knows it: when it differs from the certificate, renew."""
        result: Resource = self._caller.call("RCA.myself", (), Resource, deadline=deadline, retry=True)
        return result

    def list_resources(
        self,
        vo: str = "",
        after: str = "",
        limit: int = 1000,
        state: ResourceState | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Resource]:
        """The machines of a VO (empty: of the grid) by name, those after *after*, at most *limit* (and 1,000)."""
        result: list[Resource] = self._caller.call(
            "RCA.list_resources", (vo, after, limit, state), list[Resource], deadline=deadline, retry=True
        )
        return result

    def resource_info(self, node: str, *, deadline: float | None = None) -> Resource:
        """One machine."""
        result: Resource = self._caller.call("RCA.resource_info", (node,), Resource, deadline=deadline, retry=True)
        return result

    def approve(self, node: str, fingerprint: str = "", *, deadline: float | None = None) -> Resource:
        """Let a machine that asked into the grid. *fingerprint*: SHA-256 of its public key, to be sure it is that."""
        result: Resource = self._caller.call(
            "RCA.approve", (node, fingerprint), Resource, deadline=deadline, retry=True
        )
        return result

    def withdraw(self, node: str, *, deadline: float | None = None) -> Resource:
        """Take a machine out of the grid (or refuse it): its certificates are revoked."""
        result: Resource = self._caller.call("RCA.withdraw", (node,), Resource, deadline=deadline, retry=True)
        return result

    def set_attributes(
        self, node: str, attributes: ResourceAttributes, version: int = 0, *, deadline: float | None = None
    ) -> Resource:
        """Certify other attributes; the machine fetches a new certificate by itself."""
        result: Resource = self._caller.call(
            "RCA.set_attributes", (node, attributes, version), Resource, deadline=deadline
        )
        return result

    def add_to_vo(self, node: str, vo: str, *, deadline: float | None = None) -> Resource:
        """Make a machine a resource of a VO too."""
        result: Resource = self._caller.call("RCA.add_to_vo", (node, vo), Resource, deadline=deadline, retry=True)
        return result

    def remove_from_vo(self, node: str, vo: str, *, deadline: float | None = None) -> Resource:
        """Take a machine out of a VO; it stays in the grid."""
        result: Resource = self._caller.call("RCA.remove_from_vo", (node, vo), Resource, deadline=deadline, retry=True)
        return result

    def certify_host_keys(self, keys: tuple[str, ...], *, deadline: float | None = None) -> tuple[str, ...]:
        """OpenSSH host certificates for the calling machine's *keys* (lines of ``ssh_host_*_key.pub``), in their order.

        For the machine's name and certified addresses, for as long as its own certificate holds.
        """
        result: tuple[str, ...] = self._caller.call(
            "RCA.certify_host_keys", (keys,), tuple[str, ...], deadline=deadline, retry=True
        )
        return result


class RegistrationAsync(AsyncStub):
    """The front door of the VOs: requests for membership, decisions on them, invitations."""

    service = "Registration"

    async def open_vos(self, *, deadline: float | None = None) -> list[OpenVO]:
        """The VOs that take requests."""
        result: list[OpenVO] = await self._caller.call(
            "Registration.open_vos", (), list[OpenVO], deadline=deadline, retry=True
        )
        return result

    async def ask(
        self,
        vo: str,
        name: str,
        password: str,
        full_name: str = "",
        email: str = "",
        reason: str = "",
        *,
        deadline: float | None = None,
    ) -> MembershipRequest:
        """Ask to become the member *name*; the *password* counts from the approval on.

        Who shows a certificate of another VO keeps its password (and may leave *password* empty): both memberships
        are then one person's. The same request again returns the one that waits.
        """
        result: MembershipRequest = await self._caller.call(
            "Registration.ask",
            (vo, name, password, full_name, email, reason),
            MembershipRequest,
            deadline=deadline,
            retry=True,
        )
        return result

    async def status(self, request: str, *, deadline: float | None = None) -> MembershipRequest:
        """What became of a request."""
        result: MembershipRequest = await self._caller.call(
            "Registration.status", (request,), MembershipRequest, deadline=deadline, retry=True
        )
        return result

    async def list_requests(
        self,
        vo: str,
        state: RequestState | None = RequestState.PENDING,
        after: str = "",
        limit: int = 1000,
        *,
        deadline: float | None = None,
    ) -> list[MembershipRequest]:
        """The requests of a VO, oldest first, those after the one with the id *after*; administrators only."""
        result: list[MembershipRequest] = await self._caller.call(
            "Registration.list_requests",
            (vo, state, after, limit),
            list[MembershipRequest],
            deadline=deadline,
            retry=True,
        )
        return result

    async def approve(
        self,
        vo: str,
        request: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        *,
        deadline: float | None = None,
    ) -> User:
        """Make the person a member."""
        result: User = await self._caller.call(
            "Registration.approve", (vo, request, group, groups, roles), User, deadline=deadline, retry=True
        )
        return result

    async def refuse(
        self, vo: str, request: str, answer: str = "", *, deadline: float | None = None
    ) -> MembershipRequest:
        """Do not; *answer* is shown to the person."""
        result: MembershipRequest = await self._caller.call(
            "Registration.refuse", (vo, request, answer), MembershipRequest, deadline=deadline, retry=True
        )
        return result

    async def invite(self, vo: str, name: str, hours: float = 168.0, *, deadline: float | None = None) -> Invitation:
        """A code by which a member chooses a (new) password, once; any earlier code is void."""
        result: Invitation = await self._caller.call(
            "Registration.invite", (vo, name, hours), Invitation, deadline=deadline
        )
        return result

    async def accept(self, vo: str, name: str, code: str, password: str, *, deadline: float | None = None) -> None:
        """Choose a password by an invitation."""
        await self._caller.call("Registration.accept", (vo, name, code, password), None, deadline=deadline, retry=True)


class RegistrationXati(BlockingStub):
    """The front door of the VOs: requests for membership, decisions on them, invitations."""

    service = "Registration"

    def open_vos(self, *, deadline: float | None = None) -> list[OpenVO]:
        """The VOs that take requests."""
        result: list[OpenVO] = self._caller.call(
            "Registration.open_vos", (), list[OpenVO], deadline=deadline, retry=True
        )
        return result

    def ask(
        self,
        vo: str,
        name: str,
        password: str,
        full_name: str = "",
        email: str = "",
        reason: str = "",
        *,
        deadline: float | None = None,
    ) -> MembershipRequest:
        """Ask to become the member *name*; the *password* counts from the approval on.

        Who shows a certificate of another VO keeps its password (and may leave *password* empty): both memberships
        are then one person's. The same request again returns the one that waits.
        """
        result: MembershipRequest = self._caller.call(
            "Registration.ask",
            (vo, name, password, full_name, email, reason),
            MembershipRequest,
            deadline=deadline,
            retry=True,
        )
        return result

    def status(self, request: str, *, deadline: float | None = None) -> MembershipRequest:
        """What became of a request."""
        result: MembershipRequest = self._caller.call(
            "Registration.status", (request,), MembershipRequest, deadline=deadline, retry=True
        )
        return result

    def list_requests(
        self,
        vo: str,
        state: RequestState | None = RequestState.PENDING,
        after: str = "",
        limit: int = 1000,
        *,
        deadline: float | None = None,
    ) -> list[MembershipRequest]:
        """The requests of a VO, oldest first, those after the one with the id *after*; administrators only."""
        result: list[MembershipRequest] = self._caller.call(
            "Registration.list_requests",
            (vo, state, after, limit),
            list[MembershipRequest],
            deadline=deadline,
            retry=True,
        )
        return result

    def approve(
        self,
        vo: str,
        request: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        *,
        deadline: float | None = None,
    ) -> User:
        """Make the person a member."""
        result: User = self._caller.call(
            "Registration.approve", (vo, request, group, groups, roles), User, deadline=deadline, retry=True
        )
        return result

    def refuse(self, vo: str, request: str, answer: str = "", *, deadline: float | None = None) -> MembershipRequest:
        """Do not; *answer* is shown to the person."""
        result: MembershipRequest = self._caller.call(
            "Registration.refuse", (vo, request, answer), MembershipRequest, deadline=deadline, retry=True
        )
        return result

    def invite(self, vo: str, name: str, hours: float = 168.0, *, deadline: float | None = None) -> Invitation:
        """A code by which a member chooses a (new) password, once; any earlier code is void."""
        result: Invitation = self._caller.call("Registration.invite", (vo, name, hours), Invitation, deadline=deadline)
        return result

    def accept(self, vo: str, name: str, code: str, password: str, *, deadline: float | None = None) -> None:
        """Choose a password by an invitation."""
        self._caller.call("Registration.accept", (vo, name, code, password), None, deadline=deadline, retry=True)


class VOPSAsync(AsyncStub):
    """VO Policy Service: administration, information and decision point for the policies of VOs.

    A VO's rules are those of all its documents together; ``forbid`` wins over ``permit``. Three documents are built in
    and may be replaced or removed: ``members`` (members may use the VO's resources), ``administrators`` (who may change
    policies) and ``quotas`` (a used-up quota forbids jobs).
    """

    service = "VOPS"

    async def policies(self, vo: str, *, deadline: float | None = None) -> list[Policy]:
        """The documents in effect, by name; members may read them."""
        result: list[Policy] = await self._caller.call(
            "VOPS.policies", (vo,), list[Policy], deadline=deadline, retry=True
        )
        return result

    async def history(
        self, vo: str, name: str = "", before: float = 0.0, limit: int = 100, *, deadline: float | None = None
    ) -> list[Policy]:
        """All versions of a document (or of all), the newest first, those changed before *before* (0: now)."""
        result: list[Policy] = await self._caller.call(
            "VOPS.history", (vo, name, before, limit), list[Policy], deadline=deadline, retry=True
        )
        return result

    async def check_policy(self, vo: str, name: str, text: str, *, deadline: float | None = None) -> PolicyCheck:
        """What is wrong with a draft: nothing is changed."""
        result: PolicyCheck = await self._caller.call(
            "VOPS.check_policy", (vo, name, text), PolicyCheck, deadline=deadline, retry=True
        )
        return result

    async def put_policy(
        self, vo: str, name: str, text: str, expected: int, note: str = "", *, deadline: float | None = None
    ) -> Policy:
        """Put a document into effect in place of version *expected* (0: there is none, or the built-in one).

        Raises `PolicyInvalid`, `PolicyConflict` (somebody else was faster), `PolicyLocksOut`.
        """
        result: Policy = await self._caller.call(
            "VOPS.put_policy", (vo, name, text, expected, note), Policy, deadline=deadline, retry=True
        )
        return result

    async def remove_policy(
        self, vo: str, name: str, expected: int, note: str = "", *, deadline: float | None = None
    ) -> Policy:
        """Take a document out of effect; its history stays. Raises as `put_policy`, and `UnknownPolicy`."""
        result: Policy = await self._caller.call(
            "VOPS.remove_policy", (vo, name, expected, note), Policy, deadline=deadline, retry=True
        )
        return result

    async def dry_run(
        self, vo: str, name: str, text: str, days: float = 30.0, limit: int = 10000, *, deadline: float | None = None
    ) -> DryRun:
        """Decide the VO's past requests with *text* in place of the document *name* (empty text: without it)."""
        result: DryRun = await self._caller.call(
            "VOPS.dry_run", (vo, name, text, days, limit), DryRun, deadline=deadline, retry=True
        )
        return result

    async def requests(
        self, vo: str, before: int = 0, limit: int = 100, *, deadline: float | None = None
    ) -> list[PastRequest]:
        """Past requests, the newest first, those numbered below *before* (0: all)."""
        result: list[PastRequest] = await self._caller.call(
            "VOPS.requests", (vo, before, limit), list[PastRequest], deadline=deadline, retry=True
        )
        return result

    async def explain(
        self, vo: str, user: str, node: NodeAttributes, job: JobContext, *, deadline: float | None = None
    ) -> Verdict:
        """Whether a member could run such a job there now, and why: oneself, or anybody as administrator."""
        result: Verdict = await self._caller.call(
            "VOPS.explain", (vo, user, node, job), Verdict, deadline=deadline, retry=True
        )
        return result

    async def schema(self, *, deadline: float | None = None) -> str:
        """What rules may speak of, in Cedar's schema language."""
        result: str = await self._caller.call("VOPS.schema", (), str, deadline=deadline, retry=True)
        return result

    async def decide_job(self, question: JobQuestion, *, deadline: float | None = None) -> JobAnswer:
        """Decide for each node, and sign the result. Raises what is wrong with the user's certificate."""
        result: JobAnswer = await self._caller.call(
            "VOPS.decide_job", (question,), JobAnswer, deadline=deadline, retry=True
        )
        return result


class VOPSXati(BlockingStub):
    """VO Policy Service: administration, information and decision point for the policies of VOs.

    A VO's rules are those of all its documents together; ``forbid`` wins over ``permit``. Three documents are built in
    and may be replaced or removed: ``members`` (members may use the VO's resources), ``administrators`` (who may change
    policies) and ``quotas`` (a used-up quota forbids jobs).
    """

    service = "VOPS"

    def policies(self, vo: str, *, deadline: float | None = None) -> list[Policy]:
        """The documents in effect, by name; members may read them."""
        result: list[Policy] = self._caller.call("VOPS.policies", (vo,), list[Policy], deadline=deadline, retry=True)
        return result

    def history(
        self, vo: str, name: str = "", before: float = 0.0, limit: int = 100, *, deadline: float | None = None
    ) -> list[Policy]:
        """All versions of a document (or of all), the newest first, those changed before *before* (0: now)."""
        result: list[Policy] = self._caller.call(
            "VOPS.history", (vo, name, before, limit), list[Policy], deadline=deadline, retry=True
        )
        return result

    def check_policy(self, vo: str, name: str, text: str, *, deadline: float | None = None) -> PolicyCheck:
        """What is wrong with a draft: nothing is changed."""
        result: PolicyCheck = self._caller.call(
            "VOPS.check_policy", (vo, name, text), PolicyCheck, deadline=deadline, retry=True
        )
        return result

    def put_policy(
        self, vo: str, name: str, text: str, expected: int, note: str = "", *, deadline: float | None = None
    ) -> Policy:
        """Put a document into effect in place of version *expected* (0: there is none, or the built-in one).

        Raises `PolicyInvalid`, `PolicyConflict` (somebody else was faster), `PolicyLocksOut`.
        """
        result: Policy = self._caller.call(
            "VOPS.put_policy", (vo, name, text, expected, note), Policy, deadline=deadline, retry=True
        )
        return result

    def remove_policy(
        self, vo: str, name: str, expected: int, note: str = "", *, deadline: float | None = None
    ) -> Policy:
        """Take a document out of effect; its history stays. Raises as `put_policy`, and `UnknownPolicy`."""
        result: Policy = self._caller.call(
            "VOPS.remove_policy", (vo, name, expected, note), Policy, deadline=deadline, retry=True
        )
        return result

    def dry_run(
        self, vo: str, name: str, text: str, days: float = 30.0, limit: int = 10000, *, deadline: float | None = None
    ) -> DryRun:
        """Decide the VO's past requests with *text* in place of the document *name* (empty text: without it)."""
        result: DryRun = self._caller.call(
            "VOPS.dry_run", (vo, name, text, days, limit), DryRun, deadline=deadline, retry=True
        )
        return result

    def requests(
        self, vo: str, before: int = 0, limit: int = 100, *, deadline: float | None = None
    ) -> list[PastRequest]:
        """Past requests, the newest first, those numbered below *before* (0: all)."""
        result: list[PastRequest] = self._caller.call(
            "VOPS.requests", (vo, before, limit), list[PastRequest], deadline=deadline, retry=True
        )
        return result

    def explain(
        self, vo: str, user: str, node: NodeAttributes, job: JobContext, *, deadline: float | None = None
    ) -> Verdict:
        """Whether a member could run such a job there now, and why: oneself, or anybody as administrator."""
        result: Verdict = self._caller.call(
            "VOPS.explain", (vo, user, node, job), Verdict, deadline=deadline, retry=True
        )
        return result

    def schema(self, *, deadline: float | None = None) -> str:
        """What rules may speak of, in Cedar's schema language."""
        result: str = self._caller.call("VOPS.schema", (), str, deadline=deadline, retry=True)
        return result

    def decide_job(self, question: JobQuestion, *, deadline: float | None = None) -> JobAnswer:
        """Decide for each node, and sign the result. Raises what is wrong with the user's certificate."""
        result: JobAnswer = self._caller.call("VOPS.decide_job", (question,), JobAnswer, deadline=deadline, retry=True)
        return result


class XVOMSAsync(AsyncStub):
    """The VO database: VOs, users, groups, roles.

    Who may do what is one table: chapter "Who may do what" of the manual. A change that gives the *version* that it
    was made from is refused when somebody else was faster (`vom.changed-meanwhile`); version 0 takes what comes.
    """

    service = "XVOMS"

    async def create_vo(self, name: str, description: str = "", *, deadline: float | None = None) -> VO:
        """Create a VO; creating it again with the same description returns it. A user who does is its manager."""
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
        self,
        vo: str,
        after: str = "",
        limit: int = 1000,
        search: str = "",
        group: str = "",
        role: str = "",
        *,
        deadline: float | None = None,
    ) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only.

        *search*: a part of the name, full name or e-mail address. *group*, *role*: only those who have it.
        """
        result: list[User] = await self._caller.call(
            "XVOMS.list_users", (vo, after, limit, search, group, role), list[User], deadline=deadline, retry=True
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

    async def vo_info(self, name: str, *, deadline: float | None = None) -> VO:
        """One VO."""
        result: VO = await self._caller.call("XVOMS.vo_info", (name,), VO, deadline=deadline, retry=True)
        return result

    async def change_vo(self, name: str, change: VOChange, version: int = 0, *, deadline: float | None = None) -> VO:
        """Change a VO: its description, what it supports, whether it takes requests."""
        result: VO = await self._caller.call("XVOMS.change_vo", (name, change, version), VO, deadline=deadline)
        return result

    async def dissolve_vo(self, name: str, *, deadline: float | None = None) -> Archive:
        """Dissolve a VO: its certificates are revoked, its resources leave, every entry goes into the archive.

        The name is never given to another VO. Dissolving it again returns the archive.
        """
        result: Archive = await self._caller.call("XVOMS.dissolve_vo", (name,), Archive, deadline=deadline, retry=True)
        return result

    async def list_archives(self, *, deadline: float | None = None) -> list[Archive]:
        """The archives of dissolved VOs."""
        result: list[Archive] = await self._caller.call(
            "XVOMS.list_archives", (), list[Archive], deadline=deadline, retry=True
        )
        return result

    async def dissolved(self, vos: tuple[str, ...], *, deadline: float | None = None) -> list[str]:
        """Those of *vos* (at most 1,000) that have been dissolved: what machines still have of them is to go."""
        result: list[str] = await self._caller.call("XVOMS.dissolved", (vos,), list[str], deadline=deadline, retry=True)
        return result

    async def archive(self, vo: str, *, deadline: float | None = None) -> bytes:
        """The archive of a dissolved VO: JSON, with the VO manager's signature and certificate."""
        result: bytes = await self._caller.call("XVOMS.archive", (vo,), bytes, deadline=deadline, retry=True)
        return result

    async def change_user(
        self, vo: str, name: str, change: UserChange, version: int = 0, *, deadline: float | None = None
    ) -> User:
        """Change a member. What takes a group, role or capability away revokes the certificates that name it."""
        result: User = await self._caller.call(
            "XVOMS.change_user", (vo, name, change, version), User, deadline=deadline
        )
        return result

    async def remove_user(self, vo: str, name: str, *, deadline: float | None = None) -> None:
        """Take a member out of a VO; certificates already issued are revoked."""
        await self._caller.call("XVOMS.remove_user", (vo, name), None, deadline=deadline, retry=True)

    async def import_users(
        self, vo: str, text: str, form: str = "csv", dry_run: bool = False, *, deadline: float | None = None
    ) -> Imported:
        """Add many members from CSV or LDIF: all, or none with each bad line named (`vom.bad-import`).

        *form*: ``csv`` or ``ldif``. *dry_run*: only check, and tell every bad line.
        """
        result: Imported = await self._caller.call(
            "XVOMS.import_users", (vo, text, form, dry_run), Imported, deadline=deadline
        )
        return result

    async def memberships(self, *, deadline: float | None = None) -> list[User]:
        """The calling user in each VO that they are a member of."""
        result: list[User] = await self._caller.call("XVOMS.memberships", (), list[User], deadline=deadline, retry=True)
        return result

    async def add_group(self, vo: str, name: str, description: str = "", *, deadline: float | None = None) -> Group:
        """Add a group (and those above it), or change its description."""
        result: Group = await self._caller.call(
            "XVOMS.add_group", (vo, name, description), Group, deadline=deadline, retry=True
        )
        return result

    async def remove_group(self, vo: str, name: str, *, deadline: float | None = None) -> None:
        """Remove a group that has neither members nor parts."""
        await self._caller.call("XVOMS.remove_group", (vo, name), None, deadline=deadline, retry=True)

    async def list_roles(self, vo: str, *, deadline: float | None = None) -> list[Role]:
        """The roles of a VO."""
        result: list[Role] = await self._caller.call(
            "XVOMS.list_roles", (vo,), list[Role], deadline=deadline, retry=True
        )
        return result

    async def add_role(self, vo: str, name: str, description: str = "", *, deadline: float | None = None) -> Role:
        """Add a role, or change its description."""
        result: Role = await self._caller.call(
            "XVOMS.add_role", (vo, name, description), Role, deadline=deadline, retry=True
        )
        return result

    async def remove_role(self, vo: str, name: str, *, deadline: float | None = None) -> None:
        """Remove a role that nobody has."""
        await self._caller.call("XVOMS.remove_role", (vo, name), None, deadline=deadline, retry=True)

    async def link_identity(
        self, vo: str, name: str, backend: str, subject: str, *, deadline: float | None = None
    ) -> None:
        """Let a member prove who they are by a back-end of the CDA besides the password."""
        await self._caller.call(
            "XVOMS.link_identity", (vo, name, backend, subject), None, deadline=deadline, retry=True
        )

    async def unlink_identity(
        self, vo: str, name: str, backend: str, subject: str, *, deadline: float | None = None
    ) -> None:
        """End that."""
        await self._caller.call(
            "XVOMS.unlink_identity", (vo, name, backend, subject), None, deadline=deadline, retry=True
        )

    async def list_identities(self, vo: str, name: str, *, deadline: float | None = None) -> list[LinkedIdentity]:
        """What a member is linked to."""
        result: list[LinkedIdentity] = await self._caller.call(
            "XVOMS.list_identities", (vo, name), list[LinkedIdentity], deadline=deadline, retry=True
        )
        return result


class XVOMSXati(BlockingStub):
    """The VO database: VOs, users, groups, roles.

    Who may do what is one table: chapter "Who may do what" of the manual. A change that gives the *version* that it
    was made from is refused when somebody else was faster (`vom.changed-meanwhile`); version 0 takes what comes.
    """

    service = "XVOMS"

    def create_vo(self, name: str, description: str = "", *, deadline: float | None = None) -> VO:
        """Create a VO; creating it again with the same description returns it. A user who does is its manager."""
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

    def list_users(
        self,
        vo: str,
        after: str = "",
        limit: int = 1000,
        search: str = "",
        group: str = "",
        role: str = "",
        *,
        deadline: float | None = None,
    ) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only.

        *search*: a part of the name, full name or e-mail address. *group*, *role*: only those who have it.
        """
        result: list[User] = self._caller.call(
            "XVOMS.list_users", (vo, after, limit, search, group, role), list[User], deadline=deadline, retry=True
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

    def vo_info(self, name: str, *, deadline: float | None = None) -> VO:
        """One VO."""
        result: VO = self._caller.call("XVOMS.vo_info", (name,), VO, deadline=deadline, retry=True)
        return result

    def change_vo(self, name: str, change: VOChange, version: int = 0, *, deadline: float | None = None) -> VO:
        """Change a VO: its description, what it supports, whether it takes requests."""
        result: VO = self._caller.call("XVOMS.change_vo", (name, change, version), VO, deadline=deadline)
        return result

    def dissolve_vo(self, name: str, *, deadline: float | None = None) -> Archive:
        """Dissolve a VO: its certificates are revoked, its resources leave, every entry goes into the archive.

        The name is never given to another VO. Dissolving it again returns the archive.
        """
        result: Archive = self._caller.call("XVOMS.dissolve_vo", (name,), Archive, deadline=deadline, retry=True)
        return result

    def list_archives(self, *, deadline: float | None = None) -> list[Archive]:
        """The archives of dissolved VOs."""
        result: list[Archive] = self._caller.call(
            "XVOMS.list_archives", (), list[Archive], deadline=deadline, retry=True
        )
        return result

    def dissolved(self, vos: tuple[str, ...], *, deadline: float | None = None) -> list[str]:
        """Those of *vos* (at most 1,000) that have been dissolved: what machines still have of them is to go."""
        result: list[str] = self._caller.call("XVOMS.dissolved", (vos,), list[str], deadline=deadline, retry=True)
        return result

    def archive(self, vo: str, *, deadline: float | None = None) -> bytes:
        """The archive of a dissolved VO: JSON, with the VO manager's signature and certificate."""
        result: bytes = self._caller.call("XVOMS.archive", (vo,), bytes, deadline=deadline, retry=True)
        return result

    def change_user(
        self, vo: str, name: str, change: UserChange, version: int = 0, *, deadline: float | None = None
    ) -> User:
        """Change a member. What takes a group, role or capability away revokes the certificates that name it."""
        result: User = self._caller.call("XVOMS.change_user", (vo, name, change, version), User, deadline=deadline)
        return result

    def remove_user(self, vo: str, name: str, *, deadline: float | None = None) -> None:
        """Take a member out of a VO; certificates already issued are revoked."""
        self._caller.call("XVOMS.remove_user", (vo, name), None, deadline=deadline, retry=True)

    def import_users(
        self, vo: str, text: str, form: str = "csv", dry_run: bool = False, *, deadline: float | None = None
    ) -> Imported:
        """Add many members from CSV or LDIF: all, or none with each bad line named (`vom.bad-import`).

        *form*: ``csv`` or ``ldif``. *dry_run*: only check, and tell every bad line.
        """
        result: Imported = self._caller.call(
            "XVOMS.import_users", (vo, text, form, dry_run), Imported, deadline=deadline
        )
        return result

    def memberships(self, *, deadline: float | None = None) -> list[User]:
        """The calling user in each VO that they are a member of."""
        result: list[User] = self._caller.call("XVOMS.memberships", (), list[User], deadline=deadline, retry=True)
        return result

    def add_group(self, vo: str, name: str, description: str = "", *, deadline: float | None = None) -> Group:
        """Add a group (and those above it), or change its description."""
        result: Group = self._caller.call(
            "XVOMS.add_group", (vo, name, description), Group, deadline=deadline, retry=True
        )
        return result

    def remove_group(self, vo: str, name: str, *, deadline: float | None = None) -> None:
        """Remove a group that has neither members nor parts."""
        self._caller.call("XVOMS.remove_group", (vo, name), None, deadline=deadline, retry=True)

    def list_roles(self, vo: str, *, deadline: float | None = None) -> list[Role]:
        """The roles of a VO."""
        result: list[Role] = self._caller.call("XVOMS.list_roles", (vo,), list[Role], deadline=deadline, retry=True)
        return result

    def add_role(self, vo: str, name: str, description: str = "", *, deadline: float | None = None) -> Role:
        """Add a role, or change its description."""
        result: Role = self._caller.call("XVOMS.add_role", (vo, name, description), Role, deadline=deadline, retry=True)
        return result

    def remove_role(self, vo: str, name: str, *, deadline: float | None = None) -> None:
        """Remove a role that nobody has."""
        self._caller.call("XVOMS.remove_role", (vo, name), None, deadline=deadline, retry=True)

    def link_identity(self, vo: str, name: str, backend: str, subject: str, *, deadline: float | None = None) -> None:
        """Let a member prove who they are by a back-end of the CDA besides the password."""
        self._caller.call("XVOMS.link_identity", (vo, name, backend, subject), None, deadline=deadline, retry=True)

    def unlink_identity(self, vo: str, name: str, backend: str, subject: str, *, deadline: float | None = None) -> None:
        """End that."""
        self._caller.call("XVOMS.unlink_identity", (vo, name, backend, subject), None, deadline=deadline, retry=True)

    def list_identities(self, vo: str, name: str, *, deadline: float | None = None) -> list[LinkedIdentity]:
        """What a member is linked to."""
        result: list[LinkedIdentity] = self._caller.call(
            "XVOMS.list_identities", (vo, name), list[LinkedIdentity], deadline=deadline, retry=True
        )
        return result

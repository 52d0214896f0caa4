# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.vom.api; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.vom.api."""

from __future__ import annotations

from xos.common.policy import JobContext, LoginContext, NodeAttributes
from xos.common.signing import Signed
from xos.dixi.stubs import AsyncStub, BlockingStub
from xos.vom.api import (
    VO,
    By,
    CertificateWish,
    Certification,
    DryRun,
    Entry,
    Group,
    Head,
    Issued,
    JobAnswer,
    JobQuestion,
    JoinToken,
    Link,
    Log,
    PastRequest,
    Period,
    Policy,
    PolicyCheck,
    Quota,
    QuotaState,
    Usage,
    UsageRecord,
    User,
    UserState,
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
        *,
        deadline: float | None = None,
    ) -> list[Usage]:
        """Sums of what ended in [since, until) (0: no bound): one's own, or all as administrator."""
        result: list[Usage] = await self._caller.call(
            "Accounting.report", (vo, by, since, until, period, user), list[Usage], deadline=deadline, retry=True
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
        *,
        deadline: float | None = None,
    ) -> list[Usage]:
        """Sums of what ended in [since, until) (0: no bound): one's own, or all as administrator."""
        result: list[Usage] = self._caller.call(
            "Accounting.report", (vo, by, since, until, period, user), list[Usage], deadline=deadline, retry=True
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

    async def decide_login(
        self, certificate: bytes, node: NodeAttributes, login: LoginContext, *, deadline: float | None = None
    ) -> Verdict:
        """Whether a user may log in to a node."""
        result: Verdict = await self._caller.call(
            "VOPS.decide_login", (certificate, node, login), Verdict, deadline=deadline, retry=True
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

    def decide_login(
        self, certificate: bytes, node: NodeAttributes, login: LoginContext, *, deadline: float | None = None
    ) -> Verdict:
        """Whether a user may log in to a node."""
        result: Verdict = self._caller.call(
            "VOPS.decide_login", (certificate, node, login), Verdict, deadline=deadline, retry=True
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

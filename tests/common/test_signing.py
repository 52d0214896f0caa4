# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from xos.common.certificate import Authority
from xos.common.errors import CertificateExpired, CertificateForeign, CertificateRevoked, WrongKind
from xos.common.identity import Kind
from xos.common.signing import BadSignature, Signed, WrongPurpose, sign, verify_signed
from xos.common.tls import Credential, Trust

Issue = Callable[..., Credential]


@pytest.fixture
def job(alice: Credential) -> Signed:
    return sign(b"<JobDefinition/>", alice, purpose="job")


def test_a_signed_document_names_its_signer(job: Signed, alice: Credential, trust: Trust, now: float) -> None:
    over_the_wire = msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=Signed)
    assert verify_signed(over_the_wire, trust, purpose="job", at=now, kind=Kind.USER) == alice.identity


@pytest.mark.parametrize(
    "change",
    [{"payload": b"<JobDefinition />"}, {"signature": b""}, {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"}],
)
def test_any_change_breaks_the_signature(job: Signed, trust: Trust, now: float, change: dict[str, bytes]) -> None:
    with pytest.raises(BadSignature, match="alice@demo") as caught:
        verify_signed(msgspec.structs.replace(job, **change), trust, purpose="job", at=now)
    assert caught.value.code == "cert.bad-signature"


def test_the_certificate_of_another_does_not_fit(job: Signed, issue: Issue, trust: Trust, now: float) -> None:
    with pytest.raises(BadSignature):
        verify_signed(msgspec.structs.replace(job, certificate=issue().certificate), trust, purpose="job", at=now)


def test_what_was_signed_for_one_purpose_is_nothing_for_another(job: Signed, trust: Trust, now: float) -> None:
    with pytest.raises(WrongPurpose, match="signed for job, shown for policy"):
        verify_signed(job, trust, purpose="policy", at=now)
    with pytest.raises(BadSignature):
        verify_signed(msgspec.structs.replace(job, purpose="policy"), trust, purpose="policy", at=now)


def test_purpose_and_payload_cannot_be_shifted_into_each_other(alice: Credential) -> None:
    with pytest.raises(ValueError, match="purpose"):
        sign(b"x", alice, purpose="job\0x")


def test_a_machine_cannot_sign_what_a_user_must(node: Credential, trust: Trust, now: float) -> None:
    signed = sign(b"x", node, purpose="job")
    assert verify_signed(signed, trust, purpose="job", at=now) == node.identity
    with pytest.raises(WrongKind):
        verify_signed(signed, trust, purpose="job", at=now, kind=Kind.USER)


def test_signers_are_refused_for_the_same_reasons_as_callers(
    job: Signed, alice: Credential, issue: Issue, authority: Authority, stranger: Authority, trust: Trust, now: float
) -> None:
    with pytest.raises(CertificateExpired):
        verify_signed(job, trust, purpose="job", at=now + 3700)
    with pytest.raises(CertificateForeign):
        verify_signed(sign(b"x", issue(ca=stranger), purpose="job"), trust, purpose="job", at=now)
    trust.set_crl(authority.crl([(alice.identity.serial, now)], 1))
    with pytest.raises(CertificateRevoked):
        verify_signed(job, trust, purpose="job", at=now)

# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from xos.common import trust as trust_module
from xos.common.certificate import Authority, make_key
from xos.common.errors import (
    BadCertificate,
    BadKey,
    BadRevocations,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRevoked,
    CredentialMissing,
    KeyExposed,
    WrongKind,
    WrongPassphrase,
)
from xos.common.identity import ANONYMOUS, Kind
from xos.common.tls import Credential, Trust

Issue = Callable[..., Credential]


def test_check_passes_a_valid_holder_and_the_anonymous(trust: Trust, alice: Credential, now: float) -> None:
    trust.check(alice.identity, now)
    trust.check(ANONYMOUS, now)


def test_check_refuses_on_time_and_on_revocation(
    authority: Authority, trust: Trust, alice: Credential, now: float
) -> None:
    with pytest.raises(CertificateExpired):
        trust.check(alice.identity, now + 3700)
    with pytest.raises(CertificateNotYetValid):
        trust.check(alice.identity, now - 600)
    trust.set_crl(authority.crl([(alice.identity.serial, now)], 1))
    with pytest.raises(CertificateRevoked, match=str(alice.identity.serial)):
        trust.check(alice.identity, now)


def test_a_certificate_known_already_is_checked_again_for_time_and_revocation(
    authority: Authority, trust: Trust, alice: Credential, now: float
) -> None:
    assert trust.identify(alice.certificate) is trust.identify(alice.certificate)
    with pytest.raises(CertificateExpired):
        trust.identify(alice.certificate, at=now + 3700)
    trust.set_crl(authority.crl([(alice.identity.serial, now)], 1))
    with pytest.raises(CertificateRevoked):
        trust.identify(alice.certificate)


def test_a_machine_where_a_user_is_wanted_is_refused(trust: Trust, node: Credential, alice: Credential) -> None:
    with pytest.raises(WrongKind, match="node1 holds a machine certificate where a user certificate is needed") as e:
        trust.identify(node.certificate, kind=Kind.USER)
    assert (e.value.code, e.value.http_status) == ("cert.wrong-kind", 403)
    with pytest.raises(WrongKind):
        trust.identify(alice.certificate, kind=Kind.MACHINE)


def test_memory_of_certificates_is_bounded(monkeypatch: pytest.MonkeyPatch, trust: Trust, issue: Issue) -> None:
    monkeypatch.setattr(trust_module, "_CACHED", 4)
    seen = [issue() for _ in range(10)]
    for credential in seen:
        assert trust.identify(credential.certificate) == credential.identity
    assert len(trust._known) == 4
    assert trust.identify(seen[0].certificate) == seen[0].identity


def test_refused_certificates_are_not_remembered(trust: Trust, issue: Issue, stranger: Authority) -> None:
    with pytest.raises(CertificateForeign):
        trust.identify(issue(ca=stranger).certificate)
    assert not trust._known


def test_two_cas_may_be_trusted_while_one_follows_the_other(
    authority: Authority, stranger: Authority, issue: Issue
) -> None:
    both = Trust([authority.der, stranger.der])
    assert both.identify(issue().certificate).name == "alice"
    assert both.identify(issue(ca=stranger).certificate).name == "alice"


# --- revocation lists ---


def test_a_newer_list_replaces_the_old_and_survives_on_disk(
    tmp_path: Path, authority: Authority, alice: Credential, now: float
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem())
    trust = Trust.load(tmp_path)
    assert trust.crl_number == -1
    assert trust.set_crl(authority.crl([(alice.identity.serial, now)], 1)) is True
    with pytest.raises(CertificateRevoked):
        Trust.load(tmp_path).check(alice.identity, now)
    before = int(time.time())
    assert trust.set_crl(authority.crl([], 2, 3600)) is True
    trust.check(alice.identity, now)
    assert before + 3600 <= trust.crl_next_update <= time.time() + 3600
    assert stat.S_IMODE((tmp_path / "crl.der").stat().st_mode) == 0o644


def test_an_older_list_is_refused_and_the_same_one_is_nothing_new(
    authority: Authority, trust: Trust, alice: Credential, now: float
) -> None:
    trust.set_crl(authority.crl([(alice.identity.serial, now)], 7))
    assert trust.set_crl(authority.crl([], 7)) is False
    with pytest.raises(BadRevocations, match="number 6 is older than ours, 7"):
        trust.set_crl(authority.crl([], 6))
    with pytest.raises(CertificateRevoked):
        trust.check(alice.identity, now)


def test_a_list_that_our_ca_did_not_sign_is_refused(stranger: Authority, trust: Trust, alice: Credential) -> None:
    with pytest.raises(BadRevocations, match="did not sign"):
        trust.set_crl(stranger.crl([(alice.identity.serial, 1)], 1))


def test_a_list_without_a_number_is_refused(authority: Authority, trust: Trust) -> None:
    made = x509.load_der_x509_crl(authority.crl([], 1))
    assert made.next_update_utc is not None
    builder = x509.CertificateRevocationListBuilder(
        made.issuer, made.last_update_utc.replace(tzinfo=None), made.next_update_utc.replace(tzinfo=None)
    )
    der = builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    with pytest.raises(BadRevocations, match="no number"):
        trust.set_crl(der)


@pytest.mark.parametrize("der", [b"", b"nonsense", b"\x30\x80"])
def test_what_is_no_list_is_refused(trust: Trust, der: bytes) -> None:
    with pytest.raises(BadRevocations) as caught:
        trust.set_crl(der)
    assert caught.value.code == "cert.bad-crl"


# --- trust and credentials on disk ---


def test_trust_needs_a_ca(tmp_path: Path) -> None:
    with pytest.raises(CredentialMissing):
        Trust.load(tmp_path)
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(BadCertificate):
        Trust.load(tmp_path)


def test_trust_follows_its_directory(
    tmp_path: Path, authority: Authority, stranger: Authority, issue: Issue, alice: Credential, now: float
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem())
    trust = Trust.load(tmp_path)
    trust.identify(alice.certificate)
    (tmp_path / "crl.der").write_bytes(authority.crl([(alice.identity.serial, now)], 3))
    trust.reload()
    with pytest.raises(CertificateRevoked):
        trust.check(alice.identity, now)
    (tmp_path / "ca.pem").write_text("half a fi")
    with pytest.raises(BadCertificate):
        trust.reload()
    with pytest.raises(CertificateRevoked):
        trust.identify(alice.certificate)
    (tmp_path / "crl.der").unlink()
    (tmp_path / "ca.pem").write_bytes(stranger.certificate_pem())
    trust.reload()
    with pytest.raises(CertificateForeign):
        trust.identify(alice.certificate)
    assert trust.identify(issue(ca=stranger).certificate).name == "alice"
    with pytest.raises(ValueError, match="directory"):
        Trust([authority.der]).reload()


def test_trust_travels_as_pem(authority: Authority, stranger: Authority) -> None:
    both = Trust([authority.der, stranger.der])
    assert Trust.from_pem(both.ca_pem()).ca_certificates == both.ca_certificates


def test_a_credential_survives_being_saved_with_its_key_encrypted(tmp_path: Path, alice: Credential) -> None:
    (tmp_path / "user.pem").write_bytes(alice.certificate_pem())
    (tmp_path / "user.key").write_bytes(alice.key_pem(b"secret"))
    loaded = Credential.load(tmp_path / "user.pem", tmp_path / "user.key", b"secret")
    assert loaded.identity == alice.identity
    for wrong in (None, b"guess"):
        with pytest.raises(WrongPassphrase):
            Credential.load(tmp_path / "user.pem", tmp_path / "user.key", wrong)


def test_a_credential_travels_as_one_pem(alice: Credential, authority: Authority) -> None:
    whole = Credential(alice.certificate, alice.key, (authority.der,))
    again = Credential.from_pem(whole.pem(b"secret"), b"secret")
    assert (again.certificate, again.chain) == (alice.certificate, (authority.der,))


def test_a_bare_key_that_others_may_read_is_refused(tmp_path: Path, alice: Credential) -> None:
    (tmp_path / "user.pem").write_bytes(alice.certificate_pem())
    key = tmp_path / "user.key"
    key.write_bytes(alice.key_pem(None))
    key.chmod(0o640)
    with pytest.raises(KeyExposed, match="others may read"):
        Credential.load(tmp_path / "user.pem", key)
    key.chmod(0o600)
    assert Credential.load(tmp_path / "user.pem", key).identity == alice.identity


def test_a_key_of_somebody_else_is_refused(alice: Credential) -> None:
    with pytest.raises(BadKey, match="not the key of the certificate"):
        Credential(alice.certificate, make_key())


def test_a_missing_credential_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CredentialMissing) as caught:
        Credential.load(tmp_path / "user.pem", tmp_path / "user.key")
    assert "get-xos-cert" in caught.value.next_step

# SPDX-License-Identifier: BSD-3-Clause
"""OpenSSH certificates: what the CA makes of an XOS-Certificate, and what a node believes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType
from hypothesis import given
from hypothesis import strategies as st

from xos.common import ssh
from xos.common.certificate import Authority, CertificateError, make_csr, make_key
from xos.common.errors import (
    BadCertificate,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRevoked,
    CertificateTooLarge,
    WeakKey,
    WrongKind,
)
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential, Trust

from .conftest import ALICE

Issue = Callable[..., Credential]
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


def line(key: PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def forged(
    alice: Credential,
    signer: Authority,
    *,
    key: ec.EllipticCurvePublicKey | None = None,
    serial: int | None = None,
    name: bytes = b"alice@demo",
    carried: bytes | None = None,
    later: int = 0,
    kind: SSHCertificateType = SSHCertificateType.USER,
    option: bytes | None = None,
) -> str:
    """A certificate that differs from the right one in what is given."""
    who = alice.identity
    builder = (
        SSHCertificateBuilder()
        .public_key(key or alice.key.public_key())
        .serial(who.serial if serial is None else serial)
        .type(kind)
        .key_id(b"forged")
        .valid_principals([name])
        .valid_after(who.not_before)
        .valid_before(who.not_after + later)
    )
    if carried != b"":
        builder = builder.add_extension(ssh.CARRIED.encode(), carried or alice.certificate)
    if option is not None:
        builder = builder.add_critical_option(option, b"")
    return builder.sign(signer.key).public_bytes().decode()


def test_a_user_certificate_tells_who_holds_it_and_carries_the_xos_certificate(
    authority: Authority, trust: Trust, alice: Credential
) -> None:
    text = ssh.certify_user(authority, alice.certificate)
    assert ssh.verify_user(text, trust) == (alice.identity, alice.certificate)
    assert ssh.verify_user(text.split()[1], trust)[0] == alice.identity
    assert ssh.verify_user(text + " alice's key\n", trust)[0] == alice.identity
    made = ssh.parse(text)
    assert (made.serial, made.valid_principals) == (alice.identity.serial, [b"alice@demo"])
    assert made.key_id == f"alice@demo {alice.identity.serial:x}".encode()
    assert set(made.extensions) == {ssh.CARRIED.encode(), *(permit.encode() for permit in ssh.PERMITS)}


def test_the_permits_are_the_vos(authority: Authority, alice: Credential) -> None:
    made = ssh.parse(ssh.certify_user(authority, alice.certificate, ("permit-pty",)))
    assert set(made.extensions) == {ssh.CARRIED.encode(), b"permit-pty"}


def test_a_certificate_too_large_to_be_carried_gets_none(authority: Authority, issue: Issue) -> None:
    groups = tuple(f"g{number:04}{'x' * 50}" for number in range(200))
    crowded = issue(identity=Identity(Kind.USER, "alice", vo="demo", group="users", groups=groups))
    with pytest.raises(CertificateTooLarge):
        ssh.certify_user(authority, crowded.certificate)


def test_another_ca_is_not_believed_whatever_it_carries(
    authority: Authority, stranger: Authority, trust: Trust, alice: Credential, issue: Issue
) -> None:
    with pytest.raises(CertificateForeign):
        ssh.verify_user(forged(alice, stranger), trust)
    with pytest.raises(CertificateForeign):
        ssh.verify_user(ssh.certify_user(authority, issue(ca=stranger).certificate), trust)


@pytest.mark.parametrize(
    "change",
    [
        {"key": make_key().public_key()},
        {"serial": 7},
        {"name": b"bob@demo"},
        {"name": b"root"},
        {"later": 60},
        {"carried": b""},
        {"carried": b"\x30\x00"},
        {"kind": SSHCertificateType.HOST},
        {"option": b"must-understand@example.org"},
    ],
)
def test_both_certificates_must_agree(
    authority: Authority, trust: Trust, alice: Credential, change: dict[str, object]
) -> None:
    with pytest.raises(BadCertificate):
        ssh.verify_user(forged(alice, authority, **change), trust)  # type: ignore[arg-type]


def test_a_machine_does_not_log_in(authority: Authority, trust: Trust, node: Credential) -> None:
    with pytest.raises(WrongKind):
        ssh.verify_user(forged(node, authority, name=b"node1@"), trust)


def test_dates_and_revocation_count(authority: Authority, alice: Credential, now: float) -> None:
    text = ssh.certify_user(authority, alice.certificate)
    with pytest.raises(CertificateExpired):
        ssh.verify_user(text, Trust([authority.der]), at=now + 3700)
    with pytest.raises(CertificateNotYetValid):
        ssh.verify_user(text, Trust([authority.der]), at=now - 400)
    revoked = Trust([authority.der], authority.crl([(alice.identity.serial, now)], 1))
    with pytest.raises(CertificateRevoked):
        ssh.verify_user(text, revoked)


@pytest.mark.parametrize(
    "text", ["", " ", "AAAA", "====", "ssh-ed25519", "ssh-ed25519 AAAA", "é é", "A" * 200_000, "AAAAIGVjZHNh"]
)
def test_what_is_no_certificate_is_refused(trust: Trust, text: str) -> None:
    with pytest.raises(BadCertificate):
        ssh.verify_user(text, trust)


def test_a_bare_key_is_no_certificate(trust: Trust, alice: Credential) -> None:
    with pytest.raises(BadCertificate):
        ssh.verify_user(line(alice.key.public_key()), trust)


def test_a_flipped_bit_anywhere_is_noticed(authority: Authority, trust: Trust, alice: Credential) -> None:
    kind, body = ssh.certify_user(authority, alice.certificate).split()
    data = bytearray(ssh.blob(f"{kind} {body}"))

    @given(st.integers(0, len(data) * 8 - 1))
    def refused(bit: int) -> None:
        data[bit // 8] ^= 1 << bit % 8
        try:
            with pytest.raises(CertificateError):
                ssh.verify_user(f"{kind} {_base64(bytes(data))}", trust)
        finally:
            data[bit // 8] ^= 1 << bit % 8

    refused()


@given(st.binary(max_size=2000), st.sampled_from(["", "ecdsa-sha2-nistp256-cert-v01@openssh.com ", "ssh-ed25519 "]))
def test_any_bytes_get_an_answer(data: bytes, kind: str) -> None:
    with contextlib.suppress(CertificateError):
        ssh.parse(kind + _base64(data))


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate().public_key(),
        make_key().public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
    ],
)
def test_a_host_certificate_names_the_host_and_its_addresses(authority: Authority, key: PublicKey) -> None:
    now = int(time.time())
    made = ssh.parse(ssh.certify_host(authority, line(key), ["node1", "127.0.0.2", "node1"], now + 60, serial=5))
    assert made.type is SSHCertificateType.HOST
    assert (made.valid_principals, made.serial, made.valid_before) == ([b"node1", b"127.0.0.2"], 5, now + 60)
    assert not made.extensions


def test_weak_and_unreadable_host_keys_are_refused(authority: Authority) -> None:
    with pytest.raises(WeakKey):
        ssh.load_host_key(line(rsa.generate_private_key(65537, 1024).public_key()))  # noqa: S505 -- that is the point
    for text in ("", "ssh-ed25519 AAAA", "x" * 100_000, "ssh-dss AAAA"):
        with pytest.raises(CertificateError):
            ssh.certify_host(authority, text, ["node1"], 1, serial=1)


def test_the_trust_is_told_to_sshd_and_to_ssh_in_one_line_per_ca(trust: Trust, authority: Authority) -> None:
    (keys,) = ssh.trusted_ca_keys(trust).splitlines()
    (known,) = ssh.known_hosts(trust).splitlines()
    assert keys.startswith("ecdsa-sha2-nistp256 ")
    assert known == f"@cert-authority * {keys}"
    public = serialization.load_ssh_public_key(keys.encode())
    assert public == authority.key.public_key()


def test_a_ca_signature_for_ssh_is_none_for_x509(authority: Authority, alice: Credential) -> None:
    """What the CA signs for the one begins as nothing does that it signs for the other."""
    tbs = ssh.parse(ssh.certify_user(authority, alice.certificate))._tbs_cert_body
    assert bytes(tbs)[:3] == b"\0\0\0"
    assert alice.certificate[:1] == authority.crl([], 1)[:1] == b"\x30"


def test_p384_users_get_one_too(authority: Authority, trust: Trust) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    der = authority.issue_user(make_csr(key, "x"), ALICE, 600)
    assert ssh.verify_user(ssh.certify_user(authority, der), trust)[1] == der


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()

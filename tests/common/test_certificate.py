# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from xos.common import attributes
from xos.common.attributes import write_utf8_string
from xos.common.certificate import (
    Authority,
    BadCertificate,
    BadCsr,
    BadKey,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRevoked,
    CertificateSelfSigned,
    CsrForbidden,
    WeakKey,
    WrongPassphrase,
    check_csr,
    describe,
    key_pem,
    load_certificate,
    load_key,
    make_csr,
    make_key,
    new_serial,
    parse_identity,
    verify,
)
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential

DER = serialization.Encoding.DER
GOOD = {
    attributes.PRIMARY_VO: write_utf8_string("demo"),
    attributes.USER_ID: write_utf8_string("alice"),
    attributes.PRIMARY_GROUP: write_utf8_string("users"),
}


def forge(
    authority: Authority,
    values: dict[x509.ObjectIdentifier, bytes],
    *more: x509.Extension[x509.ExtensionType],
    serial: int = 7,
) -> bytes:
    """A certificate by our CA that says whatever the test wants."""
    sample = load_certificate(authority.issue_user(make_csr(make_key(), "x"), _alice(), 3600))
    extensions = [x509.Extension(oid, False, x509.UnrecognizedExtension(oid, value)) for oid, value in values.items()]
    builder = x509.CertificateBuilder(
        sample.issuer,
        sample.subject,
        sample.public_key(),
        serial,
        sample.not_valid_before_utc.replace(tzinfo=None),
        sample.not_valid_after_utc.replace(tzinfo=None),
        [*extensions, *more],
    )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(DER)


def _alice() -> Identity:
    return Identity(Kind.USER, "alice", vo="demo", group="users")


def test_a_user_certificate_says_what_it_was_issued_for(authority: Authority, alice: Credential, now: float) -> None:
    found = verify(alice.certificate, authority.certificate, None, now)
    assert found.kind is Kind.USER
    assert (found.name, found.vo, found.vos, found.group) == ("alice", "demo", ("other",), "users")
    assert (found.groups, found.roles) == (("physics.atlas", "Ops"), ("VOAdmin",))
    assert found.not_before <= now - 290
    assert 3590 <= found.not_after - now <= 3600
    assert len(found.fingerprint) == 64
    assert str(found) == "alice@demo"


def test_all_eight_original_attributes_are_written(alice: Credential) -> None:
    assert describe(alice.certificate) == {
        "GlobalPrimaryVOName": "demo",
        "GlobalSecondaryVONames": "other",
        "GlobalUserID": "alice",
        "GlobalPrimaryGroupName": "users",
        "GlobalSecondaryGroupNames": "physics.atlas,Ops",
        "Role": "VOAdmin",
        "Group": "users,physics,Ops",
        "Subgroup": "physics.atlas",
    }


def test_no_user_id_means_a_machine(authority: Authority, node: Credential, now: float) -> None:
    found = verify(node.certificate, authority.certificate, None, now)
    assert (found.kind, found.name, found.vo, found.roles) == (Kind.MACHINE, "node1", "", ("resource",))


def test_a_machine_certificate_names_its_addresses(authority: Authority) -> None:
    der = authority.issue_machine(make_csr(make_key(), "x"), "node1", [], ["127.0.0.2", "::1", "grid.example.org"], 60)
    names = load_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node1", "grid.example.org"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.2", "::1"]


def test_a_certificate_never_outlives_its_ca() -> None:
    ca = Authority.create("short", years=1 / 365.25)
    found = parse_identity(ca.issue_user(make_csr(make_key(), "x"), _alice(), 1e9))
    assert found.not_after == int(ca.certificate.not_valid_after_utc.timestamp())


def test_serials_fit_sql_integers_and_msgpack() -> None:
    serials = {new_serial() for _ in range(100)}
    assert len(serials) == 100
    assert all(0 < serial < 1 << 63 for serial in serials)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(max(serials))) == max(serials)


def test_a_given_serial_is_used(authority: Authority) -> None:
    assert parse_identity(authority.issue_user(make_csr(make_key(), "x"), _alice(), 60, serial=42)).serial == 42


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Alice"},
        {"name": "a,b"},
        {"name": ""},
        {"name": "a" * 65},
        {"name": "../x"},
        {"vo": ""},
        {"group": "a b"},
        {"groups": ("ok", "x,y")},
        {"roles": ("\n",)},
        {"vos": ("é",)},
        {"groups": tuple(f"{number:064}" for number in range(1000))},
    ],
)
def test_the_ca_issues_no_certificate_that_could_not_be_read_back(
    authority: Authority, change: dict[str, object]
) -> None:
    with pytest.raises(BadCertificate):
        authority.issue_user(make_csr(make_key(), "x"), msgspec.structs.replace(_alice(), **change), 60)


# --- verification ---


def test_an_expired_certificate_is_refused(authority: Authority, alice: Credential, now: float) -> None:
    with pytest.raises(CertificateExpired, match="alice@demo expired at 2") as caught:
        verify(alice.certificate, authority.certificate, None, now + 3700)
    assert caught.value.code == "cert.expired"
    assert caught.value.http_status == 401
    assert "get-xos-cert" in caught.value.next_step


def test_a_clock_four_minutes_behind_is_forgiven_and_ten_are_not(
    authority: Authority, alice: Credential, now: float
) -> None:
    verify(alice.certificate, authority.certificate, None, now - 240)
    with pytest.raises(CertificateNotYetValid) as caught:
        verify(alice.certificate, authority.certificate, None, now - 600)
    assert caught.value.code == "cert.not-yet-valid"
    assert "clock" in caught.value.next_step


def test_a_foreign_certificate_is_refused_even_if_its_ca_has_our_name(
    authority: Authority, stranger: Authority, issue: Callable[..., Credential], now: float
) -> None:
    with pytest.raises(CertificateForeign) as caught:
        verify(issue(ca=stranger).certificate, authority.certificate, None, now)
    assert caught.value.code == "cert.foreign"


def test_a_self_signed_certificate_is_refused(authority: Authority, now: float) -> None:
    with pytest.raises(CertificateSelfSigned) as caught:
        verify(self_signed(make_key()), authority.certificate, None, now)
    assert caught.value.code == "cert.self-signed"


def self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    sample = Authority.create("x").certificate
    builder = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        7,
        sample.not_valid_before_utc.replace(tzinfo=None),
        sample.not_valid_after_utc.replace(tzinfo=None),
        [x509.Extension(oid, False, x509.UnrecognizedExtension(oid, value)) for oid, value in GOOD.items()],
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(DER)


def test_a_revoked_certificate_is_refused(authority: Authority, alice: Credential, now: float) -> None:
    crl = x509.load_der_x509_crl(authority.crl([(alice.identity.serial, now)], 1))
    with pytest.raises(CertificateRevoked) as caught:
        verify(alice.certificate, authority.certificate, crl, now)
    assert caught.value.code == "cert.revoked"


def test_the_ca_itself_is_nobody(authority: Authority, now: float) -> None:
    with pytest.raises(BadCertificate, match="CA's"):
        verify(authority.der, authority.certificate, None, now)


def test_one_flipped_bit_breaks_the_signature(authority: Authority, alice: Credential, now: float) -> None:
    der = bytearray(alice.certificate)
    der[der.index(b"alice", der.index(b"alice") + 1)] ^= 1
    with pytest.raises(CertificateForeign):
        verify(bytes(der), authority.certificate, None, now)


# --- malformed and huge extensions ---


def test_a_plain_good_forgery_is_read(authority: Authority) -> None:
    assert parse_identity(forge(authority, GOOD)).name == "alice"


@pytest.mark.parametrize(
    ("oid", "value", "says"),
    [
        (attributes.USER_ID, b"", "not a UTF8String"),
        (attributes.USER_ID, b"\x0c", "not a UTF8String"),
        (attributes.USER_ID, b"\x13\x05alice", "not a UTF8String"),
        (attributes.USER_ID, b"\x0c\x05alice!", "not as long"),
        (attributes.USER_ID, b"\x0c\x06alice", "not as long"),
        (attributes.USER_ID, b"\x0c\x81\x05alice", "shortest form"),
        (attributes.USER_ID, b"\x0c\x82\x00\x05alice", "shortest form"),
        (attributes.USER_ID, b"\x0c\x80alice\0\0", "cannot be read"),
        (attributes.USER_ID, b"\x0c\x84\xff\xff\xff\xff", "cannot be read"),
        (attributes.USER_ID, b"\x0c\x82\x05", "cannot be read"),
        (attributes.USER_ID, b"\x0c\x02\xff\xfe", "not UTF-8"),
        (attributes.USER_ID, b"\x0c\x00", "GlobalUserID"),
        (attributes.USER_ID, write_utf8_string("root\0"), "GlobalUserID"),
        (attributes.USER_ID, write_utf8_string("a/../b"), "GlobalUserID"),
        (attributes.USER_ID, write_utf8_string("alice\n"), "GlobalUserID"),
        (attributes.PRIMARY_VO, write_utf8_string("Demo"), "GlobalPrimaryVOName"),
        (attributes.SECONDARY_VOS, write_utf8_string("a,,b"), "GlobalSecondaryVONames"),
        (attributes.SECONDARY_GROUPS, write_utf8_string("a,a"), "twice"),
        (attributes.ROLE, write_utf8_string(""), "Role"),
        (attributes.GROUP, write_utf8_string("admins"), "disagrees"),
        (attributes.SUBGROUP, write_utf8_string("users.x"), "disagrees"),
        (attributes.NODE_NAME, write_utf8_string("node1"), "both"),
        (attributes.ROLE, write_utf8_string("r" * 70_000), "more than 65536 bytes"),
    ],
)
def test_a_malformed_attribute_is_refused_and_named(
    authority: Authority, oid: x509.ObjectIdentifier, value: bytes, says: str
) -> None:
    with pytest.raises(BadCertificate, match=says) as caught:
        parse_identity(forge(authority, {**GOOD, oid: value}))
    assert caught.value.code == "cert.bad"
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("missing", [attributes.PRIMARY_VO, attributes.PRIMARY_GROUP])
def test_a_user_without_vo_or_group_is_refused(authority: Authority, missing: x509.ObjectIdentifier) -> None:
    with pytest.raises(BadCertificate, match=f"no {attributes.ATTRIBUTES[missing]}"):
        parse_identity(forge(authority, {oid: value for oid, value in GOOD.items() if oid != missing}))


@pytest.mark.parametrize("extra", [attributes.PRIMARY_VO, attributes.ROLE])
def test_a_machine_with_user_attributes_is_refused(authority: Authority, extra: x509.ObjectIdentifier) -> None:
    values = {attributes.NODE_NAME: write_utf8_string("node1"), extra: write_utf8_string("demo")}
    with pytest.raises(BadCertificate, match="without a GlobalUserID"):
        parse_identity(forge(authority, values))


def test_a_certificate_that_names_nobody_is_refused(authority: Authority) -> None:
    with pytest.raises(BadCertificate, match="neither GlobalUserID nor NodeName"):
        parse_identity(forge(authority, {}))


def test_an_attribute_twice_is_refused(authority: Authority) -> None:
    der = forge(authority, {**GOOD, attributes.ROLE: write_utf8_string("a")})
    role, user_id = bytes.fromhex("06054a05000e06"), bytes.fromhex("06054a05000e03")  # 1.34.5.0.14.6 and .3
    assert role in der
    with pytest.raises(BadCertificate, match="twice"):
        parse_identity(der.replace(role, user_id))


def test_an_unknown_critical_extension_is_refused_and_an_uncritical_one_ignored(authority: Authority) -> None:
    oid = x509.ObjectIdentifier("1.34.5.0.14.99")

    def unknown(critical: bool) -> x509.Extension[x509.ExtensionType]:
        return x509.Extension(oid, critical, x509.UnrecognizedExtension(oid, b"\x05\x00"))

    assert parse_identity(forge(authority, GOOD, unknown(False))).name == "alice"
    with pytest.raises(BadCertificate, match=r"critical extension 1\.34\.5\.0\.14\.99"):
        parse_identity(forge(authority, GOOD, unknown(True)))


def test_a_serial_that_no_database_can_hold_is_refused(authority: Authority) -> None:
    with pytest.raises(BadCertificate, match="serial"):
        parse_identity(forge(authority, GOOD, serial=1 << 63))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", [0x80, 0xFF])
def test_a_negative_serial_is_refused(authority: Authority, first: int) -> None:
    der = forge(authority, GOOD, serial=0x7E00_0000_0000_0001)
    with pytest.raises(BadCertificate):
        parse_identity(der.replace(b"\x02\x08\x7e", bytes([2, 8, first])))


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x80", b"garbage" * 100, b"\x30\x84\xff\xff\xff\xff"])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(BadCertificate, match="cannot be read"):
        parse_identity(der)


def test_a_huge_certificate_is_refused_unread() -> None:
    with pytest.raises(BadCertificate, match="bytes"):
        parse_identity(b"\x30" + b"\0" * 100_000)


# --- requests ---


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_requests_on_p256_and_p384_are_taken(authority: Authority, curve: ec.EllipticCurve) -> None:
    csr = make_csr(ec.generate_private_key(curve), "alice")
    assert parse_identity(authority.issue_user(csr, _alice(), 60)).name == "alice"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), id="rsa"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="ed25519"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP192R1()), id="p192"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), id="k256"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), id="p521"),
    ],
)
def test_a_request_with_another_key_is_weak(key: Callable[[], CertificateIssuerPrivateKeyTypes]) -> None:
    made = key()
    algorithm = None if isinstance(made, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(made, algorithm)
    with pytest.raises(WeakKey) as caught:
        check_csr(request.public_bytes(DER))
    assert caught.value.code == "cert.weak-key"
    assert "P-256" in caught.value.next_step


def test_a_request_that_asks_for_extensions_is_forbidden() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    oid = attributes.USER_ID
    builder = builder.add_extension(x509.UnrecognizedExtension(oid, write_utf8_string("root")), critical=False)
    with pytest.raises(CsrForbidden, match=r"attributes 1\.2\.840\.113549\.1\.9\.14") as caught:
        check_csr(builder.sign(make_key(), hashes.SHA256()).public_bytes(DER))
    assert caught.value.code == "cert.csr-forbidden"


def test_a_request_with_an_attribute_is_forbidden() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"x")
    with pytest.raises(CsrForbidden):
        check_csr(builder.sign(make_key(), hashes.SHA256()).public_bytes(DER))


def test_a_request_that_its_key_did_not_sign_is_bad() -> None:
    csr = bytearray(make_csr(make_key(), "alice"))
    csr[csr.index(b"alice")] ^= 1
    with pytest.raises(BadCsr, match="signature"):
        check_csr(bytes(csr))


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"x" * 20_000])
def test_what_is_no_request_is_bad(der: bytes) -> None:
    with pytest.raises(BadCsr):
        check_csr(der)


# --- keys, and the CA on disk ---


def test_a_ca_survives_being_saved(authority: Authority, alice: Credential, now: float) -> None:
    loaded = Authority.load(authority.key_pem(b"secret"), authority.certificate_pem(), b"secret")
    assert verify(alice.certificate, loaded.certificate, None, now).name == "alice"


def test_a_ca_key_wants_its_passphrase(authority: Authority) -> None:
    pem = authority.key_pem(b"secret")
    with pytest.raises(WrongPassphrase, match="missing"):
        Authority.load(pem, authority.certificate_pem())
    with pytest.raises(WrongPassphrase, match="wrong"):
        Authority.load(pem, authority.certificate_pem(), b"guess")


def test_a_ca_with_another_key_is_refused(authority: Authority) -> None:
    with pytest.raises(BadKey):
        Authority.load(key_pem(make_key()), authority.certificate_pem())


def test_keys_that_are_none_are_refused() -> None:
    with pytest.raises(BadKey):
        load_key(b"nonsense")
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(WeakKey):
        load_key(pem)


def test_a_long_revocation_list_is_made_and_read_in_time(authority: Authority, now: float) -> None:
    crl = x509.load_der_x509_crl(authority.crl(((serial, now) for serial in range(1, 20_001)), 5))
    assert len(crl) == 20_000
    assert crl.is_signature_valid(authority.key.public_key())

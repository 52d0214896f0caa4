# SPDX-License-Identifier: BSD-3-Clause
"""CDA: who gets which certificate, and who none."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from xos.common import ssh
from xos.common.certificate import BadCsr, CertificateRevoked, CsrForbidden, WeakKey, make_csr, make_key, parse_identity
from xos.common.identity import ANONYMOUS, Identity
from xos.common.tls import Credential
from xos.vom.api import CertificateWish, Issued, User, UserState
from xos.vom.cda import choose
from xos.vom.errors import (
    BadCredentials,
    BadName,
    BadRequest,
    DelegationShown,
    Forbidden,
    NotAMember,
    PasswordNeeded,
    Suspended,
    TooManyAttempts,
)
from xos.vom.members import Member

from .conftest import PASSWORD, CoreMachine, acting


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """All of this on each kind of database."""
    return either_machine


async def _issue(machine: CoreMachine, csr: bytes, **wish: Any) -> Issued:
    wanted = CertificateWish(**{"vo": "demo", "user": "alice", "csr": csr, "password": PASSWORD, **wish})
    with acting(ANONYMOUS):
        return await machine.cda.issue(wanted)


async def test_a_password_gets_a_certificate_with_all_groups_and_roles_that_the_trust_accepts(
    machine: CoreMachine,
) -> None:
    await machine.add("alice", group="physics", groups=("atlas", "users"), roles=("VOAdmin",))
    credential = await machine.get("alice", hours=2)
    who = machine.trust.identify(credential.certificate)
    assert (who.name, who.vo, who.group) == ("alice", "demo", "physics")
    assert set(who.groups) == {"atlas", "users"}
    assert who.roles == ("VOAdmin",)
    assert who.not_after == pytest.approx(time.time() + 7200, abs=5)


async def test_the_answer_tells_the_expiry_that_the_certificate_has(machine: CoreMachine) -> None:
    await machine.add("alice")
    issued = await _issue(machine, make_csr(make_key(), "alice"), hours=3)
    assert issued.not_after == parse_identity(issued.certificate).not_after
    assert issued.ca == await machine.cda.ca()


async def test_a_longer_wish_is_cut_to_the_longest_lifetime(machine: CoreMachine) -> None:
    await machine.add("alice")
    issued = await _issue(machine, make_csr(make_key(), "alice"), hours=1e9)
    assert issued.not_after == pytest.approx(time.time() + 24 * 3600, abs=5)


async def test_another_group_of_the_user_can_be_the_primary_one(machine: CoreMachine) -> None:
    await machine.add("alice", group="users", groups=("atlas",))
    who = (await machine.get("alice", group="atlas")).identity
    assert (who.group, who.groups) == ("atlas", ("users",))


async def test_fewer_roles_can_be_had_and_renewal_never_adds_one(machine: CoreMachine) -> None:
    await machine.add("alice", roles=("VOAdmin", "Operator"))
    narrow = await machine.get("alice", roles=("Operator",))
    assert narrow.identity.roles == ("Operator",)
    assert parse_identity((await machine.renew(narrow)).certificate).roles == ("Operator",)
    with pytest.raises(NotAMember):
        await machine.renew(narrow, roles=("VOAdmin",))


async def test_renewal_keeps_the_chosen_primary_group(machine: CoreMachine) -> None:
    await machine.add("alice", group="users", groups=("atlas",))
    chosen = await machine.get("alice", group="atlas")
    assert parse_identity((await machine.renew(chosen)).certificate).group == "atlas"


@pytest.mark.parametrize("wish", [{"group": "root"}, {"roles": ("VOAdmin",)}])
async def test_a_group_or_role_of_others_is_refused(machine: CoreMachine, wish: dict[str, Any]) -> None:
    await machine.add("alice")
    with pytest.raises(NotAMember):
        await machine.get("alice", **wish)


@pytest.mark.parametrize(
    "wish",
    [{"password": "wrong password"}, {"user": "nobody"}, {"vo": "other"}, {"password": ""}],
    ids=["wrong password", "unknown user", "unknown VO", "empty password"],
)
async def test_whatever_is_wrong_the_answer_is_the_same(machine: CoreMachine, wish: dict[str, Any]) -> None:
    await machine.add("alice")
    with pytest.raises(BadCredentials) as caught:
        await machine.get("alice", **wish)
    assert caught.value.message == "wrong VO, user or password"
    assert caught.value.data == {}


async def test_a_suspended_user_gets_nothing_by_password_or_certificate(machine: CoreMachine) -> None:
    await machine.add("alice")
    shown = await machine.get("alice")
    await machine.suspend("alice")
    with pytest.raises(Suspended):
        await machine.get("alice")
    with pytest.raises(Suspended):
        await machine.renew(shown)


async def test_that_a_user_is_suspended_is_told_only_to_who_knows_the_password(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.suspend("alice")
    with pytest.raises(BadCredentials):
        await machine.get("alice", password="wrong password")


async def test_a_user_who_acts_again_cannot_renew_by_a_certificate_from_before(machine: CoreMachine) -> None:
    await machine.add("alice")
    shown = await machine.get("alice")
    await machine.suspend("alice")
    with acting(machine.identity):
        await machine.xvoms.set_user_state("demo", "alice", UserState.ACTIVE)
    with pytest.raises(CertificateRevoked):
        await machine.renew(shown)
    assert (await machine.get("alice")).identity.name == "alice"


async def test_somebody_elses_certificate_renews_nothing(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("bob", roles=("VOAdmin",))
    await machine.add("alice", vo="other")
    bob, other_alice = await machine.get("bob"), await machine.get("alice", vo="other")
    for shown in (bob.identity, other_alice.identity, machine.identity):
        wish = CertificateWish("demo", "alice", make_csr(make_key(), "alice"))
        with acting(shown), pytest.raises(Forbidden):
            await machine.cda.issue(wish)


async def test_without_password_and_certificate_one_is_asked_for(machine: CoreMachine) -> None:
    await machine.add("alice")
    with pytest.raises(PasswordNeeded):
        await _issue(machine, make_csr(make_key(), "alice"), password=None)


async def test_guessing_is_slowed_down_per_user_and_address_and_says_for_how_long(machine: CoreMachine) -> None:
    await machine.add("alice")
    for _ in range(5):
        with pytest.raises(BadCredentials):
            await machine.get("alice", password="wrong password")
    with pytest.raises(TooManyAttempts) as caught:
        await machine.get("alice")
    assert caught.value.retry_after_ms is not None
    assert 0 < caught.value.retry_after_ms <= 20_000
    wish = CertificateWish("demo", "alice", make_csr(make_key(), "alice"), PASSWORD)
    with acting(ANONYMOUS, "198.51.100.7"):
        assert (await machine.cda.issue(wish)).certificate


async def test_a_thousand_guesses_at_once_are_no_way_around_the_limit(machine: CoreMachine) -> None:
    await machine.add("alice")
    csr = make_csr(make_key(), "alice")
    answers = await asyncio.gather(
        *(_issue(machine, csr, password=f"guess number {i}") for i in range(1000)), return_exceptions=True
    )
    assert sum(isinstance(answer, BadCredentials) for answer in answers) == 5
    assert sum(isinstance(answer, TooManyAttempts) for answer in answers) == 995


async def test_trying_one_password_on_many_users_is_slowed_down_per_address(machine: CoreMachine) -> None:
    csr = make_csr(make_key(), "x")
    answers = []
    for i in range(60):
        with pytest.raises((BadCredentials, TooManyAttempts)) as caught:
            await _issue(machine, csr, user=f"user{i}", password="Summer2026!")
        answers.append(type(caught.value))
    assert answers[:50] == [BadCredentials] * 50
    assert TooManyAttempts in answers[50:]


async def test_right_passwords_are_never_held_against_anyone(machine: CoreMachine) -> None:
    await machine.add("alice")
    for _ in range(20):
        await machine.get("alice")


def _csr(key: Any, **change: Any) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")]))
    for extension in change.get("extensions", ()):
        builder = builder.add_extension(extension, critical=False)
    for oid, value in change.get("attributes", ()):
        builder = builder.add_attribute(oid, value)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


_GOOD = _csr(make_key())
BAD_REQUESTS = {
    "rsa 1024": (_csr(rsa.generate_private_key(65537, 1024)), WeakKey),  # noqa: S505
    "rsa 2048": (_csr(rsa.generate_private_key(65537, 2048)), WeakKey),
    "P-192": (_csr(ec.generate_private_key(ec.SECP192R1())), WeakKey),
    "secp256k1": (_csr(ec.generate_private_key(ec.SECP256K1())), WeakKey),
    "ed25519": (_csr(ed25519.Ed25519PrivateKey.generate()), WeakKey),
    "asks to be a CA": (_csr(make_key(), extensions=[x509.BasicConstraints(ca=True, path_length=None)]), CsrForbidden),
    "asks for a VO attribute": (
        _csr(
            make_key(),
            extensions=[x509.UnrecognizedExtension(x509.ObjectIdentifier("1.34.5.0.14.6"), b"\x0c\x07VOAdmin")],
        ),
        CsrForbidden,
    ),
    "has a challenge password": (
        _csr(make_key(), attributes=[(x509.ObjectIdentifier("1.2.840.113549.1.9.7"), b"secret")]),
        CsrForbidden,
    ),
    "empty": (b"", BadCsr),
    "garbage": (b"\x30\x82" + bytes(500), BadCsr),
    "huge": (_GOOD + bytes(1_000_000), BadCsr),
    "flipped bit in the signature": (_GOOD[:-1] + bytes([_GOOD[-1] ^ 1]), BadCsr),
    "text after it": (_GOOD + b"trailing", BadCsr),
}


@pytest.mark.parametrize(("csr", "error"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_a_request_that_may_not_be_is_refused(machine: CoreMachine, csr: bytes, error: type[Exception]) -> None:
    await machine.add("alice")
    with pytest.raises(error):
        await _issue(machine, csr)


BAD_FIELDS: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "VO with a path": ({"vo": "../demo"}, BadName),
    "SQL": ({"user": "alice' or '1'='1"}, BadName),
    "capital": ({"user": "Alice"}, BadName),
    "looks alike": ({"user": "аlice"}, BadName),
    "trailing newline": ({"user": "alice\n"}, BadName),
    "NUL": ({"vo": "demo\0"}, BadName),
    "10 kB name": ({"user": "a" * 10_000}, BadName),
    "10 MB password": ({"password": "x" * 10_000_000}, BadRequest),
    "comma in the group": ({"group": "a,b"}, BadName),
    "too many roles": ({"roles": tuple(f"r{i}" for i in range(1000))}, BadName),
    "no hours": ({"hours": 0.0}, BadRequest),
    "negative hours": ({"hours": -1.0}, BadRequest),
    "NaN hours": ({"hours": math.nan}, BadRequest),
}


@pytest.mark.parametrize(("wish", "error"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
async def test_a_wish_that_no_user_could_have_is_refused(
    machine: CoreMachine, wish: dict[str, Any], error: type[Exception]
) -> None:
    await machine.add("alice")
    with pytest.raises(error) as caught:
        await _issue(machine, _GOOD, **wish)
    assert len(str(caught.value)) < 1000


async def test_suspension_revokes_every_live_certificate_and_publishes_at_once(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("bob")
    alices = [await machine.get("alice") for _ in range(3)]
    bob = await machine.get("bob")
    await machine.suspend("alice")
    for credential in alices:
        with pytest.raises(CertificateRevoked):
            machine.trust.identify(credential.certificate)
    assert machine.trust.identify(bob.certificate).name == "bob"
    crl = x509.load_der_x509_crl(await machine.cda.revocations())
    assert crl.is_signature_valid(machine.core.authority.certificate.public_key())  # type: ignore[arg-type]
    assert {entry.serial_number for entry in crl} == {credential.identity.serial for credential in alices}
    topic, event = machine.bus.published[-1]
    assert topic == "vom.crl"
    assert event == machine.core.crl


async def test_no_certificate_slips_through_a_suspension_that_comes_at_the_same_moment(machine: CoreMachine) -> None:
    await machine.add("alice")
    shown = await machine.get("alice")

    async def suspend() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await machine.suspend("alice")

    *answers, _ = await asyncio.gather(*(machine.renew(shown) for _ in range(40)), suspend(), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Issued):
            with pytest.raises(CertificateRevoked):
                machine.trust.identify(answer.certificate)
        else:
            assert isinstance(answer, Suspended | CertificateRevoked), answer


async def test_a_password_changed_during_the_check_counts(
    machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.add("alice")
    record = machine.cda._record
    changed = False

    async def change_first(*args: Any, **more: Any) -> Issued | None:
        nonlocal changed
        if not changed:
            changed = True
            with acting(machine.identity):
                await machine.xvoms.set_password("demo", "alice", "another password")
        return await record(*args, **more)

    monkeypatch.setattr(machine.cda, "_record", change_first)
    with pytest.raises(BadCredentials):
        await machine.get("alice")


async def test_expired_certificates_leave_the_database_after_a_day(
    machine: CoreMachine, clock: Callable[[float], None]
) -> None:
    await machine.add("alice")
    await machine.get("alice")
    await machine.suspend("alice")

    async def crl_length() -> int:
        await machine.core.publish_crl()
        return len(x509.load_der_x509_crl(machine.core.crl.crl))

    clock(24 * 3600)
    assert await crl_length() == 1
    clock(25 * 3600)
    await machine.core._forget_expired()
    assert await crl_length() == 0


_USER = User("demo", "alice", "users", ("atlas", "cms"), ("Operator", "VOAdmin"))
_MEMBER = Member(1, _USER, "", 1, 1)
_WISH = CertificateWish("demo", "alice", b"")


@pytest.mark.parametrize(
    ("wish", "shown_roles", "expected"),
    [
        ({}, None, ("users", ("atlas", "cms"), ("Operator", "VOAdmin"))),
        ({"group": "cms"}, None, ("cms", ("users", "atlas"), ("Operator", "VOAdmin"))),
        ({"roles": ()}, None, ("users", ("atlas", "cms"), ())),
        ({"roles": ("VOAdmin", "VOAdmin")}, None, ("users", ("atlas", "cms"), ("VOAdmin",))),
        ({}, (), ("users", ("atlas", "cms"), ())),
        ({}, ("VOAdmin", "Gone"), ("users", ("atlas", "cms"), ("VOAdmin",))),
    ],
)
def test_what_a_certificate_says_follows_from_user_wish_and_certificate_shown(
    wish: dict[str, Any],
    shown_roles: tuple[str, ...] | None,
    expected: tuple[str, tuple[str, ...], tuple[str, ...]],
) -> None:
    shown = None
    if shown_roles is not None:
        shown = Identity(ANONYMOUS.kind, "alice", "demo", "users", ("atlas", "cms", "gone"), shown_roles)
    got = choose(_MEMBER, msgspec.structs.replace(_WISH, **wish), shown)
    assert (got.group, got.groups, got.roles) == expected


async def test_a_key_on_p384_is_good_too(machine: CoreMachine) -> None:
    await machine.add("alice")
    key = ec.generate_private_key(ec.SECP384R1())
    issued = await _issue(machine, make_csr(key, "alice"))
    assert Credential(issued.certificate, key).identity.name == "alice"


async def test_a_delegation_is_for_anothers_key_and_no_wider_than_the_certificate_shown(machine: CoreMachine) -> None:
    await machine.add("alice", roles=("VOAdmin", "Operator"))
    shown = await machine.get("alice", roles=("Operator",), hours=2)
    key = make_key()
    with acting(shown.identity):
        issued = await machine.cda.delegate(make_csr(key, "portal"), 24.0)
    who = machine.trust.identify(Credential(issued.certificate, key).certificate)
    assert (who.name, who.vo, who.roles) == ("alice", "demo", ("Operator",))
    assert who.not_after <= shown.identity.not_after


async def test_a_delegation_is_short_however_long_the_certificate_shown_is_good(machine: CoreMachine) -> None:
    await machine.add("alice")
    shown = await machine.get("alice", hours=24)
    with acting(shown.identity):
        issued = await machine.cda.delegate(make_csr(make_key(), "portal"), 24.0)
    assert issued.not_after == pytest.approx(time.time() + 8 * 3600, abs=5)


async def test_a_delegation_ends_with_its_users_suspension(machine: CoreMachine) -> None:
    await machine.add("alice")
    shown = await machine.get("alice")
    with acting(shown.identity):
        issued = await machine.cda.delegate(make_csr(make_key(), "portal"))
        await machine.suspend("alice")
        with pytest.raises(Suspended):
            await machine.cda.delegate(make_csr(make_key(), "portal"))
    machine.trust.set_crl(await machine.cda.revocations())
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(issued.certificate)


async def test_a_delegation_gets_no_certificate_neither_longer_nor_for_somebody_else(machine: CoreMachine) -> None:
    await machine.add("alice")
    key = make_key()
    with acting((await machine.get("alice")).identity):
        issued = await machine.cda.delegate(make_csr(key, "portal"), 1.0)
    portal = parse_identity(issued.certificate)
    assert portal.delegated
    with acting(portal):
        for csr in (make_csr(key, "alice"), make_csr(make_key(), "alice")):
            with pytest.raises(DelegationShown):
                await machine.cda.issue(CertificateWish("demo", "alice", csr))
        with pytest.raises(DelegationShown):
            await machine.cda.delegate(make_csr(make_key(), "another"))


async def test_a_certificate_about_to_end_delegates_nothing(machine: CoreMachine) -> None:
    await machine.add("alice")
    ending = msgspec.structs.replace((await machine.get("alice")).identity, not_after=int(time.time()) + 5)
    with acting(ending), pytest.raises(BadRequest):
        await machine.cda.delegate(make_csr(make_key(), "portal"))


async def test_an_ssh_certificate_comes_with_each_and_is_for_the_same_key_person_and_time(machine: CoreMachine) -> None:
    await machine.add("alice", group="physics")
    issued = await _issue(machine, make_csr(make_key(), "alice"))
    assert ssh.verify_user(issued.ssh, machine.trust) == (parse_identity(issued.certificate), issued.certificate)


async def test_a_certificate_too_large_for_ssh_is_issued_all_the_same(machine: CoreMachine) -> None:
    await machine.add("alice", groups=tuple(f"g{number:04}{'x' * 50}" for number in range(64)))
    machine.cda.settings = msgspec.structs.replace(machine.cda.settings, ssh_permits=("permit-pty",))
    most = ssh.MAX_CARRIED
    issued = await _issue(machine, make_csr(make_key(), "alice"))
    assert (
        issued.ssh == ""
        if len(issued.certificate) > most
        else set(ssh.parse(issued.ssh).extensions)
        == {
            ssh.CARRIED.encode(),
            b"permit-pty",
        }
    )

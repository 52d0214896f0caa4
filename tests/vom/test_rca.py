# SPDX-License-Identifier: BSD-3-Clause
"""RCA: which machines get a certificate."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import math
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from xos.common import ssh
from xos.common.certificate import BadCertificate, CertificateRevoked, WeakKey, make_csr, make_key, parse_identity
from xos.common.identity import ANONYMOUS, Identity, Kind
from xos.vom.api import Issued, JoinToken
from xos.vom.errors import (
    BadName,
    BadRequest,
    Forbidden,
    TokenExpired,
    TokenForeign,
    TokenUsed,
    UnknownMachine,
    UnknownToken,
)
from xos.vom.records import store as records
from xos.vom.store import METADATA

from .conftest import CoreMachine, acting


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """All of this on each kind of database."""
    return either_machine


async def _token(machine: CoreMachine, node: str = "node1", **more: Any) -> JoinToken:
    with acting(machine.identity):
        return await machine.rca.create_token(node, **more)


async def _join(machine: CoreMachine, token: str, csr: bytes, node: str = "node1") -> Issued:
    with acting(ANONYMOUS):
        return await machine.rca.join(token, node, csr)


def _csr() -> bytes:
    return make_csr(make_key(), "node1")


async def test_a_token_makes_a_machine_with_the_addresses_that_the_core_certified(machine: CoreMachine) -> None:
    token = await _token(machine, addresses=("127.0.0.2", "::1", "127.0.0.2"))
    issued = await _join(machine, token.token, _csr())
    who = machine.trust.identify(issued.certificate, kind=Kind.MACHINE)
    assert (who.name, who.roles, who.not_after) == ("node1", ("resource",), issued.not_after)
    names = x509.load_der_x509_certificate(issued.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.2"),
        ipaddress.ip_address("::1"),
    ]


async def test_the_token_names_the_ca_by_its_fingerprint(machine: CoreMachine) -> None:
    token = await _token(machine)
    assert token.ca_fingerprint == hashlib.sha256(await machine.cda.ca()).hexdigest()


async def test_a_token_has_160_bits_or_more_and_is_kept_only_as_a_hash(machine: CoreMachine) -> None:
    token = await _token(machine)
    assert len(token.token) * 6 >= 160
    tables = [*METADATA.sorted_tables, *records.METADATA.sorted_tables]
    content = repr(await machine.core.store.read(lambda c: [c.execute(table.select()).all() for table in tables]))
    assert token.token not in content
    assert hashlib.sha256(token.token.encode()).hexdigest() in content


async def test_the_same_request_again_gets_the_same_certificate_even_after_the_token_expired(
    machine: CoreMachine, clock: Callable[[float], None]
) -> None:
    token, csr = await _token(machine), _csr()
    first = await _join(machine, token.token, csr)
    clock(7200)
    assert await _join(machine, token.token, csr) == first


async def test_a_token_is_good_for_one_key_only(machine: CoreMachine) -> None:
    token = await _token(machine)
    await _join(machine, token.token, _csr())
    with pytest.raises(TokenUsed):
        await _join(machine, token.token, _csr())


async def test_of_many_joins_at_once_with_one_token_one_key_wins(machine: CoreMachine) -> None:
    token = await _token(machine)
    answers = await asyncio.gather(*(_join(machine, token.token, _csr()) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Issued) for answer in answers) == 1
    assert sum(isinstance(answer, TokenUsed) for answer in answers) == 19


async def test_the_same_join_many_times_at_once_gets_one_certificate(machine: CoreMachine) -> None:
    token, csr = await _token(machine), _csr()
    answers = await asyncio.gather(*(_join(machine, token.token, csr) for _ in range(20)))
    assert len(set(answers)) == 1


async def test_an_expired_token_is_refused(machine: CoreMachine, clock: Callable[[float], None]) -> None:
    token = await _token(machine, minutes=10)
    clock(601)
    with pytest.raises(TokenExpired):
        await _join(machine, token.token, _csr())


async def test_a_token_lives_no_longer_than_the_settings_allow(
    machine: CoreMachine, clock: Callable[[float], None]
) -> None:
    token = await _token(machine, minutes=1e12)
    clock(7 * 24 * 3600 + 1)
    with pytest.raises(TokenExpired):
        await _join(machine, token.token, _csr())


async def test_a_token_for_another_node_is_refused_and_stays_unused(machine: CoreMachine) -> None:
    token = await _token(machine, "node2")
    with pytest.raises(TokenForeign):
        await _join(machine, token.token, _csr(), "node1")
    assert (await _join(machine, token.token, _csr(), "node2")).certificate


@pytest.mark.parametrize("token", ["", "guess", "x" * 1_000_000, "' or 1=1 --", "\0"])
async def test_a_token_never_given_out_is_refused(machine: CoreMachine, token: str) -> None:
    with pytest.raises(UnknownToken):
        await _join(machine, token, _csr())


async def test_a_weak_key_does_not_use_the_token_up(machine: CoreMachine) -> None:
    token = await _token(machine)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node1")])
    weak = x509.CertificateSigningRequestBuilder(name).sign(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    with pytest.raises(WeakKey):
        await _join(machine, token.token, weak.public_bytes(serialization.Encoding.DER))
    assert (await _join(machine, token.token, _csr())).certificate


async def test_a_machine_that_joins_anew_loses_its_old_certificates(machine: CoreMachine) -> None:
    old = await _join(machine, (await _token(machine)).token, _csr())
    new = await _join(machine, (await _token(machine)).token, _csr())
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(old.certificate)
    assert machine.trust.identify(new.certificate).name == "node1"
    with acting(parse_identity(old.certificate)), pytest.raises(CertificateRevoked):
        await machine.rca.renew(_csr())


async def test_a_machine_renews_its_own_certificate_with_what_was_certified(machine: CoreMachine) -> None:
    token = await _token(machine, addresses=("127.0.0.2",))
    joined = await _join(machine, token.token, _csr())
    with acting(parse_identity(joined.certificate)):
        renewed = await machine.rca.renew(_csr())
    who = machine.trust.identify(renewed.certificate)
    assert (who.name, who.roles) == ("node1", ("resource",))
    assert b"\x7f\x00\x00\x02" in renewed.certificate


async def test_the_core_itself_renews(machine: CoreMachine) -> None:
    with acting(machine.identity):
        renewed = await machine.rca.renew(make_csr(make_key(), "core"))
    assert parse_identity(renewed.certificate).roles == ("core",)


async def test_a_machine_that_never_joined_renews_nothing(machine: CoreMachine) -> None:
    with acting(Identity(Kind.MACHINE, "node9", roles=("resource",))), pytest.raises(UnknownMachine):
        await machine.rca.renew(_csr())


async def test_only_core_machines_make_tokens(machine: CoreMachine) -> None:
    await machine.add("carol", roles=("VOAdmin", "core"))
    carol = (await machine.get("carol")).identity
    for caller in (carol, ANONYMOUS, Identity(Kind.MACHINE, "node1", roles=("resource",))):
        with acting(caller), pytest.raises(Forbidden):
            await machine.rca.create_token("node2")


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "node name": ({"node": "../node"}, BadName),
    "10 kB node name": ({"node": "n" * 10_000}, BadName),
    "no time": ({"minutes": 0.0}, BadRequest),
    "NaN time": ({"minutes": math.nan}, BadRequest),
    "host name as address": ({"addresses": ("www.example.org",)}, BadRequest),
    "network as address": ({"addresses": ("10.0.0.0/8",)}, BadRequest),
    "too many addresses": ({"addresses": tuple(f"10.0.0.{i}" for i in range(17))}, BadRequest),
}


@pytest.mark.parametrize(("wish", "error"), BAD.values(), ids=BAD.keys())
async def test_a_token_that_can_never_be_right_is_refused(
    machine: CoreMachine, wish: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await _token(machine, **{"node": "node1", **wish})
    kept = await machine.core.store.read(lambda c: c.scalar(sa.text("select count(*) from join_tokens")))
    assert kept == 0


async def test_a_machine_gets_its_host_keys_certified_for_its_name_and_addresses_only(machine: CoreMachine) -> None:
    token = await _token(machine, addresses=("127.0.0.2",))
    joined = await _join(machine, token.token, _csr())
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    with acting(parse_identity(joined.certificate)):
        (made,) = await machine.rca.certify_host_keys((line,))
        with pytest.raises(BadRequest):
            await machine.rca.certify_host_keys((line,) * 100)
        with pytest.raises(BadCertificate):
            await machine.rca.certify_host_keys((line[:40],))
    host = ssh.parse(made)
    assert host.valid_principals == [b"node1", b"127.0.0.2"]
    assert host.valid_before == joined.not_after
    host.verify_cert_signature()


async def test_users_and_unknown_machines_get_no_host_certificate(machine: CoreMachine) -> None:
    for stranger in (Identity(Kind.USER, "alice", vo="demo"), ANONYMOUS):
        with acting(stranger), pytest.raises(Forbidden):
            await machine.rca.certify_host_keys(())
    with acting(Identity(Kind.MACHINE, "node9", roles=("resource",))), pytest.raises(UnknownMachine):
        await machine.rca.certify_host_keys(())

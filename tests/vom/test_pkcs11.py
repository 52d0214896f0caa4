# SPDX-License-Identifier: BSD-3-Clause
"""The CA's key in a PKCS#11 token: a real library (SoftHSM), away and back, with a wrong PIN, without the key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from support.tokens import MODULE, PIN, SoftToken, token
from xos.common import certificate, ssh
from xos.common.identity import Kind
from xos.vom import core as cores
from xos.vom.api import CrlPublished
from xos.vom.core import VomCore
from xos.vom.errors import AuthorityAway, AuthorityExposed, AuthorityLocked, AuthorityUnreadable, BadKeyUri
from xos.vom.pkcs11 import key as token_key
from xos.vom.pkcs11.key import TokenKey
from xos.vom.pkcs11.uri import KeyUri, parse

from .conftest import CoreMachine, acting, founded

__all__ = ["token"]  # fixture

PLAIN = "pkcs11:token=vo-ca;object=ca?module-path=/lib/x.so"


def _with_token(tmp_path: Path, uri: str) -> Path:
    directory = tmp_path / "vom"
    directory.mkdir(mode=0o700)
    (directory / "vom.toml").write_text(f'ca_key = "{uri}"\n')
    return directory


@pytest.fixture
async def guarded(tmp_path: Path, token: SoftToken) -> AsyncIterator[CoreMachine]:
    """A started core machine whose CA key is in the token."""
    core = await founded(tmp_path, more=f'ca_key = "{token.uri}"\n')
    await core.start()
    yield core
    await core.stop()


def _key(machine: CoreMachine) -> TokenKey:
    assert isinstance(machine.core.authority.key, TokenKey)
    return machine.core.authority.key


async def test_users_machines_and_hosts_get_certificates_that_the_token_signed(guarded: CoreMachine) -> None:
    await guarded.add("alice")
    alice = await guarded.get("alice")
    node = await guarded.join("node1")
    ca = x509.load_der_x509_certificate(guarded.core.authority.der)
    for shown in (alice, node):
        certificate.load_certificate(shown.certificate).verify_directly_issued_by(ca)
    renewed = await guarded.renew(alice)
    identity, _ = ssh.verify_user(renewed.ssh, guarded.trust)
    assert (identity.name, identity.kind) == ("alice", Kind.USER)
    crl = x509.load_der_x509_crl(guarded.core.crl.crl)
    assert crl.is_signature_valid(guarded.core.authority.key.public_key())


async def test_the_key_is_made_in_the_token_and_nothing_of_it_is_on_disk(guarded: CoreMachine, tmp_path: Path) -> None:
    assert sorted(file.name for file in (tmp_path / "vom" / "ca").iterdir()) == ["ca.pem"]
    with pytest.raises(UnsupportedAlgorithm):
        guarded.core.authority.key_pem(b"passphrase")


async def test_the_same_ca_signs_after_a_restart(tmp_path: Path, token: SoftToken) -> None:
    directory = _with_token(tmp_path, token.uri)
    before = await VomCore.open(directory)
    der = before.authority.der
    await before.close()
    after = await VomCore.open(directory)
    assert after.authority.der == der
    assert after.crl.number > before.crl.number
    await after.close()


async def test_a_key_that_is_in_the_token_already_is_used(tmp_path: Path, token: SoftToken) -> None:
    made = certificate.make_key()
    file = tmp_path / "given.p8"
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(made.private_bytes(serialization.Encoding.PEM, form, none))
    token.util("--import", str(file), "--token", "vo-ca", "--label", "ca", "--id", "01", "--pin", PIN)
    core = await VomCore.open(_with_token(tmp_path, token.uri))
    assert core.authority.key.public_key() == made.public_key()
    await core.close()


async def test_a_token_that_goes_away_is_an_error_of_each_call_until_it_is_back(
    guarded: CoreMachine, token: SoftToken
) -> None:
    await guarded.add("alice")
    token.take_out()
    for _ in range(2):
        with pytest.raises(AuthorityAway, match="cannot be used"):
            await guarded.get("alice")
    with acting(guarded.identity):
        assert [user.name for user in await guarded.xvoms.list_users("demo")] == ["alice"]
    token.put_in()
    assert (await guarded.get("alice")).identity.name == "alice"


async def test_a_revocation_that_could_not_be_signed_is_published_once_the_token_is_back(
    guarded: CoreMachine, token: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "RETRY_SECONDS", 0.05)
    await guarded.add("alice")
    alice = await guarded.get("alice")
    token.take_out()
    with pytest.raises(AuthorityAway):
        await guarded.suspend("alice")
    published: asyncio.Queue[CrlPublished] = asyncio.Queue()
    guarded.core.announce = published.put_nowait
    token.put_in()
    async with asyncio.timeout(15):
        crl = x509.load_der_x509_crl((await published.get()).crl)
    assert crl.get_revoked_certificate_by_serial_number(alice.identity.serial) is not None


async def test_a_wrong_pin_is_shown_to_the_token_once_and_a_right_one_heals(
    guarded: CoreMachine, token: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guarded.add("alice")
    key = _key(guarded)
    key.close()
    token.tell_pin("0000-no")
    with pytest.raises(AuthorityLocked, match="PIN_INCORRECT"):
        await guarded.get("alice")
    with monkeypatch.context() as patch:
        patch.setattr(token_key, "_Child", None)  # nobody may talk to the token now
        with pytest.raises(AuthorityLocked, match="was refused before"):
            await guarded.get("alice")
    token.tell_pin(PIN)
    assert (await guarded.get("alice")).identity.name == "alice"


async def test_a_pin_that_others_may_read_is_refused(tmp_path: Path, token: SoftToken) -> None:
    token.pin_file.chmod(0o644)
    with pytest.raises(AuthorityExposed):
        await VomCore.open(_with_token(tmp_path, token.uri))


async def test_the_pin_may_be_a_systemd_credential(
    tmp_path: Path, token: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    token.pin_file.unlink()
    (tmp_path / "vom-ca-pin").write_text(PIN)
    (tmp_path / "vom-ca-passphrase").write_text("another secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    core = await VomCore.open(_with_token(tmp_path, token.uri))
    assert core.crl.number
    await core.close()


async def test_a_core_whose_token_lacks_the_key_does_not_start_and_makes_no_other(
    tmp_path: Path, token: SoftToken
) -> None:
    directory = _with_token(tmp_path, token.uri)
    await (await VomCore.open(directory)).close()
    token.util("--delete-token", "--token", "vo-ca")
    token.util("--init-token", "--free", "--label", "vo-ca", "--so-pin", "so-1357", "--pin", PIN)
    with pytest.raises(AuthorityAway, match="no private keys"):
        await VomCore.open(directory)
    token.tell_pin("0000-no")
    with pytest.raises(AuthorityLocked):
        await VomCore.open(directory)
    token.take_out()
    with pytest.raises(AuthorityAway):
        await VomCore.open(directory)


async def test_another_key_of_the_same_name_signs_nothing(tmp_path: Path, token: SoftToken) -> None:
    directory = _with_token(tmp_path, token.uri)
    await (await VomCore.open(directory)).close()
    token.util("--delete-token", "--token", "vo-ca")
    token.util("--init-token", "--free", "--label", "vo-ca", "--so-pin", "so-1357", "--pin", PIN)
    other = tmp_path / "other"
    other.mkdir()
    await (await VomCore.open(_with_token(other, token.uri))).close()
    with pytest.raises(AuthorityAway, match="not the key of the CA certificate"):
        await VomCore.open(directory)


async def test_a_missing_library_is_an_error_that_names_the_key(tmp_path: Path, token: SoftToken) -> None:
    gone = token.uri.replace(MODULE, "/nowhere/lib.so")
    with pytest.raises(AuthorityAway, match="the key ca in the token vo-ca"):
        await VomCore.open(_with_token(tmp_path, gone))


async def test_a_library_that_hangs_or_crashes_takes_its_own_process_with_it_and_not_the_daemon(
    guarded: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guarded.add("alice")
    child = _key(guarded)._child
    assert child is not None
    os.kill(child._process.pid, signal.SIGKILL)
    assert (await guarded.get("alice")).identity.name == "alice"
    child = _key(guarded)._child
    assert child is not None
    os.kill(child._process.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(token_key, "ANSWER_SECONDS", 0.3)
        patch.setattr(sys, "executable", "/bin/false")  # nor does a new one answer
        ticks = asyncio.create_task(_ticks())
        with pytest.raises(AuthorityAway):
            await guarded.get("alice")
    assert not ticks.done()
    ticks.cancel()
    assert (await guarded.get("alice")).identity.name == "alice"


async def _ticks() -> None:
    """Ends when the event loop is held up for as long as the token is."""
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.01)
        if loop.time() - before > 0.25:
            return


def test_a_uri_names_token_key_library_and_pin_file() -> None:
    text = "pkcs11:token=My%20CA;id=%01%ff;type=private?module-path=/lib/x.so&pin-source=file:/run/pin"
    assert parse(text) == KeyUri("/lib/x.so", "My CA", id=b"\x01\xff", pin_file="/run/pin")
    assert parse(PLAIN).pin_file == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("file:/ca.key", "begins with"),
        ("pkcs11:object=ca?module-path=/x", "which token"),
        ("pkcs11:token=a?module-path=/x", "which key"),
        ("pkcs11:token=a;object=b", "module-path"),
        ("pkcs11:token=a;object=b?module-path=x.so", "module-path"),
        ("pkcs11:token=a;token=b;object=c?module-path=/x", "twice"),
        (PLAIN + "&pin-value=1234", "no PIN"),
        (PLAIN + "&object=ca", "object"),
        ("pkcs11:token=a;object=b;colour=red?module-path=/x", "colour"),
        ("pkcs11:token=a;object=b;type=cert?module-path=/x", "type=private"),
        ("pkcs11:token=%ff;object=b?module-path=/x", "UTF-8"),
        ("pkcs11:token=%0a;object=b?module-path=/x", "shown"),
        ("pkcs11:token=%zz;object=b?module-path=/x", "NAME=VALUE"),
        ("pkcs11:token;object=b?module-path=/x", "NAME=VALUE"),
        (PLAIN + "x" * 2000, "at most"),
        (PLAIN + "é", "ASCII"),
    ],
)
def test_a_uri_that_is_wrong_is_refused_with_what_is_wrong(text: str, wanted: str) -> None:
    with pytest.raises(BadKeyUri, match=wanted):
        parse(text)


@given(st.text(max_size=40), st.sampled_from(["pkcs11:", PLAIN, PLAIN + "&", "pkcs11:token=a;object=b;", ""]))
def test_whatever_follows_a_uri_is_either_understood_or_refused(more: str, start: str) -> None:
    with contextlib.suppress(BadKeyUri):
        assert parse(start + more).module.startswith("/")


async def test_a_uri_that_is_wrong_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadKeyUri):
        await VomCore.open(_with_token(tmp_path, "pkcs11:object=ca"))
    assert not (tmp_path / "vom" / "ca").exists()


def test_a_signature_of_the_token_over_something_else_does_not_verify(token: SoftToken) -> None:
    key = token_key.found(parse(token.uri), lambda: PIN.encode())
    signature = key.sign(b"this", _ecdsa())
    key.public_key().verify(signature, b"this", _ecdsa())
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, b"that", _ecdsa())
    key.close()


def _ecdsa() -> ec.ECDSA:
    return ec.ECDSA(hashes.SHA256())


async def test_the_passphrase_file_is_there_all_the_same_for_the_managers_keys(
    guarded: CoreMachine, tmp_path: Path
) -> None:
    await guarded.add("alice")
    (tmp_path / "vom" / "ca.passphrase").unlink()
    await guarded.stop()
    with pytest.raises(AuthorityUnreadable):
        await VomCore.open(tmp_path / "vom")
    (tmp_path / "vom" / "ca.passphrase").write_text("x")  # so that the fixture can close what it opened
    (tmp_path / "vom" / "ca.passphrase").chmod(0o600)
    await guarded.start()

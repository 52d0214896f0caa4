# SPDX-License-Identifier: BSD-3-Clause
"""OpenSSL's own tools as the judge of what we issue, and we of what they make."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from xos.common.certificate import (
    Authority,
    CsrForbidden,
    WeakKey,
    check_csr,
    load_key,
    make_csr,
    make_key,
    parse_identity,
)
from xos.common.identity import Identity, Kind
from xos.common.signing import sign
from xos.common.tls import Credential, Trust, server_context

Arguments = list[str | Path]
ALICE = Identity(
    Kind.USER, "alice", vo="demo", group="users", groups=("physics.atlas",), roles=("VOAdmin",), vos=("other",)
)


def openssl(*arguments: str | Path, check: bool = True) -> str:
    """What ``openssl`` prints, both streams."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=15)
    said = (done.stdout + done.stderr).decode()
    if check:
        assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("demo VO CA")


@pytest.fixture
def alice(authority: Authority) -> Credential:
    key = make_key()
    return Credential(authority.issue_user(make_csr(key, "alice"), ALICE, 3600), key)


@pytest.fixture
def node(authority: Authority) -> Credential:
    key = make_key()
    der = authority.issue_machine(make_csr(key, "node1"), "node1", ["resource"], ["127.0.0.2"], 3600)
    return Credential(der, key)


@pytest.fixture
def place(tmp_path: Path, authority: Authority, alice: Credential, node: Credential) -> Path:
    """A directory with ca.pem, alice.pem and node.pem."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem())
    (tmp_path / "alice.pem").write_bytes(alice.certificate_pem())
    (tmp_path / "node.pem").write_bytes(node.certificate_pem())
    return tmp_path


@pytest.mark.parametrize("strict", [[], ["-x509_strict"]], ids=["plain", "strict"])
@pytest.mark.parametrize(("who", "purpose"), [("alice", "sslclient"), ("node", "sslclient"), ("node", "sslserver")])
def test_verify_accepts_what_we_issue(place: Path, who: str, purpose: str, strict: list[str]) -> None:
    said = openssl("verify", *strict, "-purpose", purpose, "-CAfile", place / "ca.pem", place / f"{who}.pem")
    assert said == f"{place / who}.pem: OK\n"


def test_verify_knows_that_a_user_is_no_server(place: Path) -> None:
    said = openssl("verify", "-purpose", "sslserver", "-CAfile", place / "ca.pem", place / "alice.pem", check=False)
    assert "unsuitable certificate purpose" in said.lower().replace("unsupported", "unsuitable")


def test_verify_knows_the_host_names_and_addresses_of_a_node(place: Path) -> None:
    for given in (["-verify_hostname", "node1"], ["-verify_ip", "127.0.0.2"]):
        openssl("verify", *given, "-CAfile", place / "ca.pem", place / "node.pem")
    assert "mismatch" in openssl(
        "verify", "-verify_ip", "127.0.0.3", "-CAfile", place / "ca.pem", place / "node.pem", check=False
    )


def test_text_shows_the_attributes_of_the_vo(place: Path) -> None:
    text = openssl("x509", "-text", "-noout", "-in", place / "alice.pem")
    lines = [line.strip() for line in text.split("\n")]
    shown = {number: lines[lines.index(f"1.34.5.0.14.{number}:") + 1] for number in range(1, 9)}
    values = ["demo", "other", "alice", "users", "physics.atlas", "VOAdmin", "users,physics", "physics.atlas"]
    for number, value in enumerate(values, 1):
        assert shown[number].endswith(value)
    assert "Version: 3 (0x2)" in lines
    assert "ASN1 OID: prime256v1" in lines
    assert "TLS Web Client Authentication" in lines
    assert any(line.startswith("Subject: O") and "alice" in line for line in lines)


def test_asn1parse_reads_the_attributes_as_utf8_strings(place: Path) -> None:
    dump = openssl("asn1parse", "-in", place / "alice.pem").splitlines()
    at = next(number for number, line in enumerate(dump) if line.endswith(":1.34.5.0.14.3"))
    offset = dump[at + 1].split(":")[0].strip()
    assert "UTF8STRING        :alice" in openssl("asn1parse", "-in", place / "alice.pem", "-strparse", offset)


def test_crl_and_revocation_are_understood(place: Path, authority: Authority, alice: Credential) -> None:
    (place / "crl.der").write_bytes(authority.crl([(alice.identity.serial, time.time())], 17))
    (place / "crl.pem").write_text(openssl("crl", "-inform", "DER", "-in", place / "crl.der"))
    text = openssl("crl", "-text", "-noout", "-in", place / "crl.pem", "-CAfile", place / "ca.pem")
    assert "verify OK" in text
    assert f"{alice.identity.serial:X}" in text
    assert "17" in text.split("X509v3 CRL Number:")[1].splitlines()[1]
    arguments: Arguments = ["verify", "-crl_check", "-CRLfile", place / "crl.pem", "-CAfile", place / "ca.pem"]
    assert "certificate revoked" in openssl(*arguments, place / "alice.pem", check=False)
    assert openssl(*arguments, place / "node.pem").endswith("OK\n")


def test_our_request_is_one_for_openssl(tmp_path: Path) -> None:
    (tmp_path / "csr.der").write_bytes(make_csr(make_key(), "alice"))
    said = openssl("req", "-inform", "DER", "-in", tmp_path / "csr.der", "-verify", "-noout", "-subject")
    assert "verify OK" in said
    assert "CN = alice" in said or "CN=alice" in said


def test_a_key_and_request_made_by_openssl_are_taken(tmp_path: Path, authority: Authority) -> None:
    key, csr = tmp_path / "key.pem", tmp_path / "csr.der"
    openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", "/CN=alice", "-outform", "DER", "-out", csr)
    credential = Credential(authority.issue_user(csr.read_bytes(), ALICE, 60), load_key(key.read_bytes()))
    assert parse_identity(credential.certificate).name == "alice"


def test_a_request_for_extensions_made_by_openssl_is_refused(tmp_path: Path) -> None:
    openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", tmp_path / "key.pem")
    extension = "1.34.5.0.14.3=ASN1:UTF8String:root"
    arguments: Arguments = [
        "-key",
        tmp_path / "key.pem",
        "-subj",
        "/CN=x",
        "-outform",
        "DER",
        "-out",
        tmp_path / "csr.der",
    ]
    openssl("req", "-new", *arguments, "-addext", extension)
    with pytest.raises(CsrForbidden):
        check_csr((tmp_path / "csr.der").read_bytes())


def test_an_rsa_request_made_by_openssl_is_refused(tmp_path: Path) -> None:
    arguments: Arguments = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        tmp_path / "k",
        "-subj",
        "/CN=x",
        "-outform",
        "DER",
    ]
    openssl("req", "-new", *arguments, "-out", tmp_path / "csr.der")
    with pytest.raises(WeakKey):
        check_csr((tmp_path / "csr.der").read_bytes())


def test_our_signature_is_verified_by_openssl(tmp_path: Path, alice: Credential, place: Path) -> None:
    signed = sign(b"<JobDefinition/>", alice, purpose="job")
    (tmp_path / "covered").write_bytes(b"xos-signed-v1\0job\0<JobDefinition/>")
    (tmp_path / "signature").write_bytes(signed.signature)
    (tmp_path / "public.pem").write_text(openssl("x509", "-in", place / "alice.pem", "-pubkey", "-noout"))
    arguments: Arguments = [
        "-verify",
        tmp_path / "public.pem",
        "-signature",
        tmp_path / "signature",
        tmp_path / "covered",
    ]
    assert openssl("dgst", "-sha256", *arguments) == "Verified OK\n"


@pytest.mark.parametrize(("option", "works"), [("-tls1_3", True), ("-tls1_2", False)])
def test_s_client_shakes_hands_in_tls_1_3_only(
    place: Path, authority: Authority, alice: Credential, node: Credential, option: str, works: bool
) -> None:
    (place / "alice.key").write_bytes(alice.key_pem(None))
    context = server_context(node, Trust([authority.der]), alpn=["xos-dixi/1"])
    shown: list[bytes | None] = []

    def serve() -> None:
        raw, _ = listener.accept()
        try:
            with raw, context.wrap_socket(raw, server_side=True) as wrapped:
                shown.append(wrapped.getpeercert(binary_form=True))
        except (ssl.SSLError, ConnectionError):
            shown.append(None)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        ours: Arguments = [
            "-cert",
            place / "alice.pem",
            "-key",
            place / "alice.key",
            "-CAfile",
            place / "ca.pem",
        ]
        said = openssl(
            "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}", option, *ours, "-alpn", "xos-dixi/1",
            "-verify_return_error", "-verify_hostname", "node1", check=False,
        )  # fmt: skip
        thread.join()
    assert ("Verification: OK" in said and "ALPN protocol: xos-dixi/1" in said) is works
    assert shown == [alice.certificate if works else None]

# SPDX-License-Identifier: BSD-3-Clause
"""Real handshakes over loopback: what each side sees of each kind of refused certificate."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from xos.common.certificate import Authority, load_certificate, make_key
from xos.common.errors import (
    BadCertificate,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRequired,
    CertificateRevoked,
    CertificateSelfSigned,
    NotTls,
    TlsError,
    TlsProtocol,
    TlsVersion,
    WrongKind,
    XosError,
)
from xos.common.identity import Kind
from xos.common.tls import Credential, Trust, client_context, explain_tls_error, server_context, use_credential

Issue = Callable[..., Credential]


@dataclasses.dataclass
class Meeting:
    """What came of one connection."""

    server_error: Exception | None = None
    client_error: Exception | None = None
    shown_to_server: bytes | None = None
    shown_to_client: bytes | None = None
    alpn: str | None = None
    version: str | None = None


def meet(server: ssl.SSLContext, client: ssl.SSLContext | None, *, say: bytes = b"") -> Meeting:
    """One connection between *server* and *client* (None: send *say* in plain text); the server greets first."""
    seen = Meeting()

    def serve() -> None:
        raw, _ = listener.accept()
        with raw:
            raw.settimeout(10)
            try:
                with server.wrap_socket(raw, server_side=True) as wrapped:
                    seen.shown_to_server = wrapped.getpeercert(binary_form=True)
                    seen.alpn, seen.version = wrapped.selected_alpn_protocol(), wrapped.version()
                    wrapped.sendall(b"!")
                    wrapped.recv(1)
            except OSError as error:
                seen.server_error = error

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with socket.create_connection(listener.getsockname(), timeout=10) as raw:
                if client is None:
                    raw.sendall(say)
                    raw.recv(100)
                else:
                    with client.wrap_socket(raw) as wrapped:
                        seen.shown_to_client = wrapped.getpeercert(binary_form=True)
                        assert wrapped.recv(1) == b"!"
        except OSError as error:
            seen.client_error = error
        thread.join()
    return seen


def explained(error: Exception | None, credential: Credential | None = None) -> XosError:
    assert isinstance(error, ssl.SSLError), error
    return explain_tls_error(error, credential)


@pytest.fixture
def server(node: Credential, trust: Trust) -> ssl.SSLContext:
    return server_context(node, trust)


def test_user_and_machine_know_each_other(
    server: ssl.SSLContext, alice: Credential, node: Credential, trust: Trust
) -> None:
    seen = meet(server, client_context(alice, trust))
    assert (seen.client_error, seen.server_error) == (None, None)
    assert seen.shown_to_server is not None
    assert seen.shown_to_client is not None
    assert trust.identify(seen.shown_to_server) == alice.identity
    assert trust.identify(seen.shown_to_client, kind=Kind.MACHINE) == node.identity
    assert seen.version == "TLSv1.3"


def test_the_application_protocol_is_agreed(node: Credential, alice: Credential, trust: Trust) -> None:
    server = server_context(node, trust, alpn=["xos-dixi/1", "http/1.1"])
    assert meet(server, client_context(alice, trust, alpn=["xos-dixi/1"])).alpn == "xos-dixi/1"


def test_without_a_certificate_a_client_is_refused_and_told_so(server: ssl.SSLContext, trust: Trust) -> None:
    seen = meet(server, client_context(None, trust))
    assert type(explained(seen.client_error)) is CertificateRequired
    assert type(explained(seen.server_error)) is CertificateRequired


def test_the_front_door_also_hears_those_without_a_certificate(
    node: Credential, alice: Credential, trust: Trust
) -> None:
    door = server_context(node, trust, anonymous=True)
    assert meet(door, client_context(None, trust)) == Meeting(
        shown_to_server=None, shown_to_client=node.certificate, version="TLSv1.3"
    )
    assert meet(door, client_context(alice, trust)).shown_to_server == alice.certificate


def test_a_client_whose_certificate_expired_is_told_so(
    server: ssl.SSLContext, issue: Issue, trust: Trust, now: float
) -> None:
    late = issue(at=now - 7200)
    seen = meet(server, client_context(late, trust))
    told = explained(seen.client_error, late)
    assert type(told) is CertificateExpired
    assert told.message.startswith("the certificate of alice@demo expired at 20")
    assert type(explained(seen.server_error)) is CertificateExpired


def test_a_client_whose_clock_is_ahead_is_told_to_look_at_it(
    server: ssl.SSLContext, issue: Issue, trust: Trust, now: float
) -> None:
    early = issue(at=now + 600)
    seen = meet(server, client_context(early, trust))
    told = explained(seen.client_error, early)
    assert type(told) is CertificateNotYetValid
    assert "clock" in told.next_step
    assert type(explained(seen.server_error)) is CertificateNotYetValid


def test_a_client_of_another_vo_is_told_so(
    server: ssl.SSLContext, issue: Issue, stranger: Authority, trust: Trust
) -> None:
    foreign = issue(ca=stranger)
    seen = meet(server, client_context(foreign, trust))
    assert type(explained(seen.client_error, foreign)) is CertificateForeign
    assert isinstance(explained(seen.server_error), CertificateForeign)


def test_a_client_that_vouches_for_itself_is_told_so(server: ssl.SSLContext, trust: Trust) -> None:
    vain = self_signed()
    context = client_context(None, trust)
    use_credential(context, vain)
    seen = meet(server, context)
    assert type(explained(seen.client_error, vain)) is CertificateSelfSigned
    assert type(explained(seen.server_error)) is CertificateSelfSigned


def self_signed() -> Credential:
    key = make_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    dates = Authority.create("x").certificate
    builder = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        7,
        dates.not_valid_before_utc.replace(tzinfo=None),
        dates.not_valid_after_utc.replace(tzinfo=None),
    )
    return Credential(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER), key)


def test_a_revoked_client_gets_through_the_handshake_and_no_further(
    server: ssl.SSLContext, authority: Authority, alice: Credential, trust: Trust, now: float
) -> None:
    trust.set_crl(authority.crl([(alice.identity.serial, now)], 1))
    seen = meet(server, client_context(alice, trust))
    assert seen.shown_to_server is not None
    with pytest.raises(CertificateRevoked):
        trust.identify(seen.shown_to_server)


def test_a_server_that_checks_revocation_in_the_handshake_is_understood(
    server: ssl.SSLContext, authority: Authority, alice: Credential, trust: Trust, now: float
) -> None:
    crl = x509.load_der_x509_crl(authority.crl([(alice.identity.serial, now)], 1))
    fd = os.memfd_create("crl")
    os.write(fd, crl.public_bytes(serialization.Encoding.PEM))
    server.load_verify_locations(cafile=f"/proc/self/fd/{fd}")
    os.close(fd)
    server.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    seen = meet(server, client_context(alice, trust))
    assert type(explained(seen.client_error, alice)) is CertificateRevoked
    assert type(explained(seen.server_error)) is CertificateRevoked


# --- servers that a client refuses ---


def test_a_user_cannot_pose_as_a_server(alice: Credential, issue: Issue, trust: Trust) -> None:
    seen = meet(server_context(issue(), trust), client_context(alice, trust))
    assert type(explained(seen.client_error)) is WrongKind
    assert type(explained(seen.server_error)) is WrongKind


def test_an_expired_server_is_refused(alice: Credential, issue: Issue, trust: Trust, now: float) -> None:
    seen = meet(server_context(issue("node1", at=now - 7200), trust), client_context(alice, trust))
    assert type(explained(seen.client_error)) is CertificateExpired


def test_a_server_from_the_future_is_refused(alice: Credential, issue: Issue, trust: Trust, now: float) -> None:
    seen = meet(server_context(issue("node1", at=now + 600), trust), client_context(alice, trust))
    assert type(explained(seen.client_error)) is CertificateNotYetValid


def test_a_foreign_server_is_refused(alice: Credential, issue: Issue, stranger: Authority, trust: Trust) -> None:
    seen = meet(server_context(issue("node1", ca=stranger), trust), client_context(alice, trust))
    assert type(explained(seen.client_error)) is CertificateForeign


def test_a_self_signed_server_is_refused(node: Credential, alice: Credential, trust: Trust) -> None:
    server = server_context(node, trust)
    use_credential(server, self_signed())
    seen = meet(server, client_context(alice, trust))
    assert type(explained(seen.client_error)) is CertificateSelfSigned


# --- things that do not speak TLS 1.3 ---


def test_tls_1_2_is_refused_and_told_so(server: ssl.SSLContext, alice: Credential, trust: Trust) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.load_verify_locations(cadata=trust.ca_pem().decode())
    use_credential(old, alice)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    seen = meet(server, old)
    assert type(explained(seen.client_error)) is TlsVersion
    assert type(explained(seen.server_error)) is TlsVersion


@pytest.mark.parametrize(
    "say", [b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\x01garbage before TLS", b"SSH-2.0-OpenSSH_9.2\r\n"]
)
def test_what_is_not_tls_is_called_so(server: ssl.SSLContext, say: bytes) -> None:
    assert type(explained(meet(server, None, say=say).server_error)) is NotTls


def test_a_server_that_is_not_tls_is_called_so(alice: Credential, trust: Trust) -> None:
    def serve() -> None:
        raw, _ = listener.accept()
        with raw:
            raw.recv(1)
            raw.sendall(b"220 mail.example.org ESMTP\r\n" * 3)
            raw.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(4096):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as raw,
            pytest.raises(ssl.SSLError) as caught,
        ):
            client_context(alice, trust).wrap_socket(raw)
        thread.join()
    assert type(explain_tls_error(caught.value)) is NotTls


@pytest.mark.parametrize(
    ("reason", "text", "expected"),
    [
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "", TlsProtocol),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "", BadCertificate),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "", CertificateRevoked),
        (None, "ssl/tls alert certificate expired (_ssl.c:2638)", CertificateExpired),
        (None, "tlsv13 alert certificate required", CertificateRequired),
        ("SOMETHING_NEW", "", TlsError),
        (None, "", TlsError),
    ],
)
def test_every_reason_becomes_an_error_of_ours(reason: str | None, text: str, expected: type[XosError]) -> None:
    error = ssl.SSLError(1, text)
    error.reason = reason  # type: ignore[assignment]
    found = explain_tls_error(error)
    assert type(found) is expected
    assert found.next_step
    assert "?" not in found.message


# --- credentials in use ---


def test_a_renewed_certificate_is_shown_to_later_connections(
    server: ssl.SSLContext, alice: Credential, issue: Issue, trust: Trust
) -> None:
    renewed = issue("node1")
    use_credential(server, renewed)
    assert meet(server, client_context(alice, trust)).shown_to_client == renewed.certificate


def open_files() -> set[str]:
    return {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}


def test_a_key_given_to_openssl_is_in_no_file_afterwards(alice: Credential, trust: Trust) -> None:
    before = open_files()
    client_context(alice, trust)
    assert open_files() == before


def test_nothing_prints_a_key(alice: Credential) -> None:
    assert "key" not in repr(alice)
    assert load_certificate(alice.certificate).serial_number == alice.identity.serial

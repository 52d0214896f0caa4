# SPDX-License-Identifier: BSD-3-Clause
"""The agent as an ssh-agent: what it offers, what it signs, and above all what it does not."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from xos.common import ssh
from xos.common.certificate import Authority, make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.signing import _covered
from xos.common.tls import Credential
from xos.dixi.agent.ssh import Reader, SshServer, answer, string

AUTHORITY = Authority.create("agent test")


def _alice(key: ec.EllipticCurvePrivateKey | None = None) -> Credential:
    made = key or make_key()
    der = AUTHORITY.issue_user(make_csr(made, "x"), Identity(Kind.USER, "alice", vo="demo", group="users"), 600)
    return Credential(der, made, ssh=ssh.certify_user(AUTHORITY, der))


ALICE = _alice()
BLOB = ssh.blob(ALICE.ssh)
LIST = bytes([11])


def login(blob: bytes = BLOB, *, session: bytes = b"s" * 32, method: bytes = b"publickey", tail: bytes = b"") -> bytes:
    """What a client signs to log in."""
    return (
        string(session) + b"\x32" + string(b"alice.demo") + string(b"ssh-connection") + string(method) + b"\1"
        + string(b"ecdsa-sha2-nistp256-cert-v01@openssh.com") + string(blob) + tail
    )  # fmt: skip


def request(data: bytes, blob: bytes = BLOB) -> bytes:
    return b"\x0d" + string(blob) + string(data) + struct.pack(">I", 0)


def test_it_offers_the_certificate_and_nothing_else() -> None:
    reader = Reader(answer(LIST, ALICE))
    assert (reader.byte(), reader.number()) == (12, 1)
    assert (reader.string(), reader.string()) == (BLOB, b"alice@demo")
    reader.end()
    for nobody in (None, Credential(ALICE.certificate, ALICE.key)):
        assert answer(LIST, nobody) == struct.pack(">BI", 12, 0)


@pytest.mark.parametrize("key", [make_key(), ec.generate_private_key(ec.SECP384R1())])
@pytest.mark.parametrize(
    ("method", "tail"), [(b"publickey", b""), (b"publickey-hostbound-v00@openssh.com", string(b"host key"))]
)
def test_it_signs_a_login(key: ec.EllipticCurvePrivateKey, method: bytes, tail: bytes) -> None:
    holder = _alice(key)
    blob = ssh.blob(holder.ssh)
    data = login(blob, method=method, tail=tail)
    reader = Reader(answer(request(data, blob), holder))
    assert reader.byte() == 14
    signature = Reader(reader.string())
    assert signature.string() == f"ecdsa-sha2-nistp{key.key_size}".encode()
    numbers = Reader(signature.string())
    r, s = (int.from_bytes(numbers.string(), "big") for _ in range(2))
    digest = hashes.SHA256() if key.key_size == 256 else hashes.SHA384()
    key.public_key().verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))


OTHER = ssh.blob(_alice().ssh)


@pytest.mark.parametrize(
    "data",
    [
        _covered(b"<JobDefinition/>", "job"),  # a job that a hostile host would like to have signed
        b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + b"h" * 32,
        make_csr(make_key(), "alice"),
        b"SSHSIG" + string(b"file") * 4,
        b"",
        login(session=b""),
        login(session=b"s" * 65),
        login(OTHER),
        login(method=b"hostbased"),
        login(tail=b"more"),
        login(method=b"publickey-hostbound-v00@openssh.com"),
        login()[:-1],
    ],
    # Not by the bytes, which differ each time.
    ids=[
        "a job",
        "TLS",
        "a request",
        "a file",
        "nothing",
        "no session",
        "a longer session",
        "another key",
        "another method",
        "more",
        "hostbound",
        "less",
    ],
)
def test_it_signs_nothing_that_is_no_login(data: bytes) -> None:
    assert answer(request(data), ALICE) == b"\x05"


def test_it_signs_with_no_other_key_and_without_none() -> None:
    assert answer(request(login(OTHER), OTHER), ALICE) == b"\x05"
    assert answer(request(login()), None) == b"\x05"


@given(
    st.binary(max_size=300)
    | st.builds(lambda kind, rest: bytes([kind]) + rest, st.sampled_from([11, 13, 27]), st.binary())
)
def test_any_bytes_get_an_answer_and_no_signature(data: bytes) -> None:
    assert answer(data, ALICE)[:1] in (b"\x05", b"\x0c")


@given(st.binary(max_size=200))
def test_a_signature_is_only_ever_over_a_login(data: bytes) -> None:
    assert answer(request(data), ALICE) == b"\x05"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SshServer]:
    made = SshServer(tmp_path / "ssh.sock", lambda: ALICE)
    await made.start()
    yield made
    await made.close()
    assert not made.path.exists()


async def _run(*argv: str, **env: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
    )
    async with asyncio.timeout(15):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_ssh_add_lists_it_and_ssh_keygen_gets_no_signature(server: SshServer, tmp_path: Path) -> None:
    assert server.path.stat().st_mode & 0o777 == 0o600
    env = {"SSH_AUTH_SOCK": str(server.path), "PATH": "/usr/bin:/bin"}
    status, said = await _run("ssh-add", "-L", **env)
    assert (status, said.split()[:2]) == (0, ALICE.ssh.split())
    (tmp_path / "key.pub").write_text(ALICE.ssh)
    (tmp_path / "document").write_text("sign me")
    sign = ("ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(tmp_path / "key.pub"), str(tmp_path / "document"))
    status, said = await _run(*sign, **env)
    assert status != 0, said


async def test_hostile_clients_end_nothing(server: SshServer) -> None:
    for data in (b"\xff" * 8, b"\0\0\0\0", struct.pack(">I", 1 << 20), b"\0"):
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(15):
            assert await reader.read() == b""
        writer.close()
    reader, writer = await asyncio.open_unix_connection(server.path)
    writer.write(string(LIST) * 3)
    for _ in range(3):
        async with asyncio.timeout(15):
            length = int.from_bytes(await reader.readexactly(4), "big")
            assert (await reader.readexactly(length))[:1] == b"\x0c"
    writer.close()


def test_a_credential_keeps_its_ssh_certificate_in_its_pem(tmp_path: Path) -> None:
    back = Credential.from_pem(ALICE.pem())
    assert back.ssh == ALICE.ssh
    certificate, key = tmp_path / "user.pem", tmp_path / "user.key"
    certificate.write_bytes(ALICE.certificate_pem())
    key.touch(mode=0o600)
    key.write_bytes(ALICE.key_pem(None))
    assert Credential.load(certificate, key).ssh == ALICE.ssh
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-subject"], capture_output=True, timeout=15
    )
    assert b"alice" in shown.stdout

# SPDX-License-Identifier: BSD-3-Clause
"""The agent as stock ``ssh`` knows it: the ssh-agent protocol (draft-ietf-sshm-ssh-agent) on a socket of its own.

It holds one identity, the OpenSSH certificate of the user, and signs nothing but requests to log in by it. A host to
which this socket is forwarded could otherwise have jobs signed, or TLS handshakes: the key is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from xos.common import ssh
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.tls import Credential
from xos.dixi.agent.client import peer_uid
from xos.dixi.agent.protocol import socket_path

log = get_logger("xos.agent")

SSH_AGENT_FAILURE = 5
SSH_AGENTC_REQUEST_IDENTITIES = 11
SSH_AGENT_IDENTITIES_ANSWER = 12
SSH_AGENTC_SIGN_REQUEST = 13
SSH_AGENT_SIGN_RESPONSE = 14
SSH_MSG_USERAUTH_REQUEST = 50
LONGEST = 256 * 1024
"""Bytes of a message, as in OpenSSH."""
MOST_CLIENTS = 64
CLOSE_SECONDS = 2.0
_METHODS = (b"publickey", b"publickey-hostbound-v00@openssh.com")
_HASHES: dict[str, hashes.HashAlgorithm] = {"nistp256": hashes.SHA256(), "nistp384": hashes.SHA384()}
_FAILURE = bytes([SSH_AGENT_FAILURE])


def ssh_socket_path(env: Mapping[str, str]) -> str:
    """Where it listens: ``ssh.sock`` beside the agent's own socket."""
    return str(Path(socket_path(env)).with_name("ssh.sock"))


class Malformed(ValueError):
    """Raised when bytes are not what the protocol says."""


class Reader:
    """Takes a message apart (RFC 4251, 5)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """That many bytes."""
        if count > len(self._data) - self._at:
            raise Malformed("it ends too soon")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        """One."""
        return self.take(1)[0]

    def number(self) -> int:
        """A uint32."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """A string with its length before it."""
        return self.take(self.number())

    def end(self) -> None:
        """There must be nothing more."""
        if self._at != len(self._data):
            raise Malformed("something follows its end")


def string(data: bytes) -> bytes:
    """*data* with its length before it."""
    return struct.pack(">I", len(data)) + data


def answer(request: bytes, credential: Credential | None) -> bytes:
    """What *request* is answered, by an agent that holds *credential*. Pure; whatever is wrong is a failure."""
    try:
        reader = Reader(request)
        match reader.byte():
            case number if number == SSH_AGENTC_REQUEST_IDENTITIES:
                reader.end()
                return _identities(credential)
            case number if number == SSH_AGENTC_SIGN_REQUEST and credential is not None and credential.ssh:
                blob, data = reader.string(), reader.string()
                reader.number()  # flags: of RSA only
                reader.end()
                if blob == ssh.blob(credential.ssh):
                    check_login(data, blob)
                    return bytes([SSH_AGENT_SIGN_RESPONSE]) + string(sign(credential.key, data))
    except (Malformed, XosError) as error:
        log.warning("ssh.refused", reason=str(error))
    return _FAILURE


def _identities(credential: Credential | None) -> bytes:
    if credential is None or not credential.ssh:
        return struct.pack(">BI", SSH_AGENT_IDENTITIES_ANSWER, 0)
    comment = str(credential.identity).encode()
    return struct.pack(">BI", SSH_AGENT_IDENTITIES_ANSWER, 1) + string(ssh.blob(credential.ssh)) + string(comment)


def check_login(data: bytes, blob: bytes) -> None:
    """Pass when *data* is what a client signs to log in with certificate *blob* (RFC 4252, 7); raises `Malformed`.

    Nothing that is signed elsewhere looks so: it would have to begin with a length of 64 at most.
    """
    reader = Reader(data)
    if not 20 <= len(reader.string()) <= 64:
        raise Malformed("that is no session's identifier")
    if reader.byte() != SSH_MSG_USERAUTH_REQUEST:
        raise Malformed("it is not a request to log in")
    reader.string()  # the account
    service, method, signed = reader.string(), reader.string(), reader.byte()
    if service != b"ssh-connection" or method not in _METHODS or signed != 1:
        raise Malformed("it is not a request to log in by key")
    reader.string()  # the algorithm, which the certificate's type says too
    if reader.string() != blob:
        raise Malformed("it is for another key")
    if method != b"publickey":
        reader.string()  # the host's key
    reader.end()


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """An ECDSA signature as SSH has it (RFC 5656, 3.1.2)."""
    curve = key.curve.name.replace("secp", "nistp").replace("r1", "")
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_HASHES[curve])))
    return string(f"ecdsa-sha2-{curve}".encode()) + string(_mpint(r) + _mpint(s))


def _mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


class SshServer:
    """Serves the socket at *path* while the agent runs."""

    def __init__(self, path: Path, credential: Callable[[], Credential]) -> None:
        """*credential* raises `XosError` when there is none."""
        self.path = path
        self._credential = credential
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. That it cannot is logged: the agent serves its commands all the same."""
        before = os.umask(0o177)
        try:
            self.path.unlink(missing_ok=True)  # the agent's own lock says that whoever made it is gone
            self._server = await asyncio.start_unix_server(self._serve, self.path)
        except OSError as error:
            log.warning("ssh.no-socket", path=str(self.path), detail=str(error))
        finally:
            os.umask(before)

    async def close(self) -> None:
        """End it, and whoever is connected."""
        if self._server is None:
            return
        self._server.close()
        clients = list(self._clients)
        for task in clients:
            task.cancel()
        if clients:
            await asyncio.wait(clients, timeout=CLOSE_SECONDS)
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._clients.add(task)
        try:
            if peer_uid(writer.get_extra_info("socket")) == os.getuid() and len(self._clients) <= MOST_CLIENTS:
                await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has gone
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            if not 1 <= length <= LONGEST:
                return
            writer.write(string(answer(await reader.readexactly(length), self._held())))
            await writer.drain()

    def _held(self) -> Credential | None:
        try:
            return self._credential()
        except XosError:
            return None

# SPDX-License-Identifier: BSD-3-Clause
"""What ``get-xos-cert --ssh-config`` does: stock ssh finds identity, account and host keys of the VO in one file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from xos.common import ssh
from xos.common.certificate import CertificateExpired
from xos.common.files import write_atomically
from xos.common.tls import Credential
from xos.dixi.agent.renewal import due
from xos.dixi.agent.ssh import ssh_socket_path
from xos.dixi.client import load_client
from xos.dixi.commands import Session
from xos.vom.errors import NoSshCertificate

NAME = "ssh_config"
CERTIFICATE = "user.key-cert.pub"
"""Where ssh looks for the certificate of IdentityFile ``user.key``; of one in CertificateFile it would miss the key."""


async def run(args: argparse.Namespace, session: Session) -> Path:
    """The file's name, once what it names is there and good. Raises `NoSshCertificate`, `CertificateExpired`."""
    from xos.vom.cli import _get

    credential = session.credential
    now = time.time()
    if now >= credential.identity.not_after:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(credential.identity.not_after))
        raise CertificateExpired(name=str(credential.identity), when=when)
    if due(credential.identity, now) or not credential.ssh:
        args.renew = True
        credential, ca = await _get.renew(args, session)
        await _get.keep(args, session, credential, ca)
    if not credential.ssh:
        raise NoSshCertificate(name=str(credential.identity))
    _, trust = load_client(session.home)
    home = session.home
    write_atomically(home / "ssh_known_hosts", ssh.known_hosts(trust).encode(), 0o644)
    if session.agent is None:
        write_atomically(home / CERTIFICATE, f"{credential.ssh}\n".encode(), 0o644)
    socket = None if session.agent is None else ssh_socket_path({**session.env, "XOS_HOME": str(home)})
    write_atomically(home / NAME, text(home, credential, socket).encode(), 0o644)
    return home / NAME


def text(home: Path, credential: Credential, socket: str | None) -> str:
    """The configuration: ours comes first, since the first value of each keyword counts. Pure."""
    who = credential.identity
    if socket is not None:
        identity = [f'IdentityAgent "{_escaped(socket)}"']
    else:
        identity = [f'IdentityFile "{_escaped(home / "user.key")}"']
    lines = [
        "# Made by ssh-xos, for ssh -F or Include; changes are lost.",
        "Host *",
        f"    User {who.name}.{who.vo}",
        *(f"    {line}" for line in identity),
        f'    GlobalKnownHostsFile "{_escaped(home / "ssh_known_hosts")}" /etc/ssh/ssh_known_hosts',
        "Match all",
        "Include ~/.ssh/config",
        "Include /etc/ssh/ssh_config",
    ]
    return "\n".join(lines) + "\n"


def _escaped(path: str | Path) -> str:
    """For a quoted argument in which ssh replaces %-tokens and environment variables."""
    return str(path).replace("%", "%%")

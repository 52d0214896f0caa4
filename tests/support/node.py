# SPDX-License-Identifier: BSD-3-Clause
"""What tests of a node need: a VO's CA with its directory of trust, and certificates as the socket takes them."""

from __future__ import annotations

import base64
import time
from pathlib import Path

from xos.common import ssh
from xos.common.authority import Authority
from xos.common.certificate import check_csr, make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential
from xos.node.config import Range

UIDS, GIDS = Range(1_900_000_000, 1_900_000_099), Range(1_900_000_100, 1_900_000_199)


def identity(name: str, vo: str = "demo", group: str = "users", *groups: str, roles: tuple[str, ...] = ()) -> Identity:
    return Identity(Kind.USER, name, vo=vo, group=group, groups=groups, roles=roles)


class Va:
    """A VO's CA, and the directory of trust that a node's daemon keeps."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.authority = Authority.create("test VO CA")
        self._crls = 0
        (directory / "ca.pem").write_bytes(self.authority.certificate_pem())

    def credential(self, who: Identity, *, lifetime_s: float = 3600, at: float | None = None) -> Credential:
        key = make_key()
        csr = check_csr(make_csr(key, who.name))
        return Credential(self.authority.issue_user(csr, who, lifetime_s=lifetime_s, at=at), key)

    def xos(self, who: Identity, **options: float) -> str:
        return encoded(self.credential(who, **options).certificate)

    def openssh(self, who: Identity, **options: float) -> str:
        return encoded(openssh(self.authority, self.credential(who, **options)))

    def revoke(self, *serials: int) -> None:
        """What the node's daemon does when it has fetched a new list."""
        self._crls += 1
        now = time.time()
        crl = self.authority.crl([(serial, now) for serial in serials], number=self._crls, at=now)
        draft = self.directory / "crl.new"
        draft.write_bytes(crl)
        draft.replace(self.directory / "crl.der")


def openssh(authority: Authority, credential: Credential) -> bytes:
    """The OpenSSH certificate of a user, as it travels."""
    return ssh.blob(ssh.certify_user(authority, credential.certificate))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()

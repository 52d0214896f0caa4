# SPDX-License-Identifier: BSD-3-Clause
"""The VO CA on disk: where its key and certificate lie, and where the key's passphrase comes from.

``ca/ca.pem`` is the certificate, ``ca/ca.key`` the key, encrypted with a passphrase. The passphrase is the systemd
credential ``vom-ca-passphrase`` (`$CREDENTIALS_DIRECTORY`) if there is one, else the content of a file that only
the owner may read.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from xos.common.certificate import Authority, BadCertificate, CertificateError
from xos.common.files import sync_directory, write_atomically
from xos.vom.errors import AuthorityExposed, AuthorityUnreadable

SYSTEMD_CREDENTIAL = "vom-ca-passphrase"


def load_or_create(
    directory: Path, *, name: str, years: float, passphrase_file: Path, env: Mapping[str, str] = os.environ
) -> Authority:
    """The VO CA under *directory*, made on first use. Blocks (key derivation, fsync).

    A CA appears whole or not at all, and one that is there is never replaced: whatever is wrong with it raises
    `AuthorityUnreadable` or `AuthorityExposed`.
    """
    place = directory / "ca"
    secret = passphrase(passphrase_file, env, may_create=not place.exists())
    if not place.exists():
        _create(place, Authority.create(name, years), secret)
    return _load(place, secret)


def _load(place: Path, passphrase: bytes) -> Authority:
    key = _read_private(place / "ca.key")
    certificate = _read(place / "ca.pem")
    try:
        return Authority.load(key, certificate, passphrase)
    except BadCertificate as error:
        raise AuthorityUnreadable(file=str(place / "ca.pem"), detail=error.message) from error
    except CertificateError as error:
        raise AuthorityUnreadable(file=str(place / "ca.key"), detail=error.message) from error


def _create(place: Path, authority: Authority, passphrase: bytes) -> None:
    draft = place.with_name(f".ca-{secrets.token_hex(6)}")
    draft.mkdir(mode=0o700)
    try:
        write_atomically(draft / "ca.key", authority.key_pem(passphrase), 0o600)
        write_atomically(draft / "ca.pem", authority.certificate_pem(), 0o644)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_directory(place.parent)


def passphrase(file: Path, env: Mapping[str, str] = os.environ, *, may_create: bool = False) -> bytes:
    """What protects the CA's key: the systemd credential, else what is in *file*, which may be made if need be.

    Raises `AuthorityUnreadable`, `AuthorityExposed`.
    """
    given = env.get("CREDENTIALS_DIRECTORY")
    if given and (Path(given) / SYSTEMD_CREDENTIAL).exists():
        found = _read(Path(given) / SYSTEMD_CREDENTIAL)
    else:
        if may_create and not file.exists():
            write_atomically(file, secrets.token_urlsafe(32).encode() + b"\n", 0o600)
        found = _read_private(file)
    secret = found.rstrip(b"\r\n")
    if not secret:
        raise AuthorityUnreadable(file=str(file), detail="the passphrase is empty")
    return secret


def _read_private(file: Path) -> bytes:
    try:
        mode = file.stat().st_mode & 0o777
    except OSError as error:
        raise AuthorityUnreadable(file=str(file), detail=error.strerror or str(error)) from error
    if mode & 0o077:
        raise AuthorityExposed(file=str(file), mode=f"{mode:03o}")
    return _read(file)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AuthorityUnreadable(file=str(file), detail=error.strerror or str(error)) from error

# SPDX-License-Identifier: BSD-3-Clause
"""The VO CA: where its key and certificate lie, and where the key's passphrase or PIN comes from.

``ca/ca.pem`` is the certificate. The key is either ``ca/ca.key``, encrypted with a passphrase, or in a PKCS#11 token,
which takes a PIN (`xos.vom.pkcs11`). Each secret is a systemd credential (`$CREDENTIALS_DIRECTORY`) if there is one of
its name, else the content of a file that only the owner may read.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.authority import load_ca
from xos.common.certificate import Authority, BadCertificate, CertificateError
from xos.common.files import sync_directory, write_atomically
from xos.vom.errors import AuthorityExposed, AuthorityUnreadable
from xos.vom.pkcs11.key import TokenKey, found
from xos.vom.pkcs11.uri import KeyUri

SYSTEMD_CREDENTIAL = "vom-ca-passphrase"
PIN_CREDENTIAL = "vom-ca-pin"


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


def load_or_create_in_token(
    directory: Path, uri: KeyUri, *, name: str, years: float, env: Mapping[str, str] = os.environ
) -> Authority:
    """The same for a CA whose key is in a token: used if one of that name is there, made in it if not. Blocks.

    The PIN is asked for anew whenever the token is taken anew. Its file: ``pin-source`` of the URI, else ``ca.pin``.
    Raises `AuthorityAway`, `AuthorityLocked`, `AuthorityUnreadable`, `AuthorityExposed`.
    """
    place, pin_file = directory / "ca", directory / (uri.pin_file or "ca.pin")

    def pin() -> bytes:
        return _secret(PIN_CREDENTIAL, pin_file, env)

    if not place.exists():
        key = found(uri, pin)
        try:
            _create(place, Authority.create(name, years, key), None)
        finally:
            key.close()
    try:
        certificate = load_ca(_read(place / "ca.pem"))
    except BadCertificate as error:
        raise AuthorityUnreadable(file=str(place / "ca.pem"), detail=error.message) from error
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise AuthorityUnreadable(file=str(place / "ca.pem"), detail="its key is not an EC key")
    return Authority(TokenKey(uri, pin, public), certificate)


def _load(place: Path, passphrase: bytes) -> Authority:
    key = _read_private(place / "ca.key")
    certificate = _read(place / "ca.pem")
    try:
        return Authority.load(key, certificate, passphrase)
    except BadCertificate as error:
        raise AuthorityUnreadable(file=str(place / "ca.pem"), detail=error.message) from error
    except CertificateError as error:
        raise AuthorityUnreadable(file=str(place / "ca.key"), detail=error.message) from error


def _create(place: Path, authority: Authority, passphrase: bytes | None) -> None:
    """Write the certificate, and with a *passphrase* the key."""
    draft = place.with_name(f".ca-{secrets.token_hex(6)}")
    draft.mkdir(mode=0o700)
    try:
        if passphrase is not None:
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
    if may_create and _given(SYSTEMD_CREDENTIAL, env) is None and not file.exists():
        write_atomically(file, secrets.token_urlsafe(32).encode() + b"\n", 0o600)
    return _secret(SYSTEMD_CREDENTIAL, file, env)


def _secret(credential: str, file: Path, env: Mapping[str, str]) -> bytes:
    given = _given(credential, env)
    secret = (_read_private(file) if given is None else _read(given)).rstrip(b"\r\n")
    if not secret:
        raise AuthorityUnreadable(file=str(given or file), detail="there is nothing in it")
    return secret


def _given(credential: str, env: Mapping[str, str]) -> Path | None:
    directory = env.get("CREDENTIALS_DIRECTORY")
    return Path(directory) / credential if directory and (Path(directory) / credential).exists() else None


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

# SPDX-License-Identifier: BSD-3-Clause
"""The one error hierarchy: each class has a stable code that survives the wire.

An error is raised from data (``raise UnknownKey(file=…, key=…, line=…)``); its text is built once from the
class's ``template``, its next step from ``hint``. `to_fault` and `from_fault` carry it between processes: a
client that knows the code gets the same class back, any other gets `RemoteError` with the same code and text.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no message: also for text that is not UTF-8, and for nesting without end."""


class Fault(msgspec.Struct, array_like=True, frozen=True):
    """An error on the wire. Positional: new fields only at the end."""

    code: str
    message: str
    hint: str = ""
    data: dict[str, str | int | float | bool | None] = {}
    retry_after_ms: int | None = None
    """Not None: the same call may succeed after that many milliseconds (overload, draining, lost connection)."""


_by_code: dict[str, type[XosError]] = {}


class XosError(Exception):
    """Root of every error that a user or another service may see.

    Subclasses set `code` (``room.slug``, never reused), `template` and `hint` (`str.format` over the data),
    `http_status` (what the gateway answers) and `exit_status` (what a command exits with).
    """

    code: ClassVar[str] = "xos.error"
    template: ClassVar[str] = "{detail}"
    hint: ClassVar[str] = ""
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1
    retry_after_ms: int | None = None

    def __init__(self, **data: str | int | float | bool | None) -> None:
        self.data = data
        self.message = self.template.format_map(_Shown(data))
        self.next_step = self.hint.format_map(_Shown(data))
        super().__init__(self.message)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            known = _by_code.setdefault(cls.code, cls)
            if known is not cls and known.__qualname__ != cls.__qualname__:
                raise TypeError(f"error code {cls.code!r} of {cls.__qualname__} is {known.__qualname__}'s")

    def to_fault(self) -> Fault:
        """The wire form of this error."""
        return Fault(self.code, self.message, self.next_step, dict(self.data), self.retry_after_ms)


_by_code[XosError.code] = XosError


class RemoteError(XosError):
    """Raised when a peer answers with a code that this process does not know; `fault` keeps it whole."""

    code = "xos.remote"

    def __init__(self, fault: Fault) -> None:
        super().__init__(detail=fault.message)
        self.fault = fault
        self.message, self.next_step = fault.message, fault.hint
        self.data = fault.data

    def to_fault(self) -> Fault:
        """The fault as it came: a relay changes nothing."""
        return self.fault


class InternalError(XosError):
    """Raised when our own code failed: the caller gets an incident number, the journal gets the traceback."""

    code = "xos.internal"
    template = "internal error (incident {incident})"
    hint = "The journal of the node holds the details under this incident number."


class _Shown(dict[str, object]):
    """Formats a missing value as ``?`` and cuts a hostile one, so that building an error never fails."""

    def __missing__(self, key: str) -> str:
        return "?"

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if isinstance(value, str) and len(value) > _LONGEST:
            return value[:_LONGEST] + "…"
        return value


_LONGEST = 500


def from_fault(fault: Fault) -> XosError:
    """The error that `fault` stands for: of the class registered for its code, else a `RemoteError`."""
    cls = _by_code.get(fault.code)
    if cls is None or cls is RemoteError:
        return RemoteError(fault)
    error = cls.__new__(cls)
    Exception.__init__(error, fault.message)
    error.data, error.message, error.next_step = dict(fault.data), fault.message, fault.hint
    error.retry_after_ms = fault.retry_after_ms
    return error


# The ground room's own errors live here rather than beside the code that raises them, so that a client which only
# receives them need not import `cryptography` or SQLAlchemy to know their classes.


class CertificateError(XosError):
    """Root of everything that can be wrong with a certificate, a key or a signature."""

    code = "cert.error"
    http_status = 401


class BadCertificate(CertificateError):
    """Raised when a certificate cannot be read or breaks the XOS-Certificate profile; `detail` says where."""

    code = "cert.bad"
    template = "not a valid XOS-Certificate: {detail}"
    hint = "Get a new certificate: run get-xos-cert."


class CertificateTooLarge(CertificateError):
    """Raised when a certificate does not fit where it must be carried: into an OpenSSH certificate."""

    code = "cert.too-large"
    template = "an XOS-Certificate of {size} bytes does not fit into an SSH certificate ({most})"
    hint = "Ask for fewer roles (get-xos-cert --role); the certificate still serves for everything but SSH."


class CertificateExpired(CertificateError):
    """Raised when a certificate is past its notAfter."""

    code = "cert.expired"
    template = "the certificate of {name} expired at {when}"
    hint = "Get a new one: run get-xos-cert (a node's daemon renews its own)."


class CertificateNotYetValid(CertificateError):
    """Raised when a certificate's notBefore is in the future: almost always a wrong clock."""

    code = "cert.not-yet-valid"
    template = "the certificate of {name} is not valid before {when}"
    hint = "Check the clock here and on the other machine (timedatectl): they disagree by more than five minutes."


class CertificateForeign(CertificateError):
    """Raised when a certificate was not issued by a CA of this VO."""

    code = "cert.foreign"
    template = "the certificate of {name} was issued by {issuer}, which is not trusted here"
    hint = "Use a certificate of this grid's own VO: run get-xos-cert."


class CertificateSelfSigned(CertificateForeign):
    """Raised when a certificate vouches for itself."""

    code = "cert.self-signed"
    template = "the certificate of {name} is self-signed"
    hint = "Certificates come from the VO: run get-xos-cert; nodes join with a token."


class CertificateRevoked(CertificateError):
    """Raised when the CA has withdrawn a certificate."""

    code = "cert.revoked"
    template = "the certificate of {name} (serial {serial}) is revoked"
    hint = "Ask the administrator of the VO why; after that, run get-xos-cert for a new one."


class CertificateRequired(CertificateError):
    """Raised when the other side wants a certificate and none was shown."""

    code = "cert.required"
    template = "a certificate is required here and none was shown"
    hint = "Get one: run get-xos-cert."


class WrongKind(CertificateError):
    """Raised when a machine shows its certificate where a user's is wanted, or a user where a machine's is."""

    code = "cert.wrong-kind"
    template = "{name} holds a {kind} certificate where a {wanted} certificate is needed"
    hint = "Users get theirs by get-xos-cert; a node's certificate is for its daemons alone."
    http_status = 403


class BadRevocations(CertificateError):
    """Raised when a CRL cannot be read, is not signed by our CA, or is older than the one we have."""

    code = "cert.bad-crl"
    template = "the revocation list was refused: {detail}"
    hint = "Fetch it again from the CDA; the list already here stays in force."
    http_status = 400


class BadCsr(CertificateError):
    """Raised when a certificate request cannot be read or its signature is wrong."""

    code = "cert.bad-csr"
    template = "not a valid certificate request: {detail}"
    hint = "Send a PKCS#10 request in DER, signed by its own key; get-xos-cert makes one."
    http_status = 400


class WeakKey(BadCsr):
    """Raised when the key of a certificate request is not on P-256 or P-384."""

    code = "cert.weak-key"
    template = "the key is refused: {detail}"
    hint = "Make an EC key on P-256 or P-384: openssl ecparam -genkey -name prime256v1."


class CsrForbidden(BadCsr):
    """Raised when a certificate request asks for extensions or attributes: the CA alone decides those."""

    code = "cert.csr-forbidden"
    template = "the certificate request asks for {detail}; only the CA decides what a certificate says"
    hint = "Make the request with a subject and a key, nothing else."


class BadSignature(CertificateError):
    """Raised when a signature does not fit the document and the certificate beside it."""

    code = "cert.bad-signature"
    template = "the signature of {name} does not fit the document"
    hint = "The document was changed after it was signed; sign it again."


class WrongPurpose(CertificateError):
    """Raised when something signed for one purpose is shown for another."""

    code = "cert.wrong-purpose"
    template = "signed for {signed_for}, shown for {wanted}"
    hint = "Sign the document again, for what it is used for."


class CredentialMissing(CertificateError):
    """Raised when the certificate or key file is not there."""

    code = "cert.missing"
    template = "no certificate or key at {path}"
    hint = "Get one: run get-xos-cert."


class BadKey(CertificateError):
    """Raised when a private key cannot be read, or is not the certificate's."""

    code = "cert.bad-key"
    template = "the private key is refused: {detail}"
    hint = "Get a new key and certificate: run get-xos-cert."


class WrongPassphrase(BadKey):
    """Raised when a private key is encrypted and the passphrase is wrong or missing."""

    code = "cert.passphrase"
    template = "the private key is encrypted and the passphrase is {detail}"
    hint = "Try again, or let xos-agent hold the key."


class KeyExposed(BadKey):
    """Raised when others may read the file of an unencrypted private key."""

    code = "cert.key-exposed"
    template = "{path} holds an unencrypted private key that others may read"
    hint = "Run chmod 600 on it; if strangers could have read it, get a new certificate."


class TlsError(XosError):
    """Raised when a TLS connection fails for a reason that is not somebody's certificate."""

    code = "tls.failed"
    template = "no secure connection: {detail}"
    hint = "See the journal of the other side for its view."
    http_status = 502


class NotTls(TlsError):
    """Raised when the other side does not speak TLS at all."""

    code = "tls.not-tls"
    template = "the other side does not speak TLS"
    hint = "Check address and port: something else may be listening there."


class TlsVersion(TlsError):
    """Raised when the other side cannot do TLS 1.3."""

    code = "tls.version"
    template = "the other side does not offer TLS 1.3"
    hint = "Only TLS 1.3 is spoken here; update the other side (curl: --tlsv1.3)."


class TlsProtocol(TlsError):
    """Raised when the two sides have no application protocol (ALPN) in common."""

    code = "tls.protocol"
    template = "the other side speaks another protocol over TLS"
    hint = "Check the port: the binary transport and the HTTPS gateway listen on different ones."


class StorageError(XosError):
    """Root of what can go wrong with what is kept on disk."""

    code = "storage.error"


class StorageFull(StorageError):
    """Raised when the disk or the database is full; nothing of the write was kept, what was acknowledged is safe."""

    code = "storage.full"
    template = "no space left for {path}"
    hint = "Free some space on that file system; the daemon goes on by itself."
    http_status = 507


class StorageBroken(StorageError):
    """Raised when the disk fails, the database is damaged, unreachable, or cannot be opened."""

    code = "storage.broken"
    template = "the database {path} cannot be used: {detail}"
    hint = "See the journal of the node; check the disk and the database server."


class StorageNewer(StorageBroken):
    """Raised when a newer release of XtreemOS has written the database."""

    code = "storage.newer"
    template = "the database {path} was written by a newer release (schema {revision})"
    hint = "Update this node; an older release must not write a newer schema."


class StorageBusy(StorageError):
    """Raised when too many writes or reads wait already; the same call may succeed in a moment."""

    code = "storage.busy"
    template = "the database {path} is busy: {detail}"
    hint = "Try again in a moment."
    http_status = 503


class ConfigError(XosError):
    """Raised when a configuration file breaks its rules: names file, line and key."""

    code = "config.invalid"
    template = "{place}{key}: {detail}"
    hint = "{advice}"
    exit_status = 78  # EX_CONFIG

    def __init__(self, *, file: str, line: int, key: str, detail: str, advice: str = "") -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        advice = advice or ("Correct that line." if line else "Correct that key.")
        super().__init__(place=place, file=file, line=line, key=key, detail=detail, advice=advice)


class ConfigMissing(XosError):
    """Raised when a configuration file is not there or cannot be read."""

    code = "config.missing"
    template = "cannot read the configuration {file}: {detail}"
    hint = "xos-setup local writes one; --config names another."
    exit_status = 78


class PolicyError(XosError):
    """Root of what is wrong with a text of policies."""

    code = "policy.error"
    http_status = 400
    exit_status = 2


class PolicyInvalid(PolicyError):
    """Raised when a policy is not Cedar, or speaks of what the schema does not have: names line and column."""

    code = "policy.invalid"
    template = "{document}:{line}:{column}: {detail}"
    hint = "{advice}"

    def __init__(self, *, document: str, line: int, column: int, detail: str, advice: str = "") -> None:
        advice = advice or "Correct it there; https://docs.cedarpolicy.com describes the language."
        super().__init__(document=document, line=line, column=column, detail=detail, advice=advice)


class PolicyTooLarge(PolicyError):
    """Raised when a policy document has too many bytes, or a set too many rules."""

    code = "policy.too-large"
    template = "{document} is too large: {size}, and {limit} is the limit"
    hint = "Several rules over single users are often one rule over a group."

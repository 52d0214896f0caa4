# SPDX-License-Identifier: BSD-3-Clause
"""By OpenID Connect: the device flow (RFC 8628), as federations log in to commands today.

The CDA is the client. `begin` gets a code that the person types at the provider's page; meanwhile the wish is tried
again and again, and each try asks the provider once. Who it was is in the ID token, whose signature, issuer, audience
and time are checked with the provider's keys.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import secrets
import ssl
import urllib.parse
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import jwt
import msgspec
from msgspec import Meta

from xos.common.errors import UNDECODABLE
from xos.common.log import get_logger
from xos.vom.api import CertificateWish, Login
from xos.vom.backends import Elsewhere
from xos.vom.core import VomCore
from xos.vom.errors import BackendAway, LoginOver, LoginPending

SECONDS = 10.0
"""That the provider has for an answer."""
LARGEST = 256 * 1024
"""Bytes of an answer."""
MOST_LOGINS = 1000
KEYS_S = 3600.0
"""Seconds that the provider's keys are remembered."""
LEEWAY_S = 60
"""Clock skew between the provider and us."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Public-key ones: with a shared secret whoever knows it could be anybody."""
GRANT = "urn:ietf:params:oauth:grant-type:device_code"

log = get_logger(__name__)


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.CDA.settings.oidc]``."""

    issuer: Annotated[str, Meta(pattern=r"^https?://")]
    """The provider's issuer URL; ``https``, or ``http`` on this very machine."""
    client_id: Annotated[str, Meta(min_length=1)]
    client_secret_file: str = ""
    """A file with the client's secret; empty: a public client."""
    ca_file: str = ""
    """The CA of the provider's server certificate, PEM; empty: those that the system trusts."""
    scope: str = "openid"
    claim: str = "sub"
    """Of the ID token: what the person is called. Another than ``sub`` must never be given to somebody else."""


@dataclasses.dataclass(slots=True)
class _Begun:
    device_code: str
    expires: float
    subject: str = ""
    """Once the person has logged in."""


class OidcBackend(Elsewhere):
    """One OpenID provider."""

    name = "oidc"
    description = "a login at your institution (OpenID Connect)"
    needs = "login"

    def __init__(self, core: VomCore, settings: OidcSettings) -> None:
        super().__init__(core)
        self._settings = settings
        self._issuer = settings.issuer.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._begun: collections.OrderedDict[bytes, _Begun] = collections.OrderedDict()
        self._provider: dict[str, Any] = {}
        self._keys: jwt.PyJWKSet | None = None
        self._fetched = 0.0
        _check_issuer(self._issuer)

    async def close(self) -> None:
        """See `Prover.close`."""
        if self._session is not None:
            await self._session.close()

    async def begin(self) -> Login:
        """Begin a login. Raises `BackendAway`."""
        await self._discover()
        answer = await self._post(self._endpoint("device_authorization_endpoint"), {"scope": self._settings.scope})
        if "error" in answer:
            raise self._away(f"the provider refuses: {str(answer.get('error_description', answer['error']))[:200]}")
        try:
            asked = msgspec.convert(answer, _DeviceAnswer)
        except msgspec.ValidationError as error:
            raise self._away(f"no device flow answer: {error}") from error
        id_, now = secrets.token_bytes(24), self.core.now()
        self._begun[id_] = _Begun(asked.device_code, now + asked.expires_in)
        while len(self._begun) > MOST_LOGINS:
            self._begun.popitem(last=False)
        url = asked.verification_uri_complete or asked.verification_uri
        return Login(id_, url, asked.user_code, max(1.0, asked.interval), int(now + asked.expires_in))

    async def subject(self, wish: CertificateWish) -> str:
        """See `Elsewhere.subject`. Raises `LoginPending`, `LoginOver`, `BackendAway`."""
        begun = self._begun.get(wish.proof)
        if begun is None:
            raise LoginOver(detail="it was not begun here, or too long ago")
        if begun.expires < self.core.now():
            del self._begun[wish.proof]
            raise LoginOver(detail="it has taken too long")
        if not begun.subject:
            begun.subject = await self._ask(begun.device_code)
        return begun.subject

    async def _ask(self, device_code: str) -> str:
        answer = await self._post(self._endpoint("token_endpoint"), {"grant_type": GRANT, "device_code": device_code})
        match answer.get("error"):
            case None:
                return await self._subject_of(str(answer.get("id_token", "")))
            case "authorization_pending" | "slow_down" as state:
                error = LoginPending()
                error.retry_after_ms = 5000 if state == "authorization_pending" else 10_000
                raise error
            case "access_denied":
                raise LoginOver(detail="you said no")
            case "expired_token":
                raise LoginOver(detail="it has taken too long")
            case other:
                raise LoginOver(detail=f"the provider says {str(answer.get('error_description', other))[:200]}")

    async def _subject_of(self, token: str) -> str:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[str(key.algorithm_name)] if key.algorithm_name in ALGORITHMS else list(ALGORITHMS),
                audience=self._settings.client_id,
                issuer=self._provider["issuer"],
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except jwt.PyJWTError as error:
            log.warning("oidc-token-refused", issuer=self._issuer, reason=str(error)[:200])
            raise LoginOver(detail="the provider's token is not good") from error
        subject = claims.get(self._settings.claim)
        if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= 255:
            raise LoginOver(detail=f"the provider tells no {self._settings.claim}")
        return subject

    async def _key(self, kid: str) -> jwt.PyJWK:
        """The provider's key of that id; its keys are fetched again when it has a new one."""
        for fresh in (False, True):
            loop = asyncio.get_running_loop()
            if self._keys is None or fresh or loop.time() - self._fetched > KEYS_S:
                text = await self._get(self._endpoint("jwks_uri"))
                self._keys, self._fetched = jwt.PyJWKSet.from_dict(text), loop.time()
            for key in self._keys.keys:
                if key.public_key_use in (None, "sig") and (not kid or key.key_id == kid):
                    return key
        raise jwt.InvalidKeyError(f"no key {kid[:80]}")

    async def _discover(self) -> None:
        if self._provider:
            return
        found = await self._get(f"{self._issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._issuer:
            raise self._away("what is there says that it is another issuer")
        self._provider = found

    def _endpoint(self, name: str) -> str:
        url = self._provider.get(name)
        if not isinstance(url, str):
            raise self._away(f"it has no {name}")
        _check_issuer(url)
        return url

    async def _get(self, url: str) -> dict[str, Any]:
        return await self._request("GET", url, None)

    async def _post(self, url: str, form: dict[str, str]) -> dict[str, Any]:
        form = {**form, "client_id": self._settings.client_id}
        if self._settings.client_secret_file:
            form["client_secret"] = await asyncio.to_thread(self._secret)
        return await self._request("POST", url, form)

    def _secret(self) -> str:
        try:
            return Path(self._settings.client_secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._away(f"client_secret_file: {error}") from error

    async def _request(self, method: str, url: str, form: dict[str, str] | None) -> dict[str, Any]:
        if self._session is None:
            limit = aiohttp.ClientTimeout(total=SECONDS)
            self._session = aiohttp.ClientSession(timeout=limit, connector=self._connector())
        try:
            async with self._session.request(method, url, data=form, allow_redirects=False) as answer:
                text = await answer.content.read(LARGEST)
                decoded = msgspec.json.decode(text)
        except (aiohttp.ClientError, TimeoutError, OSError, *UNDECODABLE) as error:
            raise self._away(str(error)[:200] or type(error).__name__) from error
        if not isinstance(decoded, dict):
            raise self._away("its answer is no JSON object")
        return decoded

    def _connector(self) -> aiohttp.TCPConnector:
        if not self._settings.ca_file:
            return aiohttp.TCPConnector()
        try:
            return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._settings.ca_file))
        except OSError as error:
            raise self._away(f"ca_file: {error}") from error

    def _away(self, detail: str) -> BackendAway:
        return BackendAway(backend=f"the OpenID provider {self._issuer}", detail=detail, known="a password")


class _DeviceAnswer(msgspec.Struct, frozen=True):
    """RFC 8628, 3.2."""

    device_code: Annotated[str, Meta(min_length=1, max_length=4096)]
    user_code: Annotated[str, Meta(min_length=1, max_length=64)]
    verification_uri: Annotated[str, Meta(pattern=r"^https?://", max_length=2048)]
    expires_in: Annotated[float, Meta(gt=0, le=86400)]
    verification_uri_complete: Annotated[str, Meta(max_length=2048)] = ""
    interval: Annotated[float, Meta(gt=0, le=300)] = 5.0


def _check_issuer(url: str) -> None:
    """Raise `BackendAway` for a URL whose answers anybody on the way could change."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise BackendAway(backend=f"the OpenID provider {url}", detail="it must be https", known="a password")

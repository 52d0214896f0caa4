# SPDX-License-Identifier: BSD-3-Clause
"""What a browser is told to enforce, and which requests are believed to be meant. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from xos.volife.errors import ForeignRequest, StaleForm

COOKIE = "__Host-volife"
"""The prefix makes browsers keep it to this host, path / and HTTPS (RFC 6265bis, 4.1.3.2)."""


def headers(door: str) -> Mapping[str, str]:
    """For every answer. *door*: the CDA's gateway, which the sign-in page asks for a certificate."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": f"'self' {door}".strip(),
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
        "Strict-Transport-Security": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }


def check_origin(sent: Mapping[str, str], host: str) -> None:
    """Pass when a form was sent from a page of ours, as far as the browser says. Raises `ForeignRequest`."""
    site, origin = sent.get("Sec-Fetch-Site"), sent.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        raise ForeignRequest
    if origin is not None and origin != f"https://{host}":
        raise ForeignRequest


def check_token(shown: str, kept: str) -> None:
    """Pass when a form carries the token of its session. Raises `StaleForm`."""
    if not secrets.compare_digest(shown.encode("utf-8", "surrogatepass"), kept.encode()):
        raise StaleForm


def cookie(token: str) -> str:
    """The ``Set-Cookie`` of a session; it ends with the browser."""
    return f"{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Lax"


def no_cookie() -> str:
    """The ``Set-Cookie`` that takes it away."""
    return f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"

# SPDX-License-Identifier: BSD-3-Clause
"""Kerberos at the client: a GSS-API token of the user's for the CDA. Needs python3-gssapi."""

from __future__ import annotations

from xos.vom.errors import BackendAway


def token_for(service: str) -> bytes:
    """A token of the calling user's for *service*, by the tickets that they have. Raises `BackendAway`."""
    try:
        import gssapi
    except ImportError as error:
        raise BackendAway(backend="Kerberos", detail="python3-gssapi is not there", known="a password") from error
    try:
        context = gssapi.SecurityContext(
            name=gssapi.Name(service, gssapi.NameType.kerberos_principal),
            mech=gssapi.MechType.kerberos,
            usage="initiate",
        )
        return bytes(context.step() or b"")
    except gssapi.exceptions.GSSError as error:
        raise BackendAway(backend="Kerberos", detail=said(error), known="a password") from error


def said(error: Exception) -> str:
    """What a GSS-API error says, on one line."""
    return " ".join(str(error).split())[:200]

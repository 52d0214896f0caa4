# SPDX-License-Identifier: BSD-3-Clause
"""Invitation codes: 128 bits, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets

from xos.vom.api import Invitation
from xos.vom.bulk import Code

CODE_BYTES = 16


def make(vo: str, name: str, expires: int) -> tuple[Invitation, Code]:
    """A new invitation: what is shown, and what is kept."""
    code = secrets.token_urlsafe(CODE_BYTES)
    return Invitation(vo, name, code, expires), Code(digest(code), expires)


def digest(code: str) -> str:
    """As it is kept: SHA-256, hex."""
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()

# SPDX-License-Identifier: BSD-3-Clause
"""How the room's programs tell errors."""

from __future__ import annotations

import sys

import msgspec

from xos.common.errors import XosError


def report(program: str, error: XosError, *, as_json: bool) -> None:
    """A line and a hint on standard error, or an object there."""
    if as_json:
        fields = {"code": error.code, "message": error.message, "hint": error.next_step, "data": error.data}
        sys.stderr.write(msgspec.json.encode({"error": fields}).decode() + "\n")
        return
    sys.stderr.write(f"{program}: {error.message}\n")
    if error.next_step:
        sys.stderr.write(f"  hint: {error.next_step}\n")

# SPDX-License-Identifier: BSD-3-Clause
"""What VOLife is told by the configuration of its daemon."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.VOLife.settings]``."""

    address: str = "0.0.0.0:6780"
    """``host:port`` to listen on; browsers only, HTTPS only."""
    url: str = ""
    """What people type, ``https://vo.example.org/``; empty: made from *address*."""
    certificate: str = ""
    """PEM file with a certificate that browsers know; empty: the machine certificate, which they do not until the
    VO CA's is imported."""
    key: str = ""
    """PEM file with the key of that, mode 0600."""
    door: str = ""
    """``https://host:port`` of a gateway that offers the CDA and names our URL under ``origins``: there browsers
    sign in by certificate. Empty: that of the node on which the Directory finds the CDA."""
    front_door: str = ""
    """``host:port`` of the core's front door, for join words; empty: port 6730 of the node that hosts the RCA."""
    session_hours: Annotated[float, Meta(gt=0, le=24)] = 8.0
    """Nobody stays signed in for longer."""
    idle_minutes: Annotated[float, Meta(gt=0)] = 30.0
    """Who does nothing for so long is signed out."""
    most_sessions: Annotated[int, Meta(ge=1)] = 5000
    live_seconds: Annotated[float, Meta(gt=0)] = 2.0
    """How often live pages look for news."""

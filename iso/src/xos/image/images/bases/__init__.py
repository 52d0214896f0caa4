# SPDX-License-Identifier: BSD-3-Clause
"""The distributions that flavours stand on: one module each, named in the flavour (``base = ...``)."""

from __future__ import annotations

from collections.abc import Mapping

from xos.image.images.bases import debian, rpm
from xos.image.images.bases.api import Base, Ground
from xos.image.images.flavours import BaseName

__all__ = ["BASES", "Base", "Ground"]

BASES: Mapping[BaseName, Base] = {"debian": debian.DebianBase(), "rpm": rpm.RpmBase()}

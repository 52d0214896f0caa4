# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the database of VOs and their members."""

from xos.vom.xvoms._base import Settings
from xos.vom.xvoms.service import XvomsService

__all__ = ["Settings", "XvomsService"]

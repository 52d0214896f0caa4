# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the database of VOs and their members as a service."""

from __future__ import annotations

from xos.vom.api import XVOMS
from xos.vom.xvoms._imports import Imports
from xos.vom.xvoms._labels import Labels
from xos.vom.xvoms._users import Users
from xos.vom.xvoms._vos import VOs


class XvomsService(VOs, Users, Labels, Imports, XVOMS):
    """XVOMS over a `VomCore`: its parts are one module each."""

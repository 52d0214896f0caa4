# SPDX-License-Identifier: BSD-3-Clause
"""The peers of logging in: the same sshd with a plain user certificate for a local user, and pam_permit."""

from __future__ import annotations

from functools import partial

from bench import login
from bench.model import Measure
from bench.resources import Resources
from support.machine import PORT


def ssh(resources: Resources) -> Measure:
    """Local bob by a certificate of the same CA."""
    made, key = resources.get("login-plain", partial(login.plain, resources), what="a machine without our package")
    return login.logins(made, key, "bob", PORT + 1, resources.scaled(login.LOGINS))


def permit(resources: Resources) -> Measure:
    """A session of bob through pam_permit."""
    made, _ = resources.get("login-plain", partial(login.plain, resources), what="a machine without our package")
    return login.stacks(made, "bob", resources.scaled(login.STACKS))

# SPDX-License-Identifier: BSD-3-Clause
"""Logging in as a VO user."""

from __future__ import annotations

from functools import partial

from bench import login
from bench.model import Measure
from bench.resources import Resources
from support.machine import PORT


def ssh(resources: Resources) -> Measure:
    """alice.demo by her XOS-Certificate."""
    made, key = resources.get("login-ours", partial(login.ours, resources), what="a machine to log in to")
    return login.logins(made, key, "alice.demo", PORT, resources.scaled(login.LOGINS))


def pam(resources: Resources) -> Measure:
    """A session of alice.demo through pam_xos."""
    made, _ = resources.get("login-ours", partial(login.ours, resources), what="a machine to log in to")
    return login.stacks(made, "alice.demo", resources.scaled(login.STACKS))

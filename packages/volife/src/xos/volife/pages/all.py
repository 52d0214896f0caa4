# SPDX-License-Identifier: BSD-3-Clause
"""Every page there is."""

from __future__ import annotations

from xos.volife.pages import files, groups, home, jobs, joining, me, members, policies, resources, sign_in, usage, vos
from xos.volife.visit import Page

PAGES: tuple[Page, ...] = (
    *sign_in.PAGES,
    *home.PAGES,
    *me.PAGES,
    *joining.PAGES,
    *vos.PAGES,
    *members.PAGES,
    *groups.PAGES,
    *jobs.PAGES,
    *resources.PAGES,
    *files.PAGES,
    *policies.PAGES,
    *usage.PAGES,
)

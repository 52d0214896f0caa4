# SPDX-License-Identifier: BSD-3-Clause
"""The first boot: answers from whichever channel has them; without any, the login prompt says what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

from xos.setup.node import channels, steps
from xos.setup.node.system import Say, Site

NOTE = "/run/issue.d/50-xos.issue"
"""What agetty(8) shows above the login prompt, until the next boot."""
NOT_YET = "This machine is not a node of XtreemOS yet: log in as root and run  xos-setup core | resource | client | web"
FAILED = "This machine could not become a node of XtreemOS: see  journalctl -u xos-firstboot"


def run(site: Site, say: Say) -> None:
    """Make the machine what its answers say, once. Raises what `channels.find` and `steps.set_up` do."""
    if steps.kept(site) is not None:
        say("this machine is a node already")
        return
    try:
        found = channels.find(site.root)
        if found is None or (found.answers.install is not None and _is_live(site.root)):
            say("no answers: nothing to do")  # those of an installation are xos-install's
            note(site, NOT_YET)
            return
        say(f"answers: {found.where}")
        if found.answers.role is None:
            steps.below(found.answers, site, say)
            note(site, NOT_YET)
        else:
            steps.set_up(found.answers, site, say)
            note(site, "")
        # It may hold passwords, and has served.
        site.path(steps.ANSWERS).unlink(missing_ok=True)
    except BaseException:
        note(site, FAILED)
        raise


def note(site: Site, text: str) -> None:
    """Say *text* above the login prompts, those too that are there already; nothing if it is empty."""
    path = site.path(NOTE)
    if not text and not path.exists():
        return
    if text:
        site.write(NOTE, f"{text}\n\n")
    else:
        path.unlink()
    if site.live:
        subprocess.run(["agetty", "--reload"], check=False, capture_output=True)


def _is_live(root: Path) -> bool:
    """Whether the system runs from a live medium."""
    cmdline = root / "proc/cmdline"
    return cmdline.exists() and "boot=live" in cmdline.read_text(errors="replace").split()

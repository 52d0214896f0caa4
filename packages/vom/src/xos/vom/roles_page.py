# SPDX-License-Identifier: BSD-3-Clause
"""``docs/who-may-do-what.md``, made from the one table: ``python -m xos.vom.roles_page > docs/who-may-do-what.md``."""

from __future__ import annotations

import sys

from xos.vom.policy import ALLOWED, Act, Standing

HEAD = """<!-- Made by python -m xos.vom.roles_page; do not edit: change xos.vom.policy. -->

# Who may do what

In a VO people have roles. Those below mean something to XtreemOS; a VO gives others the meaning it likes, in its
[policies](policies.md). A role counts only in the VO that the certificate is for, and only while its holder has it.

| role | in words |
|---|---|
| *VO creator*: `VOCreator` | may create VOs; given by the core, in any VO |
| *VO manager*: `VOManager` | rules a VO: changes and dissolves it, appoints managers; who creates a VO is its first |
| *Administrator*: `VOAdmin` | looks after members, requests, groups, roles, policies and quotas |
| *Resource administrator*: `ResourceAdmin` | lets machines of the VO in and takes them out |
| *Member* | anybody in the VO |

The core machine's own certificate (root on the core) may do whatever no single VO can decide.

"""
COLUMNS = (
    (Standing.CORE, "core"),
    (Standing.MANAGER, "manager"),
    (Standing.ADMIN, "admin"),
    (Standing.RESOURCE_ADMIN, "resource admin"),
    (Standing.CREATOR, "creator"),
    (Standing.SELF, "the user"),
    (Standing.MEMBER, "member"),
    (Standing.USER, "any user"),
    (Standing.MACHINE, "machine"),
)


def page() -> str:
    """The page."""
    lines = [
        f"| may … | {' | '.join(name for _, name in COLUMNS)} |",
        f"|---|{':-:|' * len(COLUMNS)}",
    ]
    for act in Act:
        marks = ("×" if standing in ALLOWED[act] else "" for standing, _ in COLUMNS)
        lines.append(f"| {act.value} | {' | '.join(marks)} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())

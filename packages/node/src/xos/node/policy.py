# SPDX-License-Identifier: BSD-3-Clause
"""The node's own word on who may use it: Cedar rules in ``/etc/xos/node-policy.cedar``, asked after the VO's.

No file: whoever has a good certificate of a VO that is served may. A file that is wrong leaves the one before in force;
when there is none before, nobody gets in by certificate until it is right.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.node.errors import PolicyRefused

if TYPE_CHECKING:  # the engine takes time to load, and most nodes have no policy of their own
    from xos.common.policy import Decision, NodeAttributes, PolicySet, Request

log = get_logger("xos.node.policy")

DOING = {"login": "log in", "runJob": "run jobs", "reserve": "reserve"}


class NodePolicy:
    """The file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """What is wrong with the file as it is now; empty when nothing is."""
        self._seen: tuple[int, int, int] | None = None
        self._rules: PolicySet | None = None

    def refresh(self) -> None:
        """Read the file if it is another than before."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._seen, self._rules, self.problem = None, None, ""
            return
        seen = found.st_ino, found.st_mtime_ns, found.st_size
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._rules = read_rules(self.path)
            self.problem = ""
            log.info("policy.read", file=str(self.path), rules=len(self._rules.rules))
        except (XosError, OSError, UnicodeDecodeError) as error:
            self.problem = str(error)
            log.warning("policy.wrong", file=str(self.path), detail=self.problem, kept=self._rules is not None)

    def check(self, request: Request) -> None:
        """Pass when the rules allow it. Raises `PolicyRefused`."""
        self.refresh()
        if self._seen is None:
            return
        what = DOING.get(request.action.value, request.action.value)
        if self._rules is None:
            raise PolicyRefused(identity=str(request.principal), what=what, rules="its policy file is wrong")
        decision: Decision = self._rules.decide(request)
        if not decision.allowed:
            raise PolicyRefused(identity=str(request.principal), what=what, rules=decision.explain())

    @property
    def is_there(self) -> bool:
        """Whether there are rules at all."""
        self.refresh()
        return self._seen is not None


def read_rules(path: Path) -> PolicySet:
    """The rules in *path*. Raises `PolicyInvalid`, `PolicyTooLarge`, `OSError`, `UnicodeDecodeError`."""
    from xos.common.policy import MAX_BYTES, PolicySet

    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1).decode()
    return PolicySet.parse({path.name: text})


def this_node() -> NodeAttributes:
    """The machine as rules see it."""
    from xos.common.policy import NodeAttributes

    return NodeAttributes(
        platform.node(),
        platform.machine(),
        platform.system(),
        cores=os.cpu_count() or 0,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )

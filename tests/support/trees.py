# SPDX-License-Identifier: BSD-3-Clause
"""What a tree of files holds, so that two views of it can be compared; also a script: ``python3 trees.py DIRECTORY``.

It stands on nothing but Python and getfacl(1), since it is sent to machines that have no more.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

Facts = dict[str, object]


def entries(top: Path) -> dict[str, Facts]:
    """All below *top*, by path: kind, mode, owner, group, size, links, time, content, attributes and ACLs."""
    acls = _acls(top)
    found: dict[str, Facts] = {}
    first: dict[int, str] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(top))
        facts: Facts = {
            "mode": stat.filemode(status.st_mode),
            "owner": _name(pwd.getpwuid, status.st_uid),
            "group": _name(grp.getgrgid, status.st_gid),
            "mtime": status.st_mtime_ns,
            "acl": acls.get(name, ""),
        }
        if not path.is_symlink():
            facts["attributes"] = {
                key: os.getxattr(path, key).hex() for key in os.listxattr(path) if key.startswith("user.")
            }
        if path.is_symlink():
            facts["target"] = str(path.readlink())
        elif path.is_file():
            facts |= {"size": status.st_size, "sum": hashlib.sha256(path.read_bytes()).hexdigest()}
        if not stat.S_ISDIR(status.st_mode):
            facts |= {"links": status.st_nlink, "same as": first.setdefault(status.st_ino, name)}
        found[name] = facts
    return found


def alike(found: dict[str, Facts], unlike: str = "") -> dict[str, Facts]:
    """What two runs of one program make alike: no times, and no content of paths that *unlike* (a pattern) finds."""
    made: dict[str, Facts] = {}
    for name, facts in found.items():
        without = {"mtime", "size", "sum"} if unlike and re.search(unlike, name) else {"mtime"}
        made[name] = {key: value for key, value in facts.items() if key not in without}
    return made


def _acls(top: Path) -> dict[str, str]:
    """Of what has more than mode bits."""
    command = ["getfacl", "--recursive", "--physical", "--skip-base", "--", "."]
    told = subprocess.run(command, cwd=top, check=True, capture_output=True, text=True).stdout
    blocks = [block.split("\n") for block in told.split("\n\n") if block.strip()]
    return {block[0].removeprefix("# file: ").removeprefix("./"): "\n".join(block[1:]) for block in blocks}


def _name(find: Callable[[int], Sequence[object]], number: int) -> str:
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)


if __name__ == "__main__":
    json.dump(entries(Path(sys.argv[1])), sys.stdout)

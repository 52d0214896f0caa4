#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the man pages of the job commands from their command lines: ``python docs/man/generate.py``."""

# ruff: noqa: SLF001 -- argparse has no public way to walk through a parser

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xos.dixi.commands import find

COMMANDS = ("xsub", "xps", "xwait", "xkill", "xout")
FILES = (
    "mount.xtreemfs",
    "umount.xtreemfs",
    "mkfs.xtreemfs",
    "rmfs.xtreemfs",
    "lsfs.xtreemfs",
    "xtfsutil",
    "xtfs_scrub",
    "xtfs_cleanup",
    "xtfs_chstatus",
    "xtfs_mrcdbtool",
)
HERE = Path(__file__).parent
SURROUNDINGS = """.SH ENVIRONMENT
.TP
.B XOS_HOME
Directory with configuration and certificate (default: ~/.xos).
.TP
.B XOS_NO_AGENT
When set, the command does not ask the user's xos-agent.
.TP
.B NO_COLOR
When set, nothing is coloured.
"""


def escape(text: str) -> str:
    """Text that roff prints as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("…", "...")
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


def page(name: str) -> str:
    """The page of one command, man(7)."""
    made = find(name).parser()
    made.prog = name
    summary, _, _ = (made.description or "").partition(". ")
    family, title, manual = (
        (FILES, "Files", "docs/files.md") if name in FILES else (COMMANDS, "Job commands", "docs/jobs.md")
    )
    lines = [f'.TH {name.upper()} 1 "" XtreemOS "{title}"', ".SH NAME"]
    lines.append(f"{name} \\- {escape(summary[:1].lower() + summary[1:].rstrip('.'))}")
    lines += [".SH SYNOPSIS", ".nf", escape(synopsis(made)), ".fi", ".SH DESCRIPTION", escape(made.description or "")]
    lines += [".SH OPTIONS", *options(made), *epilog(made.epilog or ""), SURROUNDINGS.rstrip()]
    others = ", ".join(rf"\fB{other}\fR(1)" for other in family if other != name)
    return "\n".join([*lines, ".SH SEE ALSO", f"{others}; the manual, {manual}", ""])


def synopsis(made: argparse.ArgumentParser) -> str:
    """As the command line was declared, on any version of Python."""
    if made.usage:
        return "\n".join(line.strip() for line in made.usage.split("\n"))
    words = [made.prog, "[OPTION …]"]
    for action in made._actions:
        if not action.option_strings:
            label = str(action.metavar or action.dest)
            words.append({"+": f"{label} …", "*": f"[{label} …]"}.get(str(action.nargs), label))
    return " ".join(words)


def options(made: argparse.ArgumentParser) -> list[str]:
    """Each option with its help, under the heading of its group."""
    lines = []
    for group in made._action_groups:
        if not group._group_actions:
            continue
        if group.title not in ("options", "positional arguments"):
            lines.append(f".SS {escape((group.title or '').capitalize())}")
        for action in group._group_actions:
            label = str(action.metavar or action.dest)
            value = "" if action.nargs == 0 else rf" \fI{escape(label)}\fR"
            names = ", ".join(rf"\fB{escape(option)}\fR" for option in action.option_strings)
            lines += [".TP", names + value if names else rf"\fI{escape(label)}\fR"]
            lines.append(escape((action.help or "") % vars(action)))
    return lines


def epilog(text: str) -> list[str]:
    """A line that ends in a colon opens a section of lines; other text is a note."""
    lines: list[str] = []
    section = ""
    for line in text.split("\n"):
        if line.endswith(":") and not line.startswith(" "):
            lines += [".fi"] * bool(section) + [f".SH {line[:-1].upper()}", ".nf"]
            section = line
        elif section and line and not line.startswith(" "):
            lines += [".fi", ".SH NOTES" if section != "notes" else ".PP", escape(line)]
            section = ""
        elif line or section:
            lines.append(escape(line.strip()) if line else ".sp")
        else:
            lines.append(".PP")
    return [*lines, *([".fi"] if section else [])]


def main() -> int:
    """Write every page."""
    for name in COMMANDS:
        (HERE / f"{name}.1").write_text(page(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

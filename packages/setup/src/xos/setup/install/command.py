# SPDX-License-Identifier: BSD-3-Clause
"""``xos-install``: puts the system of a live medium on a disk, guided or from answers."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.common.errors import XosError
from xos.setup.asking import Asking
from xos.setup.install import ask, disks
from xos.setup.install.leftovers import alone, unmount_all
from xos.setup.install.medium import Medium
from xos.setup.install.writing import Installer, Plan
from xos.setup.node import channels, manual
from xos.setup.node.answers import Answers, BadAnswer, from_file
from xos.setup.node.system import NotRoot
from xos.setup.report import report

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="xos-install",
        description="Install XtreemOS on a disk, from its live medium.",
        epilog=manual.INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--answers", type=Path, metavar="FILE", help="do not ask: everything is in FILE (TOML)")
    p.add_argument(
        "--unattended",
        action="store_true",
        help="do not ask: take answers from where a first boot finds them; without a table [install] do nothing",
    )
    p.add_argument("--list", action="store_true", help="list the disks of this machine and do nothing")
    p.add_argument("--json", action="store_true", help="print the list and errors as JSON")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 or that of the error."""
    args = parser().parse_args(argv)
    try:
        if args.list:
            _list(as_json=args.json)
            return 0
        return _install(args)
    except XosError as error:
        report("xos-install", error, as_json=args.json)
        return error.exit_status
    except OSError as error:
        sys.stderr.write(f"xos-install: {error.strerror or error}{f': {error.filename}' if error.filename else ''}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nxos-install: interrupted; no disk has been touched\n")
        return INTERRUPTED


def _install(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise NotRoot
    medium = Medium()
    medium.check()
    with alone():
        return _install_alone(args, medium)


def _install_alone(args: argparse.Namespace, medium: Medium) -> int:
    if unmount_all(_say):
        _say("the one before was killed: what it had mounted is unmounted; this begins anew")
    found = disks.listed()
    asked = not args.answers and not args.unattended
    answers = ask.ask(Asking(), medium, found) if asked else _given(args)
    if answers is None or answers.install is None:
        if args.unattended:
            return 0
        raise BadAnswer(where=str(args.answers), key="install", detail="missing: which disk?")
    plan = Plan(
        disk=disks.choose(answers.install.disk, found),
        flavour=medium.flavour(answers.install.flavour),
        answers=for_first_boot(answers),
        kernel_options=consoles(Path("/proc/cmdline").read_text()),
    )
    Installer(plan, medium).run()
    sys.stderr.write(f"xos-install: {plan.flavour} is on {plan.disk.path}: it boots from there now\n")
    if answers.install.then != "nothing":
        subprocess.run(["systemctl", "--no-block", answers.install.then], check=True)
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"xos-install: {line}\n")
    sys.stderr.flush()


def _given(args: argparse.Namespace) -> Answers | None:
    if args.answers:
        return from_file(args.answers)
    found = channels.find()
    return found.answers if found is not None else None


def for_first_boot(answers: Answers) -> str:
    """What the installed system is told: all but the installation. The keys are those of the file; TOML."""
    rest = msgspec.structs.replace(answers, install=None)
    tables = msgspec.to_builtins(rest)
    lines, below = [], []
    for key, value in tables.items():
        if isinstance(value, dict):
            own = [f"{name} = {_toml(each)}" for name, each in value.items() if each not in (None, [], "")]
            below += ["", f"[{key}]", *own] if own else []
        elif value is not None:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join([*lines, *below, ""]) if lines or below else ""


def _toml(value: str | int | list[str]) -> str:
    """A value that answers can hold; for these JSON is TOML (but for DEL, which no answer holds)."""
    return msgspec.json.encode(value).decode()


def consoles(cmdline: str) -> tuple[str, ...]:
    """The consoles of the live system: the installed one speaks there too."""
    return tuple(word for word in cmdline.split() if word.startswith("console="))


def _list(*, as_json: bool) -> None:
    found = disks.listed()
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for disk in found:
        used = next(disks.uses(disk), "")
        sys.stdout.write(f"{disk.path:<14} {disks.described(disk)}{f'  [{used}]' if used else ''}\n")


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-3-Clause
"""``view-xos-cert``: show what an XOS-Certificate says."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="view-xos-cert",
        description="Show what an XOS-Certificate says, and whether it is good. Exit status 1: it is not.",
    )
    made.add_argument("file", metavar="FILE", nargs="?", help="PEM or DER; '-' is standard input (default: your own)")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _view

    return await _view.run(args, session)


COMMAND = Command(name="view-xos-cert", parser=parser, run=run)

# SPDX-License-Identifier: BSD-3-Clause
"""``xos-node``: let machines into the grid."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-node",
        description="Let machines into the grid. Needs the core machine's own certificate (as root on the core).",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "make a join word: by it one machine may join, once (xos-setup resource --token WORD)"
    token = actions.add_parser("token", help=text, description=text.capitalize() + ".")
    token.add_argument(
        "node", metavar="NODE", help="the name that the machine will have; the token is good for no other"
    )
    token.add_argument(
        "-a",
        "--address",
        metavar="IP",
        action="append",
        default=[],
        help="certify this address too, for curl and browsers; may be given several times",
    )
    token.add_argument(
        "-m", "--minutes", metavar="N", type=float, default=60.0, help="how long it is good (default: 60)"
    )
    add_json(token)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Make the word; on standard output there is nothing else, so that it can be piped to the machine."""
    from xos.dixi.client import load_client
    from xos.vom import word
    from xos.vom.cli import _show
    from xos.vom.xati import RCAAsync

    made = await RCAAsync(session.bus).create_token(args.node, args.minutes, tuple(args.address))
    config, _ = load_client(session.home)
    core = config.directory
    one = word.of_token(made, front_door=core.front_door or core.address, directory=core.address)
    if session.json:
        _show.as_json(session, {**_show.named(made), "word": one})
        return 0
    session.out(one)
    session.err(f"For {made.node}, once, until {_show.moment(made.expires)}. It is not kept: copy it now.")
    session.err(f"On {made.node}, as root: xos-setup resource --token WORD")
    return 0


COMMAND = Command(name="xos-node", parser=parser, run=run)

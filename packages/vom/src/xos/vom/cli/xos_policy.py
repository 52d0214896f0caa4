# SPDX-License-Identifier: BSD-3-Clause
"""``xos-policy``: the policies of Virtual Organisations."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-policy",
        description="Read, check, try and change the policies of a VO: who may run jobs, log in, reserve, and where.",
        epilog="Policies are written in Cedar (https://docs.cedarpolicy.com); `xos-policy schema` shows what they may "
        "speak of. A VO's rules are those of all its documents; a forbid always wins. Members may read them, VOAdmins "
        "change them.",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        for argument in arguments:
            one.add_argument(argument.lower(), metavar=argument)
        add_json(one)
        return one

    action("list", "list the policy documents of a VO", "VO")
    show = action("show", "print a document as it is in effect, or was", "VO", "NAME")
    show.add_argument("--version", metavar="N", type=int, help="that version of it")
    history = action("history", "list the versions of a document, or of all", "VO")
    history.add_argument("name", metavar="NAME", nargs="?", default="", help="of this document only")
    history.add_argument("-n", "--limit", metavar="N", type=int, default=50, help="at most so many (default: 50)")
    check = action("check", "say what is wrong with a draft; nothing is changed", "VO", "NAME")
    check.add_argument("file", metavar="FILE", help="the draft; '-' is standard input")
    attempt = action("try", "decide past requests with a draft, and show what would change", "VO", "NAME")
    attempt.add_argument("file", metavar="FILE", nargs="?", help="the draft (default: without the document)")
    attempt.add_argument("--days", metavar="N", type=float, default=30.0, help="requests of the last N days")
    put = action("put", "put a document into effect: all of it is checked before", "VO", "NAME")
    put.add_argument("file", metavar="FILE", help="the document; '-' is standard input")
    for one in (put, action("remove", "take a document out of effect; its history stays", "VO", "NAME")):
        one.add_argument("-m", "--note", metavar="TEXT", default="", help="why, in one line")
        one.add_argument(
            "--expect", metavar="N", type=int, help="only if it is at version N (default: whatever it is now)"
        )
    told = "say whether a member may run a job on a node now, and by which rule"
    explain = action("explain", told, "VO", "USER", "NODE")
    explain.add_argument("--executable", metavar="PATH", default="/bin/true", help="what it runs")
    explain.add_argument("--units", metavar="N", type=int, default=1, help="nodes that it wants")
    explain.add_argument("--cores", metavar="N", type=int, default=1, help="cores of each unit")
    explain.add_argument("--wall-time", metavar="SECONDS", type=float, default=0.0, help="its limit; 0 is none")
    requests = action("requests", "list past requests and how they were decided", "VO")
    requests.add_argument("-n", "--limit", metavar="N", type=int, default=50, help="at most so many (default: 50)")
    action("schema", "print what policies may speak of")
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _policy

    return await _policy.ACTIONS[args.action](args, session)


COMMAND = Command(name="xos-policy", parser=parser, run=run)

# SPDX-License-Identifier: BSD-3-Clause
"""``xos-usage``: what was used, and how much is left."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-usage",
        description="Show what the jobs of a VO have used, by user, group, resource and time; quotas and what is left.",
        epilog="Members see what they have used themselves, VOAdmins see all and set quotas. DATE is YYYY-MM-DD or "
        "YYYY-MM, UTC. The fields of a record are those of OGF Usage Record 2.0 (GFD.204).",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        one.add_argument("vo", metavar="VO")
        add_json(one)
        return one

    report = action("report", "add up what was used")
    report.add_argument(
        "--by", choices=("user", "group", "vo", "resource"), default="user", help="one line for each (default: user)"
    )
    report.add_argument("--period", choices=("day", "month"), help="and for each day or month")
    records = action("records", "list usage records, one for each job unit")
    for one in (report, records):
        one.add_argument("--since", metavar="DATE", default="", help="what ended on that day or later")
        one.add_argument("--until", metavar="DATE", default="", help="what ended before that day")
        one.add_argument("--user", metavar="USER", default="", help="of this user only")
        one.add_argument("--csv", action="store_true", help="comma-separated values, as spreadsheets read them")
    records.add_argument("--ur2", action="store_true", help="XML, OGF Usage Record 2.0 (GFD.204)")
    fetch = actions.add_parser(
        "fetch",
        help="fetch records from nodes, those too that Accounting had before",
        description="Fetch records from nodes, signed by them. What Accounting has already is not kept twice; so this "
        "mends what a node could not hand in, or what a restored backup lacks. On the core, as root.",
    )
    fetch.add_argument("node", metavar="NODE", nargs="+")
    fetch.add_argument("--since", metavar="DATE", default="", help="what ended on that day or later")
    fetch.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=300.0, help="give up on a node after that time (300)"
    )
    add_json(fetch)
    action("quotas", "list quotas and what of them is used")
    quota = action("set-quota", "limit what a user, a group or the VO may use; without any limit the quota is removed")
    quota.add_argument("by", metavar="user|group|vo", choices=("user", "group", "vo"))
    quota.add_argument("subject", metavar="NAME", nargs="?", help="of user or group; '*' (default): each of them")
    quota.add_argument("--period", choices=("day", "month", "all"), default="month", help="for each (default: month)")
    quota.add_argument("--cpu-hours", metavar="H", type=float, help="hours of CPU time")
    quota.add_argument("--wall-hours", metavar="H", type=float, help="hours that job units run, added up")
    quota.add_argument("--units", metavar="N", type=int, help="job units")
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _usage

    await _usage.ACTIONS[args.action](args, session)
    return 0


COMMAND = Command(name="xos-usage", parser=parser, run=run)

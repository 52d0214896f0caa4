# SPDX-License-Identifier: BSD-3-Clause
"""``xos-setup core|resource|client|web|check|show|firstboot``."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from xos.setup.asking import Asking
from xos.setup.node.answers import Answers, BadAnswer, from_file, from_tables
from xos.setup.node.system import Site

if TYPE_CHECKING:  # the steps import cryptography; --help and check need none of it
    from xos.setup.node.steps import Node

NO_NODE = 3
"""Exit status of `show` when the machine is no node yet."""


def add_parsers(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands; each sets ``run``, the function that runs it."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print results and errors as JSON")
    given = argparse.ArgumentParser(add_help=False)
    given.add_argument("--answers", type=Path, metavar="FILE", help="an answer file (TOML); options go before it")
    given.add_argument("--hostname", help="the machine's name")
    given.add_argument("--address", metavar="IP", help="where other nodes reach it (found out)")
    core = what.add_parser("core", parents=[common, given], help="make this machine the core of a grid")
    core.add_argument("--vo", help="create this VO")
    core.add_argument("--administrator", metavar="USER", help="and this user, its administrator")
    core.add_argument("--password-file", metavar="FILE", help="their password is its first line (one is made up)")
    core.add_argument(
        "--ca-key", metavar="URI", help="the VO CA's key is in this PKCS#11 token (RFC 7512); made there if it is not"
    )
    core.add_argument("--database", metavar="URL", help="keep the VO database in PostgreSQL (postgresql://...)")
    core.add_argument(
        "--node",
        dest="node_names",
        action="append",
        metavar="NAME",
        help="make a join word for that machine; may be repeated",
    )
    core.add_argument(
        "--page",
        dest="pages",
        action="append",
        metavar="URL",
        help="of the web page on another machine: let people sign in there by certificate; may be repeated",
    )
    resource = what.add_parser("resource", parents=[common, given], help="make this machine run jobs of a grid")
    resource.add_argument("--token", metavar="WORD", help="what `xos-node token NAME` printed on the core; -: read it")
    resource.add_argument("--core", metavar="HOST", help="without a word: ask this core, where root must approve it")
    resource.add_argument("--ca-fingerprint", metavar="HEX", help="of its CA, as `xos-setup show` prints it there")
    resource.add_argument(
        "--wait",
        dest="wait_minutes",
        type=float,
        metavar="MINUTES",
        help="for the approval (60); the same command goes on",
    )
    resource.add_argument("--slots", type=int, metavar="N", help="job units at once (one for each processor)")
    resource.add_argument(
        "--vo", dest="vos", action="append", metavar="VO", help="let this VO's users use it; may be repeated"
    )
    client = what.add_parser("client", parents=[common, given], help="give this machine the commands of a grid")
    client.add_argument("--core", metavar="HOST", help="name or address of the core")
    client.add_argument("--ca-fingerprint", metavar="HEX", help="of its CA, as `xos-setup show` prints it on the core")
    web = what.add_parser("web", parents=[common, given], help="show the web page of a grid on this machine")
    web.add_argument("--token", metavar="WORD", help="what `xos-node token NAME` printed on the core; -: read it")
    web.add_argument("--url", metavar="URL", help="what people type (made from the address)")
    web.add_argument("--certificate", metavar="FILE", help="PEM: one that browsers know (the machine's own)")
    web.add_argument("--key", metavar="FILE", help="PEM: its key")
    for each, role in ((core, "core"), (resource, "resource"), (client, "client"), (web, "web")):
        each.set_defaults(run=_set_up, role=role)
    check = what.add_parser("check", parents=[common], help="check an answer file and do nothing")
    check.add_argument("file", type=Path)
    check.set_defaults(run=_check)
    show = what.add_parser("show", parents=[common], help=f"what this machine is; exit status {NO_NODE}: no node yet")
    show.set_defaults(run=_show)
    first = what.add_parser("firstboot", parents=[common], help="what xos-firstboot.service runs, once")
    first.set_defaults(run=_firstboot)


def _set_up(args: argparse.Namespace) -> int:
    from xos.setup.node import ask, steps, system

    system.need_root()
    asking = Asking()
    answers = _answers(args)
    if asking.possible and args.answers is None:
        answers = ask.complete(answers, asking)
    made = steps.set_up(answers, Site(), _say)
    _print(made, as_json=args.json)
    return 0


def _check(args: argparse.Namespace) -> int:
    from_file(args.file)
    if args.json:
        sys.stdout.write('{"ok":true}\n')
    else:
        _say(f"{args.file} is right")
    return 0


def _show(args: argparse.Namespace) -> int:
    from xos.setup.node import steps

    made = steps.kept(Site())
    if made is None:
        how = "this machine is not a node yet: xos-setup core|resource|client|web\n"
        sys.stdout.write("null\n" if args.json else how)
        return NO_NODE
    _print(made, as_json=args.json)
    return 0


def _firstboot(args: argparse.Namespace) -> int:  # noqa: ARG001 -- the shape of all of them
    from xos.setup.node import firstboot

    firstboot.run(Site(), _say)
    return 0


def _answers(args: argparse.Namespace) -> Answers:
    """The answer file with what options say in its place. Raises `ConfigError`, `BadAnswer`."""
    tables: dict[str, Any] = {}
    if args.answers is not None:
        base = from_file(args.answers)
        if base.role not in (None, args.role):
            detail = f"it is for a {base.role}, not for a {args.role}"
            raise BadAnswer(where=str(args.answers), key="role", detail=detail)
        tables = tomllib.loads(args.answers.read_text())
    tables |= _only(args, "hostname", "address")
    if own := _of_role(args):
        tables[args.role] = {**tables.get(args.role, {}), **own}
    if args.answers is None and Asking().possible:
        tables.pop("client", None)  # both of its answers are needed, so both are asked for
        return msgspec.structs.replace(from_tables(tables, "options"), role=args.role)
    return from_tables({**tables, "role": args.role}, "options")


def _of_role(args: argparse.Namespace) -> dict[str, Any]:
    """What options say of the role's own table."""
    match args.role:
        case "core":
            table = _only(args, "vo", "administrator", "ca_key", "database", "pages")
            if args.node_names:
                table["nodes"] = args.node_names
            if args.password_file is not None:
                table["administrator_password"] = _first_line(args.password_file)
            return table
        case "resource" | "web":
            own = {
                "resource": ("core", "ca_fingerprint", "wait_minutes", "slots", "vos"),
                "web": ("url", "certificate", "key"),
            }
            table = _only(args, "token", *own[args.role])
            if table.get("token") == "-":
                table["token"] = sys.stdin.readline().strip()
            return table
        case _:
            return _only(args, "core", "ca_fingerprint")


def _only(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _first_line(name: str) -> str:
    with sys.stdin if name == "-" else Path(name).open() as file:
        return file.readline(4096).rstrip("\r\n")


def _say(text: str) -> None:
    sys.stderr.write(f"xos-setup: {text}\n")
    sys.stderr.flush()


def _print(made: Node, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
        return
    rows = [("role", made.role), ("node", made.node), ("address", made.address), ("core", made.core)]
    rows.append(("CA fingerprint", made.ca_fingerprint))
    rows += [(f"join word of {node}", file) for node, file in made.words.items()]
    rows.append(("administrator's password", made.password_file))
    rows.append(("web page", f"{made.page}/" if made.page else ""))
    for name, value in rows:
        if value:
            sys.stdout.write(f"{name + ':':26}{value}\n")

# SPDX-License-Identifier: BSD-3-Clause
"""``xos-setup``: turns a machine into a node; ``xos-setup local`` makes this one machine a grid."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.common.errors import XosError
from xos.setup.local.grid import GridStatus, LocalGrid
from xos.setup.node import manual
from xos.setup.node.command import add_parsers
from xos.setup.report import report

NOT_UP = 3
"""Exit status of `status` when the grid is down or not complete, as for ``systemctl status``."""


def default_root() -> Path:
    """Where a local grid is kept unless one says otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/xos/local")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "xos/local"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="xos-setup",
        description="Turn this machine into a part of a grid.",
        epilog=manual.SETUP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = p.add_subparsers(dest="what", required=True, metavar="WHAT")
    add_parsers(what)
    local = what.add_parser("local", help="a whole grid on this machine, on loopback addresses")
    act = local.add_subparsers(dest="act", required=True, metavar="up|down|restart|host|status|destroy|demo")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=default_root(), help="where it is kept (%(default)s)")
    common.add_argument("--json", action="store_true", help="print results and errors as JSON")
    size = argparse.ArgumentParser(add_help=False)
    size.add_argument("--nodes", type=int, help="resource nodes beside the core (2)")
    size.add_argument("--slots", type=int, help="job units that each node runs at once (4)")
    size.add_argument("--network", help="first three numbers of the loopback addresses (127.20.0)")
    size.add_argument(
        "--web", action=argparse.BooleanOptionalAction, default=True, help="with VOLife, the web page (on)"
    )
    act.add_parser("up", parents=[common, size], help="start it, or complete what is missing")
    act.add_parser("down", parents=[common], help="stop daemons, agents and job units; state stays")
    restart = act.add_parser("restart", parents=[common], help="restart daemons; job units go on")
    restart.add_argument("node", nargs="*", help="only these (core, node1, …)")
    host = act.add_parser("host", parents=[common], help="host a service of yours too")
    host.add_argument("service", help="its name; a package that offers it is installed")
    host.add_argument("--on", dest="node", default="node1", help="at which node (%(default)s)")
    host.add_argument("--remove", action="store_true", help="no longer host it")
    act.add_parser("status", parents=[common], help=f"what runs; exit status {NOT_UP} unless all does")
    destroy = act.add_parser("destroy", parents=[common], help="stop it and remove all its state")
    destroy.add_argument("--yes", action="store_true", help="do not ask")
    demo = act.add_parser("demo", parents=[common, size], help="up, a VO, a user, and a job: the main road once")
    demo.add_argument("--job", type=Path, required=True, metavar="FILE", help="what to run: JSDL or TOML")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 3 (not up), or that of the error."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args)) if hasattr(args, "run") else _run(args)
    except XosError as error:
        report("xos-setup", error, as_json=args.json)
        return error.exit_status
    except OSError as error:
        sys.stderr.write(f"xos-setup: {error.strerror or error}{f': {error.filename}' if error.filename else ''}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("xos-setup: interrupted; the same command goes on from here\n")
        return 130


def _run(args: argparse.Namespace) -> int:
    grid = LocalGrid(args.root, _say)
    match args.act:
        case "up":
            grid.up(_wish(args))
            _show(grid.status(), as_json=args.json)
        case "down":
            grid.down()
            _say(f"the grid in {grid.root} is down; its state stays")
        case "restart":
            grid.restart(args.node)
        case "host":
            grid.host(args.service, args.node, remove=args.remove)
        case "status":
            status = grid.status()
            _show(status, as_json=args.json)
            return 0 if status.up else NOT_UP
        case "destroy":
            if not args.yes and not _confirmed(grid.root):
                return 1
            grid.destroy()
            _say(f"{grid.root} is gone")
        case "demo":
            from xos.setup.local.demo import run_demo

            grid.up(_wish(args))
            grid.refresh()
            run_demo(grid, _say, args.job)
    return 0


def _wish(args: argparse.Namespace) -> dict[str, str | int]:
    return {name: value for name in ("nodes", "slots", "network", "web") if (value := getattr(args, name)) is not None}


def _say(text: str) -> None:
    """A step of progress; standard output is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _show(status: GridStatus, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(status).decode() + "\n")
        return
    if not status.nodes:
        sys.stdout.write(f"no grid in {status.root}\n")
        return
    for node in status.nodes:
        state = "up" if node.running and node.registered else "starting" if node.running else "down"
        line = f"{node.node:<8} {state:<9} {node.address:<18} {node.pid or '-':>8}  {' '.join(node.services)}"
        sys.stdout.write(f"{line.rstrip()}{f'  {node.page}/' if node.page else ''}\n")


def _confirmed(root: Path) -> bool:
    if not sys.stdin.isatty():
        sys.stderr.write("xos-setup: say --yes to remove the grid and all its state\n")
        return False
    sys.stderr.write(f"Remove {root} with all jobs, users and certificates? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())

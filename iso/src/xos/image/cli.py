# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image``: packages, repositories and images."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xos.common.errors import XosError
from xos.image import cache
from xos.image.grid import make as grid
from xos.image.grid.systems import Systems
from xos.image.images.command import add_parsers
from xos.image.progress import to_stderr
from xos.image.repository import make as repository
from xos.image.repository.keys import key_directory
from xos.image.rpms.make import Options, make_rpms

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="xos-image", description="Make a distribution of the sources.")
    what = p.add_subparsers(dest="what", required=True, metavar="WHAT")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--cache", type=Path, default=cache.cache_directory(), help="roots and results (%(default)s)")
    common.add_argument(
        "--wait",
        type=float,
        default=cache.WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for another build to leave the cache (%(default)g)",
    )
    rpms = what.add_parser("rpms", parents=[common], help="build the packages that changed")
    rpms.add_argument("package", nargs="*", help="only these and what they need (all)")
    rpms.add_argument("--checkout", type=Path, default=Path(), help="the Git checkout (here)")
    rpms.add_argument("--out", type=Path, default=Path("build/rpms"), help="where the RPMs go (%(default)s)")
    rpms.add_argument("--jobs", type=int, help="how many at once (as many as there are processors)")
    repo = what.add_parser("repo", parents=[common], help="sign the packages and make the repository")
    repo.add_argument("--rpms", type=Path, default=Path("build/rpms"), help="what to publish (%(default)s)")
    repo.add_argument("--out", type=Path, default=Path("build/repo"), help="the repository (%(default)s)")
    repo.add_argument("--keys", type=Path, default=key_directory(), help="where the signing key is (%(default)s)")
    repo.add_argument("--url", default="", help="address under which systems will find it (file:// and --out)")
    repo.add_argument("--rotate-key", action="store_true", help="first make a new key, which signs from now on")
    _grid_parser(what, common)
    add_parsers(what, common)
    return p


def _grid_parser(what: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    systems = what.add_parser("grid", help="a core and resource nodes as systemd containers")
    act = systems.add_subparsers(dest="act", required=True, metavar="up|down|run")
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--state", type=Path, default=Path("build/systems"), help="what they keep (%(default)s)")
    up = act.add_parser("up", parents=[common, place], help="make it anew and run the sample job in it")
    up.add_argument("--repo", type=Path, default=Path("build/repo"), help="the repository (%(default)s)")
    up.add_argument("--job", type=Path, default=Path("docs/examples/hello.jsdl"), help="sample job (%(default)s)")
    up.add_argument("--resources", type=int, default=2, help="resource nodes (%(default)s)")
    up.add_argument("--also", default="", metavar="A,B", help="packages of Debian that the containers have besides")
    act.add_parser("down", parents=[place], help="end it and remove what it kept")
    inside = act.add_parser("run", parents=[place], help="run a command in a container")
    inside.add_argument("node", help="core, node1, ...")
    inside.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 or that of the error."""
    args = parser().parse_args(argv)
    try:
        if hasattr(args, "images"):
            args.images(args)
            return 0
        if args.what == "grid":
            _grid(args)
            return 0
        with cache.opened(args.cache.absolute(), wait=args.wait):
            asyncio.run(_run(args))
    except XosError as error:
        to_stderr(f"xos-image: {error.message}")
        if error.next_step:
            to_stderr(f"  {error.next_step}")
        return error.exit_status
    except OSError as error:
        to_stderr(f"xos-image: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return 1
    except KeyboardInterrupt:
        to_stderr("xos-image: interrupted; the same command goes on from here")
        return INTERRUPTED
    return 0


async def _run(args: argparse.Namespace) -> None:
    match args.what:
        case "rpms":
            options = Options(
                checkout=args.checkout.absolute(),
                out=args.out.absolute(),
                cache=args.cache.absolute(),
                only=tuple(args.package),
                jobs=max(1, args.jobs or os.cpu_count() or 1),
            )
            await make_rpms(options, to_stderr)
        case "repo":
            await _repo(args)


async def _repo(args: argparse.Namespace) -> None:
    options = repository.Options(
        rpms=args.rpms.absolute(),
        out=args.out.absolute(),
        cache=args.cache.absolute(),
        keys=args.keys.absolute(),
        url=args.url.rstrip("/"),
    )
    if args.rotate_key:
        await repository.rotate_key(options, to_stderr)
    await repository.make_repository(options, to_stderr)


def _grid(args: argparse.Namespace) -> None:
    """Takes the cache only if it lacks the base root: grids and builds do not wait for each other."""
    state = args.state.absolute()
    match args.act:
        case "up":
            options = grid.Options(
                repo=args.repo.absolute(),
                state=state,
                cache=args.cache.absolute(),
                job=args.job.absolute(),
                resources=max(1, args.resources),
                also=tuple(filter(None, args.also.split(","))),
                wait=args.wait,
            )
            sys.stdout.write(asyncio.run(grid.up(options, to_stderr)))
        case "down":
            grid.down(state, to_stderr)
        case "run":
            sys.stdout.write(Systems(state).run(args.node, args.command or ["true"]))


if __name__ == "__main__":
    sys.exit(main())

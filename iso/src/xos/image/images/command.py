# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image list|show|build|boot``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from xos.image import cache
from xos.image.images import boot, flavours, make
from xos.image.images.formats import FORMATS
from xos.image.progress import to_stderr


def add_parsers(what: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the subcommands; each sets ``images``, the function that runs it."""
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--flavours", type=Path, default=flavours.DIRECTORY, help="where they are declared (%(default)s)"
    )
    listing = what.add_parser("list", parents=[place], help="the flavours there are")
    listing.set_defaults(images=_list)
    show = what.add_parser("show", parents=[place], help="all of a flavour")
    show.add_argument("flavour")
    show.set_defaults(images=_show)
    build = what.add_parser("build", parents=[common, place], help="make the images of a flavour")
    build.add_argument("flavour")
    build.add_argument(
        "--format", action="append", choices=sorted(FORMATS), help="may be repeated (those that the flavour names)"
    )
    build.add_argument("--repo", type=Path, default=Path("build/repo"), help="the repository (%(default)s)")
    build.add_argument("--out", type=Path, default=Path("build/images"), help="where images go (%(default)s)")
    build.set_defaults(images=_build)
    _boot_parser(what)


def _boot_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    booting = what.add_parser("boot", help="boot an ISO in QEMU, its serial line on this terminal (C-a x ends it)")
    booting.add_argument("image", type=Path)
    booting.add_argument("--firmware", choices=("bios", "uefi"), default="bios", help="(%(default)s)")
    booting.add_argument("--memory", type=int, default=2048, metavar="MB", help="(%(default)s)")
    booting.add_argument("--cpus", type=int, default=1, help="(%(default)s)")
    booting.add_argument(
        "--until", metavar="TEXT", help="end it when it says this, such as login: ; status 0 if it did"
    )
    booting.add_argument("--seconds", type=float, default=900.0, help="how long to wait for that (%(default)s)")
    booting.set_defaults(images=_boot)


def _list(args: argparse.Namespace) -> None:
    for found in flavours.flavours(args.flavours):
        sys.stdout.write(f"{found.name:10} {'+'.join(found.declared.formats):10} {found.declared.summary}\n")


def _show(args: argparse.Namespace) -> None:
    sys.stdout.write(flavours.show(flavours.flavour(args.flavour, args.flavours)))


def _build(args: argparse.Namespace) -> None:
    chosen = flavours.flavour(args.flavour, args.flavours)
    options = make.Options(repo=args.repo.absolute(), out=args.out.absolute(), cache=args.cache.absolute())
    formats = tuple(dict.fromkeys(args.format or chosen.declared.formats))
    with cache.opened(options.cache, wait=args.wait):
        for file in asyncio.run(make.build(chosen, formats, options, to_stderr)):
            sys.stdout.write(f"{file}\n")


def _boot(args: argparse.Namespace) -> None:
    machine = boot.Machine(image=args.image.absolute(), firmware=args.firmware, memory_mb=args.memory, cpus=args.cpus)
    if args.until is None:
        boot.interactively(machine)
        return
    took = asyncio.run(boot.until(machine, args.until, args.seconds, _to_terminal))
    to_stderr(f"\nxos-image: {args.image} said {args.until!r} after {took:.0f} s")


def _to_terminal(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()

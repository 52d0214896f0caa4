# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image list|show|build|diff|boot``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from xos.image import cache
from xos.image.images import boot, flavours, make
from xos.image.images.diff import difference, lines
from xos.image.images.formats import FORMATS
from xos.image.progress import to_stderr
from xos.image.repository.keys import key_directory


def add_parsers(what: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the subcommands; each sets ``images``, the function that runs it."""
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--flavours", type=Path, default=flavours.DIRECTORY, help="where they are declared (%(default)s)"
    )
    listing = what.add_parser("list", parents=[place], help="the flavours there are")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(images=_list)
    show = what.add_parser("show", parents=[place], help="all of a flavour")
    show.add_argument("flavour")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(images=_show)
    build = what.add_parser("build", parents=[common, place], help="make the images of a flavour")
    build.add_argument("flavour")
    build.add_argument(
        "--format", action="append", choices=sorted(FORMATS), help="may be repeated (those that the flavour names)"
    )
    build.add_argument("--repo", type=Path, default=Path("build/repo"), help="the repository (%(default)s)")
    build.add_argument("--out", type=Path, default=Path("build/images"), help="where images go (%(default)s)")
    build.add_argument("--keys", type=Path, default=key_directory(), help="where the signing key is (%(default)s)")
    build.set_defaults(images=_build)
    compare = what.add_parser("diff", help="what differs between two images: packages, files, size")
    compare.add_argument("old", type=Path, help="an image, what was published with it beside it")
    compare.add_argument("new", type=Path)
    compare.add_argument("--all", action="store_true", help="every name, however many")
    compare.add_argument("--json", action="store_true", help="as JSON")
    compare.set_defaults(images=_diff)
    _boot_parser(what)


def _boot_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    booting = what.add_parser("boot", help="boot an image, its console on this terminal (C-a x ends it)")
    booting.add_argument("image", type=Path, help="ISO or disk: in QEMU; tar.zst or directory: as a container (root)")
    booting.add_argument("--firmware", choices=("bios", "uefi"), default="bios", help="(%(default)s)")
    booting.add_argument("--memory", type=int, default=2048, metavar="MB", help="(%(default)s)")
    booting.add_argument("--cpus", type=int, default=1, help="(%(default)s)")
    booting.add_argument("--keep", action="store_true", help="what it writes to its disk stays in the image")
    booting.add_argument(
        "--credential",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for systemd in it, such as login.noauth=yes: root logs in on the console",
    )
    booting.add_argument(
        "--until", metavar="TEXT", help="end it when it says this, such as login: ; status 0 if it did"
    )
    booting.add_argument("--seconds", type=float, default=900.0, help="how long to wait for that (%(default)s)")
    booting.set_defaults(images=_boot)


def _list(args: argparse.Namespace) -> None:
    found = flavours.flavours(args.flavours)
    if args.json:
        _print_json([flavours.plain(flavour) for flavour in found])
        return
    for flavour in found:
        sys.stdout.write(f"{flavour.name:10} {'+'.join(flavour.declared.formats):24} {flavour.declared.summary}\n")


def _show(args: argparse.Namespace) -> None:
    found = flavours.flavour(args.flavour, args.flavours)
    if args.json:
        _print_json(flavours.plain(found))
    else:
        sys.stdout.write(flavours.show(found))


def _diff(args: argparse.Namespace) -> None:
    found = difference(args.old, args.new)
    if args.json:
        _print_json(found)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(found, everything=args.all)))


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _build(args: argparse.Namespace) -> None:
    chosen = flavours.flavour(args.flavour, args.flavours)
    options = make.Options(
        repo=args.repo.absolute(), out=args.out.absolute(), cache=args.cache.absolute(), keys=args.keys.absolute()
    )
    formats = tuple(dict.fromkeys(args.format or chosen.declared.formats))
    with cache.opened(options.cache, wait=args.wait):
        for file in asyncio.run(make.build(chosen, formats, options, to_stderr)):
            sys.stdout.write(f"{file}\n")


def _boot(args: argparse.Namespace) -> None:
    machine = boot.Machine(
        image=args.image.absolute(),
        firmware=args.firmware,
        memory_mb=args.memory,
        cpus=args.cpus,
        keep=args.keep,
        credentials=tuple(args.credential),
    )
    if args.until is None:
        boot.interactively(machine)
        return
    took = asyncio.run(boot.until(machine, args.until, args.seconds, _to_terminal))
    to_stderr(f"\nxos-image: {args.image} said {args.until!r} after {took:.0f} s")


def _to_terminal(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()

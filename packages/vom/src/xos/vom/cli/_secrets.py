# SPDX-License-Identifier: BSD-3-Clause
"""Passwords and passphrases: typed, or from a file, or from standard input; never from the command line."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Session
from xos.vom.errors import BadRequest, NotTheSame, UnusableFile

LARGEST = 4096
"""Bytes of a file's first line."""


def add_password_file(parser: argparse.ArgumentParser, name: str = "--password-file", what: str = "password") -> None:
    """Give a command line an option for a file with a secret."""
    parser.add_argument(
        name, metavar="FILE", help=f"the {what} is the first line of FILE; '-' is standard input (default: ask)"
    )


async def known(session: Session, file: str | None, what: str) -> str:
    """A secret that exists. Raises `UnusableFile`, `BadRequest`, `EOFError`."""
    if file is not None:
        return await _from_file(session, file)
    return _clean(await session.ask_secret(f"{what}: "), what)


async def chosen(session: Session, file: str | None, what: str) -> str:
    """A secret that is new: on a terminal it is asked for twice. Raises besides `NotTheSame`."""
    first = await known(session, file, what)
    if file is None and session.stdin.is_tty and first != await known(session, None, f"{what}, again"):
        raise NotTheSame(what="entries")
    return first


async def _from_file(session: Session, name: str) -> str:
    if name == "-":
        return _clean((await session.stdin.read_line()).decode(errors="surrogateescape"), "standard input")
    path = session.path(name)
    try:
        with path.open("rb") as file:
            line = file.readline(LARGEST)
    except OSError as error:
        raise UnusableFile(file=str(path), detail=error.strerror or str(error)) from error
    return _clean(line.decode(errors="surrogateescape"), str(path))


def _clean(line: str, where: str) -> str:
    secret = line.rstrip("\r\n")
    try:
        secret.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(what=where, detail="it is not UTF-8") from error
    return secret

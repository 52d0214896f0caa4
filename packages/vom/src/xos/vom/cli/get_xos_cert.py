# SPDX-License-Identifier: BSD-3-Clause
"""``get-xos-cert``: get an XOS-Certificate."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json
from xos.vom.cli._secrets import add_password_file


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="get-xos-cert",
        description="Get a short-lived XOS-Certificate from the CDA, by password or for one that is still valid.",
        epilog="The key is made here and never sent. With xos-agent running it stays in the agent's memory; else it is "
        "written to $XOS_HOME/user.key, encrypted with a passphrase. --renew keeps the key.",
    )
    made.add_argument("vo", metavar="VO", nargs="?", help="the Virtual Organisation")
    made.add_argument("user", metavar="USER", nargs="?", help="your name in it")
    made.add_argument(
        "-H", "--hours", metavar="N", type=float, help="how long it shall be good (default: 12, or as before)"
    )
    made.add_argument("-g", "--group", metavar="GROUP", help="another of your groups as the primary one")
    made.add_argument(
        "-r", "--role", metavar="ROLE", action="append", dest="roles", help="only this role of yours; may be repeated"
    )
    made.add_argument(
        "-G", "--groups", metavar="GROUP,…", type=_list, help="only these further groups of yours ('' for none)"
    )
    made.add_argument("--vo", metavar="VO,…", dest="vos", type=_list, default=(), help="name further VOs of yours too")
    text = "how to prove who you are: password, pam, oidc, kerberos (default: password)"
    made.add_argument("-b", "--backend", metavar="NAME", default="password", help=text)
    made.add_argument("--no-roles", action="store_true", help="none of your roles")
    made.add_argument("--renew", action="store_true", help="by the certificate that you have, for the same key")
    made.add_argument(
        "--ssh-config",
        action="store_true",
        help="for ssh-xos: renew the certificate if it is time, and print the name of a configuration file for ssh",
    )
    add_password_file(made)
    add_password_file(made, "--passphrase-file", "key's passphrase")
    made.add_argument("--no-passphrase", action="store_true", help="write the key unencrypted, mode 0600")
    made.add_argument(
        "-o", "--out", metavar="DIR", help="write user.pem, user.key and ca.pem there (for curl), and nothing else"
    )
    add_json(made)
    return made


def _list(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _get

    await _get.run(args, session)
    return 0


COMMAND = Command(name="get-xos-cert", parser=parser, run=run)

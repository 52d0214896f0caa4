# SPDX-License-Identifier: BSD-3-Clause
"""``xos-prove``: show that one's certificate is one's own."""

from __future__ import annotations

import argparse
import re

from xos.dixi.commands import Command, Session, add_json

CHALLENGE = re.compile(r"xos-login:[A-Za-z0-9._-]{1,64}:[A-Za-z0-9._-]{1,160}:[0-9a-f]{48}")
"""What pam_xos asks: machine, account, 24 random bytes."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-prove",
        description="Answer the challenge of a login: sign it with the key of your XOS-Certificate.",
        epilog="The challenge names machine and account: answer only one that you have asked for yourself.",
    )
    made.add_argument("challenge", metavar="CHALLENGE", help="as the login shows it: xos-login:MACHINE:ACCOUNT:NUMBER")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Print the proof, alone on its line."""
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from xos.vom.cli import _show
    from xos.vom.errors import BadRequest

    if CHALLENGE.fullmatch(args.challenge) is None:
        raise BadRequest(what="CHALLENGE", detail="it looks like xos-login:MACHINE:ACCOUNT:NUMBER")
    # The challenge's own beginning keeps it apart from all else that this key signs.
    proof = base64.b64encode(session.credential.key.sign(args.challenge.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    if session.json:
        _show.as_json(session, {"proof": proof})
    else:
        session.out(proof)
    return 0


COMMAND = Command(name="xos-prove", parser=parser, run=run)

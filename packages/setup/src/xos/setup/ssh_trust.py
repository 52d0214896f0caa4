# SPDX-License-Identifier: BSD-3-Clause
"""``xos-ssh-trust``: what sshd needs of the VO. Run by xos-ssh-trust.service whenever it may have changed.

``user_ca_keys`` for TrustedUserCAKeys, and a certificate from the RCA for each of the machine's host keys. Nothing is
asked of anybody while what is there is good; what cannot be had leaves the old in place.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

from xos.common import ssh
from xos.common.errors import CertificateError, XosError
from xos.common.files import write_atomically
from xos.common.tls import Credential, Trust
from xos.dixi.configuration import DaemonConfig, load_daemon
from xos.dixi.transports import Address, Endpoint
from xos.setup.errors import SetupError
from xos.setup.machine import direct
from xos.vom.xati import RCAAsync

CONFIGURATIONS = ("core.toml", "resource.toml")
RELOAD = ("systemctl", "--no-block", "try-reload-or-restart", "ssh.service", "sshd.service")


class NoNode(SetupError):
    """Raised when the machine is no node of a grid yet."""

    code = "setup.no-node"
    template = "{directory} holds neither core.toml nor resource.toml: this machine has not joined a grid"
    hint = "Make it a node with: xos-setup"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-ssh-trust",
        description="Let sshd trust the users of this node's Virtual Organisations, and be trusted by them.",
        epilog="Run by xos-ssh-trust.service; sshd is reloaded when something has changed.",
    )
    made.add_argument("--config", type=Path, default=Path("/etc/xos"), metavar="DIR", help="of the node's daemon")
    made.add_argument("--keys", type=Path, default=Path("/etc/ssh"), metavar="DIR", help="where sshd's host keys are")
    made.add_argument("--out", type=Path, default=Path("/var/lib/xos-ssh"), metavar="DIR", help="where sshd looks")
    made.add_argument("--no-reload", action="store_true", help="do not tell sshd")
    return made


def main() -> int:
    """Do it; 0 also when nothing had to be done."""
    args = parser().parse_args()
    try:
        changed = asyncio.run(refresh(args.config, args.keys, args.out))
    except XosError as error:
        sys.stderr.write(f"xos-ssh-trust: {error.message}\n               {error.next_step}\n")
        return error.exit_status
    if changed and not args.no_reload:
        subprocess.run(RELOAD, check=False)
    return 0


async def refresh(etc: Path, keys: Path, out: Path) -> bool:
    """Bring *out* up to date; whether anything changed. Raises `NoNode`, `NotConnected`, ``cert.*``, ``config.*``."""
    config = _configuration(etc)
    trust = Trust.load(Path(config.tls.trust))
    out.mkdir(mode=0o755, exist_ok=True)
    changed = _keep(out / "user_ca_keys", ssh.trusted_ca_keys(trust))
    lines = {path: path.read_text() for path in sorted(keys.glob("ssh_host_*_key.pub"))}
    stale = [path for path, line in lines.items() if not good(_certificate(out, path), line, trust, time.time())]
    if stale:
        endpoint = Endpoint(trust, Credential.load(Path(config.tls.certificate), Path(config.tls.key)))
        async with direct(_core(config), endpoint) as bus:
            made = await RCAAsync(bus).certify_host_keys(tuple(lines[path] for path in stale))
        for path, certificate in zip(stale, made, strict=True):
            changed |= _keep(_certificate(out, path), f"{certificate}\n")
    return changed


def good(certificate: Path, line: str, trust: Trust, now: float) -> bool:
    """Whether *certificate* is for the key in *line*, by a CA of *trust*, and before two thirds of its life."""
    try:
        found = ssh.parse(certificate.read_text())
        signed = any(ca.public_key() == found.signature_key() for ca in trust.ca_certificates)
        mine = found.public_key() == ssh.load_host_key(line)
    except (OSError, CertificateError, ValueError):
        return False
    return signed and mine and now < found.valid_after + (found.valid_before - found.valid_after) * 2 / 3


def _configuration(etc: Path) -> DaemonConfig:
    for name in CONFIGURATIONS:
        if (etc / name).exists():
            return load_daemon(etc / name)
    raise NoNode(directory=str(etc))


def _core(config: DaemonConfig) -> Address:
    """Where the RCA is."""
    if config.directory is not None:
        return Address.parse(config.directory.address)
    own = next((each for each in config.listen if each.transport == "dixi" and not each.anonymous), config.listen[0])
    return Address.parse(own.address)


def _certificate(out: Path, key: Path) -> Path:
    return out / f"{key.stem}-cert.pub"


def _keep(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(errors="replace") == text:
        return False
    write_atomically(path, text.encode(), 0o644)
    return True


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-3-Clause
"""What a node needs of the system below it: name, network, accounts, units. Every step may be repeated."""

from __future__ import annotations

import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.setup.errors import SetupError
from xos.setup.node.answers import Instance, Network

Say = Callable[[str], None]

ADDRESS_SECONDS = 60.0
START_SECONDS = 330.0
POLL_SECONDS = 0.2
MADE_BY = "xos-setup"
ELSEWHERE = "192.0.2.1"
"""An address that is nobody's (RFC 5737): the kernel says from which of ours one would go there; nothing is sent."""


class NotRoot(SetupError):
    """Raised before anything is done when somebody else than root sets a machine up."""

    code = "setup.not-root"
    template = "making this machine a node needs root"
    hint = "Run it as root; `xos-setup local` needs no root"


class ProgramFailed(SetupError):
    """Raised when a program of the system that a step needs ends with an error."""

    code = "setup.program-failed"
    template = "{program} failed (status {status}): {detail}"


class NoAddress(SetupError):
    """Raised when this machine has no address that other nodes could reach."""

    code = "setup.no-address"
    template = "this machine has no network address{wanted}"
    hint = "Connect it, or name one of its addresses: --address IP, or [network] in the answer file"


class ServiceFailed(SetupError):
    """Raised when the node's daemon did not start; all that was set up before stays."""

    code = "setup.service-failed"
    template = "{unit} did not start\n{tail}"
    hint = "See `journalctl -u {unit}`; then run the same command again: it goes on from here"


class Site(msgspec.Struct, frozen=True):
    """Where a machine's files are: below ``/``, or below the directory of a system that does not run (as in tests)."""

    root: Path = Path("/")

    @property
    def live(self) -> bool:
        """Whether it is the system that runs, so that its kernel and units obey."""
        return self.root == Path("/")

    def path(self, name: str) -> Path:
        """The file *name* (absolute) of the machine."""
        return self.root / name.removeprefix("/")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file whole, its directories too."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode(), mode)

    def run(self, argv: Sequence[str], *, stdin: str = "", seconds: float = 60.0) -> str:
        """What a program prints, run in the machine. Raises `ProgramFailed`."""
        command = list(argv) if self.live else ["chroot", str(self.root), *argv]
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise ProgramFailed(program=argv[0], status=-1, detail=f"no end after {seconds:.0f} s") from error
        except OSError as error:
            raise ProgramFailed(program=argv[0], status=127, detail=error.strerror or str(error)) from error
        if done.returncode != 0:
            detail = (done.stderr or done.stdout).strip()[-500:]
            raise ProgramFailed(program=argv[0], status=done.returncode, detail=detail)
        return done.stdout


def set_hostname(site: Site, name: str) -> None:
    """Name the machine, for now and for later boots."""
    site.write("/etc/hostname", f"{name}\n")
    hosts = site.path("/etc/hosts")
    lines = hosts.read_text().splitlines() if hosts.exists() else ["127.0.0.1\tlocalhost", "::1\tlocalhost"]
    short = name.partition(".")[0]
    own = f"127.0.1.1\t{name}" + (f" {short}" if short != name else "")
    site.write("/etc/hosts", "\n".join([*(line for line in lines if line.split()[:1] != ["127.0.1.1"]), own, ""]))
    if site.live:
        socket.sethostname(name)


def network_file(network: Network) -> str:
    """The systemd.network(5) file of a fixed address."""
    lines = [f"# Made by {MADE_BY}.", "[Match]", f"Name={network.interface}", "Type=ether", "", "[Network]"]
    lines.append(f"Address={network.address}")
    if network.gateway:
        lines.append(f"Gateway={network.gateway}")
    lines += [f"DNS={server}" for server in network.dns]
    # What answers name is all there is: no address by DHCP or router advertisement beside it.
    return "\n".join([*lines, "DHCP=no", "IPv6AcceptRA=no", ""])


def set_network(site: Site, network: Network) -> None:
    """Give the machine its address, now and at later boots. Raises `ProgramFailed`, `NoAddress`."""
    site.write("/etc/systemd/network/50-xos.network", network_file(network))
    site.run(["systemctl", "enable", "systemd-networkd.service"])
    if site.live:
        site.run(["systemctl", "start", "systemd-networkd.service"])
        site.run(["networkctl", "reload"])
        wait_for(str(ipaddress.ip_interface(network.address).ip))


def set_root_password(site: Site, hashed: str) -> None:
    """Give the account root this password (a hash, see shadow(5)). Raises `ProgramFailed`."""
    site.run(["chpasswd", "--encrypted"], stdin=f"root:{hashed}\n")


def wait_for(address: str, seconds: float = ADDRESS_SECONDS) -> None:
    """Until one can listen at *address*. Raises `NoAddress`."""
    end = time.monotonic() + seconds
    while not is_own(address):
        if time.monotonic() > end:
            raise NoAddress(wanted=f" {address} after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def is_own(address: str) -> bool:
    """Whether *address* is one of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def own_address(peer: str = ELSEWHERE, *, seconds: float = 0.0) -> str:
    """The address from which this machine would speak to *peer*, waited for so long. Raises `NoAddress`."""
    end = time.monotonic() + seconds
    while True:
        try:
            return _address_towards(peer)
        except NoAddress:
            if time.monotonic() >= end:
                raise
        time.sleep(POLL_SECONDS)


def _address_towards(peer: str) -> str:
    try:
        found = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise NoAddress(wanted=f" and cannot find {peer}: {error.strerror or error}") from error
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.connect(where)
            except OSError:
                continue
            address = str(probe.getsockname()[0])
            if not ipaddress.ip_address(address).is_loopback or ipaddress.ip_address(where[0]).is_loopback:
                return address
    raise NoAddress(wanted="" if peer == ELSEWHERE else f" from which {peer} can be reached")


def give(site: Site, name: str, user: str) -> None:
    """Everything below *name* belongs to *user* of this system."""
    entry = pwd.getpwnam(user)
    top = site.path(name)
    for each in (top, *top.rglob("*")):
        shutil.chown(each, entry.pw_uid, entry.pw_gid)


def start(site: Site, role: Instance) -> None:
    """Enable and start the units of a role; returns when its services are ready. Raises `ServiceFailed`."""
    target = f"xos-{role}.target"
    site.run(["systemctl", "enable", target])
    if role != "client":
        unit = f"dixid@{role}.service"
        subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)
        try:
            # Anew: a daemon that runs already is to read what has just been written.
            site.run(["systemctl", "restart", unit], seconds=START_SECONDS)
        except ProgramFailed as error:
            words = ["journalctl", "--no-pager", "--lines=15", "--output=cat", "--unit", unit]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            raise ServiceFailed(unit=unit, tail=done.stdout.strip() or error.message) from error
    site.run(["systemctl", "start", target], seconds=START_SECONDS)


def need_root() -> None:
    """Raises `NotRoot`."""
    if os.geteuid() != 0:
        raise NotRoot

# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image boot``: an ISO or a disk in QEMU, its serial line on the terminal; or an archive as a container."""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import shutil
import subprocess
import time
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from xos.image.errors import ImageError, ToolMissing
from xos.image.images.container import container
from xos.image.images.media import CONTAINERS, Form, form_of
from xos.image.processes import DIE_WITH_US

QEMU = "qemu-system-x86_64"
OVMF = Path("/usr/share/ovmf/OVMF.fd")
LAST = 2000
"""Characters of the serial line that an error shows."""

Firmware = Literal["bios", "uefi"]


class BootFailed(ImageError):
    """Raised when the machine ended, or the time was over, before it said what was waited for."""

    code = "image.boot-failed"
    template = "{file} did not say {text!r} within {seconds} s{ended}; last it said:\n{tail}"


class BootEnded(ImageError):
    """Raised when QEMU or systemd-nspawn ended with an error; what it said is on the terminal."""

    code = "image.boot-ended"
    template = "{program} ended with status {status}"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What is booted, and on what."""

    image: Path
    firmware: Firmware = "bios"
    memory_mb: int = 2048
    cpus: int = 1
    keep: bool = False
    """Whether what the system writes to its disk stays in the image."""
    credentials: tuple[str, ...] = ()
    """``NAME=VALUE``, for systemd in the machine (systemd.system-credentials(7)); they show in the process list."""


@contextmanager
def command(machine: Machine, *, serial: str) -> Iterator[list[str]]:
    """The command that boots it. Raises `NotAnImage`, `NotRoot`, `ToolMissing`, `NoCgroups`."""
    form = form_of(machine.image)
    if form in CONTAINERS:
        with container(machine.image, machine.credentials) as argv:
            yield argv
        return
    if shutil.which(QEMU) is None:
        raise ToolMissing(program=QEMU, package="qemu-system-x86")
    if machine.firmware == "uefi" and not OVMF.exists():
        raise ToolMissing(program="OVMF (UEFI for virtual machines)", package="ovmf")
    yield qemu(machine, form, serial=serial)


def qemu(machine: Machine, form: Form, *, serial: str) -> list[str]:
    """QEMU's command line: a CD or disk, one network card behind address translation, no display.

    The processor is emulated: slower than virtualisation, and the same on every machine.
    """
    file = f"file={str(machine.image).replace(',', ',,')},format={form}"
    if form == "iso":
        drive = f"{file.removesuffix('iso')}raw,media=cdrom,readonly=on"
    else:
        drive = f"{file},if=virtio,snapshot={'off' if machine.keep else 'on'}"
    given = [word for text in machine.credentials for word in ("-smbios", f"type=11,value={_credential(text)}")]
    return [
        QEMU,
        *("-machine", "q35"),
        *("-accel", "tcg", "-cpu", "qemu64"),
        *("-m", str(machine.memory_mb)),
        *("-smp", str(machine.cpus)),
        *(("-bios", str(OVMF)) if machine.firmware == "uefi" else ()),
        *("-drive", drive),
        *("-nic", "user,model=virtio-net-pci"),
        *("-display", "none"),
        *("-serial", serial),
        *given,
        "-no-reboot",
    ]


def _credential(text: str) -> str:
    return f"io.systemd.credential:{text}".replace(",", ",,")


def interactively(machine: Machine) -> None:
    """Run it on this terminal until it is switched off, or C-a x (a container: C-] thrice).

    Raises `NotAnImage`, `NotRoot`, `ToolMissing`, `NoCgroups`, `BootEnded`.
    """
    with command(machine, serial="mon:stdio") as argv:
        status = subprocess.run(argv, check=False).returncode
    if status != 0:
        raise BootEnded(program="QEMU" if argv[0] == QEMU else "systemd-nspawn", status=status)


async def until(machine: Machine, text: str, seconds: float, show: Callable[[str], None]) -> float:
    """Run it until its console says *text*; the seconds that took. The machine is ended.

    Raises `NotAnImage`, `NotRoot`, `ToolMissing`, `NoCgroups`, `BootFailed`.
    """
    with command(machine, serial="stdio") as argv:
        return await _until(argv, machine, text, seconds, show)


async def _until(argv: list[str], machine: Machine, text: str, seconds: float, show: Callable[[str], None]) -> float:
    started = time.monotonic()
    async with _terminal() as (ours, theirs):
        process = await asyncio.create_subprocess_exec(
            *DIE_WITH_US, *argv, stdin=theirs, stdout=theirs, start_new_session=True
        )
        os.close(theirs)
        said = Said(text)
        try:
            async with asyncio.timeout(seconds):
                await _listen(ours, said, show)
        except TimeoutError:
            ended = ""
        else:
            if said.found:
                return time.monotonic() - started
            ended = f" (it ended with status {await process.wait()})"
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.shield(process.wait())
    raise BootFailed(file=str(machine.image), text=text, seconds=int(seconds), ended=ended, tail=said.last)


@asynccontextmanager
async def _terminal() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A terminal, since getty wants one: what is written to it, and the end for the program."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb"))
    try:
        yield reader, slave
    finally:
        transport.close()


class Said:
    """What a serial line said last, and whether a text was in it."""

    def __init__(self, text: str) -> None:
        self.text, self.last, self.found = text, "", False

    def add(self, more: str) -> None:
        """Hear *more*; the text may be spread over several pieces."""
        heard = self.last + more
        self.found = self.found or self.text in heard
        self.last = heard[-max(LAST, len(self.text)) :]


async def _listen(terminal: asyncio.StreamReader, said: Said, show: Callable[[str], None]) -> None:
    """Until the text was said or nobody can write to the terminal any more."""
    while not said.found:
        try:
            chunk = await terminal.read(4096)
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal says that its other end is closed
                return
            raise
        if not chunk:
            return
        piece = chunk.decode(errors="replace")
        show(piece)
        said.add(piece)

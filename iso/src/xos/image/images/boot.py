# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image boot``: an ISO in QEMU, its serial line on the terminal."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from xos.image.errors import ImageError, ToolMissing

QEMU = "qemu-system-x86_64"
OVMF = Path("/usr/share/ovmf/OVMF.fd")
LAST = 2000
"""Characters of the serial line that an error shows."""

Firmware = Literal["bios", "uefi"]


class NotAnImage(ImageError):
    """Raised when a file cannot be booted: it is not there, or not an ISO."""

    code = "image.not-an-image"
    template = "{file}: {detail}"
    hint = "xos-image build FLAVOUR --format iso makes one"


class BootFailed(ImageError):
    """Raised when the machine ended, or the time was over, before it said what was waited for."""

    code = "image.boot-failed"
    template = "{file} did not say {text!r} within {seconds} s{ended}; last it said:\n{tail}"


class QemuFailed(ImageError):
    """Raised when QEMU itself ended with an error; what it said is on the terminal."""

    code = "image.qemu-failed"
    template = "QEMU ended with status {status}"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What is booted, and on what."""

    image: Path
    firmware: Firmware = "bios"
    memory_mb: int = 2048
    cpus: int = 1


def check(machine: Machine) -> None:
    """Raises `NotAnImage`, `ToolMissing`."""
    try:
        with machine.image.open("rb") as file:
            file.seek(16 * 2048 + 1)
            mark = file.read(5)
    except OSError as error:
        raise NotAnImage(file=str(machine.image), detail=error.strerror or str(error)) from error
    if mark != b"CD001":
        raise NotAnImage(file=str(machine.image), detail="this is not an ISO image")
    if shutil.which(QEMU) is None:
        raise ToolMissing(program=QEMU, package="qemu-system-x86")
    if machine.firmware == "uefi" and not OVMF.exists():
        raise ToolMissing(program="OVMF (UEFI for virtual machines)", package="ovmf")


def command(machine: Machine, *, serial: str) -> list[str]:
    """QEMU's command line: the image in a CD drive, one network card behind address translation, no display.

    The processor is emulated: slower than virtualisation, and the same on every machine.
    """
    return [
        QEMU,
        *("-machine", "q35"),
        *("-accel", "tcg", "-cpu", "qemu64"),
        *("-m", str(machine.memory_mb)),
        *("-smp", str(machine.cpus)),
        *(("-bios", str(OVMF)) if machine.firmware == "uefi" else ()),
        *("-drive", f"file={str(machine.image).replace(',', ',,')},format=raw,media=cdrom,readonly=on"),
        *("-boot", "d"),
        *("-nic", "user,model=virtio-net-pci"),
        *("-display", "none"),
        *("-serial", serial),
        "-no-reboot",
    ]


def interactively(machine: Machine) -> None:
    """Run it on this terminal until it is switched off, or C-a x. Raises `NotAnImage`, `ToolMissing`, `QemuFailed`."""
    check(machine)
    status = subprocess.run(command(machine, serial="mon:stdio"), check=False).returncode
    if status != 0:
        raise QemuFailed(status=status)


async def until(machine: Machine, text: str, seconds: float, show: Callable[[str], None]) -> float:
    """Run it until its serial line says *text*; the seconds that took. The machine is ended.

    Raises `NotAnImage`, `ToolMissing`, `BootFailed`.
    """
    check(machine)
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command(machine, serial="stdio"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    said = Said(text)
    try:
        async with asyncio.timeout(seconds):
            await _listen(process.stdout, said, show)
    except TimeoutError:
        ended = ""
    else:
        if said.found:
            return time.monotonic() - started
        ended = f" (QEMU ended with status {await process.wait()})"
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.shield(process.wait())
    raise BootFailed(file=str(machine.image), text=text, seconds=int(seconds), ended=ended, tail=said.last)


class Said:
    """What a serial line said last, and whether a text was in it."""

    def __init__(self, text: str) -> None:
        self.text, self.last, self.found = text, "", False

    def add(self, more: str) -> None:
        """Hear *more*; the text may be spread over several pieces."""
        heard = self.last + more
        self.found = self.found or self.text in heard
        self.last = heard[-max(LAST, len(self.text)) :]


async def _listen(line: asyncio.StreamReader | None, said: Said, show: Callable[[str], None]) -> None:
    """Until the text was said or the line is closed."""
    while line is not None and not said.found and (chunk := await line.read(4096)):
        piece = chunk.decode(errors="replace")
        show(piece)
        said.add(piece)

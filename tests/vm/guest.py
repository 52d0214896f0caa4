# SPDX-License-Identifier: BSD-3-Clause
"""A machine in QEMU, spoken to over its serial line as a person would."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

QEMU = "qemu-system-x86_64"
OVMF = Path("/usr/share/ovmf/OVMF.fd")
LAST = 3000
"""Characters of the serial line that a failure shows."""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]|\r")


class GuestFailed(AssertionError):
    """Raised when the machine did not do what was waited for; what its serial line said last is in the message."""


class Guest:
    """A machine: started when made, ended with the block (`running`)."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self._log = name, log
        self._heard = ""
        self._at = 0
        """Up to where what was heard has been looked at."""
        self._more = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        with self._log.open("ab") as log:
            while chunk := os.read(stream.fileno(), 65536):
                log.write(chunk)
                log.flush()
                with self._more:
                    self._heard += CONTROL.sub("", chunk.decode(errors="replace"))
                    self._more.notify_all()
        with self._more:
            self._closed = True
            self._more.notify_all()

    def until(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until the serial line says *pattern* (a regular expression); what was said before is passed over."""
        end = time.monotonic() + seconds
        with self._more:
            while (found := re.compile(pattern, re.MULTILINE).search(self._heard, self._at)) is None:
                left = end - time.monotonic()
                if left <= 0 or self._closed:
                    how = "ended" if self._closed else f"was waited for {seconds:.0f} s"
                    said = self._heard[-LAST:]
                    raise GuestFailed(f"{self.name} {how} and did not say {pattern!r}; last it said:\n{said}")
                self._more.wait(min(left, 5.0))
            self._at = found.end()
            return found

    def said(self, pattern: str) -> bool:
        """Whether the line has said *pattern* at any time."""
        with self._more:
            return re.search(pattern, self._heard) is not None

    def type(self, text: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def log_in(self, user: str, password: str | None, seconds: float) -> None:
        """From the login prompt to a shell that neither echoes nor prompts.

        A first boot sets the password, perhaps after the prompt is there: who is refused tries again.
        """
        end = time.monotonic() + seconds
        while True:
            self.until(r"login: ", end - time.monotonic())
            self.type(user)
            if password is not None:
                self.until(r"[Pp]assword: ", 300.0)
                self.type(password)
            if self.until(r"(Login incorrect|timed out after)|[#$] $", 600.0)[1] is None:
                break
        self.type("stty -echo; PS1=; PS2=; export SYSTEMD_PAGER= SYSTEMD_COLORS=0 NO_COLOR=1 TERM=dumb; dmesg -n 1")
        self.run("true", 300.0)

    def run(self, command: str, seconds: float = 300.0, *, check: bool = True) -> str:
        """What *command* prints in the shell that is logged in. Raises `GuestFailed` if it fails."""
        mark = secrets.token_hex(6)
        # The mark is put together by the shell, so that an echo of the line is never taken for it.
        self.type(f"printf '\\n%s%s\\n' begin- {mark}; {command}; printf '\\n%s%s %s\\n' end- {mark} $?")
        found = self.until(rf"begin-{mark}\n((?s:.*?))\nend-{mark} (\d+)$", seconds)
        if check and found[2] != "0":
            raise GuestFailed(f"on {self.name}, {command!r} ended with status {found[2]}:\n{found[1]}")
        return found[1].strip("\n")

    def ended(self, seconds: float) -> None:
        """Wait until it is switched off."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise GuestFailed(f"{self.name} is not off after {seconds:.0f} s:\n{self._heard[-LAST:]}") from None
        self._listener.join(10.0)
        if self.process.returncode != 0:
            raise GuestFailed(f"QEMU ended with status {self.process.returncode}:\n{self._heard[-LAST:]}")

    def end(self) -> None:
        """Pull the plug."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10.0)
        self._listener.join(10.0)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def command(
    *more: str, firmware: str = "bios", memory_mb: int = 1536, cpus: int = 2, answers: str | None = None
) -> list[str]:
    """QEMU's command line; the processor is emulated. *answers* reach it as systemd's credential, through SMBIOS."""
    # Should the tests be killed, it ends too.
    words = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        QEMU,
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "qemu64",
        "-m",
        str(memory_mb),
    ]
    words += ["-smp", str(cpus), "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"]
    if firmware == "uefi":
        words += ["-bios", str(OVMF)]
    if answers is not None:
        coded = base64.b64encode(answers.encode()).decode()
        words += ["-smbios", f"type=11,value=io.systemd.credential.binary:xos.answers={coded}"]
    return [*words, *more]


def disk(path: Path) -> list[str]:
    """The first disk, /dev/disk/by-id/virtio-system too; it need not survive a power cut of this machine."""
    drive = f"file={path},if=none,id=system,format=qcow2,cache=unsafe,discard=unmap"
    return ["-drive", drive, "-device", "virtio-blk-pci,drive=system,serial=system"]


def cd(path: Path) -> list[str]:
    """A CD that is booted from."""
    return ["-drive", f"file={path},format=raw,media=cdrom,readonly=on", "-boot", "d"]


def seed(directory: Path) -> list[str]:
    """A volume CIDATA with the files of *directory*, as cloud-init's NoCloud has it."""
    drive = f"driver=vvfat,node-name=seed,dir={directory},label=CIDATA,read-only=on"
    return ["-blockdev", drive, "-device", "virtio-blk-pci,drive=seed"]


def cable(path: Path, number: int, *, first: bool) -> list[str]:
    """One end of a cable between two machines: a Unix socket of this machine, no network of it."""
    side = "server=on" if first else "server=off"
    network = f"stream,id=net,{side},addr.type=unix,addr.path={path}"
    return ["-netdev", network, "-device", f"virtio-net-pci,netdev=net,mac=52:54:00:78:6f:{number:02x}"]


@contextlib.contextmanager
def running(name: str, words: list[str], log: Path) -> Iterator[Guest]:
    """A machine that runs for as long as the block."""
    guest = Guest(name, words, log)
    try:
        yield guest
    finally:
        guest.end()

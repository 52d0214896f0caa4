# SPDX-License-Identifier: BSD-3-Clause
"""Putting the system on a disk: partitions, files, packages, boot code. Everything before this has been checked."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from xos.setup.install.disks import Device, claim, partition
from xos.setup.install.errors import DiskFull, Interrupted, StepFailed
from xos.setup.install.leftovers import ENDS_WITH_US, PREFIX
from xos.setup.install.medium import ROLE_PACKAGE, Medium
from xos.setup.node.answers import ROLES

LOG = Path("/var/log/xos-install.log")
TAIL = 12
FULL = ("No space left on device", "needs at least", "more space needed")
SETTLE_SECONDS = 30
LIVE_PACKAGES = ("live-boot", "live-boot-initramfs-tools", "live-boot-doc", "live-tools")
"""Debian's, of which an installed system needs none."""
OURS_LIVE = "xos-install"
QUIET_SECONDS = 15.0
"""How often a sign of life is written where lines cannot be written over."""

Done = Callable[[], float]
"""How much of a step is done, from 0 to 1."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is put where."""

    disk: Device
    flavour: str
    answers: str
    """The text of /etc/xos/answers.toml for the first boot; empty: none."""
    root_uuid: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))
    kernel_options: tuple[str, ...] = ()


class Installer:
    """One installation, told step by step on standard error."""

    def __init__(self, plan: Plan, medium: Medium, log: Path = LOG) -> None:
        self.plan, self.medium, self.log = plan, medium, log
        self.step = "nothing"
        self._since = self._shown = time.monotonic()

    def run(self) -> None:
        """Do it all. Raises `DiskBusy` before the disk is touched, then `StepFailed`, `DiskFull`, `Interrupted`."""
        claim(self.plan.disk)
        self.log.write_text("")
        try:
            with tempfile.TemporaryDirectory(prefix=PREFIX) as place, _terminated():
                self._partition()
                with self._mounted(Path(place)) as target:
                    self._copy(target)
                    with self._entered(target), _no_new_initrd(target):
                        self._packages(target)
                        self._for_disk(target)
                    self._boot(target)
                    self._answers(target)
                self._begin("writing what is still in memory")
                self._do(["sync"])
                self._end()
        except KeyboardInterrupt:
            raise Interrupted(step=self.step, disk=self.plan.disk.path) from None

    # -- steps

    def _partition(self) -> None:
        disk = self.plan.disk.path
        self._begin(f"partitioning {disk}")
        layout = (self.medium.install / "layout.sfdisk").read_text()
        self._do(["wipefs", "--all", "--quiet", disk])
        self._do(["sfdisk", "--wipe", "always", "--wipe-partitions", "always", disk], stdin=layout)
        self._do(["udevadm", "settle", f"--timeout={SETTLE_SECONDS}"])
        self._do(["mkfs.vfat", "-F", "32", "-n", "XOSEFI", partition(disk, 2)])
        uid = self.plan.root_uuid
        self._do(["mkfs.ext4", "-q", "-F", "-L", "xos-root", "-U", uid, "-E", "nodiscard", partition(disk, 3)])
        self._end()

    def _copy(self, target: Path) -> None:
        self._begin("copying the system")
        source = self.medium.system
        wanted = max(1, os.statvfs(source).f_files)

        def done() -> float:
            now = os.statvfs(target)
            return (now.f_files - now.f_ffree) / wanted

        self._do(["cp", "--archive", "--one-file-system", f"{source}/.", str(target)], done=done)
        self._end()

    def _packages(self, target: Path) -> None:
        """The flavour's packages from the medium, all signatures checked; what only a live system needs goes."""
        flavour = self.plan.flavour
        self._begin(f"installing the packages of a {flavour}")
        wanted = [ROLE_PACKAGE.format(flavour), "xos-setup"]
        self._in(target, ["dnf", "-y", "--setopt=keepcache=0", "install", *wanted])
        installed = self._in(target, ["rpm", "-qa", "--qf", "%{NAME}\n"]).split()
        others = [ROLE_PACKAGE.format(role) for role in ROLES]
        # A core and a resource need what a client has: that is a dependency, not another role.
        kept = self._in(target, ["rpm", "-q", "--requires", *wanted]).split()
        gone = [name for name in (*others, OURS_LIVE) if name in installed and name not in (*wanted, *kept)]
        if gone:
            self._in(target, ["dnf", "-y", "remove", *gone])
        if damage := self._in(target, ["sh", "-c", "rpm -Va 'xos*' || :"]).strip():
            raise StepFailed(step=self.step, status=1, tail=damage, log=str(self.log))
        known = self._in(target, ["dpkg-query", "-W", "-f", "${Package}\n"]).split()
        live = [name for name in LIVE_PACKAGES if name in known]
        if live:
            self._in(target, ["dpkg", "--purge", *live])
        self._end()

    def _for_disk(self, target: Path) -> None:
        """What a system on a disk has and a live one has not."""
        self._begin("making the system boot from the disk")
        env = {
            "FLAVOUR": self.plan.flavour,
            "ROOT_UUID": self.plan.root_uuid,
            "KERNEL_OPTIONS": " ".join(self.plan.kernel_options),
        }
        self._in(target, ["/run/live/medium/install/make-disk-system"], env=env)
        version = self.medium.kernel()
        shutil.copyfile(self.medium.initrd, target / f"boot/initrd.img-{version}")
        for name, file in (("vmlinuz", f"boot/vmlinuz-{version}"), ("initrd.img", f"boot/initrd.img-{version}")):
            (target / name).unlink(missing_ok=True)
            (target / name).symlink_to(file)
        # The live system lets root in without a password; this one does not, until an answer gives it one.
        self._in(target, ["passwd", "--lock", "root"])
        (target / "etc/issue").write_text(f"XtreemOS {self.plan.flavour}\n\\n \\l\n\n")
        given = (self.medium.repository / "xtreemos.repo").read_text()
        repo = target / "etc/yum.repos.d/xtreemos.repo"
        if "baseurl=http" in given:
            repo.write_text(given)
        else:
            repo.unlink(missing_ok=True)  # it was only on the machine that made the medium
        self._end()

    def _boot(self, target: Path) -> None:
        self._begin("boot code for BIOS and UEFI")
        esp = target / "mnt"
        self._do(["mount", partition(self.plan.disk.path, 2), str(esp)])
        try:
            (esp / "EFI/BOOT").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.medium.install / "BOOTX64.EFI", esp / "EFI/BOOT/BOOTX64.EFI")
        finally:
            self._do(["umount", str(esp)])
        self._do([str(self.medium.install / "write-boot-code"), str(self.medium.install), self.plan.disk.path])
        self._end()

    def _answers(self, target: Path) -> None:
        if self.plan.answers:
            path = target / "etc/xos/answers.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(self.plan.answers)

    # -- mounts

    @contextlib.contextmanager
    def _mounted(self, place: Path) -> Iterator[Path]:
        self._do(["mount", partition(self.plan.disk.path, 3), str(place)])
        try:
            yield place
        finally:
            self._unmount(place)

    @contextlib.contextmanager
    def _entered(self, target: Path) -> Iterator[None]:
        """Kernel file systems and the medium inside the target, so that programs run in it."""
        with contextlib.ExitStack() as stack:
            for kind, name in (("sysfs", "sys"), ("devtmpfs", "dev"), ("tmpfs", "run")):
                self._do(["mount", "-t", kind, kind, str(target / name)])
                stack.callback(self._unmount, target / name)
            medium = target / "run/live/medium"
            medium.mkdir(parents=True)
            # /proc as it is here: a new one would show the processes of mount(8)'s own name space (`ENDS_WITH_US`).
            for source, place in ((Path("/proc"), target / "proc"), (self.medium.path, medium)):
                self._do(["mount", "--bind", str(source), str(place)])
                stack.callback(self._unmount, place)
            yield

    def _unmount(self, place: Path) -> None:
        """Never left behind: what is busy goes as soon as it no longer is."""
        if subprocess.run(["umount", str(place)], capture_output=True).returncode != 0:
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)

    # -- programs

    def _in(self, target: Path, argv: Sequence[str], env: dict[str, str] | None = None) -> str:
        return self._do(["chroot", str(target), *argv], env=env)

    def _do(
        self, argv: Sequence[str], *, stdin: str = "", env: dict[str, str] | None = None, done: Done | None = None
    ) -> str:
        """Run a program, its words to the log. Raises `StepFailed`, `DiskFull`."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", **(env or {})}
        with self.log.open("a+") as log, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as given:
            log.write(f"$ {' '.join(argv)}\n")
            log.flush()
            began = log.tell()
            given.write(stdin)
            given.seek(0)
            process = subprocess.Popen([*ENDS_WITH_US, *argv], stdin=given, stdout=out, stderr=log, env=environment)
            try:
                self._await(process, done)
            except BaseException:
                process.kill()
                process.wait()
                raise
            out.seek(0)
            printed = out.read()
            log.write(printed)
            if process.returncode == 0:
                return printed
            log.flush()
            log.seek(began)
            tail = "\n".join(log.read().splitlines()[-TAIL:])
        kind = DiskFull if any(word in tail for word in FULL) else StepFailed
        raise kind(step=self.step, status=process.returncode, tail=tail, log=str(self.log))

    def _await(self, process: subprocess.Popen[bytes], done: Done | None) -> None:
        while True:
            try:
                process.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                self._show(done() if done is not None else None)
            else:
                return

    # -- progress

    def _begin(self, step: str) -> None:
        self.step, self._since = step, time.monotonic()
        self._line(f"{step} ...")

    def _end(self) -> None:
        self._line(f"{self.step}: {time.monotonic() - self._since:.0f} s", end=True)

    def _show(self, part: float | None) -> None:
        seconds = time.monotonic() - self._since
        if sys.stderr.isatty() or time.monotonic() - self._shown >= QUIET_SECONDS:
            self._line(f"{self.step}: " + (f"{min(99, int(part * 100))} %" if part is not None else f"{seconds:.0f} s"))

    def _line(self, text: str, *, end: bool = False) -> None:
        """On a terminal a line is written over until its step ends."""
        self._shown = time.monotonic()
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}" + ("\n" if end else ""))
        else:
            sys.stderr.write(f"xos-install: {text}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def _no_new_initrd(target: Path) -> Iterator[None]:
    """Meanwhile no package makes an initrd, which takes minutes: the medium's serves until the next kernel."""
    conf = target / "etc/initramfs-tools/update-initramfs.conf"
    before = conf.read_text()
    conf.write_text("update_initramfs=no\n")
    yield
    conf.write_text(before)


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM (a shutdown, a closed terminal) cleans up as ^C does."""

    def stop(number: int, frame: object) -> None:  # noqa: ARG001 -- the shape of a signal handler
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

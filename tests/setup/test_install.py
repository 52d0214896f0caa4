# SPDX-License-Identifier: BSD-3-Clause
"""The installer touches no disk but the one named, and that only when everything else is right."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.setup.asking import Asking, NobodyThere, NotConfirmed
from xos.setup.install import ask, disks
from xos.setup.install.command import consoles, for_first_boot, main
from xos.setup.install.disks import Device, choose, claim, described, parsed, partition, uses
from xos.setup.install.errors import (
    AlreadyRuns,
    DiskBusy,
    DiskFull,
    DiskSmall,
    Interrupted,
    NoMedium,
    StepFailed,
    UnknownFlavour,
    WrongDisk,
)
from xos.setup.install.leftovers import PREFIX, alone, left_mounted
from xos.setup.install.medium import Medium
from xos.setup.install.writing import Installer, Plan, _no_new_initrd, _terminated
from xos.setup.node.answers import Answers, Core, Install, Network, Resource, System, from_file

from .test_answers import CORE, WORD
from .test_asking import asking

GB = 1 << 30


def device(path: str, size: int = 8 * GB, **more: object) -> Device:
    return msgspec.structs.replace(Device(path=path, type="disk", size=size), **more)


EMPTY = device("/dev/vda")
SMALL = device("/dev/vdb", GB)
LOCKED = device("/dev/vdc", ro=True)
ROOT = device("/dev/sda", children=(Device(path="/dev/sda1", type="part", size=GB, mountpoints=("/",)),))
SWAP = device("/dev/sdb", children=(Device(path="/dev/sdb1", type="part", size=GB, mountpoints=("[SWAP]",)),))
RAID = device(
    "/dev/sdc",
    children=(
        Device(path="/dev/sdc1", type="part", size=GB, children=(Device(path="/dev/md0", type="raid1", size=GB),)),
    ),
)
OLD = device("/dev/sdd", children=(Device(path="/dev/sdd1", type="part", size=GB, fstype="ext4", mountpoints=(None,)),))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
ALL = (EMPTY, SMALL, LOCKED, ROOT, SWAP, RAID, OLD)


@pytest.mark.parametrize("name", ["/dev/vda", "/dev/sdd"])
def test_a_disk_that_nothing_uses_is_taken_even_if_it_holds_something(name: str) -> None:
    assert choose(name, ALL).path == name


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("/dev/nothing", WrongDisk, "no such disk"),
        ("/dev/sdd1", WrongDisk, "a part of a disk"),
        ("/etc/passwd", WrongDisk, "no such disk"),
        ("/dev/vdc", WrongDisk, "only be read"),
        ("/dev/sda", DiskBusy, "mounted at /"),
        ("/dev/sdb", DiskBusy, "swap"),
        ("/dev/sdc", DiskBusy, "raid1"),
        ("/dev/vdb", DiskSmall, "1024 MB"),
    ],
)
def test_any_other_disk_is_refused_and_those_there_are_named(name: str, kind: type[WrongDisk], told: str) -> None:
    with pytest.raises(kind, match=told) as refused:
        choose(name, ALL)
    if kind is not DiskSmall:
        assert "/dev/vda" in refused.value.next_step


def test_the_kernel_has_the_last_word_on_whether_a_disk_is_free(tmp_path: Path) -> None:
    with pytest.raises(WrongDisk):
        claim(device(str(tmp_path / "none")))
    (tmp_path / "file").touch()
    claim(device(str(tmp_path / "file")))


@pytest.mark.parametrize(("disk", "third"), [("/dev/vda", "/dev/vda3"), ("/dev/nvme0n1", "/dev/nvme0n1p3")])
def test_partitions_are_named_as_the_kernel_does(disk: str, third: str) -> None:
    assert partition(disk, 3) == third


def test_of_what_lsblk_tells_only_whole_disks_are_offered() -> None:
    rows = [
        {"path": "/dev/sr0", "type": "rom", "size": GB, "ro": False, "rm": True},
        {"path": "/dev/loop0", "type": "loop", "size": GB, "ro": True, "rm": False},
        {"path": "/dev/zram0", "type": "disk", "size": GB, "ro": False, "rm": False},
        {"path": "/dev/fd0", "type": "disk", "size": 0, "ro": False, "rm": True},
        {
            "path": "/dev/vda",
            "type": "disk",
            "size": GB,
            "ro": False,
            "rm": False,
            "model": None,
            "mountpoints": [None],
        },
    ]
    found = parsed(json.dumps({"blockdevices": rows}).encode())
    assert [disk.path for disk in found] == ["/dev/vda"]
    assert list(uses(found[0])) == []


def test_lsblk_of_this_machine_is_understood() -> None:
    for disk in disks.listed():
        assert described(disk)


def test_a_disk_is_described_by_what_a_person_knows_it_by() -> None:
    disk = msgspec.structs.replace(OLD, model="Samsung SSD ", serial="S1")
    assert described(disk) == "8.6 GB  Samsung SSD  S1  holds ext4"
    assert described(EMPTY).endswith("empty")


def test_without_a_medium_nothing_is_installed(tmp_path: Path) -> None:
    with pytest.raises(NoMedium):
        Medium(tmp_path, tmp_path).check()


def medium(place: Path) -> Medium:
    """What an ISO of a core holds, as far as the installer looks."""
    made = Medium(place / "medium", place / "system")
    main = made.repository / "x86_64/media/main"
    main.mkdir(parents=True)
    for name in ("xos-core-0.1.0-1.noarch.rpm", "xos-client-0.1.0-1.noarch.rpm", "xos-core-extra-0.1.0-1.noarch.rpm"):
        (main / name).touch()
    made.install.mkdir()
    made.initrd.parent.mkdir()
    for path in (made.initrd, *(made.install / name for name in ("layout.sfdisk", "make-disk-system"))):
        path.touch()
    for name in ("write-boot-code", "boot.img", "core.img", "BOOTX64.EFI"):
        (made.install / name).touch()
    units = made.system / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for role in ("core", "client"):
        (units / f"xos-{role}.target").touch()
    return made


def test_a_medium_offers_what_its_repository_holds(tmp_path: Path) -> None:
    made = medium(tmp_path)
    made.check()
    assert (made.own, made.flavours, made.flavour(None)) == ("core", ("core", "client"), "core")
    with pytest.raises(UnknownFlavour, match="resource"):
        made.flavour("resource")


def test_the_first_boot_is_told_all_but_the_installation(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(CORE)
    answers = from_file(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text(for_first_boot(answers))
    assert from_file(tmp_path / "b.toml") == msgspec.structs.replace(answers, install=None)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=8, max_size=40), st.integers(1, 1000))
def test_every_answer_survives_the_way_to_the_first_boot(password: str, slots: int) -> None:
    from xos.common.config import parse

    answers = Answers(
        hostname="a.b",
        network=Network(address="10.0.0.2/24", dns=("10.0.0.1",)),
        core=Core(vo="demo", administrator="alice", administrator_password=password, nodes=("n1",)),
        resource=Resource(token=WORD, slots=slots),
        install=Install(disk="/dev/vda"),
    )
    assert parse(for_first_boot(answers), Answers, file="x") == msgspec.structs.replace(answers, install=None)


def test_the_installed_system_speaks_on_the_consoles_of_the_live_one() -> None:
    assert consoles("boot=live console=tty0 console=ttyS0,115200 quiet") == ("console=tty0", "console=ttyS0,115200")


def test_a_wrong_answer_file_is_refused_before_disks_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = medium(tmp_path)
    monkeypatch.setattr("xos.setup.install.command.Medium", lambda: there)
    monkeypatch.setattr("xos.setup.install.command.os.geteuid", lambda: 0)
    monkeypatch.setattr("xos.setup.install.command.Installer", None)
    file = tmp_path / "answers.toml"
    for text, told in (
        ('[install]\ndisk = "/dev/vda"\nflavor = "core"\n', ":3: install.flavor: unknown key"),
        ('role = "core"\n', "install: missing"),
        ('[install]\ndisk = "/dev/not-there"\n', "/dev/not-there: there is no such disk"),
    ):
        file.write_text(text)
        assert main(["--answers", str(file)]) in (2, 78)
        assert told in capsys.readouterr().err


def test_the_guided_way_asks_again_and_does_nothing_unless_the_disk_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = iter(["short", "long enough", "long enough"])
    monkeypatch.setattr("xos.setup.asking.getpass.getpass", lambda *_: next(secrets))
    typed = ["9", "2", "1", "core", "UPPER", "core1", "", "10.0.0.2", "10.0.0.2/24", "", ""]
    asker, out = asking(*typed, "vda")
    answers = ask.ask(asker, medium(tmp_path), (EMPTY, SMALL))
    assert answers.install == Install(disk="/dev/vda", flavour="core", then="nothing")
    assert (answers.role, answers.hostname) == ("core", "core1")
    assert answers.network == Network(address="10.0.0.2/24")
    assert answers.system.root_password_hash is not None
    for told in (
        "One of 1 to 2",
        "1024 MB; the system needs",
        "That will not do: small letters",
        "say the length",
        "IS LOST",
    ):
        assert told in out.getvalue()
    monkeypatch.setattr("xos.setup.asking.getpass.getpass", lambda *_: "")
    asker, _ = asking("1", "core", "core1", "", "", "yes")
    with pytest.raises(NotConfirmed):
        ask.ask(asker, medium(tmp_path / "again"), (EMPTY,))


def test_a_pipe_is_nobody_to_ask() -> None:
    with pytest.raises(NobodyThere):
        Asking(io.StringIO("yes\n"), io.StringIO()).line("Host name")


def test_a_password_becomes_what_shadow_holds() -> None:
    made = ask.hashed("long enough")
    assert msgspec.convert({"root_password_hash": made}, System).root_password_hash == made


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(Plan(disk=EMPTY, flavour="core", answers=""), medium(tmp_path), tmp_path / "log")


@as_root
def test_what_programs_say_is_in_the_log_and_what_they_print_is_returned(installer: Installer) -> None:
    assert installer._do(["sh", "-c", "cat; echo wrong >&2"], stdin="right\n") == "right\n"
    assert installer.log.read_text() == "$ sh -c cat; echo wrong >&2\nwrong\nright\n"


@as_root
@pytest.mark.parametrize(
    ("says", "kind"), [("No space left on device", DiskFull), ("no such package", StepFailed), ("", StepFailed)]
)
def test_a_step_that_fails_is_told_with_its_last_words(installer: Installer, says: str, kind: type[StepFailed]) -> None:
    installer.step = "copying the system"
    with pytest.raises(StepFailed, match="copying the system") as told:
        installer._do(["sh", "-c", f"echo earlier; echo '{says}' >&2; exit 3"])
    assert type(told.value) is kind
    assert says in told.value.message


@as_root
def test_a_shutdown_ends_the_program_that_runs_and_cleans_up(installer: Installer) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt), _terminated():
        installer._do(["sleep", "60"])
    assert time.monotonic() - began < 15
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_installation_that_was_interrupted_says_what_the_disk_holds(
    installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        installer.step = "partitioning"
        raise KeyboardInterrupt

    monkeypatch.setattr("xos.setup.install.writing.claim", lambda _: None)
    monkeypatch.setattr(installer, "_partition", interrupt)
    with pytest.raises(Interrupted, match="while partitioning: /dev/vda holds a part of a system"):
        installer.run()


MOUNTINFO = """\
21 1 0:5 / / rw - overlay overlay rw
60 21 8:3 / /tmp/xos-install-a1 rw - ext4 /dev/vda3 rw
61 60 0:6 / /tmp/xos-install-a1/proc rw - proc proc rw
62 60 0:7 / /tmp/xos-install-a1/run/a\\040b rw - tmpfs tmpfs rw
63 21 0:8 / /tmp/xos-installed rw - tmpfs tmpfs rw
64 21 0:8 / /home/tmp/xos-install-a1 rw - tmpfs tmpfs rw
"""


def test_what_a_killed_installation_left_mounted_is_found_innermost_first() -> None:
    top = "/tmp/xos-install-a1"
    assert left_mounted(MOUNTINFO) == [f"{top}/run/a b", f"{top}/proc", top]


def test_two_installations_do_not_run_at_once(tmp_path: Path) -> None:
    with alone(tmp_path / "lock"), pytest.raises(AlreadyRuns), alone(tmp_path / "lock"):
        pass
    with alone(tmp_path / "lock"):
        pass


KILLED = """
import os, pathlib, sys, tempfile
from xos.setup.install.disks import Device
from xos.setup.install.leftovers import PREFIX
from xos.setup.install.medium import Medium
from xos.setup.install.writing import Installer, Plan
disk = Device(path="/dev/none", type="disk", size=1)
installer = Installer(Plan(disk=disk, flavour="core", answers=""), Medium(pathlib.Path("/")), pathlib.Path(sys.argv[1]))
place = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
for where in (place, f"{place}/inner"):
    pathlib.Path(where).mkdir(exist_ok=True)
    installer._do(["mount", "-t", "tmpfs", "tmpfs", where])
print(place, flush=True)
installer._do(["sh", "-c", f"cd {place}/inner; sleep {sys.argv[2]} & wait"])
"""


@as_root
def test_after_kill_9_nothing_runs_on_and_the_next_one_unmounts_what_is_left(tmp_path: Path) -> None:
    # In a mount name space of its own, which another process keeps: the mounts are nobody else's.
    seconds = f"1000.{secrets.randbelow(10**9)}"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "log"), seconds]
    with contextlib.ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[str]:
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        killed = start("unshare", "--mount", "--propagation", "private", *words)
        assert killed.stdout is not None
        place = Path(killed.stdout.readline().strip())
        assert place.name.startswith(PREFIX)
        keeper = start("nsenter", "--mount", f"--target={killed.pid}", "sleep", "100")
        theirs = Path(f"/proc/{keeper.pid}/ns/mnt")
        until(lambda: runs(seconds) and theirs.readlink() != Path("/proc/self/ns/mnt").readlink())
        killed.kill()
        killed.wait(10)
        until(lambda: not runs(seconds))
        clean = "from xos.setup.install.leftovers import unmount_all as end; print(*end(print)); print(*end(print))"
        look = ("nsenter", "--mount", f"--target={keeper.pid}", sys.executable, "-c", clean)
        assert subprocess.run(look, check=True, capture_output=True, text=True).stdout == f"{place}/inner {place}\n\n"
    place.rmdir()


BUSY = """
import pathlib, subprocess, tempfile
from xos.setup.install import leftovers
place = tempfile.mkdtemp(prefix=leftovers.PREFIX, dir="/tmp")
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
user = subprocess.Popen(["sleep", "1000"], cwd=place)
def say(line):
    print(line)
    user.kill()
    user.wait()
leftovers.TOLD_SECONDS = 0.0
print(leftovers.unmount_all(say) == (place,))
pathlib.Path(place).rmdir()
"""


@as_root
def test_what_was_killed_and_still_writes_is_waited_for() -> None:
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    done = subprocess.run([*words, sys.executable, "-c", BUSY], check=True, capture_output=True, text=True)
    told, ended = done.stdout.splitlines()
    assert "which was killed, to end" in told
    assert ended == "True"


ENTERED = """
import pathlib, sys
from xos.setup.install.disks import Device
from xos.setup.install.medium import Medium
from xos.setup.install.writing import Installer, Plan
place = pathlib.Path(sys.argv[1])
disk = Device(path="/dev/none", type="disk", size=1)
installer = Installer(Plan(disk=disk, flavour="core", answers=""), Medium(place), place / "log")
target = place / "target"
target.mkdir()
installer._do(["mount", "--bind", "/", str(target)])
with installer._entered(target):
    print(installer._in(target, ["readlink", "/proc/self"]).strip().isdigit())
    print(installer._in(target, ["sh", "-c", "cd /run/live/medium && ls"]).split())
installer._do(["umount", str(target)])
print(str(target) in pathlib.Path("/proc/self/mounts").read_text())
"""


@as_root
def test_programs_in_the_new_system_see_proc_and_the_medium_and_nothing_stays_mounted(tmp_path: Path) -> None:
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", ENTERED, str(tmp_path)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout == "True\n['log', 'target']\nFalse\n"


def runs(seconds: str) -> bool:
    """Whether there is a process ``sleep SECONDS``."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
    return False


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_no_package_makes_an_initrd_meanwhile_but_later(tmp_path: Path) -> None:
    conf = tmp_path / "etc/initramfs-tools/update-initramfs.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("update_initramfs=yes\n")
    with _no_new_initrd(tmp_path):
        assert conf.read_text() == "update_initramfs=no\n"
    assert conf.read_text() == "update_initramfs=yes\n"

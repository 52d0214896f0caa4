# SPDX-License-Identifier: BSD-3-Clause
"""Programs on a real mount: what they see is what the file system answered."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.memoryfs import MemoryFs
from xos.xtreemfs.errors import NotMounted
from xos.xtreemfs.fuse.abi import InitFlag, OpenFlag
from xos.xtreemfs.fuse.mounting import mount as mount_fd
from xos.xtreemfs.fuse.mounting import unmount
from xos.xtreemfs.fuse.session import DEFAULT_FEATURES, Wishes
from xos.xtreemfs.fuse.values import Caller, refuse

from .conftest import OPTIONS, Mount, needs_fuse

pytestmark = needs_fuse


async def test_programs_find_what_they_wrote(mount: Mount) -> None:
    text = await mount.sh(
        """cd $M; mkdir -p a/b; echo hello >a/b/f; ln a/b/f a/g; ln -s b/f a/s; mv a/b/f a/b/h; cat a/g a/b/h
        ls -l a | tail -n +2 | cut -c 1-10,12; stat -c '%h %s' a/g; readlink a/s; rm a/g; rm -r a; ls"""
    )
    assert text == "hello\nhello\ndrwxr-xr-x2\n-rw-r--r--2\nlrwxrwxrwx1\n2 6\nb/f\n"


async def test_a_tree_comes_back_from_tar_as_it_was(mount: Mount, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    pick = random.Random(1)
    for number in range(120):
        place = tree / f"d{number % 7}" / f"e{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_bytes(pick.randbytes(pick.randrange(20_000)))
    await mount.sh(f"cd {tree}; tar c . | tar xC $M; diff -r {tree} $M; cp -a $M/d1 $M/copy; diff -r $M/d1 $M/copy")


async def test_fifos_sockets_and_devices_can_be_made(mount: Mount) -> None:
    def make(path: Path) -> list[int]:
        os.mkfifo(path / "fifo")
        os.mknod(path / "socket", stat.S_IFSOCK | 0o600)
        os.mknod(path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        return [stat.S_IFMT((path / name).lstat().st_mode) for name in ("fifo", "socket", "null")]

    assert await mount.do(make) == [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR]
    assert await mount.do(lambda path: (path / "null").lstat().st_rdev) == os.makedev(1, 3)


async def test_a_large_directory_is_read_whole(mount: Mount) -> None:
    names = {f"a file with a long name, number {number}" for number in range(3000)}

    def fill(path: Path) -> set[str]:
        for name in names:
            (path / name).touch()
        return {entry.name for entry in os.scandir(path)}

    assert await mount.do(fill) == names
    assert mount.fs.calls["readdirplus"] >= 1
    assert mount.fs.calls["readdirplus"] + mount.fs.calls["readdir"] > 2


async def test_the_umask_and_the_mode_count(mount: Mount) -> None:
    def make(path: Path) -> tuple[int, int]:
        code = f"import os; os.umask(0o027); os.mkdir({str(path / 'd')!r}); open({str(path / 'f')!r}, 'w').close()"
        subprocess.run([sys.executable, "-c", code], check=True)
        return stat.S_IMODE((path / "d").stat().st_mode), stat.S_IMODE((path / "f").stat().st_mode)

    assert await mount.do(make) == (0o750, 0o640)


async def test_times_sizes_and_owners_can_be_set(mount: Mount) -> None:
    def change(path: Path) -> tuple[int, ...]:
        file = path / "f"
        file.write_bytes(b"0123456789")
        os.truncate(file, 4)
        os.truncate(file, 6)
        os.utime(file, ns=(-1_500_000_001, 2_000_000_003))  # before 1970: the kernel's seconds are signed
        os.chown(file, 12, 34)
        file.chmod(0o604)
        found = file.stat()
        assert file.read_bytes() == b"0123\0\0"
        return found.st_atime_ns, found.st_mtime_ns, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    assert await mount.do(change) == (-1_500_000_001, 2_000_000_003, 12, 34, 0o604)


async def test_extended_attributes_of_any_length_are_kept(mount: Mount) -> None:
    def change(path: Path) -> None:
        file = path / "f"
        file.touch()
        os.setxattr(file, "user.a", b"x" * 4000)
        os.setxattr(file, "user.b", b"")
        assert sorted(os.listxattr(file)) == ["user.a", "user.b"]
        assert (os.getxattr(file, "user.a"), os.getxattr(file, "user.b")) == (b"x" * 4000, b"")
        with pytest.raises(FileExistsError):
            os.setxattr(file, "user.a", b"", os.XATTR_CREATE)
        os.removexattr(file, "user.a")
        with pytest.raises(OSError, match="No data") as refused:
            os.getxattr(file, "user.a")
        assert refused.value.errno == errno.ENODATA

    await mount.do(change)


async def test_large_reads_and_writes_arrive_whole(mount: Mount) -> None:
    content = random.Random(2).randbytes(5_000_001)

    def copy(path: Path) -> bytes:
        (path / "f").write_bytes(content)
        fd = os.open(path / "f", os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
        return (path / "f").read_bytes()

    assert await mount.do(copy) == content


async def test_a_mapped_file_is_the_file(mount: Mount) -> None:
    code = (
        "import mmap, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 10000)\n"
        "m = mmap.mmap(fd, 10000); m[5000:5003] = b'abc'; m.flush(); print(os.pread(fd, 3, 5000).decode())"
    )
    assert await mount.sh(f'{sys.executable} -c "{code}" $M/f') == "abc\n"
    assert (await mount.do(lambda path: (path / "f").read_bytes()))[5000:5003] == b"abc"


async def test_renames_may_replace_exchange_or_refuse(mount: Mount) -> None:
    text = await mount.sh(
        """cd $M; echo 1 >a; echo 2 >b; mv -n a b; cat a b; mv --exchange a b 2>/dev/null || mv -T a b; ls"""
    )
    assert text.startswith("1\n2\n")


async def test_a_file_without_a_name_works_until_it_is_closed(mount: Mount) -> None:
    def use(path: Path) -> bytes:
        fd = os.open(path, os.O_TMPFILE | os.O_RDWR)
        try:
            os.write(fd, b"hidden")
            return os.pread(fd, 10, 0)
        finally:
            os.close(fd)

    assert await mount.do(use) == b"hidden"
    gone = await mount.do(lambda path: (path / "f").write_bytes(b"x"))
    assert gone == 1


async def test_an_open_file_outlives_its_name_and_is_forgotten_afterwards(mount: Mount) -> None:
    def use(path: Path) -> bytes:
        with (path / "f").open("w+b", buffering=0) as file:
            (path / "f").unlink()
            file.write(b"still here")
            return os.pread(file.fileno(), 20, 0)

    assert await mount.do(use) == b"still here"
    async with asyncio.timeout(15):
        while len(mount.fs.nodes) > 1:  # noqa: ASYNC110 -- FORGET comes when the kernel likes
            await asyncio.sleep(0.01)


async def test_df_shows_the_state_of_the_whole(mount: Mount) -> None:
    state = await mount.do(os.statvfs)
    assert (state.f_blocks, state.f_bfree, state.f_bavail, state.f_files) == (1000, 600, 500, 100)
    assert "memory:test" in Path("/proc/self/mounts").read_text()


async def test_many_programs_at_once_get_their_own_answers(mount: Mount) -> None:
    async def one(number: int) -> str:
        return await mount.sh(
            f"mkdir $M/{number}; cd $M/{number}; for i in 1 2 3 4 5; do echo {number}.$i >$i; done; cat *"
        )

    texts = await asyncio.gather(*(one(number) for number in range(8)))
    assert texts == ["".join(f"{number}.{i}\n" for i in range(1, 6)) for number in range(8)]


class Stubborn(MemoryFs):
    """Some look-ups never end, and some calls fail in odd ways."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.cancelled = asyncio.Event(), asyncio.Event()

    def lookup(self, caller: Caller, parent: int, name: bytes) -> Any:
        return self.forever() if name == b"slow" else super().lookup(caller, parent, name)

    async def forever(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Any:
        if name == b"wrong":
            raise ZeroDivisionError
        if name == b"silly":
            return "no entry"
        if name == b"full":
            raise refuse(errno.ENOSPC)
        return super().mkdir(caller, parent, name, mode)


@pytest.mark.parametrize("fs", [Stubborn()], ids=[""])
async def test_a_program_that_waits_can_be_killed(mount: Mount, fs: Stubborn) -> None:
    program = await asyncio.create_subprocess_exec("cat", str(mount.path / "slow"), stdout=subprocess.DEVNULL)
    async with asyncio.timeout(10):
        await fs.asked.wait()
        program.send_signal(signal.SIGKILL)
        await program.wait()
        await fs.cancelled.wait()
    await mount.do(lambda path: (path / "others").mkdir())


@pytest.mark.parametrize("fs", [Stubborn()], ids=[""])
async def test_a_failure_is_an_errno_for_the_program_and_the_mount_goes_on(mount: Mount) -> None:
    for name, number in {"wrong": errno.EIO, "silly": errno.EIO, "full": errno.ENOSPC}.items():
        with pytest.raises(OSError, match=os.strerror(number)) as refused:
            await mount.do(lambda path, name=name: (path / name).mkdir())  # type: ignore[misc]
        assert refused.value.errno == number
    await mount.do(lambda path: (path / "fine").mkdir())


@pytest.mark.parametrize("fs", [MemoryFs()], ids=[""])
async def test_what_changed_elsewhere_is_seen_once_it_is_told(mount: Mount) -> None:
    file = mount.path / "f"
    await mount.do(lambda _: file.write_bytes(b"old"))
    assert await mount.do(lambda _: file.read_bytes()) == b"old"
    node = mount.fs.nodes[2]
    node.data[:] = b"new"
    assert await mount.do(lambda _: file.read_bytes()) == b"old"
    await mount.session.invalidate_inode(2)
    assert await mount.do(lambda _: file.read_bytes()) == b"new"
    del mount.fs.nodes[1].names[b"f"]
    assert await mount.do(lambda _: file.exists())
    await mount.session.invalidate_entry(1, b"f")
    assert not await mount.do(lambda _: file.exists())
    await mount.session.invalidate_entry(1, b"never there")
    await mount.session.invalidate_inode(99)


class Crossed(MemoryFs):
    """Tells the kernel to ask again each time before it answers how long a file is: so the kernel drops the answer."""

    mount: Mount | None = None

    def getattr(self, caller: Caller, ino: int, fh: int | None) -> Any:
        return super().getattr(caller, ino, fh) if self.mount is None else self._crossed(caller, ino, fh)

    async def _crossed(self, caller: Caller, ino: int, fh: int | None) -> Any:
        assert self.mount is not None
        await self.mount.session.invalidate_inode(ino, -1)
        return super().getattr(caller, ino, fh)

    def open(self, caller: Caller, ino: int, flags: int) -> Any:
        return super().open(caller, ino, flags)._replace(flags=OpenFlag.DIRECT_IO)


@pytest.mark.parametrize("fs", [Crossed()], ids=[""])
async def test_past_the_cache_a_file_is_read_to_its_end_whatever_the_kernel_believes(mount: Mount, fs: Crossed) -> None:
    file = mount.path / "f"
    await mount.do(lambda _: file.write_bytes(b""))
    fs.mount = mount
    node = fs.nodes[2]
    node.resize(3)
    node.data[:] = b"new"
    assert await mount.do(lambda _: file.read_bytes()) == b"new"


@pytest.mark.parametrize("fs", [MemoryFs()], ids=[""])
async def test_no_thread_is_woken_for_what_the_kernel_does_not_hold(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[object, ...]] = []

    async def watched(function: Callable[..., object], *values: object) -> object:
        told.append(values)
        return function(*values)

    await mount.do(lambda path: (path / "f").write_bytes(b""))
    with monkeypatch.context() as patched:
        patched.setattr("xos.xtreemfs.fuse.session.asyncio.to_thread", watched)
        await mount.session.invalidate_inode(99)
        await mount.session.invalidate_entry(99, b"f")
        assert told == []
        await mount.session.invalidate_inode(2)
        assert len(told) == 1


@pytest.mark.parametrize("fs", [MemoryFs()], ids=[""])
@pytest.mark.parametrize("wishes", [Wishes(features=DEFAULT_FEATURES | InitFlag.WRITEBACK_CACHE)], ids=["write-back"])
async def test_write_back_is_offered_and_fsync_means_it(mount: Mount) -> None:
    def write(path: Path) -> bytes:
        fd = os.open(path / "f", os.O_CREAT | os.O_RDWR)
        try:
            for number in range(100):
                os.pwrite(fd, b"%03d" % number, 3 * number)
            os.fsync(fd)
            return bytes(mount.fs.nodes[2].data)
        finally:
            os.close(fd)

    assert mount.session.features & InitFlag.WRITEBACK_CACHE
    assert await mount.do(write) == b"".join(b"%03d" % number for number in range(100))


@pytest.mark.parametrize("fs", [MemoryFs()], ids=[""])
async def test_somebody_else_may_unmount(mount: Mount) -> None:
    await mount.sh("umount $M")
    async with asyncio.timeout(10):
        await mount.served


@pytest.mark.parametrize("fs", [MemoryFs()], ids=[""])
async def test_when_its_server_dies_programs_get_an_error_and_not_a_hang(mount: Mount) -> None:
    await mount.do(lambda path: (path / "f").write_bytes(b"x"))
    mount.served.cancel()
    await asyncio.wait([mount.served])
    with pytest.raises(OSError, match="not connected"):
        await mount.do(lambda path: (path / "f").stat())
    unmount(mount.path)


def test_a_mount_that_cannot_be_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotMounted, match="No such file"):
        mount_fd(tmp_path / "none", OPTIONS)
    with pytest.raises(NotMounted, match=r"Invalid argument|No such"):
        unmount(tmp_path)

# SPDX-License-Identifier: BSD-3-Clause
"""Our numbers are the kernel's: the C header is asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from xos.xtreemfs.fuse import abi

HEADER = Path("/usr/include/linux/fuse.h")
pytestmark = pytest.mark.skipif(not HEADER.exists() or shutil.which("gcc") is None, reason="needs linux/fuse.h and gcc")

STRUCTURES = {
    "fuse_in_header": abi.in_header,
    "fuse_out_header": abi.out_header,
    "fuse_attr": abi.attr,
    "fuse_getattr_in": abi.getattr_in,
    "fuse_setattr_in": abi.setattr_in,
    "fuse_mknod_in": abi.mknod_in,
    "fuse_mkdir_in": abi.mkdir_in,
    "fuse_rename_in": abi.rename_in,
    "fuse_rename2_in": abi.rename2_in,
    "fuse_link_in": abi.link_in,
    "fuse_open_in": abi.open_in,
    "fuse_open_out": abi.open_out,
    "fuse_create_in": abi.create_in,
    "fuse_read_in": abi.read_in,
    "fuse_write_in": abi.write_in,
    "fuse_write_out": abi.write_out,
    "fuse_statfs_out": abi.statfs_out,
    "fuse_release_in": abi.release_in,
    "fuse_flush_in": abi.flush_in,
    "fuse_fsync_in": abi.fsync_in,
    "fuse_getxattr_in": abi.getxattr_in,
    "fuse_getxattr_out": abi.getxattr_out,
    "fuse_lk_in": abi.lk_in,
    "fuse_lk_out": abi.lk_out,
    "fuse_access_in": abi.access_in,
    "fuse_init_in": abi.init_in,
    "fuse_init_out": abi.init_out,
    "fuse_interrupt_in": abi.interrupt_in,
    "fuse_forget_in": abi.forget_in,
    "fuse_batch_forget_in": abi.batch_forget_in,
    "fuse_forget_one": abi.forget_one,
    "fuse_fallocate_in": abi.fallocate_in,
    "fuse_lseek_in": abi.lseek_in,
    "fuse_lseek_out": abi.lseek_out,
    "fuse_copy_file_range_in": abi.copy_file_range_in,
    "fuse_dirent": abi.dirent,
    "fuse_notify_inval_inode_out": abi.notify_inval_inode_out,
    "fuse_notify_inval_entry_out": abi.notify_inval_entry_out,
    "fuse_notify_delete_out": abi.notify_delete_out,
    "fuse_notify_store_out": abi.notify_store_out,
}
NUMBERS = {
    **{f"FUSE_{code.name}": code.value for code in abi.Opcode if code is not abi.Opcode.STATX},
    **{
        f"FUSE_{flag.name}": flag.value
        for flag in abi.InitFlag
        if flag not in (abi.InitFlag.PASSTHROUGH, abi.InitFlag.DIRECT_IO_ALLOW_MMAP)  # newer than Debian 12's header
    },
    **{f"FATTR_{flag.name}": flag.value for flag in abi.SetattrValid},
    **{f"FOPEN_{flag.name}": flag.value for flag in abi.OpenFlag if flag is not abi.OpenFlag.PASSTHROUGH},
    **{f"FUSE_NOTIFY_{code.name}": code.value for code in abi.Notify},
    "FUSE_DEV_IOC_CLONE": abi.DEV_IOC_CLONE,
    "FUSE_LK_FLOCK": abi.LK_FLOCK,
    "FUSE_WRITE_CACHE": abi.WRITE_CACHE,
    "FUSE_WRITE_KILL_SUIDGID": abi.WRITE_KILL_SUIDGID,
    "FUSE_RELEASE_FLUSH": abi.RELEASE_FLUSH,
    "FUSE_RELEASE_FLOCK_UNLOCK": abi.RELEASE_FLOCK_UNLOCK,
    "FUSE_FSYNC_FDATASYNC": abi.FSYNC_FDATASYNC,
    "FUSE_GETATTR_FH": abi.GETATTR_FH,
    "FUSE_MIN_READ_BUFFER": abi.MIN_READ_BUFFER,
    "FUSE_KERNEL_VERSION": abi.KERNEL_VERSION,
}


def test_sizes_and_numbers_are_those_of_the_header(tmp_path: Path) -> None:
    rows = [f'printf("%zu\\n", sizeof(struct {name}));' for name in STRUCTURES]
    rows += [f'printf("%llu\\n", (unsigned long long){name});' for name in NUMBERS]
    source = tmp_path / "ask.c"
    source.write_text(
        "#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/fuse.h>\nint main(void){\n"
        + "\n".join(rows)
        + "}\n"
    )
    subprocess.run(["gcc", "-o", str(tmp_path / "ask"), str(source)], check=True)
    said = [int(line) for line in subprocess.check_output([str(tmp_path / "ask")], text=True).split()]
    sizes = [structure.size for structure in STRUCTURES.values()]
    assert dict(zip([*STRUCTURES, *NUMBERS], said, strict=True)) == dict(
        zip([*STRUCTURES, *NUMBERS], [*sizes, *NUMBERS.values()], strict=True)
    )

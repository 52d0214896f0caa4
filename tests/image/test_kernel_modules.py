# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules go the way of all packages: for each kernel, the same bytes, known to modprobe, loaded (slow)."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkouts import commit, git, snapshot
from xos.image import cache as caches
from xos.image.images import boot
from xos.image.images.bases.debian import root_plan
from xos.image.images.flavours import flavour
from xos.image.roots import Root, ensure, plans
from xos.image.rpms import make as rpms
from xos.image.rpms.package import with_tools
from xos.image.sandbox import Bind, Sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mmdebstrap") is None, reason="needs root and mmdebstrap"),
]
TOP = Path(__file__).parents[2]
GUEST_SECONDS = 400

MODULE = r"""
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>
static int __init hello(void) { pr_info("xos_hello: loaded\n"); return 0; }
static void __exit goodbye(void) { pr_info("xos_hello: unloaded\n"); }
module_init(hello);
module_exit(goodbye);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Says that it was loaded");
"""
SPEC = """\
%global xos_sources kernel-modules
Name:           xos-hello
Version:        0.1.0
Release:        %{xos_release}
Summary:        Says that it was loaded
License:        GPL-2.0-only
Source0:        %{name}-%{version}.tar
BuildRequires:  deb(gcc) deb(make) deb(linux-headers-amd64)
%xos_kernel_packages

%description
A module that says that it was loaded.

%prep
%autosetup

%build
%xos_kernel_build kernel-modules/xos_hello

%install
%xos_kernel_install

%files
%license kernel-modules/LICENSE

%changelog
* Sun Nov 22 2026 XtreemOS contributors - 0.1.0-1
- First package
"""
INIT = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    char line[256];
    mount("proc", "/proc", "proc", 0, NULL);
    int module = open("/xos_hello.ko", O_RDONLY);
    printf("insmod: %ld\n", syscall(SYS_finit_module, module, "", 0));
    FILE *modules = fopen("/proc/modules", "r");
    while (modules && fgets(line, sizeof line, modules)) printf("module: %s", line);
    printf("rmmod: %ld\n", syscall(SYS_delete_module, "xos_hello", 0));
    fflush(stdout);
    return reboot(RB_AUTOBOOT);
}
"""


def quiet(_line: str) -> None:
    """Progress nobody looks at."""


class Made:
    """The packages of a tiny module, and a root that has a kernel."""

    def __init__(self, cache: Path, place: Path) -> None:
        self.cache, self.place, self.log = cache, place, place / "log"
        self.checkout = place / "checkout"
        (self.checkout / "specs").mkdir(parents=True)
        shutil.copy(TOP / "specs/rpmlint.toml", self.checkout / "specs")
        (self.checkout / "specs/xos-hello.spec").write_text(SPEC)
        source = self.checkout / "kernel-modules/xos_hello"
        source.mkdir(parents=True)
        shutil.copy(TOP / "kernel-modules/LICENSE", source.parent)
        (source / "xos_hello.c").write_text(MODULE)
        (source / "Kbuild").write_text("obj-m := xos_hello.o\n")
        git(self.checkout, "init", "-q")
        commit(self.checkout, "the module", int(time.time()))
        self.rpms = self.build(cache, self.checkout, place / "rpms", "xos-hello")
        self.common = self.build(cache, snapshot(TOP, place / "top"), place / "common", "xos-common")
        self.system: Root = asyncio.run(self._system())
        self.kernels = sorted(
            path.parent.name for path in (self.system.path / "usr/lib/modules").glob("*/modules.order")
        )

    @staticmethod
    def build(cache: Path, checkout: Path, out: Path, package: str) -> Path:
        options = rpms.Options(checkout=checkout, out=out, cache=cache, only=(package,))
        asyncio.run(rpms.make_rpms(options, quiet))
        return out

    async def _system(self) -> Root:
        core = flavour("core", TOP / "iso/flavours")
        return await ensure("live", root_plan(plans().base, core, "live"), self.cache, quiet)

    def run(self, root: Root, script: str, *binds: Bind) -> str:
        sandbox = Sandbox(root=root.path, scratch=self.cache / "tmp").also(*binds)
        return asyncio.run(sandbox.run(["bash", "-euc", script], step="the script", log=self.log)).decode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with caches.opened(caches.cache_directory()) as cache:
        yield Made(cache, tmp_path_factory.mktemp("module"))


def test_there_is_a_package_for_every_kernel_that_an_image_holds(made: Made) -> None:
    assert made.kernels
    for kernel in made.kernels:
        assert list(made.rpms.glob(f"xos-hello-{kernel}-0.1.0-*.x86_64.rpm"))


def test_modprobe_knows_the_module_as_long_as_its_package_is_installed(made: Made) -> None:
    told = made.run(
        made.system,
        "rpm -U --nosignature /common/*.rpm /rpms/*.rpm >&2\n"
        "rpm -V $(rpm -qa 'xos-hello*')\n"
        f"for kernel in {' '.join(made.kernels)}; do\n"
        "  modinfo -k $kernel -F description xos_hello\n"
        "  modprobe -S $kernel --show-depends xos_hello\n"
        "  stat -c %a:%U /usr/lib/modules/$kernel/extra/xos_hello.ko\n"
        "done\n"
        "rpm -e $(rpm -qa 'xos-hello*')\n"
        f"! grep xos_hello /usr/lib/modules/{made.kernels[0]}/modules.dep\n",
        Bind(made.common, "/common"),
        Bind(made.rpms, "/rpms"),
    )
    assert told.count("Says that it was loaded\n") == len(made.kernels)
    assert told.count("/extra/xos_hello.ko") == len(made.kernels)
    assert told.count("644:root\n") == len(made.kernels)


def test_two_builds_in_different_places_give_the_same_bytes(made: Made, tmp_path: Path) -> None:
    def digests(out: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("xos-hello*.rpm")}

    place = tmp_path / "elsewhere-with-a-longer-name"
    subprocess.run(["git", "clone", "-q", str(made.checkout), str(place)], check=True)
    with caches.opened(tmp_path / "cache") as cache:
        (cache / "roots").symlink_to(made.cache / "roots")
        again = made.build(cache, place, tmp_path / "rpms", "xos-hello")
    assert digests(again) == digests(made.rpms)


@pytest.mark.skipif(shutil.which(boot.QEMU) is None, reason="needs QEMU")
def test_the_kernel_loads_it(made: Made, tmp_path: Path) -> None:
    kernel = made.kernels[-1]
    (tmp_path / "init.c").write_text(INIT)
    made.run(made.system, f"cp /boot/vmlinuz-{kernel} /out/vmlinuz", Bind(tmp_path, "/out", writable=True))
    build = with_tools(asyncio.run(rpms.open_roots(made.cache, quiet))[1].path, made.cache / "tmp")
    script = (
        "mkdir -p /build/proc && cd /build && gcc -O2 -static -o init /out/init.c\n"
        f"rpm2cpio /rpms/xos-hello-{kernel}-*.rpm | cpio -i --quiet --to-stdout '*.ko' >xos_hello.ko\n"
        "find . | cpio --quiet -o -H newc >/out/initrd"
    )
    bound = build.also(Bind(tmp_path, "/out", writable=True), Bind(made.rpms, "/rpms"))
    asyncio.run(bound.run(["bash", "-euc", script], step="the guest", log=made.log))
    guest = [boot.QEMU, "-machine", "q35", "-accel", "tcg", "-cpu", "qemu64", "-m", "512", "-display", "none"]
    guest += ["-no-reboot", "-serial", "stdio", "-kernel", str(tmp_path / "vmlinuz")]
    guest += ["-initrd", str(tmp_path / "initrd"), "-append", "console=ttyS0 panic=-1 mitigations=off quiet loglevel=7"]
    done = subprocess.run(guest, capture_output=True, text=True, timeout=GUEST_SECONDS, stdin=subprocess.DEVNULL)
    assert "insmod: 0\n" in done.stdout.replace("\r", "")
    assert "xos_hello: loaded" in done.stdout
    assert "module: xos_hello " in done.stdout
    assert "xos_hello: unloaded" in done.stdout

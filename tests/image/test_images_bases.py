# SPDX-License-Identifier: BSD-3-Clause
"""A flavour stands on any RPM distribution: here on one of two packages, made for the test (slow; as root)."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xos.image import cache as caches
from xos.image.images import flavours
from xos.image.images.bases import BASES
from xos.image.images.bases.api import BaseCannot
from xos.image.images.bases.rpm import repo_file
from xos.image.images.flavours import BaseMismatch, RpmRepository
from xos.image.images.store import Store
from xos.image.images.tree import make_tree
from xos.image.repository import make as repository
from xos.image.rpms.make import open_roots
from xos.image.sandbox import Bind, Sandbox

FILESYSTEM = """
%global __os_install_post %nil
Name: filesystem
Version: 1
Release: 1
Summary: Directories, a shell and its libraries, in place of a distribution's own
License: MIT
AutoReqProv: no
Provides: /bin/sh /usr/bin/sh bash
%description
%summary
%install
cd %{buildroot}
mkdir -p etc usr/bin usr/lib64 usr/lib tmp var/log var/tmp run proc sys dev
ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64
echo 'ID=tiny' >etc/os-release
cp /usr/bin/bash /usr/bin/touch usr/bin/
ln -s bash usr/bin/sh
cp $(ldd /usr/bin/bash /usr/bin/touch | grep -o '/[^ :]*[.]so[^ ]*' | sort -u) usr/lib/
mv usr/lib/ld-linux* usr/lib64/
%files
/*
"""
GREETER = """
Name: greeter
Version: 2
Release: 1
Summary: Says hello
License: MIT
BuildArch: noarch
Requires: /bin/sh
%description
%summary
%install
mkdir -p %{buildroot}/etc
echo hello >%{buildroot}/etc/greeting
%post
touch /etc/greeted
%files
/etc/greeting
"""
FLAVOUR = """
summary = "On a distribution of the test's own"
base = "rpm"
packages = ["greeter"]
formats = ["tar"]
[rpm]
release = "1"
packages = ["filesystem"]
[[rpm.repositories]]
name = "tiny"
url = "{url}/x86_64/media/main"
key = "{key}/RPM-GPG-KEY-xtreemos"
"""


def declare(directory: Path, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "tiny.toml").write_text(text)
    return directory


GOOD = FLAVOUR.format(url="file:///r", key="file:///r")


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (GOOD.replace('base = "rpm"\n', ""), "rpm: not with base = debian"),
        (GOOD.replace("[rpm]", 'debian = ["vim"]\n[rpm]'), "debian: not with base = rpm"),
        (GOOD.partition("[rpm]")[0], r"rpm \(missing\): not with base = rpm"),
    ],
)
def test_what_is_not_of_its_base_is_refused(tmp_path: Path, mistake: str, told: str) -> None:
    with pytest.raises(BaseMismatch, match=told):
        flavours.flavour("tiny", declare(tmp_path, mistake))


def test_dnf_checks_the_signatures_of_a_base() -> None:
    found = repo_file(RpmRepository(name="a", url="https://h/r", key="https://h/key")).splitlines()
    assert {"baseurl=https://h/r", "gpgcheck=1", "gpgkey=https://h/key"} <= set(found)


async def test_an_rpm_base_makes_no_disk(tmp_path: Path) -> None:
    (tmp_path / "r/x86_64/media/main/repodata").mkdir(parents=True)
    (tmp_path / "r/x86_64/media/main/repodata/repomd.xml").touch()
    mine = flavours.flavour("tiny", declare(tmp_path, GOOD + "[disk]\nsize_mb = 512\n"))
    with pytest.raises(BaseCannot, match="the base rpm makes no disk systems"):
        await make_tree(mine, tmp_path / "r", Store(tmp_path), print, "disk")
    assert {name: base.name for name, base in BASES.items()} == {"debian": "debian", "rpm": "rpm"}


class Tiny:
    """The distribution and a repository of ours, signed with different keys, and how images are built from them."""

    def __init__(self, place: Path) -> None:
        self.place, self.cache = place, caches.cache_directory()
        with caches.opened(self.cache):
            for name, spec in (("base", FILESYSTEM), ("ours", GREETER)):
                asyncio.run(self._repository(name, spec))

    async def _repository(self, name: str, spec: str) -> None:
        _, tools = await open_roots(self.cache, lambda _: None)
        rpms = self.place / name / "rpms"
        rpms.mkdir(parents=True)
        (rpms / "it.spec").write_text(spec)
        log, binds = self.place / "log", (Bind(rpms, "/rpms", writable=True),)
        sandbox = Sandbox(root=tools.path, scratch=self.cache / "tmp", binds=binds)
        define = ["--define", "_rpmdir /rpms", "--define", "_build_name_fmt %{NAME}.rpm"]
        await sandbox.run(["rpmbuild", "-bb", *define, "/rpms/it.spec"], step="rpmbuild", log=log)
        given = self.place / name
        options = repository.Options(rpms=rpms, out=given / "repo", cache=self.cache, keys=given / "keys")
        await repository.make_repository(options, lambda _: None)

    def build(self, name: str, *, url: str = "", key: str = "") -> subprocess.CompletedProcess[str]:
        """In a cache of its own, but for the Debian root."""
        base = (self.place / "base/repo").as_uri()
        declared = declare(self.place / f"flavours-{name}", FLAVOUR.format(url=url or base, key=key or base))
        cache = self.place / f"cache-{name}"
        (cache / "roots").mkdir(parents=True)
        for root in (self.cache / "roots").glob("[bi][am]*-*"):
            (cache / "roots" / root.name).symlink_to(root)
        command = [sys.executable, "-m", "xos.image.cli", "build", "tiny", "--flavours", str(declared)]
        command += ["--cache", str(cache), "--repo", str(self.place / "ours/repo"), "--out", str(self.place / name)]
        return subprocess.run([*command, "--keys", str(self.place / "keys")], capture_output=True, text=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


real = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mmdebstrap") is None, reason="needs root and mmdebstrap"),
]


class TestForReal:
    pytestmark = real

    def test_dnf_installs_a_distribution_and_our_packages_in_it(self, tiny: Tiny) -> None:
        for name in ("a", "b"):
            done = tiny.build(name)
            assert done.returncode == 0, done.stderr
        sums = [(tiny.place / name / "SHA256SUMS").read_text() for name in ("a", "b")]
        assert sums[0] == sums[1]
        image = tiny.place / "a/xtreemos-tiny-x86_64.tar.zst"
        manifest = image.with_name(f"{image.name}.manifest").read_text()
        assert manifest == "rpm filesystem 1-1 x86_64\nrpm greeter 2-1 noarch\n"
        root = tiny.place / "root"
        root.mkdir()
        subprocess.run(["tar", "--zstd", "-xf", str(image), "-C", str(root)], check=True)
        shown = subprocess.run(["chroot", str(root), "/bin/sh", "-c", "echo $(</etc/greeting)"], capture_output=True)
        assert shown.stdout == b"hello\n"
        assert (root / "etc/greeted").exists()
        assert (root / "etc/hostname").read_text() == "xos-tiny\n"

    def test_packages_signed_by_somebody_else_are_refused(self, tiny: Tiny) -> None:
        done = tiny.build("foreign", key=(tiny.place / "ours/repo").as_uri())
        assert done.returncode == 1
        assert "making the base of tiny failed" in done.stderr
        assert "GPG" in done.stderr
        assert not (tiny.place / "foreign").exists()

    def test_a_repository_that_cannot_be_reached_is_told(self, tiny: Tiny) -> None:
        done = tiny.build("nowhere", url="http://127.0.0.1:9")
        assert done.returncode == 1
        assert "could not be fetched" in done.stderr

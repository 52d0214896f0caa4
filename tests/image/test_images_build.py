# SPDX-License-Identifier: BSD-3-Clause
"""Images made for real from a repository made for real, and booted (slow; as root).

The cache of `make rpms` is used for roots and packages; the images are made in caches of their own.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.checkouts import snapshot
from xos.image import cache as caches
from xos.image.images import boot
from xos.image.repository import make as repository
from xos.image.repository.make import CURRENT
from xos.image.rpms import make as rpms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mmdebstrap") is None, reason="needs root and mmdebstrap"),
]
TOP = Path(__file__).parents[2]
BOOT_SECONDS = 1800


class Repository:
    """A signed repository of what is in the checkout, and the roots that images are made from."""

    def __init__(self, cache: Path, place: Path) -> None:
        self.cache, self.path, self.keys = cache, place / "repo", place / "keys"
        with caches.opened(cache):
            made = rpms.Options(checkout=snapshot(TOP, place / "top"), out=place / "rpms", cache=cache)
            asyncio.run(rpms.make_rpms(made, lambda _: None))
            options = repository.Options(rpms=place / "rpms", out=self.path, cache=cache, keys=self.keys)
            asyncio.run(repository.make_repository(options, lambda _: None))
        (cache / "roots").mkdir(exist_ok=True)

    def command(self, place: Path, *words: str, repo: Path | None = None) -> list[str]:
        """Builds into ``place/out``, with the roots there are and a cache that is empty but for them."""
        cache = place / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        if not (cache / "roots").exists():
            (cache / "roots").symlink_to(self.cache / "roots")
        given = ["--cache", str(cache), "--repo", str(repo or self.path), "--out", str(place / "out")]
        given += ["--keys", str(self.keys)]
        return [sys.executable, "-m", "xos.image.cli", "build", *words, *given, "--flavours", str(TOP / "iso/flavours")]

    def build(self, place: Path, *words: str) -> Path:
        """The directory with the images; fails as the command does."""
        subprocess.run(self.command(place, *words), check=True, capture_output=True)
        return place / "out"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(caches.cache_directory(), tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def core(repo: Repository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with all images of a flavour."""
    return repo.build(tmp_path_factory.mktemp("core"), "core")


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def test_the_same_sources_make_the_same_bytes(repo: Repository, core: Path, tmp_path: Path) -> None:
    first, second = core, repo.build(tmp_path, "core")
    for name in ("SHA256SUMS", "SHA256SUMS.asc"):
        assert (first / name).read_text() == (second / name).read_text()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=second, check=True)
    assert {path.suffix for path in second.glob("xtreemos-core-*")} >= {".iso", ".qcow2", ".raw", ".vmdk", ".zst"}
    for kind in ("iso", "raw", "tar.zst"):
        listed = (first / f"xtreemos-core-x86_64.{kind}.manifest").read_text()
        assert "\nrpm xos-core 0.1.0-" in listed
        assert ("deb linux-image-amd64 " in listed) == (kind != "tar.zst")


def test_a_root_made_anew_gives_the_same_bytes(repo: Repository, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    (second / "cache/roots").mkdir(parents=True)
    for tools in (repo.cache / "roots").glob("images-*"):
        (second / "cache/roots" / tools.name).symlink_to(tools)
    sums = [(repo.build(place, "core", "--format", "tar") / "SHA256SUMS").read_text() for place in (first, second)]
    assert not next((second / "cache/roots").glob("base-*")).is_symlink()
    assert sums[0] == sums[1]


def test_gpg_finds_the_checksums_signed_by_the_repositorys_key(repo: Repository, core: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(core, tmp_path / "out", ignore=shutil.ignore_patterns("xtreemos-*")))
    gpg = ["gpg", "--batch", "--homedir", str(tmp_path / "gnupg")]
    (tmp_path / "gnupg").mkdir(mode=0o700)
    subprocess.run([*gpg, "--import", str(repo.path / "RPM-GPG-KEY-xtreemos")], check=True, capture_output=True)
    verify = [*gpg, "--verify", str(out / "SHA256SUMS.asc"), str(out / "SHA256SUMS")]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert "Good signature" in done.stderr
    (out / "SHA256SUMS").write_text((out / "SHA256SUMS").read_text().replace("0", "1", 1))
    assert subprocess.run(verify, capture_output=True).returncode != 0


def started(command: list[str], line: str) -> subprocess.Popen[str]:
    """A build that has just said *line*."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith(f"  {line}"):
            return process
    raise AssertionError(f"it ended with {process.wait()} and never said {line!r}")


@pytest.mark.parametrize("step", ["core (plain)", "core: tar.zst"])
def test_an_interrupted_build_leaves_nothing_mounted_and_the_next_goes_on(
    repo: Repository, tmp_path: Path, step: str
) -> None:
    before = mounts()
    with started(repo.command(tmp_path, "core", "--format", "tar"), step) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in told
    assert mounts() == before
    assert not (tmp_path / "cache/tmp").exists()
    assert not (tmp_path / "out").exists()
    assert list(repo.build(tmp_path, "core", "--format", "tar").glob("*.tar.zst"))


def bare_build(place: Path) -> list[str]:
    """A build with an empty cache: it begins with the roots."""
    words = ["build", "core", "--format", "tar", "--flavours", str(TOP / "iso/flavours")]
    return [sys.executable, "-m", "xos.image.cli", *words, "--cache", str(place / "cache")]


def test_a_root_that_was_interrupted_leaves_nothing_mounted(tmp_path: Path) -> None:
    before = mounts()
    words = [
        "build",
        "core",
        "--format",
        "tar",
        "--flavours",
        str(TOP / "iso/flavours"),
        "--cache",
        str(tmp_path / "cache"),
    ]
    with started([sys.executable, "-m", "xos.image.cli", *words], "images root") as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert mounts() == before
    assert list((tmp_path / "cache").glob("roots/*")) == []


def test_without_a_network_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOS_MIRROR", "http://127.0.0.1:9/debian")
    words = [
        "build",
        "core",
        "--format",
        "tar",
        "--flavours",
        str(TOP / "iso/flavours"),
        "--cache",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run([sys.executable, "-m", "xos.image.cli", *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert "could not be fetched" in done.stderr
    assert "XOS_MIRROR" in done.stderr


def test_a_disk_that_becomes_full_is_told_and_the_next_build_goes_on(repo: Repository, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(cache)], check=True)
    try:
        with started(repo.command(tmp_path, "core", "--format", "tar"), "core (plain)") as process:
            subprocess.run(["mount", "-o", "remount,size=100m", str(cache)], check=True)
            _, told = process.communicate(timeout=300)
        assert process.returncode == 1
        assert "installing core failed: the disk became full" in told
        assert not (cache / "trees").exists()
        subprocess.run(["mount", "-o", "remount,size=4g", str(cache)], check=True)
        assert list(repo.build(tmp_path, "core", "--format", "tar").glob("*.tar.zst"))
    finally:
        subprocess.run(["umount", "--lazy", str(cache)], check=True)


def test_an_image_that_finds_no_room_is_not_half_there(repo: Repository, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(out)], check=True)
    try:
        done = subprocess.run(repo.command(tmp_path, "core", "--format", "tar"), capture_output=True, text=True)
        assert done.returncode == 1
        assert "the disk became full" in done.stderr
        assert list(out.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", str(out)], check=True)


@pytest.mark.parametrize(("lists", "kind"), [("packages", "RPM"), ("debian", "Debian")])
def test_a_package_that_is_not_there_is_named(repo: Repository, tmp_path: Path, lists: str, kind: str) -> None:
    flavours = shutil.copytree(TOP / "iso/flavours", tmp_path / "flavours")
    declared = flavours / "core.toml"
    line = f"\n{lists} = ["
    assert line in declared.read_text()
    declared.write_text(declared.read_text().replace(line, f'{line}"no-such-{kind.lower()}", ', 1).replace(", ]", "]"))
    command = [*repo.command(tmp_path, "core", "--format", "tar"), "--flavours", str(flavours)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"no-such-{kind.lower()}" in done.stderr


def test_a_package_that_was_changed_is_in_no_image(repo: Repository, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(repo.path, tmp_path / "bad"))
    (package,) = (bad / CURRENT / "x86_64/media/main").glob("xos-core-0*.rpm")
    content = bytearray(package.read_bytes())
    content[-1] ^= 1
    package.write_bytes(content)
    done = subprocess.run(repo.command(tmp_path, "core", "--format", "tar", repo=bad), capture_output=True, text=True)
    assert done.returncode == 1
    assert "installing core failed" in done.stderr
    assert not (tmp_path / "out").exists()


def boot_it(image: Path, *more: str, until: str = "xos-core login: ") -> str:
    """What its console said until then."""
    command = [sys.executable, "-m", "xos.image.cli", "boot", str(image), "--until", until, *more]
    done = subprocess.run([*command, "--seconds", str(BOOT_SECONDS)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(errors="replace")


@pytest.mark.skipif(shutil.which(boot.QEMU) is None, reason="needs QEMU")
@pytest.mark.parametrize(
    ("form", "firmware"), [("iso", "bios"), ("iso", "uefi"), ("raw", "bios"), ("qcow2", "uefi"), ("vmdk", "uefi")]
)
def test_an_image_boots_to_a_login_prompt(core: Path, form: str, firmware: str) -> None:
    if firmware == "uefi" and not boot.OVMF.exists():
        pytest.skip("needs OVMF")
    assert "xos-core.target" in boot_it(core / f"xtreemos-core-x86_64.{form}", "--firmware", firmware)


@pytest.mark.skipif(shutil.which(boot.QEMU) is None, reason="needs QEMU")
@pytest.mark.parametrize(("name", "form"), [("client", "iso"), ("mobile", "iso"), ("ssi", "iso"), ("web", "qcow2")])
def test_the_other_flavours_boot_too(repo: Repository, tmp_path: Path, name: str, form: str) -> None:
    """The resource node's boots in tests/vm."""
    image = repo.build(tmp_path, name, "--format", form) / f"xtreemos-{name}-x86_64.{form}"
    boot_it(image, until=f"xos-{name} login: ")


@pytest.mark.skipif(shutil.which("systemd-nspawn") is None, reason="needs systemd-container")
def test_an_archive_boots_as_a_container(core: Path) -> None:
    before = mounts()
    boot_it(core / "xtreemos-core-x86_64.tar.zst")
    assert mounts() == before


def on_disk(disk: Path, file: str) -> str:
    """A file of the system on a disk whose machine was switched off while it ran."""
    system = f"{disk}?offset={64 << 20}"
    subprocess.run(["e2fsck", "-p", system], capture_output=True)  # 1: it took what the journal held
    return subprocess.run(["debugfs", "-R", f"cat {file}", system], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which(boot.QEMU) is None, reason="needs QEMU")
def test_a_copy_fills_its_disk_and_is_a_machine_of_its_own(core: Path, tmp_path: Path) -> None:
    made = core / "xtreemos-core-x86_64.raw"
    machines = set()
    for name in ("one", "two"):
        disk = tmp_path / f"{name}.raw"
        subprocess.run(["cp", "--sparse=always", made, disk], check=True)
        with disk.open("r+b") as file:
            file.truncate(6 << 30)
        said = boot_it(disk, "--keep", until="login: ")
        (blocks,) = re.findall(r"resized filesystem to (\d+)", said)
        assert int(blocks) * 4096 > 5.9 * 2**30
        machines.add(on_disk(disk, "/etc/machine-id").strip())
    assert len(machines) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", machine) for machine in machines)

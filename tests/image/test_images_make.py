# SPDX-License-Identifier: BSD-3-Clause
"""Images are made from what is declared, once, whole or not at all."""

import subprocess
from pathlib import Path

import pytest

from xos.image import cache as caches
from xos.image.errors import NothingBuilt, NotRoot, WrongMachine
from xos.image.images import flavours, make, tree
from xos.image.images.bases import debian
from xos.image.images.bases.api import INSIDE
from xos.image.images.flavours import Flavour
from xos.image.images.formats import EARLY, FORMATS, VOLUME, grub_menu
from xos.image.images.store import Store
from xos.image.roots import RootPlan

CORE = flavours.flavour("core", Path(__file__).parents[2] / flavours.DIRECTORY)
BASE = RootPlan(suite="trixie", packages=("systemd", "dnf"))


def flavour(tmp_path: Path, more: str = "") -> Flavour:
    (tmp_path / "mine.toml").write_text(
        f'summary = "s"\npackages = ["p"]\ndebian = ["vim", "dnf"]\nformats = ["tar"]\n[live]\n'
        f'debian = ["live-boot"]\nmost_mb = 1\n{more}'
    )
    return flavours.flavour("mine", tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """In a cache of its own."""
    with caches.opened(tmp_path / "cache"):
        pass
    (tmp_path / "cache/tmp").mkdir()
    return Store(tmp_path / "cache")


def test_a_root_has_what_every_node_has_and_each_package_once(tmp_path: Path) -> None:
    mine = flavour(tmp_path, '[disk]\ndebian = ["grub"]\nsize_mb = 512\n')
    assert debian.root_plan(BASE, mine, "plain").packages == ("systemd", "dnf", "vim")
    assert debian.root_plan(BASE, mine, "live").packages == ("systemd", "dnf", "vim", "live-boot")
    assert debian.root_plan(BASE, mine, "disk").packages == ("systemd", "dnf", "vim", "grub")


def test_the_time_is_given_or_that_of_the_newest_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert tree.epoch(5, "<repomd><revision>1700000000</revision>") == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert tree.epoch(5, "<revision>1700000000</revision>") == 1_234_567_890


def test_grub_boots_the_live_system_with_the_declared_options() -> None:
    menu = grub_menu(CORE).splitlines()
    assert "    linux /live/vmlinuz boot=live console=tty0 console=ttyS0,115200" in menu
    assert 'menuentry "XtreemOS core, live" {' in menu


def test_grub_finds_the_medium_by_the_name_that_it_is_given() -> None:
    assert f"--label {VOLUME} " in EARLY
    assert FORMATS["iso"].arguments(CORE) == (VOLUME,)


def test_every_format_has_its_script_and_may_be_declared(tmp_path: Path) -> None:
    for chosen in FORMATS.values():
        assert (INSIDE / chosen.script).stat().st_mode & 0o111
    assert FORMATS["iso"].most_mb(flavour(tmp_path)) == 1
    assert FORMATS["tar"].most_mb(flavour(tmp_path)) is None
    assert FORMATS["qcow2"].arguments(CORE) == ("qcow2", "2048")


async def test_a_result_is_made_once(store: Store) -> None:
    said: list[str] = []
    made: list[Path] = []

    async def work(draft: Path, log: Path) -> None:
        log.touch()
        made.append(draft)
        (draft / "it").write_text("done")

    first = await store.ensure("things", "key", "a thing", work, said.append)
    again = await store.ensure("things", "key", "a thing", work, said.append)
    assert first == again
    assert (first / "it").read_text() == "done"
    assert len(made) == 1
    assert said[0] == "  a thing ..."


async def test_of_a_result_that_failed_nothing_is_kept(store: Store) -> None:
    async def work(draft: Path, _log: Path) -> None:
        (draft / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.ensure("things", "key", "a thing", work, lambda _: None)
    assert not (store.cache / "things").exists()
    with caches.opened(store.cache):
        assert list((store.cache / "tmp").iterdir()) == []


async def test_without_root_or_packages_nothing_is_begun(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = make.Options(repo=tmp_path / "repo", out=tmp_path / "out", cache=store.cache, keys=tmp_path / "keys")
    with pytest.raises(NothingBuilt):
        await tree.make_tree(CORE, options.repo, store, print, "plain")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NotRoot):
        await make.build(CORE, ("tar",), options, print)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(WrongMachine, match="this machine is aarch64"):
        await make.build(CORE, ("tar",), options, print)
    assert not options.out.exists()


def test_an_image_that_is_too_large_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"\0" * ((1 << 20) + 1))
    mine = flavour(tmp_path)
    with pytest.raises(make.ImageTooLarge) as told:
        make.check_size(mine, FORMATS["iso"], image)
    assert told.value.message == "the image of mine has 2 MB, its file allows 1 MB"
    make.check_size(mine, FORMATS["tar"], image)


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        ((), ()),
        (("6.12.1", "6.12.2"), ()),
        (("6.12.1",), ("6.12.2",)),
        (("6.11.0",), ("6.12.1", "6.12.2")),
    ],
)
def test_every_kernel_of_an_image_has_every_module_of_ours(
    tmp_path: Path, there: tuple[str, ...], lacking: tuple[str, ...]
) -> None:
    for kernel in ("6.12.1", "6.12.2"):
        (tmp_path / kernel).mkdir()
        (tmp_path / kernel / "modules.order").touch()
    for kernel in there:
        (tmp_path / kernel / "extra").mkdir(parents=True)
        (tmp_path / kernel / "extra/xos_hello.ko").touch()
    files = "/usr/bin/xsub\n" + "".join(f"/usr/lib/modules/{kernel}/extra/xos_hello.ko\n" for kernel in there)
    done = subprocess.run([tree.BOOT / "check-modules", tmp_path], input=files, text=True, capture_output=True)
    assert done.returncode == (1 if lacking else 0)
    assert [line.split()[1] for line in done.stderr.splitlines() if line.startswith("kernel ")] == list(lacking)


def test_where_a_repository_lies_on_this_machine_makes_no_difference_to_an_image() -> None:
    here = "[xtreemos]\nbaseurl=file:///home/me/build/repo/x86_64/media/main\n"
    assert tree.served(here) == tree.served(here.replace("me", "you")) == ""
    there = here.replace("file:///home/me", "https://example.org")
    assert tree.served(there) == there

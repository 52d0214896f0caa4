# SPDX-License-Identifier: BSD-3-Clause
"""The pairs of medium and firmware that the story of two machines has not: ISO by UEFI, image by UEFI."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm.conftest import hashed, image, new_disk
from vm.guest import cd, command, disk, running

BOOT_SECONDS = 1800.0
PASSWORD = "over the hill"
pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(4800)]


def test_the_iso_boots_by_uefi_to_a_login_prompt_and_lists_disks(place: Path) -> None:
    small = new_disk(place / "small.qcow2", "1G")
    words = command(*cd(image("xtreemos-core-x86_64.iso")), *disk(small), firmware="uefi", memory_mb=2048)
    with running("live", words, place / "live-uefi.log") as live:
        live.log_in("root", None, BOOT_SECONDS)
        assert "/dev/vda" in live.run("xos-install --list")
        # A disk that is too small, the medium itself, a disk that is not there: refused, and nothing is written.
        before = live.run("sha256sum </dev/vda", 900.0)
        for name, told in (("vda", "needs 2048 MB"), ("sr0", "not a disk that"), ("vdz", "no such disk")):
            live.run(f"printf '[install]\\ndisk = \"/dev/{name}\"\\n' >/tmp/answers.toml")
            assert told in live.run("xos-install --answers /tmp/answers.toml 2>&1 && echo done || :")
        assert live.run("sha256sum </dev/vda", 900.0) == before


def test_an_installation_that_is_killed_or_finds_no_room_ends_whole_and_the_next_one_begins_anew(place: Path) -> None:
    target = new_disk(place / "twice.qcow2", "6G")
    words = command(*cd(image("xtreemos-core-x86_64.iso")), *disk(target), memory_mb=2048)
    with running("twice", words, place / "twice.log") as live:
        live.log_in("root", None, BOOT_SECONDS)
        live.run('printf \'[install]\\ndisk = "/dev/vda"\\nthen = "nothing"\\n\' >/tmp/answers.toml')
        begin = "xos-install --answers /tmp/answers.toml >/tmp/out 2>&1 &"
        begin += " until grep -q 'copying the system' /tmp/out || ! kill -0 $!; do sleep 1; done"
        live.run(f"set +m; {begin}", 900.0)
        # What was killed may still write for a while: the next one waits for that itself.
        live.run("kill -KILL $!; wait $! || :")
        live.run(begin, 900.0)
        assert "begins anew" in live.run("cat /tmp/out")
        room = "$(df --output=avail --block-size=1M $there | tail -n 1)"
        live.run(f"there=$(findmnt -no TARGET /dev/vda3); fallocate -l $(({room} - 20))M $there/hole")
        assert live.run("wait $!; echo $?", 1800.0) != "0"
        assert "the disk is full" in live.run("cat /tmp/out")
        assert live.run("grep xos-install- /proc/mounts || :") == ""


def test_the_image_boots_by_uefi_and_takes_answers_by_credential(place: Path) -> None:
    overlay = new_disk(place / "uefi.qcow2", "6G", like=image("xtreemos-resource-x86_64.qcow2"))
    answers = f'hostname = "some-node"\n[system]\nroot_password_hash = "{hashed(PASSWORD)}"\n'
    with running("image", command(*disk(overlay), firmware="uefi", answers=answers), place / "uefi.log") as guest:
        guest.log_in("root", PASSWORD, BOOT_SECONDS)
        assert guest.run("hostname") == "some-node"
        assert guest.said("is not a node of XtreemOS yet")
        # The file system has filled the disk.
        assert int(guest.run("df --output=size --block-size=1M / | tail -1")) > 5000

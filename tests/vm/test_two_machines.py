# SPDX-License-Identifier: BSD-3-Clause
"""The road of a real site: a core from the ISO, a resource node from the qcow2 image, a cable, a job.

One story in several tests, each goes on from the one before. The ISO and the qcow2 image boot by BIOS, the disk that
was installed boots by UEFI.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm.conftest import hashed, image, new_disk
from vm.guest import Guest, cable, cd, command, disk, running, seed

PASSWORD = "under the bridge"
BOOT_SECONDS = 1800.0
INSTALL_SECONDS = 2400.0
CORE_ANSWERS = """#cloud-config
xos:
  role: core
  hostname: core1
  network:
    address: 10.88.0.1/24
  system:
    root_password_hash: "{hash}"
  core:
    vo: demo
    administrator: carol
    nodes: [node1]
  install:
    disk: /dev/disk/by-id/virtio-system
    then: poweroff
"""
NODE_ANSWERS = """
role = "resource"
[network]
address = "10.88.0.2/24"
[system]
root_password_hash = "{hash}"
[resource]
token = "{word}"
slots = 2
vos = ["demo"]
"""
pytestmark = [pytest.mark.vm, pytest.mark.timeout(4800)]


class Story:
    """What the tests share."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self.place, self._stack = place, stack
        self.disk = place / "core.qcow2"
        self.core: Guest | None = None
        self.node: Guest | None = None

    def boot(self, name: str, words: list[str]) -> Guest:
        return self._stack.enter_context(running(name, words, self.place / f"{name}.log"))


@pytest.fixture(scope="module")
def story(place: Path) -> Iterator[Story]:
    with contextlib.ExitStack() as stack:
        yield Story(place, stack)


def core_of(story: Story) -> Guest:
    if story.core is None:
        pytest.skip("the core does not run")
    return story.core


def settle(guest: Guest) -> None:
    """Wait until the system has started whole; until then its messages come between what commands say."""
    guest.run("systemctl is-system-running --wait || :", BOOT_SECONDS)
    assert guest.run("systemctl is-system-running || systemctl --failed --no-legend") == "running"


def test_the_iso_boots_by_bios_and_installs_to_an_empty_disk_with_no_hand_on_it(story: Story) -> None:
    iso = image("xtreemos-core-x86_64.iso")
    new_disk(story.disk, "6G")
    volume = story.place / "seed"
    volume.mkdir()
    (volume / "user-data").write_text(CORE_ANSWERS.format(hash=hashed(PASSWORD)))
    (volume / "meta-data").write_text("instance-id: core1\n")
    words = command(*cd(iso), *disk(story.disk), *seed(volume), memory_mb=2048)
    with running("install", words, story.place / "install.log") as live:
        live.until(r"login: ", BOOT_SECONDS)
        live.ended(INSTALL_SECONDS)
        assert live.said(r"core is on /dev/vda")
        # The live system was told to install, not to become a node itself.
        assert not live.said("VO demo")


def test_the_disk_boots_by_uefi_and_is_a_core_that_runs(story: Story) -> None:
    words = command(*disk(story.disk), *cable(story.place / "cable", 1, first=True), firmware="uefi")
    core = story.boot("core", words)
    core.log_in("root", PASSWORD, BOOT_SECONDS)
    settle(core)
    assert core.run("systemctl is-active xos-core.target dixid@core.service") == "active\nactive"
    assert core.run("hostname") == "core1"
    # A serial line that is found late still gets its login prompt.
    assert core.run("systemctl show --property=DefaultDeviceTimeoutUSec --value") == "5min"
    story.core = core


def test_all_that_was_installed_is_as_it_was_packaged(story: Story) -> None:
    core = core_of(story)
    assert core.run("rpm -Va 'xos*'", 900.0) == ""
    installed = core.run("rpm -qa 'xos*'")
    assert "xos-core-" in installed
    assert "xos-install" not in installed
    assert core.run("dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' | grep ' live-' || :") == ""


def test_nothing_secret_of_the_answers_is_left(story: Story) -> None:
    core = core_of(story)
    assert core.run("ls /etc/xos/answers.toml 2>&1 || :").endswith("No such file or directory")
    assert core.run("stat -c %a /root/xos-join-words/node1 /root/xos-administrator-password") == "600\n600"


def test_the_image_with_a_join_word_in_a_credential_becomes_a_node(story: Story) -> None:
    core = core_of(story)
    qcow2 = image("xtreemos-resource-x86_64.qcow2")
    overlay = new_disk(story.place / "node.qcow2", "6G", like=qcow2)
    answers = NODE_ANSWERS.format(hash=hashed(PASSWORD), word=core.run("cat /root/xos-join-words/node1"))
    words = command(*disk(overlay), *cable(story.place / "cable", 2, first=False), answers=answers)
    node = story.boot("node", words)
    node.log_in("root", PASSWORD, BOOT_SECONDS)
    settle(node)
    assert node.run("systemctl is-active xos-resource.target dixid@resource.service") == "active\nactive"
    told = json.loads(node.run("xos-setup show --json"))
    assert (told["node"], told["core"]) == ("node1", "10.88.0.1:6740")
    story.node = node


def test_a_job_submitted_on_the_one_runs_on_the_other(story: Story) -> None:
    core = core_of(story)
    if story.node is None:
        pytest.skip("the node does not run")
    core.run("useradd --create-home alice")
    core.run("head -c 15 /dev/urandom | base64 >/root/alice; install -m 600 -o alice /root/alice /home/alice/password")
    core.run("xos-vo add-user demo alice --password-file /root/alice")
    core.run("runuser -l alice -c 'get-xos-cert demo alice --password-file password --no-passphrase'")
    job = core.run("runuser -l alice -c 'xsub -- /bin/cat /etc/hostname'").split()[0]
    core.run(f"runuser -l alice -c 'xwait {job}'", 900.0)
    assert "node1" in core.run(f"runuser -l alice -c 'xout {job}'")

# SPDX-License-Identifier: BSD-3-Clause
"""What a file system is turned into."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from xos.image.images.flavours import KINDS, Flavour, Format, Kind

VOLUME = "XTREEMOS"
"""By this label GRUB finds the medium."""

EARLY = f"search --no-floppy --label {VOLUME} --set=root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"


class ImageFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A format: what packs a file system in the root of the tools."""

    name: Format
    suffix: str
    script: str
    """In ``inside/``: makes /run/out/image."""
    arguments: Callable[[Flavour], tuple[str, ...]] = lambda _: ()
    files: Callable[[Flavour], Mapping[str, str]] = lambda _: {}
    """What the script finds in /run/files."""
    most_mb: Callable[[Flavour], int | None] = lambda _: None
    """The largest image allowed, in MiB; None: any."""

    @property
    def kind(self) -> Kind:
        """The kind of system that it holds."""
        return KINDS[self.name]


def grub_menu(flavour: Flavour) -> str:
    """GRUB's menu, on screen and serial line."""
    options = " ".join(("boot=live", *flavour.live.kernel_options))
    return (
        "serial --unit=0 --speed=115200\n"
        "terminal_input console serial\n"
        "terminal_output console serial\n"
        "set timeout=3\n"
        f'menuentry "XtreemOS {flavour.name}, live" {{\n'
        f"    linux /live/vmlinuz {options}\n"
        "    initrd /live/initrd.img\n"
        "}\n"
    )


def _disk(name: Format) -> ImageFormat:
    """A disk for machines: BIOS and UEFI."""
    return ImageFormat(
        name=name, suffix=name, script="make-disk", arguments=lambda flavour: (name, str(flavour.disk.size_mb))
    )


FORMATS: Mapping[Format, ImageFormat] = {
    # A live medium for CD and stick, BIOS and UEFI, with the repository.
    "iso": ImageFormat(
        name="iso",
        suffix="iso",
        script="make-iso",
        arguments=lambda _: (VOLUME,),
        files=lambda flavour: {"grub.cfg": grub_menu(flavour), "early.cfg": EARLY},
        most_mb=lambda flavour: flavour.live.most_mb,
    ),
    "qcow2": _disk("qcow2"),  # compressed; QEMU, KVM, OpenStack
    "raw": _disk("raw"),  # sparse; to be written to a disk or stick
    # A compressed archive, without kernel: for containers and chroots.
    "tar": ImageFormat(name="tar", suffix="tar.zst", script="make-tar"),
    "vmdk": _disk("vmdk"),  # compressed (streamOptimized); VMware, VirtualBox
}

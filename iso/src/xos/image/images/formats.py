# SPDX-License-Identifier: BSD-3-Clause
"""What a file system is turned into."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from xos.image.images.flavours import Declared, Flavour, Format

VOLUME = "XTREEMOS"
"""By this label GRUB finds the medium."""

EARLY = f"search --no-floppy --label {VOLUME} --set=root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"


class ImageFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A format: which file system it needs, and what packs it in the root of the tools."""

    suffix: str
    live: bool
    """Whether it is made from the live file system."""
    script: str
    """In ``inside/``: makes /run/out/image."""
    arguments: tuple[str, ...] = ()
    files: Callable[[Flavour], Mapping[str, str]]
    """What the script finds in /run/files."""
    most_mb: Callable[[Declared], int | None]
    """The largest image allowed, in MiB; None: any."""


def grub_menu(flavour: Flavour) -> str:
    """GRUB's menu, on screen and serial line."""
    options = " ".join(("boot=live", *flavour.declared.live.kernel_options))
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


FORMATS: Mapping[Format, ImageFormat] = {
    # A live medium for CD and stick, BIOS and UEFI, with the repository.
    "iso": ImageFormat(
        suffix="iso",
        live=True,
        script="make-iso",
        arguments=(VOLUME,),
        files=lambda flavour: {"grub.cfg": grub_menu(flavour), "early.cfg": EARLY},
        most_mb=lambda declared: declared.live.most_mb,
    ),
    # A compressed archive, without kernel: for containers and chroots.
    "tar": ImageFormat(suffix="tar.zst", live=False, script="make-tar", files=lambda _: {}, most_mb=lambda _: None),
}

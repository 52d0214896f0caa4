# SPDX-License-Identifier: BSD-3-Clause
"""Images: what making one costs, how large it is, how long it takes to boot."""

from __future__ import annotations

from functools import partial

from bench import image_maker as of
from bench.image_maker import Prepare
from bench.model import Better, Row, Side
from bench.ours import image as ours
from bench.peers import image as peers

NEAR = 1 / 1.15
"""Within 15 %."""
SAME = (
    "Both begin with nothing but their tools, fetch the same Debian packages, and have our RPMs in the image; ours "
    "also checks signatures, and makes bill of materials, list of files and signed checksums."
)


def _rows(group: str, mine: Prepare, other: Prepare, names: tuple[str, str], needs: str, firmware: str) -> list[Row]:
    """The four figures of two images."""

    def side(measure: of.Asked, who: int) -> Side:
        prepare = (mine, other)[who]
        return Side(names[who], partial(measure, prepare=prepare), needs=needs if who else "")

    def row(name: str, title: str, unit: str, measure: of.Asked, goal: float | None = None, note: str = "") -> Row:
        return Row(
            name=f"{group}-{name}",
            title=title,
            unit=unit,
            better=Better.LESS,
            ours=side(measure, 0),
            peer=side(measure, 1),
            goal=goal,
            repetitions=1,
            work="image",
            note=note,
        )

    boots = partial(of.boot_seconds, firmware=firmware)
    return [
        row("cpu", f"{names[0]}, made from nothing", "CPU s", of.cpu_seconds, NEAR, SAME),
        row("wall", "the same, on the clock", "s", of.wall_seconds, NEAR),
        row("size", "its size", "MB", of.megabytes),
        row("boot", f"from switching on to the login prompt ({firmware.upper()}, emulated)", "s", boots),
    ]


ROWS = [
    *_rows("image-iso", ours.live, peers.bare, ("xos-image, live ISO", "bare tools"), "", "bios"),
    *_rows("image-disk", ours.disk, peers.mkosi, ("xos-image, disk", "mkosi, disk"), "mkosi", "uefi"),
]

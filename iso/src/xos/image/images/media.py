# SPDX-License-Identifier: BSD-3-Clause
"""What a file that somebody wants to boot is, by its content and never by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from xos.image.errors import ImageError

Form = Literal["iso", "qcow2", "raw", "vmdk", "tar", "directory"]
CONTAINERS: frozenset[Form] = frozenset({"tar", "directory"})
"""What has no kernel of its own."""

_MARKS: tuple[tuple[Form, int, bytes], ...] = (
    ("iso", 16 * 2048 + 1, b"CD001"),
    ("qcow2", 0, b"QFI\xfb"),
    ("vmdk", 0, b"KDMV"),
    ("raw", 512, b"EFI PART"),
    ("tar", 0, b"\x28\xb5\x2f\xfd"),  # Zstandard
)
"""Our ISOs have a GPT too: the order matters."""


class NotAnImage(ImageError):
    """Raised when a file cannot be booted: it is not there, or nothing that we know."""

    code = "image.not-an-image"
    template = "{file}: {detail}"
    hint = "xos-image build FLAVOUR makes one"


def form_of(image: Path) -> Form:
    """What *image* is. Raises `NotAnImage`."""
    if (image / "usr/lib/systemd").is_dir():
        return "directory"
    try:
        with image.open("rb") as file:
            for form, offset, mark in _MARKS:
                file.seek(offset)
                if file.read(len(mark)) == mark:
                    return form
    except OSError as error:
        raise NotAnImage(file=str(image), detail=error.strerror or str(error)) from error
    raise NotAnImage(file=str(image), detail="this is neither an ISO, a disk (raw, qcow2, vmdk) nor a tar.zst archive")

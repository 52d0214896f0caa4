# SPDX-License-Identifier: BSD-3-Clause
"""The live medium: where the system, the repository and the boot code are."""

from __future__ import annotations

from pathlib import Path

import msgspec

from xos.setup.install.errors import NoMedium, UnknownFlavour
from xos.setup.node.answers import ROLES

ROLE_PACKAGE = "xos-{}"


class Medium(msgspec.Struct, frozen=True):
    """A live system's medium. Paths are those of live-boot(7)."""

    path: Path = Path("/run/live/medium")
    system: Path = Path("/run/live/rootfs/filesystem.squashfs")
    """Its file system, as it was made: nothing that was changed since the boot."""

    @property
    def install(self) -> Path:
        """Layout and boot code of disks."""
        return self.path / "install"

    @property
    def repository(self) -> Path:
        """The signed packages."""
        return self.path / "repository"

    @property
    def initrd(self) -> Path:
        """An initrd with the modules for any machine."""
        return self.path / "live/initrd.img"

    def check(self) -> None:
        """Raises `NoMedium` unless everything is there."""
        boot = ("layout.sfdisk", "make-disk-system", "write-boot-code", "boot.img", "core.img", "BOOTX64.EFI")
        wanted = [self.system, self.repository, self.initrd, *(self.install / name for name in boot)]
        for path in wanted:
            if not path.exists():
                raise NoMedium(detail=f"there is no {path}")

    @property
    def own(self) -> str:
        """The flavour that the live system is."""
        return next(role for role in ROLES if self._is_installed(role))

    @property
    def flavours(self) -> tuple[str, ...]:
        """What can be installed: roles whose package is in the repository."""
        main = self.repository / "x86_64/media/main"
        return tuple(role for role in ROLES if any(main.glob(f"{ROLE_PACKAGE.format(role)}-[0-9]*.rpm")))

    def flavour(self, wanted: str | None) -> str:
        """*wanted*, or the medium's own. Raises `UnknownFlavour`."""
        chosen = wanted or self.own
        if chosen not in self.flavours:
            raise UnknownFlavour(flavour=chosen, known=", ".join(self.flavours))
        return chosen

    def kernel(self) -> str:
        """The version of the medium's kernel."""
        return max(path.name.removeprefix("vmlinuz-") for path in (self.system / "boot").glob("vmlinuz-*"))

    def _is_installed(self, role: str) -> bool:
        return (self.system / f"usr/lib/systemd/system/xos-{role}.target").exists()

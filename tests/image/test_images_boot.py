# SPDX-License-Identifier: BSD-3-Clause
"""A boot is told apart from a failure by what the serial line says."""

from pathlib import Path

import pytest

from xos.image.errors import ToolMissing
from xos.image.images import boot
from xos.image.images.boot import BootFailed, Machine, NotAnImage, QemuFailed, Said


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file that looks like an ISO."""
    file = tmp_path / "image.iso"
    file.write_bytes(b"\0" * (16 * 2048) + b"\1CD001\1")
    return file


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in QEMU's place; tests write what it does."""
    program = tmp_path / "bin" / boot.QEMU
    program.parent.mkdir()
    program.touch()
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_a_text_is_found_although_it_comes_in_pieces() -> None:
    said = Said("login:")
    for piece in ("x" * 5000, "core log", "in", ": "):
        assert not said.found
        said.add(piece)
    assert said.found
    assert said.last.endswith("core login: ")
    assert len(said.last) == boot.LAST


def test_the_machine_has_the_image_as_cd_and_no_more_than_it_needs(image: Path) -> None:
    words = boot.command(Machine(image=image, memory_mb=512), serial="stdio")
    assert f"file={image},format=raw,media=cdrom,readonly=on" in words
    assert words[words.index("-m") + 1] == "512"
    assert "-bios" not in words


def test_uefi_is_another_firmware(image: Path) -> None:
    words = boot.command(Machine(image=image, firmware="uefi"), serial="stdio")
    assert words[words.index("-bios") + 1] == str(boot.OVMF)


@pytest.mark.parametrize(("content", "told"), [(None, "No such file"), (b"tar", "not an ISO")])
async def test_what_is_no_image_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "it"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotAnImage, match=told):
        await boot.until(Machine(image=file), "login:", 1, print)


async def test_without_qemu_one_is_told_what_to_install(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissing) as told:
        await boot.until(Machine(image=image), "login:", 1, print)
    assert told.value.next_step == "apt-get install qemu-system-x86"


async def test_the_machine_is_ended_when_it_said_the_text(image: Path, qemu: Path, tmp_path: Path) -> None:
    qemu.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nprintf 'core login: '\nexec sleep 60\n")
    shown: list[str] = []
    assert await boot.until(Machine(image=image), "login:", 10, shown.append) < 10
    assert "".join(shown) == "core login: "
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize(
    ("script", "seconds", "told"),
    [
        ("echo Kernel panic; exit 3", 10, r"ended with status 3\); last it said:\nKernel panic"),
        ("echo Booting; exec sleep 60", 1.5, r"within 1 s; last it said:\nBooting"),
    ],
)
async def test_a_machine_that_does_not_say_it_is_a_failure(
    image: Path, qemu: Path, script: str, seconds: float, told: str
) -> None:
    qemu.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(BootFailed, match=told):
        await boot.until(Machine(image=image), "login:", seconds, print)


def test_on_the_terminal_qemus_own_errors_are_told(image: Path, qemu: Path) -> None:
    qemu.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(QemuFailed, match="status 1"):
        boot.interactively(Machine(image=image))
    qemu.write_text("#!/bin/sh\nexit 0\n")
    boot.interactively(Machine(image=image))

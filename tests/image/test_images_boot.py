# SPDX-License-Identifier: BSD-3-Clause
"""A boot is told apart from a failure by what the serial line says."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.image.errors import ToolMissing
from xos.image.images import boot
from xos.image.images.boot import BootEnded, BootFailed, Machine, Said
from xos.image.images.media import NotAnImage, form_of


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
    words = boot.qemu(Machine(image=image, memory_mb=512), "iso", serial="stdio")
    assert f"file={image},format=raw,media=cdrom,readonly=on" in words
    assert words[words.index("-m") + 1] == "512"
    assert "-bios" not in words


def test_a_disk_stays_as_it_is_unless_one_asks(image: Path) -> None:
    assert f"file={image},format=vmdk,if=virtio,snapshot=on" in boot.qemu(Machine(image=image), "vmdk", serial="stdio")
    words = boot.qemu(Machine(image=image, keep=True), "qcow2", serial="stdio")
    assert f"file={image},format=qcow2,if=virtio,snapshot=off" in words


def test_a_comma_in_a_name_or_credential_is_no_option_of_qemu() -> None:
    machine = Machine(image=Path("/a,b.raw"), credentials=("x=1,path=/etc/shadow",))
    words = boot.qemu(machine, "raw", serial="stdio")
    assert "file=/a,,b.raw,format=raw,if=virtio,snapshot=on" in words
    assert "type=11,value=io.systemd.credential:x=1,,path=/etc/shadow" in words


def test_uefi_is_another_firmware(image: Path) -> None:
    words = boot.qemu(Machine(image=image, firmware="uefi"), "iso", serial="stdio")
    assert words[words.index("-bios") + 1] == str(boot.OVMF)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"\0" * 32769 + b"CD001", "iso"),
        (b"\0" * 512 + b"EFI PART" + b"\0" * 40000, "raw"),
        (b"\0" * 512 + b"EFI PART".ljust(32257, b"\0") + b"CD001", "iso"),
        (b"QFI\xfb\0\0\0\3", "qcow2"),
        (b"KDMV\3\0\0\0", "vmdk"),
        (b"\x28\xb5\x2f\xfd", "tar"),
    ],
)
def test_what_an_image_is_follows_from_its_content(tmp_path: Path, content: bytes, form: str) -> None:
    (tmp_path / "it.txt").write_bytes(content)
    assert form_of(tmp_path / "it.txt") == form


def test_a_directory_with_a_system_is_a_container(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    assert form_of(tmp_path) == "directory"
    with pytest.raises(NotAnImage, match="Is a directory"):
        form_of(tmp_path / "usr")


@given(st.binary(max_size=2000))
def test_any_file_is_an_image_or_refused(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        known = (b"QFI\xfb", b"KDMV", b"\x28\xb5\x2f\xfd")
        if content.startswith(known) or content[512:520] == b"EFI PART":
            form_of(Path(file.name))
        else:
            with pytest.raises(NotAnImage, match="neither"):
                form_of(Path(file.name))


@pytest.mark.parametrize(("content", "told"), [(None, "No such file"), (b"tar", "neither an ISO")])
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
    with pytest.raises(BootEnded, match="status 1"):
        boot.interactively(Machine(image=image))
    qemu.write_text("#!/bin/sh\nexit 0\n")
    boot.interactively(Machine(image=image))

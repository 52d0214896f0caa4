# SPDX-License-Identifier: BSD-3-Clause
"""Flavours are declared without mistakes."""

from pathlib import Path

import pytest

from xos.common.config import ConfigError
from xos.image import cli
from xos.image.images import flavours
from xos.image.images.flavours import KindUndeclared, UnknownFlavour
from xos.image.repository.groups import groups

TOP = Path(__file__).parents[2]
OURS = TOP / flavours.DIRECTORY
GOOD = """
summary = "A flavour"
packages = ["xos-core"]
formats = ["tar"]
[live]
debian = ["linux-image-amd64"]
most_mb = 700
"""


def declare(directory: Path, text: str) -> Path:
    (directory / "mine.toml").write_text(text)
    return directory


def test_the_five_flavours_are_declared() -> None:
    assert flavours.names(OURS) == ("client", "core", "mobile", "resource", "ssi", "web")
    assert [found.name for found in flavours.flavours(OURS)] == list(flavours.names(OURS))


def test_a_flavour_has_all_packages_of_the_group_of_its_name() -> None:
    for key, group in groups().items():
        declared = flavours.flavour(key.removeprefix("xos-"), OURS).declared
        assert set(group.packages) <= set(declared.packages)


def test_what_is_not_said_is_empty(tmp_path: Path) -> None:
    declared = flavours.flavour("mine", declare(tmp_path, GOOD)).declared
    assert (declared.debian, declared.units, declared.disk) == ((), (), None)
    assert declared.live is not None
    assert declared.live.kernel_options == ()


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (GOOD.replace("packages", "package"), r"mine.toml:3: package: unknown key"),
        (GOOD.replace("most_mb", "most_gb"), r"mine.toml:7: live.most_gb: unknown key"),
        (GOOD.replace('"tar"', '"zip"'), r"mine.toml:4: formats"),
        (GOOD + "[disk]\nsize_mb = 2\n", r"mine.toml:9: disk.size_mb"),
        (GOOD.replace('["xos-core"]', "[]"), r"mine.toml:3: packages"),
        (GOOD.replace("xos-core", "--nogpgcheck"), r"mine.toml:3: packages"),
        (GOOD.replace("xos-core", "xos-core; rm"), r"mine.toml:3: packages"),
        (GOOD.replace("700", "0"), r"mine.toml:7: live.most_mb"),
        (GOOD + 'kernel_options = ["quiet; halt"]\n', r"mine.toml:8: live.kernel_options"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(tmp_path: Path, mistake: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        flavours.flavour("mine", declare(tmp_path, mistake))


@pytest.mark.parametrize("name", ["none", "", "../flavours/core", "core.toml"])
def test_an_unknown_flavour_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownFlavour) as told:
        flavours.flavour(name, OURS)
    assert told.value.next_step == "Known: client, core, mobile, resource, ssi, web"


def test_a_format_needs_what_its_system_has_to_be_declared(tmp_path: Path) -> None:
    with pytest.raises(KindUndeclared, match=r"there is no \[disk\] in .*mine.toml"):
        flavours.flavour("mine", declare(tmp_path, GOOD.replace('"tar"', '"tar", "qcow2"')))
    mine = flavours.flavour("mine", declare(tmp_path, GOOD))
    with pytest.raises(KindUndeclared, match="mine does not say"):
        mine.system("disk")


def test_list_and_show_tell_what_is_declared(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--flavours", str(OURS)]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(flavours.names(OURS))
    assert cli.main(["show", "core", "--flavours", str(OURS)]) == 0
    shown = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines() if "live:" not in line)
    assert shown["packages"].split() == ["xos-core", "xos-setup", "xos-web"]


def test_an_unknown_flavour_is_an_error_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "cor", "--flavours", str(OURS)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("xos-image: there is no flavour cor")
    assert "Known: client, core" in told

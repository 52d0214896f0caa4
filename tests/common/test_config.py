# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from xos.common.config import ConfigError, ConfigMissing, convert, load, parse
from xos.common.errors import from_fault


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    address: str
    backlog: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 128


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    limit: int = 64
    settings: dict[str, Any] = {}


class Daemon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    node: str
    data: Path = Path("/var/lib/xos")
    level: Literal["debug", "info"] = "info"
    listen: tuple[Listen, ...] = ()
    services: dict[str, Service] = {}
    tls: Listen | None = None
    ports: dict[int, str] = {}
    pair: tuple[int, Listen] | None = None


GOOD = """
node = "node1"  # a comment
data = "/srv/xos"

[[listen]]
address = "127.0.0.1:6740"
[[listen]]
address = "127.0.0.1:6741"
backlog = 5

[services.JobManager]
limit = 8
settings = { retries = 3 }
[services."Job Directory"]
"""


def test_a_good_file_becomes_a_frozen_struct(tmp_path: Path) -> None:
    (tmp_path / "dixid.toml").write_text(GOOD)
    found = load(tmp_path / "dixid.toml", Daemon)
    assert found.data == Path("/srv/xos")
    assert [listen.backlog for listen in found.listen] == [128, 5]
    assert found.services["JobManager"].settings == {"retries": 3}
    assert list(found.services) == ["JobManager", "Job Directory"]


@pytest.mark.parametrize(
    ("text", "line", "key", "detail"),
    [
        ('node = "a"\nnode = "b"', 2, "(syntax)", "Cannot overwrite a value"),
        ('node = "a"\nx =', 2, "(syntax)", "Invalid value"),
        ('node = "a"\n\n\nlevel = "loud"', 4, "level", "Invalid enum value 'loud'"),
        ("node = 5", 1, "node", "Expected `str`, got `int`"),
        ("", 1, "node", "missing"),
        ('node = "a"\n\n[tls]\n\nadress = "x"', 5, "tls.adress", "unknown key"),
        ('node = "a"\n# [[listen]]\n\n[tls]\n', 4, "tls.address", "missing"),
        ('node = "a"\n[[listen]]\naddress = "x"\n[[listen]]\naddress = 1', 5, "listen[1].address", "Expected `str`"),
        ('node = "a"\n[[listen]]\naddress = "x"\n\n[[listen]]\nbacklog = 1', 5, "listen[1].address", "missing"),
        (
            'node = "a"\nlisten = [\n  {address = "x"},\n  {address = "y", backlog = 0},\n]',
            4,
            "listen[1].backlog",
            ">= 1",
        ),
        ('node = "a"\n[services.A]\n[services.B]\nlimit = "x"', 4, "services.B.limit", "Expected `int`, got `str`"),
        ('node = "a"\n[services.A]\n["services"."B b"]\nlimt = 1', 4, 'services."B b".limt', "unknown key"),
        ('node = "a"\nservices.A.limit = 1\nservices.B.limit = 1.5', 3, "services.B.limit", "Expected `int`"),
        ('node = "a"\ntls.address = """\nx\ny"""\ntls.backlg = 2', 5, "tls.backlg", "unknown key"),
        ('node = "a"\n[ports]\n1 = "x"\ntwo = "y"', 4, "ports.two", "Expected `int`"),
        ('node = "a"\npair = [1,\n {address = 3}]', 3, "pair[1].address", "Expected `str`"),
        ('node = "a"\npair = [1]', 2, "pair", "Expected `array` of length 2"),
        ('node = "a"\ndata = 3', 2, "data", "Expected `"),
        ("node = 1979-05-27", 1, "node", "Expected `str`"),
        ('"no\\u0064e" = 5', 1, "node", "Expected `str`"),
        ("node = " + "[" * 5000, 1, "(syntax)", "nested too deeply"),
        ("node = " + "9" * 5000, 1, "(syntax)", "Exceeds the limit"),
    ],
)
def test_every_mistake_is_named_with_file_line_and_key(text: str, line: int, key: str, detail: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, Daemon, file="dixid.toml")
    data = caught.value.data
    assert (data["file"], data["line"], data["key"]) == ("dixid.toml", line, key)
    assert detail in str(data["detail"])
    assert caught.value.message.startswith(f"dixid.toml:{line}: {key}: ")
    assert caught.value.code == "config.invalid"
    assert caught.value.exit_status == 78


def test_the_nearest_known_key_is_offered() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('node = "a"\n[[listen]]\nadress = "x"\naddress = "y"', Daemon, file="f")
    assert caught.value.next_step == 'Did you mean "address"?'
    with pytest.raises(ConfigError) as caught:
        parse('node = "a"\n[tls]\naddress = "y"\ncolour = "x"', Daemon, file="f")
    assert caught.value.next_step == "Known keys here: address, backlog."
    with pytest.raises(ConfigError) as caught:
        parse('node = "a"\npair = [1, {adress = "y"}]', Daemon, file="f")
    assert caught.value.next_step == 'Did you mean "address"?'


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigMissing, match=str(path)) as caught:
            load(path, Daemon)
        assert caught.value.code == "config.missing"


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_bytes(b'node = "a"\n# \xff\n')
    with pytest.raises(ConfigError, match=r"f\.toml:2: \(file\): not UTF-8"):
        load(tmp_path / "f.toml", Daemon)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="longer than"):
        load(tmp_path / "f.toml", Daemon)


def test_a_service_checks_its_own_settings_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "dixid.toml"
    path.write_text('node = "a"\n[services.A.settings]\naddress = "x"\nbaklog = 1\n')
    settings = load(path, Daemon).services["A"].settings
    with pytest.raises(ConfigError) as caught:
        convert(settings, Listen, where="services.A.settings", file=path)
    assert caught.value.message == f"{path}:4: services.A.settings.baklog: unknown key"
    assert caught.value.next_step == 'Did you mean "backlog"?'
    with pytest.raises(ConfigError) as caught:
        convert(settings, Listen, where="services.A.settings")
    assert caught.value.message == "services.A.settings.baklog: unknown key"
    assert convert({"address": "y"}, Listen).address == "y"


def test_a_configuration_error_survives_the_wire() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("", Daemon, file="f.toml")
    again = from_fault(caught.value.to_fault())
    assert type(again) is ConfigError
    assert again.message == caught.value.message
    assert again.data["line"] == 1

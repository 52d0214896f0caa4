# SPDX-License-Identifier: BSD-3-Clause
"""node.toml, and nsswitch.conf as the package leaves it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.common.errors import ConfigError
from xos.node.config import load_node
from xos.node.serving import add

CONFIGURE = Path(__file__).parents[2] / "packages" / "node" / "libexec" / "nss-configure"
VO = 'trust = "/t"\nuids = [{0}, {1}]\ngids = [{2}, {3}]\n'
USUAL = VO.format(100_000, 100_099, 100_100, 100_199)


def wrong(tmp_path: Path, text: str) -> str:
    path = tmp_path / "node.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_node(path)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[vos.demo]\n{VO.format(1000, 2000, 100_100, 100_199)}", "60000"),
        (f"[vos.demo]\n{VO.format(0, 99_999, 100_100, 100_199)}", "uids"),
        (f"[vos.demo]\n{VO.format(100_099, 100_000, 100_100, 100_199)}", "is more than"),
        (f"[vos.demo]\n{VO.format(65_000, 66_000, 100_100, 100_199)}", "nobody"),
        (f"[vos.demo]\n{VO.format(100_000, 100_150, 100_100, 100_199)}", "overlaps with vos.demo.gids"),
        (f'[vos."b.c"]\n{USUAL}[vos.c]\n{VO.format(200_000, 200_099, 200_100, 200_199)}', "could be of VO c too"),
        (
            f'[vos.a]\nsuffix = "x"\n{USUAL}[vos.b]\nsuffix = "x"\n{VO.format(2**20, 2**20 + 9, 2**21, 2**21)}',
            "could be",
        ),
        (f'[vos."Bad Name"]\n{USUAL}', "Bad Name"),
        (f'[vos.demo]\n{USUAL}[overrides]\n"alice@demo" = "root"\n', "account of the system"),
        (f'[vos.demo]\n{USUAL}[overrides]\n"alice@demo" = "nobody-like-this"\n', "has no user"),
        (f'[vos.demo]\n{USUAL}[overrides]\n"alice@other" = "root"\n', "is not served"),
        (f'[vos.demo]\n{USUAL}accounts = "each"\n', "accounts"),
        ("surprise = 1\n", "unknown key"),
        ('[limits]\nnofiles = "1"\n', "limits.nofiles: there is no such limit"),
        ('[limits]\nnofile = "1:x"\n', "'1:x' is no value of it"),
        ('[limits]\nmemory_max = "1 G"\n', "'1 G' is no value of it"),
        ('[slice]\nSlice = "x"\n', "slice.Slice: it is no limit of a slice"),
        ('[slice]\nMemoryMax = "1G\\nTasksMax=1"\n', "is no value of it"),
        ('[slice]\nCPUQuota = "2"\n', "'2' is no value of it"),
        (f'[vos.demo]\n{USUAL}[vos.demo.slice]\nExecStart = "x"\n', "vos.demo.slice.ExecStart"),
        (f'[vos.demo]\n{USUAL}[groups."demo/x".slice]\nIOWeight = "-1"\n', 'groups."demo/x".slice.IOWeight'),
        (f'[vos.demo]\n{USUAL}[groups."x".slice]\n', "it is no group of a VO"),
        (f'[vos.demo]\n{USUAL}roles = {{ VOAdmin = "a:b" }}\n', "vos.demo.roles.VOAdmin"),
        (f'[vos.demo]\n{USUAL}accounts = "group"\nroles = {{ VOAdmin = "admins" }}\n', "has no roles"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    assert told in wrong(tmp_path, text)


def test_what_is_said_of_a_group_counts_before_its_vo_and_that_before_the_node(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(
        '[limits]\nnofile = "1024"\nnproc = "500"\n[slice]\nMemoryMax = "4G"\n'
        f'[vos.demo]\n{USUAL}[vos.demo.slice]\nMemoryMax = "2G"\nTasksMax = "512"\n'
        '[groups."demo/guests"]\nlimits = { nproc = "50" }\nslice = { TasksMax = "64" }\n'
        '[groups."demo/admins"]\nslice = { TasksMax = "infinity" }\n'
    )
    config = load_node(path)
    both, guest = config.allowance("demo", ["admins", "guests"]), config.allowance("demo", ["guests"])
    assert both.limits == guest.limits == {"nofile": "1024", "nproc": "50"}
    assert both.slice == {"MemoryMax": "2G", "TasksMax": "infinity"}
    assert guest.slice == {"MemoryMax": "2G", "TasksMax": "64"}
    assert config.allowance("other", ["guests"]).slice == {"MemoryMax": "4G"}


def test_a_vo_is_added_with_numbers_of_its_own_and_once(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("# mine\nenumerate = true\n")
    first = add(path, "demo", Path("/t"), "user")
    second = add(path, "atlas.cern", Path("/t"), "pool")
    assert add(path, "demo", Path("/other"), "group") == first
    config = load_node(path)
    assert config.enumerate
    assert config.vos == {"demo": first, "atlas.cern": second}
    assert path.read_text().startswith("# mine\n")
    before = path.read_text()
    with pytest.raises(ConfigError):
        add(path, "x.demo", Path("/t"), "user")  # a.x.demo could be of demo too
    assert path.read_text() == before


# --- nsswitch.conf


def configure(action: str, path: Path) -> None:
    subprocess.run([CONFIGURE, action, path], check=True)


DEBIAN = (
    "# /etc/nsswitch.conf\n\npasswd:         files systemd\ngroup:          files systemd  # ours\nshadow:\t\tfiles\n"
    "gshadow:        files\n\nhosts:          files dns\n#passwd: files\n"
)


MARK = "# XtreemOS: as the group line"
OURS = f"{MARK}\ninitgroups: files [SUCCESS=continue] xos [SUCCESS=continue] systemd\n"


@pytest.mark.parametrize(
    ("group", "added", "initgroups"),
    [
        ("files", "files xos", "files [SUCCESS=continue] xos"),
        ("compat systemd #x", "compat systemd xos #x", "compat [SUCCESS=continue] systemd [SUCCESS=continue] xos"),
        (
            "files [SUCCESS=merge] systemd [!NOTFOUND=return] sss",
            "files [SUCCESS=merge] xos systemd [!NOTFOUND=return] sss",
            "files [SUCCESS=merge SUCCESS=continue] xos [SUCCESS=continue] "
            "systemd [!NOTFOUND=return SUCCESS=continue] sss",
        ),
    ],
)
def test_groups_of_a_user_are_looked_for_where_the_group_line_says(
    tmp_path: Path, group: str, added: str, initgroups: str
) -> None:
    path = tmp_path / "nsswitch.conf"
    path.write_text(f"group: {group}\nhosts: files\n")
    configure("add", path)
    line = f"{MARK}\ninitgroups: {initgroups}\n"
    assert path.read_text() == f"group: {added}\n{line}hosts: files\n"
    path.write_text(path.read_text().replace("group: files", "group: db files", 1))  # as a package of a directory does
    configure("add", path)
    assert ("initgroups: db [SUCCESS=continue] files" in path.read_text()) == group.startswith("files")
    path.write_text(f"{path.read_text()}initgroups: files\n")  # the administrator's own counts
    configure("add", path)
    lines = path.read_text().splitlines()
    assert [each for each in lines if each.startswith("initgroups")] == ["initgroups: files xos"]


def test_we_come_right_after_the_machines_own(tmp_path: Path) -> None:
    path = tmp_path / "nsswitch.conf"
    path.write_text(DEBIAN)
    path.chmod(0o644)
    for _ in range(2):  # again changes nothing
        configure("add", path)
        assert path.read_text() == (
            DEBIAN.replace("passwd:         files", "passwd:         files xos")
            .replace("group:          files systemd  # ours\n", f"group:          files xos systemd  # ours\n{OURS}")
            .replace("shadow:\t\tfiles", "shadow:\t\tfiles xos")
        )
    assert path.stat().st_mode & 0o777 == 0o644
    configure("remove", path)
    assert path.read_text() == DEBIAN
    assert list(tmp_path.iterdir()) == [path]


WORDS = st.sampled_from(["files", "systemd", "compat", "sss", "db", "[NOTFOUND=return]", "ldap"])
LINES = st.lists(
    st.tuples(
        st.sampled_from(["passwd", "group", "shadow", "hosts", "initgroups"]),
        st.sampled_from([" ", "\t", "   "]),
        st.lists(WORDS, min_size=1, max_size=4).filter(lambda words: not words[0].startswith("[")),
        st.sampled_from(["", " # note", "#x", "  "]),
    ),
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(LINES)
def test_whatever_was_there_comes_back(tmp_path_factory: pytest.TempPathFactory, lines: list[object]) -> None:
    path = tmp_path_factory.mktemp("nss") / "nsswitch.conf"
    text = "".join(f"{base}:{gap}{' '.join(words)}{rest}\n" for base, gap, words, rest in lines)  # type: ignore[misc,has-type]
    path.write_text(text)
    configure("add", path)
    added = re.sub(rf"{MARK}\ninitgroups:.*\n", "", path.read_text()).splitlines()
    for line, before in zip(added, text.splitlines(), strict=True):
        assert line.split("#")[0].split().count("xos") == (0 if before.startswith("hosts") else 1), (before, line)
    configure("remove", path)
    assert path.read_text() == text


def test_a_link_is_followed_and_stays_and_no_file_is_no_error(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "nsswitch.conf"
    real.write_text("passwd: files\n")
    link.symlink_to(real)
    configure("add", link)
    assert link.is_symlink()
    assert real.read_text() == "passwd: files xos\n"
    configure("add", tmp_path / "missing")
    assert not (tmp_path / "missing").exists()

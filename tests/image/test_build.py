# SPDX-License-Identifier: BSD-3-Clause
"""Packages and repositories made for real, and installed by dnf into a clean Debian 13 root (slow; as root).

The cache of `make rpms` is used, so that only what changed is built.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkouts import commit, snapshot
from xos.image import cache as caches
from xos.image.errors import BadSpec, StepFailed
from xos.image.repository import make as repository
from xos.image.repository import urpmi
from xos.image.repository.keys import signer
from xos.image.repository.packages import TOOLS
from xos.image.rpms import make as rpms
from xos.image.rpms.package import with_tools
from xos.image.rpms.specs import read_specs
from xos.image.sandbox import Bind, Sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mmdebstrap") is None, reason="needs root and mmdebstrap"),
]
TOP = Path(__file__).parents[2]
MAIN = "x86_64/media/main"


def quiet(_line: str) -> None:
    """Progress nobody looks at."""


class World:
    """A cache, packages and a repository, and clean roots to use them in."""

    def __init__(self, cache: Path, place: Path) -> None:
        self.cache, self.place = cache, place
        self.repo, self.keys, self.log = place / "repo", place / "keys", place / "log"
        self.top = snapshot(TOP, place / "top")
        options = rpms.Options(checkout=self.top, out=place / "rpms", cache=cache)
        self.built = asyncio.run(rpms.make_rpms(options, quiet))
        self.options = repository.Options(
            rpms=place / "rpms", out=self.repo, cache=cache, keys=self.keys, url="file:///repo"
        )
        self.packages = asyncio.run(repository.make_repository(self.options, quiet))
        base, tools = asyncio.run(rpms.open_roots(cache, quiet))
        self.base = Sandbox(root=base.path, scratch=cache / "tmp")
        self.tools = asyncio.run(repository.tools(cache, quiet))
        self.build = with_tools(tools.path, cache / "tmp")

    def node(self, script: str, repo: Path | None = None) -> str:
        """What a script prints in a clean root that has our .repo file; fails as the script does."""
        prepare = "cp /repo/xtreemos.repo /etc/yum.repos.d/; echo 13 >/etc/dnf/vars/releasever; exec 2>&1\nset -e\n"
        sandbox = self.base.also(Bind(repo or self.repo, "/repo", writable=True))
        return self.run(sandbox, f"mkdir -p /etc/yum.repos.d; {prepare}{script}")

    def run(self, sandbox: Sandbox, script: str) -> str:
        self.log.unlink(missing_ok=True)
        done = sandbox.run(["bash", "-c", f"{script}\n"], step="the script", log=self.log)
        return asyncio.run(done).decode()

    def copy(self, name: str) -> Path:
        """A repository to do harm to."""
        return Path(shutil.copytree(self.repo, self.place / name))

    def reindex(self, repo: Path) -> None:
        """Index the packages that are there, whatever they are, and sign that with the true key."""
        key = asyncio.run(signer(self.keys, self.tools, self.log))
        sandbox = key.inside(self.tools).also(Bind(repo, "/repo", writable=True))
        index = "createrepo_c -q . && gpg --batch --yes --detach-sign --armor repodata/repomd.xml"
        self.run(sandbox, f"set -e; . {TOOLS}/keyring; cd /repo/{MAIN}; rm -rf repodata; {index}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with caches.opened(caches.cache_directory()) as cache:
        yield World(cache, tmp_path_factory.mktemp("world"))


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def one_of(repo: Path, name: str) -> Path:
    (path,) = (repo / MAIN).glob(f"{name}-0.1.0-*.rpm")
    return path


def test_a_node_installs_from_the_repo_file_alone_and_verifies(world: World) -> None:
    told = world.node(
        "dnf -y install xos-aem-node\n"
        "rpm -Va 'xos*' 'python3-xos*'\n"
        "dnf check\n"
        "getent passwd xos\n"
        "dixid --help >/dev/null\n"
        "test -e /usr/lib/systemd/system/dixid@resource.service.d/jobs.conf\n"
        "! test -e /usr/lib/python3/dist-packages/xos/aem/jobs\n"
        "! test -e /usr/lib/python3/dist-packages/xos/vom/xvoms.py\n"
        "echo all well"
    )
    assert told.endswith("all well\n")


def test_the_client_has_commands_that_start_pages_and_completions_and_no_daemon(world: World) -> None:
    told = world.node(
        "dnf -y install xos-client\n"
        "for name in xsub xps xwait xkill xout get-xos-cert view-xos-cert xos-vo xos-node xconsole xos-agent; do\n"
        "  $name --help >/dev/null\n"
        "  test -e /usr/share/bash-completion/completions/$name\n"
        "  test -e /usr/share/man/man1/$name.1.gz\n"
        "done\n"
        "! test -e /usr/bin/dixid\n"
        "systemctl is-enabled xos-client.target\n"
        "rpm -Va 'xos*'\n"
        "echo all well"
    )
    assert told.endswith("enabled\nall well\n")


def test_each_role_enables_its_target_and_removal_leaves_the_state_only(world: World) -> None:
    told = world.node(
        "dnf -y install xos-core xos-resource\n"
        "systemctl is-enabled xos-core.target xos-resource.target\n"
        "mkdir -p /var/lib/xos/core; echo jobs >/var/lib/xos/core/jobs.db\n"
        "dnf -y remove 'xos-*' 'python3-xos-*'\n"
        "! test -e /etc/systemd/system/multi-user.target.wants/xos-core.target\n"
        "! test -e /usr/lib/python3/dist-packages/xos\n"
        "! rpm -qa | grep xos\n"
        "cat /var/lib/xos/core/jobs.db"
    )
    assert told.endswith("jobs\n")


def test_groups_install_a_flavour(world: World) -> None:
    told = world.node(
        "dnf -y install xos-dnf\ndnf group list\ndnf -y group install xos-resource\nrpm -q xos-resource xos-aem-node"
    )
    assert "XtreemOS resource node" in told


def test_a_system_that_lacks_debian_packages_refuses_xos_base(world: World) -> None:
    rpm = "rpm -U --nosignature /rpms/xos-base-*.rpm 2>&1"
    told = world.run(world.build.also(Bind(world.place / "rpms", "/rpms")), f"! {rpm}; rpm -qa")
    assert "this system lacks Debian packages; first: apt-get install" in told
    assert " dnf " in told
    assert "xos-base-debian-" not in told.splitlines()[-1]


def refused(world: World, repo: Path, name: str) -> str:
    """What dnf says when it does not install a package; nothing of ours may be there afterwards."""
    told = world.node(f"! dnf -y install {name}\nrpm -qa 'xos*'; echo end", repo)
    last = told.splitlines()
    assert last[-1] == "end"
    assert not [line for line in last if line.startswith(f"{name}-0.1.0")]
    return told


def test_a_damaged_package_is_refused(world: World) -> None:
    repo = world.copy("damaged")
    path = one_of(repo, "xos-common")
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    assert "incorrect checksum" in refused(world, repo, "xos-common")
    world.reindex(repo)
    refused(world, repo, "xos-common")


def test_an_unsigned_package_is_refused(world: World) -> None:
    repo = world.copy("unsigned")
    path = one_of(repo, "xos-common")
    shutil.copy(world.place / "rpms" / path.name, path)
    world.reindex(repo)
    assert "is not signed" in refused(world, repo, "xos-common")


def test_a_package_signed_by_another_key_is_refused(world: World) -> None:
    repo = world.copy("foreign")
    path = one_of(repo, "xos-common")
    work = world.place / "foreign-work"
    work.mkdir()
    shutil.copy(world.place / "rpms" / path.name, work)
    other = asyncio.run(signer(world.place / "foreign-keys", world.tools, world.log))
    sandbox = other.inside(world.tools).also(Bind(work, "/work", writable=True))
    world.run(sandbox, f"{TOOLS}/sign-packages {other.fingerprint}")
    shutil.copy(work / path.name, path)
    world.reindex(repo)
    assert "GPG" in refused(world, repo, "xos-common")


def test_changed_metadata_is_refused(world: World) -> None:
    repo = world.copy("metadata")
    with (repo / MAIN / "repodata/repomd.xml").open("a") as file:
        file.write("<!-- -->\n")
    assert "Bad GPG signature" in refused(world, repo, "xos-common")


def test_metadata_signed_by_another_key_is_refused(world: World) -> None:
    repo = world.copy("foreign-metadata")
    other = asyncio.run(signer(world.place / "other-keys", world.tools, world.log))
    sandbox = other.inside(world.tools).also(Bind(repo, "/repo", writable=True))
    sign = "gpg --batch --yes --detach-sign --armor repodata/repomd.xml"
    world.run(sandbox, f"set -e; . {TOOLS}/keyring; cd /repo/{MAIN}; {sign}")
    assert "GPG" in refused(world, repo, "xos-common")


def test_a_next_version_upgrades_and_the_old_one_stays_in_the_repository(world: World, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(world.top), str(clone)], check=True)
    with (clone / "systemd-units/system/xos-client.target").open("a") as file:
        file.write("# changed\n")
    commit(clone, "next", int(time.time()) + 3600)
    out = tmp_path / "rpms"
    options = rpms.Options(checkout=clone, out=out, cache=world.cache, only=("xos-roles",))
    asyncio.run(rpms.make_rpms(options, quiet))
    repo = world.copy("next")
    asyncio.run(
        repository.make_repository(
            repository.Options(rpms=out, out=repo, cache=world.cache, keys=world.keys, url="file:///repo"), quiet
        )
    )
    old = one_of(world.repo, "xos-client").name.removesuffix(".rpm")
    told = world.node(
        f"dnf -y install {old}\nmkdir -p /var/lib/xos/core; echo jobs >/var/lib/xos/core/jobs.db\n"
        "dnf -y upgrade\nrpm -Va 'xos*'\n"
        "tail -1 /usr/lib/systemd/system/xos-client.target; cat /var/lib/xos/core/jobs.db",
        repo,
    )
    assert told.endswith("# changed\njobs\n")
    assert (repo / MAIN / f"{old}.rpm").exists()


def test_after_a_rotation_both_keys_are_published_and_all_is_signed_by_the_new_one(
    world: World, tmp_path: Path
) -> None:
    repo = world.copy("rotated")
    keys = Path(shutil.copytree(world.keys, tmp_path / "keys", ignore=shutil.ignore_patterns("S.*")))
    options = repository.Options(rpms=world.options.rpms, out=repo, cache=world.cache, keys=keys, url="file:///repo")
    asyncio.run(repository.rotate_key(options, quiet))
    asyncio.run(repository.make_repository(options, quiet))
    new, old = (keys / "fingerprints").read_text().split()
    public = (repo / repository.KEY_FILE).read_text()
    assert public.count("BEGIN PGP PUBLIC KEY BLOCK") == 2
    told = world.node(
        "dnf -y install xos-common\nrpm -q --qf '%{SIGPGP:pgpsig}%{DSAHEADER:pgpsig}%{RSAHEADER:pgpsig}\\n' xos-common",
        repo,
    )
    assert new[-16:].lower() in told
    assert old[-16:].lower() not in told.splitlines()[-1]


def test_several_builds_with_one_directory_of_keys_make_one_key_and_sign_at_once(world: World, tmp_path: Path) -> None:
    keys, text = tmp_path / "keys", tmp_path / "text"
    text.write_text("all of it")

    async def build(number: int) -> bytes:
        log = tmp_path / f"{number}.log"
        key = await signer(keys, world.tools, log)
        inside = key.inside(world.tools).also(Bind(text, "/run/file"))
        made = [await inside.run([f"{TOOLS}/sign-file", key.fingerprint, "1"], step="sign", log=log) for _ in range(3)]
        assert len(set(made)) == 1
        return made[0]

    async def at_once() -> list[bytes]:
        return await asyncio.gather(*map(build, range(4)))

    assert len(set(asyncio.run(at_once()))) == 1
    assert len((keys / "fingerprints").read_text().split()) == 1
    assert {path.name for path in (keys / "gnupg").iterdir()} <= {
        "pubring.kbx",
        "trustdb.gpg",
        "private-keys-v1.d",
        "openpgp-revocs.d",
    }
    assert stat.S_IMODE((keys / "gnupg/private-keys-v1.d").stat().st_mode) == 0o700


def sums(repo: Path) -> dict[str, str]:
    """Of all in a repository but the file that tells where it is."""
    files = (path for path in repo.rglob("*") if path.is_file() and path.name != "xtreemos.repo")
    return {str(path.relative_to(repo)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_packages_and_key_make_the_same_repository_elsewhere(world: World, tmp_path: Path) -> None:
    made = []
    for name in ("one", "another-with-a-longer-name"):
        cache, repo = tmp_path / name / "cache", tmp_path / name / "repo"
        cache.mkdir(parents=True)
        (cache / "roots").symlink_to(world.cache / "roots")
        options = repository.Options(rpms=world.options.rpms, out=repo, cache=cache, keys=world.keys)
        with caches.opened(cache):
            asyncio.run(repository.make_repository(options, quiet))
        made.append(sums(repo))
    assert made[0] == made[1]


def test_what_was_published_earlier_changes_nothing_of_what_images_are_made_of(world: World, tmp_path: Path) -> None:
    few = tmp_path / "rpms"
    few.mkdir()
    for name in ("xos-common", "xos-dixi"):
        for path in world.options.rpms.glob(f"{name}-0*.rpm"):
            shutil.copy2(path, few)
    made = []
    for repo in (world.copy("with-others"), tmp_path / "alone"):
        options = repository.Options(rpms=few, out=repo, cache=world.cache, keys=world.keys, url="file:///repo")
        asyncio.run(repository.make_repository(options, quiet))
        made.append(sums(repo / repository.CURRENT))
    assert made[0] == made[1]
    assert {Path(name).name for name in made[0] if name.endswith(".rpm")} == {path.name for path in few.iterdir()}
    assert len(list((world.place / "with-others" / MAIN).glob("*.rpm"))) > 2
    told = world.node("dnf -y -q repoquery --qf '%{name}' '*xos*'", repo=tmp_path / "alone" / repository.CURRENT)
    assert [word for word in told.split() if word.startswith("xos-")] == ["xos-common", "xos-dixi"]


def test_the_urpmi_media_pass_our_reader(world: World) -> None:
    for medium in repository.MEDIA:
        entries = urpmi.read_media_info(world.repo / "x86_64/media" / medium.directory)
        assert [e.full_name for e in entries] == [p.full_name for p in world.packages[medium.directory]]


def test_nothing_is_built_or_signed_twice(world: World) -> None:
    def state() -> dict[str, str]:
        files = [path for path in world.repo.rglob("*") if path.is_file() and path.suffix != ".asc"]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    options = rpms.Options(checkout=world.top, out=world.place / "again", cache=world.cache)
    assert not [package.name for package in asyncio.run(rpms.make_rpms(options, quiet)) if package.fresh]
    asyncio.run(repository.make_repository(world.options, quiet))
    assert state() == before


def test_two_builds_in_different_places_give_the_same_bytes(world: World, tmp_path: Path) -> None:
    def build(place: Path) -> dict[str, str]:
        subprocess.run(["git", "clone", "-q", str(world.top), str(place)], check=True)
        with caches.opened(place.with_name(f"{place.name}-cache")) as cache:
            (cache / "roots").symlink_to(world.cache / "roots")
            options = rpms.Options(
                checkout=place, out=place / "out", cache=cache, only=("xos-commands", "xos-dnf"), jobs=len(place.name)
            )
            asyncio.run(rpms.make_rpms(options, quiet))
        found = sorted((place / "out").rglob("*.rpm"))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    first = build(tmp_path / "a")
    assert build(tmp_path / "b-longer") == first
    assert len(first) > 10


def test_a_spec_that_rpm_does_not_understand_is_told_with_its_line(world: World, tmp_path: Path) -> None:
    (tmp_path / "one.spec").write_text("Name: one\nVersion: 1\nRelaese: 1\n")
    with pytest.raises(BadSpec, match=r"one\.spec.*line 3: Unknown tag"):
        asyncio.run(read_specs(tmp_path, world.build, world.log))


def test_a_step_that_fails_is_told_with_its_last_lines(world: World) -> None:
    with pytest.raises(StepFailed) as told:
        world.run(world.base, "echo the reason >&2; exit 7")
    assert told.value.data["status"] == 7
    assert "the reason" in told.value.message


def test_a_root_stays_as_it_is_and_no_mount_is_left(world: World) -> None:
    before = mounts()
    world.run(world.base, "touch /usr/bin/new; rm /usr/bin/env; ip link | grep -q lo; ! ip link | grep -q eth")
    assert (world.base.root / "usr/bin/env").exists()
    assert not (world.base.root / "usr/bin/new").exists()
    assert mounts() == before


async def test_cancelling_ends_the_programs_and_leaves_no_mount(world: World) -> None:
    before = mounts()
    fifo = world.place / "fifo"
    os.mkfifo(fifo)
    bound = world.base.also(Bind(world.place, "/place", writable=True))
    script = "trap '' TERM INT HUP; sleep 987654 & echo started >/place/fifo; wait"
    task = asyncio.ensure_future(bound.run(["bash", "-c", script], step="sleeping", log=world.log))
    assert await asyncio.to_thread(fifo.read_text) == "started\n"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended, "987654")
    assert mounts() == before
    assert not list((world.cache / "tmp").glob("run-*"))


def ended(word: str) -> bool:
    """Whether soon no process has *word* in its command line: the kernel ends a name space's processes by itself."""
    deadline = time.monotonic() + 10
    while any(word in line for line in commands()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def commands() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_an_interrupted_build_says_so_and_the_next_one_goes_on(world: World, tmp_path: Path) -> None:
    before = mounts()
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "roots").symlink_to(world.cache / "roots")
    command = [sys.executable, "-m", "xos.image.cli", "rpms", "xos-common", "--cache", str(cache)]
    command += ["--checkout", str(world.top), "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "xos-common ..." in line:
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in told
    assert mounts() == before
    assert not (cache / "tmp").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert list((tmp_path / "out").glob("xos-common-*.rpm"))


def test_a_network_that_cannot_be_reached_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    before = mounts()
    command = [sys.executable, "-m", "xos.image.cli", "rpms", "--cache", str(tmp_path / "cache")]
    command += ["--checkout", str(TOP), "--out", str(tmp_path / "out")]
    nobody = {**os.environ, "XOS_MIRROR": "http://127.0.0.1:9/debian"}
    done = subprocess.run(command, capture_output=True, text=True, env=nobody)
    assert done.returncode == 1
    assert "the Debian packages of the b" in done.stderr
    assert "XOS_MIRROR=URL" in done.stderr
    assert mounts() == before
    assert not (tmp_path / "cache/tmp").exists()
    assert not list((tmp_path / "cache/roots").glob("*/manifest"))
    assert not (tmp_path / "out").exists()

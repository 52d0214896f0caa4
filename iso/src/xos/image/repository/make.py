# SPDX-License-Identifier: BSD-3-Clause
"""``make repo``: signed packages with metadata for dnf (repodata) and urpmi (media_info).

    RPM-GPG-KEY-xtreemos  xtreemos.repo
    x86_64/media/media_info/media.cfg
    x86_64/media/{main,debug,source}/*.rpm, repodata/, media_info/
    current/                                what was published last, and nothing else, as a repository of its own

Versions that were published before stay, but in ``current``: images are made of that and carry it, so that what was
built here earlier does not change them. What was signed once by a key is not signed again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.image.errors import NothingBuilt
from xos.image.progress import Say, step
from xos.image.repository import groups, urpmi
from xos.image.repository.keys import Signer, rotate, signer
from xos.image.repository.packages import INSIDE, TOOLS, Package, read_packages
from xos.image.repository.urpmi import Medium
from xos.image.rpms.make import open_roots
from xos.image.sandbox import Bind, Sandbox

ARCH = "x86_64"
CURRENT = "current"
SIGNING = "2"
"""Changes with how packages are signed, so that what was signed otherwise is not taken."""
KEY_FILE = "RPM-GPG-KEY-xtreemos"
MEDIA = (
    Medium(directory="main", name="XtreemOS"),
    Medium(directory="debug", name="XtreemOS debug", off=True, debug_for="main"),
    Medium(directory="source", name="XtreemOS sources", off=True),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish, where, and under which address."""

    rpms: Path
    out: Path
    cache: Path
    keys: Path
    url: str = ""
    """Where systems will find *out*; its ``file:`` URL if empty."""


def medium_of(file: str) -> str:
    """The medium that an RPM belongs to, by its file name."""
    if file.endswith(".src.rpm"):
        return "source"
    return "debug" if "-debuginfo-" in file or "-debugsource-" in file else "main"


def repo_file(url: str) -> str:
    """The file for /etc/yum.repos.d."""
    parts = []
    for medium in MEDIA:
        key = "xtreemos" if medium.directory == "main" else f"xtreemos-{medium.directory}"
        parts.append(
            f"[{key}]\nname={medium.name}\nbaseurl={url}/{ARCH}/media/{medium.directory}\n"
            f"enabled={0 if medium.off else 1}\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey={url}/{KEY_FILE}\n"
        )
    return "\n".join(parts)


async def make_repository(options: Options, say: Say) -> dict[str, tuple[Package, ...]]:
    """Bring the repository up to date; its packages by medium. Raises `NothingBuilt`, `BadKey`, `StepFailed`."""
    built = sorted([*options.rpms.glob("*.rpm"), *options.rpms.glob("sources/*.rpm")])
    if not built:
        raise NothingBuilt(path=str(options.rpms))
    log = options.cache / "repository.log"
    log.unlink(missing_ok=True)
    sandbox = await tools(options.cache, say)
    key = await signer(options.keys, sandbox, log)
    signed = await _sign(built, key, sandbox, options.cache, log, say)
    media = options.out / ARCH / "media"
    for medium in MEDIA:
        (media / medium.directory).mkdir(parents=True, exist_ok=True)
    published = [media / medium_of(source.name) / source.name for source in signed]
    for path, place in zip(signed.values(), published, strict=True):
        _publish(path, place)
    async with step(say, "metadata for dnf and urpmi", log):
        found = await _describe(options.out, MEDIA, options, key, sandbox, log)
        await _describe_current(published, options, key, sandbox, log)
    say(f"{sum(map(len, found.values()))} packages in {options.out}; systems use {options.out / 'xtreemos.repo'}")
    return found


async def tools(cache: Path, say: Say) -> Sandbox:
    """The root that signs and indexes."""
    _, root = await open_roots(cache, say)
    return Sandbox(root=root.path, scratch=cache / "tmp", binds=(Bind(INSIDE, TOOLS),))


async def rotate_key(options: Options, say: Say) -> None:
    """Make a new signing key; the next `make_repository` signs everything with it."""
    sandbox = await tools(options.cache, say)
    fingerprint = await rotate(options.keys, sandbox, options.cache / "repository.log")
    say(f"signing key is now {fingerprint}; `make repo` publishes it beside the old one")


async def _sign(
    built: Sequence[Path], key: Signer, sandbox: Sandbox, cache: Path, log: Path, say: Say
) -> dict[Path, Path]:
    """The signed RPM for each that was built; signed ones are kept in the cache."""
    home = cache / "signed" / f"{key.fingerprint}-{SIGNING}"
    home.mkdir(parents=True, exist_ok=True)
    signed = {path: home / f"{hashlib.sha256(path.read_bytes()).hexdigest()}.rpm" for path in built}
    fresh = [path for path in built if not signed[path].exists()]
    if not fresh:
        return signed
    work = cache / "tmp/sign"
    work.mkdir()
    for path in fresh:
        shutil.copy(path, work / path.name)
    inside = key.inside(sandbox).also(Bind(work, "/work", writable=True))
    async with step(say, f"signing {len(fresh)} packages", log):
        await inside.run([f"{TOOLS}/sign-packages", key.fingerprint], step="signing packages", log=log)
        for package in await read_packages([work / path.name for path in fresh], sandbox, log):
            # The metadata holds the time of the file: it is the package's own.
            os.utime(work / package.file, (package.build_time, package.build_time))
    for path in fresh:
        (work / path.name).rename(signed[path])
    work.rmdir()
    return signed


def _publish(signed: Path, place: Path) -> None:
    """The RPM in its medium. Another one under the same name makes dnf's index begin anew, since that goes by time."""
    if place.exists() and place.read_bytes() == signed.read_bytes():
        return
    if place.exists():
        shutil.rmtree(place.parent / "repodata", ignore_errors=True)
    draft = place.with_name(f".{place.name}.new")
    shutil.copy2(signed, draft)
    draft.rename(place)


async def _describe(
    out: Path, which: Sequence[Medium], options: Options, key: Signer, sandbox: Sandbox, log: Path
) -> dict[str, tuple[Package, ...]]:
    """Metadata for the media in *out*, keys, and the files that systems are set up with."""
    media = out / ARCH / "media"
    write_atomically(out / KEY_FILE, key.public.encode(), 0o644)
    write_atomically(out / "xtreemos.repo", repo_file(options.url or options.out.as_uri()).encode(), 0o644)
    found: dict[str, tuple[Package, ...]] = {}
    for medium in which:
        place = media / medium.directory
        packages = await read_packages(sorted(place.glob("*.rpm")), sandbox, log)
        found[medium.directory] = tuple(sorted(packages, key=lambda p: (p.name, p.build_time, p.full_name)))
        urpmi.write_media_info(place, found[medium.directory], key.public)
    newest = max(package.build_time for packages in found.values() for package in packages)
    urpmi.write_distribution(media, urpmi.distribution_version(newest), ARCH, which)
    comps = options.cache / "tmp/comps.xml"
    comps.write_bytes(groups.comps(groups.groups()))
    inside = key.inside(sandbox).also(Bind(out, "/repo", writable=True), Bind(comps, "/comps.xml"))
    names = [f"{ARCH}/media/{medium.directory}" for medium in which]
    await inside.run(
        [f"{TOOLS}/index-media", key.fingerprint, str(newest), *names], step="indexing the repository", log=log
    )
    for medium in which:
        urpmi.read_media_info(media / medium.directory)
    return found


async def _describe_current(
    published: Sequence[Path], options: Options, key: Signer, sandbox: Sandbox, log: Path
) -> None:
    """The main medium with exactly what was published now, made anew, so that nothing depends on what was there."""
    main = MEDIA[0].directory
    draft = options.out / f".{CURRENT}.new"
    shutil.rmtree(draft, ignore_errors=True)
    (draft / ARCH / "media" / main).mkdir(parents=True)
    for place in published:
        if place.parent.name == main:
            (draft / ARCH / "media" / main / place.name).hardlink_to(place)
    await _describe(draft, MEDIA[:1], options, key, sandbox, log)
    shutil.rmtree(options.out / CURRENT, ignore_errors=True)
    draft.rename(options.out / CURRENT)

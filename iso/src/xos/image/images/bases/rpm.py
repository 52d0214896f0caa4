# SPDX-License-Identifier: BSD-3-Clause
"""Any RPM distribution, by ``dnf --installroot`` from its repositories, with dnf from our Debian base root."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from xos.image import roots
from xos.image.errors import ImageError, StepFailed
from xos.image.images.bases.api import INSIDE, Ground
from xos.image.images.flavours import Flavour, Kind, RpmRepository, RpmSource
from xos.image.progress import Say, step, tail
from xos.image.sandbox import Bind, Sandbox

UNREACHED = ("Could not resolve host", "Failed to download metadata", "Cannot download", "Curl error")
"""What dnf says when a repository cannot be reached, or is none."""


class BaseUnreached(ImageError):
    """Raised when a repository of the distribution cannot be reached, or is none."""

    code = "image.base-unreached"
    template = "the base of {flavour} could not be fetched\n{tail}"
    hint = "Check the network and the addresses under [rpm]; the log is {log}"


class RpmBase:
    """Systems without a kernel of their own; the others need what each distribution does its own way."""

    name = "rpm"
    kinds: frozenset[Kind] = frozenset({"plain"})

    async def ground(self, flavour: Flavour, kind: Kind, cache: Path, say: Say) -> Ground:  # noqa: ARG002
        """The distribution in a directory, and the root whose dnf made it."""
        source = flavour.rpm
        tools = await roots.ensure("base", roots.plans().base, cache, say)
        key = hashlib.sha256(msgspec.json.encode((tools.key, source))).hexdigest()[:16]
        home = cache / "roots" / f"rpm-{key}"
        if not (home / "manifest").exists():
            await _make(flavour.name, source, tools.path, home, cache, say)
        content = hashlib.sha256((home / "manifest").read_bytes()).hexdigest()
        times = [int(line.split()[-1]) for line in (home / "manifest").read_text().splitlines()]
        return Ground(
            root=tools.path,
            key=f"{tools.key} {content}",
            newest=max(times, default=0),
            script=INSIDE / "install-flavour-rpm",
            binds=(Bind(home / "root", "/run/base"),),
        )


async def _make(name: str, source: RpmSource, tools: Path, home: Path, cache: Path, say: Say) -> None:
    draft = cache / "tmp" / home.name
    draft.mkdir()
    log = cache / f"{home.name}.log"
    log.unlink(missing_ok=True)
    (draft / "base.repo").write_text("".join(map(repo_file, source.repositories)))
    local = [Path(urlsplit(url).path) for r in source.repositories for url in (r.url, r.key) if url.startswith("file:")]
    binds = (Bind(draft, "/run/out", writable=True), *(Bind(path, str(path)) for path in local))
    script = Bind(INSIDE / "make-rpm-root", "/run/make-rpm-root")
    sandbox = Sandbox(root=tools, scratch=cache / "tmp", binds=(*binds, script), network=True)
    env = {"SOURCE_DATE_EPOCH": "1"}  # when rpm installed it is nobody's business
    what = f"{name}: base of {len(source.packages)} packages and what they need, by dnf"
    argv = ["/run/make-rpm-root", source.release, *source.packages]
    async with step(say, what, log):
        try:
            await sandbox.run(argv, step=f"making the base of {name}", log=log, env=env)
        except StepFailed as error:
            last = tail(log, 15)
            if any(word in last for word in UNREACHED):
                raise BaseUnreached(flavour=name, tail=last, log=str(log)) from error
            raise
    home.parent.mkdir(exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    draft.rename(home)


def repo_file(repository: RpmRepository) -> str:
    """For dnf."""
    return (
        f"[{repository.name}]\nname={repository.name}\nbaseurl={repository.url}\n"
        f"enabled=1\ngpgcheck=1\ngpgkey={repository.key}\n"
    )

# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image build``: images of a flavour, published as `publish` tells.

The same roots, repository, key and flavour give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import msgspec

from xos.common.config import load
from xos.image import roots
from xos.image.errors import ImageError, NotRoot, WrongMachine
from xos.image.images.bases.api import INSIDE
from xos.image.images.flavours import Flavour, Format
from xos.image.images.formats import FORMATS, ImageFormat
from xos.image.images.publish import publish, sign
from xos.image.images.store import Store
from xos.image.images.tree import BOOT, Tree, make_tree
from xos.image.progress import Say
from xos.image.repository.keys import signer
from xos.image.repository.make import CURRENT
from xos.image.repository.packages import INSIDE as SIGNING
from xos.image.repository.packages import TOOLS
from xos.image.roots import Root, RootPlan
from xos.image.sandbox import Bind, Sandbox

ROOT = Path(__file__).with_name("roots.toml")


class ImageTooLarge(ImageError):
    """Raised when an image exceeds the size that its flavour allows; it is not published."""

    code = "image.too-large"
    template = "the image of {flavour} has {size_mb} MB, its file allows {most_mb} MB"
    hint = "Take packages out of it, or allow more: most_mb in {file}"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """From where to where."""

    repo: Path
    """As `xos.image.repository.make` made it; what was published there last is taken."""
    out: Path
    cache: Path
    keys: Path
    """Where the key is that signs their checksums."""


async def build(flavour: Flavour, formats: tuple[Format, ...], options: Options, say: Say) -> tuple[Path, ...]:
    """Make the images, publish them in ``options.out`` and return their files. Raises `ImageError`."""
    if (machine := platform.machine()) != "x86_64":
        raise WrongMachine(machine=machine)
    if os.geteuid() != 0:
        raise NotRoot
    store = Store(options.cache)
    tools = await roots.ensure("images", tools_plan(), options.cache, say)
    sandbox = Sandbox(root=tools.path, scratch=options.cache / "tmp", binds=(Bind(SIGNING, TOOLS),))
    log = options.cache / "publish.log"
    log.unlink(missing_ok=True)
    key = await signer(options.keys, sandbox, log)
    made = []
    for name in formats:
        chosen = FORMATS[name]
        tree = await make_tree(flavour, options.repo / CURRENT, store, say, chosen.kind)
        image = await _pack(flavour, chosen, tree, tools, options, say)
        file = options.out / f"xtreemos-{flavour.name}-x86_64.{chosen.suffix}"
        digest = (image / "sha256").read_text()
        sums = await publish(image / "image", digest, tree, file, log)
        await sign(options.out, sums, key, sandbox, tree.epoch, log)
        say(f"{file}: {file.stat().st_size >> 20} MB, SHA-256 {digest}")
        made.append(file)
    return tuple(made)


def tools_plan() -> RootPlan:
    """The root of the tools; ``$XOS_MIRROR`` goes before what the file names."""
    plan = load(ROOT, RootPlan)
    mirror = os.environ.get("XOS_MIRROR")
    return msgspec.structs.replace(plan, mirror=mirror) if mirror else plan


async def _pack(flavour: Flavour, chosen: ImageFormat, tree: Tree, tools: Root, options: Options, say: Say) -> Path:
    """The image in the cache: its directory also holds its checksum."""
    files = chosen.files(flavour)
    script = INSIDE / chosen.script
    arguments = chosen.arguments(flavour)
    boot = (path.read_text() for path in sorted(BOOT.iterdir()))
    parts = (tree.key, tools.key, script.read_text(), *boot, *arguments, *(f"{n}\0{t}" for n, t in files.items()))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]

    async def pack(draft: Path, log: Path) -> None:
        given = options.cache / "tmp" / f"files-{key}"
        given.mkdir()
        for name, text in files.items():
            (given / name).write_text(text)
        binds = (
            Bind(draft, "/run/out", writable=True),
            Bind(tree.path, "/run/tree"),
            Bind(given, "/run/files"),
            Bind(options.repo / CURRENT, "/run/repository"),
            Bind(BOOT, "/run/boot"),
            Bind(script, "/run/pack"),
        )
        sandbox = Sandbox(root=tools.path, scratch=options.cache / "tmp", binds=binds)
        env = {"SOURCE_DATE_EPOCH": str(tree.epoch), "ROOT_UUID": tree.root_uuid}
        await sandbox.run(["/run/pack", *arguments], step=f"packing {chosen.suffix}", log=log, env=env)
        check_size(flavour, chosen, draft / "image")
        with (draft / "image").open("rb") as image:
            (draft / "sha256").write_text(hashlib.file_digest(image, "sha256").hexdigest())

    return await Store(options.cache).ensure("images", key, f"{flavour.name}: {chosen.suffix}", pack, say)


def check_size(flavour: Flavour, chosen: ImageFormat, image: Path) -> None:
    """Raises `ImageTooLarge`."""
    most = chosen.most_mb(flavour)
    size = -(-image.stat().st_size >> 20)
    if most is not None and size > most:
        raise ImageTooLarge(flavour=flavour.name, size_mb=size, most_mb=most, file=str(flavour.file))

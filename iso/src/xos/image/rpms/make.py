# SPDX-License-Identifier: BSD-3-Clause
"""``make rpms``: every spec, in order, side by side where they do not need each other, and only what changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.image import cache as caches
from xos.image import roots
from xos.image.processes import together
from xos.image.progress import Say
from xos.image.roots import Root
from xos.image.rpms.base import describe
from xos.image.rpms.order import all_needs, chosen, direct_needs
from xos.image.rpms.package import Built, Job, build, with_tools
from xos.image.rpms.pinned import Pinned, fetch
from xos.image.rpms.sources import Checkout
from xos.image.rpms.specs import Spec, read_specs
from xos.image.sandbox import Sandbox

KEPT = 60
"""Results in the cache that stay however long they have not been used."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to build, from where to where."""

    checkout: Path
    out: Path
    cache: Path
    only: tuple[str, ...] = ()
    jobs: int = 2


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """What all builds of a run share."""

    options: Options
    checkout: Checkout
    build_root: Root
    sandbox: Sandbox
    base: Built
    """xos-base of the base root: what a node has."""
    tools_base: Built
    """xos-base of the build root: what BuildRequires may name."""
    lint: bytes
    say: Say


async def make_rpms(options: Options, say: Say) -> tuple[Built, ...]:
    """Build what is not in the cache and put all RPMs into ``options.out``. Raises `ImageError`."""
    shop = await _open(options, say)
    log = options.cache / "specs.log"
    specs = {spec.name: spec for spec in await read_specs(options.checkout / "specs", shop.sandbox, log)}
    needs = all_needs(direct_needs(specs.values()))
    built = await _build_all([specs[name] for name in chosen(needs, options.only)], needs, shop)
    _publish((shop.base, *built), options.out)
    caches.forget_old(options.cache / "rpms", KEPT)
    fresh = [package.name for package in (shop.base, *built) if package.fresh]
    count = sum(len(package.rpms) for package in (shop.base, *built))
    say(f"{count} RPMs in {options.out}; built now: {', '.join(fresh) or 'nothing, all of it was there'}")
    return (shop.base, *built)


async def open_roots(cache: Path, say: Say) -> tuple[Root, Root]:
    """The base root and the build root, made side by side if they are not there."""
    plans = roots.plans()
    named = (("base", plans.base), ("build", plans.build))
    await together(roots.ensure(name, plan, cache, say) for name, plan in named)
    return await roots.ensure("base", plans.base, cache, say), await roots.ensure("build", plans.build, cache, say)


async def _open(options: Options, say: Say) -> Workshop:
    checkout = Checkout(options.checkout)
    lint = (options.checkout / "specs/rpmlint.toml").read_bytes()
    base, tools = await open_roots(options.cache, say)
    sandbox = with_tools(tools.path, options.cache / "tmp")
    return Workshop(
        options=options,
        checkout=checkout,
        build_root=tools,
        sandbox=sandbox,
        tools_base=await describe(tools, tools, sandbox, options.cache, say),
        base=await describe(base, tools, sandbox, options.cache, say, lint),
        lint=lint,
        say=say,
    )


async def _build_all(specs: Sequence[Spec], needs: dict[str, frozenset[str]], shop: Workshop) -> list[Built]:
    """Each as soon as what it needs is there; the first failure ends the others."""
    done = {spec.name: asyncio.get_running_loop().create_future() for spec in specs}
    free = asyncio.Semaphore(shop.options.jobs)

    async def one(spec: Spec) -> None:
        needed = [await done[name] for name in sorted(needs[spec.name])]
        async with free:
            done[spec.name].set_result(await _one(spec, needed, shop))

    await together(map(one, specs))
    return [future.result() for future in done.values()]


async def _one(spec: Spec, needed: Sequence[Built], shop: Workshop) -> Built:
    sources = await asyncio.to_thread(shop.checkout.collect, spec.file, spec.sources)
    pinned: tuple[Pinned, ...] = ()
    if spec.pinned:
        pinned = await fetch(shop.options.checkout / spec.pinned, shop.options.cache, shop.say)
    top = f"{spec.name}-{spec.version}"
    job = Job(
        name=spec.name,
        spec=spec.file.read_bytes(),
        release=sources.release,
        epoch=sources.epoch,
        archive=f"{top}.tar",
        sources=sources.archive(top),
        lint=shop.lint,
        root=shop.build_root.key,
        needs=tuple((package.name, package.key) for package in needed),
        pinned=tuple((one.name, one.digest) for one in pinned),
    )
    deps = [path for package in needed for path in package.installable]
    fetched = [one.path for one in pinned]
    return await build(job, shop.sandbox, deps, shop.tools_base.rpms, shop.options.cache, shop.say, fetched)


def _publish(built: Sequence[Built], out: Path) -> None:
    """Exactly these packages in *out*: binary ones, and the source packages in ``sources``."""
    draft = out.with_name(f".{out.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "sources").mkdir(parents=True)
    for package in built:
        for path in package.rpms:
            shutil.copy2(path, draft)
        for path in package.source_rpms:
            shutil.copy2(path, draft / "sources")
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)

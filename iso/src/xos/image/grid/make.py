# SPDX-License-Identifier: BSD-3-Clause
"""``make grid``: a core and resource nodes as systemd containers, from the repository, and the sample job in them."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.image import cache as caches
from xos.image import roots
from xos.image.errors import NothingBuilt, NotRoot
from xos.image.grid.plan import Node, files, layout
from xos.image.grid.systems import Systems
from xos.image.processes import together
from xos.image.progress import Say, step
from xos.image.roots import Root
from xos.image.sandbox import Bind, Sandbox

VO, USER = "demo", "alice"
JOB_SECONDS = 120.0
SETUP_SECONDS = 180.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are."""

    repo: Path
    state: Path
    """What the containers keep, and their consoles."""
    cache: Path
    job: Path
    """The sample job, JSDL or TOML."""
    resources: int = 2
    also: tuple[str, ...] = ()
    """Packages of Debian that the containers have besides: programs to try on them."""
    wait: float = caches.WAIT_SECONDS
    """Seconds to wait for the cache, if the base root has to be made."""


async def up(options: Options, say: Say) -> str:
    """Boot the grid anew and run the sample job; what that wrote. The grid stays up. Raises `ImageError`."""
    if os.geteuid() != 0:
        raise NotRoot
    if not (options.repo / "xtreemos.repo").exists():
        raise NothingBuilt(path=str(options.repo))
    nodes = layout(options.resources)
    base = await _base(options, say)
    systems = Systems(options.state)
    await asyncio.to_thread(systems.destroy)
    options.state.mkdir(parents=True)
    try:
        async with step(say, f"installing {', '.join(node.name for node in nodes)}"):
            await _install(nodes, base, options)
        return await asyncio.to_thread(_run, systems, base, nodes, options, say)
    except BaseException:
        await asyncio.to_thread(systems.stop)
        raise


def down(state: Path, say: Say) -> None:
    """End the containers and remove all of them."""
    Systems(state).destroy()
    say("the grid is gone")


async def _base(options: Options, say: Say) -> Root:
    """What the containers begin with."""
    plan = roots.plans().base
    plan = msgspec.structs.replace(plan, packages=plan.packages + options.also)
    if (root := roots.found("base", plan, options.cache)) is not None:
        return root
    with caches.opened(options.cache, say, options.wait):
        return await roots.ensure("base", plan, options.cache, say)


async def _install(nodes: Sequence[Node], base: Root, options: Options) -> None:
    """The overlays: packages by dnf with all signatures checked, the core founded."""
    await together(_install_one(node, nodes, base, options) for node in nodes)


async def _install_one(node: Node, nodes: Sequence[Node], base: Root, options: Options) -> None:
    place = options.state / node.name
    sandbox = Sandbox(
        root=base.path,
        scratch=place,
        kept=True,
        binds=(Bind(options.repo, "/repo"),),
    )
    given = place / "files"
    for name, content in files(node, nodes).items():
        path = given / name.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    script = [
        "set -e",
        "exec >&2",
        "cp -r /given/. /",
        "mkdir -p /etc/yum.repos.d",
        "sed 's#=file://.*/repo\\([/$]\\)#=file:///repo\\1#' /repo/xtreemos.repo >/etc/yum.repos.d/xtreemos.repo",
        f"dnf -y install {' '.join(node.packages)}",
        "rpm -Va 'xos*'",
        "systemctl enable systemd-networkd systemd-networkd-wait-online",
        "systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer man-db.timer",
    ]
    log = options.state / f"{node.name}-install.log"
    bound = sandbox.also(Bind(given, "/given"))
    await bound.run(["bash", "-c", "\n".join(script)], step=f"installing {node.name}", log=log)


def _run(systems: Systems, base: Root, nodes: Sequence[Node], options: Options, say: Say) -> str:
    core, *rest = nodes
    systems.start(base.path, options.repo, nodes)
    for node in nodes:
        say(f"  {node.name} ({node.address}): {systems.wait_for(node)}")
    words = [word for node in rest for word in ("--node", node.name)]
    core_setup = ["xos-setup", "core", "--hostname", core.name, "--address", core.address, "--vo", VO, *words]
    systems.run(core.name, core_setup, seconds=SETUP_SECONDS)
    say(f"  {core.name}: VO {VO}; dixid@core is ready")
    for node in rest:
        word = systems.run(core.name, ["cat", f"/root/xos-join-words/{node.name}"])
        node_setup = ["xos-setup", "resource", "--address", node.address, "--vo", VO, "--token", "-"]
        systems.run(node.name, node_setup, stdin=word, seconds=SETUP_SECONDS)
        say(f"  {node.name}: joined; dixid@{node.role} is ready")
    return _sample(systems, core, options, say)


def _sample(systems: Systems, core: Node, options: Options, say: Say) -> str:
    """A user with an account on the core, and the job."""
    home = f"/home/{USER}"
    systems.run(core.name, ["useradd", "--create-home", USER])
    secret = secrets.token_urlsafe(18)
    keep = f"umask 077; cat >{home}/password; chown {USER}: {home}/password; cp {home}/password /root/password"
    systems.run(core.name, ["sh", "-c", keep], stdin=f"{secret}\n")
    systems.run(core.name, ["env", "HOME=/root", "xos-vo", "add-user", VO, USER, "--password-file", "/root/password"])
    systems.run(core.name, ["sh", "-c", f"cat >{home}/job; chown {USER}: {home}/job"], stdin=options.job.read_text())

    def alice(*words: str) -> str:
        return systems.run(core.name, ["runuser", "-u", USER, "--", "env", f"HOME={home}", *words], seconds=JOB_SECONDS)

    alice("get-xos-cert", VO, USER, "--password-file", f"{home}/password", "--no-passphrase")
    job = alice("xsub", "--file", f"{home}/job").split()[0]
    say(f"  {USER} submitted {job}")
    alice("xwait", job)
    return alice("xout", job)

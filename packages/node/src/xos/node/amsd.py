# SPDX-License-Identifier: BSD-3-Clause
"""The program ``xos-amsd``: maps global identities to accounts of this node. SIGHUP reads the configuration again."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import pwd
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xos.common.errors import XosError
from xos.common.log import configure, get_logger
from xos.dixi.notify import Notifier
from xos.node.accounts import Accounts
from xos.node.api import CONFIG, SOCKET, STATE
from xos.node.config import NodeConfig, load_node
from xos.node.publish import Publisher
from xos.node.scan import Scanner
from xos.node.server import Server
from xos.node.service import Service
from xos.node.sessions import Sessions
from xos.node.store import Store
from xos.node.withdrawn import Withdrawn

log = get_logger("xos.node.amsd")

HELPERS = ("xos",)
"""Accounts that may ask whether an SSH certificate is good (AuthorizedPrincipalsCommandUser)."""
_FIRST_FD = 3
_BACKLOG = 1024


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-amsd", description="Map global identities of Virtual Organisations to accounts of this machine."
    )
    made.add_argument(
        "--config", type=Path, default=CONFIG, metavar="FILE", help=f"configuration (TOML; default: {CONFIG})"
    )
    made.add_argument("--state", type=Path, default=STATE, metavar="DIR", help=f"what it keeps (default: {STATE})")
    made.add_argument(
        "--socket", type=Path, default=SOCKET, metavar="PATH",
        help=f"where it answers, unless systemd hands it a socket (default: {SOCKET})",
    )  # fmt: skip
    made.add_argument("--check", action="store_true", help="check the configuration and exit")
    return made


def main() -> int:
    """Run the daemon; 0 after a stop that was asked for."""
    args = parser().parse_args()
    os.environ["XOS_NSS_TABLE_ONLY"] = "1"  # it must not wait for itself when it looks up a user
    try:
        config = load_node(args.config)
        configure(service="xos-amsd", node=platform.node(), level=config.log_level)
        if args.check:
            sys.stdout.write(f"{args.config} is right: {len(config.vos)} VOs\n")
            return 0
        asyncio.run(Daemon(args.config, args.state, args.socket).run())
    except XosError as error:
        sys.stderr.write(f"xos-amsd: {error.message} [{error.code}]\n")
        if error.next_step:
            sys.stderr.write(f"  {error.next_step}\n")
        return error.exit_status
    return 0


class Daemon:
    """One running xos-amsd."""

    def __init__(self, config: Path, state: Path, path: Path) -> None:
        self._config_file, self._state, self._path = config, state, path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        self._state.mkdir(mode=0o755, exist_ok=True)
        store = Store(self._state)
        self._withdrawn = Withdrawn(self._state)
        config = self._load()
        self._accounts = Accounts(store, config, writer=self._writer, local_ids=local_ids())
        sessions = Sessions(self._state)
        self._service = Service(
            self._accounts, sessions, helpers=_helpers(), reload=self._read_again, withdrawn=self._withdrawn
        )
        publisher = Publisher(self._accounts, self._state / "table")
        scanner = Scanner(self._accounts, self._service.wanted_scan, self._service.forget_sessions)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        try:
            with listen(self._path) as listening:
                await publisher.publish()
                notifier = Notifier()
                async with asyncio.TaskGroup() as tasks:
                    running = [
                        tasks.create_task(Server(self._service, listening).run()),
                        tasks.create_task(publisher.run()),
                        tasks.create_task(scanner.run()),
                        tasks.create_task(sessions.run()),
                        tasks.create_task(_watchdog(notifier)),
                    ]
                    notifier.send("READY=1", f"STATUS=serving {', '.join(config.vos) or 'no VO yet'}")
                    log.info("ready", vos=len(config.vos), accounts=len(self._accounts.all()))
                    await stopping.wait()
                    notifier.send("STOPPING=1")
                    for task in running:
                        task.cancel()
        finally:
            self._writer.shutdown()
            sessions.close()
            store.close()

    def reload(self) -> None:
        """SIGHUP: read the configuration again; a wrong one leaves the old in force."""
        try:
            self._read_again()
        except XosError as error:
            log.warning("reload.failed", detail=error.message, hint=error.next_step)

    def _load(self) -> NodeConfig:
        return self._withdrawn.without(load_node(self._config_file))

    def _read_again(self) -> None:
        config = self._load()
        self._accounts.configure(config, local_ids=local_ids())
        self._service.configure(config)
        log.info("reloaded", vos=len(config.vos))


def listen(path: Path) -> socket.socket:
    """The socket that systemd hands over (sd_listen_fds(3)), else one bound at *path*."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_FIRST_FD)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    listening.bind(str(draft))
    draft.chmod(0o666)
    listening.listen(_BACKLOG)
    draft.rename(path)  # whoever finds the socket is heard
    return listening


def local_ids() -> frozenset[int]:
    """Numbers of the machine's own users and groups: no VO account may get one of them."""
    found: set[int] = set()
    for file in (Path("/etc/passwd"), Path("/etc/group")):
        for line in file.read_text(errors="replace").splitlines():
            fields = line.split(":")
            if len(fields) > 3 and fields[2].isdecimal():
                found.add(int(fields[2]))
    return frozenset(found)


def _helpers() -> frozenset[int]:
    found = set()
    for name in HELPERS:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue  # a machine without sshd has no need of it
    return frozenset(found)


async def _watchdog(notifier: Notifier) -> None:
    while notifier.watchdog_seconds is not None:
        notifier.send("WATCHDOG=1")
        await asyncio.sleep(notifier.watchdog_seconds)


if __name__ == "__main__":
    sys.exit(main())

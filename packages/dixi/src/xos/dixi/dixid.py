# SPDX-License-Identifier: BSD-3-Clause
"""The command ``dixid``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop

from xos.common.config import convert
from xos.common.errors import XosError
from xos.common.log import configure
from xos.dixi.configuration import DaemonConfig, load_daemon
from xos.dixi.daemon import implementation, run

SWITCH_SECONDS = 0.0005
"""How long a busy thread may keep the interpreter from others that want it. With Python's own 5 ms, a commit that has
reached the disk waits that long behind the event loop before it can be answered."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="dixid", description="Host the XtreemOS services that a configuration file names.")
    p.add_argument("--config", required=True, type=Path, metavar="FILE", help="configuration (TOML); see dixid.toml(5)")
    p.add_argument("--check", action="store_true", help="check the configuration and exit")
    return p


def main() -> int:
    """Run the daemon; the exit status is 0 after a stop that was asked for."""
    args = parser().parse_args()
    try:
        config = load_daemon(args.config)
        configure(service="dixid", node=config.node, level=config.log_level)
        if args.check:
            _check(config, args.config)
            return 0
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        sys.setswitchinterval(SWITCH_SECONDS)
        asyncio.run(run(config, args.config))
    except XosError as error:
        sys.stderr.write(f"dixid: {error.message} [{error.code}]\n")
        if error.next_step:
            sys.stderr.write(f"  {error.next_step}\n")
        return error.exit_status
    return 0


def _check(config: DaemonConfig, file: Path) -> None:
    for name, settings in config.services.items():
        cls = implementation(name, settings)
        convert(settings.settings, cls.settings_type, where=f"services.{name}.settings", file=file)
    sys.stdout.write(f"configuration of {config.node} is right: {len(config.services)} services\n")


if __name__ == "__main__":
    sys.exit(main())

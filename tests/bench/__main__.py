# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bench``: run rows, print the table, write ``build/bench/results.json`` and ``results.svg``."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import leftovers, picture, report
from bench.cpu import cgroup2
from bench.model import Result, Row, UnknownRow, select
from bench.resources import Resources
from bench.rows import REGISTRY
from bench.runner import run_row

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """0 whatever the figures are; 2 for a row that does not exist; 130 when interrupted."""
    options = _options()
    if options.list:
        for row in REGISTRY:
            print(f"{row.name:18} {row.title}")
        return 0
    try:
        rows = select(REGISTRY, options.rows)
    except UnknownRow as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    build = ROOT / "build" / "bench"
    build.mkdir(parents=True, exist_ok=True)
    leftovers.sweep(cgroup2(), Path(tempfile.gettempdir()))
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    results: list[Result] = []
    status = 0
    try:
        if options.install:
            _install_peers({side.needs for row in rows for side in (row.ours, row.peer) if side.needs})
        _run(rows, options, build, results)
    except KeyboardInterrupt:
        _say("bench: interrupted; everything that was started is stopped")
        status = 130
    if results:
        _finish(results, build)
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Our figures beside a peer's, in one run.")
    parser.add_argument("--rows", default="", metavar="NAME[,NAME…]", help="rows or groups of rows; all by default")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    parser.add_argument("--repetitions", type=int, metavar="N", help="at most N of each side")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="X times the work (0.1: a quick look)")
    parser.add_argument("--no-install", dest="install", action="store_false", help="run only with peers that are there")
    return parser.parse_args()


def _interrupt() -> None:
    raise KeyboardInterrupt


def _install_peers(names: set[str]) -> None:
    script = [str(ROOT / "tests" / "bench" / "install-peers"), *sorted(names)]
    if names and subprocess.run(script, env={**os.environ, "PYTHON": sys.executable}).returncode != 0:
        _say("bench: not every peer could be installed; its rows will say so")


def _run(rows: list[Row], options: argparse.Namespace, build: Path, results: list[Result]) -> None:
    log = build / "bench.log"
    log.unlink(missing_ok=True)
    begin = time.monotonic()
    with Resources(ROOT, build, scale=options.scale, say=_say_inset) as resources:
        for number, row in enumerate(rows, 1):
            _say(f"[{number}/{len(rows)}] {row.name}: {row.title}; {row.ours.label} beside {row.peer.label}")
            results.append(
                run_row(row, resources, lambda text: _say(f"      {text}"), log, repetitions=options.repetitions)
            )
        _say("stopping what was started")
    _say(f"{len(rows)} rows in {time.monotonic() - begin:.0f} s")


def _finish(results: list[Result], build: Path) -> None:
    print(report.table(results), flush=True)
    report.write_json(results, build / "results.json")
    when = time.strftime("%Y-%m-%d %H:%M")
    subtitle = (
        f"make bench, {when}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    )
    (build / "results.svg").write_text(picture.picture(results, subtitle=subtitle))
    _say(f"written: {_shown(build / 'results.json')} and {_shown(build / 'results.svg')}")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _say_inset(text: str) -> None:
    _say(f"      {text}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-3-Clause
"""Runs commands and takes their time (run as a script, usually inside an enclosure; standard library only).

Requests: ``{"run": ARGV, "count": N, "parallel": P}`` runs one command N times, P at once;
``{"chain": [ARGV, ARGV…]}`` runs commands one after another, ``{}`` in one standing for what the one before wrote.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import sys
import time
from typing import Any

Request = dict[str, Any]


def run(argv: list[str], out: int) -> tuple[float, float]:
    """Run one command, its output to *out*; returns how long it took and when it ended (Unix seconds)."""
    begin = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
    _, status = os.waitpid(pid, 0)
    took, ended = time.perf_counter() - begin, time.time()
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        raise ChildProcessError(f"{' '.join(argv)} ended with {code}")
    return took, ended


def repeat(request: Request) -> Request:
    """One command many times."""
    argv, count, parallel = request["run"], request["count"], request["parallel"]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        begin = time.perf_counter()
        if parallel == 1:
            each = [run(argv, null) for _ in range(count)]
        else:
            with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
                each = list(pool.map(lambda _: run(argv, null), range(count)))
        wall = time.perf_counter() - begin
    finally:
        os.close(null)
    return {"wall": wall, "took": [took for took, _ in each], "ended": [ended for _, ended in each]}


def chain(request: Request) -> Request:
    """Commands that feed one another; the answer is about the last one, and holds what each wrote."""
    texts = [""]
    took = ended = 0.0
    for argv in request["chain"]:
        with os.fdopen(os.memfd_create("out"), "w+b", buffering=0) as out:
            took, ended = run([part.replace("{}", texts[-1]) for part in argv], out.fileno())
            out.seek(0)
            texts.append(out.read().decode(errors="replace").strip())
    return {"took": took, "ended": ended, "outs": texts[1:]}


def main() -> None:
    """Answer requests until the input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = repeat(request) if "run" in request else chain(request)
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

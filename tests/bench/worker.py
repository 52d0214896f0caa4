# SPDX-License-Identifier: BSD-3-Clause
"""Helper processes that measure: one JSON request per line in, one JSON answer per line out."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.model import CannotRun


class Worker:
    """A process of the bench; a context manager, so that it always ends with the bench."""

    def __init__(self, name: str, argv: list[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            # A session of its own: ^C reaches the bench alone, which then ends its workers in order.
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
            )
        self._left = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended before it had read all
                process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)
        if process.stdout is not None:
            process.stdout.close()

    def end(self) -> None:
        """End the process at once; one that has ended stays so."""
        self._process.kill()

    @property
    def pid(self) -> int:
        """Of the process as we started it."""
        return self._process.pid

    def ask(self, request: dict[str, Any], *, timeout: float = 60.0) -> dict[str, Any]:
        """Send a request and return the answer. Raises `CannotRun` when it fails, ends or takes too long."""
        self.tell(request)
        return self.hear(timeout=timeout)

    def tell(self, request: dict[str, Any]) -> None:
        """Send a request; `hear` takes the answer. Raises `CannotRun` when the worker has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise CannotRun(f"{self.name} ended: {self._last_words()}") from None

    def hear(self, *, timeout: float = 60.0) -> dict[str, Any]:
        """The next answer; a worker says once by itself that it is ready."""
        line = self._line(time.monotonic() + timeout)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CannotRun(f"{self.name}: {answer['error']}")
        return answer

    def _line(self, end: float) -> bytes:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while b"\n" not in self._left:
            ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise CannotRun(f"{self.name} did not answer in time: {self._last_words()}")
            data = os.read(fd, 1 << 20)
            if not data:
                raise CannotRun(f"{self.name} ended: {self._last_words()}")
            self._left += data
        line, _, self._left = self._left.partition(b"\n")
        return line

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1]} ({self._log})" if lines else f"nothing in {self._log}"

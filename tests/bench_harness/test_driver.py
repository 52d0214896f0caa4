# SPDX-License-Identifier: BSD-3-Clause
"""Workers answer requests, and a command's failure is told, not measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import driver
from bench.model import CannotRun
from bench.peers.slurm import Flavour, configuration
from bench.worker import Worker


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with Worker("driver", [sys.executable, str(driver.__file__)], log=tmp_path / "log") as started:
        assert started.hear() == {"ready": True}
        yield started


def test_every_run_of_a_command_is_timed(worker: Worker) -> None:
    before = time.time()
    answer = worker.ask({"run": ["sleep", "0.02"], "count": 3, "parallel": 1})
    assert len(answer["took"]) == 3
    assert all(took >= 0.02 for took in answer["took"])
    assert answer["wall"] >= sum(answer["took"])
    assert before < answer["ended"][0] < answer["ended"][-1] <= time.time()


def test_commands_run_side_by_side(worker: Worker) -> None:
    answer = worker.ask({"run": ["sleep", "0.3"], "count": 4, "parallel": 4})
    assert 0.3 <= answer["wall"] < 1.1


def test_a_chain_hands_on_what_a_command_wrote(worker: Worker) -> None:
    assert worker.ask({"chain": [["echo", "17"], ["printf", "job %s", "{}"]]})["outs"] == ["17", "job 17"]


def test_a_command_that_fails_is_no_figure_and_the_worker_goes_on(worker: Worker) -> None:
    with pytest.raises(CannotRun, match="ended with 1"):
        worker.ask({"run": ["false"], "count": 1, "parallel": 1})
    assert worker.ask({"chain": [["echo", "still here"]]})["outs"] == ["still here"]


def test_a_worker_that_ends_or_is_too_slow_says_so(tmp_path: Path) -> None:
    code = "import sys; print('last words', file=sys.stderr)"
    short = Worker("short", [sys.executable, "-c", code], log=tmp_path / "a")
    with short, pytest.raises(CannotRun, match="short ended: last words"):
        short.hear()
    with Worker("slow", ["sleep", "60"], log=tmp_path / "b") as slow:
        with pytest.raises(CannotRun, match="did not answer in time"):
            slow.hear(timeout=0.05)
        slow.end()


def test_only_the_tuned_configuration_touches_the_scheduler(tmp_path: Path) -> None:
    stock = configuration(Flavour.STOCK, tmp_path, tmp_path)
    tuned = configuration(Flavour.TUNED, tmp_path, tmp_path)
    assert "SchedulerParameters" not in stock
    assert {*tuned.splitlines()} - {*stock.splitlines()} == {
        line for line in tuned.splitlines() if line.startswith("SchedulerParameters=")
    }

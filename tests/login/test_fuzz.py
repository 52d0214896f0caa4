# SPDX-License-Identifier: BSD-3-Clause
"""What reads others' bytes in pam_xos and xos-principals, under libFuzzer with sanitizers (`fuzz.c`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.machine import TOP

CORPUS = Path(__file__).with_name("corpus")

pytestmark = [
    pytest.mark.skipif(shutil.which("clang") is None, reason="libFuzzer comes with clang, which is not installed here"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fuzz")
    command = ["make", "-s", "-C", str(TOP / "kernel-modules/pam_xos"), f"OUT={out}", "fuzz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if "libclang_rt.fuzzer" in done.stderr:
        pytest.skip("clang is here without libFuzzer")
    assert done.returncode == 0, done.stderr
    return out / "fuzz"


def test_what_fuzzing_has_found_so_far_stays_inside(fuzzer: Path) -> None:
    inputs = sorted(CORPUS.iterdir())
    assert inputs
    done = subprocess.run([fuzzer, *inputs], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_few_seconds_of_fuzzing_find_nothing(fuzzer: Path, tmp_path: Path) -> None:
    shutil.copytree(CORPUS, tmp_path / "corpus")
    limits = ["-max_total_time=3", "-max_len=4096", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run([fuzzer, *limits, tmp_path / "corpus"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]

# SPDX-License-Identifier: MIT
"""Fuzzers, briefly: each program in build/fuzz runs its corpus, then the same inputs every time.

make builds the programs (tests/fuzz/build.mk). To search for longer, run one by hand on a folder.
"""

import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("BUILD", "build"))
FUZZ = pathlib.Path(__file__).parent / "fuzz"
RUNS = 200_000
SLOW = {"hypercall": 10_000}  # a run is the whole life of a machine


@pytest.mark.parametrize("name", [s.stem.removeprefix("fuzz_") for s in sorted(FUZZ.glob("fuzz_*.c"))])
def test_fuzz(name, tmp_path):
    program = (BUILD / "fuzz" / name).resolve()
    corpus = FUZZ / "corpus" / name
    inputs = sorted(corpus.iterdir())
    assert inputs, f"{corpus} is empty"
    runs = SLOW.get(name, RUNS)
    run = subprocess.run([program, f"-runs={runs}", "-seed=1", tmp_path, corpus], cwd=tmp_path,
                         capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-8000:]
    assert f"Done {runs} runs" in run.stderr, run.stderr[-2000:]

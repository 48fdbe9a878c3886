# SPDX-License-Identifier: MIT
"""Host unit tests: each TEST() of each program in build/host is one pytest item.

make builds the programs (tests/build.mk); tests/host/test.h says how to write one.
"""

import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("BUILD", "build"))
SOURCES = pathlib.Path(__file__).parent / "host"


def host_tests():
    for source in sorted(SOURCES.glob("test_*.c")):
        program = BUILD / "host" / source.stem / "run"
        listing = subprocess.run([program, "--list"], capture_output=True, text=True, timeout=60)
        names = listing.stdout.split()
        if listing.returncode or not names:
            pytest.exit(f"{program} --list names no test: {listing.stderr}", returncode=1)
        for name in names:
            yield pytest.param(program, name, id=f"{source.stem.removeprefix('test_')}-{name}")


@pytest.mark.parametrize("program,name", host_tests())
def test_host(program, name):
    run = subprocess.run([program, name], capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, f"{program} {name}\n{run.stdout[-4000:]}{run.stderr[-8000:]}"

# SPDX-License-Identifier: MIT
"""What the `vm` command costs, in instructions of its own, counted by valgrind: the same every time. With the
kernel's a list takes less than a million, which test_boot.py and `make bench` count on the emulated machine:
some 200,000 for the caller's fork, 150,000 for exec and exit of any program, 190,000 for 38 page faults,
170,000 for the files it reads. What is counted here is the rest, which is why it has to be a tenth of that million."""

import re
import subprocess

from vm.conftest import VM


def instructions(vm, *words):
    run = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={vm.root}/counts", VM, *words],
                         env=vm.env, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return int(re.search(rb"Collected : (\d+)", run.stderr).group(1)), run.stdout


def test_a_list_of_eight_running(vm):
    for number in range(8):
        vm.ok("run", f"small{number}", "--image", "demo", "--detach", "-m", "64M")
    count, said = instructions(vm, "list")
    assert said.count(b"running") == 8
    assert count < 150_000


def test_a_byte_of_the_console(vm):
    vm.ok("run", "few", "--image", "demo", "--detach", "--cmdline", "fake=flood=100")
    vm.ok("run", "many", "--image", "demo", "--detach", "--cmdline", "fake=flood=20000")
    (few, short), (many, long) = (instructions(vm, "console", name, "--dump") for name in ("few", "many"))
    assert len(long) > len(short) + 300_000
    assert many - few < len(long) - len(short)  # less than one a byte: they are passed on in blocks

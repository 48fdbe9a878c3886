# SPDX-License-Identifier: MIT
"""The launcher itself, and the control domain's image on the bare machine (`native` entry): in
QEMU's translator, which is quick and on every host."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bench import emulators
from bench.machine import DEFAULTS, READY
from bench.medium import TOP, BenchError
from bench.patience import Patience


def processes_of(machine):
    """Processes whose working directory is the machine's folder: the supervisor, the emulator."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == str(machine.folder):
                found.append(int(pid))
        except OSError:
            pass  # it ended meanwhile, or is another user's
    return found


def launcher(*words):
    return subprocess.run([TOP / "tests/machine", *words], capture_output=True, text=True,
                          timeout=120)


INTEL = "vendor_id : GenuineIntel\nflags : fpu vme"


@pytest.mark.parametrize("cpu,nested,kvm,said", [
    ("vendor_id : AuthenticAMD\nflags : fpu svm\n", "", True, "VT-x is missing: .* not Intel's"),
    (f"{INTEL}\n", "", True, "VT-x is missing: .*firmware setup"),
    (f"{INTEL} vmx\n", "", False, "KVM is missing: .*modprobe kvm_intel nested=1"),
    (f"{INTEL} vmx\n", "N", True, "not nested: .*modprobe -r kvm_intel && modprobe kvm_intel nested=1"),
    (f"{INTEL} vmx\n", "Y", False, "/dev/kvm may not be opened: .*group"),
    (f"{INTEL} vmx\n", "Y", True, "^$"),
    (f"{INTEL} vmx\n", "1", True, "^$"),
])
def test_what_nested_kvm_lacks_is_named(tmp_path, cpu, nested, kvm, said):
    files = {"proc/cpuinfo": cpu, "sys/module/kvm_intel/parameters/nested": nested, "dev/kvm": kvm}
    for name, content in files.items():
        if content:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(str(content))
    assert re.search(said, emulators.kvm_lacks(tmp_path))


def test_run_says_what_qemu_lacks():
    """`make run EMULATOR=qemu`: it starts where it can, or says why not, before anything is built."""
    lacks = emulators.kvm_lacks()
    if not lacks:
        assert emulators.choose("qemu") == emulators.choose("auto") == "qemu-kvm"
        return
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    run = subprocess.run(["make", "-s", "run", "EMULATOR=qemu"], cwd=TOP, env=env, capture_output=True, text=True,
                         timeout=120, stdin=subprocess.DEVNULL)
    assert run.returncode == 2 and f"QEMU cannot run the hypervisor here. {lacks}" in run.stderr
    assert "EMULATOR=bochs" in run.stderr
    assert emulators.choose("auto") == "bochs"


@pytest.fixture(scope="module")
def native(shared_machine):
    machine = shared_machine(emulator="qemu-tcg", entry="native", extra="hornero.test=1")
    machine.wait(READY, 240)
    return machine


def test_native_login(native):
    run = native.ssh("cat /proc/cmdline; exit 42")
    assert run.returncode == 42
    assert "hornero.test=1" in run.stdout


def test_patience_counts_only_time_in_which_the_process_could_run():
    """Four share a CPU, so each gets a quarter of it. One that sleeps waits for nobody."""
    cpu = min(os.sched_getaffinity(0))
    busy = [subprocess.Popen(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"])
            for _ in range(4)]
    asleep = subprocess.Popen(["sleep", "60"])
    try:
        patience = Patience(1, busy[0].pid)
        other = Patience(1, asleep.pid)
        start = time.monotonic()
        assert not other.waiting(lambda left: select.select([], [], [], left)[0])
        alone = time.monotonic() - start
        assert not patience.waiting(lambda left: select.select([], [], [], left)[0])
        crowded = time.monotonic() - start
        assert 1 <= alone < crowded and 2 < crowded <= 11
    finally:
        for process in [*busy, asleep]:
            process.kill()
            process.wait()


def test_patience_ends_by_the_clock(monkeypatch):
    """However long the process waited for a CPU."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("bench.patience.run_delay", lambda _: now[0])
    patience = Patience(5, 1)
    now[0] = 49
    assert patience.left() == 1
    now[0] = 50
    assert patience.left() == 0


def test_key_is_made_once(tmp_path):
    """By however many who need it first: the machine trusts one half, the others log in with its pair."""
    tool = tmp_path / "ssh-keygen"
    tool.write_text(f'#!/bin/sh\necho made >>{tmp_path}/count\nexec {shutil.which("ssh-keygen")} "$@"\n')
    tool.chmod(0o755)
    make = [sys.executable, "-c", "from bench import medium; print(medium.ssh_key())"]
    makers = [subprocess.Popen(make, cwd=TOP / "tests", stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "BUILD": str(tmp_path),
                                    "PATH": f"{tmp_path}:{os.environ['PATH']}"}) for _ in range(6)]
    paths = {maker.communicate(timeout=60)[0].strip() for maker in makers}
    assert [maker.returncode for maker in makers] == [0] * 6 and len(paths) == 1
    public = subprocess.run(["ssh-keygen", "-y", "-f", paths.pop()], check=True, capture_output=True,
                            text=True, timeout=60).stdout
    assert (tmp_path / "bench-key.pub").read_text() == public
    assert (tmp_path / "count").read_text() == "made\n"


def test_launcher_passes_exit_code_and_output(native):
    run = launcher("ssh", "--name", native.name, "--", "echo one two; exit 7")
    assert (run.returncode, run.stdout) == (7, "one two\n")


def test_launcher_lists(native):
    listing = launcher("list").stdout.splitlines()
    line = next(line for line in listing if line.startswith(native.name))
    assert "running" in line and str(native.config()["ssh_port"]) in line


def test_a_reader_that_has_seen_enough_ends_the_list_quietly(tmp_path):
    """`tests/machine list | head`."""
    (tmp_path / "machines/gone").mkdir(parents=True)
    (tmp_path / "machines/gone/config.json").write_text(json.dumps({**DEFAULTS, "ssh_port": 1}))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as closed:
        done = subprocess.run([TOP / "tests/machine", "list"], stdout=closed, stderr=subprocess.PIPE, timeout=120,
                              env={**os.environ, "BUILD": str(tmp_path)})
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_password_is_never_asked(native):
    command = native.ssh_command()
    command[command.index("-i") + 1] = "/dev/null"
    run = subprocess.run([*command[:-1], "-o", "NumberOfPasswordPrompts=0", command[-1], "true"],
                         capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert run.returncode == 255
    assert "Permission denied (publickey)" in run.stderr


def test_second_start_is_refused(native):
    run = launcher("start", "--name", native.name)
    assert run.returncode == 1
    assert "runs already" in run.stderr


def test_stop_leaves_nothing(machine):
    started = machine(emulator="qemu-tcg", entry="native")
    assert len(processes_of(started)) == 2
    started.stop()
    assert processes_of(started) == []
    assert started.exit()["reason"] == "stopped"


def test_killed_supervisor_takes_the_emulator_with_it(machine):
    started = machine(emulator="qemu-tcg", entry="native")
    emulator = os.pidfd_open(int((started.folder / "emulator.pid").read_text()))
    os.kill(int((started.folder / "pid").read_text()), 9)
    assert select.select([emulator], [], [], 30)[0], "the emulator did not end"
    os.close(emulator)
    assert not started.running()
    assert processes_of(started) == []


def test_time_limit_ends_a_machine(machine):
    started = machine(emulator="qemu-tcg", entry="native", limit=1)
    with pytest.raises(BenchError, match="the time limit of 1 s was reached"):
        started.wait("never said", 60)


def test_wait_times_out(machine):
    started = machine(emulator="qemu-tcg", entry="native")
    with pytest.raises(BenchError, match=r"did not say /never said/ in 1 s"):
        started.wait("never said", 1)


def test_missing_kernel_is_named():
    run = launcher("start", "--name", "missing-kernel", "--kernel", "/nonexistent/vmlinuz",
                   "--entry", "native")
    assert run.returncode == 1
    assert "/nonexistent/vmlinuz is missing" in run.stderr

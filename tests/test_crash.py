# SPDX-License-Identifier: MIT
"""Hypervisor faults, ordered in a test build: each ends in a crash record on the serial line, a
reset after `panic=` seconds, and is there to read after the warm reset."""

import re
import subprocess

import pytest

from bench.machine import READY
from bench.medium import BUILD, TOP
from guests.control import options

SELFTESTS = {name: int(number) for name, number in
             re.findall(r"HV_SELFTEST_(\w+) = (\d+)", (TOP / "vmm/abi/hypercall.h").read_text())}
SELFTEST_CALL = int(re.search(r"X\((\d+), SELFTEST,", (TOP / "vmm/abi/hypercall.h").read_text())
                    .group(1))
SAYS = {
    "PANIC": r"self-test: this crash was ordered",
    "PAGE_FAULT": r"(?i)page fault|#PF",
    "STACK": r"(?i)double fault|#DF",
    "WRITE_CODE": r"(?i)page fault|#PF",
    "EXEC_DATA": r"(?i)page fault|#PF",
    # the page is not there: neither its instructions nor what replaced them
    "EXEC_BOOT": r"#PF page fault at 0xffffffff80000000, error 0x10\b",
    "READ_BOOT": r"#PF page fault at 0xffffffff80[0-9a-f]+f8, error 0\b",
}
RIP, SYMBOL = r"^rip [0-9a-f]{16}", r" \w+\+(?:0x[0-9a-f]+|0)$"
PARTS = [
    r"^  called from [0-9a-f]{16} (?:call_selftest|selftest_recurse|hypercall_dispatch)\+0x[0-9a-f]+$",
    r"^last exits of this CPU:\n(?:[0-9a-f]{16} exit \d+ .*\n)+last exit of other CPUs [^\n]*:\n"
    r"CPU [01]: [0-9a-f]{16} exit \d+ .*\nlast log lines:$",
    r"^last log lines:\n\[ *\d+\.\d+\] (?:.*\n)*=== end",
]
REGISTERS = [r"^rax [0-9a-f]{16} rbx [0-9a-f]{16}", r"^r12 [0-9a-f]{16} ", r"^cr0 [0-9a-f]{16} cr2 [0-9a-f]{16} cr3"]


def vmcall(name):
    return f"vmcall {SELFTEST_CALL} {SELFTESTS[name]}"


def crash(control, commands, seconds=120, ends=r"^reset in 8 s"):
    """Runs commands that crash the hypervisor and get no answer; what the serial port says then, from there on."""
    said = len(control.serial().replace("\r", ""))
    with subprocess.Popen([*control.ssh_command(), commands], stdin=subprocess.DEVNULL) as caller:
        try:
            control.wait(ends, seconds, start=said)
        finally:
            caller.kill()
    return said, control.serial().replace("\r", "")[said:]


@pytest.mark.parametrize("ends", [r"^reset in 1 s", r"^halted \(panic=halt\)"])
def test_crash_while_a_guest_runs(machine, ends):
    """The CPU that is in a guest, which never lets go of it by itself, stops as well: by exit 3, INIT."""
    control = machine(cpus=2, hypervisor=f"{BUILD}/test/hornero.elf", cmdline=f"panic={'halt' if 'halt' in ends else 1}",
                      file=[f"root/prod.ko={BUILD}/tests/prod.ko", f"guests/hostile.elf={BUILD}/guests/hostile.elf"],
                      limit=1800)
    control.wait(READY, 400)
    said, record = crash(
        control, "insmod /root/prod.ko; mkfifo /tmp/spin; "
        f"taskset 2 vmm {options('hostile', 'spin', 'mode=spin')} </dev/null >/tmp/spin 2>/dev/null & "
        "grep -q -m 1 spinning /tmp/spin; "
        f"taskset 1 sh -c 'echo {vmcall('PANIC_BESIDE_GUEST')} >/proc/prod'", 240, ends)
    assert "=== Hornero crashed on CPU 0: self-test: this crash was ordered beside a guest\n" in record
    for part in [RIP + SYMBOL] + PARTS + REGISTERS:
        assert re.search(part, record, re.MULTILINE), f"no {part} in\n{record}"
    assert re.search(r"^CPU 1: [0-9a-f]{16} exit 3  vm (?!ffff)[0-9a-f]{4}/0 rip ", record, re.MULTILINE), record
    if "halt" in ends:  # it stays as it is: the record is there to be read
        assert record.rstrip().endswith("halted (panic=halt)") and control.running()
    else:
        control.wait(READY, 400, start=said)
        assert "ordered beside a guest" in control.ssh("hornero log --crash").stdout
        assert control.ssh("nproc").stdout == "2\n"


@pytest.mark.parametrize("name,cpu", [
    (name, number % 2) if name == "EXEC_BOOT" else pytest.param(name, number % 2, marks=pytest.mark.full)
    for name, number in SELFTESTS.items() if name in SAYS])
def test_crash(machine, name, cpu):
    """Not only on the boot processor: whoever crashes stops the other one by INIT."""
    control = machine(cpus=2, hypervisor=f"{BUILD}/test/hornero.elf", cmdline="panic=8 console=com1,com2,screen",
                      bochsrc=["com2: enabled=1, mode=file, dev=com2.txt"],
                      file=[f"root/prod.ko={BUILD}/tests/prod.ko"], limit=1800)
    control.wait(READY, 400)
    if name == "EXEC_BOOT":
        for asked, answer in ("BOOT_LEFT", 0), ("NMI_WITHOUT_GS", 1):
            told = control.ssh(f"insmod /root/prod.ko; echo vmcall {SELFTEST_CALL} {SELFTESTS[asked]} "
                               ">/proc/prod; cat /proc/prod; rmmod prod")
            assert told.stdout == f"ok {answer} 0x0\n", (asked, told)
    said = len(control.serial().replace("\r", ""))
    with subprocess.Popen([*control.ssh_command(), f"insmod /root/prod.ko; taskset {1 << cpu} sh -c 'echo {vmcall(name)} >/proc/prod'"],
                          stdin=subprocess.DEVNULL) as caller:  # it gets no answer
        try:
            control.wait(r"^reset in 8 s", 120, start=said)
            on_screen = control.shows(f"Hornero crashed on CPU {cpu}: ")
        finally:
            caller.kill()
    record = control.serial().replace("\r", "")[said:]
    assert re.search(rf"=== Hornero crashed on CPU {cpu}: ", record)
    assert re.search(SAYS[name], record)
    whole = re.search(r"^=== Hornero crashed on(?s:.*?)=== end of the crash record\n", record, re.MULTILINE)[0]
    rip = RIP + ("$" if name == "EXEC_DATA" else SYMBOL)  # no function is where data are
    for part in [rip] + PARTS + REGISTERS:
        assert re.search(part, whole, re.MULTILINE), f"no {part} in\n{whole}"
    # on every console: the second port has all of it, a screen its end
    second = (control.folder / "com2.txt").read_text(errors="replace").replace("\r", "")
    assert whole in second
    assert on_screen
    control.wait(READY, 400, start=said)
    run = control.ssh("hornero log --crash")
    assert run.returncode == 0, run.stderr
    assert "".join(run.stdout.split()) == "".join(whole.split())

# SPDX-License-Identifier: MIT
"""A control domain that tries what it may not. tests/prod/prod.c does the trying; each attempt is
refused as the design says, named in the log, and the machine lives on."""

import re

import pytest

from bench.machine import READY
from bench.medium import BUILD, TOP

UD, GP = "fault 6", "fault 13"
VMX = re.findall(r"^\tX\((\w+), ", (TOP / "tests/prod/prod.c").read_text(), re.MULTILINE)
ERRORS = {name: -int(number) for name, number in
          re.findall(r"X\((\w+), (\d+), ", (TOP / "vmm/abi/err.h").read_text())}
CALLS = {name: int(number) for number, name in
         re.findall(r"X\((\d+), (\w+), ", (TOP / "vmm/abi/hypercall.h").read_text())}


@pytest.fixture(scope="module")
def control(shared_machine):
    machine = shared_machine(file=[f"root/prod.ko={BUILD}/tests/prod.ko",
                                   f"root/user={BUILD}/tests/user"])
    machine.wait(READY, 400)
    run = machine.ssh("insmod /root/prod.ko")
    assert run.returncode == 0, run.stderr
    return machine


@pytest.fixture
def prod(control):
    """Lets the module do something; returns its answer. Whatever it was, the machine must live."""
    def do(*commands):
        script = "".join(f"echo '{command}' >/proc/prod && cat /proc/prod; " for command in commands)
        run = control.ssh(script)
        assert run.returncode == 0, f"{script}: {run.stdout}{run.stderr}"
        answers = run.stdout.splitlines()
        assert len(answers) == len(commands)
        return answers

    yield do
    assert control.ssh("hornero info >/dev/null && nproc").stdout == "1\n"


def log(control):
    return control.ssh("hornero log").stdout


def test_the_module_works(prod):
    version, tsc, memory = prod(f"vmcall {CALLS['VERSION']}", "rdmsr 0x10", "peek 0xffff0")
    assert re.fullmatch(r"ok \d+ 0x[0-9a-f]+", version) and int(version.split()[1]) >= 0
    assert tsc.startswith("ok 0x") and tsc != "ok 0x0"
    assert memory.startswith("ok 0x") and memory != "ok 0x0"


def test_vmx_instructions(prod, control):
    assert len(VMX) >= 10
    assert prod(*(f"vmx {name}" for name in VMX)) == [UD] * len(VMX)
    assert "executed a VMX instruction" in log(control)


def test_vmx_cannot_be_switched_on(prod):
    answer, = prod("cr4 0x2000")
    assert answer == GP or (answer.startswith("ok") and not int(answer.split()[1], 16) & 0x2000)


def test_feature_control_reads_locked_off(prod):
    assert prod("rdmsr 0x3a", "wrmsr 0x3a 0x5") == ["ok 0x1", GP]


@pytest.mark.parametrize("msr", [0x480, 0x48b, 0x570, 0x12345678, 0xc0011029])
def test_absent_msrs(prod, msr):
    assert prod(f"rdmsr {msr:#x}", f"wrmsr {msr:#x} 0") == [GP, GP]


def test_tsc_stays(prod, control):
    before, wrote, after = prod("rdmsr 0x10", "wrmsr 0x10 1", "rdmsr 0x10")
    assert wrote.startswith("ok")
    assert int(after.split()[1], 16) > int(before.split()[1], 16)
    assert "MSR 0x10 (it would move every guest's clock)" in log(control)


def test_microcode_write_is_dropped(prod, control):
    prod("wrmsr 0x79 0x1000")
    assert "MSR 0x79 (microcode is loaded at boot" in log(control)


def test_apic_cannot_be_moved_over_our_memory(prod, control):
    base, = prod("rdmsr 0x1b")
    image = hypervisor_image(control)
    flags = int(base.split()[1], 16) & 0xfff
    prod(f"wrmsr 0x1b {image | flags:#x}")
    assert prod("rdmsr 0x1b") == [base]
    assert f"local APIC moved to {image:#x}" in log(control)


def hypervisor_image(control):
    return int(re.search(r"image at (0x[0-9a-f]+)", log(control)).group(1), 16)


def test_hypervisor_memory_is_out_of_reach(prod, control):
    at = hypervisor_image(control)
    first, poke, again = prod(f"peek {at:#x}", f"poke {at:#x} 0x4141414141414141",
                              f"peek {at:#x}")
    # a sink: what is written there may be read back, but it is not the hypervisor's memory
    assert first == "ok 0x0" and poke.startswith("ok")
    assert again in ("ok 0x0", "ok 0x4141414141414141")
    assert f"touched {at:#x}, which is not its memory" in log(control)


def middle_of_largest_reserved(control):
    """In RAM that the control domain does not get, the guest pool is by far the largest piece."""
    ranges = [(int(first, 16), int(last, 16)) for first, last in
              re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : Reserved",
                         control.ssh("cat /proc/iomem").stdout, re.MULTILINE)]
    first, last = max(ranges, key=lambda pair: pair[1] - pair[0])
    assert last - first > 64 << 20
    return (first + last) // 2 & ~0xfff


def test_pool_memory_is_out_of_reach(prod, control):
    at = middle_of_largest_reserved(control)
    before = log(control).count("which is not its memory")
    prod(f"poke {at:#x} 0x4242424242424242")
    assert log(control).count("which is not its memory") > before
    # from user space it is either refused or the sink
    dev_mem = control.ssh(f"dd if=/dev/mem bs=4096 count=1 skip={(at >> 12) + 1} | tr -d '\\0'")
    assert dev_mem.stdout.strip("B") == ""


def test_hypercall_from_user_space(prod, control):
    run = control.ssh("chmod +x /root/user; /root/user; echo $?")
    assert run.stdout == f"{128 + 4}\n", run  # SIGILL
    assert re.search(r"executed a VMX instruction \(exit 18\) at 0x[0-9a-f]{1,12}: #UD", log(control))


def test_unknown_hypercalls(prod, control):
    beyond = max(CALLS.values()) + 1
    answers = prod(*(f"vmcall {number:#x}" for number in
                     (beyond, 0x7fffffff, 0x80000000, 0xffffffff, 0xffffffffffffffff)))
    assert {int(answer.split()[1]) for answer in answers} == {ERRORS["NOCALL"]}
    assert f"unknown hypercall {beyond}" in log(control)


def test_selftest_is_not_there(prod):
    answer, = prod(f"vmcall {CALLS['SELFTEST']} 0")
    assert int(answer.split()[1]) == ERRORS["NOCALL"]


@pytest.mark.parametrize("name,arguments", [
    ("LOG_READ", "7 0"), ("LOG_READ", "1 0xffffffffffffffff"), ("CPU_STATS", "1"),
    ("CPU_STATS", "0xffffffffffffffff"), ("OWING", "0xffffffffffffffff"), ("TSC_KHZ", "0"),
    ("TSC_KHZ", "0xffffffffffffffff"), ("VM_DESTROY", "0"), ("VM_DESTROY", "0xffffffff"),
    ("VCPU_RUN", "0 0"), ("VCPU_RUN", "0xffffffffffffffff 0xffffffffffffffff"),
    ("POOL_ALLOC", "0xffff 1"), ("VM_MAP", "0 0 0 0xffffffffffffffff 7"),
    ("VM_INFO", "0xffffffffffffffff"),
])
def test_bad_arguments(prod, control, name, arguments):
    answer, = prod(f"vmcall {CALLS[name]} {arguments}")
    error = int(answer.split()[1])
    assert error in ERRORS.values(), answer
    first = int(arguments.split()[0], 0)
    assert re.search(rf"hypercall {name}\(({first:#x}|{first})[,)].* refused: error {-error}$", log(control), re.MULTILINE)


def test_log_is_rate_limited(control):
    before = log(control).count("unknown hypercall")
    run = control.ssh("i=0; while [ $i -lt 200 ]; do echo 'vmcall 9999' >/proc/prod; i=$((i+1)); done")
    assert run.returncode == 0
    assert log(control).count("unknown hypercall") - before < 40


def test_suspend_is_refused_with_a_sentence(prod, control):
    # SLP_EN with each type: those that are not soft-off must be refused. Type numbers are the
    # firmware's; Bochs' tables say S5 = 0, S3 = 1, S4 = 2 (\\_Sx packages of its DSDT).
    port = int(control.ssh("dd if=/sys/firmware/acpi/tables/FACP bs=1 skip=64 count=4 2>/dev/null"
                           " | hexdump -e '1/4 \"%u\"'").stdout)
    prod(f"outw {port} {1 << 13 | 1 << 10}")
    assert re.search(r"refused: suspend \(PM1 control 0x2400\)", log(control))

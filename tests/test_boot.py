# SPDX-License-Identifier: MIT
"""From GRUB to a login in the control domain, under the hypervisor, and what is found there."""

import hashlib
import json
import pathlib
import re
import struct
import subprocess

import pytest

from bench import medium, memory_map
from bench.machine import DEFAULTS, PACKAGED_KERNEL, READY, UNPACKED_KERNEL
from bench.medium import BUILD

BOOT_SECONDS = 400
VM_IMAGE = str(BUILD / "control-domain/initramfs-vm")
# The hypervisor's log has the level in front of the tag, except for ordinary lines.
ABOVE_INFO = re.compile(r"^\[[^]]*\] (?:warn|error)")


def boot(start, **options):
    machine = start(**options)
    machine.wait(READY, BOOT_SECONDS)
    return machine


def told(machine, command):
    run = machine.ssh(command)
    assert run.returncode == 0, f"`{command}` said: {run.stdout}{run.stderr}"
    return run.stdout


def assert_quiet_log(machine):
    lines = told(machine, "hornero log").splitlines()
    assert len(lines) > 5, lines
    assert not [line for line in lines if ABOVE_INFO.match(line)]


def list_instructions(machine):
    """Of `vm list` while 8 VMs run, from the fork in its caller to its end: the kernel's and the program's. With one
    CPU the emulator's time stamps count instructions."""
    told(machine, "chmod +x /root/probe /root/control; for name in a b c d e f g h; do "
                  "vm run $name --kernel /root/probe -m 16M -n none --cmdline h --detach || exit 1; done")
    assert told(machine, "vm list").count(" running ") == 8
    count = int(told(machine, "/root/control count /usr/bin/vm list"))
    told(machine, "vm kill a b c d e f g h")
    return count


def admission_is_exact(machine):
    """What is said to fit does, and nothing is left of it afterwards."""
    def free():
        return json.loads(told(machine, "hornero info --json"))["memory"]["pool_free_bytes"]
    before = free()
    told(machine, "vm create big --kernel /root/probe -n none --cmdline h -m 1T")
    said = machine.ssh("vm start big").stderr
    # a page for each GiB; the emulated processor does not promise to bear code in large pages, so one for each 2 MiB too
    tables = -(-(16 + 16 + 1024 + (1 << 19)) // 512) * 2
    found = re.search(rf"'big' needs {(1 << 20) + tables}.0 MiB = 1048576.0 memory \+ {tables}.0 the hypervisor's tables; "
                      r"free (\S+): stop another VM, or '(vm set big --memory \w+)'", said)
    assert found and float(found[1]) == before / (1 << 20), said
    told(machine, f"{found[2]} && vm start big")
    assert free() < 8 << 20
    told(machine, "vm kill big")
    assert free() == before


@pytest.mark.parametrize("cpus, kernel", [(1, PACKAGED_KERNEL), (4, UNPACKED_KERNEL)], ids=["1", "4"])
def test_boots_and_powers_off(machine, cpus, kernel):
    started = boot(machine, cpus=cpus, kernel=kernel, file=[
        f"/root/probe={BUILD / 'devmodel/probe'}", f"/root/control={BUILD / 'bench/control'}"])
    assert int(told(started, "nproc")) == cpus
    info = json.loads(told(started, "hornero info --json"))
    assert (info["cpus"], info["cpus_present"]) == (cpus, cpus)
    assert_quiet_log(started)
    if cpus == 1:
        assert 100_000 < list_instructions(started) < 1_000_000
        admission_is_exact(started)
    started.ssh("poweroff")
    assert started.wait_exit(120)["reason"].startswith("powered off")


class TestTwoCpus:
    """One machine with two CPUs, many looks at it."""

    @pytest.fixture(scope="class")
    def control(self, class_machine):
        return boot(class_machine, cpus=2, extra="hornero.test=1", cmdline="loglevel=debug",
                    file=[f"root/storm.ko={BUILD}/tests/storm.ko"])

    def test_command_line_arrives(self, control):
        assert "hornero.test=1" in told(control, "cat /proc/cmdline").split()

    def test_exit_code_and_output_come_back(self, control):
        run = control.ssh("echo to stdout; echo to stderr >&2; exit 42")
        assert (run.returncode, run.stdout) == (42, "to stdout\n")
        assert "to stderr" in run.stderr

    def test_log_has_no_warning(self, control):
        assert_quiet_log(control)

    def test_kernel_did_not_complain(self, control):
        lines = told(control, "dmesg").splitlines()
        bad = re.compile(r"WARNING:|BUG:|Oops|unchecked MSR|soft lockup|rcu:.*stall|Call Trace")
        assert len(lines) > 100
        assert not [line for line in lines if bad.search(line)]

    def test_serial_port_and_screen_show_the_way_in(self, control):
        """What this is, each card's link and address, the host key's fingerprint, a prompt."""
        key = re.findall(READY, control.serial().replace("\r", ""))[-1]
        print_it = subprocess.run(["ssh-keygen", "-lf", "-"], input=f"ssh-ed25519 {key}\n", capture_output=True, text=True,
                                  check=True, timeout=60).stdout.split()[1]
        serial = control.wait(r"Hornero control domain[^\0]*login: ", 60).group(0)
        for text in serial, told(control, "cat /dev/vcs1"):
            assert re.search(r"Hornero control domain.*eth0 +link up +10\.0\.2\.15/24.*" + re.escape(print_it) +
                             r".* login: ", text, re.DOTALL), text

    def test_info_adds_up(self, control):
        info = json.loads(told(control, "hornero info --json"))
        memory = info["memory"]
        assert info["cpus"] == 2
        assert memory["control_domain_bytes"] + memory["pool_bytes"] <= memory["found_bytes"]
        assert memory["pool_bytes"] == memory["pool_free_bytes"] > 0
        visible = int(re.search(r"MemTotal:\s+(\d+)", told(control, "cat /proc/meminfo")).group(1))
        assert visible * 1024 <= memory["control_domain_bytes"]
        assert info["protected"] and info["trusted"]

    def test_memory_map(self, control):
        memory_map.check(lambda command: told(control, command))

    def test_own_memory_is_small(self, control):
        info = json.loads(told(control, "hornero info --json"))
        assert info["memory"]["hypervisor_bytes"] <= 3 << 20

    def test_vmx_is_hidden(self, control):
        assert not re.search(r"\bvmx\b", told(control, "cat /proc/cpuinfo"))

    def test_cpu_goes_and_comes_back(self, control):
        online = "/sys/devices/system/cpu/cpu1/online"
        for _ in range(3):
            assert told(control, f"echo 0 >{online}; nproc") == "1\n"
            assert told(control, f"echo 1 >{online}; nproc") == "2\n"
        assert told(control, "taskset 2 grep -c . /proc/self/status").strip().isdigit()

    def test_only_known_exits_under_load(self, control):
        def exits():
            cpus = json.loads(told(control, "hornero stats --json"))["cpus"]
            return {reason: sum(cpu["exits"].get(reason, 0) for cpu in cpus)
                    for reason in set().union(*(cpu["exits"] for cpu in cpus))}

        before = exits()
        told(control, "dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; sha256sum /tmp/x; rm /tmp/x")
        after = exits()
        grown = {reason for reason in after if after[reason] > before.get(reason, 0)}
        # programs ask for CPUID when they start; the driver's calls are those of the statistics
        assert "CPUID" in grown and grown <= {"CPUID", "VMCALL"}

    def test_suspend_is_refused_with_a_sentence(self, control):
        """Suspend to RAM and hibernation are not offered. What Linux offers by the same name is refused."""
        assert told(control, "cat /sys/power/mem_sleep") == "[s2idle]\n"
        assert "disk" not in told(control, "cat /sys/power/state").split()
        assert control.ssh("echo deep >/sys/power/mem_sleep").returncode != 0
        said = len(control.serial().replace("\r", ""))
        for state in "mem", "freeze":
            run = control.ssh(f"dmesg -c >/dev/null; echo {state} >/sys/power/state")
            assert run.returncode != 0 and "Operation not supported" in run.stderr, run
            assert "hornero: suspend is refused: the machine would resume without" in told(control, "dmesg")
        control.wait(r"hornero: suspend is refused: .*; power off or reboot instead", 10, start=said)

    def test_file_copy(self, control):
        data = bytes(range(256)) * 4096
        run = control.ssh("cat >/tmp/copy && sha256sum </tmp/copy", input=data, text=False,
                          stdin=None)
        assert run.returncode == 0, run.stderr
        assert run.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()

    def test_hypercalls_on_both_cpus_at_once(self, control):
        """The last of this machine: the hypervisor's log is full of it."""
        def free():
            memory = json.loads(told(control, "hornero info --json"))["memory"]
            return memory["pool_free_bytes"], memory["pool_dirty_bytes"]

        before, never = free(), []
        for seed in range(1, 6):
            run = control.ssh(f"insmod /root/storm.ko seed={seed} rounds=4000; dmesg | grep storm: | tail -n 1")
            storm = re.search(r"storm: (\d+) calls, (\d+) done; not once done:(.*)\n", run.stdout)
            assert storm, f"{run}\n{control.describe()}"
            assert int(storm[1]) >= 8000
            never.append(set(storm[3].split()))
        assert not set.intersection(*never)
        assert free() == before
        assert control.ssh("hornero log --crash").returncode != 0


def test_reboot_comes_up_again(machine):
    started = boot(machine, cpus=2)
    said = len(started.serial().replace("\r", ""))
    started.ssh("reboot")
    started.wait(READY, BOOT_SECONDS, start=said)
    assert "2" == told(started, "nproc").strip()


@pytest.mark.full
def test_kexec_into_the_same_kernel(machine):
    """The second kernel finds the same machine: all CPUs, the same memory, the same free pool."""
    started = boot(machine, cpus=2, initramfs=VM_IMAGE, file=[f"root/kexec={BUILD}/tests/kexec"])

    def facts():
        memory = json.loads(told(started, "hornero info --json"))["memory"]
        return memory, told(started, "nproc; grep MemTotal /proc/meminfo; cat /proc/cmdline")

    before = facts()
    first = told(started, "cat /proc/sys/kernel/random/boot_id")
    with open(DEFAULTS["kernel"], "rb") as kernel:
        assert started.ssh("cat >/tmp/kernel", stdin=kernel).returncode == 0
    initramfs = pathlib.Path(VM_IMAGE).read_bytes()
    initramfs += bytes(-len(initramfs) % 4) + medium.cpio(
        {"etc/hornero/authorized_keys": medium.ssh_key().with_suffix(".pub").read_bytes()})
    assert started.ssh("cat >/tmp/initramfs", input=initramfs, text=False, stdin=None).returncode == 0
    told(started, "chmod +x /root/kexec; vm create one --image demo -m 96M && vm start one")
    assert json.loads(told(started, "hornero info --json"))["memory"] != before[0]
    said = len(started.serial().replace("\r", ""))
    started.ssh("/root/kexec /tmp/kernel /tmp/initramfs", timeout=BOOT_SECONDS)
    started.wait(READY, BOOT_SECONDS, start=said)
    assert told(started, "cat /proc/sys/kernel/random/boot_id") != first
    assert facts() == before
    assert_quiet_log(started)


@pytest.mark.full
@pytest.mark.parametrize("iso_as,firmware", [("disk", "bios"), ("cdrom", "bios")])
def test_other_ways_to_boot(machine, iso_as, firmware):
    started = boot(machine, iso_as=iso_as, firmware=firmware, cmdline="loglevel=debug")
    info = json.loads(told(started, "hornero info --json"))
    assert info["features"]["efi"] == (firmware == "uefi")
    memory_map.check(lambda command: told(started, command))


def test_odd_command_line_is_named_and_survived(machine):
    started = machine(cmdline="frobnicate=1 loglevel=loud control_mem=lots maxcpus=many panic= console=com9 cpu_features=-vt")
    started.wait(r"command line: 'frobnicate=1' .*ignored", 120)
    started.wait(r"command line: 'loglevel=loud' .*default 'info' is used", 10)
    started.wait(r"command line: 'control_mem=lots' not a size like 512M; ignored", 10)
    started.wait(r"command line: 'maxcpus=many' not a number; ignored", 10)
    started.wait(r"command line: 'panic=' has no value; the default '10' is used", 10)
    started.wait(r"console=com9: known are com1, com2, an I/O port, screen, none; ", 10)
    started.wait(r"console=com9: the default 'com1,screen' is used", 10)
    started.wait(r"cpu_features: '-vt' names no feature", 60)
    started.wait(r"virt: starting the control domain", 60)


def test_no_acpi_tables(machine):
    """OVMF has none of its own in Bochs, and here the medium brings none either."""
    started = machine(emulator="bochs", firmware="uefi", no_acpi=True, cpus=2)
    started.wait(r"boot: no ACPI tables: only the boot processor is used", 300)
    started.wait(r"virt: starting the control domain on 1 CPU\n", 60)
    started.wait(READY, 600)


def test_cpus_that_differ(machine):
    """What one CPU lacks, none uses; it is named."""
    started = machine(cpus=2, cmdline="cpu1_features=-vpid")
    started.wait(r"CPU 1 differs from the others in VPID: not used", 120)
    started.wait(r"virt: starting the control domain on 2 CPUs", 60)


def test_older_processor(machine):
    """Without the wait-for-SIPI state, writes to the interrupt command register are looked at; without
    the preemption timer, Linux's tick ends the stay of a guest that spins with interrupts off."""
    started = boot(machine, cpus=2, cmdline="cpu_features=-wait_for_sipi,-preemption_timer",
                   file=[f"/kvm/kvm-check={BUILD / 'kvm/kvm-check'}", f"root/prod.ko={BUILD}/tests/prod.ko"])
    features = json.loads(told(started, "hornero info --json"))["features"]
    assert not features["wait_for_sipi"] and not features["preemption_timer"]
    assert told(started, "nproc") == "2\n"
    online = "/sys/devices/system/cpu/cpu1/online"
    for _ in range(3):
        assert told(started, f"echo 0 >{online}; nproc") == "1\n"
        assert told(started, f"echo 1 >{online}; nproc") == "2\n"
    told(started, "chmod +x /kvm/kvm-check; taskset 2 /kvm/kvm-check spin")
    told(started, "taskset 2 /kvm/kvm-check smp")
    assert_quiet_log(started)
    # a store that no kernel makes, over the end of the APIC's page, is its sender's fault alone
    store = "insmod /root/prod.ko; echo 'store32 0xfee00ffe 0' >/proc/prod; cat /proc/prod"
    assert told(started, store) == "fault 13\n"
    assert told(started, "nproc") == "2\n"


@pytest.mark.full
def test_oldest_processor_that_will_do(machine):
    """One of Westmere's generation, which lacks what test_older_processor switches off, or has it otherwise."""
    started = boot(machine, emulator="bochs", cpus=2, cpu_model="corei5_arrandale_m520")
    features = json.loads(told(started, "hornero info --json"))["features"]
    assert not [name for name in ("ept_1g", "ept_ad", "apic_registers", "virtual_interrupts") if features[name]]
    online = "/sys/devices/system/cpu/cpu1/online"
    assert told(started, f"echo 0 >{online}; nproc; echo 1 >{online}; nproc") == "1\n2\n"
    assert_quiet_log(started)


def test_maxcpus(machine):
    """Linux cannot start the CPU that the hypervisor has left alone: it would run without EPT."""
    started = boot(machine, cpus=2, cmdline="maxcpus=1")
    assert told(started, "nproc; cat /sys/devices/system/cpu/possible").split() == ["1", "0"]
    info = json.loads(told(started, "hornero info --json"))
    assert (info["cpus"], info["cpus_present"]) == (1, 2)
    assert not info["features"]["wait_for_sipi"]  # so every SIPI is looked at


def test_maxcpus_of_none(machine):
    started = machine(cpus=2, cmdline="maxcpus=0")
    started.wait(r"command line: 'maxcpus=0' is too few; 1 is used", 120)
    started.wait(r"virt: starting the control domain on 1 CPU\n", 60)


def microcode(signature, revision):
    """An update file as Intel's, for every platform of a CPU signature; its contents are nothing."""
    words = [1, revision, 0x11222026, signature, 0, 1, 0xff, 2000, 2048, 0, 0, 0] + [0xa5a5a5a5] * 500
    words[4] = -sum(words) & 0xffffffff
    return struct.pack("<512I", *words)


@pytest.mark.parametrize("content,said", [
    pytest.param(microcode(0x306d4, 0x7f), r"CPU 1 keeps revision 0: it did not take 0x7f", id="fits"),
    pytest.param(microcode(0x306d5, 0x7f), r"nothing newer for CPU signature 0x306d4", id="other-cpu"),
    pytest.param(microcode(0x306d4, 0x7f)[:-4], r"the boot module is no microcode update from its byte 0 on", id="cut"),
])
def test_microcode_module(machine, tmp_path, content, said):
    """Bochs takes every update and stays what it was; that the right one is found is in test_host.py."""
    (tmp_path / "microcode").write_bytes(content)
    started = machine(emulator="bochs", cpus=2, microcode=str(tmp_path / "microcode"))
    started.wait(f"microcode: {said}", 120)
    started.wait(r"virt: starting the control domain on 2 CPUs", 60)

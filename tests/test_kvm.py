# SPDX-License-Identifier: MIT
"""kvm-check (tests/kvm): the KVM API from outside. Here on Linux's own KVM, which shows that its
checks are right; what they find on Hornero's driver is then the driver's."""

import json
import re

import pytest

from bench.machine import READY
from bench.medium import BUILD

KVM = BUILD / "kvm"


def check_results(run):
    """Name -> passed, from kvm-check's report."""
    return {name: word == "ok" for word, name in re.findall(r"^(ok|FAIL) ([^:\n]+)", run.stdout,
                                                            re.MULTILINE)}


def assert_all_pass(run):
    results = check_results(run)
    assert [name for name, passed in results.items() if not passed] == [], run.stdout[-4000:]
    assert run.returncode == 0 and len(results) > 50, run.stdout[-4000:] + run.stderr[-1000:]


@pytest.mark.xdist_group("native-kvm")
def test_checks_pass_on_stock_kvm(machine):
    modules = ["irqbypass.ko", "kvm.ko", "ccp.ko", "kvm-amd.ko"]
    files = {f"/kvm/{name}": KVM / "modules" / name for name in modules}
    started = machine(emulator="qemu-tcg", entry="native", cpus=1,
                      file=[f"{path}={source}" for path, source in files.items()]
                      + [f"/kvm/kvm-check={KVM / 'kvm-check'}"])
    started.wait(READY, 240)
    for name in modules:
        assert started.ssh(f"insmod /kvm/{name}").returncode == 0, name
    run = started.ssh("chmod +x /kvm/kvm-check && /kvm/kvm-check", timeout=240)
    assert_all_pass(run)


@pytest.mark.xdist_group("driver-kvm")
class TestOnHornero:
    @pytest.fixture(scope="class")
    def control(self, class_machine):
        machine = class_machine(cpus=2, file=[f"/kvm/kvm-check={KVM / 'kvm-check'}"])
        machine.wait(READY, 400)
        assert machine.ssh("chmod +x /kvm/kvm-check").returncode == 0
        return machine

    def pool(self, control):
        info = json.loads(control.ssh("hornero info --json").stdout)
        return info["memory"]["pool_free_bytes"], info["machines"]

    def test_memory_of_the_pool(self, control):
        before = self.pool(control)
        assert_all_pass(control.ssh("/kvm/kvm-check", timeout=400))
        assert self.pool(control) == before

    def test_memory_of_the_process(self, control):
        """Pinned pages instead of frames: the other half of memory.c."""
        before = self.pool(control)
        assert_all_pass(control.ssh("NO_POOL=1 /kvm/kvm-check", timeout=400))
        assert self.pool(control) == before

    def test_processor_goes_offline_under_guests(self, control):
        online = "/sys/devices/system/cpu/cpu1/online"
        run = control.ssh(f"rm -f /tmp/over; (n=0; while [ ! -e /tmp/over ]; do echo 0 >{online} && echo 1 >{online} "
                          "|| exit 1; n=$((n + 1)); done; [ $n -ge 5 ]) & cycles=$!; "
                          "/kvm/kvm-check; code=$?; touch /tmp/over; wait $cycles || exit 99; exit $code", timeout=400)
        assert_all_pass(run)

    def test_refused_entry_is_explained(self, control):
        """The hypervisor logs the VMCS raw; the rule that it breaks is found by `hornero log`."""
        run = control.ssh("/kvm/kvm-check refused")
        assert check_results(run) == {"refused entry": True}, run.stdout
        log = control.ssh("hornero log").stdout.splitlines()
        why, = [line for line in log if line.startswith("the VM entry was refused for")]
        assert re.match(r".*GUEST_TR_ACCESS = 0x[0-9a-f]*1: a busy TSS, not of 16 bits", why)
        assert why in json.loads(control.ssh("hornero log --json").stdout)["lines"]
        assert "'hornero log' names the VMCS field" in control.ssh("dmesg").stdout

    def vms(self, control):
        return json.loads(control.ssh("hornero vms --json").stdout)

    def test_vm_outlives_its_process(self, control):
        """What `kvm-check keep` does not see: the commands, the module, and the pool to the byte."""
        before = self.pool(control)
        assert self.vms(control) == []
        assert control.ssh("/kvm/kvm-check leave").returncode == 0
        kept, = self.vms(control)
        assert (kept["state"], kept["keep"], kept["vcpus"], kept["owner"]) == ("kept", True, 1, 0)
        assert kept["name"] == "check-keep-j" and kept["pool_bytes"] > 8 << 20
        assert self.pool(control) == (before[0] - kept["pool_bytes"], 1)
        assert json.loads(control.ssh("hornero stats --json").stdout)["vms"] == [kept]
        assert re.search(rf"^{kept['handle']} +{kept['uuid']} kept +1 +\d+ MiB  check-keep-j$",
                         control.ssh("hornero vms").stdout, re.MULTILINE)
        assert f"VM {kept['handle']} is 'check-keep-j' now, and outlives its process" in control.ssh("hornero log").stdout
        refused = control.ssh("rmmod hornero")
        assert refused.returncode != 0 and "can't unload module" in refused.stderr
        other = control.ssh("hornero vms --destroy 00000000-0000-4000-8000-000000000000")
        assert other.returncode == 1 and "'hornero vms' lists those there are" in other.stderr
        assert control.ssh(f"hornero vms --destroy {kept['uuid']}").returncode == 0
        assert self.vms(control) == [] and self.pool(control) == before
        assert control.ssh("rmmod hornero && modprobe hornero").returncode == 0

    def test_kernel_has_no_complaint(self, control):
        log = control.ssh("dmesg").stdout
        assert not re.search(r"BUG:|cut here|Call Trace|hornero:.*(leaked|not given back|owe)", log)

# SPDX-License-Identifier: MIT
"""A Linux guest with two CPUs, two disks and a network card, from boot to power-off."""

import hashlib
import re

import pytest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("devmodel")]

DISK_MIB = 16
SMALL_MIB = 4


@pytest.fixture(scope="module")
def guest(vm, shells):
    """The guest, booted, with its console on the second shell."""
    shells[2].run(f"truncate -s {DISK_MIB}M $TMP/disk.img")
    shells[2].run("mkdir -p $TMP/small")
    shells[2].run(f"mount -t tmpfs -o size={SMALL_MIB}M small $TMP/small")
    shells[2].run(f"truncate -s {DISK_MIB}M $TMP/small/full.img")
    shells[2].run("dd if=/dev/urandom of=$TMP/fixed.img bs=64k count=16 2>/dev/null")
    machine = vm("web", "--memory 256M --cpus 2 --kernel $KERNEL --initrd $INITRD "
                 "--cmdline 'console=hvc0 quiet mitigations=off' --disk path=$TMP/disk.img "
                 "--disk path=$TMP/small/full.img --disk path=$TMP/fixed.img,ro --net tap=tap0,mac=52:54:00:12:34:56")
    machine.start()
    shells[2].run("ifconfig tap0 10.9.0.1 netmask 255.255.255.0 up")
    machine.attach()
    machine.cpus = machine.wait_booted()
    return machine


def test_smp(guest):
    assert guest.cpus == 2
    assert guest.console.run("grep -c ^processor /proc/cpuinfo").strip().endswith("2")


def test_window_size(guest):
    assert guest.console.run("stty size").strip().endswith("43 132")
    assert guest.command("resize", columns=100, rows=30) == {"ok": True}
    # The resize arrives as an interrupt some time after the answer.
    guest.console.run("until stty size | grep '30 100'; do usleep 10000; done")


def test_devices(guest):
    output = guest.console.run("cat /sys/class/misc/hw_random/rng_current /proc/cmdline; "
                               "dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c")
    assert "virtio_rng.0" in output and output.strip().endswith("64")
    assert f"{DISK_MIB << 11}" in guest.console.run("cat /sys/block/vda/size")


def test_network(guest):
    guest.console.run("ifconfig eth0 10.9.0.2 netmask 255.255.255.0 up")
    output = guest.console.run("ping -c 3 -W 10 10.9.0.1", 60)
    assert "3 packets received" in output
    (net,) = guest.command("stats")["nets"]
    assert net["mac"] == "52:54:00:12:34:56" and net["sent"] >= 3 and net["received"] >= 3


def test_disk_survives_reset(guest):
    before = guest.console.run("dd if=/dev/urandom of=/dev/vda bs=64k count=32 conv=fsync 2>/dev/null"
                               "; sha256sum /dev/vda", 60).split()[-2]
    guest.console.send("reboot -f\n")
    guest.log.expect(r"running: reset by guest")
    assert guest.wait_booted() == 2
    after = guest.console.run("sha256sum /dev/vda", 60).split()[-2]
    assert before == after and len(after) == 64
    assert guest.command("status")["resets"] == 1
    outside = guest.control.run("sha256sum $TMP/disk.img", 60).split()[-2]
    assert outside == before


def test_discard_gives_space_back(guest):
    """What is discarded reads as zero, inside and outside, and takes no room any more; the rest stays."""
    sums = "dd if={} bs=64k count=16 2>/dev/null | sha256sum; dd if={} bs=64k skip=16 count=16 2>/dev/null | sha256sum"
    guest.console.run("dd if=/dev/urandom of=/dev/vda bs=64k count=32 conv=fsync 2>/dev/null", 60)
    before = re.findall(r"\b[0-9a-f]{64}\b", guest.console.run(sums.format("/dev/vda", "/dev/vda"), 60))
    room = int(guest.control.run("du -k $TMP/disk.img").split()[-2])
    guest.console.run("blkdiscard -o 0 -l 1048576 /dev/vda && echo 3 >/proc/sys/vm/drop_caches", 60)
    inside = re.findall(r"\b[0-9a-f]{64}\b", guest.console.run(sums.format("/dev/vda", "/dev/vda"), 60))
    outside = re.findall(r"\b[0-9a-f]{64}\b", guest.control.run(sums.format("$TMP/disk.img", "$TMP/disk.img"), 60))
    zero = hashlib.sha256(bytes(1 << 20)).hexdigest()
    assert inside == outside == [zero, before[1]] and before[0] != zero
    assert int(guest.control.run("du -k $TMP/disk.img").split()[-2]) <= room - 1024


def test_read_only_disk_is_not_written(guest):
    before = guest.control.run("sha256sum $TMP/fixed.img").split()[-2]
    assert "1" in guest.console.run("cat /sys/block/vdc/ro").split()
    output, status = guest.console.run("dd if=/dev/zero of=/dev/vdc bs=512 count=1 conv=fsync", check=False)
    assert status != 0, output
    assert before in guest.console.run("sha256sum /dev/vdc", 60)
    assert before in guest.control.run("sha256sum $TMP/fixed.img")


def test_pause_and_resume(guest):
    assert guest.command("pause") == {"ok": True}
    status = guest.command("status")
    assert (status["state"], status["why"]) == ("paused", "on request")
    assert "not running" in guest.command("pause")["error"]
    assert guest.command("resume") == {"ok": True}
    assert guest.command("status")["state"] == "running"
    guest.console.run("true")


def test_full_disk_pauses(guest):
    guest.console.send(f"dd if=/dev/urandom of=/dev/vdb bs=64k count={DISK_MIB * 8} conv=fsync "
                       "2>/dev/null; sha256sum /dev/vdb; echo wr''itten\n")
    guest.log.expect(r"paused: disk1 [^\n]*No space left on device[^\n]*resume", 60)
    assert guest.command("status")["state"] == "paused"
    # Still full: it pauses again, nothing is lost.
    assert guest.command("resume") == {"ok": True}
    guest.log.expect(r"paused: disk1 ", 60)
    guest.control.run("mount -o remount,size=64M $TMP/small")
    assert guest.command("resume") == {"ok": True}
    inside = guest.console.expect(r"([0-9a-f]{64})  /dev/vdb.*written", 120).group(1)
    assert inside == guest.control.run("sha256sum $TMP/small/full.img", 60).split()[-2]
    errors = [disk["errors"] for disk in guest.command("stats")["disks"]]
    assert errors == [0, 0, 0]


def test_disk_is_locked(guest, shells):
    output, status = shells[2].run("vmm --check --name other --kernel $KERNEL "
                                   "--disk path=$TMP/disk.img", check=False)
    assert status == 1 and "in use by another VM" in output


def test_scrollback(guest):
    output = guest.control.run("(echo '{\"command\": \"dump\"}'; sleep 2) | "
                               f"socat -t 5 - UNIX-CONNECT:{guest.socket}", 60)
    # The first line, and the last command so far.
    assert "guest ready: 2 cpus" in output and "/dev/vdb" in output


def test_stats(guest):
    stats = guest.command("stats")
    assert len(stats["vcpus"]) == 2
    assert all(cpu["cpu_ns"] > 0 and cpu["exits"]["mmio"] >= 0 for cpu in stats["vcpus"])
    assert stats["disks"][0]["written_bytes"] >= 2 << 20
    assert stats["console_bytes"] > 0


def test_io_error_reaches_guest(guest):
    """The image gets shorter under the guest: reads behind its end fail, the VM goes on."""
    guest.control.run("truncate -s 1M $TMP/disk.img")
    guest.console.run("echo 3 >/proc/sys/vm/drop_caches")
    output, status = guest.console.run("dd if=/dev/vda of=/dev/null bs=64k skip=64 count=1",
                                       check=False)
    assert status == 1 and "I/O error" in output
    guest.log.expect(r"disk0 [^\n]*the guest gets an I/O error")
    assert guest.command("stats")["disks"][0]["errors"] >= 1
    guest.console.run("dd if=/dev/vda of=/dev/null bs=64k count=8")


def test_tap_goes_away(guest):
    guest.console.run("ifconfig eth0 up")
    guest.console.run("while [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do usleep 10000; done")
    guest.control.run("ip link delete tap0")
    guest.log.expect(r"net0: tap tap0: [^\n]*link is down")
    guest.console.run("while [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do usleep 10000; done")
    assert guest.command("status")["state"] == "running"


def test_power_button(guest):
    assert guest.command("powerbutton") == {"ok": True}
    assert guest.wait_end() == ("power-off by guest", 0)
    _, status = guest.control.run(f"test -e {guest.socket}", check=False)
    assert status == 1

# SPDX-License-Identifier: MIT
"""The disk image for sticks (boot/mkdisk): both firmwares boot it, what is on its data partition
survives, and a hypervisor that does not come up leads to the rescue system."""

import hashlib
import json
import pathlib
import re
import subprocess

import pytest

from bench import medium, memory_map
from bench.machine import DEFAULTS, READY, UNPACKED_KERNEL
from bench.medium import BUILD, TOP
from test_crash import SELFTEST_CALL, SELFTESTS

TCG = {"emulator": "qemu-tcg", "keep_disk": True}
ESP = 4096 * 512
HALTED = r"The machine is halted\."


def make_disk(folder, *options, kernel=DEFAULTS["kernel"], initramfs=DEFAULTS["initramfs"],
              hypervisor=DEFAULTS["hypervisor"]):
    image = folder / "disk.img"
    linux = (TOP / "boot/control-domain.cmdline").read_text().split() + ["cryptomgr.notests"]
    subprocess.run([TOP / "boot/mkdisk", "--output", image, "--hypervisor", hypervisor,
                    "--kernel", kernel, "--initramfs", initramfs, "--timeout", "0",
                    "--linux-cmdline", " ".join(linux),
                    "--keys", medium.ssh_key().with_suffix(".pub"), *options],
                   check=True, timeout=120)
    return image


def internal_disk(folder):
    """One that wants to be taken for the stick's: by its labels and as swap."""
    disk = folder / "internal.img"
    disk.write_bytes(bytes(64 << 20))
    subprocess.run(["/usr/sbin/sfdisk", "-q", disk], check=True, text=True, timeout=60, input=(
        "label: gpt\nstart=2048, size=65536, name=hornero-data\n"
        "start=67584, size=16384, name=hornero-root\nstart=83968, size=32768, type=swap\n"))
    for start, size, *command in [(1, 32, "mke2fs", "-q", "-t", "ext4", "-L", "hornero-data"), (41, 16, "mkswap", "-q")]:
        part = folder / f"part-{start}"
        part.write_bytes(bytes(size << 20))
        subprocess.run([f"/usr/sbin/{command[0]}", *command[1:], part], check=True, capture_output=True, timeout=60)
        with open(disk, "r+b") as file:
            file.seek(start << 20)
            file.write(part.read_bytes())
    return disk


def tries(image):
    """The boot counter on the image."""
    env = subprocess.run(["mtype", "-i", f"{image}@@{ESP}", "::/boot/grub/grubenv"], check=True,
                         capture_output=True, timeout=60).stdout
    assert len(env) == 1024
    found = re.search(rb"^hornero_tries=(.*)$", env, re.MULTILINE)
    return int(found.group(1)) if found else 0


def set_tries(image, number):
    env = f"# GRUB Environment Block\nhornero_tries={number}\n".ljust(1024, "#")
    subprocess.run(["mcopy", "-o", "-i", f"{image}@@{ESP}", "-", "::/boot/grub/grubenv"],
                   input=env.encode(), check=True, timeout=60)


def said(machine):
    return len(machine.serial().replace("\r", ""))


def told(machine, command, timeout=120):
    run = machine.ssh(command, timeout=timeout)
    assert run.returncode == 0, f"`{command}` said: {run.stdout}{run.stderr}"
    return run.stdout


def power_off(machine, timeout=120):
    """In Bochs a UEFI machine has no ACPI tables, hence no switch: Linux stops it, and it stands still."""
    seen = said(machine)
    machine.ssh("poweroff")
    if machine.config()["firmware"] == "uefi":
        machine.wait("reboot: System halted", timeout, start=seen)
        machine.stop()
    else:
        machine.wait_exit(timeout)


def test_image_is_reproducible_and_has_its_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = make_disk(tmp_path / "a"), make_disk(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    names = subprocess.run(["mdir", "-b", "-/", "-i", f"{first}@@{ESP}", "::"], check=True,
                           capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert {"::/settings.conf", "::/authorized_keys", "::/EFI/BOOT/BOOTX64.EFI",
            "::/boot/hornero.elf", "::/boot/grub/grubenv"} <= set(names)
    subprocess.run(["sfdisk", "--verify", "-q", first], check=True, timeout=60)


def test_settings_that_come_with_the_image_are_valid(tmp_path):
    """As they are, and with every example switched on."""
    text = (TOP / "boot/settings.conf").read_text()
    examples = re.sub(r"(?m)^#(?=[a-z_]+ = )", "", text)
    examples = examples.replace("$6$...", "$6$salt$" + "x" * 86)
    assert examples != text
    for content in (text, examples):
        (tmp_path / "settings.conf").write_text(content)
        subprocess.run([BUILD / "control-domain/hornero/hornero", "settings",
                        tmp_path / "settings.conf"], check=True, timeout=60)


@pytest.mark.parametrize("firmware,before", [
    ("bios", 2), ("uefi", 2), pytest.param("bios", 0, marks=pytest.mark.full)])
def test_three_starts_in_vain_lead_to_the_rescue_system(machine, tmp_path, firmware, before):
    """On a processor without VT-x each start is in vain."""
    image = make_disk(tmp_path)
    set_tries(image, before)
    started = machine(disk=[str(image)], firmware=firmware, **TCG)
    seen = 0
    for number in range(before + 1, 4):
        started.wait(HALTED, 300, start=seen)
        seen = said(started)
        assert tries(image) == number
        started.qmp("system_reset")
    started.wait("this is the rescue system", 240, start=seen)
    started.wait(r"no crash record was found in memory", 60, start=seen)
    started.wait(READY, 120, start=seen)
    assert "hornero.rescue" in told(started, "cat /proc/cmdline").split()
    started.ssh("poweroff")
    started.wait_exit(120)
    assert tries(image) == 0


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_write_protected_stick_starts_the_hypervisor(machine, tmp_path, firmware):
    """GRUB cannot count the start, says so, and goes on by itself, from its menu too."""
    image = make_disk(tmp_path, "--timeout", "1")
    started = machine(stick_read_only=str(image), firmware=firmware, emulator="qemu-tcg")
    started.wait(HALTED, 300)
    assert "Intel VT-x" in started.serial()
    assert "write-protected: starts are not counted" in started.serial()


SETTINGS = "host_name = nest-7\ncontrol_mem = 384M\n"


@pytest.mark.parametrize("firmware", ["bios", pytest.param("uefi", marks=pytest.mark.full)])
def test_what_is_on_the_stick_survives(machine, tmp_path, firmware):
    """Enlarged before its first boot, as on a larger stick; written with an editor's DOS line ends. A disk of the
    machine that has its labels is left alone."""
    (tmp_path / "settings.conf").write_bytes(SETTINGS.replace("\n", "\r\n").encode())
    image = make_disk(tmp_path, "--settings", tmp_path / "settings.conf", "--hypervisor-cmdline", "loglevel=debug",
                      kernel=UNPACKED_KERNEL, initramfs=BUILD / "control-domain/initramfs-vm")
    with open(image, "r+b") as file:
        file.truncate(1 << 30)
    internal = internal_disk(tmp_path)
    before = hashlib.sha256(internal.read_bytes()).hexdigest()
    started = machine(disk=[str(image), str(internal)], keep_disk=True, emulator="bochs", firmware=firmware,
                      limit=1800)
    key = started.wait(READY, 400).group(1)
    assert told(started, "hostname") == "nest-7\n"
    info = json.loads(told(started, "hornero info --json"))
    assert info["command_line"] == "loglevel=debug control_mem=384M"
    assert memory_map.check(lambda command: told(started, command)) or firmware == "bios"
    kilobytes = int(told(started, "df -k /var/lib/hornero | tail -n 1").split()[1])
    assert kilobytes > 700 << 10
    # neither the control domain's own disk nor one disk by two names
    assert "is in use by the control domain (mounted, " in started.ssh("vm create thief --disk /dev/sda -m 128M").stderr
    told(started, "vm create whole --disk /dev/sdb -m 128M")
    assert "belongs to VM 'whole' too" in started.ssh("vm create part --disk /dev/sdb1 -m 128M").stderr
    told(started, "vm delete whole --yes")
    told(started, "vm create survivor --image demo --disk 16M")
    told(started, "echo password_hash = '$6$salt$" + "x" * 86 + "' >>/var/lib/hornero/settings.conf")
    seen = said(started)
    started.ssh("reboot")
    assert started.wait(READY, 400, start=seen).group(1) == key
    assert told(started, "hostname") == "nest-7\n"
    assert "survivor" in told(started, "vm list")
    told(started, "test -s /var/lib/hornero/vms/survivor/disk0.raw")
    assert "$6$salt$" in told(started, "cat /etc/shadow")
    power_off(started)
    assert tries(image) == 0
    assert hashlib.sha256(internal.read_bytes()).hexdigest() == before
    subprocess.run(["sfdisk", "--verify", "-q", image], check=True, timeout=60)


def test_settings_on_a_cd_give_the_control_domain_its_memory(machine, tmp_path):
    (tmp_path / "settings.conf").write_text(SETTINGS)
    (tmp_path / "authorized_keys").write_bytes(medium.ssh_key().with_suffix(".pub").read_bytes())
    linux = (TOP / "boot/control-domain.cmdline").read_text().split() + ["cryptomgr.notests"]
    subprocess.run([TOP / "boot/mkiso", "--output", tmp_path / "cd.iso", "--hypervisor", DEFAULTS["hypervisor"],
                    "--kernel", UNPACKED_KERNEL, "--initramfs", DEFAULTS["initramfs"], "--timeout", "0",
                    "--linux-cmdline", " ".join(linux), "--file", tmp_path / "settings.conf",
                    "--file", tmp_path / "authorized_keys"], check=True, timeout=120)
    started = machine(iso=str(tmp_path / "cd.iso"), emulator="bochs")
    started.wait(READY, 400)
    assert json.loads(told(started, "hornero info --json"))["command_line"] == "control_mem=384M"
    assert told(started, "hostname") == "nest-7\n"


@pytest.mark.full
def test_rescue_system_shows_the_last_crash(machine, tmp_path):
    """The record lies in memory over the warm reset; Linux alone finds it there."""
    made = (tmp_path / "initramfs")
    base = pathlib.Path(DEFAULTS["initramfs"]).read_bytes()
    made.write_bytes(base + bytes(-len(base) % 4) + medium.cpio(
        {"root/prod.ko": (BUILD / "tests/prod.ko").read_bytes()}))
    image = make_disk(tmp_path, "--hypervisor-cmdline", "panic=1", initramfs=made,
                      hypervisor=BUILD / "test/hornero.elf")
    started = machine(disk=[str(image)], keep_disk=True, emulator="bochs", cpus=2, limit=1800)
    started.wait(READY, 400)
    told(started, "mount -t vfat /dev/sda2 /mnt && sed -i s/hornero_tries=./hornero_tries=3/ "
                  "/mnt/boot/grub/grubenv && grep hornero_tries=3 /mnt/boot/grub/grubenv && umount /mnt")
    seen = said(started)
    with subprocess.Popen([*started.ssh_command(),
                           f"insmod /root/prod.ko; echo vmcall {SELFTEST_CALL} {SELFTESTS['PANIC']} >/proc/prod"],
                          stdin=subprocess.DEVNULL) as caller:  # it gets no answer
        try:
            started.wait(r"=== end of the crash record", 120, start=seen)
        finally:
            caller.kill()
    seen = said(started)
    started.wait("The hypervisor's last crash", 400, start=seen)
    started.wait("self-test: this crash was ordered", 60, start=seen)
    started.wait(READY, 400, start=seen)
    assert "self-test: this crash was ordered" in told(started, "cat /var/lib/hornero/last-crash.txt")

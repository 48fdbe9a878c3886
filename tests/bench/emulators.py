# SPDX-License-Identifier: MIT
"""How each emulator is told to be the machine that a config describes.

Bochs is the one with VT-x on every host; its settings here are the outcome of trials and each odd
one has its reason beside it. QEMU with KVM has VT-x only on an Intel host that nests; QEMU's own
translator has none and serves for boot paths and refusals.
"""

import os
import pathlib
import shutil
import subprocess

from . import varstore
from .medium import TOP, BenchError

OVMF = "/usr/share/ovmf/OVMF.fd"
SECURE_CODE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
SECURE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"
MICROSOFT_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
MAC = "52:54:00:12:34:56"


def kvm_lacks(root=pathlib.Path("/")):
    """Why QEMU/KVM here gives its guests no VT-x, and how to switch on what is missing; "" if it does."""
    def text(name):
        try:
            return (root / name).read_text()
        except OSError:
            return ""

    cpu = text("proc/cpuinfo")
    if "vmx" not in cpu.split():
        if "GenuineIntel" not in cpu:
            return "VT-x is missing: this machine's processor is not Intel's, and QEMU's guests get no other one"
        return ("VT-x is missing: this Linux's Intel processor does not show it. Switch on \"Intel Virtualization "
                "Technology\" in the firmware setup; if this Linux is a guest itself, the hypervisor around it has "
                "to give it VT-x")
    nested = text("sys/module/kvm_intel/parameters/nested").strip()
    if not nested:
        return "KVM is missing: its module is not loaded. As root: modprobe kvm_intel nested=1"
    if nested not in ("Y", "1"):
        return ("VT-x is there, but not nested: guests do not get it. As root, while no guest runs: "
                "modprobe -r kvm_intel && modprobe kvm_intel nested=1; to keep it: "
                "echo options kvm_intel nested=1 >/etc/modprobe.d/kvm-nested.conf")
    if not os.access(root / "dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened: become a member of its group (sudo adduser $USER kvm), log in again"
    return ""


def choose(name):
    if name == "auto":
        return "bochs" if kvm_lacks() else "qemu-kvm"
    if name in ("qemu", "qemu-kvm"):
        lacks = kvm_lacks()
        if lacks:
            raise BenchError(f"QEMU cannot run the hypervisor here. {lacks}. Without it, Bochs can: EMULATOR=bochs "
                             "(--emulator bochs)")
        return "qemu-kvm"
    return name


def command(folder, config):
    """The emulator's command line; writes what configuration files it needs into folder."""
    for disk in config["disk"]:
        if not pathlib.Path(disk).exists():
            raise BenchError(f"there is no disk image {disk}")
    if config["firmware"] == "uefi" and not os.path.exists(OVMF):
        raise BenchError(f"no UEFI firmware at {OVMF}: install the package ovmf (`make deps`)")
    if config["stick_read_only"] and config["emulator"] == "bochs":
        raise BenchError("a write-protected stick is there with QEMU only")
    if config["enrol"] and (config["firmware"] != "uefi" or config["emulator"] == "bochs"):
        raise BenchError("Secure Boot is there with QEMU and UEFI only")
    if config["emulator"] == "bochs":
        return bochs(folder, config)
    return qemu(folder, config)


def bochs_binary():
    build = TOP / "tests/bochs/build"
    binary = subprocess.run([build, "--print"], capture_output=True, text=True, check=True,
                            timeout=60).stdout.strip()
    if not os.access(binary, os.X_OK):
        raise BenchError("Bochs is not built yet: run `make bochs` (once, about 4 minutes)")
    return binary


def bochs(folder, config):
    (folder / "slirp.conf").write_text(
        f"# slirp config\nhostfwd = tcp:127.0.0.1:{config['ssh_port']}-10.0.2.15:22\n")
    uefi = config["firmware"] == "uefi"
    # MONITOR wakes every CPU in Bochs: without mwait Linux halts instead. "+mwait" keeps it, for one
    # CPU: kvm-intel does not load without.
    words = config["cpu_exclude"].split()
    excluded = [word for word in ["mwait"] + words if f"+{word}" not in words and word[0] != "+"]
    memory = config["memory"]
    lines = [
        # start-up is O(n^2) in blocks
        f"memory: guest={memory}, host={memory}, block_size=4096",
        f"cpu: model={config['cpu_model'] or 'broadwell_ult'}, count={config['cpus']}, quantum=16,"
        f' exclude_features="{" ".join(excluded)}", ips={config["mips"]}000000, reset_on_triple_fault=0',
        # runs repeat tick by tick
        "clock: sync=none, time0=1700000000",
        "display_library: nogui",
        "romimage: file=" + (OVMF if uefi else "/usr/share/bochs/BIOS-bochs-latest"),
        "vgaromimage: file=/usr/share/vgabios/vgabios.bin",
        "pci: enabled=1, chipset=i440fx, " + ("slot1=pcivga, slot2=e1000" if uefi
                                              else "slot1=e1000"),
        f"e1000: enabled=1, mac={MAC}, ethmod=slirp, ethdev=/tmp, script=slirp.conf, bootrom=none",
        "com1: enabled=1, mode=file, dev=serial.txt",
        "port_e9_hack: enabled=1, all_rings=1",
        "log: bochs.log",
        "panic: action=fatal",
        "error: action=" + ("report" if config["verbose"] else "ignore"),
        "info: action=" + ("report" if config["verbose"] else "ignore"),
    ]
    if uefi:
        lines.append("vga: extension=vbe")
    if config["msrs"]:
        (folder / "msrs.def").write_text(config["msrs"])
        lines[1] += ", msrs=msrs.def"
    media = [("disk", disk) for disk in config["disk"]]
    if config["iso"]:
        media.insert(0, ("disk" if config["iso_as"] == "disk" else "cdrom", config["iso"]))
    slots = ["ata0-master", "ata0-slave", "ata1-master", "ata1-slave"]
    if len(media) > len(slots):
        raise BenchError(f"Bochs has {len(slots)} IDE devices; {len(media)} were asked for")
    for slot, (kind, path) in zip(slots, media):
        if kind == "cdrom":
            lines.append(f"{slot}: type=cdrom, path={path}, status=inserted")
        else:
            mode = "flat" if config["keep_disk"] and path != config["iso"] else "volatile"
            lines.append(f"{slot}: type=disk, path={path}, mode={mode}")
    if len(media) > 2:
        lines.append("ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15")
    if media:
        lines.append(f"boot: {media[0][0]}")
    lines += config["bochsrc"]
    (folder / "bochsrc").write_text("\n".join(lines) + "\n")
    return [bochs_binary(), "-q", "-f", "bochsrc"]


def secure_boot(folder, config):
    """OVMF with Secure Boot on, which trusts the certificate, or what a bought machine does ("microsoft"); it wants
    system management mode."""
    variables = folder / "variables.fd"
    if config["enrol"] == "microsoft":
        shutil.copyfile(MICROSOFT_VARIABLES, variables)
    else:
        varstore.enrol(SECURE_VARIABLES, config["enrol"], variables)
    return ["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-global", "ICH9-LPC.disable_s3=1",
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={SECURE_CODE}",
            "-drive", f"if=pflash,unit=1,format=raw,file={variables}"]


def qemu(folder, config):
    kvm = config["emulator"] == "qemu-kvm"
    model = config["cpu_model"] or ("host" if kvm else "max")
    for feature in config["cpu_exclude"].split():
        model += f",-{feature}"
    # One thread where one suffices: QEMU 7.2's emulated SVM with several has been seen to hang.
    tcg = "tcg,thread=single" if config["cpus"] == 1 else "tcg"
    line = [
        "qemu-system-x86_64", "-machine", "pc", "-accel", "kvm" if kvm else tcg, "-cpu", model,
        "-smp", str(config["cpus"]), "-m", str(config["memory"]), "-display", "none",
        "-nodefaults", "-vga", "none" if config["no_vga"] else "std",
        *(["-netdev", "user,id=first", "-device", "e1000,netdev=first,id=first,romfile="] if config["two_cards"] else []),
        "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{config['ssh_port']}-:22",
        "-device", f"e1000,netdev=net,mac={MAC},romfile=",
        "-chardev", "socket,id=com1,path=console.sock,server=on,wait=off,logfile=serial.txt",
        "-serial", "chardev:com1",
        "-qmp", "unix:qmp.sock,server=on,wait=off",
    ]
    if config["enrol"]:
        line += secure_boot(folder, config)
    elif config["firmware"] == "uefi":
        line += ["-bios", OVMF]
    if config["no_reboot"]:
        line += ["-no-reboot"]
    if config["iso"]:
        if config["iso_as"] == "disk":
            line += ["-drive", f"file={config['iso']},format=raw,if=ide,snapshot=on"]
        else:
            line += ["-cdrom", config["iso"], "-boot", "d"]
    if config["stick_read_only"]:
        line += ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,readonly=on,file={config['stick_read_only']}",
                 "-device", "usb-storage,drive=stick,bootindex=0"]
    for disk in config["disk"]:
        snapshot = "off" if config["keep_disk"] else "on"
        line += ["-drive", f"file={disk},format=raw,if=ide,snapshot={snapshot}"]
    return line

# SPDX-License-Identifier: MIT
"""The Debian packages: what is in them, the boot menu's script on a made-up /boot, the choice of
what boots. test_installed.py installs them."""

import os
import re
import subprocess

import pytest

from bench.medium import BUILD, TOP

PACKAGE = TOP / "control-domain/package"
CLEAN = {name: value for name, value in os.environ.items()
         if not name.startswith("MAKE") and name != "MFLAGS"}


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True, timeout=120, **more).stdout


def make_packages(folder):
    cloud = run("make", "-s", "--eval=print:;@echo $(CLOUD)", "print", cwd=TOP, env=CLEAN).strip()
    run(PACKAGE / "mkdeb", "--version", "1.2", "--build", BUILD, "--demo-kernel",
        f"{cloud}/vmlinuz", "--output", folder, "--level", "0", cwd=TOP)
    return {path.name.split("_")[0]: path for path in folder.glob("*.deb")}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return make_packages(tmp_path_factory.mktemp("deb"))


@pytest.mark.parametrize("package,files", [
    ("hornero", ["boot/hornero.elf", "etc/grub.d/20_linux_hornero", "etc/default/hornero"]),
    ("hornero-dkms", ["usr/src/hornero-1.2/dkms.conf", "usr/src/hornero-1.2/Kbuild",
                      "usr/src/hornero-1.2/vmm/abi/ioctl.h"]),
    ("hornero-tools", ["usr/bin/vm", "usr/bin/hornero", "usr/bin/vmm", "usr/share/man/man8/vm.8.gz",
                       "usr/share/man/man8/hornero.8.gz", "lib/systemd/system/hornero.service", "lib/systemd/network/10-hornero.network",
                       "usr/lib/NetworkManager/conf.d/10-hornero.conf",
                       "usr/share/bash-completion/completions/vm"]),
])
def test_contents(packages, package, files):
    lines = run("dpkg-deb", "--contents", packages[package]).splitlines()
    names = [line.split()[5].removeprefix("./") for line in lines]
    assert set(files) <= set(names)
    assert {line.split()[1] for line in lines} == {"root/root"}
    assert not [name for name in names if name.startswith(("usr/local", "home", "tmp"))]
    assert run("dpkg-deb", "-f", packages[package], "Version") == "1.2\n"


def test_same_input_gives_the_same_bytes(packages, tmp_path):
    again = make_packages(tmp_path)
    assert len(again) == 3
    for name in again:
        assert again[name].read_bytes() == packages[name].read_bytes()


def test_lintian(packages):
    """No home page and address yet; vm and hornero are static on purpose (they run on any Linux)."""
    known = ("bogus-mail-host,bogus-mail-host-in-debian-changelog,statically-linked-binary,"
             "shared-library-lacks-prerequisites")
    check = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", "--suppress-tags",
                            known, *packages.values()], capture_output=True, text=True, timeout=300)
    assert check.returncode == 0, check.stdout


@pytest.mark.full
def test_driver_builds_from_the_package(packages, tmp_path):
    """By the command in its dkms.conf, for the kernel that the control domain has."""
    run("dpkg-deb", "-x", packages["hornero-dkms"], tmp_path)
    source = tmp_path / "usr/src/hornero-1.2"
    (tmp_path / "dkms/hornero/1.2").mkdir(parents=True)
    source.rename(tmp_path / "dkms/hornero/1.2/build")
    headers = run("make", "-s", "--eval=print:;@echo $(KHEADERS)", "print", cwd=TOP,
                  env=CLEAN).strip()
    conf = tmp_path / "dkms/hornero/1.2/build/dkms.conf"
    run("bash", "-c", f". {conf}; eval \"${{MAKE[0]}}\"", cwd=conf.parent,
        env={**CLEAN, "kernel_source_dir": headers, "dkms_tree": f"{tmp_path}/dkms"})
    assert (conf.parent / "hornero.ko").exists()


# ---- the boot menu


class Installed:
    """A folder with the /boot and /lib/modules of an installed Debian."""

    def __init__(self, root):
        self.root = root
        for name in ("boot/grub", "modules", "efivars"):
            (root / name).mkdir(parents=True)
        (root / "boot/hornero.elf").write_text("")
        run("grub-editenv", root / "boot/grub/grubenv", "create")

    def kernel(self, version, module=True, initrd=True):
        (self.root / f"boot/vmlinuz-{version}").write_text("")
        if initrd:
            (self.root / f"boot/initrd.img-{version}").write_text("")
        folder = self.root / f"modules/{version}/updates/dkms"
        folder.mkdir(parents=True)
        if module:
            (folder / "hornero.ko").write_text("")

    def menu(self, **more):
        done = subprocess.run(
            ["sh", PACKAGE / "20_linux_hornero"], capture_output=True, text=True, timeout=60,
            env={"PATH": os.environ["PATH"], "HORNERO_BOOT": f"{self.root}/boot",
                 "HORNERO_MODULES": f"{self.root}/modules", "GRUB_DEVICE": "/dev/vda1",
                 "HORNERO_EFIVARS": f"{self.root}/efivars",
                 "GRUB_CMDLINE_LINUX_DEFAULT": "quiet", **more})
        assert done.returncode == 0, done.stderr
        (self.root / "menu").write_text(done.stdout or "true\n")
        run("grub-script-check", self.root / "menu")
        return done

    def choose(self, *words):
        return subprocess.run(["sh", PACKAGE / "bootloader", *words], capture_output=True,
                              text=True, timeout=60,
                              env={"PATH": f"{self.root}:{os.environ['PATH']}", "FAKE_ROOT": str(self.root)})

    def lies_on(self, abstraction, system):
        probe = self.root / "grub-probe"
        probe.write_text(f'#!/bin/sh\n[ $2 = fs ] && echo {system} || echo {abstraction}\n')
        probe.chmod(0o755)

    def env(self):
        return dict(line.split("=") for line in
                    run("grub-editenv", self.root / "boot/grub/grubenv", "list").splitlines())


@pytest.fixture
def installed(tmp_path):
    return Installed(tmp_path)


def test_menu_has_kernels_whose_module_was_built(installed):
    installed.kernel("6.1.0-9-amd64")
    installed.kernel("6.1.0-56-amd64")
    installed.kernel("6.1.0-57-amd64", module=False)
    installed.kernel("6.1.0-58-amd64", initrd=False)
    done = installed.menu()
    ids = re.findall(r"--id '?([^' ]+)", done.stdout)
    assert ids == ["hornero", "hornero-advanced", "hornero-6.1.0-56-amd64", "hornero-6.1.0-9-amd64"]
    assert "'Debian GNU/Linux, with Hornero hypervisor'" in done.stdout
    first = done.stdout.split("submenu")[0]
    assert re.search(r"module2 --nounzip \S+/vmlinuz-6.1.0-56-amd64 kernel root=/dev/vda1 ro +quiet "
                     r"cpu_init_udelay=10000", first)
    assert "6.1.0-57-amd64: its module hornero.ko is not built" in done.stderr
    assert "6.1.0-58-amd64: it has no initrd.img" in done.stderr


def test_no_kernel_no_entry(installed):
    installed.kernel("6.1.0-57-amd64", module=False)
    assert installed.menu().stdout == ""


def test_no_entry_that_secure_boot_would_refuse(installed):
    installed.kernel("6.1.0-56-amd64")
    variable = installed.root / "efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    variable.write_bytes(b"\6\0\0\0\1")
    done = installed.menu()
    assert done.stdout == "" and "Secure Boot is on" in done.stderr
    variable.write_bytes(b"\6\0\0\0\0")
    assert "--id 'hornero'" in installed.menu().stdout


def test_choice_of_what_boots(installed):
    assert installed.choose().stdout == "by default: Linux, without the hypervisor\n"
    refused = installed.choose("--once")
    assert refused.returncode == 1 and "no Hornero entry" in refused.stderr
    installed.kernel("6.1.0-56-amd64")
    (installed.root / "boot/grub/grub.cfg").write_text(installed.menu().stdout)
    run("grub-editenv", installed.root / "boot/grub/grubenv", "set", "hornero_tries=3")
    assert "three times in a row" in installed.choose().stdout
    assert installed.choose("--once").returncode == 0
    assert installed.env() == {"next_entry": "hornero", "hornero_tries": "0"}
    assert "at the next boot: Linux under the hypervisor" in installed.choose().stdout
    assert installed.choose("--default").returncode == 0
    config = installed.root / "etc/default/grub.d/hornero.cfg"
    assert "GRUB_DEFAULT=hornero" in config.read_text()
    assert installed.choose("--linux").returncode == 0
    assert not config.exists() and installed.env() == {}
    assert installed.choose("--maybe").returncode == 2


@pytest.mark.parametrize("abstraction,system,named", [("lvm", "ext2", "lvm"), ("", "btrfs", "btrfs"),
                                                     ("cryptodisk diskfilter", "ext2", "diskfilter")])
def test_once_is_refused_where_grub_cannot_forget(installed, abstraction, system, named):
    installed.kernel("6.1.0-56-amd64")
    (installed.root / "boot/grub/grub.cfg").write_text(installed.menu().stdout)
    installed.lies_on(abstraction, system)
    refused = installed.choose("--once")
    assert refused.returncode == 1 and f"cannot write to {named}," in refused.stderr and installed.env() == {}
    done = installed.choose("--default")
    assert done.returncode == 0 and f"note: GRUB cannot write to {named}," in done.stderr
    installed.lies_on("", "ext2")
    done = installed.choose("--once")
    assert (done.returncode, done.stderr) == (0, "")


def test_choice_without_grub_is_refused(installed):
    (installed.root / "boot/grub/grubenv").unlink()
    for words in ((), ("--once",), ("--default",), ("--linux",)):
        refused = installed.choose(*words)
        assert refused.returncode == 1 and "GRUB" in refused.stderr and not refused.stdout


def test_control_domain_that_came_up_clears_the_counter(installed):
    run("grub-editenv", installed.root / "boot/grub/grubenv", "set", "hornero_tries=2")
    assert installed.choose("came-up").returncode == 0
    assert installed.env() == {"hornero_tries": "0"}

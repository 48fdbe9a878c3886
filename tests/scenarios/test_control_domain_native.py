# SPDX-License-Identifier: MIT
"""The control domain's image by itself, on the bare (translated) machine: how one gets in and how
one does not, settings, the set-up screen, what survives a reboot. Under the hypervisor it is the
same image, so what is proved here quickly is not proved again slowly.
"""

import hashlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from bench.machine import READY
from bench.medium import BUILD, TOP, ssh_key

PASSWORD = "correct-horse-7"
# a translator on a busy host is too slow for Linux's test of the timer interrupt
SLOW = "no_timer_check"


class Typist:
    """Somebody at the serial console: types, and waits for what comes after that. What the machine
    says is read off the socket as well, or it would stall after a few hundred characters."""

    def __init__(self, machine):
        self.machine = machine
        machine.wait(r"\x1b\[", 120)  # the socket is there only then
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(os.path.relpath(machine.folder / "console.sock"))
        self.seen = 0
        self.reader = threading.Thread(target=self.drain)
        self.reader.start()

    def drain(self):
        while self.line.recv(4096):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.line.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.line.close()

    def expect(self, pattern, timeout=300):
        found = self.machine.wait(pattern, timeout, start=self.seen)
        self.seen = found.end()
        return found

    def type(self, text):
        self.line.sendall(text.encode() + b"\n")

    def answer(self, question, text):
        self.expect(question)
        self.type(text)

    def log_in(self, password):
        self.answer(r"login: ", "root")
        self.expect(r"Password: ")
        # login asks first and switches the echo off then; a person is slower than that
        quiet = self.machine.ssh("until stty -F /dev/ttyS0 -a | grep -q -- ' -echo '; do :; done")
        assert quiet.returncode == 0, quiet.stderr
        self.type(password)


def password_hash(password):
    return subprocess.run(["busybox", "mkpasswd", "-m", "sha512", password], check=True,
                          capture_output=True, text=True, timeout=60).stdout.strip()


def write(path, text):
    path.write_text(text)
    return path


# ---- a machine whose owner set it up by files, and made two mistakes in them


SETTINGS = f"""\
host_name = box-1
address = 10.0.2.15/24
gateway = 10.0.2.2
netmask = 255.255.255.0
dns = 10.0.2.3 not-an-address
password_hash = {{hash}}
ntp = 10.0.2.2
"""


@pytest.fixture(scope="module")
def prepared(shared_machine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    settings = write(folder / "settings.conf", SETTINGS.format(hash=password_hash(PASSWORD)))
    machine = shared_machine(emulator="qemu-tcg", entry="native", extra=SLOW,
                             file=[f"/etc/hornero/settings.conf={settings}"])
    machine.wait(READY, 240)
    return machine


in_prepared = pytest.mark.xdist_group("prepared")


@in_prepared
def test_settings_are_applied(prepared):
    said = prepared.ssh("hostname; ip route; cat /etc/resolv.conf /run/ntpd.conf; ps").stdout
    assert said.startswith("box-1\n")
    assert "default via 10.0.2.2" in said
    assert "10.0.2.0/24" in said
    assert re.findall(r"nameserver (\S+)", said) == ["10.0.2.3"]
    assert re.findall(r"^server (\S+)", said, re.MULTILINE) == ["10.0.2.2"]
    assert "ntpd: ntp engine" in said


@in_prepared
def test_mistakes_in_settings_are_told_with_file_and_line(prepared):
    said = prepared.serial()
    assert "/etc/hornero/settings.conf:4:1: there is no setting 'netmask'" in said
    assert "/etc/hornero/settings.conf:5:16: dns 'not-an-address'" in said
    assert PASSWORD not in said


@in_prepared
def test_banner_shows_what_one_needs(prepared):
    text = prepared.wait(r"Hornero control domain[^\0]*?box-1 login: ", 60).group(0)
    key = re.search(READY, prepared.serial().replace("\r", "")).group(1)
    fingerprint = subprocess.run(["ssh-keygen", "-lf", "-"], input=f"ssh-ed25519 {key}\n",
                                 capture_output=True, text=True, check=True, timeout=60).stdout
    assert fingerprint.split()[1] in text
    assert "running without the hypervisor" in text
    assert re.search(r"eth0 +link up +10\.0\.2\.15/24", text)


@in_prepared
def test_ssh_refuses_the_password(prepared):
    command = prepared.ssh_command()
    options = ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1",
               "-o", "PreferredAuthentications=password,keyboard-interactive"]
    askpass = write(prepared.folder / "askpass", f"#!/bin/sh\necho {PASSWORD}\n")
    askpass.chmod(0o755)
    run = subprocess.run([*command[:-1], *options, command[-1], "true"], timeout=60, text=True,
                         capture_output=True, stdin=subprocess.DEVNULL,
                         env={**os.environ, "SSH_ASKPASS": askpass,
                              "SSH_ASKPASS_REQUIRE": "force"})
    assert run.returncode == 255
    assert "Permission denied (publickey)" in run.stderr


@in_prepared
def test_files_are_copied_both_ways(prepared, tmp_path):
    (tmp_path / "there").write_bytes(os.urandom(700_001))
    options = prepared.ssh_command()[1:-1]
    options[options.index("-p")] = "-P"
    remote = "root@127.0.0.1:/tmp/copy"
    for source, target in ((tmp_path / "there", remote), (remote, tmp_path / "back")):
        subprocess.run(["scp", "-q", "-s", *options, source, target], check=True, timeout=120)
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
               for name in ("there", "back")}
    assert len(digests) == 1


@in_prepared
def test_console_login_wants_the_password(prepared):
    with Typist(prepared) as typist:
        typist.expect("box-1 login: ")
        typist.seen -= len("login: ")
        typist.log_in("wrong-horse-7")
        typist.expect("Login incorrect")
        typist.log_in(PASSWORD)
        typist.answer("# ", "echo $((6 * 7)) and out; exit")
        typist.expect("42 and out")
    assert PASSWORD not in prepared.serial()


@in_prepared
def test_hornero_says_that_there_is_no_hypervisor(prepared):
    run = prepared.ssh("hornero info")
    assert run.returncode == 3
    assert "without the hypervisor" in run.stderr
    assert prepared.ssh("hornero present").returncode == 3
    assert prepared.ssh("hornero info --jsn").returncode == 2


@in_prepared
def test_report_is_complete_and_has_no_secrets(prepared):
    run = prepared.ssh("file=$(hornero report); tar tzf $file; tar xzOf $file")
    assert run.returncode == 0, run.stderr
    for part in ("hornero-info.json", "hornero-log--crash.txt", "dmesg.txt", "pci.txt"):
        assert part in run.stdout
    assert "host_name = box-1" in run.stdout
    assert "password_hash = (left out)" in run.stdout
    assert "$6$" not in run.stdout
    assert prepared.ssh("cat /root/.ssh/authorized_keys").stdout.split()[1] not in run.stdout


@in_prepared
def test_check_says_what_this_machine_lacks(prepared):
    run = prepared.ssh("hornero check")
    assert run.returncode == 5
    assert re.search(r"^NO +VT-x +needed +no$|^NO +Intel processor +needed", run.stdout, re.MULTILINE)
    assert "not usable for Hornero" in run.stdout


def test_check_from_the_boot_menu_waits(machine):
    """Under UEFI without VT-x: the outcome stays on the consoles until somebody presses Enter."""
    started = machine(emulator="qemu-tcg", firmware="uefi", entry="check", extra=SLOW)
    said = started.wait(r"^NO (?s:.)*This machine is not usable for Hornero\.\s*Enter restarts", 240)
    assert re.search(r"^ +firmware +information UEFI$", said.group(0), re.MULTILINE)
    assert re.search(r"^ok +Secure Boot off +optional +yes$", said.group(0), re.MULTILINE)
    run = started.ssh("hornero check --json")
    assert run.returncode == 5
    assert json.loads(run.stdout)["verdict"] == "not usable"
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(os.path.relpath(started.folder / "console.sock"))
        console.sendall(b"\r")
        started.wait("The system is going down NOW", 60)


@pytest.mark.full
def test_check_from_the_boot_menu_where_there_is_vtx(machine):
    started = machine(emulator="bochs", entry="check", cpus=2)
    said = started.wait(r"This machine is .* for Hornero\.[^\0]*Enter restarts", 400)
    assert "usable with limits for Hornero" in said.group(0)
    run = started.ssh("hornero check --json")
    assert run.returncode == 4
    findings = {item["what"]: item for item in json.loads(run.stdout)["findings"]}
    assert findings["unrestricted guest"]["good"]
    assert findings["processors alike"]["good"]
    assert findings["VPID"]["found"] == "yes"
    assert not [what for what, item in findings.items()
                if item["need"] == "needed" and not item["good"]]


# ---- machines without a key


def medium(folder, *files):
    """A boot medium as people get it: what is theirs lies in its root."""
    image = BUILD / "control-domain"
    command = [TOP / "boot/mkiso", "--output", folder / "medium.iso", "--entry", "native",
               "--kernel", image / "vmlinuz", "--initramfs", image / "initramfs", "--timeout", "0", "--linux-cmdline",
               (TOP / "boot/control-domain.cmdline").read_text().strip() + " " + SLOW]
    for file in files:
        command += ["--file", file]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return folder / "medium.iso"


def data_volume(path):
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "hornero-data", path], check=True,
                   timeout=60)
    return path


def test_set_up_screen_and_what_survives_a_reboot(machine, tmp_path):
    started = machine(emulator="qemu-tcg", entry="native", iso=str(medium(tmp_path)),
                      disk=[str(data_volume(tmp_path / "data.img"))], keep_disk=True)
    key = ssh_key().with_suffix(".pub").read_text().strip()
    with Typist(started) as typist:
        typist.answer("Choice: ", "4")
        typist.expect("Neither a password nor a key is set yet")
        typist.answer("Choice: ", "1")
        typist.answer("New password", "short")
        typist.answer("Once more", "short")
        typist.expect("At least 8 characters")
        typist.answer("Choice: ", "1")
        typist.answer("New password", PASSWORD)
        typist.answer("Once more", PASSWORD)
        typist.expect("The password is set")
        typist.answer("Choice: ", "2")
        typist.answer("Paste one line", "ssh-ed25519 nonsense")
        typist.expect("That is no SSH public key")
        typist.answer("Choice: ", "2")
        typist.answer("Paste one line", key)
        typist.expect("The key is added")
        typist.answer("Choice: ", "3")
        typist.answer("Address", "10.0.2.15")
        typist.answer("Gateway", "")
        typist.answer("DNS", "")
        typist.expect("PREFIX.*\n.*Nothing was changed")
        typist.answer("Choice: ", "4")
        typist.log_in(PASSWORD)
        first = re.search(READY, started.serial().replace("\r", "")).group(1)
        assert started.ssh("cat /proc/mounts").stdout.count("/var/lib/hornero ext4") == 1
        typist.answer("# ", "reboot")
        second = typist.expect(READY, 240).group(1)
        assert first == second
        typist.log_in(PASSWORD)
        typist.answer("# ", "echo $((6 * 7)) again")
        typist.expect("42 again")
    assert started.ssh("true").returncode == 0


def test_keys_come_from_the_boot_medium(machine, tmp_path):
    keys = write(tmp_path / "authorized_keys",
                 "# mine\r\nthis is none\r\n" + ssh_key().with_suffix(".pub").read_text())
    settings = write(tmp_path / "settings.conf", "host_name = from-medium\n")
    started = machine(emulator="qemu-tcg", entry="native", two_cards=True,
                      iso=str(medium(tmp_path, keys, settings)))
    started.wait(r"\x1b\[", 120)
    started.qmp("set_link", name="first", up=False)
    started.wait(READY, 240)
    assert started.ssh("hostname").stdout == "from-medium\n"
    # neither settings nor DHCP name a time server
    assert re.findall(r"^server (\S+)", started.ssh("cat /run/ntpd.conf").stdout, re.MULTILINE) == \
        [f"{number}.debian.pool.ntp.org" for number in range(4)]
    assert "ntpd: ntp engine" in started.ssh("ps").stdout
    # the first card has no link: the second gets the address
    assert re.search(r"^default via 10\.0\.2\.2 dev eth1", started.ssh("ip route").stdout, re.MULTILINE)
    started.wait(r"eth0 +no link *\n(?s:.*)eth1 +link up +10\.0\.2\.15/24", 60)
    assert "authorized_keys:2: no SSH public key" in started.serial()

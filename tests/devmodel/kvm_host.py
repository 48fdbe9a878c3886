# SPDX-License-Identifier: MIT
"""Somewhere to run the device model: this machine if its KVM can run an unmodified guest, else a
small Linux with kvm-amd inside QEMU's emulation. Either way the tests get shells.

    host.shell(0).run("ls /dev/kvm")      a root shell; three of them, 0 to 2
    shell.send(text), shell.expect(regex)

Nothing here sleeps: expect() waits for output, and its failure shows what came instead.
"""

import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import tempfile

from bench.medium import BUILD
from bench.patience import Patience

IMAGES = BUILD / "devmodel"
SHELLS = 3
BOOT_TIMEOUT = 90


class Shell:
    """Text in, text out."""

    def __init__(self, fd, name, pid):
        self.fd = fd
        self.pid = pid  # who has to run for text to come
        self.name = name
        self.pending = ""
        self.seen = ""
        self.runs = 0

    def send(self, text):
        os.write(self.fd, text.encode())

    def _read(self, patience):
        if not patience.waiting(lambda left: select.select([self.fd], [], [], left)[0]):
            return False
        try:
            text = os.read(self.fd, 65536).decode(errors="replace")
        except OSError:
            text = ""
        self.pending += text
        self.seen += text
        return bool(text)

    def expect(self, regex, timeout=30):
        """Waits until the output matches; returns the match and forgets what came before its end."""
        patience = Patience(timeout, self.pid)
        pattern = re.compile(regex, re.S)
        while True:
            match = pattern.search(self.pending)
            if match:
                self.pending = self.pending[match.end():]
                return match
            if not self._read(patience):
                raise AssertionError(f"{self.name}: no {regex!r} within {timeout} s; last:\n"
                                     + self.seen[-3000:])

    def run(self, command, timeout=30, check=True):
        """Runs a command; returns its output (and with check=False also its status)."""
        self.runs += 1
        mark = f"{self.name}/{self.runs}"  # no other shell prints this, nor shows it in its echo
        self.send(f'{command}; echo "@""{mark}:$?@"\n')
        match = self.expect(rf"^(.*?)@{mark}:(\d+)@\r?\n", timeout)
        output = match.group(1).replace("\r", "")
        if not check:
            return output, int(match.group(2))
        assert match.group(2) == "0", f"{self.name}: {command!r} failed:\n{output}"
        return output


class Native:
    """This machine."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="devmodel-")
        self.processes = []

    def shell(self, number):
        env = {**os.environ, "TMP": self.folder, "KERNEL": str(kernel()),
               "INITRD": str(IMAGES / "guest.initrd"),
               "PATH": f"{BUILD}/control-domain/vmm:{os.environ['PATH']}"}
        ours, theirs = socket.socketpair()
        self.processes.append(subprocess.Popen(["sh"], stdin=theirs, stdout=theirs, stderr=theirs,
                                               env=env, start_new_session=True))
        theirs.close()
        return Shell(ours.detach(), f"shell {number}", self.processes[-1].pid)

    @staticmethod
    def guest_file(name):
        return str(IMAGES / name)

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)


class Emulated:
    """kvm-amd in QEMU's emulation: slow, but it runs anywhere."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="devmodel-")
        serials = [argument for number in range(SHELLS) for argument in
                   ("-serial", f"unix:{self.folder}/{number},server=on,wait=off")]
        # One thread: QEMU 7.2's emulated SVM with several has been seen to hang.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "timeout", "900", "qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu",
             "EPYC,+svm", "-m", "1536", "-display", "none", "-nodefaults", "-no-reboot",
             "-kernel", kernel(), "-initrd", IMAGES / "host.initrd",
             "-append", "console=ttyS0 quiet mitigations=off", "-serial", "stdio", *serials],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            Shell(self.process.stdout.fileno(), "emulated host", self.process.pid).expect(
                r"host ready /dev/kvm", BOOT_TIMEOUT)
        except AssertionError:
            self.stop()
            raise

    def shell(self, number):
        link = socket.socket(socket.AF_UNIX)
        link.connect(f"{self.folder}/{number}")
        shell = Shell(link.detach(), f"shell {number}", self.process.pid)
        return shell

    @staticmethod
    def guest_file(name):
        return f"/guest/{name}"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def kernel():
    cache = os.environ.get("CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hornero"
    return pathlib.Path(cache) / "linux/current/vmlinuz"


def has_usable_kvm():
    """A KVM that runs unmodified guests has VT-x or SVM under it. (There are others: a /dev/kvm
    alone says nothing.)"""
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and re.search(r"\b(vmx|svm)\b", flags)


def start():
    return Native() if has_usable_kvm() and os.geteuid() == 0 else Emulated()

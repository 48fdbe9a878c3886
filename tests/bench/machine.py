# SPDX-License-Identifier: MIT
"""The life of a test machine: a folder build/machines/NAME, a supervisor and an emulator.

The supervisor is a process of its own session. It holds the lock on the folder's `lock` file for
as long as the machine lives, so nobody has to trust a process id: the machine runs if and only if
the lock is held. It starts the emulator, ends it at the time limit or on SIGTERM, and writes
exit.json. Should the supervisor be killed, the kernel kills the emulator with it.

In the folder: config.json, pid (the supervisor's), emulator.pid, serial.txt (what the machine
said), emulator.log, bochs.log or qmp.sock, exit.json, known_hosts, the boot medium.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys

from . import emulators, medium
from .medium import BUILD, TOP, BenchError
from .patience import Patience

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
SCREEN_PIECE = 64 << 20  # of an emulator's memory, looked at together
SCREEN_BYTES = 8 << 20  # more than one screen has
IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x80, 0x100
PACKAGED_KERNEL = str(BUILD / "control-domain/vmlinuz")
UNPACKED_KERNEL = str(BUILD / "tests/vmlinuz")  # the same, decompressed: see unpack
# said on the serial port once the control domain's SSH server listens
READY = r"hornero-control-domain: ready IP=\S+ SSH-HOSTKEY=(\S+)\n"
# after this nothing more will come; whoever waits for something else need not wait on
DEAD = r"^\| The machine is halted\..*\n\+-+\+\n|Kernel panic - not syncing"
NO_BANNER = "Connection timed out during banner exchange"
DEFAULTS = {
    "emulator": "auto", "firmware": "bios", "cpus": 1, "memory": 1024, "cpu_model": "", "mips": 100,
    "cpu_exclude": "", "iso": "", "iso_as": "cdrom", "disk": [], "keep_disk": False, "stick_read_only": "",
    "entry": "hornero", "cmdline": "", "extra": "", "grub": "", "grub_last": "", "file": [],
    "hypervisor": str(BUILD / "hornero.elf"), "kernel": PACKAGED_KERNEL,
    "initramfs": str(BUILD / "control-domain/initramfs"), "microcode": "",
    "enrol": "", "no_vga": False, "two_cards": False, "no_acpi": False, "limit": 900, "patience": 5, "no_reboot": False, "verbose": False, "msrs": "", "bochsrc": [],
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """A machine by its name; whether it exists or runs is looked up each time."""

    def __init__(self, name):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise BenchError(f"{name!r} is no machine name: use letters, digits, . _ -")
        self.name = name
        self.folder = BUILD / "machines" / name

    # ---- facts

    @staticmethod
    def names():
        folder = BUILD / "machines"
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def running(self):
        try:
            with open(self.folder / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    def config(self):
        try:
            return json.loads((self.folder / "config.json").read_text())
        except FileNotFoundError:
            raise BenchError(f"there is no machine {self.name}; `tests/machine list` shows "
                             "those that there are") from None

    def exit(self):
        """{"reason", "status", "cpu_seconds"} of a machine that has ended, else None."""
        try:
            return json.loads((self.folder / "exit.json").read_text())
        except FileNotFoundError:
            return None

    def serial(self):
        try:
            return (self.folder / "serial.txt").read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def qmp(self, command, **arguments):
        """Orders something of QEMU itself; returns its answer."""
        folder = os.open(self.folder, os.O_PATH)  # its path may be too long for a socket's name
        with socket.socket(socket.AF_UNIX) as line, line.makefile("r") as said:
            line.connect(f"/proc/self/fd/{folder}/qmp.sock")
            os.close(folder)
            said.readline()
            for order in {"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}:
                line.sendall(json.dumps(order).encode())
                answer = json.loads(said.readline())
                while "event" in answer:
                    answer = json.loads(said.readline())
        if "return" not in answer:
            raise BenchError(f"QEMU refuses {command} {arguments}: {answer}")
        return answer["return"]

    def shows(self, words):
        """Whether these words of the hypervisor stand on the screen: as text (QEMU), or as white glyphs on a graphic
        one, whose rows of pixels are looked for in the emulator, where its card's memory is."""
        if self.config()["emulator"] != "bochs":
            cells = self.folder / "cells"
            self.qmp("pmemsave", val=0xb8000, size=80 * 25 * 2, filename=str(cells))
            if words in cells.read_bytes()[::2].decode("cp437"):
                return True
        font = [int(byte, 16) for byte in re.findall(r"0x(\w\w)\b", (BUILD / "hv/font.c").read_text())]
        dots = [[font[(ord(letter) - 0x20) * 16 + y] >> (7 - x) & 1 for letter in words for x in range(8)]
                for y in range(16)]
        pid = (self.folder / "emulator.pid").read_text().strip()
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                at, end = (int(word, 16) for word in line.split()[0].split("-"))
                while " rw" in line and at < end:
                    memory.seek(at)
                    data = memory.read(min(end - at, SCREEN_PIECE))
                    empty = data.count(0) == len(data)  # as is most of the machine's memory
                    for white in () if empty else (b"\xff\xff\xff\0", b"\xff\xff\xff"):
                        if all(b"".join(white if dot else bytes(len(white)) for dot in row) in data
                               for row in dots if any(row)):
                            return True
                    at += SCREEN_PIECE - SCREEN_BYTES  # pieces overlap
        return False

    def describe(self, lines=40):
        """What one wants to see when something went wrong."""
        text = [f"machine {self.name}, everything about it in {self.folder}"]
        ended = self.exit()
        text.append(f"ended: {ended['reason']}" if ended else
                    "running" if self.running() else "not running, and left no exit reason")
        tail = self.serial().replace("\r", "").splitlines()[-lines:]
        return "\n".join(text + [f"---- last {len(tail)} lines of the serial port"] + tail)

    # ---- life

    def start(self, **options):
        """Starts the machine; returns at once. Options: see DEFAULTS."""
        unknown = set(options) - set(DEFAULTS)
        assert not unknown, f"unknown options: {unknown}"
        config = {**DEFAULTS, **options, "name": self.name}
        if self.running():
            raise BenchError(f"machine {self.name} runs already; "
                             f"`tests/machine stop --name {self.name}` ends it")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with open(self.folder / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            config["emulator"] = emulators.choose(config["emulator"])
            config["ssh_port"] = free_port()
            config["disk"] = [os.path.abspath(disk) for disk in config["disk"]]
            if config["iso"]:
                config["iso"] = os.path.abspath(config["iso"])
            elif config["stick_read_only"]:
                config["stick_read_only"] = os.path.abspath(config["stick_read_only"])
            elif not config["disk"]:
                config["iso"] = str(medium.make_iso(self.folder, config))
            config["command"] = [str(word) for word in emulators.command(self.folder, config)]
            (self.folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
            (self.folder / "serial.txt").touch()
            with open(self.folder / "emulator.log", "wb") as log:
                supervisor = subprocess.Popen(
                    [sys.executable, TOP / "tests/machine", "supervise", "--name", self.name],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                    env={**os.environ, "BUILD": str(BUILD)},
                    start_new_session=True, pass_fds=[lock.fileno()])
            (self.folder / "pid").write_text(f"{supervisor.pid}\n")
            supervisor.returncode = 0  # it is meant to outlive this process: no warning about it
        with Watch(self.folder) as watch:
            while not (self.folder / "emulator.pid").exists() and self.running():
                watch.changed(1)
        return config

    def supervise(self):
        """The supervisor's life; runs in the process that start() made, lock inherited."""
        config = self.config()

        class Stop(Exception):
            pass

        def stop(*_):
            raise Stop

        def die_with_supervisor():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == 1:
                os._exit(1)

        reason = ""
        emulator = None
        try:
            signal.signal(signal.SIGTERM, stop)
            emulator = subprocess.Popen(config["command"], cwd=self.folder,
                                        stdin=subprocess.DEVNULL, preexec_fn=die_with_supervisor)
            self.put("emulator.pid", f"{emulator.pid}\n")
            patience = Patience(config["limit"], emulator.pid)
            if not patience.waiting(lambda left: ended_within(emulator, left)):
                reason = f"the time limit of {config['limit']} s was reached"
        except Stop:
            reason = "stopped"
        except OSError as error:
            reason = f"the emulator did not start: {error}"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        status = None
        if emulator:
            # Bochs ends cleanly on SIGINT only, QEMU on either
            for sign, patience in ((signal.SIGINT, 5), (signal.SIGKILL, None)):
                if emulator.poll() is None:
                    emulator.send_signal(sign)
                try:
                    status = emulator.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = {"reason": reason or self.exit_reason(config, status), "status": status,
                 "cpu_seconds": round(used.ru_utime + used.ru_stime)}
        self.put("exit.json", json.dumps(ended) + "\n")

    def patience(self, seconds):
        """A time limit for what this machine does: what its emulator cannot run does not count."""
        try:
            return Patience(seconds, int((self.folder / "emulator.pid").read_text()))
        except (FileNotFoundError, ValueError):
            return Patience(seconds)

    def put(self, name, text):
        """Writes a file so that whoever sees it sees all of it."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(text)
        fresh.rename(self.folder / name)

    def exit_reason(self, config, status):
        """Bochs says 1 for every ordered end, so its log has to tell."""
        if status < 0:
            return f"the emulator died of {signal.Signals(-status).name}"
        if config["emulator"] != "bochs":
            return "powered off or reset" if status == 0 else f"QEMU's exit status {status}"
        said = ""
        for name in ("emulator.log", "bochs.log"):
            try:
                said += (self.folder / name).read_text(errors="replace")
            except FileNotFoundError:
                pass
        for line in said.splitlines():
            if "soft power off" in line or "Shutdown port: shutdown requested" in line:
                return "powered off"
        panics = [line for line in said.splitlines() if ">>PANIC<<" in line or "p[" in line[:20]]
        return panics[-1].strip() if panics else f"Bochs' exit status {status}"

    def stop(self):
        """Ends the machine and waits until nothing of it is left."""
        if not self.running():
            return
        pid = int((self.folder / "pid").read_text())
        with open(self.folder / "lock", "rb") as lock:
            for sign, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
                try:
                    os.kill(pid, sign)
                except ProcessLookupError:
                    pass
                if self.lock_within(lock, patience):
                    return
        raise BenchError(f"machine {self.name} did not end; its supervisor is process {pid}")

    @staticmethod
    def lock_within(lock, seconds):
        """Waits for the lock that the supervisor holds; a signal ends the wait."""
        class Late(Exception):
            pass

        def late(*_):
            raise Late

        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            return True
        except Late:
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    # ---- talking with it

    def wait(self, pattern, timeout=300, start=0):
        """Waits until the serial port has said something that matches; returns the match.

        Looks only at what comes after offset start of the text. Fails early, by BenchError, when
        the machine ends or gives up (DEAD) first.
        """
        __tracebackhide__ = True
        wanted = re.compile(pattern, re.MULTILINE)
        dead = re.compile(DEAD, re.MULTILINE)
        patience = self.patience(timeout)
        with Watch(self.folder) as watch:
            while True:
                alive = self.running()  # first: what it said last is read after that
                text = self.serial().replace("\r", "")
                found = wanted.search(text, start)
                if found:
                    return found
                if dead.search(text, start):
                    raise BenchError(f"gave up before it said /{pattern}/: {self.describe()}")
                if not alive:
                    raise BenchError(f"ended before it said /{pattern}/: {self.describe()}")
                left = patience.left()
                if not left:
                    raise BenchError(f"did not say /{pattern}/ in {timeout} s: {self.describe()}")
                watch.changed(left)

    def wait_exit(self, timeout=300):
        """Waits until the machine has ended; returns exit.json's content."""
        self.config()
        with open(self.folder / "lock", "rb") as lock:
            if not self.patience(timeout).waiting(lambda left: self.lock_within(lock, left)):
                raise BenchError(f"did not end in {timeout} s: {self.describe()}")
        return self.exit() or {"reason": "its supervisor was killed", "status": None}

    def ssh_command(self):
        config = self.config()
        known = self.folder / "known_hosts"
        said = re.findall(READY, self.serial().replace("\r", ""))
        if said:  # more than once after a reset, each time with a new key
            known.write_text(f"[127.0.0.1]:{config['ssh_port']} ssh-ed25519 {said[-1]}\n")
        return ["ssh", "-i", str(medium.ssh_key()), "-p", str(config["ssh_port"]),
                "-o", "IdentitiesOnly=yes",
                "-o", f"StrictHostKeyChecking={'yes' if said else 'accept-new'}",
                "-o", f"UserKnownHostsFile={known}", "-o", "LogLevel=ERROR",
                "-o", f"ConnectTimeout={config['patience']}", "-o", "ConnectionAttempts=3",
                "-o", "ServerAliveInterval=15", "root@127.0.0.1"]

    def ssh(self, *command, timeout=120, **kwargs):
        """Runs a command in the control domain; returns subprocess's result (code 255: no SSH)."""
        if not self.running():
            raise BenchError(f"machine {self.name} does not run: {self.describe()}")
        kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                  "stdin": subprocess.DEVNULL, **kwargs}
        text = kwargs.pop("input", None)
        if text is not None:
            kwargs["stdin"] = subprocess.PIPE
        line = self.ssh_command() + list(command)
        patience = self.patience(timeout)
        while True:
            run = self._ssh_once(line, text, patience, kwargs)
            # Nothing has begun there: it waited for a CPU longer than ssh waits for it.
            if run.returncode != 255 or NO_BANNER not in (run.stderr or "") or not patience.left():
                return run

    def _ssh_once(self, line, text, patience, kwargs):
        with subprocess.Popen(line, **kwargs) as process:
            while True:
                left = patience.left()
                try:
                    out, err = process.communicate(text, timeout=left)
                    return subprocess.CompletedProcess(line, process.returncode, out, err)
                except subprocess.TimeoutExpired as error:
                    text = None  # was taken over by the first call
                    if left:
                        continue
                    process.kill()
                    raise BenchError(f"`{' '.join(line[len(self.ssh_command()):])}` over SSH took more than "
                                     f"{patience.seconds} s: {error.stderr or ''}\n{self.describe()}") from error
                except BaseException:
                    process.kill()
                    raise


def ended_within(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


class Watch:
    """Waits for changes in a folder by inotify."""

    def __init__(self, folder):
        self.fd = LIBC.inotify_init()
        mask = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
        if self.fd < 0 or LIBC.inotify_add_watch(self.fd, os.fsencode(folder), mask) < 0:
            raise BenchError(f"cannot watch {folder}: {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def changed(self, timeout):
        if select.select([self.fd], [], [], timeout)[0]:
            os.read(self.fd, 65536)

# SPDX-License-Identifier: MIT
"""Fixtures of the device model's tests: one host for all of them, its shells, and a guest."""

import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import kvm_host  # noqa: E402

GUEST_BOOT = 120


class Vm:
    """One device model in the foreground of a shell, driven over its control socket."""

    def __init__(self, host, shells, name, options):
        self.log, self.console, self.control = shells
        self.socket = f"$TMP/{name}.sock"
        self.ended = self.attached = False
        self.options = f"--name {name} --control {self.socket} {options}"

    def start(self):
        self.log.send(f'vmm {self.options}; echo "@ex""it:$?@"\n')
        self.log.expect(r"(running)\r?\n")

    def attach(self):
        request = '{"command": "console", "columns": 132, "rows": 43}'
        self.console.send(f"(echo '{request}'; exec dd bs=4096 2>/dev/null) | "
                          f"socat - UNIX-CONNECT:{self.socket}; echo deta''ched\n")
        self.attached = True
        self.console.expect(r'\{[^\n]*"ok":true\}\r?\n')

    def wait_booted(self):
        cpus = int(self.console.expect(r"guest ready: (\d+) cpus", GUEST_BOOT).group(1))
        self.console.expect(r"guest# ")  # typed any earlier, its shell would throw it away
        return cpus

    def _leave_console(self):
        """socat and dd notice at their next write that nobody reads any more: one line for each."""
        for _ in range(4):
            self.console.send("\n")
            try:
                self.console.expect("detached", 5)
                return
            except AssertionError:
                continue
        self.console.expect("detached")

    def command(self, command, **more):
        request = json.dumps({"command": command, **more})
        reply = self.control.run(f"echo '{request}' | socat -t 20 - UNIX-CONNECT:{self.socket}", 60)
        return json.loads(reply)

    def wait_end(self, timeout=60):
        """(reason, exit status)"""
        self.ended = True
        match = self.log.expect(r"ended: ([^\r\n]*)\r?\n(?:.*?)@exit:(\d+)@", timeout)
        if self.attached:
            self._leave_console()
        return match.group(1), int(match.group(2))


@pytest.fixture(scope="session")
def kvm():
    host = kvm_host.start()
    shells = [host.shell(number) for number in range(kvm_host.SHELLS)]
    yield host, shells
    host.stop()


@pytest.fixture(scope="session")
def shells(kvm):
    return kvm[1]


@pytest.fixture(scope="session")
def vm(kvm):
    """vm(name, options) makes one; start() it."""
    return lambda name, options: Vm(kvm[0], kvm[1], name, options)

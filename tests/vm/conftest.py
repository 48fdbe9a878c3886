# SPDX-License-Identifier: MIT
"""`vm` in a folder of its own, with a device model that only pretends (fake_vmm)."""

import json
import os
import pathlib
import subprocess
import tempfile

import pytest

from bench.medium import BUILD

VM = BUILD / "control-domain/vm/vm"
FAKE = pathlib.Path(__file__).parent / "fake_vmm"


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)


class Vm:
    def __init__(self, root):
        self.root = root
        self.env = {**os.environ, "HORNERO_ROOT": str(root), "HORNERO_VMM": str(FAKE)}
        self.add_image("demo", "kernel = kernel\ninitrd = initramfs\nmemory = 64M\n"
                       "cmdline = console=hvc0 quiet\ndescription = a small one\n")

    def add_image(self, name, text):
        folder = self.root / "var/lib/hornero/images" / name
        folder.mkdir(parents=True)
        (folder / "kernel").write_text("kernel")
        (folder / "initramfs").write_text("initramfs")
        (folder / "image.conf").write_text("version = 1\n" + text)

    def run(self, *words, stdin="", timeout=30):
        return Result(subprocess.run([VM, *map(str, words)], env=self.env, text=True, input=stdin,
                                     capture_output=True, timeout=timeout, cwd=self.root))

    def ok(self, *words, **more):
        result = self.run(*words, **more)
        assert result.code == 0, (words, result.code, result.out, result.err)
        return result

    def conf(self, name):
        return self.root / f"etc/hornero/vms/{name}.conf"

    def rows(self):
        return {row["name"]: row for row in self.ok("list", "--json").json}

    def state(self, name):
        return self.rows()[name]["state"]


@pytest.fixture
def vm():
    """In a folder with a short name: a socket's address has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="vm-") as folder:
        made = Vm(pathlib.Path(folder))
        yield made
        for name, row in made.rows().items():
            if row["pid"]:
                made.run("kill", name)

# SPDX-License-Identifier: MIT
"""The source tree: layout, licences, format."""

import pathlib
import re
import subprocess

import pytest

from bench.medium import TOP

LAYOUT = {"boot", "vmm", "arch", "drivers", "control-domain", "tests", "linker.ld", "Makefile",
          "README.md", "LICENSE"}
LICENCES = {"vmm/abi/": "MIT OR GPL-2.0-only", "control-domain/driver/": "GPL-2.0-only",
            "tests/prod/": "GPL-2.0-only"}
CODE = {".c", ".h", ".S", ".py", ".sh", ".mk", ".ld", ".awk"}


def files():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True,
                           text=True, timeout=60).stdout.split("\0")
    return [name for name in names if name and (TOP / name).is_file()]


def is_code(name):
    if pathlib.Path(name).suffix in CODE or pathlib.Path(name).name in ("Makefile", "Kbuild"):
        return True
    with open(TOP / name, "rb") as file:
        return file.read(2) == b"#!"


def test_layout():
    top = {name.split("/")[0] for name in files()}
    assert {name for name in top if not name.startswith(".")} <= LAYOUT


def test_licences():
    wrong = []
    for name in filter(is_code, files()):
        wanted = next((licence for folder, licence in LICENCES.items() if name.startswith(folder)),
                      "MIT")
        head = "".join((TOP / name).read_text().splitlines(keepends=True)[:2])
        found = re.search(r"SPDX-License-Identifier: ([A-Za-z0-9. -]*[A-Za-z0-9])", head)
        allowed = {wanted}
        if name.startswith("tests/host/test_"):
            allowed.add("GPL-2.0-only")  # compiled together with the driver's code
        if not found or found.group(1) not in allowed:
            wrong.append(f"{name}: {found.group(1) if found else 'none'}, not {wanted}")
    assert not wrong, "\n".join(wrong)


def test_format():
    sources = [name for name in files() if pathlib.Path(name).suffix in (".c", ".h")]
    check = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], cwd=TOP,
                           capture_output=True, text=True, timeout=300)
    first = [line for line in check.stderr.splitlines() if "error:" in line]
    assert check.returncode == 0, "`make format` mends:\n" + "\n".join(first[:20])


@pytest.mark.parametrize("name", [n for n in files() if is_code(n)
                                  and (TOP / n).read_bytes().startswith(b"#!/bin/bash")])
def test_shell_syntax(name):
    subprocess.run(["bash", "-n", TOP / name], check=True, timeout=60)


def test_everybody_may_run_the_tests():
    """Debian's path of a user who is not root lacks the folders of tools that tests use."""
    said = subprocess.run(["/usr/bin/python3", "-c", "import conftest, shutil; print(shutil.which('sfdisk'), shutil.which('blkid'))"],
                          cwd=TOP / "tests", env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, check=True,
                          capture_output=True, text=True, timeout=60).stdout
    assert "None" not in said

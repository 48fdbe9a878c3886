# SPDX-License-Identifier: MIT
"""pytest's side of the bench: the `machine` fixture and the two marks.

    boot   starts a machine (given to every test that uses the fixture, directly or not)
    full   takes long: only `make test-full` runs it

A test that fails shows, for each machine that it used, why it ended and the last serial lines.
"""

import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["PATH"] += ":/usr/sbin:/sbin"  # Debian gives these to root alone; tests ask sfdisk, blkid, mke2fs

from bench.machine import UNPACKED_KERNEL, Machine  # noqa: E402
from bench.medium import BUILD  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the long tests as well")


def pytest_configure(config):
    config.addinivalue_line("markers", "boot: starts a machine")
    config.addinivalue_line("markers", "full: takes long, left to `make test-full`")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if {"machine", "class_machine", "shared_machine"} & fixtures:
            item.add_marker("boot")
        if {"class_machine", "shared_machine"} & fixtures and \
                not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
    if config.getoption("--full"):
        return
    left = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":  # with workers, they alone collect
        BUILD.mkdir(exist_ok=True)
        names = [item.nodeid.removeprefix("tests/") for item in left]
        (BUILD / "left-to-full.txt").write_text("".join(f"{name}\n" for name in names))


def start_machines(request, name):
    """A function that starts machines; they are stopped when the fixture's scope ends. They do not
    decompress Linux, unless PACKAGED_KERNEL is asked for: half of their time would be that."""
    started = []
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # two may run tests of the same name

    def start(**options):
        if options.get("entry", "hornero") == "hornero":  # GRUB's `linux` takes other ways into an image
            options.setdefault("kernel", UNPACKED_KERNEL)
        machine = Machine(re.sub(r"[^A-Za-z0-9._]+", "-", f"{worker}{name}-{len(started)}"))
        started.append(machine)
        request.node.stash.setdefault(MACHINES, []).append(machine)
        machine.start(**options)
        return machine

    yield start
    for machine in started:
        machine.stop()


MACHINES = pytest.StashKey()


@pytest.fixture
def machine(request):
    """machine(cpus=2, cmdline="...") starts a machine (bench/machine.py has the options)."""
    yield from start_machines(request, request.node.name)


@pytest.fixture(scope="class")
def class_machine(request):
    """The same, for machines that all tests of a class use (one worker runs them all)."""
    yield from start_machines(request, request.node.name)


@pytest.fixture(scope="module")
def shared_machine(request):
    """The same, for machines that all tests of a file use (one worker runs them all)."""
    yield from start_machines(request, request.node.name.removesuffix(".py").split("/")[-1])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for node in item.listchain():
            for machine in node.stash.get(MACHINES, []):
                report.sections.append((f"machine {machine.name}", machine.describe()))

# SPDX-License-Identifier: MIT
"""Bad invocations: each is refused with its exit code and a sentence that names the object, the
value and the remedy, before anything is touched. The same with --json, as an object."""

import pytest

FAILED, USAGE, NOT_FOUND, STATE = 1, 2, 3, 4

# `stopped` is a VM that is defined, `running` one that runs.
TABLE = [
    ("", USAGE, "Usage: vm COMMAND"),
    ("frobnicate", USAGE, "there is no command 'frobnicate'; 'vm --help' lists them"),
    ("stopped", USAGE, "there is no command 'stopped', but a VM: did you mean 'vm run stopped'?"),
    ("strat web", USAGE, "there is no command 'strat'; did you mean 'vm start'?"),
    ("destroy stopped", USAGE, "'vm kill stopped' ends the VM at once and keeps it defined, "
     "'vm delete stopped' removes its definition"),
    ("start", USAGE, "start: write 'vm start NAME...'"),
    ("show stopped running", USAGE, "show: 'running' is too much; write 'vm show NAME'"),
    ("show --memroy", USAGE, "show: --memroy is not an option; 'vm show --help' lists them"),
    ("create x --memroy 1G", USAGE, "--memroy is not an option; did you mean --memory?"),
    ("create x -z", USAGE, "create: -z is not an option"),
    ("create x --memory", USAGE, "create: --memory wants a value"),
    ("create x --image demo -m 512", USAGE, "--memory: '512' has no unit: is that 512M or 512G?"),
    ("create x --image demo -m 1M", USAGE, "--memory: '1M' is not a multiple of 2M from 16M to 1T"),
    ("create x --image demo -m 1Q", USAGE, "--memory: '1Q': the unit 'Q' is not K, M, G or T"),
    ("create x --image demo -m lots", USAGE, "'lots' is no size: write a number and a unit"),
    ("create x --image demo -c 0", USAGE, "--cpus: '0' is not a number from 1 to 16"),
    ("create x --image demo -c 2.5", USAGE, "--cpus: '2.5' is not a number"),
    ("create x --image demo -d 10", USAGE, "--disk: '10' has no unit: is that 10M or 10G?"),
    ("create x --image demo -d /no/such", USAGE, "--disk: '/no/such': there is no such file"),
    ("create x --image demo -n a/b", USAGE, "--net: 'a/b' cannot be a name of a network"),
    ("create x --image demo --publish 22", USAGE, "--publish: '22' is no pair of ports: write "
     "HOST:GUEST"),
    ("create x --image demo -n none --publish 2222:22", USAGE, "publish works on net = nat only"),
    ("create x --image demo --mac 03:00:00:00:00:00", USAGE, "make its first byte even"),
    ("create x --image demo --cpu-max 50", USAGE, "per cent of one CPU, such as 50%"),
    ("create x --image demo --cpus-pin 9-1", USAGE, "'9-1' is no list of CPUs"),
    ("create x --kernel /no/such", USAGE, "--kernel: '/no/such': there is no such file"),
    ("create x", USAGE, "'x': nothing to boot from: set image, kernel or disk"),
    ("create x -d 10G", USAGE, "'x': nothing to boot from: a new disk is empty; set image or kernel too, or give "
     "--disk a file that has a system on it"),
    ("create x --image demo --kernel /bin/sh", USAGE, "image and kernel are both set"),
    ("create x --boot uefi --disk /bin/sh", USAGE, "--boot: 'uefi': firmware guests and installers' ISO "
     "images cannot boot yet; take the distribution's cloud image"),
    ("create x --boot sda --disk /bin/sh", USAGE, "--boot: 'sda' is not 'disk'"),
    ("create x --boot disk --image demo", USAGE, "boot = disk and an image with a kernel of its own"),
    ("create x --disk installer.iso", FAILED, "installer.iso is an ISO image: firmware guests and "
     "installers' ISO images cannot boot yet"),
    ("create x --disk some.qcow2", FAILED, "some.qcow2 is no raw image: 'vm image import "),
    ("create x --image demo --cloud-init /no/such", USAGE, "--cloud-init: '/no/such': there is no such"),
    ("create x --image demo --cloud-init notes.txt", FAILED, "notes.txt: cloud-init would ignore it: its "
     "first line must be '#cloud-config'"),
    ("create x --image nosuch", FAILED, "there is no image 'nosuch'; 'vm image list' shows"),
    ("create ../x --image demo", USAGE, "'../x' cannot be a name of a VM"),
    ("create -- -x --image demo", USAGE, "create: '--image' is too much"),
    ("create 9lives --image demo", USAGE, "starting with a letter"),
    ("create stopped --image demo", STATE, "there is a VM 'stopped' already; 'vm set stopped' "
     "changes it, 'vm delete stopped' removes it"),
    ("create x --image demo -m 32M", FAILED, "image 'demo' needs 64M of memory, and this VM has "
     "32M"),
    ("run nosuch", NOT_FOUND, "there is neither a VM nor an image 'nosuch'"),
    ("run stopped -m 1G", STATE, "there is a VM 'stopped' already: take the options away"),
    ("start nosuch", NOT_FOUND, "there is no VM 'nosuch'; 'vm list' shows those there are"),
    ("start stoped", NOT_FOUND, "there is no VM 'stoped'; did you mean 'stopped'?"),
    ("start running", STATE, "'running' is running already; 'vm console running' attaches"),
    ("stop stopped", STATE, "'stopped' is not running; 'vm start stopped' starts it"),
    ("stop", USAGE, "stop: write 'vm stop NAME' or 'vm stop --all'"),
    ("stop --all running", USAGE, "stop: write either names or --all"),
    ("stop running --timeout soon", USAGE, "--timeout: 'soon' is not a number from 1 to 86400"),
    ("kill stopped", STATE, "'stopped' is not running"),
    ("console stopped", STATE, "'stopped' is not running; 'vm run stopped' starts it and attaches"),
    ("console nosuch", NOT_FOUND, "there is no VM 'nosuch'"),
    ("delete stopped", USAGE, "'stopped' is deleted only with --yes where nobody can be asked"),
    ("delete running --yes", STATE, "'running' is running; 'vm stop running' first"),
    ("delete nosuch --yes", NOT_FOUND, "there is no VM 'nosuch'"),
]


@pytest.fixture
def two(vm):
    (vm.root / "installer.iso").write_bytes(bytes(0x8001) + b"CD001" + bytes(65536 - 0x8006))
    (vm.root / "some.qcow2").write_bytes(
        b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (1 << 30).to_bytes(8, "big") + bytes(65536 - 32))
    (vm.root / "notes.txt").write_text("buy milk\n")
    vm.ok("create", "stopped", "--image", "demo")
    vm.ok("run", "running", "--image", "demo", "--detach")
    return vm


def test_bad_invocations(two):
    before = {path: path.read_bytes() for path in two.root.rglob("*.conf")}
    wrong = []
    for line, code, said in TABLE:
        result = two.run(*line.split())
        if result.code != code or said not in result.err or result.out:
            wrong.append(f"vm {line}: {result.code} {result.out}{result.err}")
    assert not wrong, "\n".join(wrong)
    assert before == {path: path.read_bytes() for path in two.root.rglob("*.conf")}
    assert two.state("running") == "running"


def cannot_answer(words):
    """No such command, or one whose answer is a terminal's."""
    return words[0] in ("frobnicate", "stopped", "strat", "destroy", "console") or "--" in words


def test_bad_invocations_as_json(two):
    wrong = []
    for line, code, said in TABLE:
        words = line.split()
        if not words or cannot_answer(words):
            continue
        result = two.run(words[0], "--json", *words[1:])
        answer = result.json
        if answer["exit_code"] != code or said not in answer["error"]:
            wrong.append(f"vm {line}: {result.out}")
    assert not wrong, "\n".join(wrong)


def test_too_much_memory_is_told_with_the_arithmetic(vm):
    vm.ok("create", "big", "--image", "demo", "-m", "1024G")
    result = vm.run("start", "big")
    assert result.code == FAILED
    assert "'big' needs 1048584.0 MiB = 1048576.0 memory + 8.0 device model; free " in result.err
    assert "vm set big --memory " in result.err

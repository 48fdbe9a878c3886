# SPDX-License-Identifier: MIT
"""A VM's life by the `vm` command: made, started, watched, stopped, taken away."""

import os
import pathlib
import pty
import select
import signal
import subprocess
import time

import pytest

from vm.conftest import FAKE, VM


def test_three_commands(vm):
    assert "vm run demo" in vm.ok("list").out
    run = vm.ok("run", "demo", stdin="echo hi\npoweroff\n")
    assert "Ctrl-]" in run.err and "power-off by guest" in run.err
    assert "guest of 512M with 1 CPUs" in run.out
    assert vm.state("demo") == "stopped"


def test_create_start_stop_delete(vm):
    vm.ok("create", "web", "--image", "demo", "-m", "1G", "-c", "2", "-d", "10M", "-n", "none")
    disk = vm.root / "var/lib/hornero/vms/web/disk0.raw"
    assert disk.stat().st_size == 10 << 20 and disk.stat().st_blocks == 0
    vm.ok("start", "web")
    row = vm.rows()["web"]
    assert row["state"] == "running" and row["memory_bytes"] == 1 << 30 and row["cpus"] == 2
    arguments = pathlib.Path(f"/proc/{row['pid']}/cmdline").read_text()
    assert f"--disk\0path={disk}" in arguments and "console=hvc0 quiet" in arguments
    vm.ok("stop", "web")
    assert vm.rows()["web"]["why"] == "power-off by guest"
    assert f"stay in {disk.parent}" in vm.ok("delete", "web", "--yes").out
    assert disk.exists() and vm.rows() == {}


def test_an_image_may_have_its_own_default_memory(vm):
    vm.add_image("tiny", "kernel = kernel\ndefault_memory = 64M\n")
    vm.ok("create", "a", "--image", "tiny")
    vm.ok("create", "b", "--image", "tiny", "-m", "1G")
    rows = vm.rows()
    assert (rows["a"]["memory_bytes"], rows["b"]["memory_bytes"]) == (64 << 20, 1 << 30)


def test_delete_with_disks(vm):
    vm.ok("create", "web", "--image", "demo", "-d", "10M")
    vm.ok("rm", "web", "--yes", "--disks")
    assert not (vm.root / "var/lib/hornero/vms/web").exists()


def test_a_failed_create_leaves_nothing(vm):
    def tree():
        return sorted(str(path) for path in vm.root.rglob("*") if "run/" not in str(path))
    before = tree()
    assert vm.run("create", "web", "--image", "no", "-d", "10M").code == 1
    assert vm.run("create", "web", "--image", "demo", "-d", "10M", "-m", "1").code == 2
    assert vm.run("run", "web", "--image", "demo", "--cmdline", "fake=refuse").code == 1
    assert [path for path in tree() if not os.path.isdir(path)] == \
           [path for path in before if not os.path.isdir(path)]


def test_run_attaches_to_what_runs(vm):
    vm.ok("run", "demo", "--detach")
    pid = vm.rows()["demo"]["pid"]
    again = vm.ok("run", "demo", stdin="\x1d")
    assert "detached; demo runs on" in again.err
    assert vm.rows()["demo"]["pid"] == pid


def test_rm_discards_at_the_end(vm):
    vm.ok("run", "demo", "--rm", "-d", "10M", stdin="poweroff\n")
    assert vm.rows() == {} and not vm.conf("demo").exists()
    assert not (vm.root / "var/lib/hornero/vms/demo").exists()


def test_rm_discards_after_detaching(vm):
    vm.ok("run", "demo", "--rm", stdin="\x1d")
    assert vm.state("demo") == "running"
    vm.ok("stop", "demo")
    assert vm.rows() == {} and not vm.conf("demo").exists()


def test_exit_codes_of_run_tell_the_end(vm):
    crashed = vm.run("run", "demo", "--cmdline", "fake=crash", stdin="x")
    assert crashed.code == 6 and "triple fault at RIP 0xfff0" in crashed.err


def test_stop_leaves_a_deaf_guest_running(vm):
    vm.ok("run", "demo", "--cmdline", "fake=deaf", "--detach")
    result = vm.run("stop", "demo", "--timeout", "2")
    assert result.code == 5 and "runs on" in result.err and "--force" in result.err
    assert vm.state("demo") == "running"
    vm.ok("stop", "--force", "demo")
    assert vm.rows()["demo"]["why"] == "killed"


def test_stop_of_all_waits_for_the_slowest_not_for_the_sum(vm):
    for name in "abc":
        vm.ok("run", name, "--image", "demo", "--detach", "--cmdline", "fake=deaf")
    began = time.monotonic()
    refused = vm.run("stop", "--all", "--timeout", "2")
    assert refused.code == 5 and refused.err.count("has not powered off within 2 s and runs on") == 3
    assert time.monotonic() - began < 5


def test_kill_a_device_model_that_does_not_answer(vm):
    vm.ok("run", "demo", "--detach")
    pid = vm.rows()["demo"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    vm.ok("kill", "demo")
    assert vm.rows()["demo"]["state"] == "stopped" and "killed" in vm.rows()["demo"]["why"]


def test_a_process_that_vanishes_is_told(vm):
    vm.ok("run", "demo", "--detach")
    pid = vm.rows()["demo"]["pid"]
    watch = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([watch], [], [], 10)
    os.close(watch)
    assert vm.state("demo") == "stopped"
    assert "without a word" in vm.rows()["demo"]["why"]
    vm.ok("start", "demo")  # a stale socket is no obstacle


def test_a_reused_process_id_is_not_taken_for_the_vm(vm):
    vm.ok("run", "demo", "--detach")
    vm.ok("kill", "demo")
    (vm.root / "run/hornero/vms/demo/process").write_text(f"{os.getpid()} 1\n")
    assert vm.state("demo") == "stopped"


def test_two_vms_do_not_share_a_disk(vm):
    vm.ok("create", "a", "--image", "demo", "-d", "10M")
    disk = vm.root / "var/lib/hornero/vms/a/disk0.raw"
    (vm.root / "link.raw").hardlink_to(disk)
    refused = vm.run("create", "b", "--image", "demo", "-d", vm.root / "link.raw")
    assert refused.code == 1 and "belongs to VM 'a' too" in refused.err
    assert not vm.conf("b").exists()
    vm.ok("create", "c", "--image", "demo", "-n", "none")


def test_device_model_that_does_not_exist(vm):
    vm.ok("create", "web", "--image", "demo")
    vm.env["HORNERO_VMM"] = "/nonexistent/vmm"
    result = vm.run("start", "web")
    assert result.code == 1 and "/nonexistent/vmm: No such file" in result.err


def test_broken_definition_shows_in_list_and_does_not_break_it(vm):
    vm.ok("create", "good", "--image", "demo")
    vm.conf("bad").write_text("version = 1\nimage = demo\ncpu = 2\n")
    rows = vm.rows()
    assert rows["good"]["state"] == "stopped" and rows["bad"]["state"] == "broken"
    assert "bad.conf:3" in rows["bad"]["why"] and "did you mean 'cpus'" in rows["bad"]["why"]
    assert "bad.conf:3" in vm.ok("list").out
    started = vm.run("start", "bad")
    assert started.code == 1 and "bad.conf:3" in started.err and "vm edit bad" in started.err


def test_second_viewer_and_scrollback(vm):
    vm.ok("run", "demo", "--detach", "--cmdline", "fake=flood=500")
    first = vm.ok("console", "demo", stdin="typed by the first\n\x1d").out
    assert "guest of 512M" in first and "line 499 of the flood" in first
    dumped = vm.ok("console", "demo", "--dump").out
    assert dumped.count("of the flood") == 500 and "typed by the first" in dumped


def test_terminal_raw_mode_size_and_back(vm):
    vm.ok("run", "demo", "--detach")
    main, side = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    before = termios.tcgetattr(side)
    with subprocess.Popen([VM, "console", "demo"], env=vm.env, stdin=side, stdout=side,
                          stderr=side, start_new_session=True) as viewer:
        seen = b""
        while b"[window 101x33]" not in seen:
            seen += os.read(main, 4096)
        assert b"guest of 512M with 1 CPUs\r\n" in seen
        assert termios.tcgetattr(side) != before
        os.write(main, b"\x03\x1d")
        while b"detached" not in seen:
            seen += os.read(main, 4096)
        assert viewer.wait(10) == 0
    assert termios.tcgetattr(side) == before
    assert vm.state("demo") == "running"


def test_names_are_found_from_another_shell(vm):
    """Nothing but files: a second process with another working directory sees the same."""
    vm.ok("run", "demo", "--detach")
    seen = subprocess.run([VM, "list", "-q"], env={"HORNERO_ROOT": str(vm.root)}, cwd="/",
                          capture_output=True, text=True, timeout=30, check=True)
    assert seen.stdout == "demo\n"


def test_the_fake_is_what_the_device_model_documents():
    help_text = (FAKE.parents[2] / "control-domain/vmm/config.c").read_text()
    for option in ("name", "memory", "cpus", "kernel", "initrd", "cmdline", "disk", "net",
                   "control"):
        assert f'{{"{option}", required_argument' in help_text


def test_where_systemd_runs_a_vm_is_a_scope_of_it(vm):
    """Programs of these names write down what they are asked; the real ones run in test_stick.py."""
    (vm.root / "run/systemd/system").mkdir(parents=True)
    programs = vm.root / "programs"
    programs.mkdir()
    for name, text in {"systemd-run": 'echo "$*" >>$asked; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
                       "systemctl": 'echo "$*" >>$asked'}.items():
        (programs / name).write_text(f"#!/bin/sh\nasked={vm.root}/asked\n{text}\n")
        (programs / name).chmod(0o755)
    vm.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    vm.ok("create", "web", "--image", "demo", "--cpu-max", "30%", "--cpus-pin", "0-1")
    vm.ok("start", "web")
    pid = vm.rows()["web"]["pid"]
    words = (vm.root / "asked").read_text().split(" -- ")[0]
    assert words == (f"--scope --quiet --collect --slice=hornero-guests.slice --unit=hornero-vm-web-{pid}.scope "
                     "--description=Virtual machine web --property Before=hornero-vms.service "
                     "--property CPUQuota=30% --property AllowedCPUs=0-1")
    assert vm.state("web") == "running"
    # /proc's files say that they have no bytes; a pipe, of which nobody can tell how many, stands for one
    cgroup = vm.root / f"proc/{pid}/cgroup"
    cgroup.parent.mkdir(parents=True)
    os.mkfifo(cgroup)
    unit = f"hornero-vm-web-{pid}.scope"
    with subprocess.Popen(["sh", "-c", f"echo 0::/hornero.slice/hornero-guests.slice/{unit} >{cgroup}"]) as writer:
        said = vm.ok("set", "web", "--cpu-weight", "400", "--cpus-pin", "").err
        writer.kill()
    assert said == ""
    assert (vm.root / "asked").read_text().splitlines()[-1] == \
        f"set-property --runtime {unit} CPUWeight=400 CPUQuota=30% AllowedCPUs="
    cgroup.unlink()
    assert "is in no unit of hornero-guests.slice" in vm.ok("set", "web", "--cpu-weight", "300").err


def test_a_vm_of_run_rm_is_its_commands_until_that_ends(vm):
    """Between the definition and the process there is a moment in which another `vm` looks."""
    vm.ok("create", "brief", "--image", "demo")
    folder = vm.root / "run/hornero/transient"
    folder.mkdir(parents=True)
    run = subprocess.Popen(["sleep", "100"])
    started = open(f"/proc/{run.pid}/stat").read().rsplit(")", 1)[1].split()[19]
    (folder / "brief").write_text(f"{run.pid} {started}\n")
    assert vm.state("brief") == "stopped"
    run.kill()
    run.wait()
    assert not vm.rows() and not folder.exists()


def test_a_list_asks_nobody(vm):
    """A device model that is stuck or starting neither delays it nor falsifies it."""
    vm.ok("run", "web", "--image", "demo", "--detach", "-m", "64M")
    vm.ok("pause", "web")
    vm.ok("set", "web", "-m", "1G")  # from its next start on
    pid = vm.rows()["web"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        row = vm.ok("list", "--json", timeout=3).json[0]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (row["state"], row["why"], row["memory_bytes"], row["pid"]) == ("paused", "on request", 64 << 20, pid)
    vm.ok("kill", "web")
    assert (vm.root / "run/hornero/vms/web/status").read_text().split()[1] == "ended"
    assert vm.rows()["web"]["memory_bytes"] == 1 << 30


@pytest.mark.parametrize("text", [
    "", "1\n", "1 running\n\n2\n", "1 dancing 0 1 1 nat x\n\n1\n", "1 running " + "9" * 900, "\0" * 1024, "\n" * 1024,
])
def test_a_status_file_may_hold_anything(vm, text):
    vm.ok("run", "web", "--image", "demo", "--detach", "-m", "64M")
    (vm.root / "run/hornero/vms/web/status").write_text(text)
    row = vm.rows()["web"]
    assert row["state"] == "running" and row["memory_bytes"] == 64 << 20 and row["pid"]


def test_a_status_file_leads_nowhere_else(vm):
    vm.ok("run", "web", "--image", "demo", "--detach", "-m", "64M")
    (vm.root / "etc/secret.leases").write_text("1 aa 10.0.0.1 x\n")
    (vm.root / "run/hornero/net").mkdir()
    (vm.root / "run/hornero/vms/web/status").write_text("5 running 1 2 3 ../../../etc/secret aa\nso\n5\n")
    row = vm.rows()["web"]
    assert row["address"] is None and row["why"] == "so" and row["memory_bytes"] == 2


def test_an_address_comes_from_the_leases(vm):
    vm.ok("run", "web", "--image", "demo", "--detach")
    mac = vm.ok("show", "web", "--json").json["effective_mac"]
    leases = vm.root / "run/hornero/net/nat.leases"
    leases.parent.mkdir()
    leases.write_text(f"1 02:aa:aa:aa:aa:aa 10.86.0.9 other *\n1 {mac} 10.86.0.2 web *\n2 {mac.upper()} 10.86.0.3 web *\n")
    assert vm.rows()["web"]["address"] == "10.86.0.3" and "10.86.0.3" in vm.ok("list").out


def test_the_last_words_are_shown(vm):
    vm.ok("run", "web", "--image", "demo", "--detach")
    log = vm.root / "run/hornero/vms/web/log"
    with open(log, "a") as file:
        file.write("2026-01-01T00:00:00Z web: not even a line end")
    assert vm.ok("logs", "web").out.endswith("not even a line end\n")
    both = vm.run("logs", "-f", "--json", "web")
    assert both.code == 2 and "--follow has no end, so it has no JSON" in both.json["error"]
    vm.ok("kill", "web")
    for words in (["logs", "web"], ["logs", "-f", "web"]):
        assert "not even a line end" in vm.ok(*words).out


def test_what_runs_keeps_what_it_was_started_with(vm):
    """Its disk is not free for others because its definition has changed since."""
    vm.ok("create", "web", "--image", "demo", "-d", "10M")
    vm.ok("start", "web")
    disk = vm.ok("show", "web", "--json").json["definition"]["disk"][0]
    vm.conf("web").write_text("version = 1\nimage = demo\n")
    vm.ok("create", "two", "--image", "demo")
    vm.conf("two").write_text(f"version = 1\nimage = demo\ndisk = {disk}\n")
    refused = vm.run("start", "two")
    assert refused.code == 1 and f"disk {disk} belongs to VM 'web' too" in refused.err
    vm.ok("kill", "web")
    vm.ok("start", "two")


def test_a_disk_boots_with_the_words_of_the_owner_and_enough_memory(vm):
    disk = vm.root / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    vm.ok("run", "web", "--disk", disk, "--cmdline", "single  fsck=\"a b\"", "--detach")
    pid = vm.rows()["web"]["pid"]
    words = open(f"/proc/{pid}/cmdline").read().split("\0")
    assert words[words.index("--cmdline") + 1] == 'console=hvc0 quiet hornero.boot=disk single  fsck="a b"'
    vm.ok("kill", "web")
    vm.ok("set", "web", "-m", "32M")
    refused = vm.run("start", "web")
    assert refused.code == 1 and "needs 64M of memory, and this VM has 32M" in refused.err


def test_an_uplink_whose_guard_was_killed_goes_back(vm):
    pending = vm.root / "run/hornero/net/pending"
    pending.parent.mkdir(parents=True)
    guard = subprocess.Popen(["sleep", "100"])
    started = open(f"/proc/{guard.pid}/stat").read().rsplit(")", 1)[1].split()[19]
    pending.write_text(f"lan eth0 {guard.pid} {started}\n")
    assert "lan" not in vm.ok("net").err and pending.exists()
    guard.kill()
    guard.wait()
    said = vm.ok("net")
    assert "'lan' was killed: eth0 has its address back" in said.err and not pending.exists()


def test_a_slow_start_shows_that_it_goes_on(vm):
    vm.ok("create", "web", "--image", "demo", "--cmdline", "fake=slow")
    main, side = pty.openpty()
    with subprocess.Popen([VM, "start", "web"], env=vm.env, stdin=side, stdout=side, stderr=side) as start:
        seen = b""
        while b"waiting for 'web' to start: 2 of 30 s" not in seen:
            seen += os.read(main, 4096)
        (vm.root / "run/hornero/vms/web/control.go").touch()
        assert start.wait(20) == 0
    assert vm.state("web") == "running"

# SPDX-License-Identifier: MIT
"""Definitions and disks changed, copied, moved; what a VM said and used."""

import fcntl
import hashlib
import os
import pty
import select
import struct
import subprocess
import tarfile
import termios

import pytest

from bench.medium import TOP
from vm.conftest import VM


def test_set_keeps_comments_and_is_checked(vm):
    vm.ok("create", "web", "--image", "demo")
    conf = vm.conf("web")
    conf.write_text("# why it is so\n" + conf.read_text() + "# the end\n")
    vm.ok("set", "web", "-m", "1G", "--cpu-weight", "200", "cmdline=a b")
    text = conf.read_text()
    assert text.startswith("# why it is so\n") and "# the end\n" in text
    assert "memory = 1G\n" in text and "cpu_weight = 200\n" in text and "cmdline = a b\n" in text
    before = conf.read_bytes()
    for words, said in ((["-m", "1"], "no unit"), (["kernel=/bin/sh"], "both set"),
                        (["memroy=1G"], "did you mean 'memory'"), ([], "nothing to change"),
                        (["memory"], "key=value"), (["-d", "1G"], "vm disk web add 1G")):
        refused = vm.run("set", "web", *words)
        assert refused.code == 2 and said in refused.err, (words, refused.err)
    assert conf.read_bytes() == before
    vm.ok("set", "web", "memory=", "cpu-weight=")
    assert "memory" not in conf.read_text() and "weight" not in conf.read_text()


def test_set_of_a_running_vm_says_when(vm):
    vm.ok("run", "demo", "--detach")
    assert "next start" in vm.ok("set", "demo", "-m", "1G").out


def test_publish_is_replaced(vm):
    vm.ok("create", "web", "--image", "demo", "--publish", "80:80", "--publish", "81:81/udp")
    vm.ok("set", "web", "--publish", "82:82")
    assert vm.ok("show", "web", "--json").json["definition"]["publish"] == ["82:82"]


@pytest.mark.parametrize("answer,memory", [("n\n", 512 << 20), ("y\n", 512 << 20)])
def test_edit_refuses_what_is_wrong(vm, answer, memory):
    vm.ok("create", "web", "--image", "demo")
    vm.env["EDITOR"] = "sed -i s/512M/512/"
    result = vm.run("edit", "web", stdin=answer)  # no terminal: it does not ask
    assert result.code == 1 and "web.conf:3: memory: '512' has no unit" in result.err
    assert vm.rows()["web"]["memory_bytes"] == memory
    left = vm.conf("web").with_name("web.conf.edit")
    assert f"what was written is in {left}" in result.err and "memory = 512\n" in left.read_text()
    vm.env["EDITOR"] = "sed -i 's/512$/256M/'"
    assert "going on with" in vm.ok("edit", "web").err
    assert vm.rows()["web"]["memory_bytes"] == 256 << 20
    assert list(vm.conf("web").parent.iterdir()) == [vm.conf("web")]


def test_edit_checks_what_set_checks(vm):
    vm.ok("create", "web", "--image", "demo", "-d", "10M")
    vm.ok("create", "two", "--image", "demo")
    disk = vm.root / "var/lib/hornero/vms/web/disk0.raw"
    vm.env["EDITOR"] = f"sed -i '$a disk = {disk}'"
    assert f"disk {disk} belongs to VM 'web' too" in vm.run("edit", "two").err
    vm.conf("two").with_name("two.conf.edit").unlink()
    vm.env["EDITOR"] = "sed -i 's/net = nat/net = nosuch/'"
    assert "there is no network 'nosuch'" in vm.run("edit", "two").err


def test_edit_does_not_undo_another_change(vm):
    vm.ok("create", "web", "--image", "demo")
    vm.env["EDITOR"] = f"{VM} set web -m 1G; sed -i s/512M/256M/"
    refused = vm.run("edit", "web")
    assert refused.code == 1 and "'web' has changed or gone while it was edited" in refused.err
    assert vm.rows()["web"]["memory_bytes"] == 1 << 30


def test_edit_mends_a_broken_definition(vm):
    vm.ok("create", "web", "--image", "demo")
    vm.conf("web").write_text("version = 1\nimage = demo\ncpu = 2\n")
    vm.env["EDITOR"] = "sed -i s/cpu/cpus/"
    vm.ok("edit", "web")
    assert vm.rows()["web"]["cpus"] == 2


def test_rename_keeps_disks_and_mac(vm):
    vm.ok("create", "web", "--image", "demo", "-d", "10M")
    before = vm.ok("show", "web", "--json").json
    vm.ok("rename", "web", "shop")
    after = vm.ok("show", "shop", "--json").json
    assert after["effective_mac"] == before["effective_mac"]
    assert after["definition"]["disk"] == [str(vm.root / "var/lib/hornero/vms/shop/disk0.raw")]
    assert os.path.exists(after["definition"]["disk"][0]) and list(vm.rows()) == ["shop"]
    vm.ok("start", "shop")
    assert vm.run("rename", "shop", "web").code == 4


def test_clone_copies_disks_with_their_holes(vm):
    vm.ok("create", "web", "--image", "demo", "-d", "64M", "--publish", "80:80")
    disk = vm.root / "var/lib/hornero/vms/web/disk0.raw"
    with open(disk, "r+b") as file:
        file.seek(5 << 20)
        file.write(b"data")
        file.seek((64 << 20) - 3)
        file.write(b"end")
    vm.ok("clone", "web", "two")
    copy = vm.root / "var/lib/hornero/vms/two/disk0.raw"
    assert copy.read_bytes() == disk.read_bytes() and copy.stat().st_blocks < 4096
    two, web = (vm.ok("show", name, "--json").json for name in ("two", "web"))
    assert two["effective_mac"] != web["effective_mac"] and not two["definition"]["publish"]
    vm.ok("run", "web", "--detach")
    vm.ok("start", "two")  # they share nothing


def test_clone_refuses_a_disk_of_the_owner(vm):
    (vm.root / "mine.raw").write_bytes(bytes(1 << 20))
    vm.ok("create", "web", "--image", "demo", "-d", "mine.raw", "-d", "10M")
    refused = vm.run("clone", "web", "two")
    assert refused.code == 1 and "mine.raw is not one that vm made" in refused.err
    assert list(vm.rows()) == ["web"] and not (vm.root / "var/lib/hornero/vms/two").exists()


def test_export_and_import(vm):
    vm.ok("create", "web", "--image", "demo", "-d", "10M", "-m", "1G")
    disk = vm.root / "var/lib/hornero/vms/web/disk0.raw"
    disk.write_bytes(os.urandom(4096) + bytes((10 << 20) - 4096))
    vm.ok("export", "web", "web.tar.gz")
    assert vm.run("export", "web", "web.tar.gz").code == 1  # never overwrites
    vm.ok("import", "web.tar.gz", "other")
    other = vm.ok("show", "other", "--json").json
    assert other["memory_bytes"] == 1 << 30
    copy = vm.root / "var/lib/hornero/vms/other/disk0.raw"
    assert other["definition"]["disk"] == [str(copy)] and copy.read_bytes() == disk.read_bytes()
    assert vm.run("import", "web.tar.gz", "web").code == 4


@pytest.mark.parametrize("members", [
    [("../evil", b"x")], [("/etc/evil", b"x")], [("vm.conf", b"version = 1\n")],
    [("vm.conf", b"version = 1\nimage = demo\n"), ("disk0.raw", None)],
    [("vm.conf", b"version = 1\nimage = demo\n"), ("vm.conf", b"version = 1\nimage = demo\n")],
    [("sub/vm.conf", b"version = 1\nimage = demo\n")],
])
def test_import_trusts_no_archive(vm, members):
    archive = vm.root / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
                continue
            (vm.root / "member").write_bytes(data)
            info.size = len(data)
            with open(vm.root / "member", "rb") as file:
                tar.addfile(info, file)
    refused = vm.run("import", archive, "evil")
    assert refused.code == 1, refused.out
    assert vm.rows() == {} and not (vm.root / "var/lib/hornero/vms/evil").exists()


def test_disks(vm):
    vm.ok("create", "web", "--image", "demo")
    vm.ok("disk", "web", "add", "10M")
    vm.ok("disk", "web", "resize", "0", "20M")
    rows = vm.ok("disk", "web", "--json").json
    assert [row["bytes"] for row in rows] == [20 << 20] and rows[0]["used_bytes"] == 0
    assert set(rows[0]) == {"number", "path", "read_only", "bytes", "used_bytes"}
    shrink = vm.run("disk", "web", "resize", "0", "1M")
    assert shrink.code == 2 and "disks only grow" in shrink.err
    vm.ok("disk", "web", "remove", "0")
    assert vm.ok("disk", "web", "--json").json == [] and os.path.exists(rows[0]["path"])
    assert vm.run("disk", "web", "remove", "0").code == 3
    vm.ok("disk", "web", "add", "10M")  # beside the one that was kept
    assert vm.ok("disk", "web", "--json").json[0]["path"] != rows[0]["path"]


def test_images(vm):
    raw = vm.root / "small.raw"
    raw.write_bytes(bytes(1 << 20) + b"x" * 512)
    right = hashlib.sha256(raw.read_bytes()).hexdigest()
    wrong = vm.run("image", "import", raw, "--sha256", "0" * 64)
    assert wrong.code == 1 and right in wrong.err
    vm.ok("image", "import", raw, "--sha256", right)
    rows = {row["name"]: row for row in vm.ok("image", "--json").json}
    assert set(rows) == {"demo", "small"} and rows["demo"]["has_kernel"]
    assert set(rows["demo"]) == {"name", "description", "has_kernel", "has_disk"}
    assert vm.run("image", "import", raw).code == 4
    (vm.root / "letter.txt").write_text("no disk at all\n" * 100)
    letter = vm.run("image", "import", "letter.txt")
    assert letter.code == 1 and "letter.txt: its 1500 bytes are no whole number of sectors" in letter.err
    assert not (vm.root / "var/lib/hornero/images/letter.raw").exists()
    vm.ok("create", "web", "--image", "small", "-d", "10M")
    first, second = vm.ok("disk", "web", "--json").json
    with open(first["path"], "rb") as copy:
        assert copy.read() == raw.read_bytes() and second["bytes"] == 10 << 20
    vm.ok("start", "web")  # the demo guest's initramfs looks for the disk's boot entry
    arguments = (vm.root / f"/proc/{vm.rows()['web']['pid']}/cmdline").read_text()
    assert "hornero.boot=disk" in arguments
    assert vm.run("image", "delete", "demo", "--yes").code == 1
    vm.ok("image", "delete", "small", "--yes")


def seed_files(vm, name, tmp_path):
    seed = vm.root / f"run/hornero/vms/{name}/seed.iso"
    subprocess.run(["xorriso", "-osirrox", "on", "-indev", seed, "-extract", "/", tmp_path / name],
                   check=True, capture_output=True, timeout=60)
    return {path.name.lower(): path.read_text() for path in (tmp_path / name).iterdir()}


def test_a_disk_guest_gets_a_seed_for_cloud_init(vm, tmp_path):
    (vm.root / "root/.ssh").mkdir(parents=True)
    (vm.root / "root/.ssh/authorized_keys").write_text("# mine\nssh-ed25519 AAAA \"me\"\n")
    (vm.root / "user.yaml").write_text("#cloud-config\npackages: [nginx]\n")
    (vm.root / "disk.raw").write_bytes(bytes(1 << 20))
    vm.ok("run", "web", "--disk", "disk.raw", "--detach")
    arguments = (vm.root / f"/proc/{vm.rows()['web']['pid']}/cmdline").read_text()
    assert f"--disk\0path={vm.root}/run/hornero/vms/web/seed.iso,ro\0" in arguments
    files = seed_files(vm, "web", tmp_path)
    assert files["user-data"] == "#cloud-config\n"
    assert 'local-hostname: "web"\n' in files["meta-data"]
    assert '  - "ssh-ed25519 AAAA \\"me\\""\n' in files["meta-data"] and "mine" not in files["meta-data"]
    label = subprocess.run(["blkid", "-p", "-o", "value", "-s", "LABEL", "-s", "TYPE", vm.root /
                            "run/hornero/vms/web/seed.iso"], capture_output=True, text=True, timeout=60)
    assert label.stdout.split() == ["cidata", "iso9660"]
    vm.ok("kill", "web")
    vm.ok("set", "web", "--cloud-init", "user.yaml")
    vm.ok("start", "web")
    assert seed_files(vm, "web", tmp_path / "again")["user-data"] == "#cloud-config\npackages: [nginx]\n"
    vm.ok("kill", "web")
    vm.ok("set", "web", "--cloud-init", "none")
    vm.ok("start", "web")
    assert "seed.iso" not in (vm.root / f"/proc/{vm.rows()['web']['pid']}/cmdline").read_text()


def test_images_that_name_other_files_are_refused(vm):
    backing = bytearray(65536)
    backing[:4], backing[7], backing[15], backing[28] = b"QFI\xfb", 3, 80, 1
    (vm.root / "evil.qcow2").write_bytes(backing)
    refused = vm.run("image", "import", "evil.qcow2")
    assert refused.code == 1 and "backing file" in refused.err
    assert not (vm.root / "var/lib/hornero/images/evil.raw").exists()


def test_autostart_in_order(vm):
    for name, order in (("late", 20), ("early", 5), ("never", 0)):
        vm.ok("create", name, "--image", "demo", "-m", "64M")
        if order:
            vm.ok("autostart", name, order)
    vm.ok("create", "broken", "--image", "demo", "--cmdline", "fake=refuse", "--autostart", "1")
    assert [row["name"] for row in vm.ok("autostart", "--json").json] == ["broken", "early", "late"]
    started = vm.run("autostart", "--start")
    assert started.code == 1 and started.out.index("early") < started.out.index("late")
    assert {n: r["state"] for n, r in vm.rows().items()} == {
        "broken": "stopped", "early": "running", "late": "running", "never": "stopped"}
    vm.ok("stop", "--all")
    vm.ok("autostart", "early", "no")
    assert [row["name"] for row in vm.ok("autostart", "--json").json] == ["broken", "late"]


def test_pause_resume_reset(vm):
    vm.ok("run", "demo", "--detach")
    vm.ok("pause", "demo")
    assert vm.state("demo") == "paused" and vm.rows()["demo"]["why"] == "on request"
    again = vm.run("pause", "demo")
    assert again.code == 4 and "is paused, not running" in again.err
    vm.ok("resume", "demo")
    vm.ok("reset", "demo")
    assert vm.state("demo") == "running"
    pid = vm.rows()["demo"]["pid"]
    vm.ok("restart", "demo")
    assert vm.rows()["demo"]["pid"] != pid


def test_logs_and_wait(vm):
    vm.ok("run", "demo", "--detach")
    with subprocess.Popen([VM, "logs", "-f", "demo"], env=vm.env, text=True,
                          stdout=subprocess.PIPE) as follower, \
            subprocess.Popen([VM, "wait", "demo"], env=vm.env, text=True,
                             stdout=subprocess.PIPE) as waiter:
        assert "starting" in follower.stdout.readline()
        vm.ok("stop", "demo")
        assert follower.communicate(timeout=10)[0].splitlines()[-1].endswith(
            "ended: power-off by guest")
        assert waiter.communicate(timeout=10)[0] == "'demo' has ended: power-off by guest\n"
    rows = vm.ok("logs", "demo", "--json").json
    assert all(set(row) == {"time", "text"} for row in rows)
    assert rows[-1]["text"] == "ended: power-off by guest"
    assert vm.ok("logs", "demo", "--since", "1h").out == vm.ok("logs", "demo").out
    assert vm.ok("logs", "demo", "--since", "2100-01-01").out == ""
    assert vm.run("logs", "demo", "--since", "yesterday").code == 2


def test_wait_tells_a_kill_and_gives_up_in_time(vm):
    vm.ok("run", "demo", "--detach")
    assert vm.run("wait", "demo", "--timeout", "1").code == 5
    vm.ok("kill", "demo")
    assert vm.run("wait", "demo").code == 7


def test_top(vm):
    assert "No VM runs" in vm.ok("top", "--once").out
    vm.ok("run", "demo", "--detach")
    row, = vm.ok("top", "--once", "--json").json
    assert set(row) == {"name", "state", "cpu_percent", "exits_per_s", "exits_per_s_by_reason",
                        "memory_bytes", "disk_read_bytes_per_s", "disk_written_bytes_per_s",
                        "net_received_bytes_per_s", "net_sent_bytes_per_s"}
    assert 40 < row["cpu_percent"] < 60  # as the fake's counter runs
    assert vm.run("top", "--once", "--sort", "colour").code == 2
    vm.ok("run", "other", "--image", "demo", "-m", "1G", "--detach")
    for order, first in (("memory", "other"), ("name", "demo")):
        assert [row["name"] for row in vm.ok("top", "--once", "--sort", order, "--json").json][0] == first


def test_top_is_live_on_a_terminal(vm):
    for name in ("of-15-letters-a", "b", "c", "d"):
        vm.ok("run", name, "--image", "demo", "--detach")
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 7, 80, 0, 0))
    with subprocess.Popen([VM, "top"], env=vm.env, stdin=side, stdout=side, stderr=side) as top:
        os.close(side)
        seen = b""

        def see():
            assert select.select([main], [], [], 30)[0], seen
            return os.read(main, 4096)

        while seen.count(b"\x1b[H\x1b[J") < 2:  # drawn anew
            seen += see()
        assert b"EXITS/S" in seen and b"by cpu; order: c(pu) e(xits)" in seen
        screen = seen.split(b"\x1b[H\x1b[J")[1].decode().split("\r\n")
        assert len(screen) == 7 and max(map(len, screen)) <= 80 and "... and 1 more" in screen, screen
        for key, by in (b"m", b"by memory;"), (b"n", b"by net;"), (b"a", b"by name;"):
            os.write(main, key)
            while by not in seen:
                seen += see()
        os.write(main, b"q")
        assert top.wait(10) == 0


def test_long_work_shows_progress(vm):
    """An export by a tar that takes its time, on a terminal: it says that it is at it."""
    vm.ok("create", "web", "--image", "demo", "-d", "1M")
    (vm.root / "tar").write_text("#!/bin/sh\nsleep 1.2\nexec /usr/bin/tar \"$@\"\n")
    (vm.root / "tar").chmod(0o755)
    vm.env["PATH"] = f"{vm.root}:{os.environ['PATH']}"
    main, side = pty.openpty()
    with subprocess.Popen([VM, "export", "web", vm.root / "web.tar.gz"], env=vm.env, stdin=side, stdout=side,
                          stderr=side) as export:
        os.close(side)
        seen = b""
        try:
            while chunk := os.read(main, 4096):
                seen += chunk
        except OSError:
            pass  # the terminal is gone with its last user
        assert export.wait(60) == 0 and b"tar: 1 s" in seen, seen


def test_completion(vm):
    vm.ok("create", "web", "--image", "demo")
    script = TOP / "control-domain/vm/completion.bash"

    def complete(*words):
        line = " ".join(f"'{word}'" for word in words)
        run = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _vm; " \
              "printf '%s\\n' \"${COMPREPLY[@]}\""
        return subprocess.run(["bash", "-c", run], env={**vm.env, "PATH":
                              f"{VM.parent}:{os.environ['PATH']}"}, capture_output=True, text=True,
                              timeout=30, check=True).stdout.split()
    assert complete("vm", "st") == ["start", "stop"]
    assert complete("vm", "start", "w") == ["web"]
    assert complete("vm", "run", "d") == ["demo"] and complete("vm", "run", "w") == ["web"]
    assert complete("vm", "create", "--mem") == ["--memory"]
    assert complete("vm", "run", "x", "--image", "") == ["demo"]
    vm.ok("net", "create", "lan")
    assert complete("vm", "run", "x", "-n", "") == ["none", "nat", "lan"]
    assert complete("vm", "disk", "web", "re") == ["remove", "resize"]
    assert complete("vm", "autostart", "web", "n") == ["no"]
    assert complete("vm", "top", "--sort", "m") == ["memory"]


def test_a_log_is_followed_into_its_next_file(vm):
    """The device model's keeper moves it away when it has grown (host/test_devmodel_log.c)."""
    vm.ok("run", "web", "--image", "demo", "--detach")
    log = vm.root / "run/hornero/vms/web/log"
    with subprocess.Popen([VM, "logs", "web", "-f"], env=vm.env, stdout=subprocess.PIPE, text=True) as follower:
        while "running" not in follower.stdout.readline():
            pass
        log.rename(f"{log}.1")
        log.write_text("2026-01-31T12:00:00Z web: said in the next file\n")
        assert follower.stdout.readline().endswith("said in the next file\n")
        vm.ok("kill", "web")
        follower.communicate(timeout=30)


def test_a_network_is_known_when_it_is_written_down(vm):
    for name, said in (("nosuch", "there is no network 'nosuch'; 'vm net' lists them, 'vm net create nosuch' makes"),
                       ("lo", "lo is a network card, not a network; 'vm net create NAME --uplink lo'"),
                       ("nat0", "nat0 is the bridge of the network 'nat'; write 'nat'")):
        refused = vm.run("create", "web", "--image", "demo", "-n", name)
        assert refused.code == 1 and said in refused.err and not vm.rows()
    vm.ok("create", "web", "--image", "demo")
    assert "there is no network 'nosuch'" in vm.run("set", "web", "-n", "nosuch").err
    assert vm.ok("show", "web", "--json").json["definition"]["net"] == "nat"
    vm.conf("web").write_text(vm.conf("web").read_text().replace("net = nat", "net = gone"))
    vm.ok("set", "web", "-m", "1G")  # what was there before is not this command's business


def test_what_must_not_belong_to_two(vm):
    vm.ok("create", "a", "--image", "demo", "-d", "10M", "--publish", "8080:80", "--mac", "02:00:00:00:00:aa")
    vm.ok("create", "b", "--image", "demo", "-n", "none")
    disk = vm.root / "var/lib/hornero/vms/a/disk0.raw"
    os.link(disk, vm.root / "hard")
    os.symlink(disk, vm.root / "soft")
    for words, said in ((("--publish", "8080:81", "-n", "nat"), "port 8080 is published by VM 'a' already"),
                        (("--mac", "02:00:00:00:00:AA", "-n", "nat"), "is the address of VM 'a' on network 'nat' too"),
                        (("--disk", vm.root / "hard"), "belongs to VM 'a' too"),
                        (("--disk", vm.root / "soft"), "belongs to VM 'a' too")):
        for command in (("set", "b"), ("create", "c", "--image", "demo")):
            refused = vm.run(*command, *words)
            assert refused.code == 1 and said in refused.err, (command, words, refused.err)
    vm.ok("set", "b", "--publish", "8080:81/udp", "-n", "nat")
    vm.ok("set", "b", "--mac", "02:00:00:00:00:AA", "-n", "none", "publish=")  # no card, no address


def test_networks(vm):
    assert [row["name"] for row in vm.ok("net", "--json").json][0] == "nat"
    row = next(row for row in vm.ok("net", "create", "lan", "--json").json if row["name"] == "lan")
    assert row == {"name": "lan", "bridge": "lan", "subnet": None, "uplink": None, "up": False,
                   "vms": []}
    assert vm.run("net", "create", "lan").code == 4
    for name, said in (("nat", "means something else"), ("a/b", "cannot be a name"),
                       ("abcdefghijklmnop", "at most 15")):
        refused = vm.run("net", "create", name)
        assert refused.code == 2 and said in refused.err
    vm.ok("create", "web", "--image", "demo", "-n", "lan")
    refused = vm.run("net", "delete", "lan")
    assert refused.code == 4 and "vm set web --net nat" in refused.err
    vm.ok("set", "web", "-n", "nat")
    vm.ok("net", "delete", "lan")
    assert vm.run("net", "delete", "lan").code == 3

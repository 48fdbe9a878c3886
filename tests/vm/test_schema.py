# SPDX-License-Identifier: MIT
"""The shape of --json answers, written out: scripts depend on it. Keys may be added here with a
change of the command; a key that is taken away or changes its type breaks somebody's script."""

import re
import subprocess

from bench.medium import TOP
from vm.conftest import VM

ROW = {"name": str, "state": str, "memory_bytes": int, "cpus": int, "uptime_s": (int, type(None)),
       "address": (str, type(None)), "pid": (int, type(None)), "why": (str, type(None))}
SHOW = {**ROW, "effective_mac": str, "file": str, "log": str, "definition": dict}
TEXT = (str, type(None))
DEFINITION = {"memory": str, "cpus": str, "image": TEXT, "kernel": TEXT, "initrd": TEXT,
              "cmdline": TEXT, "disk": list, "net": str, "mac": TEXT, "publish": list,
              "boot": TEXT, "cloud_init": TEXT, "autostart": TEXT, "cpu_weight": TEXT, "cpu_max": TEXT, "cpus_pin": TEXT}
ERROR = {"error": str, "exit_code": int}


def overview_commands(vm):
    lines = re.findall(r"^  ([a-z, ]*[a-z])  +[^ ]", vm.ok("--help").out, re.M)
    return [name for line in lines for name in line.split(", ")]


def check(value, schema):
    assert set(value) == set(schema)
    for key, kind in schema.items():
        assert isinstance(value[key], kind), (key, value[key])


def test_answers_have_their_shape(vm):
    check(vm.ok("create", "web", "--image", "demo", "-d", "10M", "--publish", "2222:22",
                "--json").json, ROW)
    check(vm.ok("start", "web", "--json").json, ROW)
    for row in vm.ok("list", "--json").json:
        check(row, ROW)
    shown = vm.ok("show", "web", "--json").json
    check(shown, SHOW)
    check(shown["definition"], DEFINITION)
    assert vm.ok("list", "-q", "--json").json == ["web"]
    check(vm.ok("stop", "web", "--json").json, ROW)
    check(vm.ok("run", "web", "--json").json, ROW)
    check(vm.ok("kill", "web", "--json").json, ROW)
    assert vm.ok("delete", "web", "--yes", "--json").json == {"deleted": "web"}
    check(vm.run("start", "web", "--json").json, ERROR)


IMAGE = {"name": str, "description": str, "has_kernel": bool, "has_disk": bool}
NETWORK = {"name": str, "bridge": str, "subnet": TEXT, "uplink": TEXT, "up": bool, "vms": list}
DISK = {"number": int, "path": str, "read_only": bool, "bytes": int, "used_bytes": int}
LINE = {"time": str, "text": str}
AUTOSTART = {"name": str, "autostart": int}
RATES = {"name": str, "state": str, "cpu_percent": float, "exits_per_s": int, "exits_per_s_by_reason": dict,
         "memory_bytes": int, "disk_read_bytes_per_s": int, "disk_written_bytes_per_s": int,
         "net_received_bytes_per_s": int, "net_sent_bytes_per_s": int}
# In this order, as a session: the words, then the shape of the answer (in a list: of each element).
EVERY_COMMAND = [
    ("create web --image demo -d 10M --autostart 5", ROW), ("start web", ROW), ("pause web", ROW),
    ("resume web", ROW), ("reset web", ROW), ("list", [ROW]), ("show web", SHOW), ("top", [RATES]),
    ("logs web", [LINE]), ("restart web", ROW), ("stop web", ROW), ("wait web", ROW), ("run web", ROW),
    ("kill web", ROW), ("set web -m 1G", ROW), ("edit web", ROW), ("rename web shop", ROW),
    ("clone shop copy", ROW), ("export shop shop.tar.gz", ROW), ("import shop.tar.gz third", ROW),
    ("disk shop", [DISK]), ("disk shop add 10M", ROW), ("disk shop resize 1 20M", ROW),
    ("disk shop remove 1", ROW), ("image", [IMAGE]), ("image import disk.raw", [IMAGE]),
    ("image delete disk --yes", [IMAGE]), ("net", [NETWORK]), ("net create lan", [NETWORK]),
    ("net delete lan", [NETWORK]), ("autostart", [AUTOSTART]), ("autostart shop 7", ROW),
    ("autostart --start", None), ("kill shop", ROW), ("delete shop --yes", {"deleted": str}),
    ("console copy", ERROR), ("ssh copy", ERROR), ("net confirm", ERROR),
]


def test_every_command_answers_in_json(vm):
    (vm.root / "disk.raw").write_bytes(bytes(1 << 20))
    vm.env["EDITOR"] = "true"
    for line, shape in EVERY_COMMAND:
        words = line.split()
        answer = vm.run(words[0], "--json", *words[1:])
        assert (answer.code != 0) == (shape is ERROR), (line, answer.out, answer.err)
        if isinstance(shape, list):
            assert answer.json, line
            for element in answer.json:
                check(element, shape[0])
        elif shape:
            check(answer.json, shape)
    commands = set(overview_commands(vm))
    assert {line.split()[0] for line, _ in EVERY_COMMAND} == commands


def test_completion_knows_every_command(vm):
    script = f'. {TOP}/control-domain/vm/completion.bash; vm() {{ {VM} "$@"; }}; COMP_WORDS=(vm ""); COMP_CWORD=1; _vm; ' \
             'echo "${COMPREPLY[@]}"'
    said = subprocess.run(["bash", "-c", script], env=vm.env, capture_output=True, text=True, check=True).stdout
    assert sorted(said.split()) == sorted([*overview_commands(vm), "--help"])


def test_the_manual_and_the_overview_know_every_command(vm):
    """And every option of `create` with its default is in its help; the exit codes are in both."""
    page = (TOP / "control-domain/vm/vm.8").read_text()
    overview = vm.ok("--help").out
    for command in overview_commands(vm):
        assert re.search(rf"^\.It.* (Cm )?{command}\b|^\.It Cm.*\b{command}\b", page, re.M), command
    for key in DEFINITION:
        assert re.search(rf"\b{key}\b", page), key
    for code in range(8):
        assert f".It {code}\n" in page and str(code) in overview


def test_help_fits_a_screen_and_shows_defaults(vm):
    overview = vm.ok("--help").out
    table = (TOP / "control-domain/vm/main.c").read_text().split("cli_commands[]")[1].split("cli_aliases")[0]
    commands = re.findall(r'^\t\{"([a-z]+)"', table, re.M)
    assert len(commands) >= 25 and sorted(commands) == sorted(overview_commands(vm))
    assert len(overview.splitlines()) < 24 and max(map(len, overview.splitlines())) <= 80
    for command in commands:
        text = vm.ok(command, "--help").out
        assert len(text.splitlines()) < 24 and "--json" in text, command
        assert max(map(len, text.splitlines())) <= 80, command
        assert vm.ok("help", command).out == text
    create = vm.ok("create", "--help").out
    for default in ("512M", "default 1)", "default nat", "default none"):
        assert default in create


def test_aliases(vm):
    for alias, command in (("ls", "list"), ("rm", "delete"), ("info", "show"),
                           ("shutdown", "stop"), ("reboot", "restart")):
        assert vm.ok(alias, "--help").out == vm.ok(command, "--help").out

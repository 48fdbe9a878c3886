# SPDX-License-Identifier: MIT
"""The shape of --json answers, written out: scripts depend on it. Keys may be added here with a
change of the command; a key that is taken away or changes its type breaks somebody's script."""

import re

ROW = {"name": str, "state": str, "memory_bytes": int, "cpus": int, "uptime_s": (int, type(None)),
       "address": (str, type(None)), "pid": (int, type(None)), "why": (str, type(None))}
SHOW = {**ROW, "effective_mac": str, "file": str, "log": str, "definition": dict}
TEXT = (str, type(None))
DEFINITION = {"memory": str, "cpus": str, "image": TEXT, "kernel": TEXT, "initrd": TEXT,
              "cmdline": TEXT, "disk": list, "net": str, "mac": TEXT, "publish": list,
              "autostart": TEXT, "cpu_weight": TEXT, "cpu_max": TEXT, "cpus_pin": TEXT}
ERROR = {"error": str, "exit_code": int}


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


def test_help_fits_a_screen_and_shows_defaults(vm):
    overview = vm.ok("--help").out
    assert len(overview.splitlines()) <= 40
    commands = re.findall(r"^  ([a-z]+) ", overview, re.M)
    assert len(commands) >= 25
    for command in commands:
        text = vm.ok(command, "--help").out
        assert len(text.splitlines()) <= 30 and "--json" in text
        assert max(map(len, text.splitlines())) <= 100, command
        assert vm.ok("help", command).out == text
    create = vm.ok("create", "--help").out
    for default in ("512M", "default 1)", "default nat", "default none"):
        assert default in create


def test_aliases(vm):
    for alias, command in (("ls", "list"), ("rm", "delete"), ("info", "show"),
                           ("shutdown", "stop"), ("reboot", "restart")):
        assert vm.ok(alias, "--help").out == vm.ok(command, "--help").out

# SPDX-License-Identifier: MIT
"""The table of VM exits, tests/exits.txt: it is complete, says what the code does, and its proofs are there.
That the exits do occur is seen in tests/guests/test_guests.py."""

import re

import pytest

from bench.medium import TOP
from exits import table

VMX = TOP / "arch/x86/vmx"
# The SDM's numbers up to those that have a counter; these are not given to anything.
UNUSED = {35, 38, 42, 71}
DEFAULT = {"EPT_MISCONFIGURATION"}  # as any other that nobody expects


def named_in_code():
    return {name: int(number) for number, name in
            re.findall(r"X\((\d+), (\w+)\)", (VMX / "vmx_bits.h").read_text())}


def handled_in_code():
    text = "".join(path.read_text() for path in [*VMX.glob("guest_*.c"), VMX / "vcpu.c"])
    code = named_in_code()
    names = set(re.findall(r"\bVMX_EXIT_([A-Z_]+)", text))
    for first, last in re.findall(r"\bVMX_EXIT_([A-Z_]+) \.\.\. VMX_EXIT_([A-Z_]+)", text):
        names |= {name for name, number in code.items() if code[first] <= number <= code[last]}
    return names


def test_no_reason_is_missing():
    counters = re.search(r"#define HV_EXIT_REASONS (\d+)", (TOP / "vmm/abi/info.h").read_text())
    numbers = [row.number for row in table()]
    assert numbers == [n for n in range(int(counters[1])) if n not in UNUSED]


def test_names_are_the_codes():
    rows = {row.name: row.number for row in table()}
    code = named_in_code()
    assert {name: rows.get(name) for name in code} == code
    handled = {row.name for row in table() if row.handling != "none"}
    assert handled - set(code) <= DEFAULT


def test_what_is_handled_is_what_the_code_names():
    failed_entry = {"INVALID_GUEST_STATE", "MSR_LOADING"}  # told by bit 31 of the reason
    rows = {row.name for row in table() if row.handling != "none"}
    assert rows - failed_entry - DEFAULT == handled_in_code()


@pytest.mark.parametrize("row", table(), ids=lambda row: row.name)
def test_proof(row):
    guest = re.match(r"(?:(?:newer|older) )?guests/(\w+): (.+)", row.proof)
    test = re.match(r"(\S+)::(\w+)$", row.proof)
    if guest:
        assert guest[2] in (TOP / f"tests/guests/{guest[1]}.c").read_text()
    elif test:
        text = (TOP / test[1]).read_text()
        assert re.search(rf"(def |TEST\(){test[2]}\b", text)
    else:
        assert re.match(r"(cannot occur|emulator): .{10}", row.proof)
    for name, words in re.findall(r"guests/(\w+): (\w+)\)", row.proof):
        assert words in (TOP / f"tests/guests/{name}.c").read_text()
    if row.handling == "none":
        assert row.proof.startswith("cannot occur: ")

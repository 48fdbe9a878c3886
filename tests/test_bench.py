# SPDX-License-Identifier: MIT
"""The pure part of `make bench`: reading the emulator's marks, the model, the verdicts."""

import collections
import json
import pathlib

import pytest

from bench import cost


def record(label, instructions, more=None, **classes):
    return f"cost {json.dumps({'label': label, 'ticks': instructions, 'instructions': instructions, **classes, **(more or {})})}"


def log(*lines):
    return "\n".join(["Bochs x86 Emulator", *lines, ""])


def test_labels_are_those_of_the_programs():
    text = (pathlib.Path(__file__).parent / "bench/programs/mark.h").read_text()
    names = [word for word in ("MARK_BATCH", "MARK_ANEW", "MARK_HERE", "MARK_END")]
    assert sorted(names, key=text.index) == names and "MARK_BATCH = 1" in text
    assert (cost.BATCH, cost.ANEW, cost.HERE, cost.END) == (1, 2, 3, 4)
    start = (pathlib.Path(__file__).parent / "bench/programs/start.S").read_text()
    assert f"mov ${cost.HERE}, %eax" in start


def test_row_is_the_batch_in_the_middle_without_the_empty_loop():
    text = log("row empty 10", record(2, 7), record(1, 100), record(2, 7), record(1, 100), record(1, 100),
               "row cpuid 10", record(2, 7),
               record(1, 9100, exits=11, vmread=33, reasons={"10": 10, "1": 1}),  # the host's tick
               record(1, 2100, exits=10, vmread=30, reasons={"10": 10}),
               record(1, 2100, exits=10, vmread=30, reasons={"10": 10}))
    row = cost.rows(text)["cpuid"]
    assert row["instructions"] == 200 and row["exits"] == 1 and row["vmread"] == 3 and row["exit 10"] == 1
    assert row["exit 1"] == 0
    assert cost.cycles(row) == 200 + 1350 + 3 * 30


def test_row_of_unlike_batches_is_their_mean():
    text = log("row first_touch 10", record(1, 40), record(1, 40), record(1, 40_000))
    assert cost.rows(text)["first_touch"]["instructions"] == pytest.approx(40_080 / 30)


def test_halts_count_from_their_end():
    woken = {"ticks": 900, "instructions": 1000, "exits": 1, "reasons": {"12": 1}}
    rounds = [line for late in (9000, 8000, 510, 520) for line in
              (record(1, 1600 if late < 8000 else 99_000, {"woken": woken}, exits=2, reasons={"12": 1, "1": 1}), f"late {late}")]
    row = cost.rows(log("row hlt_wake 1", *rounds))["hlt_wake"]
    assert row["instructions"] == 600 and row["exits"] == 1 and row["exit 12"] == 0 and row["late"] == 520


def test_a_halt_that_was_polled_counts_whole():
    row = cost.rows(log("row hlt_wake_polled 1", record(1, 1600, exits=2), "late 300"))["hlt_wake_polled"]
    assert row["instructions"] == 1600 and row["late"] == 300


def test_host_tick_leaves_the_guest_out():
    text = log("row host_tick 1", record(2, 5), record(1, 10_000, {"own": {"instructions": 2_000, "wrmsr": 3}},
                                                        wrmsr=11, exits=4, reasons={"1": 4}))
    row = cost.rows(text)["host_tick"]
    assert row["instructions"] == 2000 and row["wrmsr"] == 2 and row["exits"] == 1


def test_creation_boot_and_life():
    before = {"ticks": 70, "instructions": 70, "exits": 2, "reasons": {"18": 2}, "vmread": 5}
    text = log(record(2, 1), record(3, 500, {"before": before, "own": {"instructions": 400, "string_steps": 9}},
                                    string_steps=10, exits=3), record(4, 30), record(4, 20, vmread=1))
    assert cost.creation(text) == {"ticks": 70, "instructions": 70, "exits": 2, "exit 18": 2, "vmread": 5}
    assert cost.here(text)["instructions"] == 500
    assert cost.boot(text)["instructions"] == 100 and cost.boot(text)["string_steps"] == 1
    assert cost.life(text)["instructions"] == 550 and cost.life(text)["vmread"] == 1
    assert cost.creation(log("said nothing")) is cost.boot(log("")) is None


def test_string_instructions_count_by_their_bytes():
    stosq = collections.Counter(instructions=512, string_steps=512, string_bytes=4096, strings=1)
    stosb = collections.Counter(instructions=4096, string_steps=4096, string_bytes=4096, strings=1)
    assert cost.cycles(stosq) == cost.cycles(stosb) == 512 + 30


def test_every_class_that_the_model_charges_for_is_counted():
    """A class of that name is in the emulator's patch, and has a column, so that none is charged unseen."""
    patch = (pathlib.Path(__file__).parent / "bochs/cost.patch").read_text()
    for name in set(cost.CYCLES) | {"string_steps", "string_bytes", "instructions"}:
        assert f'"{name}"' in patch or f'\\"{name}\\"' in patch, name
    shown = {key for keys in cost.COLUMNS.values() for key in keys} | {"exits", "strings"}
    assert set(cost.CYCLES) == shown
    assert all(f"{cycles:,}" in cost.model() for cycles in cost.CYCLES.values())


def test_marks_within_other_text():
    text = "GRUB loading\r\nrow a 1\nnoise row b c\ncost {\"label\": 1, \"instructions\": 3}\ncost {broken\n"
    assert cost.rows(text)["a"]["instructions"] == 3


@pytest.mark.parametrize("ours,theirs,goal,exits,said", [
    ((100, 1), (100, 1), 100, None, ""), ((101, 1), (900, 1), 100, None, "goal 100"),
    ((90, 2), (900, 1), 100, None, "above KVM"), ((90, 2), None, None, 1, "goal 1 exits"),
    ((90, 1), None, 90, 1, ""),
    ((300, 2), (200, 1), 100, 1, "goal 100, goal 1 exits, above KVM"), (None, (1, 1), 5, None, "no figure")])
def test_verdict(ours, theirs, goal, exits, said):
    def counts(pair):
        return pair and collections.Counter(instructions=pair[0], exits=pair[1])
    assert cost.verdict(counts(ours), counts(theirs), goal, exits) == said


def test_line_shows_every_class_once():
    counts = collections.Counter({name: 1 for name in cost.CYCLES}, instructions=10)
    words = cost.line("row", counts).split()
    assert words == ["row", "10", "1", *(str(len(keys)) for keys in cost.COLUMNS.values()), f"{cost.cycles(counts):,.0f}"]
    assert len(cost.head("x").split()) == len(words)

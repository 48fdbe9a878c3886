# SPDX-License-Identifier: MIT
"""What a row of the bench costs: reads the emulator's marks, models cycles, judges.

The emulator (tests/bochs/cost.patch) writes into its log, on a mark by port E9h, what was counted
since the last one: instructions, VM exits by reason, and how often each kind of instruction ran that
hardware charges for and an emulator counts as one. Guests and programs write the names of rows there.
Pure: text in, figures out. programs/mark.h has the other end.
"""

import collections
import json
import re

BATCH, ANEW, HERE, END = 1, 2, 3, 4  # labels of mark.h

# The model: cycles that hardware takes for one of each, where it takes more than the one that an
# instruction is counted as. All constants of the model are here, and printed with the report: each the
# middle of the range beside it, which holds for the Intel cores of the last ten years.
CYCLES = {
    "exits": 1350,  # an exit and the entry after it: 1,200-1,500
    "vmread": 30, "vmwrite": 30,  # 20-40
    "vmptrld": 150, "vmclear": 150,  # 100-200
    "rdmsr": 100, "wrmsr": 100, "msr_list": 100,  # 50-150, also those of VM entry's and exit's lists
    "xsave": 150, "xrstor": 150, "xsetbv": 100,  # 100-200; XSETBV as WRMSR
    "ibpb": 3000, "l1d_flush": 3000, "wbinvd": 3000,  # thousands
    "invept": 300, "invvpid": 300, "invpcid": 300, "invlpg": 300,  # hundreds
    "cr_write": 100,  # serializes, as WRMSR does
    "cpuid": 100,  # serializes; one that does not exit
    "strings": 30,  # what REP MOVS or STOS takes to start
}  # SYSCALL and VERW (no MD_CLEAR on this CPU model) count as the instructions that they are
STRING_BYTES_PER_CYCLE = 8  # as a loop of plain stores has it, so that nobody gains by writing one
COLUMNS = {
    "VMCS": ("vmread", "vmwrite"), "load": ("vmptrld", "vmclear"), "MSR": ("rdmsr", "wrmsr", "msr_list"),
    "XSAVE": ("xsave", "xrstor", "xsetbv"), "IBPB": ("ibpb", "l1d_flush"),
    "inval": ("invept", "invvpid", "invpcid", "invlpg"), "CR": ("cr_write",), "other": ("cpuid", "wbinvd"),
}
# Rows whose batches differ by nature: all of them count, not the one in the middle.
WHOLE = {"first_touch"}


def model():
    """The model in a sentence, for the report."""
    by_cycles = collections.defaultdict(list)
    for name, cycles in CYCLES.items():
        by_cycles[cycles].append(name)
    parts = [f"{', '.join(names)} {cycles:,}" for cycles, names in
             sorted(by_cycles.items(), reverse=True)]
    return (f"cycles: one an instruction, and for each of these besides: {'; '.join(parts)}; REP MOVS and "
            f"STOS take {STRING_BYTES_PER_CYCLE} bytes a cycle instead of one iteration")


def cycles(counts):
    return (counts["instructions"] - counts["string_steps"] +
            counts["string_bytes"] / STRING_BYTES_PER_CYCLE +
            sum(counts[name] * each for name, each in CYCLES.items()))


def counter(record):
    """A mark's numbers, or those of a snapshot inside it, as a Counter; exits by reason as "exit N"."""
    counts = collections.Counter({key: value for key, value in record.items()
                                  if isinstance(value, int) and key != "label"})
    for reason, times in record.get("reasons", {}).items():
        counts[f"exit {reason}"] = times
    return counts


def minus(a, b):
    """a - b, nothing left out where it becomes negative."""
    return collections.Counter({key: a[key] - b[key] for key in {*a, *b}})


def scaled(counts, by):
    return collections.Counter({key: value / by for key, value in counts.items()})


def events(text):
    """("row", name, rounds), ("late", ticks) and ("cost", record), in the order of the log."""
    for line in text.splitlines():
        if match := re.search(r"\brow (\w+) (\d+)$", line):
            yield "row", match[1], int(match[2])
        elif match := re.search(r"\blate (\d+)$", line):
            yield "late", int(match[1])
        elif match := re.search(r"\bcost (\{.*\})$", line):
            yield "cost", json.loads(match[1])


def batches(text):
    """{row: (rounds of a batch, [record of a batch], [ticks late])}"""
    rows, row = {}, None
    for kind, *what in events(text):
        if kind == "row":
            row = rows.setdefault(what[0], (what[1], [], []))
        elif kind == "late" and row:
            row[2].append(what[0])
        elif kind == "cost" and row and what[0]["label"] == BATCH:
            row[1].append(what[0])
    return rows


def median(values, key=lambda value: value):
    return sorted(values, key=key)[len(values) // 2]


def of_round(name, rounds, records):
    """What one round costs: the batch in the middle, that no tick of the host fell into."""
    all_counts = [counter(record) for record in records]
    if name in WHOLE:
        return scaled(sum(all_counts, collections.Counter()), rounds * len(records))
    return scaled(median(all_counts, cycles), rounds)


def rows(text):
    """{row: Counter of a round}; the empty row is taken off the others."""
    found = batches(text)
    result = {}
    empty = collections.Counter()
    if "empty" in found:
        rounds, records, _ = found.pop("empty")
        empty = of_round("empty", rounds, records)
    for name, (rounds, records, late) in found.items():
        if late:
            result[name] = woken(records, late)
        elif name == "host_tick":
            result[name] = tick(records[0])
        else:
            result[name] = minus(of_round(name, rounds, records), empty)
    return result


def woken(records, late):
    """From the end of the halt to the guest's handler. When nobody halts (a host that polls) the whole
    round counts. The first half of the rounds warms."""
    counts = [minus(counter(record), counter(record["woken"])) if "woken" in record else counter(record)
              for record in records[len(records) // 2:]]
    result = median(counts, cycles)
    result["late"] = median(late[len(late) // 2:])
    return result


def outside(record):
    """What a mark counted, without what the guest that made it did itself."""
    return minus(counter(record), counter(record.get("own", {})))


def tick(record):
    """What each external interrupt of the host took while the guest only computed."""
    counts = outside(record)
    return scaled(counts, counts["exit 1"] or 1)


def life(text):
    """All marks after the first together: a VM from its creation to what is left to be cleaned."""
    records = [what[0] for kind, *what in events(text) if kind == "cost"]
    return sum(map(counter, records[1:]), collections.Counter())


def creation(text):
    """What ran between the mark before a VM's creation and its first instruction."""
    record = at_here(text)
    return counter(record["before"]) if record else None


def at_here(text):
    return next((what[0] for kind, *what in events(text) if kind == "cost" and what[0]["label"] == HERE), None)


def here(text):
    """All that was counted up to the first mark of that kind."""
    record = at_here(text)
    return counter(record) if record else None


def boot(text):
    """The same without what the guest that made the mark did itself."""
    record = at_here(text)
    return outside(record) if record else None


def verdict(ours, theirs, goal, exits=None):
    """What is missing, in words; empty when nothing is."""
    if ours is None:
        return "no figure"
    wrong = []
    if goal is not None and round(ours["instructions"]) > goal:
        wrong.append(f"goal {goal:,}")
    if exits is not None and ours["exits"] > exits:
        wrong.append(f"goal {exits:,} exits")
    if theirs is not None and round(cycles(ours)) > round(cycles(theirs)):
        wrong.append("above KVM")
    return ", ".join(wrong)


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 or abs(value - round(value)) < 0.05 else f"{value:.1f}"


def head(first):
    return f"  {first:24}{'instr':>12}{'exits':>9}" + "".join(f"{name:>8}" for name in COLUMNS) + f"{'cycles':>13}"


def line(first, counts):
    """One side's figures of a row."""
    if counts is None:
        return f"  {first:24}{'-':>12}"
    return (f"  {first:24}{number(counts['instructions']):>12}{number(counts['exits']):>9}" +
            "".join(f"{number(sum(counts[key] for key in keys)):>8}" for keys in COLUMNS.values()) +
            f"{cycles(counts):>13,.0f}")

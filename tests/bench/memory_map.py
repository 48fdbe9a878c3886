# SPDX-License-Identifier: MIT
"""What Linux was told of the machine's memory, against what the firmware had and who owns it.

The hypervisor's log (loglevel=debug) has the firmware's map and where its own memory lies; sysfs has
the map that Linux got and, under UEFI, the regions that the firmware keeps using.
"""

import json
import re

PAGE, FRAME = 4096, 2 << 20
# runtime services' code and data, memory-mapped devices, PAL code
EFI_KEPT = {5, 6, 11, 12, 13}
ASK = """hornero info --json; echo; echo ==; hornero log; echo ==; cat /proc/iomem; echo ==
for e in /sys/firmware/memmap/*; do cat $e/start $e/end $e/type | tr '\\n' '|'; echo; done; echo ==
for e in /sys/firmware/efi/runtime-map/*; do
	[ ! -e $e ] || cat $e/type $e/phys_addr $e/num_pages | tr '\\n' '|'; echo
done"""


def without(ranges, holes):
    """The parts of ranges that no hole covers; all (begin, end)."""
    for low, high in sorted(holes):
        ranges = [piece for begin, end in ranges
                  for piece in ((begin, min(end, low)), (max(begin, high), end))
                  if piece[0] < piece[1]]
    return ranges


def overlap(one, other):
    return [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) < min(b, d)]


def size(ranges):
    return sum(end - begin for begin, end in ranges)


def firmware_ram(log):
    """The RAM in the firmware's map."""
    found = [(int(begin, 16), int(end, 16) + 1, kind) for begin, end, kind in
             re.findall(r"boot: map (\w+)-(\w+) (.*)", log)]
    not_ram = {"reserved", "ACPI tables", "ACPI NVS", "bad"}
    assert found, f"the hypervisor's log has no map: was it started with loglevel=debug?\n{log}"
    return [(begin, end) for begin, end, kind in found if kind not in not_ram]


def own_memory(log, image_bytes):
    image, kib, heap = re.search(r"image at (0x\w+), own memory (\d+) KiB at (0x\w+)", log).groups()
    return [(int(image, 16), int(image, 16) + image_bytes),
            (int(heap, 16), int(heap, 16) + int(kib) * 1024)]


def check(run):
    """run(command) runs in the control domain; raises AssertionError if something overlaps."""
    info, log, iomem, memmap, runtime = run(ASK).split("==\n")
    memory = json.loads(info)["memory"]
    entries = sorted((int(begin, 16), int(end, 16) + 1, kind) for begin, end, kind in
                     (line.split("|")[:3] for line in memmap.splitlines() if "|" in line))
    ram, own = firmware_ram(log), own_memory(log, memory["hypervisor_image_bytes"])
    given = [(begin, end) for begin, end, kind in entries if kind == "System RAM"]
    used = [(int(begin, 16), int(end, 16) + 1) for begin, end in
            re.findall(r"^ *(\w+)-(\w+) : System RAM", iomem, re.MULTILINE)]
    firmware = [(int(base, 16), int(base, 16) + int(pages, 16) * PAGE) for kind, base, pages in
                (line.split("|")[:3] for line in runtime.splitlines() if "|" in line)
                if int(kind, 16) in EFI_KEPT]

    for (_, end, _), (begin, _, _) in zip(entries, entries[1:]):
        assert end <= begin, f"Linux's map overlaps at {begin:#x}: {entries}"
    assert size(given) == memory["control_domain_bytes"]
    assert not without(given, ram), "Linux was given what is no RAM"
    assert used and not without(used, given), "Linux uses what it was not given"
    assert not overlap(given, own), "Linux was given the hypervisor's memory"
    assert size(own) == memory["hypervisor_bytes"]
    pool = without(without(ram, given), own)
    assert size(pool) == memory["pool_bytes"]
    assert all(begin % FRAME == 0 and end % FRAME == 0 for begin, end in pool), pool
    told = [(begin, end) for begin, end, _ in entries]
    assert not without(pool + own, told), "hypervisor or pool is a gap in Linux's map"
    for region in (given, own, pool):
        assert not overlap(region, firmware), "the firmware's own regions were given away"
    return firmware

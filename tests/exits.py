# SPDX-License-Identifier: MIT
"""tests/exits.txt, the table of VM exits, for those who check it."""

import collections
import re

from bench.medium import TOP

Row = collections.namedtuple("Row", "number name handling proof")


def table():
    lines = (TOP / "tests/exits.txt").read_text().splitlines()
    for line in lines:
        if not line.startswith("#"):
            head, handling, proof = line.split(" | ")
            number, name = head.split()
            yield Row(int(number), name, handling, proof)


def counted(kind):
    """Names of the exits that the test guests cause on a machine of this kind, newer or older."""
    rows = [(row.name, re.match(r"(?:(newer|older) )?guests/", row.proof)) for row in table()]
    return {name for name, match in rows if match and match[1] in (None, kind)}

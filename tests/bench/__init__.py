# SPDX-License-Identifier: MIT
"""The bench's machinery: machine.py (life of a machine), emulators.py (how each emulator is
told to be one), medium.py (what it boots from). tests/machine is the command, conftest.py the
pytest side."""

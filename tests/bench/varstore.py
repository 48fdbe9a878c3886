# SPDX-License-Identifier: MIT
"""OVMF's variable store with a certificate of ours enrolled: what a user does in the firmware's setup.

The store is a firmware volume (PI Specification, volume 3) with one chain of authenticated variables
(EDK II, MdeModulePkg/Include/Guid/VariableFormat.h). Where a platform key is enrolled, OVMF switches
Secure Boot on at its next start.
"""

import pathlib
import ssl
import struct
import uuid

from .medium import BenchError

STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
IMAGE_SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
OWNER = uuid.UUID("0f3c1a52-4b7e-4f0a-9d55-7f1f6d2c9b11").bytes_le
VARIABLE = struct.Struct("<HBxIQ16sIII16s")
USED, WHOLE = 0x55AA, 0x3F
# non-volatile, boot services, run time, authenticated by time
ATTRIBUTES = 0x27
DATE = struct.pack("<HBBBBBxIhBx", 2024, 1, 1, 0, 0, 0, 0, 0, 0)


def variable(vendor, name, data):
    text = name.encode("utf-16-le") + b"\0\0"
    head = VARIABLE.pack(USED, WHOLE, ATTRIBUTES, 0, DATE, 0, len(text), len(data), vendor)
    return head + text + data


def signature_list(certificate):
    der = ssl.PEM_cert_to_DER_cert(pathlib.Path(certificate).read_text())
    size = 16 + len(der)
    return X509 + struct.pack("<III", 28 + size, 0, size) + OWNER + der


def enrol(template, certificate, to):
    """Writes template's content to `to`, with certificate as platform key, KEK and in db."""
    store = bytearray(pathlib.Path(template).read_bytes())
    header, = struct.unpack_from("<H", store, 48)
    if store[header:header + 16] != STORE:
        raise BenchError(f"{template} is no store of authenticated UEFI variables")
    end = header + struct.unpack_from("<I", store, header + 16)[0]
    at = header + 28
    while store[at:at + 2] == struct.pack("<H", USED):
        fields = VARIABLE.unpack_from(store, at)
        at = (at + VARIABLE.size + fields[6] + fields[7] + 3) & ~3
    keys = signature_list(certificate)
    for vendor, name in ((IMAGE_SECURITY, "db"), (GLOBAL, "KEK"), (GLOBAL, "PK")):
        new = variable(vendor, name, keys)
        if at + len(new) > end:
            raise BenchError(f"{template} has no room for the variable {name}")
        store[at:at + len(new)] = new
        at = (at + len(new) + 3) & ~3
    pathlib.Path(to).write_bytes(store)

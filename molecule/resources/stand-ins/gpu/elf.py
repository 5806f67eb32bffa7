#!/usr/bin/env python3
"""Write the smallest ELF files that the tools reading a driver's version accept.

`libraries FOLDER [VERSION]` writes the driver's libraries: shared objects without code, whose file name carries the
version, as that of the real ones does, and which ldconfig can read. `module FILE KERNEL` writes nvidia.ko: nothing but
a .modinfo section for modinfo.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

VERSION = "580.159.04"
LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
IDENTIFICATION = b"\x7fELF\x02\x01\x01" + bytes(9)
X86_64 = 62


def shared_object(soname: str) -> bytes:
    """An ELF shared object that has a SONAME and nothing else."""
    strings = b"\0" + soname.encode() + b"\0"
    dynamic_at = ELF_HEADER.size + 2 * 56
    hash_at = dynamic_at + 7 * 16
    symbols_at = hash_at + 16
    strings_at = symbols_at + 24
    size = strings_at + len(strings)
    header = ELF_HEADER.pack(IDENTIFICATION, 3, X86_64, 1, 0, ELF_HEADER.size, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 0x1000)
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, 7 * 16, 7 * 16, 8)
    hash_tag, strings_tag, symbols_tag, strings_size_tag, symbol_size_tag, soname_tag = 4, 5, 6, 10, 11, 14
    entries = [
        (soname_tag, 1),
        (hash_tag, hash_at),
        (strings_tag, strings_at),
        (symbols_tag, symbols_at),
        (strings_size_tag, len(strings)),
        (symbol_size_tag, 24),
        (0, 0),
    ]
    table = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    return header + load + dynamic + table + struct.pack("<IIII", 1, 1, 0, 0) + bytes(24) + strings


def kernel_module(kernel: str) -> bytes:
    """An ELF object file whose .modinfo says what the open kernel module of the driver says."""
    information = {
        "version": VERSION,
        "license": "Dual MIT/GPL",
        "firmware": f"nvidia/{VERSION}/gsp_ga10x.bin",
        "alias": "pci:v000010DEd*sv*sd*bc03sc02i00*",
        "description": "stand-in for the NVIDIA open kernel module; it can not be loaded",
        "depends": "",
        "name": "nvidia",
        "vermagic": f"{kernel} SMP preempt mod_unload",
    }
    modinfo = b"".join(f"{name}={value}".encode() + b"\0" for name, value in information.items())
    names = [b"", b".modinfo", b".symtab", b".strtab", b".shstrtab"]
    name_table = b"\0".join(names) + b"\0"
    bodies = [b"", modinfo, bytes(24), b"\0", name_table]
    # type, flags, link, information, entry size of each section
    kinds = [(0, 0, 0, 0, 0), (1, 2, 0, 0, 0), (2, 0, 3, 1, 24), (3, 0, 0, 0, 0), (3, 0, 0, 0, 0)]
    content = b""
    section_headers = b""
    for name, body, (kind, flags, link, extra, entry_size) in zip(names, bodies, kinds):
        content += bytes(-len(content) % 8)
        offset = ELF_HEADER.size + len(content) if kind else 0
        position = name_table.index(name + b"\0") if name else 0
        section_headers += struct.pack(
            "<IIQQQQIIQQ", position, kind, flags, 0, offset, len(body), link, extra, 8 if kind else 0, entry_size
        )
        content += body
    content += bytes(-len(content) % 8)
    header = ELF_HEADER.pack(
        IDENTIFICATION, 1, X86_64, 1, 0, 0, ELF_HEADER.size + len(content), 0, 64, 0, 0, 64, len(names), len(names) - 1
    )
    return header + content + section_headers


def main() -> None:
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "libraries":
        version = sys.argv[3] if len(sys.argv) > 3 else VERSION
        for soname in LIBRARIES:
            (where / soname.replace(".so.1", f".so.{version}")).write_bytes(shared_object(soname))
    elif what == "module":
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(kernel_module(sys.argv[3]))
    else:
        sys.exit(f"{what}: libraries or module")


if __name__ == "__main__":
    main()

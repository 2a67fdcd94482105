#!/usr/bin/env python3
"""Writes engine/template/unicode_tables.c: what CPython's str knows of each code point.

    python3 tests/tools/make_unicode_tables.py > engine/template/unicode_tables.c

The version of Unicode is that of the interpreter's unicodedata (14.0 for CPython 3.11).
"""
import sys
import unicodedata

CODES = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def is_final(before, c):
    return (before + c + "\u03a3").lower().endswith("\u03c2")


def classes(code):
    c = chr(code)
    cased = is_final("-", c)
    bits = [c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.islower(), c.isupper(),
            c.istitle() and not c.isupper(), c.isspace(), c.isprintable(), cased,
            is_final("A", c) and not cased, c.isidentifier(), ("a" + c).isidentifier()]
    return sum(1 << i for i, b in enumerate(bits) if b)


def ranges():
    out = []
    for code in CODES:
        m = classes(code)
        if out and out[-1][2] == m and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code, m])
    return [r for r in out if r[2]]


def maps(how, base):
    """Ranges with a stride and a delta; and full mappings, where they differ from base's."""
    simple, full = [], []
    for code in CODES:
        to = how(chr(code))
        if to == base(chr(code)):
            continue
        if len(to) > 1 or to == chr(code):
            full.append((code, [ord(c) for c in to]))
            continue
        d = ord(to) - code
        last = simple[-1] if simple else None
        if last and last[3] == d and (code - last[1] == last[2] or last[0] == last[1] and code - last[1] <= 2):
            last[2] = code - last[1]
            last[1] = code
        else:
            simple.append([code, code, 1, d])
    return simple, full


def emit(name, kind, rows):
    print(f"const {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            print(line)
            line = "   "
        line += f" {row},"
    print(line + "\n};")
    print(f"const size_t {name}_n = sizeof {name} / sizeof {name}[0];\n")


def main():
    print("/*\n * unicode_tables.c — what CPython's str knows of each code point, Unicode "
          f"{unicodedata.unidata_version}.\n *\n"
          " * Made by tests/tools/make_unicode_tables.py; do not edit.\n */")
    print('#include "engine/template/unicode_tables.h"\n\n/* clang-format off */')
    emit("tp_class_ranges", "tp_class_range", [f"{{{a:#x},{b:#x},{m}}}" for a, b, m in ranges()])
    same = lambda c: c
    kinds = [("lower", str.lower, same), ("upper", str.upper, same),
             ("title", str.title, str.upper), ("fold", str.casefold, str.lower)]
    for name, how, base in kinds:
        simple, full = maps(how, base)
        emit(f"tp_{name}_ranges", "tp_case_range", [f"{{{a:#x},{b:#x},{s},{d}}}" for a, b, s, d in simple])
        emit(f"tp_{name}_full", "tp_case_full",
             [f"{{{c:#x},{len(t)},{{{','.join(hex(x) for x in t)}}}}}" for c, t in full])
    print("/* clang-format on */")


sys.setrecursionlimit(10000)
main()

#!/usr/bin/env python3
"""Prints the table of scorers/choice/word.c: ranges of non-ASCII characters that Python's re takes
for word characters. Usage: tests/tools/word_table.py, then paste and clang-format."""
import re
import unicodedata

word = re.compile(r"\w")
ranges, start = [], None
for code in range(0x80, 0x110001):
    is_word = code < 0x110000 and word.match(chr(code)) is not None
    if is_word and start is None:
        start = code
    elif not is_word and start is not None:
        ranges.append((start, code - 1))
        start = None
print(f"/* Unicode {unicodedata.unidata_version}, {len(ranges)} ranges */")
for i in range(0, len(ranges), 4):
    print("    " + " ".join(f"{{0x{a:X}, 0x{b:X}}}," for a, b in ranges[i:i + 4]))

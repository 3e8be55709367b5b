"""Separated values and fixed-width records: as far as their own shape shows that something is missing."""

from __future__ import annotations

import csv
from collections import Counter

from systrace.bodies.charset import text_of
from systrace.messages.body import Body
from systrace.messages.problem import Problem

SEPARATORS = ("\t", ";", ",", "|")
_LINES = 2000  # lines looked at
_FIXED_LINES = 5  # records of one width that make a fixed-width file
_FIXED_WIDTH = 20  # characters; shorter lines of one length are a list of codes


def csv_separator(text: str) -> str | None:
    """The separator whose count is the same in (nearly) all of the first lines; None when it is no such table."""
    lines = [line for line in text[: 64 << 10].split("\n")[:50] if line.strip()]
    if len(lines) > 2:
        lines.pop()
    best, best_share = None, 0.0
    for separator in SEPARATORS:
        counts = Counter(line.count(separator) for line in lines)
        count, times = counts.most_common(1)[0] if counts else (0, 0)
        share = times / len(lines) if lines else 0.0
        if count and lines[0].count(separator) == count and share > best_share:
            best, best_share = separator, share
    return best if len(lines) >= 2 and best_share >= 0.6 else None  # quoted ones may differ


def csv_problem(body: Body) -> Problem | None:
    """The first row that does not have as many fields as the first one.

    Kinds: "truncated" (the last row, without a line end, has fewer; only said when all that came is known), "ragged".
    None when the content is no table or nothing is wrong in what is known.
    """
    text = text_of(body)
    separator = csv_separator(text)
    if separator is None:
        return None
    known = text if body.data_final else text[: text.rfind("\n") + 1]
    lines = known.splitlines(keepends=True)[:_LINES]
    reader = csv.reader(lines, delimiter=separator)
    width, before = 0, 0
    try:
        for row in reader:
            if row and not width:
                width = len(row)
            elif row and len(row) != width:
                last = reader.line_num == len(lines) and not lines[-1].endswith("\n")
                kind = "truncated" if last and len(row) < width else "ragged"
                offset = len("".join(lines[:before]).encode("utf-8", "surrogateescape"))
                return Problem(kind, offset, before + 1, 0, f"{len(row)} fields, the first row has {width}")
            before = reader.line_num
    except csv.Error as error:
        offset = len("".join(lines[:before]).encode("utf-8", "surrogateescape"))
        return Problem("ragged", offset, before + 1, 0, str(error))
    return None


def fixed_width_problem(body: Body) -> Problem | None:
    """The first record of another length in a file of records of one length.

    Kinds: "truncated" (the last one, without a line end, is shorter; only said when all that came is known),
    "ragged". None when the content is no such file: at least five lines, nine in ten of them of one length.
    """
    text = text_of(body)
    known = text if body.data_final else text[: text.rfind("\n") + 1]
    lines = known.splitlines(keepends=True)[:_LINES]
    widths = Counter(len(line.rstrip("\r\n")) for line in lines)
    if len(lines) < _FIXED_LINES or "\t" in known:
        return None
    width, times = widths.most_common(1)[0]
    if width < _FIXED_WIDTH or times * 10 < (len(lines) - 1) * 9:
        return None
    offset = 0
    for number, line in enumerate(lines, 1):
        size = len(line.rstrip("\r\n"))
        if size not in (width, 0):
            cut = number == len(lines) and not line.endswith("\n") and size < width
            kind = "truncated" if cut else "ragged"
            return Problem(kind, offset, number, 0, f"record of {size} characters, the others have {width}")
        offset += len(line.encode("utf-8", "surrogateescape"))
    return None

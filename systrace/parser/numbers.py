"""Names of calls that an old strace printed as numbers (`syscall_288`, `syscall_0x1b3`): x86-64, from 221 on.

Numbers from 424 on are the same on every architecture; those of i386 between 335 and 423 mean nothing on x86-64, so they
need no look at the personality.
"""

from __future__ import annotations

from systrace.calls import numbers

NAMES: dict[int, str] = {
    **{number: name for number, name in numbers.NAMES["i386"].items() if number >= 335},
    **{number: name for number, name in numbers.NAMES["x86_64"].items() if number >= 221},
}


def name_of(printed: str) -> str:
    """The call's name for `syscall_288` or `syscall_0x1b3`; anything else, and unknown numbers, as printed."""
    if not printed.startswith("syscall_"):
        return printed
    digits = printed[8:]
    try:
        return NAMES.get(int(digits, 16 if digits.startswith("0x") else 10), printed)
    except ValueError:
        return printed

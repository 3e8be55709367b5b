"""Whether the scanner of records runs compiled (`_scanner.c`), or in Python alone: the same answers, at another speed.

It is built where a compiler is (`scripts/build_compiled`, or the installation). SYSTRACE_COMPILED=0 leaves it out.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's: `--version` does not wait for its import
if TYPE_CHECKING:
    from systrace._scanner import Scanner

VARIABLE = "SYSTRACE_COMPILED"


def scanner() -> type[Scanner] | None:
    """The compiled scanner; None where it was not built, does not fit this Python, or is not wanted."""
    if unwanted():
        return None
    try:
        from systrace._scanner import Scanner
    except ImportError:
        return None
    return Scanner


def unwanted() -> bool:
    """Whether the environment says that Python is to read alone."""
    return os.environ.get(VARIABLE) == "0"


def how() -> str:
    """Which of the two runs, in words."""
    return "compiled scanner" if scanner() is not None else "Python only"

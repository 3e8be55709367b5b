"""A long report on a terminal is paged, as git(1) does it: PAGER, else less(1), and only where it does not fit."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

_NOT_RUN = (126, 127)  # what a shell says of a command that it cannot start
_LESS = "FRX"  # quit where it fits, show colours, leave the screen as it is


def pager() -> Sequence[str] | None:
    """The command that pages; None where there is none, or nobody to read."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    asked = os.environ.get("SYSTRACE_PAGER", os.environ.get("PAGER", "less"))
    if asked in ("", "cat") or os.environ.get("TERM", "dumb") == "dumb":
        return None
    found = shutil.which("sh") if any(sign in asked for sign in " \"'$;|") else shutil.which(asked)
    if found is None:
        return None
    return [found, "-c", asked] if found.endswith("/sh") and asked != "sh" else [found]


def paged(text: bytes) -> bool:
    """Show text of more lines than the terminal has in a pager; whether that was done."""
    command = pager()
    if command is None or text.count(b"\n") < shutil.get_terminal_size().lines:
        return False
    environment = {"LESS": _LESS, "LV": "-c"} | dict(os.environ)
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    except OSError:
        return False
    with contextlib.suppress(BrokenPipeError):  # the reader has seen enough
        process.communicate(text)
    while process.poll() is None:
        with contextlib.suppress(KeyboardInterrupt):  # less(1) takes it for itself
            process.wait()
    return process.returncode not in _NOT_RUN

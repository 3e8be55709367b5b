"""Why a process may not be looked at, and the command that grants it."""

from __future__ import annotations


def refusal(pid: int) -> str | None:
    """None when ptrace-level access to `pid` is allowed; else what exactly is missing and what mends it."""
    raise NotImplementedError

"""Which tracer captures, what it is asked for, and what the head of the recording says of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from systrace.capture.reporting import complain
from systrace.errors import CaptureError, UsageError

if TYPE_CHECKING:
    from systrace.tracers import Request, Tracer


def tracers_for(name: str | None) -> tuple[list[Tracer], list[str]]:
    """The tracers that work here, the one of this name or else strace first, and why those before the first do not.

    Raises:
        UsageError: no tracer of that name.
    """
    from systrace.tracers import TRACERS

    if name is not None and name not in TRACERS:
        raise UsageError(f"there is no tracer {name!r}: choose from {', '.join(TRACERS)}")
    usable: list[Tracer] = []
    reasons: list[str] = []
    for each in sorted(TRACERS, key=lambda each: each != (name or "strace")):
        reason = TRACERS[each].unavailable()
        if reason is None:
            usable.append(TRACERS[each])
        elif not usable:
            reasons.append(reason if reason.startswith(each) else f"{each}: {reason}")
    return usable, reasons


def choose(name: str | None, *, quiet: bool = False) -> Tracer:
    """The tracer of this name, or the first that works here; unless `quiet`, a second choice is said to be one.

    Raises:
        UsageError: no tracer of that name.
        CaptureError: it does not work, or none does; says why.
    """
    from systrace.tracers import TRACERS

    usable, reasons = tracers_for(name)
    if name is not None:
        reason = TRACERS[name].unavailable()
        if reason is not None:
            raise CaptureError(reason if reason.startswith(name) else f"{name}: {reason}")
        return TRACERS[name]
    if not usable:
        raise CaptureError("; ".join(reasons))
    if usable[0].name != "strace" and not quiet:
        complain(f"{'; '.join(reasons)}; the {usable[0].name} tracer is used instead")
    return usable[0]


def header(tracer: Tracer, request: Request, *, attach: bool = False, pid: int | None = None) -> dict[str, Any]:
    """The facts for the first line of a recording."""
    from systrace import __version__
    from systrace.kernel.facts import host_facts
    from systrace.tracers import Described

    facts: dict[str, Any] = {"systrace_version": __version__, "tracer": tracer.name}
    if isinstance(tracer, Described):
        facts |= tracer.describe(request, attach=attach)
    return facts | {"user": os.getuid(), "cwd": working_directory()} | host_facts(pid)


def working_directory() -> str | None:
    """Where we are; None where that was removed, or may not be looked at."""
    try:
        return os.getcwd()  # noqa: PTH109 (a string)
    except OSError:
        return None

"""Which tracer captures, what it is asked for, and what the head of the recording says of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from systrace.errors import CaptureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from systrace.tracers import Request, Tracer


AUTO = "auto"


def names() -> list[str]:
    """What `--tracer` takes."""
    from systrace.tracers import TRACERS

    return [AUTO, *sorted(TRACERS, key=lambda name: TRACERS[name].rank)]


def tracers_for(name: str | None) -> tuple[list[Tracer], list[str]]:
    """The tracers that work here, the one of this name first and then by what they cost the job, and why those before the
    first do not.

    Raises:
        UsageError: no tracer of that name.
    """
    from systrace.tracers import TRACERS

    if name is not None and name not in TRACERS:
        raise UsageError(f"there is no tracer {name!r}: choose from {', '.join(names())}")
    usable: list[Tracer] = []
    reasons: list[str] = []
    for each in sorted(TRACERS, key=lambda each: (each != name, TRACERS[each].rank)):
        reason = TRACERS[each].unavailable()
        if reason is None:
            usable.append(TRACERS[each])
        elif not usable:
            reasons.append(reason if reason.startswith(each) else f"{each}: {reason}")
    return usable, reasons


def choose(name: str | None) -> tuple[Tracer, list[str]]:
    """The tracer of this name, or the first that works here, by trial; and why none that costs less was taken.

    Raises:
        UsageError: no tracer of that name.
        CaptureError: it does not work, or none does; says why.
    """
    from systrace.tracers import Tried

    usable, reasons = tracers_for(name)
    if name is not None and (not usable or usable[0].name != name):
        raise CaptureError(reasons[0])
    for tracer in usable if name is None else usable[:1]:
        refused = tracer.trial() if isinstance(tracer, Tried) else None
        if refused is None:
            return tracer, reasons
        reasons.append(refused)
    raise CaptureError("; ".join(reasons))


def header(
    tracer: Tracer, request: Request, *, better: Sequence[str] = (), attach: bool = False, pid: int | None = None
) -> dict[str, Any]:
    """The facts for the first line of a recording; `better`: why no tracer that costs less was taken."""
    from systrace import __version__
    from systrace.kernel.facts import host_facts
    from systrace.tracers import Described

    facts: dict[str, Any] = {"systrace_version": __version__, "tracer": tracer.name}
    if better:
        facts["not_taken"] = list(better)
    if isinstance(tracer, Described):
        facts |= tracer.describe(request, attach=attach)
    return facts | {"user": os.getuid(), "cwd": working_directory()} | host_facts(pid)


def working_directory() -> str | None:
    """Where we are; None where that was removed, or may not be looked at."""
    try:
        return os.getcwd()  # noqa: PTH109 (a string)
    except OSError:
        return None

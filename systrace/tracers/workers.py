"""A tracer in a process of its own: its start, and what both sides say over the socket between them."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

MACHINES = ("x86_64", "aarch64")


def unsupported(tracer: str, oldest: tuple[int, int]) -> str | None:
    """Why a tracer that knows calls by their numbers cannot work on this kernel; None when it can."""
    system = os.uname()
    if system.sysname != "Linux" or system.machine not in MACHINES:
        return f"{tracer} knows Linux on {' and '.join(MACHINES)}, not {system.sysname} {system.machine}"
    release = tuple(int(part) if part.isdigit() else 0 for part in system.release.split("-")[0].split(".")[:2])
    if release < oldest:
        return f"{tracer} needs Linux {oldest[0]}.{oldest[1]} or newer, this is {system.release}"
    return None


def environment() -> dict[str, str]:
    """The worker finds its modules where this process found them, whatever the job's directory and environment hold."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def encoded(task: dict[str, Any]) -> bytes:
    """A task for a worker, with its length before it; bytes of paths stand in it as latin-1."""
    data = json.dumps(task).encode()
    return b"%08d" % len(data) + data


def received(control: socket.socket) -> dict[str, Any]:
    """The task, in the worker."""
    length = int(control.recv(8, socket.MSG_WAITALL))
    found: dict[str, Any] = json.loads(control.recv(length, socket.MSG_WAITALL))
    return found


def say(control: socket.socket, event: str, **more: object) -> None:
    """Tell the other side; it may be gone."""
    try:
        control.send(json.dumps({"event": event, **more}).encode() + b"\n")
    except OSError:
        pass


def say_fault(control: socket.socket, error: Exception) -> None:
    """Standard error is the job's: the other side is told what went wrong instead."""
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__} in {place.name}, line {place.lineno}: {error}"
    say(control, "fault", text=text)

"""What each call does: one file per family, each function Record -> Event or None.

`@syscall("recvfrom", "recv")` enters a function under the names; a new file here, and its names in
`calls.FOLLOWED`, are all it takes to know a new call. The names are the filter of the hot loop; the tracers' is FOLLOWED.
"""

from __future__ import annotations

from collections.abc import Callable

from systrace.model import Event, Record
from systrace.registry import Registry

Handler = Callable[[Record], Event | None]
SYSCALLS: Registry[Handler] = Registry("systrace.parser.syscalls")
NOTES: dict[str, Handler] = {}  # signals, exits and messages: lines that are no call


def syscall(*names: str) -> Callable[[Handler], Handler]:
    """Enter a function for these calls."""

    def enter(function: Handler) -> Handler:
        for name in names:
            SYSCALLS.add(name, function)
        return function

    return enter


def note(*kinds: str) -> Callable[[Handler], Handler]:
    """Enter a function for lines that are no call: signal, exited, killed, superseded, attached, detached, text."""

    def enter(function: Handler) -> Handler:
        for kind in kinds:
            NOTES[kind] = function
        return function

    return enter


def wanted_names() -> dict[bytes, str]:
    """Every spelling under which strace may print a known call -> its name: the filter of the hot loop."""
    from systrace.parser.numbers import NAMES

    names = {name.encode(): name for name in SYSCALLS}
    for number, name in NAMES.items():
        if name in SYSCALLS:
            names[b"syscall_%d" % number] = names[b"syscall_%#x" % number] = name
    return names

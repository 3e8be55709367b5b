"""The columns before a call: recognised once per log, then matched with one small anchored pattern.

Order as in strace's `printleader`: pid, security context, absolute time, relative time, call number, instruction
pointer. Every pattern has the same five groups, so the reader never asks which columns exist: pid, clock (seconds or
HH:MM:SS), fraction, name of the call, other kind of line ("<... ", "---", "+++").
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from systrace.calls import NETWORK, PROCESS
from systrace.dataclass import dataclass
from systrace.model import RETURNED, Record, Style

_USUAL = {name.encode() for name in NETWORK | PROCESS}
_SUCCEEDED = re.compile(rb"\) += (?:\d|0x)")
# Sets, as they are looked up faster than \d and \w; what is seldom there stands behind what mostly is.
_PID = rb"([0-9]{1,8})(?: +|<[^>\n]{0,64}> +)"
_PID_BRACKET = rb"(?:\[pid +([0-9]{1,8})(?:<[^>\n]{0,64}>)?\] )?"
_EPOCH = rb"([0-9]{9,11})(?:\.([0-9]{3,9}) | )"
_TIME_OF_DAY = rb"([0-9][0-9]:[0-9][0-9]:[0-9][0-9])(?:\.([0-9]{3,9}) | )"
_RELATIVE = rb" *([0-9]{1,8})(?:\.([0-9]{3,9}))? "
_NO_CLOCK = rb"()()"
_BODY = rb"(?:([A-Za-z_?][A-Za-z0-9_?]*)(?:\(|#64\()|(<\.\.\. |---|\+\+\+))"
_REST = (
    rb"(?:\[[^\]\[\s:\d][^\]\[\s:]*:[^\]\[\s]*\] )?"  # --secontext
    rb"%s"  # clock
    rb"(?:\(\+ *\d+(?:\.\d+)?\) )?"  # -r beside -t
    rb"(?:\[ *\d+\] )?"  # -n
    rb"(?:\[[0-9a-f?]{8,16}\] )?" + _BODY  # -i
)
_PLAIN = rb"%s" + _BODY  # tried first: each column that is looked for in vain costs on every line
_PIDS = {"none": rb"()", "bare": _PID, "bracket": _PID_BRACKET}
_CLOCKS = {"none": _NO_CLOCK, "epoch": _EPOCH, "time-of-day": _TIME_OF_DAY, "relative": _RELATIVE}


@dataclass(frozen=True)
class Shape:
    """Which columns a log has, and the pattern that reads them."""

    pid: str  # none, bare, bracket
    clock: str  # none, epoch, time-of-day, relative
    pattern: re.Pattern[bytes]
    plain: bool  # no other columns than these two


def _shape(pid: str, clock: str, rest: bytes) -> Shape:
    lead = b"" if clock == "relative" and pid != "bare" else rb" {0,8}"  # hand-indented excerpts
    return Shape(pid, clock, re.compile(lead + _PIDS[pid] + rest % _CLOCKS[clock]), rest is _PLAIN)


# The first that matches wins: what demands more comes first. A bracket pattern also matches lines without a pid
# (strace drops the column while one process is alive), so it stands for "none" as soon as one bracket was seen.
SHAPES = [
    _shape(pid, clock, rest)
    for pid in ("bare", "bracket")
    for clock in ("epoch", "time-of-day", "relative", "none")
    for rest in (_PLAIN, _REST)
]


def recognise(line: bytes) -> tuple[Shape, re.Match[bytes]] | None:
    """The shape of a line that begins as strace begins one, or None."""
    for shape in SHAPES:
        match = shape.pattern.match(line)
        if match is not None:
            return shape, match
    return None


def note_style(style: Style, shape: Shape, has_pid: bool) -> None:
    """Enter what a newly met shape says into the style of the log."""
    if shape.pid == "bare" or (shape.pid == "bracket" and has_pid):
        style.pid = shape.pid
    if shape.clock != "none":
        style.clock = shape.clock


def note_unasked(style: Style, name: bytes, line: bytes) -> bool:
    """Enter what a call that nobody asked for says of the log's options; whether more of them can say no more."""
    style.others = style.others or name not in _USUAL
    style.succeeded = style.succeeded or _SUCCEEDED.search(line) is not None
    return style.others and style.succeeded


def note_results(style: Style, records: Iterable[Record]) -> None:
    """Enter whether calls succeed and fail in this log, until both is known."""
    if style.succeeded and style.failed:
        return
    for record in records:
        if record.outcome == RETURNED and record.retval is not None:
            style.succeeded = style.succeeded or (record.errno is None and record.retval >= 0)
            style.failed = style.failed or record.errno is not None

"""A log as somebody else would have recorded or posted it: the same lines with columns, ends, threads or calls left out.

Each operation takes the lines of a log and gives those that are left, in order; any of them can follow any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from systrace.calls import CHILDREN, EPOLL_SETS, EXECS, EXITS, FORKS, LOOPS, NETWORK, READS, SOCKETS, WRITES

Lines = list[bytes]
Operation = Callable[[Lines], Lines]

_LINE = re.compile(
    rb"(?P<pid>\[pid +\d+\] +|\d+ +)?(?P<clock>(?:\d\d:\d\d:\d\d(?:\.\d+)?|\d+\.\d{6,9}|\d{9,10}) +)?(?P<rest>.*)",
    re.DOTALL,
)
_NAME = re.compile(rb"(?:<\.\.\. )?([a-z_]\w*)(?:\(| resumed)")
_TOOK = re.compile(rb" <(?:\d+\.\d+|unavailable)>(?=\r?\n?\Z)")
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"(\.\.\.)?', re.DOTALL)
_BYTE = re.compile(rb"\\(?:[0-7]{1,3}|x[0-9a-f]{2}|.)|.", re.DOTALL)
_STRING_OR_ANNOTATED = re.compile(
    rb'"(?:[^"\\]|\\.)*"|(?<![\w.])(?P<fd>\d+|AT_FDCWD)<(?:->|"[^"]*"|[^<>"])*>(?:\(deleted\))?', re.DOTALL
)


def called(line: bytes) -> str:
    """The name of the call that a line begins or ends; "signal", "end", or "" for text."""
    rest = _parts(line)["rest"]
    if rest.startswith((b"--- ", b"+++ ")):
        return "signal" if rest.startswith(b"-") else "end"
    found = _NAME.match(rest)
    return found[1].decode() if found is not None else ""


def _parts(line: bytes) -> dict[str, bytes]:
    match = _LINE.match(line)
    return match.groupdict(default=b"") if match is not None else {"pid": b"", "clock": b"", "rest": line}


def foreign(lines: Lines) -> Lines:
    """Without what our own recordings say of themselves: they promise that nothing is missing."""
    return [line for line in lines if not line.startswith(b"# systrace:")]


def no_clock(lines: Lines) -> Lines:
    """Without -t, -tt, -ttt, -r."""
    return [(part := _parts(line))["pid"] + part["rest"] for line in lines]


def no_duration(lines: Lines) -> Lines:
    """Without -T."""
    return [_TOOK.sub(b"", line) for line in lines]


def no_annotations(lines: Lines) -> Lines:
    """Without -y and -yy."""
    return [_STRING_OR_ANNOTATED.sub(lambda found: found["fd"] or found[0], line) for line in lines]


def short_strings(lines: Lines) -> Lines:
    """As with strace's default of -s 32."""
    moved = READS | WRITES
    return [_STRING.sub(_shortened, line) if called(line) in moved else line for line in lines]


def _shortened(match: re.Match[bytes]) -> bytes:
    units = _BYTE.findall(match[1])
    return match[0] if len(units) <= 32 else b'"' + b"".join(units[:32]) + b'"...'


def no_pids(lines: Lines) -> Lines:
    """Without -f: the first thread only, and no column that names it."""
    return [(part := _parts(line))["clock"] + part["rest"] for line in thread(0)(lines)]


def thread(rank: int) -> Operation:
    """One thread's lines: the first to appear (0), or the one with the most lines but `rank` - 1."""

    def keep(lines: Lines) -> Lines:
        counts = Counter(_parts(line)["pid"].strip() for line in lines)
        chosen = next(iter(counts), b"") if rank == 0 else [pid for pid, _n in counts.most_common(rank)][-1:]
        wanted = [chosen] if isinstance(chosen, bytes) else chosen
        return [line for line in lines if _parts(line)["pid"].strip() in wanted]

    return keep


def last_thread(lines: Lines) -> Lines:
    """The lines of the thread that appeared last."""
    order = dict.fromkeys(_parts(line)["pid"].strip() for line in lines)
    return [line for line in lines if _parts(line)["pid"].strip() == list(order)[-1]] if lines else []


def head_cut(per_cent: int) -> Operation:
    """Without its first lines."""
    return lambda lines: lines[len(lines) * per_cent // 100 :]


def tail_cut(per_cent: int) -> Operation:
    """Without its last lines; the last one left is whole."""
    return lambda lines: lines[: len(lines) - len(lines) * per_cent // 100]


def without(names: Iterable[str]) -> Operation:
    """Without these calls (strace -e trace=!...)."""
    hidden = frozenset(names)
    return lambda lines: [line for line in lines if called(line) not in hidden]


def only(names: Iterable[str]) -> Operation:
    """With these calls only (strace -e trace=...); signals and ends are shown all the same."""
    shown = frozenset(names) | {"signal", "end", ""}
    return lambda lines: [line for line in lines if called(line) in shown]


OPERATIONS: dict[str, Operation] = {
    "no-clock": no_clock,
    "no-duration": no_duration,
    "no-annotations": no_annotations,
    "short-strings": short_strings,
    "no-pids": no_pids,
    "first-thread": thread(0),
    "largest-thread": thread(1),
    "second-thread": thread(2),
    "last-thread": last_thread,
    **{f"head-cut-{n}": head_cut(n) for n in (10, 50, 90)},
    **{f"tail-cut-{n}": tail_cut(n) for n in (1, 10, 30, 60)},
    "no-socket": without(SOCKETS),
    "no-connect": without({"connect"}),
    "no-reads": without(READS),
    "no-writes": without(WRITES),
    "no-close": without({"close", "shutdown"}),
    "no-waits": without(LOOPS | EPOLL_SETS),
    "no-exec": without(EXECS),
    "no-fork": without(FORKS),
    "no-wait4": without(CHILDREN),
    "no-ends": without(EXITS | {"end"}),
    "no-signals": without({"signal"}),
    "no-open": without({"open", "openat"}),
    "no-options": without({"getsockopt", "setsockopt", "getpeername", "getsockname"}),
    "network": only(NETWORK),
    "connect": only({"connect"}),
    "connect-poll": only({"connect"} | LOOPS),
    "connect-send-receive": only({"connect", "sendto", "recvfrom"}),
    "connect-read-write": only({"connect", "read", "write"}),
    "network-read-write": only(NETWORK | {"read", "write", "close"}),
    "read-write": only({"read", "write"}),
    "sockets-and-waits": only(NETWORK | LOOPS | EPOLL_SETS | {"close"}),
}

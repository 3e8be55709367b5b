"""One line, one record: columns, results and tails of every version (strace-format sections 2, 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from systrace.model import DETACHED, RESTARTED, UNFINISHED, Health, Input, Record, Style
from systrace.parser import EVERY_NAME, records

MakeRecord = Callable[..., Record]
Read = Callable[..., list[Record]]
S = 1_000_000_000
EPOCH = 1_700_000_000 * S

# (what, line, the record's fields)
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("nothing but the call", "close(3)                                = 0", {"syscall": "close", "args": "3"}),
    ("one blank (-a 1)", "close(3) = 0", {"syscall": "close", "args": "3"}),
    ("pid", "1234  close(3) = 0", {"syscall": "close", "args": "3", "tid": 1234}),
    ("seven digits", "4194303 close(3) = 0", {"syscall": "close", "args": "3", "tid": 4194303}),
    ("pid padded", "7     close(3) = 0", {"syscall": "close", "args": "3", "tid": 7}),
    ("pid and name (-Y)", "7<a b> close(3) = 0", {"syscall": "close", "args": "3", "tid": 7}),
    ("bracket", "[pid   777] close(3) = 0", {"syscall": "close", "args": "3", "tid": 777}),
    ("bracket, unpadded", "[pid 195519] close(3) = 0", {"syscall": "close", "args": "3", "tid": 195519}),
    ("bracket, name", "[pid 777<x>] close(3) = 0", {"syscall": "close", "args": "3", "tid": 777}),
    ("-ttt", "1700000000.000123 close(3) = 0",
     {"syscall": "close", "args": "3", "time_ns": EPOCH + 123_000}),
    ("-ttt, blanks first", "  1700000000.5000 close(3) = 0",
     {"syscall": "close", "args": "3", "time_ns": EPOCH + S // 2}),
    ("nanoseconds", "7 1700000000.000000123 close(3) = 0 <0.000000045>",
     {"syscall": "close", "args": "3", "tid": 7, "time_ns": EPOCH + 123, "duration_ns": 45}),
    ("milliseconds", "7 1700000000.123 close(3) = 0 <1.045>",
     {"syscall": "close", "args": "3", "tid": 7, "time_ns": EPOCH + 123_000_000, "duration_ns": 1_045_000_000}),
    ("whole seconds", "5 1700000000 close(3) = 0 <2>",
     {"syscall": "close", "args": "3", "tid": 5, "time_ns": EPOCH, "duration_ns": 2 * S}),
    ("-t", "5 01:02:03 close(3) = 0", {"syscall": "close", "args": "3", "tid": 5, "time_ns": 3723 * S}),
    ("-tt", "01:02:03.000004 close(3) = 0", {"syscall": "close", "args": "3", "time_ns": 3723 * S + 4000}),
    ("-r", "     0.000120 close(3) = 0", {"syscall": "close", "args": "3", "time_ns": 120_000}),
    ("-r with -tt", "01:02:03.000004 (+     0.000120) close(3) = 0",
     {"syscall": "close", "args": "3", "time_ns": 3723 * S + 4000}),
    ("-n", "7 1700000000.000000 [   3] close(3) = 0",
     {"syscall": "close", "args": "3", "tid": 7, "time_ns": EPOCH}),
    ("-i", "[00007f2c9b0d1a37] close(3) = 0", {"syscall": "close", "args": "3"}),
    ("-i unknown", "[????????????????] close(3) = 0", {"syscall": "close", "args": "3"}),
    ("-n -i", "7 [   3] [00007f2c9b0d1a37] close(3) = 0", {"syscall": "close", "args": "3", "tid": 7}),
    ("--secontext", "7 [unconfined_u:unconfined_r:t:s0-s0:c0.c1023] close(3) = 0",
     {"syscall": "close", "args": "3", "tid": 7}),
    ("x32", "close#64(3) = 0", {"syscall": "close", "args": "3"}),
    ("error", "read(3, 0x7ff, 1) = -1 EAGAIN (Resource temporarily unavailable) <0.000009>",
     {"syscall": "read", "args": "3, 0x7ff, 1", "retval": -1, "errno": "EAGAIN", "duration_ns": 9000,
      "text": " (Resource temporarily unavailable)"}),
    ("unknown error", "read(3, 0x7ff, 1) = -1 (errno 600)",
     {"syscall": "read", "args": "3, 0x7ff, 1", "retval": -1, "errno": "errno 600"}),
    ("old table's error", "read(3, 0x7ff, 1) = -1 ERRNO_58 (Unknown error 58)",
     {"syscall": "read", "args": "3, 0x7ff, 1", "retval": -1, "errno": "ERRNO_58", "text": " (Unknown error 58)"}),
    ("trap 17: Chinese", "connect(3, 0x1, 16) = -1 EINPROGRESS (操作现在正在进行) <0.000010>",
     {"syscall": "connect", "args": "3, 0x1, 16", "retval": -1, "errno": "EINPROGRESS", "duration_ns": 10_000,
      "text": " (操作现在正在进行)"}),
    ("trap 17: latin-1", "connect(3, 0x1, 16) = -1 EINPROGRESS (Op\udce9ration en cours) <0.000010>",
     {"syscall": "connect", "args": "3, 0x1, 16", "retval": -1, "errno": "EINPROGRESS", "duration_ns": 10_000,
      "text": " (Op\udce9ration en cours)"}),
    ("injected", "sendto(7, \"x\", 1, 0, NULL, 0) = -1 ECONNRESET (Connection reset by peer) (INJECTED) <0.000066>",
     {"syscall": "sendto", "args": '7, "x", 1, 0, NULL, 0', "retval": -1, "errno": "ECONNRESET",
      "duration_ns": 66_000, "text": " (Connection reset by peer) (INJECTED)"}),
    ("delayed", "close(3) = 0 (DELAYED) <0.100000>",
     {"syscall": "close", "args": "3", "duration_ns": 100_000_000, "text": " (DELAYED)"}),
    ("no return", "exit_group(3) = ?", {"syscall": "exit_group", "args": "3", "retval": None, "outcome": UNFINISHED}),
    ("unavailable", "read(3, 0x1, 1) = ? <unavailable>",
     {"syscall": "read", "args": "3, 0x1, 1", "retval": None, "outcome": UNFINISHED, "text": " <unavailable>"}),
    ("restarted, 4.6", "read(3, 0x1, 1) = ? ERESTARTSYS (To be restarted)",
     {"syscall": "read", "args": "3, 0x1, 1", "retval": None, "errno": "ERESTARTSYS", "outcome": RESTARTED,
      "text": " (To be restarted)"}),
    ("restarted, poll", "poll(NULL, 0, 5) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <0.1>",
     {"syscall": "poll", "args": "NULL, 0, 5", "retval": None, "errno": "ERESTART_RESTARTBLOCK",
      "outcome": RESTARTED, "duration_ns": S // 10, "text": " (Interrupted by signal)"}),
    ("hex result", "socket(0x2, 0x1, 0) = 0x5", {"syscall": "socket", "args": "0x2, 0x1, 0", "retval": 5}),
    ("flags", "fcntl(5, F_GETFL) = 0x2 (flags O_RDWR)",
     {"syscall": "fcntl", "args": "5, F_GETFL", "retval": 2, "text": " (flags O_RDWR)"}),
    ("annotated result", "socket(AF_INET, SOCK_STREAM, 0) = 5<TCP:[7794]> <0.000005>",
     {"syscall": "socket", "args": "AF_INET, SOCK_STREAM, 0", "retval": 5, "duration_ns": 5000,
      "text": "<TCP:[7794]>"}),
    ("named result (-Y)", "fork() = 23254<netmix>",
     {"syscall": "fork", "args": "", "retval": 23254, "text": "<netmix>"}),
    ("trap 9: Timeout", "poll([{fd=3, events=POLLIN}], 1, 10) = 0 (Timeout)",
     {"syscall": "poll", "args": "[{fd=3, events=POLLIN}], 1, 10", "text": " (Timeout)"}),
    ("trap 14: number of an old strace", "syscall_288(0x5, 0x7fff, 0x7fff, 0x80000, 0, 0) = 0x9",
     {"syscall": "accept4", "args": "0x5, 0x7fff, 0x7fff, 0x80000, 0, 0", "retval": 9}),
    ("trap 14: hexadecimal number", "syscall_0x1b3(0x1, 0x58) = 0x2254",
     {"syscall": "clone3", "args": "0x1, 0x58", "retval": 0x2254}),
    ("trap 18: nested annotation", "read(0</dev/pts/0<char 136:0>>, \"a\", 1) = 1",
     {"syscall": "read", "args": '0</dev/pts/0<char 136:0>>, "a", 1', "retval": 1}),
    ("trap 25: a call in a string", 'write(2, "connect(3) = 0\\n", 15) = 15',
     {"syscall": "write", "args": '2, "connect(3) = 0\\n", 15', "retval": 15}),
    ("trap 25: a result in a string", 'write(2, ") = 7", 5) = -1 EIO (x)',
     {"syscall": "write", "args": '2, ") = 7", 5', "retval": -1, "errno": "EIO", "text": " (x)"}),
    ("detached", "read(3,  <detached ...>", {"syscall": "read", "args": "3,", "retval": None, "outcome": DETACHED}),
    ("killed while inside", "read(3,  <unfinished ...>) = ?",
     {"syscall": "read", "args": "3,", "retval": None, "outcome": UNFINISHED}),
    ("trap 29: never resumed", "exit_group(3 <unfinished ...>",
     {"syscall": "exit_group", "args": "3", "retval": None, "outcome": UNFINISHED}),
    ("unbalanced braces of an old decoder",
     "sigaction(SIGSEGV, {SIG_DFL, , {0x4017dba1, [], SA_RESTART|SA_SIGINFO}, 0) = 0",
     {"syscall": "sigaction", "args": "SIGSEGV, {SIG_DFL, , {0x4017dba1, [], SA_RESTART|SA_SIGINFO}, 0"}),
    ("trap 28: no resumed line", "restart_syscall(<... resuming interrupted poll ...>) = 0",
     {"syscall": "restart_syscall", "args": "<... resuming interrupted poll ...>"}),
    ("trap 24: cut by hand", "read(3, ...) = 5", {"syscall": "read", "args": "3, ...", "retval": 5}),
    ("three-digit time without pid", "12:00:00.123 close(3) = 0",
     {"syscall": "close", "args": "3", "time_ns": 43200 * S + 123_000_000}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_line_is_a_record(read: Read, record: MakeRecord, line: str, fields: dict[str, Any]) -> None:
    """With a newline, without one, and with the line end of Windows."""
    for end in ("\n", "", "\r\n"):
        found = read((line + end).encode("utf-8", "surrogateescape"), as_is=True)
        assert [r for r in found if r.args != b"renames"] == [record(**fields)]


@pytest.mark.parametrize("name", [row[0] for row in ROWS])
def test_nothing_of_these_is_unparsed(read: Read, health: Health, name: str) -> None:
    """Health counts a record, and no line that could not be read."""
    read(next(row[1] for row in ROWS if row[0] == name) + "\n", as_is=True)
    assert (health.lines, health.records, health.unparsed, health.foreign) == (1, 1, 0, 0)


def test_a_line_may_be_long(read: Read) -> None:
    """Trap 32: a megabyte in one record; evidence keeps its ends only."""
    data = "x" * 1_000_000
    (found,) = read(f'7 1700000000.000000 write(1, "{data}", 1000000) = 1000000 <0.1>\n')
    assert (found.retval, len(found.args)) == (1_000_000, 1_000_014)


def test_midnight(read: Read) -> None:
    """A time of day that falls back by half a day is the next day; a straggler from before midnight is not."""
    text = "23:59:59 close(1) = 0\n00:00:01 close(2) = 0\n23:59:59 close(3) = 0\n00:00:02 close(4) = 0\n"
    assert [r.time_ns for r in read(text)] == [n * S for n in (86_399, 86_401, 86_399, 86_402)]


def test_two_midnights(read: Read) -> None:
    """Each day counts."""
    text = "".join(f"{h:02}:00:00 close({d}) = 0\n" for d in range(3) for h in (1, 9, 17, 23))
    expected = [(d * 24 + h) * 3600 * S for d in range(3) for h in (1, 9, 17, 23)]
    assert [r.time_ns for r in read(text)] == expected


def test_a_clock_step_is_no_midnight(read: Read) -> None:
    """File order is the truth; a stamp that goes back a little stays where it is."""
    text = "7 1700000010.000000 close(1) = 0\n7 1700000005.000000 close(2) = 0\n"
    assert [(r.lineno, r.time_ns) for r in read(text)] == [(1, EPOCH + 10 * S), (2, EPOCH + 5 * S)]


def test_relative_times_add_up(read: Read) -> None:
    """-r counts from the line before, whatever it is, resumed lines too."""
    text = (
        "     0.000000 close(1) = 0\n     1.000000 read(3,  <unfinished ...>\n"
        '     0.500000 <... read resumed>"a", 1) = 1\n     0.250000 close(2) = 0\n'
    )
    assert [(r.syscall, r.time_ns, r.duration_ns) for r in read(text)] == [
        ("close", 0, None), ("read", S, S // 2), ("close", 1_750_000_000, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1234 1700000000.000000 close(3) = 0 <0.000001>", Style("bare", "epoch", True)),
        ("[pid  12] 10:00:00 close(3) = 0", Style("bracket", "time-of-day")),
        ("     0.000001 close(3) = 0", Style("none", "relative")),
        ("close(3) = 0", Style()),
    ],
)
def test_the_style_of_a_log(read: Read, style: Style, line: str, expected: Style) -> None:
    """Columns and options, as far as lines show them."""
    read(line + "\n")
    assert style == expected


@pytest.mark.parametrize(
    ("lines", "torn"),
    [
        ([b"9 close(3) = 0\n", b"9 close(4) = 0\n"], False),
        ([b"9 close(3) = 0\n", b"9 clos"], True),
        ([b"9 close(3) = 0", b"9 close(4) = 0"], False),  # as the follower of a running job gives them
        ([], False),
    ],
)
def test_a_log_is_torn_where_its_last_line_alone_has_no_end(lines: list[bytes], torn: bool) -> None:
    health = Health()
    list(records([Input("log", lines)], EVERY_NAME, health, Style()))
    assert health.torn is torn
    assert health.lines == len(lines)

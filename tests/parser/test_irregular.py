"""Records over several lines, foreign text, threads and ends (strace-format sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.model import DETACHED, ENDED, RETURNED, UNFINISHED, Health, Input, Record, Style
from systrace.parser import EVERY_NAME, records

Read = Callable[..., list[Record]]
S = 1_000_000_000
Short = tuple[str, int, str, int | None]


def short(found: list[Record]) -> list[Short]:
    """(call, thread, arguments, result)"""
    return [(r.syscall, r.tid, r.args.decode(), r.retval) for r in found]


@pytest.mark.parametrize(
    ("entry", "resumed"),
    [
        ("accept4(5,  <unfinished ...>", "<... accept4 resumed> {sa_family=AF_UNIX}, [2], 0) = 6"),
        ("accept4(5,  <unfinished ...>", "<... accept4 resumed>{sa_family=AF_UNIX}, [2], 0) = 6"),
        ("accept4(5 <unfinished ...>", "<... accept4 resumed>, {sa_family=AF_UNIX}, [2], 0) = 6"),
    ],
    ids=["up to 4.26", "5.0", "6.16"],
)
def test_trap_4_the_halves_of_a_call(read: Read, entry: str, resumed: str) -> None:
    """The comma and blanks stand on either side, by version."""
    found = read(f"7 1700000000.000000 {entry}\n8 1700000000.5 close(1) = 0\n7 1700000002.000000 {resumed}\n")
    assert short(found)[-1] == ("accept4", 7, "5, {sa_family=AF_UNIX}, [2], 0", 6)
    assert found[-1].duration_ns == 2 * S
    assert found[-1].lineno == 1


def test_trap_5_the_duration_column_outranks_the_stamps(read: Read) -> None:
    """-T of a resumed line is the whole call."""
    (found,) = read(
        '7 1700000000.000000 read(3,  <unfinished ...>\n7 1700000005.000000 <... read resumed>"", 1) = 0 <4.5>\n'
    )
    assert found.duration_ns == 4_500_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('write(1, "netmix: starting (stdout is shar"..., 51netmix: starting (stdout is shared with the trace)\n) = 51\n',
         [("write", 0, '1, "netmix: starting (stdout is shar"..., 51', 51)]),
        ('write(6, "1..16\\n", 61..16\n)                  = 6\n', [("write", 0, '6, "1..16\\n", 6', 6)]),
        ('read(0, 9\n"9\\n", 1024)                    = 2\n', [("read", 0, '0, 9"9\\n", 1024', 2)]),
        ('write(1, "Hola Mundo!!\\n", 13Hola Mundo!!) = 13\n', [("write", 0, '1, "Hola Mundo!!\\n", 13Hola Mundo!!', 13)]),
    ],
    ids=["text", "digits glue", "typed echo", "one line"],
)  # fmt: skip
def test_trap_1_output_within_a_record(read: Read, text: str, expected: list[Short]) -> None:
    """What the program wrote to the same place lands in the middle of its own record."""
    assert short(read(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clone(child_stack=NULL, flags=SIGCHLD/usr/bin/strace: Process 2034 attached\n, child_tidptr=0x7f) = 2034\n",
         [("clone", 0, "child_stack=NULL, flags=SIGCHLD, child_tidptr=0x7f", 2034)]),
        ("accept4(8, /usr/bin/strace: Process 20973 detached\n <detached ...>\n",
         [("detached", 20973, "", None), ("accept4", 0, "8,", None)]),
        ("poll([{fd=5, events=POLLIN}], 1, 500Process 18962 detached\n <detached ...>\n",
         [("detached", 18962, "", None), ("poll", 0, "[{fd=5, events=POLLIN}], 1, 500", None)]),
    ],
    ids=["attached", "detached", "old"],
)  # fmt: skip
def test_trap_2_messages_within_a_record(read: Read, text: str, expected: list[Short]) -> None:
    """strace's own messages, with and without its name before them; that of a fork is in its result too."""
    assert short(read(text)) == expected


def test_trap_2_a_message_in_place_of_the_arguments(read: Read) -> None:
    """`clone(Process N attached`, and its end later."""
    text = "clone(Process 7899 attached\n <unfinished ...>\n[pid  7899] close(1) = 0\n[pid  7898] <... clone resumed>) = 7899\n"
    calls = [row for row in short(read(text)) if row[0] in ("clone", "close")]
    assert calls == [("close", 7899, "1", 0), ("clone", 7898, "", 7899)]


def test_trap_3_a_line_without_a_pid_changes_its_owner(read: Read) -> None:
    """It is of the only task alive: first the parent, then, after its end, the child."""
    text = (
        "fork() = 12\nstrace: Process 12 attached\n[pid    11] close(1) = 0\n[pid    12] close(2) = 0\n"
        "[pid    11] exit_group(0) = ?\n[pid    11] +++ exited with 0 +++\nclose(3) = 0\n+++ exited with 4 +++\n"
    )
    assert [row for row in short(read(text)) if row[0] in ("close", "exited")] == [
        ("close", 11, "1", 0), ("close", 12, "2", 0), ("exited", 11, "0", None), ("close", 12, "3", 0),
        ("exited", 12, "4", None),
    ]  # fmt: skip


@pytest.mark.parametrize("columns", ["", "strace: ", "02:51:35.396022 ", "[pid   777] 1700000000.000000 ", "777 "])
def test_the_personality_of_a_program_is_no_output_of_it(read: Read, health: Health, columns: str) -> None:
    """A 32-bit program is announced, also behind the columns."""
    found = read(f"{columns}close(3) = 0\n{columns}[ Process PID=777 runs in 32 bit mode. ]\n")
    assert [r.syscall for r in found if r.args != b"renames"] == ["close"]
    assert (health.unparsed, health.foreign) == (0, 0)


def test_trap_25_and_31_what_stands_between_records_is_passed_over(read: Read, health: Health) -> None:
    """Dumps, stacks and tables belong to a record or to none; they hold text that looks like records."""
    text = (
        '7 1700000000.000000 read(3, "x", 9) = 9\n | 00000  3d 20 33 20 3c 2e 2e 2e  20 00                = 3 <... .       |\n'
        " * 9 bytes in buffer 0\n = 1 buffers in vector 0\n > /usr/lib/libc.so.6(read+0xa) [0x10a8ba]\n"
        "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----\n"
        " 60.00    0.000003           3         1           read\n100.00    0.000005                     2         1 total\n"
    )
    assert short(read(text)) == [("read", 7, '3, "x", 9', 9)]
    assert (health.unparsed, health.foreign) == (0, 0)


@pytest.mark.parametrize(
    ("line", "kind", "args"),
    [
        (
            "--- SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER} ---",
            "signal",
            "SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER}",
        ),
        ("--- {si_signo=SIGPIPE} (Broken pipe) ---", "signal", "{si_signo=SIGPIPE} (Broken pipe)"),
        ("--- SIGPIPE (Broken pipe) @ 0 (0) ---", "signal", "SIGPIPE (Broken pipe) @ 0 (0)"),
        ("--- stopped by SIGSTOP ---", "signal", "stopped by SIGSTOP"),
        ("+++ exited with 3 +++", "exited", "3"),
        ("+++ killed by SIGSEGV (core dumped) +++", "killed", "SIGSEGV"),
    ],
)
def test_other_lines(read: Read, line: str, kind: str, args: str) -> None:
    """Signals of three generations, ends of two."""
    (found,) = read(f"7 1700000000.000000 {line}\n")
    assert (found.tid, found.args.decode(), found.time_ns) == (7, args, 1_700_000_000 * S)
    assert kind in found.syscall


@pytest.mark.parametrize("mark", ["pid changed to 29617", "unfinished"])
def test_trap_27_a_thread_that_calls_exec_becomes_the_leader(read: Read, mark: str) -> None:
    """`pid changed to` (or another thread's line came first), `superseded`, and the end under the other number."""
    text = (
        f'29620 execve("/x", ["x"], 0x1 <{mark} ...>\n'
        "29617 +++ superseded by execve in pid 29620 +++\n29617 <... execve resumed>) = 0\n"
    )
    assert short(read(text)) == [
        ("superseded", 29617, "29620", None), ("execve", 29617, '"/x", ["x"], 0x1', 0),
    ]  # fmt: skip


EXEC = '17 1700000000.000002 execve("/x", ["x"], 0x1 /* 35 vars */'


@pytest.mark.parametrize(
    "text",
    [
        f"{EXEC} <unfinished ...>\n11 1700000000.000003 <... futex resumed>) = 0 <0.000003>\n"
        "11 1700000000.000004 +++ superseded by execve in pid 17 +++\n"
        "11 1700000000.000005 <... execve resumed>) = -1 (errno 18446744073709551359) <0.000003>\n",
        f"{EXEC} <pid changed to 11 ...>\n11 1700000000.000004 +++ superseded by execve in pid 17 +++\n"
        "11 1700000000.000005 <... execve resumed>) = -1 (errno 18446744073709551359) <0.000003>\n",
        f"{EXEC} <unfinished ...>\n11 1700000000.000003 {EXEC.partition(' ')[2].partition(' ')[2]}"
        "11 1700000000.000004 +++ superseded by execve in pid 17 +++\n"
        "11 1700000000.000005 <... execve resumed>) = 0 <0.000003>\n",
        f"{EXEC} <unfinished ...>\n11 1700000000.000004 +++ superseded by execve in pid 17 +++\n"
        "11 1700000000.000005 +++ exited with 3 +++\n",
    ],
    ids=["unfinished", "pid changed", "begun again", "no end"],
)
def test_an_exec_that_superseded_has_succeeded(read: Read, health: Health, text: str) -> None:
    """Whatever strace 6.1 --seccomp-bpf prints on a busy machine: the notice comes with a success only (ptrace(2))."""
    began = "11 1700000000.000001 futex(0x1, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>\n"
    found = [record for record in read(f"{began}{text}") if record.syscall == "execve"]
    assert [(r.tid, r.args, r.retval, r.errno, r.outcome) for r in found] == [
        (11, b'"/x", ["x"], 0x1 /* 35 vars */', 0, None, RETURNED)
    ]
    assert (health.unparsed, health.orphan_resumes) == (0, 0)


def test_trap_23_cut_at_both_ends(read: Read, health: Health) -> None:
    """A resumed line without its start is counted; a call that was being written did not wait: it may have ended."""
    found = read('7 <... read resumed>"a", 1) = 1\n7 close(1) = 0\n7 poll([{fd=3, eve')
    assert [(r.syscall, r.retval, r.outcome == ENDED) for r in found] == [
        ("read", 1, False), ("close", 0, False), ("poll", None, True),
    ]  # fmt: skip
    assert health.orphan_resumes == 1


def test_trap_24_prose_is_counted_not_parsed(read: Read, health: Health) -> None:
    """Notes that somebody typed into the log."""
    found = read("7 1700000000.000000 close(1) = 0\n<SNIP>\n... and then:\n$ ls\n7 1700000001.000000 close(2) = 0\n")
    assert [r.args for r in found if r.syscall == "close"] == [b"1", b"2"]
    assert health.unparsed == 3


@pytest.mark.parametrize("mark", ["<unfinished ...>", "<detached ...>"])
def test_the_end_of_a_task_ends_its_call(read: Read, mark: str) -> None:
    """A call without a result is told before the end of its thread."""
    found = read(f"7 read(3,  {mark}\n7 +++ killed by SIGKILL +++\n")
    assert [r.syscall for r in found] == ["read", "killed"]
    assert found[0].outcome == (DETACHED if "detached" in mark else UNFINISHED)


def test_trap_20_what_is_no_strace(read: Read, health: Health) -> None:
    """truss, ltrace and shells: no record, no exception."""
    text = 'ioctl(0,TIOCGWINSZ,0xffffea98)\t\t\t ERR#25 ENOTTY\nsh: strace: command not found\nputs("x")  = 2\n'
    found = read(text)
    assert [r.syscall for r in found if r.retval is not None] == ["puts"]
    assert health.foreign == 1


CALLS = [
    'read(3, "a, b", 10) = 4', "accept4(5, {sa_family=AF_INET, sin_port=htons(1)}, [128 => 16], 0) = 9",
    'sendto(5, "x) = 7 <unfinished ...", 20, 0, NULL, 0) = 20', "poll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)",
    "connect(3, {sa_family=AF_UNIX, sun_path=\"/a b\"}, 8) = -1 ENOENT (No such file or directory)",
    'recvfrom(3, "\\"\\\\", 2, 0, NULL, NULL) = 2', "futex(0x1, FUTEX_WAIT, 2, NULL) = ? ERESTARTSYS (To be restarted)",
]  # fmt: skip
CUTS = {
    "read": 'read(3, ', "accept4": "accept4(5, ", "sendto": 'sendto(5, "x) = 7 <unfinished ...", 20, 0, NULL, 0',
    "poll": "poll([{fd=3, events=POLLIN}], 1, 5", "connect": 'connect(3, {sa_family=AF_UNIX, sun_path="/a b"}, 8',
    "recvfrom": "recvfrom(3, ", "futex": "futex(0x1, FUTEX_WAIT, 2, NULL",
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([7, 8, 9]), st.sampled_from(CALLS)), min_size=1, max_size=25),
    st.randoms(use_true_random=False),
    st.sampled_from(["4.26", "5.0", "6.16"]),
)
def test_cut_and_interleaved_calls_equal_the_whole_ones(
    plan: list[tuple[int, str]], random: object, version: str
) -> None:
    """Calls of several threads, cut into halves at random: the same records for each thread."""
    assert hasattr(random, "random")
    lines: list[str] = []
    waiting: dict[int, tuple[str, str]] = {}
    for tid, call in plan:
        if tid in waiting:
            lines.append(resumed(tid, *waiting.pop(tid)))
        name = call.partition("(")[0]
        if random.random() < 0.6:
            head, tail = CUTS[name], call[len(CUTS[name]) :]
            if version == "6.16" and head.endswith(", "):
                head, tail = head[:-2], ", " + tail
            lines.append(f"{tid} {head} <unfinished ...>")
            waiting[tid] = (name, f" {tail}" if version == "4.26" else tail)
        else:
            lines.append(f"{tid} {call}")
    lines += [resumed(tid, *half) for tid, half in waiting.items()]
    assert by_thread(lines) == by_thread([f"{tid} {call}" for tid, call in plan])


def resumed(tid: int, name: str, tail: str) -> str:
    """The second half."""
    return f"{tid} <... {name} resumed>{tail}"


def by_thread(lines: list[str]) -> dict[int, list[tuple[str, bytes, int | None, str | None, bytes]]]:
    """What each thread did, in order."""
    found: dict[int, list[tuple[str, bytes, int | None, str | None, bytes]]] = {}
    source = Input("log", [line.encode() + b"\n" for line in lines])
    for r in records([source], EVERY_NAME, Health(), Style()):
        found.setdefault(r.tid, []).append((r.syscall, r.args, r.retval, r.errno, r.result_text))
    return found

"""Waits that are hard to bring about on purpose, and the order of importance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.look.nouns import Call, Descriptor, End, FileLock, Limit, Look, ProcessState, Thread
from systrace.model import Step
from systrace.rules.look.diagnose import Diagnosis, diagnose

THREAD = Thread(42, 42, "job", "S", "", Call(0, "read", (3, 0, 0, 0, 0, 0), 3, ((3, "r"),)), 90 * 10**9)
FILE = Descriptor(3, "file", "/mnt/nfs/data.csv", 7, readable=True, writable=False)


def judged(thread: Thread, *descriptors: Descriptor, **more: object) -> Diagnosis:
    process = ProcessState(42, 1, "job", ("job",), thread.state, 0, 1, "x86_64", (thread,), descriptors, tracer=9)
    empty = Look(42, 0, 0, "6.18.1", (process,), (), (), {}, {}, ())
    return diagnose(replace(empty, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("thread", "variant", "severity", "says"),
    [
        (replace(THREAD, state="D"), "disk", "fatal", "waits for /mnt/nfs/data.csv (disk, NFS or another device)"),
        (replace(THREAD, call=Call(74, "fsync", (3,), 3)), "disk", "fatal", "blocked 90 s in fsync: it waits for /mnt"),
        (
            replace(THREAD, state="D", call=Call(262, "newfstatat", (), detail="/mnt/x")),
            "disk",
            "fatal",
            "waits for /mnt/x",
        ),
        (replace(THREAD, state="D", call=None), "disk", "info", "is blocked outside a system call"),
        (replace(THREAD, state="D", call=Call(58, "vfork", ())), "child", "info", "its new child has started"),
        (replace(THREAD, state="t"), "traced", "error", "is held by its tracer, process 9"),
        (replace(THREAD, state="Z", call=None), "zombie", "info", "waits for its parent 1"),
        (replace(THREAD, call=None, readable=False, wchan="do_wait"), "hidden", "info", "sleeps in do_wait: a child"),
        (replace(THREAD, state="R", call=None, cpu_share=0.97), "cpu", "warning", "used 97 % of a CPU"),
        (replace(THREAD, state="R", call=None, cpu_share=0.1), "running", "info", "was awake when we looked"),
        (replace(THREAD, call=Call(73, "ppoll", (0, 0, 0, 0, 0, 0))), "signal", "info", "it waits for a signal"),
        (replace(THREAD, call=Call(73, "ppoll", (0, 0, 9, 0, 0, 0), limit_ns=9)), "sleep", "info", "sleeps on purpose"),
        (replace(THREAD, call=Call(61, "wait4", (), detail="any child")), "child", "info", "and has none in sight"),
        (
            replace(THREAD, call=Call(202, "futex", (), detail="mutex owned by thread 44")),
            "futex",
            "warning",
            "thread 44",
        ),
        (replace(THREAD, call=Call(202, "futex", (), detail="end of thread 43")), "futex", "info", "end of thread 43"),
        (replace(THREAD, call=Call(426, "io_uring_enter", (9,), 9)), "other", "info", "blocked 90 s in io_uring_enter"),
    ],
)
def test_one_thread(thread: Thread, variant: str, severity: str, says: str) -> None:
    diagnosis = judged(thread, FILE)
    first = diagnosis.findings[0]
    assert (first.cause, first.variant, first.severity) == ("not-network", variant, severity)
    assert says in diagnosis.headline


def test_a_traced_process_that_runs_is_told_apart_from_one_that_is_held() -> None:
    first, note = judged(THREAD, FILE).findings
    assert first.variant != "traced"
    assert (note.variant, note.severity) == ("traced", "info")
    assert "job[42] is traced by process 9, which slows it down" in note.summary
    held = replace(THREAD, state="t")
    process = ProcessState(42, 1, "job", ("job",), "t", 0, 1, "x86_64", (held,))
    assert (
        "its tracer, a process out of our sight"
        in diagnose(Look(42, 0, 0, "", (process,), (), (), {}, {}, ())).headline
    )


def test_a_lock_whose_holder_is_outside_points_there() -> None:
    thread = replace(THREAD, call=Call(73, "flock", (3, 2), 3))
    first = judged(thread, FILE, locks=(FileLock(42, 77, "FLOCK", 7),)).findings[0]
    assert "the lock on /mnt/nfs/data.csv is held by process 77" in first.summary
    assert Step("systrace attach 77 --passive") in first.next_steps


def test_a_pipe_from_outside_points_at_its_writer() -> None:
    pipe = Descriptor(3, "pipe", "pipe:[55]", 55, readable=True, writable=False)
    ends = {55: (End(42, "job", readable=True, writable=False), End(77, "feeder", readable=False, writable=True))}
    first = judged(THREAD, pipe, holders=ends).findings[0]
    assert (first.variant, first.severity) == ("pipe", "fatal")
    assert "no data yet from feeder[77]" in first.summary
    assert first.next_steps == [Step("systrace attach 77 --passive")]


def test_what_could_not_be_read_is_the_last_finding() -> None:
    limits = (Limit("the calls and descriptors of process 43", "process 43 belongs to user x", "sudo"),)
    last = judged(THREAD, FILE, limits=limits).findings[-1]
    assert last.cause == "inconclusive"
    assert "process 43 belongs to user x" in last.summary
    assert last.remedy == ["sudo"]


def test_no_thread_left_is_a_finding_too() -> None:
    process = ProcessState(42, 1, "job", (), "X", 0, 1, "x86_64", ())
    diagnosis = diagnose(Look(42, 0, 0, "6.18.1", (process,), (), (), {}, {}, ()))
    assert diagnosis.findings[0].cause == "inconclusive"
    assert diagnosis.findings[0].lines


@pytest.mark.parametrize(("detail", "severity"), [("child 41", "fatal"), ("child 99", "info")])
def test_who_waits_for_a_shell_waits_for_what_it_runs(detail: str, severity: str) -> None:
    """`Popen(["sh", "-c", "curl ..."], stdout=PIPE).wait()`: nobody reads what curl writes."""
    full = Descriptor(1, "pipe", "pipe:[7]", 7, readable=False, writable=True)
    writes = Thread(42, 42, "curl", "S", "", Call(1, "write", (1, 0, 0, 0, 0, 0), 1, ((1, "w"),)), 90 * 10**9)

    def waiting(pid: int, parent: int, child: str) -> ProcessState:
        thread = Thread(pid, pid, "job", "S", "", Call(61, "wait4", (), detail=child), 90 * 10**9)
        return ProcessState(pid, parent, "job", ("job",), "S", 0, 1, "x86_64", (thread,))

    curl = ProcessState(42, 41, "curl", ("curl",), "S", 0, 1, "x86_64", (writes,), (full,))
    ends = (End(40, "job", readable=True, writable=False), End(42, "curl", readable=False, writable=True))
    tree = (waiting(40, 1, detail), waiting(41, 40, "any child"), curl)
    look = Look(40, 0, 0, "6.18.1", tree, (), (), {7: ends}, {}, ())
    assert diagnose(look).findings[0].severity == severity

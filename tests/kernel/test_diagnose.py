"""What really hung processes are said to wait for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systrace.kernel.snapshot import take
from systrace.look.nouns import SocketState
from systrace.model import Draft, Step
from systrace.rules.look.diagnose import diagnose
from systrace.rules.look.interrupting import interrupted_by_attach

pytestmark = pytest.mark.real
Hang = Callable[..., Any]
Until = Callable[..., None]

# kind of hang, call it blocks in, cause, variant, what the headline must say
HANGS = [
    (
        "recv",
        "recvfrom",
        "hung-read",
        "no-deadline",
        r"nothing outstanding.*no keepalive, no timeout: it will wait for",
    ),
    (
        "recv_timeout",
        "recvfrom",
        "read-timeout",
        "pending",
        r"its own limit of 30 s \(SO_RCVTIMEO\) ends it in [23]\d s",
    ),
    ("send", "sendto", "send-blocked", None, r"bytes unread by the peer"),
    ("poll", "poll", "hung-read", "no-deadline", r"in p?poll for fd 4 to 127\.0\.0\.1:\d+"),
    ("epoll", "epoll_wait", "hung-read", "no-deadline", r"in epoll_p?wait for fd 4 .*no answer|not one byte received"),
    ("accept", "accept4", "hung-read", "accept", r"a server that waits for a client"),
    ("udp", "recvfrom", "dns-timeout", "pending", r"127\.0\.0\.1:53, UDP, nothing has come, no timeout"),
    ("unix", "recvfrom", "hung-read", "no-deadline", r"unix socket"),
    ("futex", "futex", "not-network", "futex", r"a lock, condition or another thread"),
    ("mutex_itself", "futex", "not-network", "deadlock", r"held in a circle \(itself\): deadlock"),
    ("join", "recvfrom", "hung-read", "no-deadline", r"thread \d+ .*recvfrom on fd 4"),
    ("pipe_deadlock", "wait4", "not-network", "deadlock", r"it waits for this very process to end: deadlock"),
    ("own_pipe", "read", "not-network", "deadlock", r"only write end itself"),
    ("fifo", "openat", "not-network", "pipe", r"of the FIFO \S+/lock: nobody has opened its other end"),
    ("flock", "flock", "not-network", "lock", r"the lock on \S+ is held by hang\.py\[\d+\]"),
    ("sleep", "clock_nanosleep", "not-network", "sleep", r"it sleeps on purpose, (600|59\d) s left"),
    ("tty", "read", "not-network", "stdin", r"/dev/pts/\d+: it waits for keyboard input"),
    ("sigwait", "pause", "not-network", "signal", r"waits for a signal"),
]


@pytest.mark.parametrize(("kind", "call", "cause", "variant", "says"), HANGS, ids=[row[0] for row in HANGS])
def test_each_kind_of_hang_is_named(
    hang: Hang, tmp_path: Path, kind: str, call: str, cause: str, variant: str | None, says: str
) -> None:
    victim = hang(kind, tmp_path / "lock")
    victim.settle(call)
    if kind == "pipe_deadlock":
        victim.settle("write", int(victim.words[0]))
    diagnosis = diagnose(take(victim.pid))
    first = diagnosis.findings[0]
    assert first.cause == cause
    assert variant in (None, first.variant)
    assert re.search(says, diagnosis.headline), diagnosis.headline
    assert diagnosis.headline in first.summary
    assert first.lines
    assert first.refuted_by


def test_a_send_into_a_closed_window_says_that_only_the_peers_program_is_stuck(hang: Hang, until: Until) -> None:
    victim = hang("send")
    victim.settle("sendto")

    def state() -> SocketState:
        return next(s for s in take(victim.pid).sockets if s.fd == int(victim.words[0]))

    until(lambda: state().timer == "persist")  # first the kernel asks as for a lost packet
    assert state().unsent
    assert "receive window is closed" in diagnose(take(victim.pid)).headline


def test_slices_of_a_poll_loop_are_no_deadline(hang: Hang, until: Until) -> None:
    victim = hang("poll_slices")
    victim.settle("pselect6")
    until(lambda: (take(victim.pid).sockets[0].silent_ms or 0) > 900)
    until(lambda: "asks again every 0.2 s (pselect6): it will wait" in diagnose(take(victim.pid)).headline)


def test_two_threads_that_hold_what_the_other_wants_are_a_deadlock(hang: Hang, until: Until) -> None:
    victim = hang("mutex_circle")
    victim.settle("futex")

    def waits() -> list[str]:
        return [t.call.detail for t in take(victim.pid).threads if t.call is not None]

    until(lambda: sum("mutex owned by" in detail for detail in waits()) == 2)
    diagnosis = diagnose(take(victim.pid))
    first, second = sorted(t.tid for t in take(victim.pid).threads)
    assert (diagnosis.findings[0].variant, diagnosis.findings[0].severity) == ("deadlock", "fatal")
    assert f"{first} -> {second} -> {first}" in diagnosis.headline or f"{second} -> {first}" in diagnosis.headline


def test_a_thread_that_waits_for_the_end_of_another_says_which(hang: Hang) -> None:
    victim = hang("join_native")
    victim.settle("clock_nanosleep")
    victim.settle("futex")
    snapshot = take(victim.pid)
    other = max(t.tid for t in snapshot.threads)
    assert f"it waits for the end of thread {other}" in " ".join(f.summary for f in diagnose(snapshot).findings)


def test_the_child_that_is_waited_for_is_judged(hang: Hang) -> None:
    victim = hang("child")
    victim.settle("wait4")
    victim.settle("clock_nanosleep", int(victim.words[0]))
    diagnosis = diagnose(take(victim.pid))
    assert diagnosis.headline.startswith(f"sleep[{victim.words[0]}] blocked")
    assert f"it waits for sleep[{victim.words[0]}] to end" in diagnosis.findings[1].summary


def test_a_pipe_names_its_writer(hang: Hang) -> None:
    victim = hang("pipe")
    victim.settle("read")
    findings = diagnose(take(victim.pid)).findings
    assert any(f"no data yet from sleep[{victim.words[0]}]" in finding.summary for finding in findings)


def test_a_fifo_names_its_writer(hang: Hang, tmp_path: Path) -> None:
    victim = hang("fifo_read", tmp_path / "fifo")
    victim.settle("read")
    victim.settle("clock_nanosleep", int(victim.words[0]))
    findings = diagnose(take(victim.pid)).findings
    says = f"a pipe {tmp_path}/fifo: no data yet from sleep[{victim.words[0]}]"
    assert any(says in finding.summary for finding in findings)


def test_a_dead_file_system_hangs_the_victim_only(hang: Hang, tmp_path: Path) -> None:
    """Like NFS without its server: whoever as much as asks for a file's size hangs too."""
    victim = hang("dead_file_system", tmp_path, prefix=("unshare", "--mount", "--propagation", "private"))
    victim.settle("read")
    diagnosis = diagnose(take(victim.pid))
    assert (diagnosis.findings[0].variant, "/late.csv" in diagnosis.headline) == ("disk", True)


def test_a_pipe_of_a_process_outside_the_tree_is_found(hang: Hang) -> None:
    victim = hang("pipe")
    victim.settle("clock_nanosleep", int(victim.words[0]))
    child = take(int(victim.words[0]))  # its standard output is read by its parent
    assert child.root.pid == int(victim.words[0])
    victim.settle("read")
    reader = take(victim.pid)
    ends = {end.pid for ends in reader.holders.values() for end in ends}
    assert ends == {victim.pid, int(victim.words[0])}


def test_a_record_lock_names_its_holder(hang: Hang, tmp_path: Path) -> None:
    victim = hang("record_lock", tmp_path / "lock")
    holder = victim.words[0]
    victim.process.stdin.write("go\n")
    victim.process.stdin.flush()
    victim.settle("fcntl")
    assert f"is held by hang.py[{holder}]" in diagnose(take(victim.pid)).headline


def test_a_busy_process_is_no_wait(hang: Hang) -> None:
    victim = hang("busy")
    diagnosis = diagnose(take(victim.pid))
    assert diagnosis.findings[0].variant in ("cpu", "running")  # a loaded machine may give it less than half a CPU
    thread = take(victim.pid).threads[0]
    assert thread.state == "R"
    assert thread.cpu_share is not None


def test_a_stopped_process_outranks_everything(hang: Hang, until: Until) -> None:
    victim = hang("stopped")
    until(lambda: take(victim.pid).root.state == "T")
    diagnosis = diagnose(take(victim.pid))
    assert diagnosis.findings[0].variant == "stopped"
    assert diagnosis.findings[0].next_steps == [Step(f"kill -CONT {victim.pid}")]


def test_unread_data_is_noted_and_cleaned(hang: Hang, until: Until) -> None:
    victim = hang("unread")
    victim.settle("clock_nanosleep")
    snapshot = take(victim.pid)
    state = next(s for s in snapshot.sockets if s.fd == int(victim.words[0]))
    assert state.unread == 34
    assert state.unread_head == "HTTP/1.1 502 Bad Gateway\\x0d\\x0a\\x1b[2Jevil"

    def notes() -> list[Draft]:
        return [f for f in diagnose(take(victim.pid)).findings if f.variant == "unread-data"]

    assert not notes()  # it may be about to read them
    until(lambda: bool(notes()), pause=0.5)
    note = notes()[0]
    assert "34 bytes" in note.summary
    assert "\x1b" not in note.summary


@pytest.mark.parametrize(
    ("kind", "call", "says"),
    [
        ("epoll", "epoll_wait", r"epoll_p?wait on fd 3 will fail with EINTR"),
        ("recv_timeout", "recvfrom", r"recvfrom on fd 4 will fail with EINTR \(SO_RCVTIMEO is set\)"),
        ("recv", "recvfrom", None),
        ("poll", "poll", None),
        ("sleep", "clock_nanosleep", None),
    ],
)
def test_what_an_attach_would_interrupt_is_said_beforehand(hang: Hang, kind: str, call: str, says: str | None) -> None:
    victim = hang(kind)
    victim.settle(call)
    warnings = interrupted_by_attach(take(victim.pid))
    assert len(warnings) == (says is not None)
    assert says is None or re.search(says, warnings[0].what)

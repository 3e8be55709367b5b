"""Processes that are dead, half dead, frozen, traced, or number themselves differently: the verdict is right and plain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace.kernel import procfs
from systrace.kernel.permission import refusal
from systrace.kernel.snapshot import take
from systrace.rules.look.diagnose import diagnose

pytestmark = pytest.mark.real
Hang = Callable[..., Any]
Until = Callable[..., None]


@contextlib.contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """A fork of ours that does `work`; killed in the end."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def in_state(pid: int, state: str) -> bool:
    stat = procfs.stat_of(pid)
    return stat is not None and stat.state == state


# ------------------------------------------------------------------------------------------------- dead and half dead


def test_a_dead_child_that_nobody_asked_about_explains_nothing(until: Until) -> None:
    def work() -> None:
        if os.fork() == 0:
            os._exit(0)
        time.sleep(60)

    with child(work) as pid:
        until(lambda: any(in_state(each, "Z") for each in procfs.tree(pid)[1:]))
        diagnosis = diagnose(take(pid))
        assert diagnosis.headline.endswith(" left")
        assert "sleeps on purpose" in diagnosis.headline


HALF_DEAD = """
    import ctypes, os, socket, threading
    left, right = socket.socketpair()
    threading.Thread(target=lambda: left.recv(1)).start()
    print(left.fileno(), flush=True)
    ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_lives_on_without_its_first_thread(until: Until) -> None:
    """Its own /proc files are those of a zombie: descriptors, program and memory are found with the other threads."""
    text = "\n".join(line.strip() for line in HALF_DEAD.splitlines())
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            number = process.stdout.readline().strip()
            until(lambda: in_state(process.pid, "Z"))
            snapshot = take(process.pid)
            assert snapshot.root.argv[0] == sys.executable
            (left,) = [state for state in snapshot.sockets if state.fd == int(number)]
            assert (left.family, left.state) == ("unix", "established")
            diagnosis = diagnose(snapshot)
            assert f"in recvfrom on fd {number}" in diagnosis.headline
            assert "has ended" not in diagnosis.headline
            assert "the process goes on" in " ".join(finding.summary for finding in diagnosis.findings)
            assert "lives on without its first thread" in str(refusal(process.pid))
        finally:
            process.kill()


def test_a_kernel_thread_is_not_judged_by_its_children() -> None:
    stat = procfs.stat_of(2)
    if stat is None or not stat.kernel_thread:
        pytest.skip("the machine forbids it: this PID namespace shows no kernel thread")
    snapshot = take(2)
    assert [process.pid for process in snapshot.processes] == [2]
    diagnosis = diagnose(snapshot)
    assert diagnosis.headline == f"{stat.name}[2] is a kernel thread: it makes no system calls"
    assert "read(" not in diagnosis.findings[0].lines[0].text


# ----------------------------------------------------------------------------------------------------- held by others


def test_a_process_at_a_breakpoint_names_who_holds_it(until: Until) -> None:
    def work() -> None:
        ctypes.CDLL(None).ptrace(0, 0, 0, 0)  # PTRACE_TRACEME
        os.kill(os.getpid(), signal.SIGSTOP)

    with child(work) as pid:
        until(lambda: in_state(pid, "t"))
        own = procfs.stat_of(os.getpid())
        assert own is not None
        diagnosis = diagnose(take(pid))
        assert diagnosis.findings[0].variant == "traced"
        assert diagnosis.headline.endswith(f"is held by its tracer, {own.name}[{os.getpid()}]")


def frozen_group() -> Path | None:
    """A control group of our own that can be frozen."""
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        group = Path(mount) / f"systrace-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "cgroup.freeze").exists():
            return group
        group.rmdir()
    return None


def test_a_paused_container_is_not_taken_for_a_wait(hang: Hang, until: Until) -> None:
    group = frozen_group()
    if group is None:
        pytest.skip("the machine forbids it: no control group of version 2 to make")
    victim = hang("recv")
    victim.settle("recvfrom")
    try:
        (group / "cgroup.procs").write_text(str(victim.pid))
        (group / "cgroup.freeze").write_text("1")
        until(lambda: "frozen 1" in (group / "cgroup.events").read_text())
        diagnosis = diagnose(take(victim.pid))
        assert (diagnosis.findings[0].variant, diagnosis.findings[0].severity) == ("frozen", "fatal")
        assert "is frozen with its control group" in diagnosis.headline
        (group / "cgroup.freeze").write_text("0")
        until(lambda: "frozen 0" in (group / "cgroup.events").read_text())
        assert "in recvfrom on fd" in diagnose(take(victim.pid)).headline
    finally:
        (group / "cgroup.freeze").write_text("0")
        victim.process.kill()
        victim.process.wait()
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


# ------------------------------------------------------------------------------------------- numbers of its own

_OWN_NUMBERS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)


def inside(victim: Any) -> int:
    """The victim itself: `victim.pid` is unshare's."""
    return procfs.tree(victim.pid)[1]


@needs_namespaces
def test_a_deadlock_is_found_where_threads_are_numbered_otherwise(hang: Hang, until: Until) -> None:
    victim = hang("mutex_circle", prefix=_OWN_NUMBERS)
    pid = inside(victim)
    until(lambda: len(procfs.task_ids(pid)) == 2)
    for _ in range(2):
        victim.settle("futex", pid)
    until(lambda: diagnose(take(pid)).findings[0].variant == "deadlock")
    first, second = procfs.task_ids(pid)
    assert f"{first} -> {second} -> {first}" in "; ".join(f.summary for f in diagnose(take(pid)).findings)


@needs_namespaces
def test_a_child_is_found_by_the_number_that_its_parent_knows(hang: Hang, until: Until) -> None:
    victim = hang("child", prefix=_OWN_NUMBERS)
    pid = inside(victim)
    victim.settle("wait4", pid)
    until(lambda: len(procfs.tree(pid)) == 2)
    snapshot = take(pid)
    parent, offspring = snapshot.processes
    assert offspring.number_in(parent) == offspring.ns_pids[-1] < 10
    assert parent.number_in(offspring) == 1
    (wait,) = [f for f in diagnose(snapshot).findings if f.variant == "child"]
    assert f"it waits for {offspring.command}[{offspring.pid}] to end" in wait.summary


@needs_namespaces
def test_a_fifo_of_the_same_name_elsewhere_is_another(tmp_path: Path, until: Until) -> None:
    """A container has its own /tmp: whoever holds that path on the host has nothing to do with it."""
    path = tmp_path / "fifo"
    other = tmp_path / "other"
    for _ in range(3):  # so that the inode is not the first of its file system
        os.mkfifo(other)
        other.rename(path)
    script = f"mount -t tmpfs none {tmp_path}; mkfifo {path}; sleep 600 3>{path} & exec cat {path}"

    def hold() -> None:
        os.open(path, os.O_RDWR)
        signal.pause()

    with child(hold) as stranger, subprocess.Popen(["unshare", "--mount", "sh", "-c", script]) as process:
        until(lambda: any(d.target == str(path) for d in procfs.descriptors_of(stranger) or ()))
        try:
            until(lambda: procfs.argv_of(process.pid)[:1] == ("cat",) and len(procfs.tree(process.pid)) == 2)
            until(lambda: any(d.target == str(path) for d in procfs.descriptors_of(process.pid) or ()))
            until(lambda: in_state(process.pid, "S"))
            snapshot = take(process.pid)
            ((_, ends),) = snapshot.holders.items()
            assert {end.pid for end in ends} == set(procfs.tree(process.pid))
        finally:
            for pid in reversed(procfs.tree(process.pid)):
                os.kill(pid, signal.SIGKILL)

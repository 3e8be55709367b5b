"""The snapshot itself: what it contains, what it costs, and that the target does not notice."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace.errors import CaptureError
from systrace.kernel import procfs
from systrace.kernel.permission import refusal
from systrace.kernel.snapshot import still_running, take
from systrace.look.lines import lines_of
from systrace.look.nouns import Look
from systrace.rules.look.diagnose import diagnose

pytestmark = pytest.mark.real
Hang = Callable[..., Any]
Until = Callable[..., None]
_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other users' processes and namespaces")


def merged(snapshot: Look) -> dict[str, Any]:
    """The lines as a reader puts them together."""
    found: dict[str, Any] = {}
    for line in lines_of(snapshot):
        assert line.startswith(b"# systrace: {")
        assert b"\n" not in line
        assert len(line) < 32768
        (value,) = json.loads(line.removeprefix(b"# systrace: ")).values()
        assert value["pid"] == snapshot.pid
        for key, part in value.items():
            if isinstance(part, list):
                found.setdefault(key, []).extend(part)
            else:
                found[key] = part
    return found


def test_the_lines_carry_the_wait_and_its_socket(hang: Hang) -> None:
    victim = hang("recv")
    victim.settle("recvfrom")
    fd, port = map(int, victim.words)
    read = merged(take(victim.pid))
    (thread,) = read["threads"]
    assert (thread["call"], thread["fd"], thread["fds"], thread["limit"]) == ("recvfrom", fd, [[fd, "r"]], None)
    assert thread["args"][0] == fd
    assert 0 <= read["time"] - thread["since"] < 60
    state = next(s for s in read["sockets"] if s["fd"] == fd)
    assert (state["family"], state["type"], state["protocol"], state["state"]) == (
        "inet",
        "stream",
        "tcp",
        "established",
    )
    assert state["peer"] == f"127.0.0.1:{port}"
    assert state["keepalive"]["on"] is False
    assert state["unread"] == 0
    assert state["last_data_sent_ms"] >= 0
    (process,) = read["processes"]
    assert process["argv"][1].endswith("hang.py")
    assert process["ppid"] == os.getpid()


def test_timeouts_and_interest_sets_are_in_the_lines(hang: Hang) -> None:
    victim = hang("recv_timeout")
    victim.settle("recvfrom")
    read = merged(take(victim.pid))
    assert read["threads"][0]["limit"] == 30
    assert next(s for s in read["sockets"] if s["fd"] == int(victim.words[0]))["rcvtimeo"] == 30
    poller = hang("epoll")
    poller.settle("epoll_wait")
    epoll, fd = map(int, poller.words)
    assert merged(take(poller.pid))["epoll"] == [{"pid": poller.pid, "fd": epoll, "fds": [[fd, "r"]]}]


def test_a_hundred_threads_and_a_thousand_sockets_take_under_200_ms(hang: Hang) -> None:
    victim = hang("many", 1000)
    victim.settle("recvfrom")
    assert victim.words == ["1000"]
    taken, costs = [], []
    for _ in range(5):
        began = time.process_time()
        taken.append(take(victim.pid))
        costs.append(time.process_time() - began)
    assert len(taken[0].threads) == 100
    assert len(taken[0].sockets) == 1000
    assert all(state.options_known for state in taken[0].sockets)
    assert min(costs) < 0.2  # of CPU: it waits for nothing, and the wall clock tells how busy the machine is
    assert len(merged(taken[0])["sockets"]) == 1000


def test_epoll_wait_does_not_notice(hang: Hang) -> None:
    victim = hang("epoll_raw")
    victim.settle("epoll_wait")
    for _ in range(5):
        diagnose(take(victim.pid))
    word, result, error, lasted = victim.line().split()
    assert (word, result, error) == ("result", "0", "0")
    assert float(lasted) >= 2.99


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_epoll_wait_does_notice_strace(hang: Hang) -> None:
    """The control: the victim of the test above would have seen an interruption."""
    victim = hang("epoll_raw")
    victim.settle("epoll_wait")
    with subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(victim.pid)], stderr=subprocess.DEVNULL) as tracer:
        assert victim.line().split()[:3] == ["result", "-1", "4"]
        tracer.terminate()


def test_blocked_since_is_measured_on_the_scheduler_clock(hang: Hang, until: Until) -> None:
    victim = hang("sleep")
    victim.settle("clock_nanosleep")
    began = time.monotonic()
    first = take(victim.pid).threads[0].blocked_ns
    assert first is not None
    until(lambda: time.monotonic() - began > 0.5)
    second = take(victim.pid).threads[0].blocked_ns
    assert second is not None
    assert second - first == pytest.approx((time.monotonic() - began) * 1e9, rel=0.3)


def test_a_thread_id_stands_for_its_process(hang: Hang) -> None:
    victim = hang("join")
    victim.settle("recvfrom")
    tid = max(procfs.task_ids(victim.pid))
    assert take(tid).pid == victim.pid


def test_whoever_looks_at_an_ancestor_does_not_see_himself() -> None:
    code = (
        "import os; from systrace.kernel.snapshot import take\n"
        "found = {process.pid for process in take(os.getppid()).processes}\n"
        "assert os.getppid() in found and os.getpid() not in found"
    )
    shell = subprocess.run(["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, code], check=False)
    assert shell.returncode == 0


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**40])
def test_a_number_that_is_no_process_is_refused(pid: int) -> None:
    with pytest.raises(CaptureError, match="there is no process"):
        take(pid)


def test_a_target_that_exits_meanwhile_is_an_error_or_a_snapshot(hang: Hang) -> None:
    """Processes that live for a moment: any snapshot of them is whole, and any error is the one of attach."""
    taken = refused = 0
    for _ in range(60):
        with subprocess.Popen(["sh", "-c", "sleep 0.01 & wait; exit 0"]) as brief:
            for _ in range(3):
                try:
                    snapshot = take(brief.pid)
                    diagnose(snapshot)
                    merged(snapshot)
                    taken += 1
                except CaptureError:
                    refused += 1
    assert taken + refused == 180
    assert taken


def test_a_zombie_points_at_its_parent(until: Until) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        until(lambda: (stat := procfs.stat_of(pid)) is not None and stat.state == "Z")
        diagnosis = diagnose(take(pid))
        assert "has ended and waits for its parent" in diagnosis.headline
        assert not still_running(take(pid))
    finally:
        os.waitpid(pid, 0)


def test_a_kernel_thread_is_named_as_one() -> None:
    threads = [int(name.name) for name in Path("/proc").iterdir() if name.name.isdigit() and _is_kernel(int(name.name))]
    if not threads:
        pytest.skip("the machine forbids it: this PID namespace shows no kernel thread")
    diagnosis = diagnose(take(threads[0]))
    assert "is a kernel thread" in " ".join(finding.summary for finding in diagnosis.findings)


def _is_kernel(pid: int) -> bool:
    stat = procfs.stat_of(pid)
    return stat is not None and stat.kernel_thread


@contextlib.contextmanager
def reborn(pid: int) -> Iterator[int | None]:
    """A new process with the number of a dead one, None if another process got it first."""
    for _ in range(50):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                if process.pid == pid:
                    yield pid
                    return
            finally:
                process.kill()
    yield None


@_ROOT
@pytest.mark.skipif(not Path("/proc/sys/kernel/ns_last_pid").exists(), reason="kernel without CHECKPOINT_RESTORE")
def test_a_reused_number_is_not_taken_for_the_same_process(until: Until) -> None:
    with subprocess.Popen(["sleep", "60"]) as first:
        snapshot = take(first.pid)
        assert still_running(snapshot)
        until(lambda: _ticks() > snapshot.root.start_ticks + 2)  # start times are counted in hundredths of a second
        first.kill()
    with reborn(first.pid) as pid:
        assert pid == first.pid
        assert not still_running(snapshot)
        assert take(pid).root.start_ticks != snapshot.root.start_ticks


def _ticks() -> float:
    return float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK")


def as_nobody(work: Callable[[], str]) -> str:
    """What `work` returns in a fork of this process that runs as another user (its programs may not be readable)."""
    import psutil  # noqa: F401  (imported before the fork: the other user may not be able to)

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writer, work().encode())
        except BaseException as error:  # noqa: BLE001  (a fork of pytest must not return into it)
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


@_ROOT
def test_another_users_process_is_refused_with_the_command_that_helps(hang: Hang) -> None:
    victim = hang("recv")
    victim.settle("recvfrom")
    headline = as_nobody(lambda: diagnose(take(victim.pid)).headline)
    assert "what it waits for may not be read" in headline
    assert "belongs to user root: run as that user (sudo -u root" in headline
    assert f"sudo systrace attach {victim.pid}" in headline


@_ROOT
def test_a_protected_process_of_the_same_user_is_explained() -> None:
    """A process that changed its user id is not dumpable: nobody but root may look at it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        os.write(writer, b"x")
        while True:
            signal.pause()
    try:
        os.read(reader, 1)
        assert "is yours but protected" in as_nobody(lambda: str(refusal(pid)))
        assert refusal(pid) is None
    finally:
        os.close(reader)
        os.close(writer)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def nobodys_hang(*, own_network: bool) -> Iterator[int]:
    """A process of an ordinary user that waits for an answer, optionally in a network namespace of its own."""
    libc = ctypes.CDLL(None)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if own_network:
                libc.unshare(0x40000000)  # CLONE_NEWNET
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            listener = socket.create_server(("127.0.0.1", 0))
            client, server = socket.create_connection(listener.getsockname()), listener.accept()[0]
            listener.close()
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as if a shell of that user had started it
            os.write(writer, b"x")
            client.recv(1)
            server.close()
        finally:
            os._exit(0)  # a fork of pytest must not return into it
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"x"
        yield pid
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@_ROOT
@pytest.mark.parametrize("own_network", [False, True])
def test_an_ordinary_user_sees_all_of_his_own_process(own_network: bool, until: Until) -> None:
    with nobodys_hang(own_network=own_network) as pid:
        until(lambda: procfs.wchan_of(pid, pid) == "wait_woken")

        def look() -> str:
            snapshot = take(pid)
            state = next(s for s in snapshot.sockets if s.fd == snapshot.threads[0].call.fd)  # type: ignore[union-attr]
            return json.dumps([diagnose(snapshot).headline, state.tcp is not None, [x.what for x in snapshot.limits]])

        headline, has_info, limits = json.loads(as_nobody(look))
    assert "nothing outstanding, not one byte received on this connection, no keepalive, no timeout" in headline
    assert has_info  # by pidfd_getfd, where the other namespace's netlink is out of reach
    assert any("TCP_INFO by netlink" in what for what in limits) == own_network


_PROGRAM_32 = """
typedef struct { int fd; short events, revents; } entry;
static int call(int number, int a, int b, int c) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}
void _start(void) {
    static int ends[2];
    static entry wanted;
    call(42, (int)ends, 0, 0); /* pipe */
    wanted.fd = ends[0];
    wanted.events = 1;
    call(4, 1, (int)"ready\\n", 6);
    call(168, (int)&wanted, 1, 54321); /* poll */
    call(1, 0, 0, 0);
}
"""


@pytest.fixture
def program32(tmp_path: Path) -> Iterator[int]:
    """The pid of a 32-bit program blocked in poll."""
    source, program = tmp_path / "p.c", tmp_path / "p"
    source.write_text(_PROGRAM_32)
    if shutil.which("gcc") is None:
        pytest.skip("the machine forbids it: no C compiler")
    options = ["-m32", "-static", "-nostdlib", "-fno-pie", "-no-pie", "-fno-stack-protector", "-w"]
    if subprocess.run(["gcc", *options, "-o", str(program), str(source)], capture_output=True, check=False).returncode:
        pytest.skip("the machine forbids it: no 32-bit compiler")
    try:
        process = subprocess.Popen([str(program)], stdout=subprocess.PIPE)
    except OSError:
        pytest.skip("the machine forbids it: the kernel runs no 32-bit programs")
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_a_32_bit_program_is_read_with_its_own_numbers(program32: int, until: Until) -> None:
    until(lambda: (stat := procfs.stat_of(program32)) is not None and stat.state == "S")
    snapshot = take(program32)
    assert snapshot.root.machine == "i386"
    call = snapshot.threads[0].call
    assert call is not None
    assert (call.name, call.limit_ns, call.fds) == ("poll", 54321 * 10**6, ((3, "r"),))
    assert "in poll on fd 3, a pipe of its own" in diagnose(snapshot).headline


def test_a_hostile_name_reaches_no_terminal(tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b]0;x\x07) S 1 1 (\u202eb"
    shutil.copy("/bin/sleep", evil)
    with subprocess.Popen([str(evil), "60"], executable=str(evil)) as process:
        snapshot = take(process.pid)
        text = " ".join([diagnose(snapshot).headline, *(finding.summary for finding in diagnose(snapshot).findings)])
        process.kill()
    assert snapshot.root.state in "SRD"
    assert snapshot.root.ppid == os.getpid()
    assert not {"\x1b", "\x07", "\u202e"} & set(text + snapshot.root.name)
    assert b"\x1b" not in b"".join(lines_of(snapshot))

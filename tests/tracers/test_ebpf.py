"""The eBPF tracer on real jobs: what the kernel tells, what is left out and said to be, and nobody is stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.errors import CaptureError, UnfitError
from systrace.tracers import Request, ebpf
from systrace.tracers.ebpf import Ebpf
from systrace.tracers.waiting import Running
from tests.tracers.embedded_job import WANTED, Chosen, ended, needs_strace, python, run, traced

REASON = Ebpf().unavailable()
pytestmark = [pytest.mark.real, pytest.mark.skipif(REASON is not None, reason=str(REASON))]


@pytest.fixture(autouse=True)
def _ebpf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chosen, "tracer", Ebpf())


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for each in held:
            each.close()


# ----------------------------------------------------------------------------------------------------- nobody is stopped


def test_the_job_is_nobodys_tracee_and_our_own_child(tmp_path: Path) -> None:
    job = python("""
        import os
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
        os._exit(int(status["TracerPid"]) or (7 if int(status["Seccomp"]) == 0 else 8))
    """)
    assert run(job, tmp_path / "trace") == 7


@needs_strace
def test_a_job_may_trace_its_own_children(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    command = ["/bin/sh", "-c", f"strace -f -o {inner} /bin/sh -c 'exit 5'"]
    assert run(command, tmp_path / "trace") == 5
    assert "+++ exited with 5 +++" in inner.read_text()
    assert (tmp_path / "trace").read_text().count("+++ exited with 5 +++") >= 2  # strace, and what it ran


def test_when_the_worker_is_killed_the_job_goes_on(tmp_path: Path) -> None:
    with traced(["/bin/sh", "-c", "sleep 0.5; exit 9"], tmp_path / "trace") as capture:
        os.kill(capture.tracer_pid, signal.SIGKILL)
        assert capture.wait(30) == 9
        assert "was killed by signal 9: the recording stops there, the job goes on" in str(capture.fault())


def test_attaching_interrupts_no_call(tmp_path: Path, silent: int) -> None:
    """epoll_wait(2) and a recv(2) with a limit of its own end with EINTR once a tracer stops them: not here."""
    program = f"""
        import select, socket
        peer = socket.create_connection(("127.0.0.1", {silent}))
        peer.sendall(b"hello")
        poller = select.epoll()
        poller.register(peer, select.EPOLLIN)
        print("ready", flush=True)
        poller.poll(4)
        raise SystemExit(4)
    """
    trace = tmp_path / "trace"
    with subprocess.Popen(python(program), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1)
        before = Path(f"/proc/{process.pid}/status").read_text()
        with Ebpf().attach(
            [Running(process.pid, int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]))],
            Request(trace, WANTED),
        ) as capture:
            assert capture.wait(30) == 0
        assert "voluntary_ctxt_switches" in before
        assert process.wait() == 4
    text = trace.read_text()
    assert re.search(r"epoll_wait\(\d+<anon_inode:\[eventpoll\]>, +<unfinished \.\.\.>", text)
    assert re.search(r"epoll_wait resumed>\[\], \d+, 4000\) = 0 <[1-3]\.", text)
    assert "+++ exited with 4 +++" in text


def test_a_process_that_was_replaced_is_not_attached_to(tmp_path: Path) -> None:
    with (
        pytest.raises(CaptureError, match="another process"),
        Ebpf().attach([Running(os.getpid(), 1)], Request(tmp_path / "trace")),
    ):
        pass


# ------------------------------------------------------------------------------------------------------ what is left out


def test_of_a_pipe_the_first_bytes_are_recorded_and_the_rest_passes_by(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    wanted = WANTED | {"read", "write"}
    assert run(["/bin/sh", "-c", "head -c 20000000 /dev/zero | cat | wc -c >&2"], trace, syscalls=wanted) == 0
    text = trace.read_text()
    assert re.search(r"write\(1<pipe:\[\d+\]>, \"\\x00\\x00", text)
    assert len(re.findall(r" read\(0<pipe:\[", text)) < 40
    assert '"20000000\\n"' in text  # another descriptor has a budget of its own


def test_of_files_opened_for_reading_the_first_are_recorded_and_each_that_fails(tmp_path: Path) -> None:
    job = python(f"""
        for index in range(1000):
            open("/etc/passwd").close()
        try:
            open("/no/such/file")
        except OSError:
            pass
        open({str(tmp_path / "written")!r}, "w").close()
    """)
    trace = tmp_path / "trace"
    assert run(job, trace, syscalls=WANTED | {"openat"}) == 0
    text = trace.read_text()
    assert 50 < text.count('"/etc/passwd"') < 256
    assert '"/no/such/file", O_RDONLY|O_CLOEXEC) = -1 ENOENT' in text
    assert "/written" in text


def test_records_that_find_no_room_are_counted_and_said(tmp_path: Path) -> None:
    """A worker that does not read for a while: SIGSTOP stands for a machine that has no time for it."""
    job = python("""
        import os, socket
        a, b = socket.socketpair()
        os.read(0, 1)
        for _ in range(60000):
            a.send(b"x" * 4000)
            b.recv(4000)
    """)
    reader, writer = os.pipe()
    saved = os.dup(0)
    os.dup2(reader, 0)
    trace = tmp_path / "trace"
    try:
        with traced(job, trace) as capture:
            os.kill(capture.tracer_pid, signal.SIGSTOP)
            os.write(writer, b"\n")
            time.sleep(3)
            os.kill(capture.tracer_pid, signal.SIGCONT)
            assert capture.wait(60) == 0
            ended(capture.tracer_pid)
    finally:
        os.dup2(saved, 0)
        for fd in (saved, reader, writer):
            os.close(fd)
    counts = [int(count) for count in re.findall(r'# systrace: \{"lost": \{"calls": (\d+)', trace.read_text())]
    assert sum(counts) > 1000
    assert sum(counts) + len(re.findall(r"(sendto|recvfrom)\(", trace.read_text())) >= 119_000


def test_what_execve_was_given_is_known_although_it_was_never_in_memory(tmp_path: Path) -> None:
    """eBPF reads no page that is not there, and read-only data is not until somebody looks at it."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source, program = tmp_path / "job.c", tmp_path / "job"
    source.write_text("""
        #include <unistd.h>
        __attribute__((aligned(4096))) static const char path[8192] = "/bin/echo";
        __attribute__((aligned(4096))) static const char word[8192] = "hello";
        int main() { char *words[] = {(char *)path, (char *)word, 0}; return execve(path, words, 0); }
    """)
    subprocess.run(["gcc", "-O0", "-w", "-o", str(program), str(source)], check=True)
    assert run([str(program)], tmp_path / "trace") == 0
    assert 'execve("/bin/echo", ["/bin/echo", "hello"], NULL) = 0' in (tmp_path / "trace").read_text()


# -------------------------------------------------------------------------------------------------------------- io_uring

RING = """
#include <arpa/inet.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
static int result(struct io_uring *ring) {
    struct io_uring_cqe *entry;
    io_uring_submit(ring);
    if (io_uring_wait_cqe(ring, &entry)) exit(99);
    int value = entry->res;
    io_uring_cqe_seen(ring, entry);
    return value;
}
int main(int count, char **words) {
    struct io_uring ring;
    if (io_uring_queue_init(8, &ring, 0)) return 98;
    io_uring_prep_socket(io_uring_get_sqe(&ring), AF_INET, SOCK_STREAM, 0, 0);
    int fd = result(&ring);
    struct sockaddr_in peer = {AF_INET, htons(atoi(words[1])), {htonl(INADDR_LOOPBACK)}};
    io_uring_prep_connect(io_uring_get_sqe(&ring), fd, (void *)&peer, sizeof(peer));
    if (result(&ring) < 0) return 3;
    char text[64] = "question";
    io_uring_prep_send(io_uring_get_sqe(&ring), fd, text, 8, 0);
    result(&ring);
    io_uring_prep_recv(io_uring_get_sqe(&ring), fd, text, sizeof(text), 0);
    int got = result(&ring);
    io_uring_prep_close(io_uring_get_sqe(&ring), fd);
    result(&ring);
    return got == 6 ? 0 : 4;
}
"""


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program whose network work all goes through an io_uring: `ring PORT`."""
    place = tmp_path_factory.mktemp("ring")
    (place / "ring.c").write_text(RING)
    words = ["gcc", "-o", str(place / "ring"), str(place / "ring.c"), "-luring"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        pytest.skip("gcc is not installed")
    if done.returncode:
        pytest.skip(f"liburing is not installed: {done.stderr[:80]}")
    if Path("/proc/sys/kernel/io_uring_disabled").read_text().strip() != "0":
        pytest.skip("io_uring is disabled on this machine (sysctl kernel.io_uring_disabled)")
    return str(place / "ring")


def test_what_goes_through_a_ring_is_told_as_calls(ring: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer = server.accept()[0]
            assert peer.recv(100) == b"question"
            time.sleep(0.05)
            peer.sendall(b"answer")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        assert run([ring, str(port)], tmp_path / "trace") == 0
        thread.join()
    text = (tmp_path / "trace").read_text()
    assert '# systrace: {"rings_recorded": true}' in text
    told = re.findall(r"^4194304 [\d.]+ (\w+)\((.*)\) = (\d+)(?:<socket:\[\d+\]>)? <([\d.]+)>", text, re.MULTILINE)
    assert [(name, int(result) if name != "socket" else 0) for name, _args, result, _time in told] == [
        ("socket", 0), ("connect", 0), ("sendto", 8), ("recvfrom", 6), ("close", 0),
    ]  # fmt: skip
    assert f"sin_port=htons({port})" in told[1][1]
    assert '"question", 8' in told[2][1]
    assert '"answer"' in told[3][1]
    assert float(told[3][3]) >= 0.04


def test_a_refused_connection_of_a_ring_is_the_verdict(ring: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    report = tmp_path / "report"
    words = ["run", "--tracer", "ebpf", "--report", str(report), "--save", str(tmp_path / "job.strace"), "--", ring]
    done = subprocess.run([sys.executable, "-m", "systrace", *words, str(port)], check=False)
    assert done.returncode == 3
    text = " ".join(report.read_text().split())
    assert f"connect to 127.0.0.1:{port} was refused at once" in text
    assert "[connect-refused; proven]" in text
    assert "invisible" not in text


# ------------------------------------------------------------------------------------------------- where it does not work


def test_a_kernel_that_takes_no_program_is_said_before_the_job_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "systrace_object.py"
    broken.write_text("")
    monkeypatch.setattr(ebpf, "_WORKER", _WITHOUT_OBJECT)
    ran = tmp_path / "ran"
    with (
        pytest.raises(UnfitError, match="cannot trace by eBPF: the BPF object cannot be read"),
        traced(["/bin/touch", str(ran)], tmp_path / "trace"),
    ):
        pass
    assert not ran.exists()


_WITHOUT_OBJECT = """
import sys
from pathlib import Path
from systrace.tracers.ebpf_worker import __main__ as worker
worker.OBJECT = Path("/dev/null")
sys.exit(worker.main())
"""


def test_without_rights_it_says_what_would_permit_it() -> None:
    if os.geteuid() != 0:
        pytest.skip("root is needed to give rights up")
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}; from systrace.tracers.ebpf import Ebpf; print(Ebpf().unavailable())"
    )
    words = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", sys.executable, "-I", "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"another user cannot read this Python: {done.stderr[-80:]}")
    assert done.stdout == "eBPF needs root, or CAP_BPF and CAP_PERFMON\n"

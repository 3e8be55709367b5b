"""The embedded tracer on real jobs, with strace as the judge where it is installed."""

from __future__ import annotations

import http.server
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.errors import CaptureError
from systrace.tracers import TRACERS, Request, workers
from tests.tracers.embedded_job import REAL, WANTED, ended, needs_strace, python, run, traced

pytestmark = REAL


# ------------------------------------------------------------------------------------------------- strace as the judge

LINE = re.compile(r"(\d+) +[\d.]+ (.*?)(?: <\d+\.\d+>)?$")


def calls(trace: Path) -> list[list[str]]:
    """Per process, in order of appearance: its lines, with unfinished ones joined."""
    found: dict[str, list[str]] = {}
    heads: dict[str, str] = {}
    for line in trace.read_text(encoding="ascii").splitlines():
        match = LINE.match(line)
        assert match, line
        tid, body = match.groups()
        lines = found.setdefault(tid, [])
        if body.endswith(" <unfinished ...>"):
            heads[tid] = body.removesuffix(" <unfinished ...>")
        elif body.startswith("<... ") and tid in heads:
            lines.append(heads.pop(tid) + body.partition("resumed>")[2])
        else:
            lines.append(body)
    names = {tid: f"P{index}" for index, tid in enumerate(found)}
    return [[canonical(body, names) for body in lines] for lines in found.values()]


def canonical(body: str, names: dict[str, str]) -> str:
    """Without what differs from run to run."""
    for tid, name in names.items():
        body = re.sub(rf"\b{tid}\b", name, body)
    for pattern, text in (
        (r"\)\s+= ", ") = "),
        (r"^(sem|msg)(\w+)\(\d+", r"\1\2(N"),
        (r"0x[0-9a-f]{8,}", "PTR"),
        (r":\[\d+\]", ":[N]"),
        (r"htons\(\d{4,}\)", "PORT"),
        (r"nl_(pid|pad)=\w+(, )?", ""),
        (r"left \{[^}]*\}", "LEFT"),
        (r"u64=\d+", "u64=N"),  # Python sets the lower half of epoll_data only
        (r"(, \{it_interval=.*it_value=)\{tv_sec=\d+, tv_usec=\d+(\}\}\) =)", r"\1LEFT\2"),
        (r"^alarm\(0\) = \d+", "alarm(0) = LEFT"),
        (r"si_[us]time=\d+( /\*.*?\*/)?", "T"),
        (r"\d+ vars?", "VARS"),
        (r" pid=\d+", " pid=N"),
        (r" <unfinished ...>\) = \?", ") = ?"),
        (r"\{mask=.*?\}", ""),
    ):
        body = re.sub(pattern, text, body)
    return body


def kinds(trace: Path) -> list[list[tuple[str, str]]]:
    """Per process: (call, errno name or ok)."""
    result = []
    for lines in calls(trace):
        found = []
        for body in lines:
            name, _, rest = body.partition("(")
            match = re.search(r"= (?:-1|\?) ?([A-Z]\w+)?[^=]*$", rest)
            found.append((name if re.fullmatch(r"\w+", name) else body.split(" {")[0], match[1] if match else "ok"))
        result.append(found)
    return result


def both(command: list[str], tmp_path: Path) -> tuple[Path, Path]:
    """Recordings of the same command by strace and by the embedded tracer."""
    judge, trace = tmp_path / "strace", tmp_path / "embedded"
    names = ",".join(f"?{name}" for name in sorted(WANTED))
    words = ["strace", "-f", "-ttt", "-T", "-y", "-s", "4096", "-o", str(judge), "-e", f"trace={names}"]
    theirs = subprocess.run([*words, *command], stdout=subprocess.DEVNULL, check=False, close_fds=False)
    null = os.open(os.devnull, os.O_WRONLY)
    saved = os.dup(1)
    os.dup2(null, 1)
    try:
        ours = run(command, trace)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
    assert ours == theirs.returncode % 256 or ours == 128 - theirs.returncode
    return judge, trace


CALLS = """
    import fcntl, os, select, signal, socket, struct, termios, threading
    def quiet(call, *args):
        try:
            return call(*args)
        except OSError:
            return None
    server = socket.create_server(("127.0.0.1", 0), backlog=5)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    quiet(client.connect, server.getsockname())
    poll = select.poll(); poll.register(client, select.POLLOUT); poll.poll(2000)
    client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR); client.getpeername()
    accepted, _ = server.accept()
    client.setblocking(True)
    for level, name, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.SOL_TCP, socket.TCP_USER_TIMEOUT, 30000),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)), (socket.SOL_TCP, socket.TCP_KEEPIDLE, 30),
        (socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("qq", 0, 30000))):
        client.setsockopt(level, name, value)
    client.send(b'GET / HTTP/1.1\\r\\nHost: "x"\\\\\\t\\x00\\x001\\x7f\\xff8\\x1b[0m\\0')
    accepted.recv(4096); accepted.sendall(b"x" * 5000); client.recv(10, socket.MSG_PEEK)
    client.recv(5000, socket.MSG_WAITALL)
    quiet(client.recv, 10); quiet(client.recv, 10, socket.MSG_DONTWAIT)
    accepted.sendmsg([b"one", b"two"]); client.recvmsg(4096)
    os.writev(accepted.fileno(), [b"a", b"", b"bc"]); os.readv(client.fileno(), [bytearray(2), bytearray(5)])
    client.shutdown(socket.SHUT_WR); accepted.recv(10); accepted.close(); client.recv(10); client.close()
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); quiet(six.bind, ("::1", 0))
    quiet(six.connect, ("::1", 9, 7, 0)); six.close()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
    udp.sendto(b"to me", udp.getsockname()); udp.recvfrom(100)
    udp.sendmsg([b"mm"], [], 0, udp.getsockname()); udp.recvmsg(100)
    quiet(udp.recvfrom, 5, socket.MSG_DONTWAIT); udp.close()
    dead = socket.socket(); quiet(dead.connect, ("127.0.0.1", 1)); dead.close()
    local = socket.socket(socket.AF_UNIX); quiet(local.connect, "/nonexistent-systrace")
    quiet(local.connect, "\\0abstract\\1x"); local.close()
    left, right = socket.socketpair()
    socket.send_fds(left, [b"fd"], [0, 2]); socket.recv_fds(right, 10, 3)
    right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1); left.send(b"c"); right.recvmsg(10, 100)
    left.setblocking(False); fcntl.ioctl(left, termios.FIONREAD, b"0000")
    net = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); net.bind((0, 0)); net.getsockname()
    a, b = os.pipe(); c = os.dup(a); os.dup2(b, 50); fcntl.fcntl(a, fcntl.F_GETFL)
    fcntl.fcntl(a, fcntl.F_SETFL, os.O_NONBLOCK); fcntl.fcntl(a, fcntl.F_DUPFD_CLOEXEC, 60)
    select.select([a, c], [b], [], 1); select.select([a], [], [], 0.01); select.select([], [], [], 0)
    poll = select.poll(); poll.register(a, select.POLLIN | select.POLLPRI); poll.poll(1)
    poll.register(99, select.POLLIN); poll.poll(10)
    epoll = select.epoll(); epoll.register(a, select.EPOLLIN | select.EPOLLET)
    epoll.modify(a, select.EPOLLIN | select.EPOLLONESHOT); epoll.poll(0.01)
    os.write(b, b"!"); epoll.modify(a, select.EPOLLIN); epoll.poll(1); epoll.unregister(a)
    with open("/dev/null", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); fcntl.flock(file, fcntl.LOCK_UN)
    quiet(os.close, 99)
    signal.setitimer(signal.ITIMER_REAL, 50, 1.5); signal.alarm(0)
    signal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), 0); quiet(os.kill, 4999999, 15)
    for end in (7, -9):
        child = os.fork()
        if child == 0:
            os._exit(end) if end > 0 else os.kill(os.getpid(), -end)
        os.waitpid(child, 0)
    child = os.fork()
    if child == 0:
        os.execv("/bin/sh", ["sh", "-c", "exit 5"])
    os.waitid(os.P_PID, child, os.WEXITED)
    import ctypes
    libc = ctypes.CDLL(None)
    sem = libc.semget(0, 1, 0o1600); libc.semop(sem, struct.pack("Hhh", 0, 2, 0), 1)
    libc.semtimedop(sem, struct.pack("Hhh", 0, -3, 0o10000), 1, struct.pack("qq", 0, 1000)); libc.semctl(sem, 0, 0)
    queue = libc.msgget(0, 0o1600); libc.msgsnd(queue, struct.pack("q5s", 7, b"hello"), 5, 0)
    box = ctypes.create_string_buffer(20); libc.msgrcv(queue, box, 10, 7, 0); libc.msgrcv(queue, box, 10, -1, 0o4000)
    libc.msgctl(queue, 0, None)
    os.posix_spawn("/bin/true", ["true", "x" * 50], {"A": "1"}); os.wait()
    os._exit(3)
"""


@needs_strace
def test_prints_calls_to_the_letter_as_strace_does(tmp_path: Path) -> None:
    judge, trace = both(python(CALLS), tmp_path)
    ours, theirs = calls(trace), calls(judge)
    assert len(ours) == len(theirs) == 5
    for mine, other in zip(ours, theirs, strict=True):
        # whether a child's signal or its status comes first is the scheduler's choice
        settled = [[line for line in lines if "SIGCHLD {" not in line] for lines in (mine, other)]
        assert [pair for pair in zip(*settled, strict=False) if pair[0] != pair[1]] == []
        assert sorted(mine) == sorted(other)
    text = trace.read_text()
    for expected in ("SCM_RIGHTS", "SCM_CREDENTIALS", "EINPROGRESS", "POLLNVAL", "killed by SIGKILL", "(Timeout)"):
        assert expected in text


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@needs_strace
@pytest.mark.parametrize(
    "script",
    [
        "echo one | cat | cat; exit 4",
        "for n in 1 2 3; do /bin/true & done; wait; (exit 9); (/bin/false)",
        "trap 'echo caught' TERM; kill -TERM $$; sh -c 'kill -KILL $$'; exit 1",
        "cat <<X\n$(echo sub)\nX\n/bin/nonexistent; exit 127",
    ],
)
def test_shell_jobs_look_the_same_as_under_strace(script: str, tmp_path: Path) -> None:
    judge, trace = both(["/bin/sh", "-c", script], tmp_path)
    # which child is first, and how often a wait is interrupted, is the scheduler's choice
    assert sorted(map(_settled, kinds(trace))) == sorted(map(_settled, kinds(judge)))


def _settled(process: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(
        entry
        for entry in process
        if entry[0] not in ("wait4", "--- SIGCHLD") and not str(entry[1]).startswith("ERESTART")
    )


@needs_strace
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is the job here")
def test_curl_in_a_shell_tree_looks_the_same_as_under_strace(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}/"
    judge, trace = both(["/bin/sh", "-c", f"curl -sS {url} | cat; curl -sS http://127.0.0.1:1/; exit 0"], tmp_path)
    network = {
        "socket",
        "connect",
        "sendto",
        "recvfrom",
        "getsockname",
        "getpeername",
        "execve",
        "+++ exited with 7 +++",
    }

    def shown(path: Path) -> list[list[tuple[str, str]]]:
        # in how many pieces curl finds the answer is the scheduler's choice
        found = [[entry for entry in lines if entry[0] in network and entry[1] != "EAGAIN"] for lines in kinds(path)]
        return sorted([entry for entry, _ in itertools.groupby(lines)] for lines in found)

    assert shown(trace) == shown(judge)
    assert "SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0" in trace.read_text()


@needs_strace
def test_under_another_tracer_it_says_so(tmp_path: Path) -> None:
    text = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from systrace.errors import CaptureError
        from systrace.tracers import Request
        from systrace.tracers.embedded import Embedded
        try:
            with Embedded().run(["/bin/true"], Request(Path({str(tmp_path / "trace")!r}))):
                pass
        except CaptureError as error:
            print(error)
    """
    words = ["strace", "-f", "-qq", "-e", "trace=none", "-e", "signal=none", "-o", "/dev/null", *python(text)]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert re.search(r"is itself being traced, by process \d+", said)


def test_when_the_tracer_is_killed_the_job_is_killed_with_it(tmp_path: Path) -> None:
    with traced(["/bin/sleep", "1000"], tmp_path / "trace") as capture:
        os.kill(capture.tracer_pid, signal.SIGKILL)
        assert capture.wait(30) == 137
        assert "was killed by signal 9" in str(capture.fault())
        ended(capture.pid)


def test_a_worker_that_cannot_start_is_a_capture_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "environment", lambda: {"PYTHONPATH": "/nonexistent"})
    with pytest.raises(CaptureError, match="ended with status 1"), traced(["/bin/true"], tmp_path / "trace"):
        pass


@needs_strace
def test_calls_that_change_their_arguments_and_unknown_options_read_as_in_strace(tmp_path: Path) -> None:
    """The time limit of recvmmsg is what the job asked for; levels and options without names are numbers."""
    job = python(
        """
        import ctypes, socket
        libc = ctypes.CDLL(None)
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        b.send(b"x")
        room = ctypes.create_string_buffer(8)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(room), 8)
        header = (ctypes.c_void_p * 8)(None, None, ctypes.addressof(vector), 1)
        limit = (ctypes.c_long * 2)(7, 0)
        assert libc.recvmmsg(a.fileno(), header, 1, 0, limit) == 1 and limit[0] == 6
        for level, option in ((1, 56), (6, 37), (12345, 3)):
            libc.setsockopt(a.fileno(), level, option, None, 0)
        """
    )
    shapes = []
    for name in ("strace", "embedded"):
        with TRACERS[name].run(job, Request(tmp_path / name, WANTED)) as capture:
            assert capture.wait(60) == 0
        calls = re.findall(
            r"(recvmmsg\(|setsockopt\().*?, (MSG_.*?|SO.*?|0x3039.*?)\) = ", (tmp_path / name).read_text()
        )
        calls += re.findall(r"recvmmsg\(.*?(\{tv_sec=.*?\})\) =", (tmp_path / name).read_text())
        shapes.append(calls)
    assert shapes[0] == shapes[1]
    assert shapes[0][-1] == "{tv_sec=7, tv_nsec=0}"

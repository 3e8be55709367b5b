"""The embedded tracer on real jobs, with strace as the judge where it is installed."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.errors import CaptureError, UsageError
from systrace.model import Health, Input, Style
from systrace.parser import EVERY_NAME, records
from systrace.tracers import Request, embedded
from systrace.tracers.embedded import Embedded, EmbeddedCapture

_WANTED = (
    "socket socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown "
    "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg readv writev close dup dup2 dup3 close_range pipe pipe2 fcntl "
    "ioctl poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait fork vfork clone clone3 execve "
    "semop semtimedop msgrcv exit exit_group wait4 waitid kill tgkill alarm setitimer nanosleep flock eventfd2"
)
WANTED = frozenset(_WANTED.split())
PYTHON = [os.path.realpath(sys.executable), "-I", "-S"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(Embedded().unavailable() is not None, reason=str(Embedded().unavailable())),
]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is the judge here")


@contextlib.contextmanager
def traced(command: list[str], trace: Path, **request: object) -> Iterator[EmbeddedCapture]:
    wanted = request.pop("syscalls", WANTED)
    with Embedded().run(command, Request(trace, wanted, **request)) as capture:  # type: ignore[arg-type]
        yield capture


def run(command: list[str], trace: Path, **request: object) -> int | None:
    """Trace to the end of the worker; gives the job's status."""
    with traced(command, trace, **request) as capture:
        status = capture.wait(60)
        ended(capture.tracer_pid)
    health = Health()
    with trace.open("rb") as lines:
        assert list(records([Input(str(trace), lines)], EVERY_NAME, health, Style()))
    assert (health.unparsed, health.orphan_resumes, health.foreign) == (0, 0, 0), health.unparsed_samples
    return status


def ended(pid: int) -> None:
    """Wait until a process (child or not) has ended."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(30_000), f"{pid} goes on"
        os.close(descriptor)


def python(text: str) -> list[str]:
    return [*PYTHON, "-c", textwrap.dedent(text)]


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
        assert [line for line in mine if "SIGCHLD {" not in line] == [line for line in other if "SIGCHLD {" not in line]
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
    return sorted(entry for entry in process if entry[0] not in ("wait4", "--- SIGCHLD"))


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


def test_every_thread_is_traced(tmp_path: Path, port: int) -> None:
    trace = tmp_path / "trace"
    job = python(f"""
        import socket, threading
        def work():
            for _ in range(20):
                s = socket.create_connection(("127.0.0.1", {port})); s.close()
        threads = [threading.Thread(target=work) for _ in range(6)]
        [t.start() for t in threads]; [t.join() for t in threads]
    """)
    assert run(job, trace) == 0
    per_thread = [sum(name == "connect" for name, _ in process) for process in kinds(trace)]
    assert sorted(per_thread) == [0, 20, 20, 20, 20, 20, 20]
    assert trace.read_text().count("+++ exited with 0 +++") == 7


# ------------------------------------------------------------------------------------------------- the job is unharmed


@pytest.mark.parametrize("seccomp", [True, False])
@pytest.mark.parametrize(
    ("script", "status", "last"),
    [
        ("exit 0", 0, "+++ exited with 0 +++"),
        ("exit 1", 1, "+++ exited with 1 +++"),
        ("exit 137", 137, "+++ exited with 137 +++"),
        ("kill -KILL $$", 137, "+++ killed by SIGKILL +++"),
        ("kill -TERM $$", 143, "+++ killed by SIGTERM +++"),
        ("ulimit -c 0; kill -SEGV $$", 139, "+++ killed by SIGSEGV +++"),
    ],
)
def test_the_exit_status_is_the_jobs(script: str, status: int, last: str, seccomp: bool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert run(["/bin/sh", "-c", script], trace, seccomp=seccomp) == status
    assert trace.read_text().splitlines()[-1].endswith(last)
    assert trace.stat().st_mode & 0o777 == 0o600


REPORT = """
    import json, os, signal, sys
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    facts = {
        "cwd": os.getcwd(), "group": os.getpgrp(), "session": os.getsid(0), "umask": os.umask(0),
        "environment": repr(open("/proc/self/environ", "rb").read()), "stdin": sys.stdin.read(),
        "descriptors": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if int(n) != 3},
        **{key: status[key].strip() for key in ("SigBlk", "SigIgn", "NoNewPrivs")},
    }
    print(json.dumps(facts, sort_keys=True))
"""


def test_the_job_finds_what_it_would_find_untraced(tmp_path: Path) -> None:
    """Environment, directory, group, standard streams, inherited descriptors, signals."""
    driver = tmp_path / "driver.py"
    driver.write_text(
        textwrap.dedent("""
            import os, signal, subprocess, sys
            sys.path[:0] = sys.argv[1].split(":")
            from pathlib import Path
            from systrace.tracers import Request
            from systrace.tracers.embedded import Embedded
            command = sys.argv[3:]
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if sys.argv[2] == "bare":
                sys.exit(subprocess.run(command, close_fds=False).returncode)
            with Embedded().run(command, Request(Path(sys.argv[2]), frozenset({"execve"}))) as capture:
                sys.exit(capture.wait())
        """)
    )
    answers = []
    lock = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(lock, True)
    for mode in ("bare", str(tmp_path / "trace")):
        words = [sys.executable, "-I", str(driver), ":".join(sys.path), mode, *python(REPORT)]
        environment = {"A": "1", "EMPTY": "", "ODD": "\udcff=x\n", "PYTHONPATH": "/nonexistent", "LANG": "C.UTF-8"}
        done = subprocess.run(
            words, input=b"input", stdout=subprocess.PIPE, env=environment, cwd="/usr", pass_fds=(lock,), check=True
        )
        answers.append(re.sub(rb'"(group|session)": \d+|pipe:\[\d+\]', b"", done.stdout))
    os.close(lock)
    assert answers[1] == answers[0]


def test_standard_output_ends_with_the_job_and_not_with_the_tracer(tmp_path: Path) -> None:
    """A reader of the job's output sees its end although a traced child goes on."""
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    try:
        stop, hold = os.pipe()
        os.set_inheritable(stop, True)
        with traced(
            ["/bin/sh", "-c", f"echo job; cat <&{stop} >/dev/null 2>&1 & exit 6"], tmp_path / "trace"
        ) as capture:
            os.dup2(saved, 1)
            os.close(writer)
            assert capture.wait(30) == 6
            with os.fdopen(reader, "rb") as text:
                assert text.read() == b"job\n"
            os.close(hold)
            ended(capture.tracer_pid)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(stop)
    assert (tmp_path / "trace").read_text().count("+++ exited") == 2


def test_set_uid_programs_keep_their_rights_under_a_tracer_with_rights(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        assert Embedded().unavailable() is None
        return
    program = tmp_path / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_mode & 0o001 == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    answer = tmp_path / "answer"
    answer.touch(0o666)
    answer.chmod(0o666)
    job = ["/bin/sh", "-c", f"setpriv --reuid=65534 --clear-groups {program} -u > {answer}"]
    assert run(job, tmp_path / "trace") == 0
    assert answer.read_text() == "0\n"


def test_a_job_that_cannot_be_executed_is_an_error_of_usage(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for path, reason in ((tmp_path / "missing", "No such file"), (plain, "Permission denied"), (tmp_path, "denied")):
        with pytest.raises(UsageError, match=reason), traced([str(path)], tmp_path / "trace"):
            pass


def test_a_script_without_interpreter_line_runs_in_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("exit 11\n")
    script.chmod(0o755)
    assert run([str(script)], tmp_path / "trace") == 11


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


# ------------------------------------------------------------------------------------------------------------- signals

DRIVER = """
    import signal, sys
    sys.path[:0] = {path!r}
    from pathlib import Path
    from systrace.tracers import Request
    from systrace.tracers.embedded import Embedded
    with Embedded().run(sys.argv[2:], Request(Path(sys.argv[1]), frozenset({{"execve", "rt_sigreturn"}}))) as capture:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("ready", flush=True)
        sys.exit(capture.wait())
"""


def test_ctrl_c_reaches_the_job_and_its_answer_is_its_status(tmp_path: Path) -> None:
    job = python("""
        import signal, sys
        def leave(*_):
            sys.exit(42)
        signal.signal(signal.SIGINT, leave)
        print("armed", flush=True)
        while True:
            signal.pause()
    """)
    driver = [*python(DRIVER.format(path=sys.path)), str(tmp_path / "trace"), *job]
    with subprocess.Popen(driver, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert {process.stdout.readline(), process.stdout.readline()} == {b"ready\n", b"armed\n"}
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 42
    assert "--- SIGINT {si_signo=SIGINT, si_code=SI_USER," in (tmp_path / "trace").read_text()


def test_a_stopped_job_stays_stopped_until_it_is_continued(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import os, signal, time
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(5)
        _, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP
        assert open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[0] in "Tt"
        os.kill(child, signal.SIGCONT)
        _, status = os.waitpid(child, os.WCONTINUED)
        _, status = os.waitpid(child, 0) if os.WIFCONTINUED(status) else (0, status)
        os._exit(os.WEXITSTATUS(status))
    """)
    assert run(job, trace) == 5
    text = trace.read_text()
    assert "--- stopped by SIGSTOP ---" in text
    assert "--- SIGCONT {si_signo=SIGCONT, si_code=SI_USER" in text
    assert "WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP" in text


def test_when_the_tracer_is_killed_the_job_is_killed_with_it(tmp_path: Path) -> None:
    with traced(["/bin/sleep", "1000"], tmp_path / "trace") as capture:
        os.kill(capture.tracer_pid, signal.SIGKILL)
        assert capture.wait(30) == 137
        assert "was killed by signal 9" in str(capture.fault())
        ended(capture.pid)


def test_signals_to_the_job_pass_through_the_capture(tmp_path: Path) -> None:
    with traced(["/bin/sleep", "1000"], tmp_path / "trace") as capture:
        assert capture.wait(0.01) is None
        assert capture.fault() is None
        capture.signal(signal.SIGTERM)
        assert capture.wait(30) == 143
        ended(capture.tracer_pid)
    assert "+++ killed by SIGTERM +++" in (tmp_path / "trace").read_text()


# -------------------------------------------------------------------------------------------------- process life cycles


def test_a_burst_of_short_children_is_counted_to_the_last(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import os
        for batch in range(40):
            children = []
            for _ in range(50):
                child = os.fork()
                if child == 0:
                    os._exit(3)
                children.append(child)
            for child in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    """)
    assert run(job, trace) == 0
    assert trace.read_text().count("+++ exited with 3 +++") == 2000


def test_exec_by_a_thread_goes_on_under_the_leaders_id(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import os, threading, time
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        threading.Thread(target=os.execv, args=("/bin/sh", ["sh", "-c", "exit 8"])).start()
        time.sleep(100)
    """)
    assert run(job, trace) == 8
    text = trace.read_text()
    match = re.search(r"^(\d+) [\d.]+ execve\(\"/bin/sh\".* <pid changed to (\d+) \.\.\.>$", text, re.MULTILINE)
    assert match
    thread, leader = match.groups()
    assert re.search(rf"^{leader} [\d.]+ \+\+\+ superseded by execve in pid {thread} \+\+\+$", text, re.MULTILINE)
    assert re.search(rf"^{leader} [\d.]+ <\.\.\. execve resumed>\) = 0 <", text, re.MULTILINE)
    assert text.splitlines()[-1].startswith(f"{leader} ")


def test_a_call_that_blocks_is_in_the_trace_before_it_returns(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with traced(["/bin/sleep", "1000"], trace, syscalls=frozenset({"clock_nanosleep", "execve"})) as capture:
        while "<unfinished ...>" not in trace.read_text():
            assert capture.wait(0.05) is None
        capture.signal(signal.SIGKILL)
        assert capture.wait(30) == 137
        ended(capture.tracer_pid)
    lines = trace.read_text().splitlines()
    assert re.search(r" clock_nanosleep\(.*tv_sec=1000.*, +<unfinished ...>$", lines[-3])
    assert lines[-2].endswith("<... clock_nanosleep resumed>) = ?")


def open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            found.add(str(link.readlink()))
    return found


@pytest.mark.parametrize("seccomp", [True, False])
def test_stopping_the_recording_leaves_the_job_alone(seccomp: bool, tmp_path: Path) -> None:
    """With a filter the worker has to stay; without one it lets go."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    job = python(f"""
        import os, subprocess
        os.write(1, b"")
        os.read({reader}, 1)
        assert subprocess.run(["/bin/true"]).returncode == 0
        tracer = [line for line in open("/proc/self/status") if line.startswith("TracerPid")][0].split()[1]
        os._exit(12 if tracer == "0" else 13)
    """)
    trace = tmp_path / "trace"
    with traced(job, trace, seccomp=seccomp, syscalls=WANTED | {"read"}) as capture:
        while "<unfinished ...>" not in trace.read_text():
            assert capture.wait(0.05) is None
        capture.stop()
        while str(trace) in open_files(capture.tracer_pid):
            assert capture.wait(0.01) is None
        while not seccomp and Path(f"/proc/{capture.pid}/status").read_text().find("TracerPid:\t0\n") < 0:
            assert capture.wait(0.05) is None
        os.write(writer, b"\n")
        assert capture.wait(30) == (13 if seccomp else 12)
        assert capture.fault() is None
        ended(capture.tracer_pid)
    os.close(reader)
    os.close(writer)
    assert 'execve("/bin/true"' not in trace.read_text()


def test_a_reader_that_goes_away_ends_the_recording_and_not_the_job(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    job = ["/bin/sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do /bin/true; sleep 0.1; done; exit 2"]
    with traced(job, fifo) as capture:
        os.close(reader)
        assert capture.wait(30) == 2
        ended(capture.tracer_pid)


# ------------------------------------------------------------------------------------------------------ 32-bit programs

SOURCE_32 = r"""
static int call(int n, int a, int b, int c) {
    int r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}
void _start(void) {
    struct { unsigned short family, port; unsigned address; char pad[8]; } name = {2, 0x0100, 0x0100007f, {0}};
    int make[3] = {2, 1, 0};
    int fd = call(102, 1, (int)make, 0);
    int join[3] = {fd, (int)&name, 16};
    call(102, 3, (int)join, 0);
    int direct = call(359, 2, 2, 0);
    struct { char *base; unsigned length; } vector[2] = {{"three", 5}, {"two", 3}};
    call(146, 1, (int)vector, 2);
    call(6, direct, 0, 0);
    call(252, 9, 0, 0);
}
"""


def _compiles_32(directory: Path) -> Path | None:
    source, program = directory / "small.c", directory / "small"
    source.write_text(SOURCE_32)
    words = ["gcc", "-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie"]
    done = subprocess.run([*words, "-o", program, source], capture_output=True, check=False)
    return program if done.returncode == 0 and subprocess.run([program], check=False).returncode == 9 else None


@pytest.mark.skipif(shutil.which("gcc") is None or os.uname().machine != "x86_64", reason="needs gcc for i386")
@pytest.mark.parametrize("seccomp", [True, False])
def test_32_bit_programs_are_traced_with_their_own_numbers(tmp_path: Path, seccomp: bool) -> None:
    program = _compiles_32(tmp_path)
    assert program is not None, "gcc -m32 -nostdlib needs no 32-bit library"
    trace = tmp_path / "trace"
    assert run(["/bin/sh", "-c", f"{program} >/dev/null; exit $?"], trace, seccomp=seccomp) == 9
    text = trace.read_text()
    assert "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[" in text
    assert re.search(r"connect\(3<socket:\[\d+\]>, \{sa_family=AF_INET, sin_port=htons\(1\), .* ECONNREFUSED", text)
    assert "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4<socket:[" in text
    assert 'writev(1</dev/null>, [{iov_base="three", iov_len=5}, {iov_base="two", iov_len=3}], 2) = 8' in text or (
        "writev(" not in text  # plain files are left out
    )


def test_a_worker_that_cannot_start_is_a_capture_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_worker_environment", lambda: {"PYTHONPATH": "/nonexistent"})
    with pytest.raises(CaptureError, match="ended with status 1"), traced(["/bin/true"], tmp_path / "trace"):
        pass
